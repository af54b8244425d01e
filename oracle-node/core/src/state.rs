//! Σ: what one epoch hands to the next, for every lease and device. Carried by decided reports only.
//! docs/protocol.md §9. Leaves out: how it changes (`report`).

use minicbor::{Decode, Encode};

use crate::endorse::Endorsed;
use crate::wire::{Bytes, Hash};

/// Everything carried from epoch to epoch. The default is the state before epoch 0.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct State {
    /// Format, 1.
    #[n(0)]
    pub version: u32,
    /// The epoch that the next report is about.
    #[n(1)]
    pub next_epoch: u64,
    /// EIP-712 digest of the last decided header; zeros at first.
    #[n(2)]
    pub previous_header: Hash,
    /// Seed of the last non-void beacon; zeros at first. Orders the next epoch's leaders.
    #[n(3)]
    pub seed: Hash,
    /// Ascending by lease id.
    #[n(4)]
    pub leases: Vec<LeaseState>,
    /// Ascending by token id.
    #[n(5)]
    pub devices: Vec<DeviceState>,
}

impl Default for State {
    fn default() -> Self {
        let zeros = Hash::default();
        Self { version: 1, next_epoch: 0, previous_header: zeros, seed: zeros, leases: vec![], devices: vec![] }
    }
}

impl State {
    /// The epoch that an encoded state is before, without decoding the rest of it; `None` when the bytes are none.
    pub(crate) fn peek_epoch(bytes: &[u8]) -> Option<u64> {
        let mut decoder = minicbor::Decoder::new(bytes);
        decoder.array().ok()?;
        decoder.u32().ok()?;
        decoder.u64().ok()
    }
}

/// One lease's counters, all cumulative over its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LeaseState {
    /// Lease id.
    #[n(0)]
    pub lease: u64,
    /// Device token id.
    #[n(1)]
    pub device: u64,
    /// Who may use the device (20 bytes): what a device's access check reads.
    #[n(2)]
    pub lessee: Bytes<20>,
    /// Start, unix seconds.
    #[n(3)]
    pub start: u64,
    /// End, unix seconds.
    #[n(4)]
    pub end: u64,
    /// Class of work.
    #[n(5)]
    pub class: u8,
    /// T: target of the lower bound, in billionths.
    #[n(6)]
    pub target: u64,
    /// Challenges that counted (not void).
    #[n(7)]
    pub challenged: u64,
    /// Challenges passed.
    #[n(8)]
    pub passed: u64,
    /// Non-void seconds so far.
    #[n(9)]
    pub elapsed: u64,
    /// Proven seconds.
    #[n(10)]
    pub good: u64,
    /// Seconds proven bad.
    #[n(11)]
    pub bad: u64,
    /// Unix seconds up to which the lease has been judged.
    #[n(12)]
    pub through: u64,
    /// (reason code, count), ascending by code.
    #[n(13)]
    pub reasons: Vec<(u16, u64)>,
    /// Chained root over the ids of everything that counted.
    #[n(14)]
    pub evidence_root: Hash,
    /// Units taken back by correction.
    #[n(15)]
    pub adjustment: u64,
    /// Policy hash.
    #[n(16)]
    pub policy_hash: Hash,
}

/// One device's facts that later epochs need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DeviceState {
    /// Token id.
    #[n(0)]
    pub device: u64,
    /// Telemetry and heartbeat messages counted, for the record.
    #[n(1)]
    pub messages: u64,
    /// Proven opening of its location commitment: (lat, lon) in 1e-7 degree.
    #[n(2)]
    pub location: Option<(i32, i32)>,
    /// Coverage hash chains in force, oldest first.
    #[n(3)]
    pub chains: Vec<Chain>,
    /// The maker's endorsement in force. Absent from the encoding when there is none.
    #[n(4)]
    pub endorsed: Option<Endorsed>,
}

/// A committed hash chain of a coverage device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Chain {
    /// First slot.
    #[n(0)]
    pub first_slot: u64,
    /// Slots spanned.
    #[n(1)]
    pub length: u32,
    /// Anchor.
    #[n(2)]
    pub anchor: Hash,
}
