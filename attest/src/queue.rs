//! Store and forward: signed messages wait in the caller's memory until enough members have receipted them. Bounded,
//! without allocation, and adopted again after a restart where the memory outlives one (FRAM, battery-backed RAM).
//! Sending is the caller's; receipts are read in `receipt.rs`.
//!
//! Layout: two slots of the head, then per message `class u8 ‖ length u16be ‖ id (32) ‖ members u128be ‖ bytes`, oldest
//! first. A slot is `generation u32be ‖ used u32be ‖ to u32be ‖ from u32be ‖ check (4)`, check = the start of SHA-256 over
//! the rest. It never leaves the device.
//!
//! Power may go at any byte. A head is written to the older slot and holds once its check fits, so each change happens
//! whole or not at all: a message exists when the head counts it, and is gone when the head says that the bytes from
//! `from` on belong at `to`. They are then moved by as much as the gap is wide at a time, the head following, so that
//! whatever was cut off can be done again.

use crate::{
    CheckReceipt, Class, DecodeError, EvidenceId, MAX_MESSAGE, Network, Receipts, Signed, decode, evidence_id,
    hash::sha256,
};

/// The bytes that a queue needs beside its messages.
pub const QUEUE_HEAD: usize = 2 * SLOT;
const SLOT: usize = 20;
/// The bytes that every message needs beside its own.
pub const QUEUE_RECORD_HEAD: usize = 1 + 2 + 32 + 16;
/// Members above this index cannot be counted.
const MEMBERS: u32 = 128;

/// Messages waiting for receipts, oldest first.
pub struct Queue<'s> {
    storage: &'s mut [u8],
    head: Head,
    /// Bytes that may still be written before the power goes.
    #[cfg(test)]
    power: usize,
}

/// Where the records end, and what is being moved: bytes from `from` on belong at `to`; equal when nothing is.
#[derive(Clone, Copy)]
struct Head {
    generation: u32,
    used: usize,
    to: usize,
    from: usize,
}

impl Head {
    const EMPTY: Self = Self { generation: 0, used: QUEUE_HEAD, to: 0, from: 0 };

    fn read(slot: &[u8]) -> Option<Self> {
        let (body, check) = slot.split_first_chunk::<16>()?;
        if !sha256(&[body]).starts_with(check) || check.len() != 4 {
            return None;
        }
        let [generation, used, to, from] = [0, 4, 8, 12].map(|at| {
            let word = body.get(at..).and_then(<[u8]>::first_chunk);
            word.map_or(0, |word| u32::from_be_bytes(*word))
        });
        let [used, to, from] = [used, to, from].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        Some(Self { generation, used, to, from })
    }

    fn write(&self) -> [u8; SLOT] {
        let mut out = [0; SLOT];
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let words = [self.generation, place(self.used), place(self.to), place(self.from)];
        for (slot, byte) in out.iter_mut().zip(words.into_iter().flat_map(u32::to_be_bytes)) {
            *slot = byte;
        }
        let check = out.first_chunk::<16>().map_or([0; 32], |body| sha256(&[body]));
        for (slot, byte) in out.iter_mut().skip(16).zip(check) {
            *slot = byte;
        }
        out
    }

    fn in_slot(storage: &[u8], number: u32) -> Option<Self> {
        let at = if number.is_multiple_of(2) { 0 } else { SLOT };
        storage.get(at..at + SLOT).and_then(Self::read).filter(|head| head.generation % 2 == number % 2)
    }

    /// The newer of the two that hold, if it makes sense in this memory.
    fn newest(storage: &[u8]) -> Option<Self> {
        let newest = match (Self::in_slot(storage, 0), Self::in_slot(storage, 1)) {
            // Generations wrap: the newer one is just ahead.
            (Some(a), Some(b)) if b.generation.wrapping_sub(a.generation) == 1 => Some(b),
            (Some(a), _) => Some(a),
            (None, b) => b,
        };
        newest.filter(|head| head.used <= storage.len() && head.to <= head.from && head.from <= head.used)
    }
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

/// Why receipts did not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The payload is no receipts.
    #[error("malformed receipts: {0}")]
    Malformed(#[from] DecodeError),
    /// The member it names did not sign it.
    #[error("receipts that member {0} did not sign")]
    Signature(u32),
}

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
        let mut queue = Self::over(storage);
        queue.commit(Head { used: QUEUE_HEAD, to: 0, from: 0, ..queue.head });
        queue
    }

    /// The queue that an earlier run left in this memory: what was cut off is finished first. Every message is then
    /// checked against its id; from the first that does not fit (the memory is new, or failed) the rest is dropped.
    #[must_use]
    pub fn resume(storage: &'s mut [u8], network: &Network) -> Self {
        let mut queue = Self::over(storage);
        queue.close_gap();
        let mut good = QUEUE_HEAD;
        while let Some((item, next)) = queue.at(good) {
            let whole = decode(item.bytes).is_ok_and(|env| evidence_id(item.class, network, &env) == item.id);
            if !whole {
                break;
            }
            good = next;
        }
        queue.commit(Head { used: good, to: 0, from: 0, ..queue.head });
        queue
    }

    /// The queue in this memory as it is, without looking at its messages: for callers that keep the memory but not the
    /// queue between two calls. After a restart use [`Queue::resume`].
    #[must_use]
    pub fn open(storage: &'s mut [u8]) -> Self {
        let mut queue = Self::over(storage);
        queue.close_gap();
        queue
    }

    fn over(storage: &'s mut [u8]) -> Self {
        let head = Head::newest(storage).unwrap_or(Head::EMPTY);
        Self {
            storage,
            head,
            #[cfg(test)]
            power: usize::MAX,
        }
    }

    /// Adds a message at the end.
    ///
    /// # Errors
    /// When it does not fit; nothing has changed.
    pub fn push(&mut self, signed: &Signed<'_>) -> Result<(), QueueFull> {
        let start = self.head.used;
        let end = start + QUEUE_RECORD_HEAD + signed.bytes.len();
        let len = u16::try_from(signed.bytes.len()).map_err(|_| QueueFull)?;
        if end > self.storage.len() || u32::try_from(end).is_err() {
            return Err(QueueFull);
        }
        let mut at = start;
        for part in [&[signed.class.as_u8()], &len.to_be_bytes()[..], &signed.id, &[0; 16], signed.bytes] {
            self.put(at, part);
            at += part.len();
        }
        // Last, so that a message cut off by a power failure does not exist.
        self.commit(Head { used: end, ..self.head });
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
            self.set_member(at, member);
            return Receipted::Waiting;
        }
        Receipted::Unknown
    }

    /// Takes a payload from the receipt topic: checks the member's signature, then notes every message in it. Returns how
    /// many messages left the queue.
    ///
    /// # Errors
    /// A payload that is malformed or that the member did not sign: nothing has changed.
    pub fn settle<C: CheckReceipt>(&mut self, payload: &[u8], check: &C, needed: u32) -> Result<u32, ReceiptError> {
        let receipts = Receipts::decode(payload)?;
        if !receipts.holds(check) {
            return Err(ReceiptError::Signature(receipts.member));
        }
        let done = receipts.ids().filter(|id| self.receipt(id, receipts.member, needed) == Receipted::Done).count();
        Ok(u32::try_from(done).unwrap_or(u32::MAX))
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
        self.storage.len().saturating_sub(self.head.used)
    }

    /// The record at `at` and where the next one starts.
    fn at(&self, at: usize) -> Option<(Queued<'_>, usize)> {
        let record = self.storage.get(at..self.head.used)?;
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

    /// Sets one bit: one byte is written, which is whole or not at all.
    fn set_member(&mut self, at: usize, member: u32) {
        let place = at + 35 + 15 - usize::try_from(member / 8).unwrap_or(15).min(15);
        let byte = self.storage.get(place).copied().unwrap_or(0);
        self.put(place, &[byte | (1 << (member % 8))]);
    }

    fn remove(&mut self, start: usize, end: usize) {
        // The moment at which the message is gone.
        self.commit(Head { to: start, from: end, ..self.head });
        self.close_gap();
    }

    /// Moves what `from` marks down to `to`, never over bytes that have not been moved yet.
    fn close_gap(&mut self) {
        while self.head.to < self.head.from {
            let Head { used, to, from, .. } = self.head;
            let step = (from - to).min(used - from);
            if step == 0 {
                self.commit(Head { used: to, to: 0, from: 0, ..self.head });
                return;
            }
            for offset in 0..step {
                let byte = self.storage.get(from + offset).copied().unwrap_or(0);
                self.put(to + offset, &[byte]);
            }
            self.commit(Head { to: to + step, from: from + step, ..self.head });
        }
    }

    /// Writes a head to the older slot: from now on it is the one.
    fn commit(&mut self, head: Head) {
        let head = Head { generation: self.head.generation.wrapping_add(1), ..head };
        self.put(if head.generation.is_multiple_of(2) { 0 } else { SLOT }, &head.write());
        self.head = head;
    }

    /// The only way in which the memory is written.
    fn put(&mut self, at: usize, bytes: &[u8]) {
        let room = self.storage.get_mut(at..).unwrap_or_default();
        for (slot, byte) in room.iter_mut().zip(bytes) {
            #[cfg(test)]
            {
                if self.power == 0 {
                    return;
                }
                self.power -= 1;
            }
            *slot = *byte;
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

#[cfg(all(test, feature = "soft-ed25519"))]
mod tests;
