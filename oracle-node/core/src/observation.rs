//! One node's view of an epoch: buckets of what each device was heard to say, and the body that commits to them.
//! docs/protocol.md §9. Leaves out: who agrees on which observations (`qbft`) and what follows (`report`).

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

use crate::limits;
use crate::wire::{self, Hash};

/// Held in time, whatever the deadline: its kind has none, or it came before its slot.
pub const BY_ALWAYS: u32 = 0;
/// Held, but after every deadline.
pub const BY_NEVER: u32 = u32::MAX;
/// Held before the time that it claims for itself: it meets no deadline.
pub const BY_EARLY: u32 = u32::MAX - 1;
/// Lateness of a beacon that this node never recovered.
pub const LATENESS_MISSING: u32 = u32::MAX;

/// One item that a class reads, or that bears on devices of every class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Mark {
    /// Evidence class (`attest::Class` as u8).
    #[n(0)]
    pub class: u8,
    /// The slot it is about, as [`crate::ingest::Accepted::slot`].
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
    /// The smallest deadline that it met, ms ([`crate::class::Kind::deadlines`] of every policy in the book), or one of
    /// [`BY_ALWAYS`], [`BY_EARLY`], [`BY_NEVER`]. So leases with different deadlines are judged by the same marks.
    #[n(5)]
    pub by: u32,
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
    /// Runs of sequence numbers of messages that nothing reads and that arrived within the epoch: (boot, first, last),
    /// ascending, neither touching nor overlapping. Counted for the record; pay does not depend on them.
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
const MARK_BYTES: usize = 66;
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
    /// What this node measured itself, ascending by (class, lease, slot), each once; at most
    /// [`limits::MEASUREMENTS_MAX`] of at most [`limits::MEASUREMENT_BYTES_MAX`] bytes.
    #[n(5)]
    pub measurements: Vec<Measurement>,
}

/// What one member measured itself of a lease in a slot, for a class that asks for it ([`crate::class::Rules`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Measurement {
    /// Class of work.
    #[n(0)]
    pub class: u8,
    /// Lease.
    #[n(1)]
    pub lease: u64,
    /// Slot.
    #[n(2)]
    pub slot: u64,
    /// What was measured, in the class's own form.
    #[n(3)]
    pub value: ByteVec,
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
