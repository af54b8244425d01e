//! One node's view of an epoch: buckets of what each device was heard to say, and the body that commits to them.
//! docs/protocol.md §9. Leaves out: who agrees on which observations (`qbft`) and what follows (`report`).

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

use crate::limits;
use crate::wire::{self, Hash};

/// When an item was held, against its deadline.
pub const MARK_IN_TIME: u8 = 1;
/// Held, but after its deadline.
pub const MARK_LATE: u8 = 2;
/// Lateness of a beacon that this node never recovered.
pub const LATENESS_MISSING: u32 = u32::MAX;

/// One item that bears on a verdict: a boot, commitment, answer, witness or reveal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Mark {
    /// Evidence class (`attest::Class` as u8; 3 to 7).
    #[n(0)]
    pub class: u8,
    /// Slot it is about; `first_slot` for a commitment, 0 for a boot.
    #[n(1)]
    pub slot: u64,
    /// Boot count.
    #[n(2)]
    pub boot: u32,
    /// Sequence number.
    #[n(3)]
    pub seq: u64,
    /// Evidence id.
    #[n(4)]
    pub id: Hash,
    /// [`MARK_IN_TIME`] or [`MARK_LATE`].
    #[n(5)]
    pub mark: u8,
}

/// Two different messages with one (boot, seq): neither counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Fork {
    /// Boot count.
    #[n(0)]
    pub boot: u32,
    /// Sequence number.
    #[n(1)]
    pub seq: u64,
    /// The smaller evidence id, with its class.
    #[n(2)]
    pub first: (u8, Hash),
    /// The larger evidence id, with its class.
    #[n(3)]
    pub second: (u8, Hash),
}

/// What one node holds of one device for one epoch. Content-addressed: id = SHA-256 of the encoding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Bucket {
    /// Device token id.
    #[n(0)]
    pub device: u64,
    /// Runs of telemetry and heartbeat sequence numbers that arrived within the epoch: (boot, first, last), ascending,
    /// neither touching nor overlapping. Counted for the record; pay does not depend on them.
    #[n(1)]
    pub held: Vec<(u32, u64, u64)>,
    /// Ascending and unique.
    #[n(2)]
    pub marks: Vec<Mark>,
    /// Ascending and unique.
    #[n(3)]
    pub forks: Vec<Fork>,
}

/// The longest encoding of a bucket without its items, of a run, a mark and a fork, bytes.
const BUCKET_BYTES: usize = 32;
const RUN_BYTES: usize = 24;
const MARK_BYTES: usize = 62;
const FORK_BYTES: usize = 89;

impl Bucket {
    /// The longest that a bucket of so many messages can be, bytes: each gives a mark at the most, or a run.
    #[must_use]
    pub const fn bytes_of(messages: usize) -> usize {
        let forks = limits::FORKS_PER_DEVICE_MAX * FORK_BYTES;
        messages.saturating_mul(MARK_BYTES).saturating_add(forks + BUCKET_BYTES)
    }

    /// A bound of the encoded length, reached when every number is large.
    #[must_use]
    pub const fn bytes_at_most(&self) -> usize {
        let (runs, marks, forks) = (self.held.len(), self.marks.len(), self.forks.len());
        let items = runs.saturating_mul(RUN_BYTES).saturating_add(marks.saturating_mul(MARK_BYTES));
        items.saturating_add(forks.saturating_mul(FORK_BYTES)).saturating_add(BUCKET_BYTES)
    }

    /// Drops the last items until so many bytes are enough: runs first, which nothing is paid for, forks last.
    pub(crate) fn cut(&mut self, bytes: usize) {
        let mut left = bytes.saturating_sub(BUCKET_BYTES);
        self.forks.truncate(left / FORK_BYTES);
        left = left.saturating_sub(self.forks.len() * FORK_BYTES);
        self.marks.truncate(left / MARK_BYTES);
        left = left.saturating_sub(self.marks.len() * MARK_BYTES);
        self.held.truncate(left / RUN_BYTES);
    }

    /// SHA-256 of the canonical encoding.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        blob_hash(&wire::encode(self))
    }
}

/// The body of an observation; its SHA-256 is the value of the observation statement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Body {
    /// Epoch observed.
    #[n(0)]
    pub epoch: u64,
    /// (device, bucket hash), ascending by device; devices of which nothing is held are left out.
    #[n(1)]
    pub buckets: Vec<(u64, Hash)>,
    /// First slot of `lateness`.
    #[n(2)]
    pub first_slot: u64,
    /// Per slot: ms from the slot's start to this node's recovery of the beacon, or [`LATENESS_MISSING`].
    #[n(3)]
    pub lateness: Vec<u32>,
    /// Chained root of this node's receipt log at the observation.
    #[n(4)]
    pub receipts_root: Hash,
}

impl Body {
    /// SHA-256 of the canonical encoding.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        blob_hash(&wire::encode(self))
    }
}

/// The address of a blob.
#[must_use]
pub fn blob_hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
