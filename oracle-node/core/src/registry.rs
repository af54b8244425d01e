//! The chain as the committee sees it: devices, leases and terms, folded from contract events of finalized blocks.
//! The node and the auditor fold the same log. Leaves out: fetching logs (`oracle-node/src/chain.rs`).

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};

pub mod events;
mod fold;
mod history;
mod keys;
mod terms;
#[cfg(test)]
mod tests;

pub use events::{Contracts, RawLog};
pub use fold::{Posted, Registration, Registry};
pub use history::History;
pub use terms::{Activated, Rotated};

/// A block header, as far as the fold needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
}

/// A device as the chain knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Owner of the token.
    pub owner: Address,
    /// Attestation key.
    pub key: attest::PublicKey,
    /// Whether the key counts (P-256: proven on chain; Ed25519: certified by the committee).
    pub active: bool,
    /// Whether the owner revoked the key: it never counts again.
    pub revoked: bool,
    /// The key's own claim of the device, 64 bytes (docs/protocol.md §3).
    pub proof: [u8; 64],
    /// Commitment to its place; zero = none.
    pub location: [u8; 32],
    /// Class of work (docs/protocol.md §9).
    pub class: u8,
    /// Thumbprint of the signing meter's public key; zero = none.
    pub meter_key: [u8; 32],
}

/// A lease as the chain knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The escrow that holds it: lease ids are its own.
    pub escrow: Address,
    /// Device token id.
    pub device: u64,
    /// Who pays and uses.
    pub lessee: Address,
    /// Who leases out.
    pub lessor: Address,
    /// Class of work.
    pub class: u8,
    /// Committee asked to prove it.
    pub committee: u64,
    /// Stream of that committee.
    pub stream: u32,
    /// Policy it was opened under.
    pub policy_hash: B256,
    /// Unix seconds.
    pub start: u64,
    /// Unix seconds.
    pub end: u64,
}

/// Devices and leases as of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The block.
    pub block: Block,
    /// Devices by token id.
    pub devices: BTreeMap<u64, DeviceRecord>,
    /// Leases neither closed nor cancelled, by id.
    pub leases: BTreeMap<u64, LeaseRecord>,
}
