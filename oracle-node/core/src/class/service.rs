//! Proof by random challenges, shared by classes that are paid by the second: how often a device is challenged, and how many
//! seconds the passed and failed challenges prove, by confidence bounds over the whole lease. docs/protocol.md §9.
//! Leaves out: what a challenge asks and how an answer is judged (the classes).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Account, Finding};
use crate::fixed::{BILLION, wilson_lower, wilson_upper};
use crate::policy::{DURATION_MS_MAX, decimal};
use crate::registry::LeaseRecord;
use crate::term::Term;
use crate::wire;

/// The numbers of a challenged class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    /// D: time to answer a challenge, ms after the slot's start.
    pub(super) deadline_ms: u32,
    /// A challenge is drawn when the first 64 bits of the draw are below this: ⌊(1 − e^(−λ·slot)) · 2^64⌋, decimal text.
    #[serde(with = "decimal")]
    pub(super) challenge_p: u64,
    /// z² of the confidence bounds, in millionths (1.645² = 2,706,025).
    pub(super) z_squared_millionths: u64,
    /// Part of bad seconds credited to the lessee from the lessor's bond, basis points.
    pub(super) credit_bp: u32,
}

/// What is kept of a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Tally {
    /// T: target of the lower bound, in billionths.
    #[n(0)]
    pub(super) target: u64,
    /// Challenges that counted (not void).
    #[n(1)]
    pub(super) challenged: u64,
    /// Challenges passed.
    #[n(2)]
    pub(super) passed: u64,
    /// Non-void seconds so far.
    #[n(3)]
    pub(super) elapsed: u64,
}

/// What is kept of a lease, for people.
pub(super) fn kept(fold: &[u8]) -> Vec<(&'static str, u64)> {
    let tally: Tally = minicbor::decode(fold).unwrap_or_default();
    vec![
        ("challenged", tally.challenged),
        ("passed", tally.passed),
        ("elapsed_seconds", tally.elapsed),
        ("target_billionths", tally.target),
    ]
}

impl Service {
    /// Numbers with which nothing could be judged, or everything would pass.
    pub(super) fn check(&self) -> Result<(), String> {
        let least_one = [
            ("challenge_p", self.challenge_p),
            ("z_squared_millionths", self.z_squared_millionths),
            ("deadline_ms", self.deadline_ms.into()),
        ];
        if let Some((name, _)) = least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("service.{name} must be above 0"));
        }
        let most = [
            ("deadline_ms", u64::from(self.deadline_ms), DURATION_MS_MAX),
            ("credit_bp", self.credit_bp.into(), 10_000),
        ];
        if let Some((name, value, limit)) = most.iter().find(|(_, value, limit)| value > limit) {
            return Err(format!("service.{name} {value} is above {limit}"));
        }
        Ok(())
    }

    /// The draw of a device in a slot, if it falls below p.
    pub(super) fn draw(&self, seed: &[u8; 32], device: u64, lease: u64) -> Option<[u8; 32]> {
        let draw = attest::challenge::draw(seed, device, lease);
        attest::challenge::challenged(&draw, self.challenge_p).then_some(draw)
    }

    /// What is kept of a lease at its beginning: T, the lower bound of a perfect device with half the challenges expected.
    pub(super) fn open(&self, term: &Term, lease: &LeaseRecord) -> Vec<u8> {
        let length_ms = u128::from(lease.end.saturating_sub(lease.start)) * 1_000;
        let slots = length_ms.checked_div(u128::from(term.slot_ms)).unwrap_or(0).min(u128::from(u64::MAX));
        let expected = u64::try_from((u128::from(self.challenge_p) * slots) >> 64).unwrap_or(u64::MAX);
        let half = (expected / 2).max(1);
        let target = wilson_lower(half, half, self.z_squared_millionths).max(1);
        wire::encode(&Tally { target, ..Tally::default() })
    }

    /// Books an epoch: good and bad seconds from the bounds over the whole lease; neither ever falls, and together they fit
    /// in the seconds that could be judged. A unit is a good second.
    pub(super) fn score(&self, seconds: u64, findings: &[Finding], account: &mut Account) {
        let mut tally: Tally = minicbor::decode(&account.fold).unwrap_or_default();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        tally.challenged = tally.challenged.saturating_add(count(findings.len()));
        tally.passed = tally.passed.saturating_add(count(findings.iter().filter(|one| one.result.is_ok()).count()));
        tally.elapsed = tally.elapsed.saturating_add(seconds);
        self.settle(&tally, account);
        account.fold = wire::encode(&tally);
    }

    fn settle(&self, tally: &Tally, account: &mut Account) {
        let z2 = self.z_squared_millionths;
        let lower = wilson_lower(tally.passed, tally.challenged, z2);
        let upper = wilson_upper(tally.passed, tally.challenged, z2);
        let elapsed = u128::from(tally.elapsed);
        // min(1, lower / T) · elapsed, in one division.
        let proven = u128::from(lower.min(tally.target)) * elapsed / u128::from(tally.target.max(1));
        let failed = u128::from(BILLION.saturating_sub(upper)) * elapsed / u128::from(BILLION);
        let [proven, failed] = [proven, failed].map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX));
        account.good = account.good.max(proven.min(tally.elapsed.saturating_sub(account.bad)));
        account.bad = account.bad.max(failed.min(tally.elapsed.saturating_sub(account.good)));
        account.units = u128::from(account.good);
        let credit = u128::from(account.bad) * u128::from(self.credit_bp) / 10_000;
        account.credit = u64::try_from(credit).unwrap_or(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{Fault, Proof};
    use crate::reason::Reason;

    fn findings(passed: u64, failed: u64) -> Vec<Finding> {
        let one = |at, result| Finding { lease: 1, at, result, evidence: vec![] };
        let good = (0..passed).map(|at| one(at, Ok(Proof::default())));
        good.chain((0..failed).map(|at| one(at, Err(Fault::plain(Reason::NO_ANSWER))))).collect()
    }

    fn service() -> Service {
        Service {
            deadline_ms: 2_000,
            challenge_p: u64::MAX / 10 * 9,
            z_squared_millionths: 2_706_025,
            credit_bp: 5_000,
        }
    }

    fn opened(target: u64) -> Account {
        Account { fold: wire::encode(&Tally { target, ..Tally::default() }), ..Account::default() }
    }

    proptest::proptest! {
        #[test]
        fn counters_never_fall_and_fit_in_the_time(steps in proptest::collection::vec((0u64..50, 0u64..50, 0u64..100), 1..60), target in 1u64..BILLION) {
            let (mut account, mut elapsed) = (opened(target), 0);
            for (passed, failed, seconds) in steps {
                let before = account.clone();
                service().score(seconds, &findings(passed, failed), &mut account);
                elapsed += seconds;
                proptest::prop_assert!(account.good >= before.good && account.bad >= before.bad);
                proptest::prop_assert!(account.good + account.bad <= elapsed);
                proptest::prop_assert!(account.credit <= account.bad);
            }
        }

        #[test]
        fn a_valid_answer_more_never_lowers_the_score_and_a_dropped_one_never_raises_it(passed in 0u64..200, failed in 0u64..200, seconds in 0u64..10_000, target in 1u64..BILLION) {
            let score = |passed, failed| {
                let mut account = opened(target);
                service().score(seconds, &findings(passed, failed), &mut account);
                account
            };
            let (one, more, dropped) = (score(passed, failed), score(passed + 1, failed), score(passed.saturating_sub(1), failed + u64::from(passed > 0)));
            proptest::prop_assert!(more.good >= one.good && more.bad <= one.bad);
            proptest::prop_assert!(dropped.good <= one.good && dropped.bad >= one.bad);
        }

        #[test]
        fn the_order_of_findings_does_not_matter_nor_do_extremes(passed in 0u64..20, failed in 0u64..20, seconds: u64, target: u64, held: u64) {
            let mut tally = Tally { target, challenged: held, passed: held / 2, elapsed: held };
            tally.passed = tally.passed.min(tally.challenged);
            let start = Account { fold: wire::encode(&tally), good: held / 3, bad: held / 3, ..Account::default() };
            let (mut forward, mut backward) = (start.clone(), start);
            let mut all = findings(passed, failed);
            service().score(seconds, &all, &mut forward);
            all.reverse();
            service().score(seconds, &all, &mut backward);
            proptest::prop_assert_eq!(&forward, &backward);
            proptest::prop_assert!(u128::from(forward.good) + u128::from(forward.bad) <= u128::from(held) + u128::from(seconds));
        }
    }
}
