//! Store and forward: signed messages wait in the caller's memory until enough members have receipted them. Bounded,
//! without allocation, and adopted again after a restart where the memory outlives one (FRAM, battery-backed RAM).
//! Verifying a receipt (docs/protocol.md §8) and sending are the caller's.
//!
//! Layout: `used u32be`, then per message `class u8 ‖ length u16be ‖ id (32) ‖ members u128be ‖ bytes`, oldest first.
//! It never leaves the device.

use crate::{Class, EvidenceId, MAX_MESSAGE, Network, Signed, decode, evidence_id};

/// The bytes that a queue needs beside its messages.
pub const QUEUE_HEAD: usize = 4;
/// The bytes that every message needs beside its own.
pub const QUEUE_RECORD_HEAD: usize = 1 + 2 + 32 + 16;
/// Members above this index cannot be counted.
const MEMBERS: u32 = 128;

/// Messages waiting for receipts, oldest first.
pub struct Queue<'s> {
    storage: &'s mut [u8],
    used: usize,
}

/// A waiting message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued<'a> {
    /// The class, for the topic.
    pub class: Class,
    /// The evidence id, which receipts name.
    pub id: EvidenceId,
    /// The message.
    pub bytes: &'a [u8],
    /// How many different members have receipted it.
    pub receipts: u32,
}

/// The message does not fit beside those that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queue full")]
pub struct QueueFull;

/// What a receipt did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipted {
    /// No such message waits (it may be done already), or the member index is 128 or more.
    Unknown,
    /// Counted; the message waits for more members.
    Waiting,
    /// Enough members have it: it was removed.
    Done,
}

impl<'s> Queue<'s> {
    /// An empty queue in this memory, whatever it held.
    #[must_use]
    pub fn new(storage: &'s mut [u8]) -> Self {
        let mut queue = Self { storage, used: QUEUE_HEAD };
        queue.set_used(QUEUE_HEAD);
        queue
    }

    /// The queue that an earlier run left in this memory. Every message is checked against its id; from the first that
    /// does not fit (power went while one was removed, or the memory is new) the rest is dropped.
    #[must_use]
    pub fn resume(storage: &'s mut [u8], network: &Network) -> Self {
        let claimed = storage.first_chunk().map_or(0, |head| u32::from_be_bytes(*head));
        let claimed = usize::try_from(claimed).unwrap_or(0).min(storage.len());
        let mut queue = Self { storage, used: claimed };
        let mut good = QUEUE_HEAD;
        while let Some((item, next)) = queue.at(good) {
            let whole = decode(item.bytes).is_ok_and(|env| evidence_id(item.class, network, &env) == item.id);
            if !whole {
                break;
            }
            good = next;
        }
        queue.set_used(good);
        queue
    }

    /// Adds a message at the end.
    ///
    /// # Errors
    /// When it does not fit; nothing has changed.
    pub fn push(&mut self, signed: &Signed<'_>) -> Result<(), QueueFull> {
        let start = self.used;
        let end = start + QUEUE_RECORD_HEAD + signed.bytes.len();
        let record = self.storage.get_mut(start..end).ok_or(QueueFull)?;
        let len = u16::try_from(signed.bytes.len()).map_err(|_| QueueFull)?;
        let parts: [&[u8]; 5] = [&[signed.class.as_u8()], &len.to_be_bytes(), &signed.id, &[0; 16], signed.bytes];
        let mut rest = record;
        for part in parts {
            let (here, after) = rest.split_at_mut_checked(part.len()).ok_or(QueueFull)?;
            here.copy_from_slice(part);
            rest = after;
        }
        // Last, so that a message cut off by a power failure does not exist.
        self.set_used(end);
        Ok(())
    }

    /// Adds a message, dropping the oldest ones as needed; returns how many were dropped. A dropped message is a gap in
    /// the device's sequence: scored, never rejected.
    ///
    /// # Errors
    /// When it would not fit an empty queue; nothing has changed.
    pub fn push_dropping(&mut self, signed: &Signed<'_>) -> Result<u32, QueueFull> {
        if QUEUE_HEAD + QUEUE_RECORD_HEAD + signed.bytes.len() > self.storage.len() {
            return Err(QueueFull);
        }
        let mut dropped = 0;
        loop {
            match self.push(signed) {
                Ok(()) => return Ok(dropped),
                Err(QueueFull) if self.drop_front() => dropped += 1,
                Err(QueueFull) => return Err(QueueFull),
            }
        }
    }

    /// Notes that `member` has stored the message `id`, once its receipt was verified; with `needed` different members
    /// (f+1) the message leaves the queue.
    pub fn receipt(&mut self, id: &EvidenceId, member: u32, needed: u32) -> Receipted {
        if member >= MEMBERS {
            return Receipted::Unknown;
        }
        let mut at = QUEUE_HEAD;
        while let Some((item, next)) = self.at(at) {
            if item.id != *id {
                at = next;
                continue;
            }
            let members = self.members(at) | (1 << member);
            if members.count_ones() >= needed {
                self.remove(at, next);
                return Receipted::Done;
            }
            self.set_members(at, members);
            return Receipted::Waiting;
        }
        Receipted::Unknown
    }

    /// The oldest message.
    #[must_use]
    pub fn front(&self) -> Option<Queued<'_>> {
        self.at(QUEUE_HEAD).map(|(item, _)| item)
    }

    /// Gives up the oldest message; whether there was one.
    pub fn drop_front(&mut self) -> bool {
        let next = self.at(QUEUE_HEAD).map(|(_, next)| next);
        if let Some(next) = next {
            self.remove(QUEUE_HEAD, next);
        }
        next.is_some()
    }

    /// The messages, oldest first: what to send again after an outage.
    #[must_use]
    pub const fn iter(&self) -> QueueIter<'_> {
        QueueIter { queue: self, at: QUEUE_HEAD }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.front().is_none()
    }

    /// The bytes still free, heads included.
    #[must_use]
    pub const fn free(&self) -> usize {
        self.storage.len().saturating_sub(self.used)
    }

    /// The record at `at` and where the next one starts.
    fn at(&self, at: usize) -> Option<(Queued<'_>, usize)> {
        let record = self.storage.get(at..self.used)?;
        let (class, rest) = record.split_first()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (id, rest) = rest.split_first_chunk()?;
        let (members, rest) = rest.split_first_chunk()?;
        let bytes = rest.get(..usize::from(u16::from_be_bytes(*len)))?;
        let receipts = u128::from_be_bytes(*members).count_ones();
        let item = Queued { class: Class::from_u8(*class)?, id: *id, bytes, receipts };
        (bytes.len() <= MAX_MESSAGE).then_some((item, at + QUEUE_RECORD_HEAD + bytes.len()))
    }

    fn members(&self, at: usize) -> u128 {
        let members = self.storage.get(at + 35..).and_then(<[u8]>::first_chunk);
        members.map_or(0, |bytes| u128::from_be_bytes(*bytes))
    }

    fn set_members(&mut self, at: usize, members: u128) {
        if let Some(bytes) = self.storage.get_mut(at + 35..at + 51) {
            bytes.copy_from_slice(&members.to_be_bytes());
        }
    }

    fn remove(&mut self, start: usize, end: usize) {
        let used = self.used;
        if start <= end && end <= used && used <= self.storage.len() {
            self.storage.copy_within(end..used, start);
            self.set_used(used - (end - start));
        }
    }

    fn set_used(&mut self, used: usize) {
        self.used = used;
        if let (Some(head), Ok(used)) = (self.storage.first_chunk_mut(), u32::try_from(used)) {
            *head = used.to_be_bytes();
        }
    }
}

impl<'q> IntoIterator for &'q Queue<'_> {
    type Item = Queued<'q>;
    type IntoIter = QueueIter<'q>;

    fn into_iter(self) -> QueueIter<'q> {
        self.iter()
    }
}

impl core::fmt::Debug for Queue<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Queue").field("messages", &self.iter().count()).field("free", &self.free()).finish()
    }
}

/// The messages of a [`Queue`].
#[derive(Clone, Debug)]
pub struct QueueIter<'q> {
    queue: &'q Queue<'q>,
    at: usize,
}

impl<'q> Iterator for QueueIter<'q> {
    type Item = Queued<'q>;

    fn next(&mut self) -> Option<Queued<'q>> {
        let (item, next) = self.queue.at(self.at)?;
        self.at = next;
        Some(item)
    }
}
