//! Σ: what one epoch hands to the next, for every lease and device. Carried by decided reports only.
//! docs/protocol.md §9. Leaves out: how it changes (`report`), and what the classes keep in their folds (`class`).

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::endorse::Endorsed;
use crate::wire::{Bytes, Hash};

/// The format that this version reads and writes.
pub const STATE_VERSION: u32 = 2;

/// Everything carried from epoch to epoch. The default is the state before epoch 0.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct State {
    /// Format, [`STATE_VERSION`].
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
    /// What leases would have come to under policies that shadow their own: for the record, never for pay. Ascending by
    /// (lease id, policy hash).
    #[n(6)]
    pub shadows: Vec<LeaseState>,
}

impl Default for State {
    fn default() -> Self {
        let zeros = Hash::default();
        let (leases, devices, shadows) = (vec![], vec![], vec![]);
        Self { version: STATE_VERSION, next_epoch: 0, previous_header: zeros, seed: zeros, leases, devices, shadows }
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

/// A number above 64 bits, as 16 bytes, most significant first.
pub type Wide = Bytes<16>;

/// One lease's counters, all cumulative over its life.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LeaseState {
    /// Lease id.
    #[n(0)]
    pub lease: u64,
    /// The escrow that holds the lease (20 bytes): lease ids are its own.
    #[n(1)]
    pub escrow: Bytes<20>,
    /// Device token id.
    #[n(2)]
    pub device: u64,
    /// Who may use the device (20 bytes): what a device's access check reads.
    #[n(3)]
    pub lessee: Bytes<20>,
    /// Start, unix seconds.
    #[n(4)]
    pub start: u64,
    /// End, unix seconds.
    #[n(5)]
    pub end: u64,
    /// Class of work.
    #[n(6)]
    pub class: u8,
    /// Hash of the policy by which it is judged.
    #[n(7)]
    pub policy_hash: Hash,
    /// Proven units of the class (u128).
    #[n(8)]
    pub units: Wide,
    /// Proven seconds.
    #[n(9)]
    pub good: u64,
    /// Seconds proven bad.
    #[n(10)]
    pub bad: u64,
    /// Seconds credited to the lessee.
    #[n(11)]
    pub credit: u64,
    /// Unix seconds up to which the lease has been judged.
    #[n(12)]
    pub through: u64,
    /// Units taken back by correction (u128).
    #[n(13)]
    pub adjustment: Wide,
    /// (reason code, count), ascending by code.
    #[n(14)]
    pub reasons: Vec<(u16, u64)>,
    /// Chained root over the ids of everything that counted.
    #[n(15)]
    pub evidence_root: Hash,
    /// What the class keeps of it.
    #[n(16)]
    pub fold: ByteVec,
}

impl Default for LeaseState {
    fn default() -> Self {
        Self {
            lease: 0,
            escrow: Bytes::default(),
            device: 0,
            lessee: Bytes::default(),
            start: 0,
            end: 0,
            class: 0,
            policy_hash: Hash::default(),
            units: Wide::default(),
            good: 0,
            bad: 0,
            credit: 0,
            through: 0,
            adjustment: Wide::default(),
            reasons: Vec::new(),
            evidence_root: Hash::default(),
            fold: Vec::new().into(),
        }
    }
}

impl LeaseState {
    /// Proven units.
    #[must_use]
    pub fn units(&self) -> u128 {
        u128::from_be_bytes(*self.units)
    }

    /// Units taken back.
    #[must_use]
    pub fn adjustment(&self) -> u128 {
        u128::from_be_bytes(*self.adjustment)
    }
}

/// One device's facts that later epochs need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DeviceState {
    /// Token id.
    #[n(0)]
    pub device: u64,
    /// Messages that nothing reads, for the record.
    #[n(1)]
    pub messages: u64,
    /// Proven opening of its location commitment: (lat, lon) in 1e-7 degree.
    #[n(2)]
    pub place: Option<(i32, i32)>,
    /// The makers' endorsements in force, the best of each maker, ascending by maker.
    #[n(3)]
    pub endorsed: Vec<Endorsed>,
    /// (class, what it keeps of the device), ascending by class; none that is empty.
    #[n(4)]
    pub folds: Vec<(u8, ByteVec)>,
}

impl DeviceState {
    /// Whether it says nothing that a later epoch would miss.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0 && self.place.is_none() && self.endorsed.is_empty() && self.folds.is_empty()
    }
}
