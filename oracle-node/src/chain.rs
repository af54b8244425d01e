//! The chain: finalized blocks in, transactions out. The only room that knows alloy's provider.
//! `watch` folds blocks and tells the node what follows; `outbox` owes the chain transactions until they are final.
//! Leaves out: what the events mean (`oracle_core::registry`), when to transmit what (`oracle_core::oracle`).

mod abi;
mod batches;
mod faults;
mod log;
mod outbox;
mod posts;
mod rotations;
mod rpc;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::B256;
use oracle_core::effect::Transmission;
use oracle_core::handover::Start;
use oracle_core::registry::{Contracts, Registry, Snapshot};
use oracle_core::term::Term;
use oracle_core::typed::Header;

pub use abi::calldata;
pub use faults::{SlashError, Slashed, submit as submit_fault};
pub use outbox::{Outbox, OutboxSetup};
pub use rotations::{RotationError, Rotations, Signed as SignedRotation};
pub use rpc::{ChainError, Rpc};
pub use watch::{Watch, WatchError, WatchSetup};

use crate::config;

/// What the chain tells the node, in the order of finalized blocks.
#[derive(Clone, Debug)]
pub enum Event {
    /// A term is configured: its members, its clock.
    Term(Box<Term>),
    /// Everything final at the moment has been folded (said again after every look).
    CaughtUp,
    /// The registry rotated to a term. Said before the term is [`Event::Activated`].
    Rotated {
        /// The term.
        term: u64,
        /// How it begins.
        start: Box<Start>,
    },
    /// A term is active: start of epoch 0, unix ms.
    Activated {
        /// The term.
        term: u64,
        /// Unix ms.
        genesis_ms: u64,
    },
    /// Every share root that the registry took for a term, each with the first epoch it counts in. Said before the term is
    /// [`Event::Activated`], and again with every refresh.
    ShareRoots {
        /// The term.
        term: u64,
        /// In the chain's order.
        roots: Vec<(B256, u64)>,
    },
    /// The snapshot of an epoch is known.
    Snapshot {
        /// Epoch.
        epoch: u64,
        /// The chain as of its block.
        snapshot: Box<Snapshot>,
    },
    /// Ed25519 devices that wait for activation.
    PendingKeys {
        /// The term that certifies them.
        term: u64,
        /// First batch number that the chain has not used.
        batch: u64,
        /// (token, thumbprint), ascending.
        keys: Vec<(u64, [u8; 32])>,
    },
    /// The hub holds the report of this epoch.
    Posted {
        /// Stream.
        stream: u32,
        /// Epoch.
        epoch: u64,
        /// Its header, if it was posted about since this node began and the endpoint shows it.
        header: Option<Box<Header>>,
    },
}

/// Something that a term owes the chain.
#[derive(Clone, Debug)]
pub struct Owed {
    /// This member's turn, unix ms.
    pub not_before: u64,
    /// The term whose seat asks for it.
    pub term: u64,
    /// What to put there.
    pub what: Transmission,
}

/// The fold as of the last finalized block, for everyone who only reads.
#[derive(Clone, Debug)]
pub struct View {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Last finalized block folded.
    pub block: u64,
    /// The fold, as of the last block that changed it.
    pub registry: Arc<Registry>,
    /// Transactions that rotated the committee, by the term they led to.
    pub rotations: BTreeMap<u64, B256>,
    /// First batch of device keys that the chain has not used, by term, as read last: absent until it has been read.
    pub batches: BTreeMap<u64, u64>,
    /// Whether the fold has reached the finalized head since the start.
    pub caught_up: bool,
}

/// The contracts of a configuration, as the fold wants them.
#[must_use]
pub const fn contracts(chain: &config::Chain) -> Contracts {
    Contracts { registry: chain.registry, devices: chain.devices, escrow: chain.escrow, hub: chain.hub }
}
