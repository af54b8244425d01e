//! Putting each class's case before it, once for each policy that leases are under, and booking what it finds.
//! Leaves out: what a class makes of a case (`class`), and what findings are worth (`ledger`).

use std::collections::BTreeMap;

use alloy_primitives::B256;

use super::ledger::{Entry, Ledger, Under, within};
use super::{EpochInput, Facts};
use crate::class::{Case, Challenge, Fault, Finding, Items, Judged, Measured, Penalty};
use crate::endorse;
use crate::reason::Reason;

/// Leases of one class under one policy, which is a shadow or their own.
type Group<'a> = (Option<B256>, Under<'a>);

/// Has every class judge its leases under every policy that they have.
pub(super) fn judge<'a>(input: &EpochInput<'a>, items: &Items<'_>, facts: &Facts, ledger: &mut Ledger<'a>) {
    let mut groups: BTreeMap<(Option<B256>, B256, u8), Group<'a>> = BTreeMap::new();
    for ((_, shadow), entry) in &ledger.entries {
        let Some(under) = entry.under else { continue };
        groups.entry((*shadow, under.hash, entry.record.class)).or_insert((*shadow, under));
    }
    // A lie about two leases is one act, whatever their policies; under a shadow it is that shadow's.
    let mut penalties: BTreeMap<(Option<B256>, u8, u64, u64), Penalty> = BTreeMap::new();
    for (shadow, under) in groups.into_values() {
        let class = under.class.class.number();
        for penalty in judge_group(input, items, facts, ledger, (shadow, under)) {
            penalties.entry((shadow, class, penalty.device, penalty.slot)).or_insert(penalty);
        }
    }
    for ((shadow, class, ..), penalty) in &penalties {
        penalise(input, ledger, *shadow, *class, penalty);
    }
}

fn judge_group<'a>(
    input: &EpochInput<'a>,
    items: &Items<'_>,
    facts: &Facts,
    ledger: &mut Ledger<'a>,
    (shadow, under): Group<'a>,
) -> Vec<Penalty> {
    let class = under.class.class.number();
    let is_member = |key: &(u64, Option<B256>), entry: &Entry<'_>| {
        key.1 == shadow && entry.under.is_some_and(|one| one.hash == under.hash) && entry.record.class == class
    };
    let members = || ledger.entries.iter().filter(|(key, entry)| is_member(key, entry));
    let barred: BTreeMap<u64, Fault> =
        members().filter_map(|((lease, _), entry)| Some((*lease, barred(input, facts, &under, entry)?))).collect();
    let (failed, challenges): (Vec<Challenge>, Vec<Challenge>) = members()
        .flat_map(|(_, entry)| entry.challenges.iter().copied())
        .partition(|one| barred.contains_key(&one.lease));
    let leases: Vec<Judged<'_>> = members()
        .map(|((lease, _), entry)| Judged {
            lease: *lease,
            record: entry.record,
            fold: &entry.state.fold,
            barred: barred.get(lease).copied(),
        })
        .collect();
    let (folds, measured) = (folds(facts, class), measured(input, &under, &leases));
    let case = Case {
        class,
        term: input.term,
        epoch: input.epoch,
        conduct: &input.book.conduct,
        policy: under.policy,
        faults: input.term.f(),
        devices: &input.snapshot.devices,
        facts,
        folds: &folds,
        items,
        challenges: &challenges,
        leases: &leases,
        measured: &measured,
    };
    let appraisal = under.class.rules.appraise(&case);
    let central = failed.iter().filter_map(|challenge| {
        let fault = *barred.get(&challenge.lease)?;
        Some(Finding { lease: challenge.lease, at: challenge.slot, result: Err(fault), evidence: vec![] })
    });
    let findings: Vec<Finding> = central.chain(appraisal.findings).collect();
    for finding in findings {
        if let Some(entry) = ledger.entries.get_mut(&(finding.lease, shadow)) {
            entry.findings.push(finding);
        }
    }
    for (lease, fold) in appraisal.folds {
        if let Some(entry) = ledger.entries.get_mut(&(lease, shadow)) {
            entry.state.fold = fold.into();
        }
    }
    appraisal.penalties
}

/// Why nothing that a lease's device says counts.
fn barred(input: &EpochInput<'_>, facts: &Facts, under: &Under<'_>, entry: &Entry<'_>) -> Option<Fault> {
    let (class, device) = (entry.record.class, entry.record.device);
    match input.snapshot.devices.get(&device) {
        Some(record) if record.active => {
            endorse::shortfall(under.policy, facts, &input.snapshot.devices, class, device)
        }
        Some(record) if !record.revoked => Some(Fault::plain(Reason::KEY_NOT_PROVEN)),
        _ => Some(Fault::plain(Reason::DEVICE_REVOKED)),
    }
}

/// What a class keeps of devices.
fn folds(facts: &Facts, class: u8) -> BTreeMap<u64, &[u8]> {
    let kept = facts.devices.iter().filter_map(|(device, state)| {
        let (_, fold) = state.folds.iter().find(|(number, _)| *number == class)?;
        Some((*device, fold.as_slice()))
    });
    kept.collect()
}

/// What members measured of these leases, where the class asks for it and the size is right.
fn measured<'a>(input: &EpochInput<'a>, under: &Under<'_>, leases: &[Judged<'_>]) -> Measured<'a> {
    let mut measured = Measured::new();
    let Some(size) = under.class.rules.measurement_bytes() else { return measured };
    let ours = |lease: u64| leases.binary_search_by_key(&lease, |one| one.lease).is_ok();
    for statement in input.observations {
        let Some(body) = input.bodies.get(&statement.member) else { continue };
        for one in body.measurements.iter().filter(|one| one.class == under.class.class.number()) {
            if one.value.len() == size && ours(one.lease) {
                measured.entry((one.lease, one.slot)).or_default().push((statement.member, one.value.as_slice()));
            }
        }
    }
    measured
}

/// Books a failed challenge more for each of the device's own leases of the class in that slot.
fn penalise(input: &EpochInput<'_>, ledger: &mut Ledger<'_>, shadow: Option<B256>, class: u8, penalty: &Penalty) {
    let own = ledger.entries.iter_mut().filter(|((_, under), entry)| {
        let judged = *under == shadow && entry.under.is_some();
        judged && entry.record.device == penalty.device && entry.record.class == class
    });
    for ((lease, _), entry) in own {
        if within(input.term, entry.record, penalty.slot).is_some() {
            let (lease, at, result) = (*lease, penalty.slot, Err(penalty.fault));
            entry.findings.push(Finding { lease, at, result, evidence: vec![] });
        }
    }
}
