//! One lease's readings in one span: each is accepted or refused with its reason, and what is carried on.
//! Leaves out: other devices (`copy`), and what the windows come to (`windows`).

use std::collections::BTreeMap;

use super::channel::{Channel, Sample};
use super::copy;
use super::fold::{CarriedChannel, FOLD_VERSION, Fold, Trail};
use super::gates;
use super::policy::StreamPolicy;
use super::reading::{Number, Reading, Span, fault};
use super::sequence::{Counts, Sequence};
use super::sunlit::Sun;
use crate::class::Fault;
use crate::reason::Reason;

/// What a lease is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    /// The policy.
    pub(super) policy: &'a StreamPolicy,
    /// The whole windows to judge.
    pub(super) span: Span,
    /// The sun over the device's place; absent: channels that need it are judged without.
    pub(super) sun: Option<Sun<'a>>,
    /// What the epoch before carried.
    pub(super) fold: &'a Fold,
    /// All readings of the device that are listed, in any order; those outside the span belong to another epoch.
    pub(super) readings: &'a [Reading],
    /// Messages of other kinds by the same device, which share its sequence numbers: claimed time in unix ms, number.
    pub(super) others: &'a [(u64, Number)],
}

impl Given<'_> {
    /// The window of an instant in the span, from 0.
    pub(super) fn window(&self, at_ms: u64) -> Option<usize> {
        let since = at_ms.checked_sub(self.span.start_ms)?.checked_div(self.policy.window_ms)?;
        usize::try_from(since).ok().filter(|window| *window < self.span.windows(self.policy))
    }
}

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts.
    Accepted,
    /// It does not count.
    Refused(Fault),
    /// It lies outside the span.
    Elsewhere,
}

/// What became of a lease's readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// The span.
    pub(super) span: Span,
    /// One per reading, in the order given.
    pub(super) verdicts: Vec<Verdict>,
    /// Numbers seen and missing in the span.
    pub(super) counts: Counts,
    /// The marks of the windows carried and of those of the span, to be compared with others'.
    pub(super) trail: Trail,
    /// What the next epoch is given.
    pub(super) fold: Fold,
    /// (window, channel's place) of each reading; none outside the span or of a channel that the policy does not name.
    places: Vec<Option<(usize, usize)>>,
}

/// Judges one lease's readings, each beside the others of its channel.
#[must_use]
pub(super) fn judge(given: &Given<'_>) -> Judgement {
    let mut sequence = Sequence::resume(&given.fold.boots);
    let turns = gates::take_numbers(given, &mut sequence);
    let mut refusals = vec![None; given.readings.len()];
    let samples = gates::pass(given, &turns, &mut refusals);
    let channels = judge_channels(given, &samples, &mut refusals);
    let verdict = |(reading, refusal): (&Reading, &Option<Fault>)| match refusal {
        _ if given.window(reading.at_ms).is_none() => Verdict::Elsewhere,
        Some(refusal) => Verdict::Refused(*refusal),
        None => Verdict::Accepted,
    };
    let verdicts = given.readings.iter().zip(&refusals).map(verdict).collect();
    let trail = copy::trail(given, &samples, &refusals);
    let fold = Fold {
        version: FOLD_VERSION,
        end_ms: given.span.end_ms,
        boots: sequence.remember(),
        channels,
        trail: trail.last(),
        tally: given.fold.tally,
    };
    let place = |reading: &Reading| Some((given.window(reading.at_ms)?, given.policy.place(reading.channel)?));
    let places = given.readings.iter().map(place).collect();
    Judgement { span: given.span, verdicts, counts: sequence.counts, trail, fold, places }
}

/// Judges the samples of each channel of the policy; what is carried of each.
fn judge_channels(given: &Given<'_>, samples: &[Sample], refusals: &mut [Option<Fault>]) -> Vec<CarriedChannel> {
    // A fold made under another list of channels says nothing about these.
    let known = given.fold.channels.len() == given.policy.channels.len();
    let carried_of = |place: usize| given.fold.channels.get(place).filter(|_| known).copied().unwrap_or_default();
    let judged = given.policy.channels.iter().enumerate().map(|(place, policy)| {
        let first = samples.partition_point(|sample| sample.place < place);
        let end = samples.partition_point(|sample| sample.place <= place);
        let carried = carried_of(place);
        let mut channel = Channel::resume(given.policy, policy, given.sun, &carried, given.fold.end_ms);
        channel.judge(samples.get(first..end).unwrap_or_default(), refusals);
        channel.carry(given.span.end_ms)
    });
    judged.collect()
}

impl Judgement {
    /// The window of a reading; none outside the span or of a channel that the policy does not name.
    pub(super) fn window_of(&self, reading: usize) -> Option<usize> {
        self.places.get(reading).copied().flatten().map(|(window, _)| window)
    }

    /// Each reading in the span: window, channel's place (where the policy names it) and verdict.
    pub(super) fn in_span(&self) -> impl Iterator<Item = (usize, usize, &Verdict)> {
        self.places
            .iter()
            .zip(&self.verdicts)
            .filter_map(|(place, verdict)| place.map(|(window, at)| (window, at, verdict)))
    }

    /// Refuses the accepted readings of windows as copied: so many windows matched, against the limit.
    pub(super) fn strike(&mut self, windows: &BTreeMap<usize, usize>, limit: u32) {
        for (place, verdict) in self.places.iter().zip(&mut self.verdicts) {
            let matches = place.and_then(|(window, _)| windows.get(&window));
            let (Some(matches), Verdict::Accepted) = (matches, &verdict) else { continue };
            let measured = i128::try_from(*matches).unwrap_or(i128::MAX);
            *verdict = Verdict::Refused(fault(Reason::STREAM_COPIED, measured, limit.into()));
        }
    }
}
