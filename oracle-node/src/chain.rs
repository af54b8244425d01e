//! The chain: finalized blocks in, transactions out. The only room that knows alloy's provider.
//! `watch` folds blocks and tells the node what follows; `outbox` owes the chain transactions until they are final.
//! Leaves out: what the events mean (`oracle_core::registry`), when to transmit what (`oracle_core::oracle`).

mod abi;
mod log;
mod outbox;
mod rpc;
mod watch;

use std::sync::Arc;

use oracle_core::registry::{Contracts, Registry, Snapshot};
use oracle_core::term::Term;

pub use abi::calldata;
pub use outbox::{Outbox, OutboxSetup};
pub use rpc::{ChainError, Rpc};
pub use watch::{Watch, WatchError, WatchSetup};

use crate::config;

/// What the chain tells the node, in the order of finalized blocks.
#[derive(Clone, Debug)]
pub enum Event {
    /// The term is configured: its members, its clock.
    Term(Box<Term>),
    /// Everything final at the moment has been folded (said again after every look).
    CaughtUp,
    /// The term is active: start of epoch 0, unix ms.
    Activated {
        /// Unix ms.
        genesis_ms: u64,
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
        /// First batch number that the chain has not used.
        batch: u64,
        /// (token, thumbprint), ascending.
        keys: Vec<(u64, [u8; 32])>,
    },
    /// The hub holds the report of this epoch.
    Posted {
        /// Epoch.
        epoch: u64,
    },
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
    /// First batch of device keys that the chain has not used.
    pub next_batch: u64,
    /// Whether the fold has reached the finalized head since the start.
    pub caught_up: bool,
}

/// The contracts of a configuration, as the fold wants them.
#[must_use]
pub const fn contracts(chain: &config::Chain) -> Contracts {
    Contracts { registry: chain.registry, devices: chain.devices, escrow: chain.escrow, hub: chain.hub }
}
