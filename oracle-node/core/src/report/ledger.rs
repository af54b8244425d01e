//! The books of an epoch: which leases are judged and by which policy, what their challenges and windows came to, what that
//! is worth. A lease has an entry under its own policy, and one more under each policy that shadows it: judged alike, kept
//! apart, never paid. Leaves out: the judging (`judging`, `class`), the header over it all (`header`).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use sha2::{Digest, Sha256};

use super::slots::Slots;
use super::{EpochInput, Verdict};
use crate::class::{Account, Challenge, Fault, Finding, InForce, settled_ms};
use crate::policy::Policy;
use crate::reason::Reason;
use crate::registry::LeaseRecord;
use crate::state::LeaseState;
use crate::term::Term;
use crate::{limits, merkle};

const VOID: u8 = 0;
const PASSED: u8 = 1;
const FAILED: u8 = 2;

/// The policy under which an entry is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Under<'a> {
    pub(super) hash: B256,
    pub(super) policy: &'a Policy,
    pub(super) class: &'a InForce,
}

/// One lease under one policy.
pub(super) struct Entry<'a> {
    pub(super) state: LeaseState,
    pub(super) record: &'a LeaseRecord,
    /// `None` when it is not judged in this epoch: its policy has left the book.
    pub(super) under: Option<Under<'a>>,
    pub(super) challenges: Vec<Challenge>,
    pub(super) findings: Vec<Finding>,
    /// Seconds of the lease that could be judged in this epoch.
    seconds: u64,
    voids: Vec<(u64, Fault)>,
}

/// Entries by lease; `None` is the lease's own policy, a hash that of a shadow.
pub(super) struct Ledger<'a> {
    pub(super) entries: BTreeMap<(u64, Option<B256>), Entry<'a>>,
}

/// What the ledger hands on.
pub(super) struct Closed {
    pub(super) leases: Vec<LeaseState>,
    pub(super) shadows: Vec<LeaseState>,
    pub(super) verdicts: Vec<Verdict>,
}

impl<'a> Ledger<'a> {
    /// Carries the stream's leases forward, counts their time and draws their challenges.
    pub(super) fn open(input: &EpochInput<'a>, slots: &Slots) -> Self {
        let mut entries = BTreeMap::new();
        let paid: BTreeMap<u64, &LeaseState> = input.state.leases.iter().map(|one| (one.lease, one)).collect();
        let shadows = input.state.shadows.iter().map(|one| ((one.lease, B256::from(*one.policy_hash)), one));
        let shadows: BTreeMap<(u64, B256), &LeaseState> = shadows.collect();
        let ours =
            |record: &LeaseRecord| record.committee == input.term.scope.committee && record.stream == input.stream;
        let mut leases = 0usize;
        for (lease, record) in input.snapshot.leases.iter().filter(|(_, record)| ours(record)) {
            let known = paid.get(lease).copied();
            // Once counted, a lease keeps its leaf until the chain closes it, judged or not.
            let Some(entry) = Entry::open(input, slots, *lease, record, record.policy_hash, known) else { continue };
            if leases >= limits::LEASES_PER_STREAM_MAX {
                break;
            }
            leases = leases.saturating_add(1);
            entries.insert((*lease, None), entry);
            for (hash, _) in input.book.shadows(record.policy_hash) {
                let known = shadows.get(&(*lease, *hash)).copied();
                let entry = Entry::open(input, slots, *lease, record, *hash, known);
                entries.extend(entry.map(|entry| ((*lease, Some(*hash)), entry)));
            }
        }
        Self { entries }
    }

    /// Challenges drawn for leases of a class, whatever their policy.
    pub(super) fn challenges(&self, class: u8) -> impl Iterator<Item = &Challenge> {
        self.entries.values().filter(move |entry| entry.record.class == class).flat_map(|entry| &entry.challenges)
    }

    /// Scores every lease and chains the evidence.
    pub(super) fn close(self) -> Closed {
        let mut closed = Closed { leases: Vec::new(), shadows: Vec::new(), verdicts: Vec::new() };
        for ((_, shadow), mut entry) in self.entries {
            entry.score();
            if shadow.is_some() {
                closed.shadows.push(entry.state);
            } else {
                closed.verdicts.extend(entry.verdicts());
                closed.leases.push(entry.state);
            }
        }
        closed.verdicts.sort_by_key(|verdict| (verdict.lease, verdict.at, verdict.reason, verdict.measured));
        closed
    }
}

impl<'a> Entry<'a> {
    /// `None` for a lease that was never counted and cannot be judged.
    fn open(
        input: &EpochInput<'a>,
        slots: &Slots,
        lease: u64,
        record: &'a LeaseRecord,
        hash: B256,
        known: Option<&LeaseState>,
    ) -> Option<Self> {
        let policy =
            input.book.policy(&hash).filter(|policy| (hash != record.policy_hash) == policy.shadow_of.is_some());
        let class = policy.and_then(|policy| policy.classes.get(&record.class));
        let device = input.snapshot.devices.get(&record.device).filter(|device| device.class == record.class);
        let under = policy.zip(class).map(|(policy, class)| Under { hash, policy, class }).filter(|_| device.is_some());
        let state = known.cloned().or_else(|| Some(opened(input.term, lease, record, &under?)))?;
        let state = LeaseState { start: record.start, end: record.end, ..state };
        let mut entry = Self { state, record, under, challenges: vec![], findings: vec![], seconds: 0, voids: vec![] };
        match under.map(|under| under.class.lag_ms(input.book.conduct.gossip_allowance_ms)) {
            Some(Some(lag)) => entry.draw(input, slots, lag),
            Some(None) => entry.elapse(input),
            None => entry.voids.push((input.term.first_slot_of(input.epoch), Fault::plain(Reason::POLICY_NOT_IN_BOOK))),
        }
        Some(entry)
    }

    /// Goes through the slots due.
    fn draw(&mut self, input: &EpochInput<'_>, slots: &Slots, lag_ms: u64) {
        let Some(under) = self.under else { return };
        let (record, slot_seconds) = (self.record, input.term.slot_ms / 1_000);
        for slot in input.term.slots_due(input.epoch, lag_ms) {
            let Some(start) = within(input.term, record, slot) else { continue };
            self.state.through = self.state.through.max(record.end.min(start.saturating_add(slot_seconds)));
            let Some(seed) = slots.seeds.get(&slot) else {
                let median = slots.void.get(&slot).copied().unwrap_or(u32::MAX);
                let limit = i64::try_from(input.book.conduct.void_bound_ms).unwrap_or(i64::MAX);
                self.voids.push((slot, Fault { reason: Reason::VOID_SLOT, measured: i64::from(median), limit }));
                continue;
            };
            self.seconds = self.seconds.saturating_add(slot_seconds);
            if let Some(draw) = under.class.rules.draw(seed, record.device, self.state.lease) {
                self.challenges.push(Challenge { lease: self.state.lease, device: record.device, slot, draw });
            }
        }
    }

    /// Without challenges, the lease's time that the epoch settles is judged.
    fn elapse(&mut self, input: &EpochInput<'_>) {
        let Some(under) = self.under else { return };
        let (behind, gossip) = (under.class.rules.behind_ms(), input.book.conduct.gossip_allowance_ms);
        let end = input.term.epoch_start(input.epoch.saturating_add(1));
        let end = end.map_or(0, |ms| settled_ms(ms, behind, gossip) / 1_000);
        let through = self.state.through.max(end.min(self.record.end));
        self.seconds = through.saturating_sub(self.state.through);
        self.state.through = through;
    }

    /// What the findings come to. Nothing ever falls, whatever the class says.
    fn score(&mut self) {
        let Some(under) = &self.under else { return };
        self.findings.sort_by(|one, other| (one.at, &one.evidence).cmp(&(other.at, &other.evidence)));
        let state = &mut self.state;
        let mut account = Account {
            fold: state.fold.to_vec(),
            units: state.units(),
            good: state.good,
            bad: state.bad,
            credit: state.credit,
        };
        under.class.rules.score(self.seconds, &self.findings, &mut account);
        state.units = state.units().max(account.units).to_be_bytes().into();
        state.good = state.good.max(account.good);
        state.bad = state.bad.max(account.bad);
        state.credit = state.credit.max(account.credit);
        // A class keeps to the bound; were it not to, what stood before stands.
        if account.fold.len() <= limits::FOLD_BYTES_MAX {
            state.fold = account.fold.into();
        }
        self.findings
            .iter()
            .filter_map(|one| one.result.err())
            .for_each(|fault| count(&mut state.reasons, fault.reason));
        let ids: BTreeSet<[u8; 32]> = self.findings.iter().flat_map(|one| one.evidence.iter().copied()).collect();
        let leaves: Vec<[u8; 32]> = ids.iter().map(|id| merkle::sha_leaf(id)).collect();
        if !leaves.is_empty() {
            let chained =
                Sha256::new_with_prefix([2]).chain_update(*state.evidence_root).chain_update(merkle::sha_root(&leaves));
            state.evidence_root = <[u8; 32]>::from(chained.finalize()).into();
        }
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let lease = self.state.lease;
        let verdict = |at: u64, outcome: u8, units: u64, fault: Option<Fault>| {
            let (reason, measured, limit) = fault.map_or((0, 0, 0), |why| (why.reason.code(), why.measured, why.limit));
            Verdict { lease, at, outcome, reason, units, measured, limit }
        };
        let voids = self.voids.iter().map(|(at, fault)| verdict(*at, VOID, 0, Some(*fault)));
        let findings = self.findings.iter().map(|one| match one.result {
            Ok(proof) => verdict(one.at, PASSED, proof.units, None),
            Err(fault) => verdict(one.at, FAILED, 0, Some(fault)),
        });
        voids.chain(findings).collect()
    }
}

fn count(reasons: &mut Vec<(u16, u64)>, reason: Reason) {
    let code = reason.code();
    match reasons.binary_search_by_key(&code, |(code, _)| *code) {
        Ok(place) => {
            if let Some((_, count)) = reasons.get_mut(place) {
                *count = count.saturating_add(1);
            }
        }
        Err(place) => reasons.insert(place, (code, 1)),
    }
}

/// The slot's start in seconds, if it falls within the lease. Slots are whole seconds, and so is genesis.
pub(super) fn within(term: &Term, record: &LeaseRecord, slot: u64) -> Option<u64> {
    let start = term.slot_start(slot)? / 1_000;
    (record.start <= start && start < record.end).then_some(start)
}

/// The state of a lease that is judged for the first time.
fn opened(term: &Term, lease: u64, record: &LeaseRecord, under: &Under<'_>) -> LeaseState {
    LeaseState {
        lease,
        escrow: record.escrow.into_array().into(),
        device: record.device,
        lessee: record.lessee.into_array().into(),
        start: record.start,
        end: record.end,
        class: record.class,
        through: record.start,
        policy_hash: under.hash.0.into(),
        fold: under.class.rules.open(term, record).into(),
        ..LeaseState::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stay_ascending() {
        let mut reasons = vec![];
        for reason in [Reason::FORK, Reason::NO_ANSWER, Reason::WRONG_LOCATION, Reason::NO_ANSWER, Reason::FORK] {
            count(&mut reasons, reason);
        }
        assert_eq!(reasons, [(10, 2), (12, 2), (25, 1)]);
    }
}
