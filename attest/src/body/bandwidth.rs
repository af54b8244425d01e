//! Bandwidth: what arrived from each challenger in a measured span, and by digest which packets did not, so that whoever
//! knows a challenger's tags can compute its tally again. Who must be left out of the sum is the appraisal's.
//!
//! A challenger numbers its packets from 0, each with a tag of 16 bytes. The loss bitmap of a tally: bit `n mod 8`, from
//! the least significant, of byte `⌊n / 8⌋` is 1 when packet n did not arrive although a later one did; the bitmap ends with
//! its last byte that is not zero, and is empty when no such packet is missing. Packets after the last that arrived are
//! in no bitmap: the challenger knows how many it sent. One set of packets thus has one bitmap.

use crate::{
    List,
    field::tuple,
    hash::{Hash, sha256},
    list::{Row, row},
};

tuple! {
    /// What arrived from one challenger.
    pub struct Tally {
        /// The challenging member's index.
        pub member: u32,
        /// Bytes of payload.
        pub bytes: u64,
        /// Packets, each number counted once.
        pub packets: u32,
        /// [`tags_digest`] of the packets that arrived, in the order of their numbers.
        pub tags: [u8; 16],
        /// [`losses_digest`] of the loss bitmap.
        pub losses: [u8; 16],
    }
    check |_| true
}

impl row::Codec for Tally {
    const MAX: usize = 16;

    fn precedes(&self, next: &Self) -> bool {
        self.member < next.member
    }
}
impl Row for Tally {}

/// Tallies of a report, at most 16, strictly ascending by member. Sixteen fit into a message while members are below 256.
pub type Tallies<'a> = List<'a, Tally>;

tuple! {
    /// A report.
    pub struct BandwidthBody<'a> {
        /// The challenged lease.
        pub lease: u64,
        /// The slot of the draw.
        pub slot: u64,
        /// The length of the span that was measured, in microseconds, at least 1.
        pub span_us: u64,
        /// What arrived.
        pub tallies: Tallies<'a>,
    }
    check |body| body.span_us >= 1
}

impl Tally {
    /// Whether the tally speaks of exactly the packets that this bitmap leaves, with these tags by number. The bytes are
    /// not looked at: their length per packet is the class's.
    #[must_use]
    pub fn holds<F: FnMut(u32) -> [u8; 16]>(&self, losses: &[u8], tag: F) -> bool {
        self.losses == losses_digest(losses)
            && arrived(losses, self.packets).is_some_and(|numbers| self.tags == tags_digest(numbers.map(tag)))
    }
}

/// The first 16 bytes of SHA-256 over the tags, one after the other.
#[must_use]
pub fn tags_digest<I: IntoIterator<Item = [u8; 16]>>(tags: I) -> [u8; 16] {
    let mut hash = Hash::new();
    for tag in tags {
        hash.update(&tag);
    }
    first_half(&hash.finish())
}

/// The first 16 bytes of SHA-256 over a loss bitmap; of the empty one, too.
#[must_use]
pub fn losses_digest(losses: &[u8]) -> [u8; 16] {
    first_half(&sha256(&[losses]))
}

fn first_half(hash: &[u8; 32]) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}

/// The numbers of `packets` packets of which these are missing in between, ascending; `None` when the bitmap is not the
/// one that such packets have.
#[must_use]
pub fn arrived(losses: &[u8], packets: u32) -> Option<Arrived<'_>> {
    let missing = losses.iter().try_fold(0u32, |sum, byte| sum.checked_add(byte.count_ones()))?;
    let end = packets.checked_add(missing)?;
    let numbers = Arrived { losses, next: 0, end };
    let Some(last) = losses.last() else { return Some(numbers) };
    // The highest number missing lies below the highest that arrived, which is end - 1.
    let highest = u32::try_from(losses.len()).ok()?.checked_mul(8)?.checked_sub(1 + last.leading_zeros() % 8)?;
    (*last != 0 && highest.checked_add(1)? < end).then_some(numbers)
}

/// The numbers of the packets that arrived.
#[derive(Clone, Debug)]
pub struct Arrived<'a> {
    losses: &'a [u8],
    next: u32,
    end: u32,
}

impl Iterator for Arrived<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        while self.next < self.end {
            let number = self.next;
            self.next += 1;
            let byte = usize::try_from(number / 8).ok().and_then(|at| self.losses.get(at)).copied().unwrap_or(0);
            if byte >> (number % 8) & 1 == 0 {
                return Some(number);
            }
        }
        None
    }
}
