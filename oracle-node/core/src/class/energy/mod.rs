//! Energy: what a meter's signed records and a device's own meter windows are worth, in the meter's own resolution.
//! docs/protocol.md §9. Leaves out: export registers, records in other formats than OCMF, and records too long for a
//! message, whose bytes are not at hand here. Messages that do not count by the policy's deadlines are passed over.

mod chain;
mod decimal;
mod fold;
mod judge;
mod ocmf;
mod policy;
mod reason;
mod sky;
mod trig;
mod windows;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use attest::{Body, Class as Message, EvidenceId, Record, RecordFormat};

use super::{Account, Appraisal, Case, Class, Finding, Item, Judged, Kind, Need, Proof, Rules, Said, Timing};
use crate::observation::BY_EARLY;
use crate::reason::Reason;
use crate::registry::LeaseRecord;
use crate::term::Term;
use fold::{LeaseFold, PageBook};
use judge::Presented;
use ocmf::key::Curve;
use policy::Section;
use reason::fault;
use windows::Window;

/// The last of all deadlines: what met any of any policy was in time for someone.
const BY_ANY: u32 = BY_EARLY - 1;

/// Class 8.
pub(super) struct Energy;

/// The class under one policy.
#[derive(Debug)]
struct Metering {
    section: Section,
    curves: Vec<Curve>,
    kinds: Vec<Kind>,
}

impl Class for Energy {
    fn number(&self) -> u8 {
        8
    }

    fn name(&self) -> &'static str {
        "energy"
    }

    fn unit(&self) -> &'static str {
        "energy-unit"
    }

    fn reasons(&self) -> &'static [Reason] {
        reason::REASONS
    }

    fn kept(&self, fold: &[u8]) -> Vec<(&'static str, u64)> {
        let fold = LeaseFold::from_bytes(fold).unwrap_or_default();
        let (end, register) = fold.windows.map_or((0, 0), |windows| (windows.end, windows.last));
        vec![("sessions_through_ms", fold.sessions.end_ms), ("windows_through", end), ("windows_register", register)]
    }

    fn rules(&self, section: &serde_json::Value) -> Result<Arc<dyn Rules>, String> {
        let section = Section::read(section)?;
        let curves = section.allowed()?;
        let timing = Timing::Claimed { fresh: section.fresh_ms, late: section.late_ms };
        let kind = |message, timing| Kind { message, timing, need: Need::Always };
        let mut kinds = vec![kind(Message::Meter, timing), kind(Message::Metered, timing)];
        // Places are told in boot messages, and only the sun asks for them.
        kinds.extend(section.sky.map(|_| kind(Message::Boot, Timing::Whenever)));
        Ok(Arc::new(Metering { section, curves, kinds }))
    }

    /// The book of the meter's pages; another meter starts a new one.
    fn fold(&self, before: &[u8], said: &Said<'_>) -> Vec<u8> {
        let meter = said.record.meter_key;
        let kept = PageBook::from_bytes(before).filter(|book| book.is_of(&meter));
        let mut book = kept.unwrap_or_else(|| PageBook::of(&meter));
        let shown = said.items.all_of(said.device, Message::Metered).flat_map(|(_, items)| items);
        let mut presented = Vec::new();
        for item in shown {
            presented.extend(metered(item, &[BY_ANY], said.faults, presented.len()));
        }
        book.take(judge::pages(&presented, &meter, &Curve::VERIFIABLE));
        if book.is_empty() { Vec::new() } else { book.to_bytes() }
    }
}

impl Rules for Metering {
    fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    fn open(&self, _term: &Term, _lease: &LeaseRecord) -> Vec<u8> {
        Vec::new()
    }

    fn appraise(&self, case: &Case<'_>) -> Appraisal {
        let mut appraisal = Appraisal::default();
        for lease in case.leases {
            let (findings, fold) = self.judge(case, lease);
            appraisal.findings.extend(findings);
            appraisal.folds.extend(fold.map(|fold| (lease.lease, fold)));
        }
        appraisal
    }

    /// Units alone: energy is not paid by time.
    fn score(&self, _seconds: u64, findings: &[Finding], account: &mut Account) {
        let proven = findings.iter().filter_map(|finding| finding.result.as_ref().ok());
        account.units = proven.fold(account.units, |sum, proof| sum.saturating_add(proof.units.into()));
    }
}

impl Metering {
    /// Findings of one lease, and what is kept of it; `None` where its device's word does not count.
    fn judge(&self, case: &Case<'_>, lease: &Judged<'_>) -> (Vec<Finding>, Option<Vec<u8>>) {
        let shown = Shown::of(self, case, lease);
        let found = |at, result, evidence| Finding { lease: lease.lease, at, result, evidence };
        let begin = case.term.epoch_start(case.epoch).unwrap_or(0) / 1_000;
        if let Some(fault) = lease.barred {
            let failed = (!shown.ids.is_empty()).then(|| found(begin, Err(fault), vec![]));
            return (failed.into_iter().collect(), None);
        }
        let end = case.term.epoch_start(case.epoch.saturating_add(1)).unwrap_or(0) / 1_000;
        let device = lease.record.device;
        let rules = judge::Rules {
            section: &self.section,
            curves: &self.curves,
            meter: case.devices.get(&device).map_or([0; 32], |record| record.meter_key),
            rated_w: self.section.rated_w,
            place: case.place(device),
            lease: lease.lease,
            lease_s: (lease.record.start, lease.record.end),
            latest_s: end,
        };
        let book = PageBook::from_bytes(case.fold(device)).unwrap_or_default();
        let fold = LeaseFold::from_bytes(lease.fold).unwrap_or_default();
        let verdict = judge::judge(&rules, &book, &fold, &shown.presented, &shown.said);
        let findings = verdict.findings.into_iter().map(|one| {
            let mut ids: Vec<EvidenceId> =
                one.evidence.iter().filter_map(|place| shown.ids.get(*place)).copied().collect();
            ids.sort_unstable();
            ids.dedup();
            found(one.at, one.result.map(|units| Proof { units }), ids)
        });
        (findings.collect(), Some(verdict.fold.to_bytes()))
    }
}

/// What a device showed of a lease, with the evidence by its place in `ids`.
#[derive(Default)]
struct Shown<'a> {
    ids: Vec<EvidenceId>,
    presented: Vec<Presented<'a>>,
    said: Vec<judge::Said>,
}

impl<'a> Shown<'a> {
    fn of(metering: &Metering, case: &Case<'a>, lease: &Judged<'_>) -> Self {
        let mut shown = Self::default();
        let device = lease.record.device;
        let section = &metering.section;
        let deadlines = [section.fresh_ms, section.late_ms];
        for (second, items) in case.items.all_of(device, Message::Metered) {
            for item in items {
                let Some(one) = metered(item, &deadlines, case.faults, shown.ids.len()) else { continue };
                if one.lease != lease.lease {
                    continue;
                }
                let claimed_ms = second.saturating_mul(1_000).saturating_add(case.conduct.gossip_allowance_ms);
                let arrival_ms = one.arrival_ms.saturating_add(claimed_ms);
                shown.presented.push(Presented { arrival_ms, ..one });
                shown.ids.push(item.id);
            }
        }
        for (_, items) in case.items.all_of(device, Message::Meter) {
            for item in items {
                let Some(Body::Meter(meter)) = item.counts(section.late_ms, case.faults).map(|said| said.body) else {
                    continue;
                };
                let evidence = shown.ids.len();
                let windows = meter.windows.iter().map(|one| window(&one, meter.register, meter.exponent));
                shown.said.extend(windows.map(|window| judge::Said { window, evidence }));
                shown.ids.push(item.id);
            }
        }
        shown
    }
}

/// A record that counts by the last of some deadlines; its arrival is the first that it met, from the second it claims.
fn metered<'a>(item: &Item<'a>, deadlines: &[u32], faults: u32, evidence: usize) -> Option<Presented<'a>> {
    let met = deadlines.iter().copied().find(|deadline| item.held.until(*deadline) > faults)?;
    let Body::Metered(said) = item.counts(met, faults)?.body else { return None };
    let bytes = match (said.format, said.record) {
        (RecordFormat::OCMF, Record::Whole(bytes)) => Ok(bytes),
        (RecordFormat::OCMF, Record::Digest { length, .. }) => Err(fault(Reason::RECORD_ABSENT, length, 0)),
        (RecordFormat(format), _) => Err(fault(Reason::FORMAT_UNKNOWN, format, RecordFormat::OCMF.0)),
    };
    Some(Presented { bytes, meter: said.meter, lease: said.lease, arrival_ms: met.into(), evidence })
}

fn window(said: &attest::MeterWindow, register: u64, exponent: i8) -> Window {
    let attest::MeterWindow { start, end, first, last, sampled, peak } = *said;
    Window { start, end, first, last, sampled, peak, register, exponent }
}
