//! How often one asker is answered. An answer is a broadcast, and every member answers: without a limit one small message of
//! a liar would cost the committee n large ones, and the answers would crowd out what honest members have to say.
//! Leaves out: what is answered, and the pause between two answers about one thing.

use std::collections::BTreeMap;

/// Answers to one asker in a burst; one about a decided epoch is two broadcasts.
const BURST: u64 = 16;
/// Time after which one more may be given, ms.
const EACH_MS: u64 = 125;

/// The budget of every asker; askers are members, so there are few.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// By asker, until when its budget is used up if it is answered every [`EACH_MS`].
    spent_until: BTreeMap<u32, u64>,
}

impl Answers {
    /// Whether `asker` may be answered at `now` (unix ms); counts as an answer.
    pub(crate) fn may_answer(&mut self, now: u64, asker: u32) -> bool {
        let spent = self.spent_until.entry(asker).or_default();
        let next = now.max(*spent).saturating_add(EACH_MS);
        let within = next.saturating_sub(now) <= BURST * EACH_MS;
        if within {
            *spent = next;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_trickle_and_nobody_pays_for_another() {
        let mut answers = Answers::default();
        assert_eq!((0..1_000).filter(|_| answers.may_answer(5_000, 3)).count() as u64, BURST);
        assert!(answers.may_answer(5_000, 1));
        let later = 5_000 + 3 * EACH_MS;
        assert_eq!((0..1_000).filter(|_| answers.may_answer(later, 3)).count(), 3);
    }
}
