//! Sequence numbers: each message counts once, over epochs too, and a message that comes after too many gaps does not count.
//! A gap is held against the messages after it and never against those before it: so a message more never lowers what
//! others count, and one that is dropped never raises it. Per boot a window of 128 numbers is remembered, as in anti-replay windows (RFC 4303 §3.4.3).
//! Leaves out: forks, two messages of one number, which `report` finds among the evidence.

use minicbor::{Decode, Encode};

use super::reading::Number;

/// Boots that are remembered: the running one, and the one before it for messages still on their way.
pub(super) const BOOTS_MAX: usize = 2;
/// Numbers below the next expected one of which it is known whether they came.
const REMEMBERED: u64 = 128;
/// Numbers, a message's own the last of them, of which a share must have been seen for the message to count.
const LOOKED_BACK: u64 = 64;

/// What is remembered of one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct BootSeen {
    /// Boot count.
    #[n(0)]
    pub(super) boot: u64,
    /// One above the highest number seen.
    #[n(1)]
    pub(super) next: u64,
    /// Which of the 64 numbers below `next` were seen: bit 0 is `next − 1`.
    #[n(2)]
    pub(super) near: u64,
    /// The same of the 64 numbers below those.
    #[n(3)]
    pub(super) far: u64,
    /// First number that is due: 0, but of the first boot that was ever heard its first number heard.
    #[n(4)]
    pub(super) base: u64,
}

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Seen for the first time; how many of the 64 numbers up to it were seen, basis points.
    New(u32),
    /// Seen before, or too far behind to tell; the next number expected of its boot.
    Replayed(u64),
}

/// Messages seen and missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Numbers seen for the first time.
    pub(super) seen: u64,
    /// Numbers passed over.
    pub(super) missing: u64,
    /// Numbers that came after all, having been counted as missing in an earlier epoch.
    pub(super) recovered: u64,
}

impl Counts {
    /// Seen of those due, basis points; all when nothing was due. For people: nothing is judged by it.
    #[cfg(test)]
    pub(super) fn complete_bp(&self) -> u32 {
        share_bp(self.seen.into(), u128::from(self.seen).saturating_add(self.missing.into()))
    }
}

fn share_bp(of: u128, all: u128) -> u32 {
    let share = of.saturating_mul(10_000).checked_div(all).unwrap_or(10_000);
    u32::try_from(share).unwrap_or(10_000)
}

/// The numbers of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sequence {
    boots: Vec<BootSeen>,
    /// Counts since it was made.
    pub(super) counts: Counts,
}

impl Sequence {
    /// Goes on from what an earlier epoch remembered, ascending by boot.
    #[must_use]
    pub(super) fn resume(boots: &[BootSeen]) -> Self {
        Self { boots: boots.to_vec(), counts: Counts::default() }
    }

    /// What the next epoch must remember: the last [`BOOTS_MAX`] boots, ascending.
    #[must_use]
    pub(super) fn remember(&self) -> Vec<BootSeen> {
        let first = self.boots.len().saturating_sub(BOOTS_MAX);
        self.boots.iter().skip(first).copied().collect()
    }

    /// Takes the next number. Numbers must come ascending, each once. The largest `u64` is no number: there is no next one.
    pub(super) fn take(&mut self, number: Number) -> Turn {
        if number.seq == u64::MAX {
            return Turn::Replayed(u64::MAX);
        }
        match self.boots.binary_search_by_key(&number.boot, |seen| seen.boot) {
            Ok(place) => match self.boots.get_mut(place) {
                Some(seen) => advance(seen, &mut self.counts, number.seq),
                None => Turn::Replayed(0),
            },
            // Older than all that is remembered: nobody can tell whether it counted.
            Err(0) if !self.boots.is_empty() => Turn::Replayed(0),
            Err(place) => {
                // The first message that is ever heard may come from the middle of a boot; a later boot starts at 0.
                let next = if self.boots.is_empty() { number.seq } else { 0 };
                let mut seen = BootSeen { boot: number.boot, next, near: 0, far: 0, base: next };
                let turn = advance(&mut seen, &mut self.counts, number.seq);
                self.boots.insert(place, seen);
                turn
            }
        }
    }
}

fn advance(seen: &mut BootSeen, counts: &mut Counts, seq: u64) -> Turn {
    let known = (u128::from(seen.far) << 64) | u128::from(seen.near);
    let (after, behind) = if let Some(gap) = seq.checked_sub(seen.next) {
        counts.missing = counts.missing.saturating_add(gap);
        let steps = u32::try_from(gap.saturating_add(1)).unwrap_or(u32::MAX);
        seen.next = seq.saturating_add(1);
        (known.checked_shl(steps).unwrap_or(0) | 1, 0)
    } else {
        let behind = seen.next.saturating_sub(1).saturating_sub(seq);
        let bit = u32::try_from(behind).ok().filter(|_| behind < REMEMBERED).and_then(|bit| 1u128.checked_shl(bit));
        let Some(bit) = bit.filter(|bit| known & bit == 0) else { return Turn::Replayed(seen.next) };
        counts.recovered = counts.recovered.saturating_add(1);
        (known | bit, behind)
    };
    counts.seen = counts.seen.saturating_add(1);
    let low = u128::from(u64::MAX);
    seen.near = u64::try_from(after & low).unwrap_or(0);
    seen.far = u64::try_from(after >> 64).unwrap_or(0);
    let up_to = after.checked_shr(u32::try_from(behind).unwrap_or(u32::MAX)).unwrap_or(0);
    Turn::New(heard_bp(up_to, seq.saturating_sub(seen.base), REMEMBERED.saturating_sub(behind)))
}

/// How many of the last numbers were seen: bit 0 is the message's own; so many lie before it, and so many are remembered.
fn heard_bp(up_to: u128, before: u64, remembered: u64) -> u32 {
    let due = LOOKED_BACK.min(before.saturating_add(1)).min(remembered);
    let mask = u32::try_from(due).ok().and_then(|due| 1u128.checked_shl(due)).map_or(0, |bit| bit.saturating_sub(1));
    share_bp((up_to & mask).count_ones().into(), due.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(sequence: &mut Sequence, boot: u64, seqs: &[u64]) -> Vec<bool> {
        seqs.iter().map(|seq| matches!(sequence.take(Number { boot, seq: *seq }), Turn::New(_))).collect()
    }

    #[test]
    fn gaps_are_missing_until_they_arrive() {
        let mut first = Sequence::default();
        take(&mut first, 1, &[5, 6, 9]);
        assert_eq!(first.counts, Counts { seen: 3, missing: 2, recovered: 0 });
        assert_eq!(first.counts.complete_bp(), 6_000);
        let mut second = Sequence::resume(&first.remember());
        assert_eq!(take(&mut second, 1, &[6, 7, 10]), [false, true, true]);
        assert_eq!(second.counts, Counts { seen: 2, missing: 0, recovered: 1 });
    }

    #[test]
    fn a_new_boot_begins_at_zero_and_old_boots_are_closed() {
        let mut first = Sequence::default();
        take(&mut first, 1, &[0]);
        take(&mut first, 2, &[2]);
        take(&mut first, 7, &[0]);
        assert_eq!(first.counts, Counts { seen: 3, missing: 2, recovered: 0 });
        assert_eq!(first.remember().len(), BOOTS_MAX);
        let mut second = Sequence::resume(&first.remember());
        assert_eq!(take(&mut second, 1, &[1]), [false]);
        assert_eq!(take(&mut second, 2, &[1]), [true]);
    }

    #[test]
    fn the_window_is_128_numbers_and_the_largest_is_none() {
        let mut sequence = Sequence::default();
        take(&mut sequence, 0, &[0, 200]);
        let mut later = Sequence::resume(&sequence.remember());
        assert_eq!(take(&mut later, 0, &[72, 73, 199, 200]), [false, true, true, false]);
        let mut highest = Sequence::resume(&later.remember());
        assert_eq!(take(&mut highest, 0, &[u64::MAX - 1, u64::MAX]), [true, false]);
        let mut again = Sequence::resume(&highest.remember());
        assert_eq!(take(&mut again, 0, &[u64::MAX - 1, u64::MAX]), [false, false]);
    }

    #[test]
    fn a_gap_is_held_against_those_after_it_until_it_is_far_behind() {
        let mut sequence = Sequence::default();
        let share = |sequence: &mut Sequence, seq| match sequence.take(Number { boot: 1, seq }) {
            Turn::New(heard_bp) => heard_bp,
            Turn::Replayed(_) => 0,
        };
        assert!((100..164).all(|seq| share(&mut sequence, seq) == 10_000));
        assert_eq!(share(&mut sequence, 196), 5_000);
        assert_eq!(share(&mut sequence, 180), 7_500);
        assert!((197..259).all(|seq| share(&mut sequence, seq) < 10_000));
        assert_eq!(share(&mut sequence, 259), 10_000);
        let mut rebooted = Sequence::default();
        assert_eq!(share(&mut rebooted, 7), 10_000);
        assert!(matches!(rebooted.take(Number { boot: 2, seq: 3 }), Turn::New(2_500)));
    }
}
