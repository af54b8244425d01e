//! The books of an epoch: which leases are judged, what their challenges came to, what that is worth.
//! Leaves out: judging a challenge (`class`), the header over it all (`header`).

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::slots::Slots;
use super::{EpochInput, Verdict};
use crate::class::{self, Challenge, Class, Fault, Judgement, Penalty};
use crate::fixed::{BILLION, wilson_lower, wilson_upper};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::registry::LeaseRecord;
use crate::state::LeaseState;
use crate::term::Term;
use crate::{limits, merkle};

const VOID: u8 = 0;
const PASSED: u8 = 1;
const FAILED: u8 = 2;

/// Leases, challenges and verdicts of one epoch.
pub(super) struct Ledger {
    leases: BTreeMap<u64, LeaseState>,
    /// Leases judged in this epoch, by device.
    judged: BTreeMap<u64, BTreeSet<u64>>,
    challenges: BTreeMap<u8, Vec<Challenge>>,
    verdicts: Vec<Verdict>,
    evidence: BTreeMap<u64, BTreeSet<[u8; 32]>>,
}

/// What the ledger hands on.
pub(super) struct Closed {
    pub(super) leases: Vec<LeaseState>,
    pub(super) verdicts: Vec<Verdict>,
}

impl Ledger {
    /// Carries the stream's leases forward, counts their slots and draws their challenges.
    pub(super) fn open(input: &EpochInput<'_>, slots: &Slots) -> Self {
        let mut ledger = Self {
            leases: BTreeMap::new(),
            judged: BTreeMap::new(),
            challenges: BTreeMap::new(),
            verdicts: Vec::new(),
            evidence: BTreeMap::new(),
        };
        let previous: BTreeMap<u64, &LeaseState> =
            input.state.leases.iter().map(|lease| (lease.lease, lease)).collect();
        for (lease, record) in &input.snapshot.leases {
            let Some(class) = class_of(input, record) else { continue };
            let device = input.snapshot.devices.get(&record.device);
            let judged = device.is_some_and(|device| device.active && device.class == record.class);
            // Once counted, a lease keeps its leaf until the chain closes it, judged or not.
            let state = match previous.get(lease) {
                Some(state) => (*state).clone(),
                None if judged => opened(input.term, input.policy, *lease, record),
                None => continue,
            };
            if ledger.leases.len() >= limits::LEASES_PER_STREAM_MAX {
                break;
            }
            ledger.leases.insert(*lease, state);
            if judged {
                ledger.judged.entry(record.device).or_default().insert(*lease);
                ledger.draw(input, slots, class, *lease, record);
            }
        }
        ledger
    }

    /// Goes through the slots due for one lease.
    fn draw(&mut self, input: &EpochInput<'_>, slots: &Slots, class: &dyn Class, lease: u64, record: &LeaseRecord) {
        let Some(state) = self.leases.get_mut(&lease) else { return };
        let slot_seconds = input.term.slot_ms / 1_000;
        for slot in input.term.slots_due(input.epoch, class.lag_ms(input.policy)) {
            let Some(start) = within(input.term, record, slot) else { continue };
            state.through = state.through.max(record.end.min(start.saturating_add(slot_seconds)));
            let Some(seed) = slots.seeds.get(&slot) else {
                let median = slots.void.get(&slot).copied().unwrap_or(u32::MAX);
                let limit = i64::try_from(input.policy.void_bound_ms).unwrap_or(i64::MAX);
                let fault = Fault { reason: Reason::VoidSlot, measured: i64::from(median), limit };
                self.verdicts.push(verdict(lease, slot, VOID, Some(fault)));
                continue;
            };
            state.elapsed = state.elapsed.saturating_add(slot_seconds);
            if let Some(draw) = class.challenge(input.policy, seed, record.device, lease) {
                let challenge = Challenge { lease, device: record.device, slot, draw };
                self.challenges.entry(class.number()).or_default().push(challenge);
            }
        }
    }

    /// Challenges drawn, by class.
    pub(super) const fn challenges(&self) -> &BTreeMap<u8, Vec<Challenge>> {
        &self.challenges
    }

    /// Challenges drawn for one class.
    pub(super) fn challenges_of(&self, class: u8) -> Vec<Challenge> {
        self.challenges.get(&class).cloned().unwrap_or_default()
    }

    /// Books how a challenge ended.
    pub(super) fn record(&mut self, challenge: &Challenge, judgement: Judgement) {
        self.evidence.entry(challenge.lease).or_default().extend(judgement.evidence);
        self.book(challenge.lease, challenge.slot, judgement.fault);
    }

    /// Books a failed challenge more for each of the device's own leases in that slot.
    pub(super) fn penalise(&mut self, input: &EpochInput<'_>, penalty: &Penalty) {
        let leases = self.judged.get(&penalty.device).cloned().unwrap_or_default();
        for lease in leases {
            let record = input.snapshot.leases.get(&lease);
            if record.is_some_and(|record| within(input.term, record, penalty.slot).is_some()) {
                self.book(lease, penalty.slot, Some(penalty.fault));
            }
        }
    }

    fn book(&mut self, lease: u64, slot: u64, fault: Option<Fault>) {
        let Some(state) = self.leases.get_mut(&lease) else { return };
        state.challenged = state.challenged.saturating_add(1);
        match fault {
            None => state.passed = state.passed.saturating_add(1),
            Some(fault) => count_reason(&mut state.reasons, fault.reason.code()),
        }
        let outcome = if fault.is_none() { PASSED } else { FAILED };
        self.verdicts.push(verdict(lease, slot, outcome, fault));
    }

    /// Draws the bounds and chains the evidence.
    pub(super) fn close(mut self, input: &EpochInput<'_>) -> Closed {
        for (lease, state) in &mut self.leases {
            settle(state, input.policy);
            let ids = self.evidence.get(lease).into_iter().flatten();
            let leaves: Vec<[u8; 32]> = ids.map(|id| merkle::sha_leaf(id)).collect();
            if !leaves.is_empty() {
                let chained = Sha256::new_with_prefix([2])
                    .chain_update(*state.evidence_root)
                    .chain_update(merkle::sha_root(&leaves));
                state.evidence_root = <[u8; 32]>::from(chained.finalize()).into();
            }
        }
        self.verdicts.sort_by_key(|verdict| (verdict.lease, verdict.slot, verdict.reason, verdict.measured));
        Closed { leases: self.leases.into_values().collect(), verdicts: self.verdicts }
    }
}

fn verdict(lease: u64, slot: u64, outcome: u8, fault: Option<Fault>) -> Verdict {
    let fault = fault.map_or((0, 0, 0), |fault| (fault.reason.code(), fault.measured, fault.limit));
    Verdict { lease, slot, outcome, reason: fault.0, measured: fault.1, limit: fault.2 }
}

fn count_reason(reasons: &mut Vec<(u16, u64)>, code: u16) {
    match reasons.binary_search_by_key(&code, |(code, _)| *code) {
        Ok(place) => {
            if let Some((_, count)) = reasons.get_mut(place) {
                *count = count.saturating_add(1);
            }
        }
        Err(place) => reasons.insert(place, (code, 1)),
    }
}

/// The class of a lease that this stream proves.
fn class_of(input: &EpochInput<'_>, record: &LeaseRecord) -> Option<&'static dyn Class> {
    let ours = record.committee == input.term.scope.committee
        && record.stream == input.stream
        && record.policy_hash == input.term.policy_hash;
    if ours { class::by_number(record.class) } else { None }
}

/// The slot's start in seconds, if it falls within the lease. Slots are whole seconds, and so is genesis.
fn within(term: &Term, record: &LeaseRecord, slot: u64) -> Option<u64> {
    let start = term.slot_start(slot)? / 1_000;
    (record.start <= start && start < record.end).then_some(start)
}

/// The state of a lease that is judged for the first time.
fn opened(term: &Term, policy: &Policy, lease: u64, record: &LeaseRecord) -> LeaseState {
    LeaseState {
        lease,
        device: record.device,
        lessee: record.lessee.into_array().into(),
        start: record.start,
        end: record.end,
        class: record.class,
        target: target(term, policy, record),
        through: record.start,
        policy_hash: record.policy_hash.0.into(),
        ..LeaseState::default()
    }
}

/// T: the lower bound of a perfect device with half the challenges expected over the lease, billionths.
fn target(term: &Term, policy: &Policy, record: &LeaseRecord) -> u64 {
    let length_ms = u128::from(record.end.saturating_sub(record.start)) * 1_000;
    let slots = length_ms.checked_div(u128::from(term.slot_ms)).unwrap_or(0);
    let slots = slots.min(u128::from(u64::MAX));
    let expected = u64::try_from((u128::from(policy.challenge_p) * slots) >> 64).unwrap_or(u64::MAX);
    let half = (expected / 2).max(1);
    wilson_lower(half, half, policy.z_squared_millionths).max(1)
}

/// Good and bad seconds from the bounds over the whole lease; neither ever falls, and together they fit in `elapsed`.
fn settle(state: &mut LeaseState, policy: &Policy) {
    let z2 = policy.z_squared_millionths;
    let lower = wilson_lower(state.passed, state.challenged, z2);
    let upper = wilson_upper(state.passed, state.challenged, z2);
    let elapsed = u128::from(state.elapsed);
    // min(1, lower / T) · elapsed, in one division.
    let proven = u128::from(lower.min(state.target)) * elapsed / u128::from(state.target.max(1));
    let failed = u128::from(BILLION.saturating_sub(upper)) * elapsed / u128::from(BILLION);
    let [proven, failed] = [proven, failed].map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX));
    state.good = state.good.max(proven.min(state.elapsed.saturating_sub(state.bad)));
    state.bad = state.bad.max(failed.min(state.elapsed.saturating_sub(state.good)));
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn counters_never_fall_and_fit_in_the_time(steps in proptest::collection::vec((0u64..50, 0u64..50, 0u64..100), 1..60), target in 1u64..BILLION) {
            let policy = crate::report::tests::policy();
            let mut state = LeaseState { target, ..LeaseState::default() };
            for (passed, failed, seconds) in steps {
                let before = state.clone();
                state.passed += passed;
                state.challenged += passed + failed;
                state.elapsed += seconds;
                settle(&mut state, &policy);
                proptest::prop_assert!(state.good >= before.good && state.bad >= before.bad);
                proptest::prop_assert!(state.good + state.bad <= state.elapsed);
            }
        }
    }

    #[test]
    fn reasons_stay_ascending() {
        let mut reasons = vec![];
        for code in [12, 10, 31, 10, 12, 10] {
            count_reason(&mut reasons, code);
        }
        assert_eq!(reasons, [(10, 3), (12, 2), (31, 1)]);
    }
}
