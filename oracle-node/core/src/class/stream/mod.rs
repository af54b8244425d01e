//! Stream: readings of sensors, weather stations and vehicles are paid one by one, where they are fresh, plausible and the
//! device's own. A policy names the channels; each window of a lease must have enough accepted readings of them.
//! docs/protocol.md §9. Leaves out: what no device shows alone: slow drift, and invented data that looks like weather.

mod channel;
mod copy;
#[cfg(test)]
mod default;
mod digits;
mod fold;
mod gates;
mod heard;
mod judge;
mod line;
mod policy;
mod reading;
mod reason;
mod sequence;
mod sky;
mod steady;
mod sunlit;
#[cfg(test)]
mod tests;
mod windows;

use std::sync::Arc;

use attest::{Class as Message, EvidenceId};

use self::fold::Fold;
use self::heard::Heard;
use self::judge::{Given, Judgement};
use self::policy::StreamPolicy;
use self::reading::Span;
use self::sky::Place;
use self::sunlit::Sun;
use self::windows::Outcome;
use super::{Account, Appraisal, Case, Class, EARLY_MS, Fault, Finding, Judged, Kind, Need, Proof, Rules, Timing};
use crate::reason::Reason;
use crate::registry::LeaseRecord;
use crate::term::Term;

/// Class 7.
pub(super) struct Stream;

/// The class under one policy.
#[derive(Debug)]
struct Sensing {
    policy: StreamPolicy,
    kinds: [Kind; 4],
}

/// What became of a lease.
struct Ended {
    lease: u64,
    device: u64,
    heard: Heard,
    /// Why none of it counts, whatever it is.
    barred: Option<Fault>,
    judgement: Judgement,
}

impl Class for Stream {
    fn number(&self) -> u8 {
        7
    }

    fn name(&self) -> &'static str {
        "stream"
    }

    fn unit(&self) -> &'static str {
        "reading"
    }

    fn reasons(&self) -> &'static [Reason] {
        reason::REASONS
    }

    fn kept(&self, fold: &[u8]) -> Vec<(&'static str, u64)> {
        let tally = Fold::decode(fold).unwrap_or_default().tally;
        vec![
            ("elapsed_seconds", tally.elapsed_s),
            ("paid_seconds", tally.good_s),
            ("refused_seconds", tally.refused_s),
            ("missing_seconds", tally.missing_s),
            ("readings", tally.units),
        ]
    }

    fn rules(&self, section: &serde_json::Value) -> Result<Arc<dyn Rules>, String> {
        let policy = StreamPolicy::parse(section)?;
        let claimed = Timing::Claimed { fresh: policy.fresh_ms, late: policy.late_ms };
        // Nothing here is challenged: of the last two only the numbers are read, which a listing says without the evidence.
        let kinds = [
            Kind { message: Message::Telemetry, timing: claimed, need: Need::Always },
            Kind { message: Message::Boot, timing: Timing::Whenever, need: Need::Always },
            Kind { message: Message::Heartbeat, timing: claimed, need: Need::Challenged },
            Kind { message: Message::Channels, timing: claimed, need: Need::Challenged },
        ];
        Ok(Arc::new(Sensing { policy, kinds }))
    }
}

impl Rules for Sensing {
    fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    fn behind_ms(&self) -> u64 {
        self.policy.grace_ms()
    }

    fn open(&self, _term: &Term, _lease: &LeaseRecord) -> Vec<u8> {
        Fold::default().encode()
    }

    fn appraise(&self, case: &Case<'_>) -> Appraisal {
        let Some(span) = self.span(case) else { return Appraisal::default() };
        let mut all: Vec<Ended> = case.leases.iter().map(|lease| self.judge(case, span, lease)).collect();
        if let Some(policy) = &self.policy.copy {
            let mut judged: Vec<(u64, &mut Judgement)> =
                all.iter_mut().map(|one| (one.device, &mut one.judgement)).collect();
            copy::strike(policy, self.policy.window_ms, &mut judged);
        }
        let findings = all.iter().flat_map(|one| self.findings(one)).collect();
        let folds = all.iter().map(|one| (one.lease, one.judgement.fold.encode())).collect();
        Appraisal { findings, folds, ..Appraisal::default() }
    }

    fn score(&self, seconds: u64, findings: &[Finding], account: &mut Account) {
        let mut fold = Fold::decode(&account.fold).unwrap_or_default();
        let outcomes =
            findings.iter().map(|one| Outcome::of(one.result.map(|proof| proof.units).map_err(|f| f.reason)));
        fold.tally.book(&self.policy, seconds, outcomes);
        (account.good, account.bad, account.credit) = fold.tally.settle(&self.policy, account.good, account.bad);
        account.units = fold.tally.units.into();
        account.fold = fold.encode();
    }
}

impl Sensing {
    /// What is judged in the epoch. `None` before genesis, and where epochs are too short for the policy: messages would not
    /// be listed any more when their time is judged, and every window would seem to be missing.
    fn span(&self, case: &Case<'_>) -> Option<Span> {
        let gossip = case.conduct.gossip_allowance_ms;
        let oldest = self.behind_ms().saturating_add(gossip).saturating_add(self.policy.window_ms);
        if oldest.saturating_add(EARLY_MS) > case.term.epoch_ms {
            return None;
        }
        let start = case.term.epoch_start(case.epoch)?.saturating_sub(gossip);
        let end = case.term.epoch_start(case.epoch.checked_add(1)?)?.saturating_sub(gossip);
        Some(Span::of_epoch(&self.policy, start, end))
    }

    fn judge(&self, case: &Case<'_>, span: Span, lease: &Judged<'_>) -> Ended {
        let policy = &self.policy;
        let (from, to) = (lease.record.start.saturating_mul(1_000), lease.record.end.saturating_mul(1_000));
        let (span, device) = (span.within(policy, from, to), lease.record.device);
        let place = case.place(device);
        let sunlit = policy.channels.iter().any(|channel| channel.sun.is_some());
        let barred = lease.barred.or_else(|| place.err().filter(|_| sunlit));
        let heard = if barred.is_some() { Heard::default() } else { Heard::of(case, policy, device) };
        let place = place.ok().map(|(lat_e7, lon_e7)| Place { lat_e7, lon_e7 });
        let highest = place.filter(|_| sunlit).map(|place| sky::highest_cdeg(policy, place, span));
        let middle = span.start_ms.saturating_add(span.length_ms() / 2);
        let noon_ms = place.map_or(0, |place| sky::noon_ms(place, middle));
        let sun = highest.as_deref().map(|highest_cdeg| Sun { highest_cdeg, noon_ms });
        // What was written here reads back, so the default is for a state that was tampered with, which no vote is for.
        let fold = Fold::decode(lease.fold).unwrap_or_default();
        let (readings, others) = (&heard.readings, &heard.others);
        let judgement = judge::judge(&Given { policy, span, sun, fold: &fold, readings, others });
        Ended { lease: lease.lease, device, heard, barred, judgement }
    }

    /// One finding per window, with the messages whose readings lie in it.
    fn findings(&self, one: &Ended) -> Vec<Finding> {
        let windows = windows::windows(&self.policy, &one.judgement);
        let mut evidence: Vec<Vec<EvidenceId>> = vec![Vec::new(); windows.len()];
        for (reading, id) in one.heard.ids.iter().enumerate() {
            let ids = one.judgement.window_of(reading).and_then(|window| evidence.get_mut(window));
            if let Some(ids) = ids.filter(|ids| !ids.contains(id)) {
                ids.push(*id);
            }
        }
        let finding = |(window, mut evidence): (&windows::Window, Vec<EvidenceId>)| {
            evidence.sort_unstable();
            let result = window.result.map(|units| Proof { units: units.into() });
            let result = result.map_err(|fault| one.barred.unwrap_or(self.absent(&one.heard, window.start_ms, fault)));
            Finding { lease: one.lease, at: window.start_ms / 1_000, result, evidence }
        };
        windows.iter().zip(evidence).map(finding).collect()
    }

    /// A window is missing what members held before the time that it claims: that says more than that it is missing.
    fn absent(&self, heard: &Heard, start_ms: u64, fault: Fault) -> Fault {
        let within = |at_ms: u64| at_ms.checked_sub(start_ms).is_some_and(|since| since < self.policy.window_ms);
        let early = fault.reason == Reason::STREAM_MISSING && heard.early_ms.iter().any(|at_ms| within(*at_ms));
        let limit = i64::try_from(EARLY_MS).unwrap_or(i64::MAX);
        if early { Fault { reason: Reason::STREAM_FROM_FUTURE, measured: 0, limit } } else { fault }
    }
}
