//! How far this member's clock is from the others', from what every member does by its own clock: releasing a beacon
//! partial at each slot's start.
//!
//! A partial that comes x ms after the slot's start by the own clock says: own clock − author's clock + travel = x. One
//! liar can say anything, so the median of the members counts; travel makes it a little too large, never too small.
//! What a wrong clock costs: partials released early give the beacon away, late ones do not help to recover it, answers
//! are judged late or early, so that this member's observations are outvoted. It signs nothing wrong.
//! Leaves out: the clock itself, and what is done about it (the node warns; nobody's clock is set).

use std::collections::BTreeMap;

use crate::term::Term;

/// Slots after which a member's last partial says nothing about now.
const RECENT_SLOTS: u64 = 8;

/// One member's last partial: its slot, and how long after the slot's start it came, ms by the own clock.
type Sample = (u64, i64);

/// What the offset means under a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// Within the limit, or too few members were heard.
    Fine,
    /// The own clock is later than the others', by this many ms or a little less (their messages travel).
    Ahead(i64),
    /// The own clock is earlier than the others', by at least this many ms.
    Behind(i64),
}

/// The last partials of the other members.
#[derive(Clone, Debug)]
pub struct Clocks {
    me: u32,
    /// Members of which at least one must be honest: f+1.
    least: usize,
    samples: BTreeMap<u32, Sample>,
}

impl Clocks {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(term: &Term, me: u32) -> Self {
        let least = usize::try_from(term.f()).unwrap_or(usize::MAX).saturating_add(1);
        Self { me, least, samples: BTreeMap::new() }
    }

    /// A member's partial came at `now` (unix ms), from its author's own hands: `from` is the authenticated author of the
    /// message. Repetitions, and what is said in another's name, count for nothing.
    pub fn hear(&mut self, term: &Term, from: u32, member: u32, slot: u64, now: u64) {
        let known = from == member && member != self.me && member < term.n();
        let Some(start) = term.slot_start(slot).filter(|_| known) else { return };
        let near = term.slot_at(now.saturating_add(term.slot_ms.saturating_mul(RECENT_SLOTS)));
        // A slot far ahead is a lie; it would stand in the way of every later one.
        if near.is_none_or(|near| slot > near) || self.samples.get(&member).is_some_and(|(last, _)| slot <= *last) {
            return;
        }
        let late = i64::try_from(i128::from(now) - i128::from(start)).unwrap_or(i64::MAX);
        self.samples.insert(member, (slot, late));
    }

    /// Median over the members heard lately, ms: positive = the own clock is ahead. `None` with fewer than f+1 of them.
    #[must_use]
    pub fn offset_ms(&self, term: &Term, now: u64) -> Option<i64> {
        let recent = term.slot_at(now).map_or(0, |slot| slot.saturating_sub(RECENT_SLOTS));
        let mut offsets: Vec<i64> =
            self.samples.values().filter(|(slot, _)| *slot >= recent).map(|(_, late)| *late).collect();
        if offsets.len() < self.least.max(2) {
            return None;
        }
        offsets.sort_unstable();
        offsets.get(offsets.len().saturating_sub(1) / 2).copied()
    }
}

/// Judges an offset by the limit, ms.
#[must_use]
pub fn judge(offset_ms: Option<i64>, limit_ms: u64) -> Skew {
    let limit = i64::try_from(limit_ms).unwrap_or(i64::MAX);
    match offset_ms {
        Some(offset) if offset > limit => Skew::Ahead(offset),
        Some(offset) if offset < limit.saturating_neg() => Skew::Behind(offset.saturating_neg()),
        _ => Skew::Fine,
    }
}

/// By how much a block's time (unix seconds) is later than the own clock (unix ms) allows, in ms; 0 when it is not. Blocks
/// carry whole seconds of their making, so that only the future says something.
#[must_use]
pub const fn block_ahead_ms(block_seconds: u64, now: u64) -> u64 {
    block_seconds.saturating_mul(1_000).saturating_sub(now)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};

    use super::*;
    use crate::term::Member;
    use crate::typed::Scope;

    const GENESIS: u64 = 1_000_000;

    fn term(n: usize) -> Term {
        let scope = Scope { chain_id: 1, registry: Address::ZERO, committee: 1, term: 1, config_digest: B256::ZERO };
        let member = Member { address: Address::ZERO, peer_key: [0; 32], dkg_key: [0; 32] };
        let (members, book_root) = (vec![member; n], B256::ZERO);
        Term { scope, members, book_root, epoch_ms: 15_000, slot_ms: 1_000, genesis_ms: Some(GENESIS) }
    }

    /// What member 0 of 4 hears of slot 20 when its own clock is off, and the others' partials travel 30 ms.
    fn heard(own_error_ms: i64, others: [i64; 3]) -> (Option<i64>, Skew) {
        let term = term(4);
        let mut clocks = Clocks::new(&term, 0);
        let by_own_clock = |real: u64| real.checked_add_signed(own_error_ms).expect("time");
        let start = GENESIS + 20_000;
        for (member, error) in (1u32..).zip(others) {
            let sent = start.checked_add_signed(-error).expect("time");
            clocks.hear(&term, member, member, 20, by_own_clock(sent + 30));
        }
        let offset = clocks.offset_ms(&term, by_own_clock(start + 100));
        (offset, judge(offset, 500))
    }

    #[test]
    fn a_wrong_clock_is_noticed_in_both_directions() {
        assert_eq!(heard(0, [0; 3]), (Some(30), Skew::Fine));
        assert_eq!(heard(800, [0; 3]), (Some(830), Skew::Ahead(830)));
        assert_eq!(heard(-800, [0; 3]), (Some(-770), Skew::Behind(770)));
        assert_eq!(heard(-500, [0; 3]).1, Skew::Fine);
    }

    #[test]
    fn one_member_with_a_wrong_clock_does_not_alarm_the_others() {
        for lie in [-5_000, -600, 600, 5_000] {
            assert_eq!(heard(0, [lie, 0, 0]), (Some(30), Skew::Fine), "{lie}");
        }
    }

    #[test]
    fn only_the_author_speaks_for_its_clock_and_only_once_a_slot() {
        let term = term(4);
        let now = GENESIS + 20_030;
        let mut clocks = Clocks::new(&term, 0);
        clocks.hear(&term, 3, 1, 20, now);
        clocks.hear(&term, 0, 0, 20, now);
        clocks.hear(&term, 9, 9, 20, now);
        clocks.hear(&term, 1, 1, u64::MAX, now);
        clocks.hear(&term, 1, 1, 5_000, now);
        assert_eq!(clocks.offset_ms(&term, now), None);
        clocks.hear(&term, 1, 1, 20, now);
        assert_eq!(clocks.offset_ms(&term, now), None, "one member is not enough");
        clocks.hear(&term, 2, 2, 20, now + 10);
        // A repetition, as after a lost message.
        clocks.hear(&term, 1, 1, 20, now + 900);
        clocks.hear(&term, 2, 2, 19, now + 900);
        assert_eq!(clocks.offset_ms(&term, now), Some(30), "the smaller of two");
        assert_eq!(clocks.offset_ms(&term, now + 20_000), None, "old news");
    }

    #[test]
    fn a_block_from_the_future_shows_a_clock_that_is_behind() {
        assert_eq!(block_ahead_ms(1_700_000_002, 1_700_000_001_200), 800);
        assert_eq!(block_ahead_ms(1_700_000_001, 1_700_000_001_200), 0);
    }
}
