//! What a span's windows come to: each is paid with its accepted readings, or not, with the reason; and the lease's account.
//! A window without data is missing: it lowers nobody's quality, and nobody is paid for it.
//! Leaves out: whether a reading is accepted (`judge`, `copy`).

use std::collections::BTreeMap;

use super::fold::Tally;
use super::judge::{Judgement, Verdict};
use super::policy::StreamPolicy;
use super::reading::fault;
use crate::class::Fault;
use crate::reason::Reason;

/// One window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Its start, unix ms.
    pub(super) start_ms: u64,
    /// Weight of the required channels that are good, basis points; `None` where none of them has a reading.
    pub(super) quality_bp: Option<u32>,
    /// Accepted readings, or why the window is not paid.
    pub(super) result: Result<u32, Fault>,
}

/// What a window has of one channel.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    given: u32,
    accepted: u32,
}

/// The windows of a judgement, ascending.
#[must_use]
pub(super) fn windows(policy: &StreamPolicy, judgement: &Judgement) -> Vec<Window> {
    let count = judgement.span.windows(policy);
    let channels = policy.channels.len();
    let mut heard = vec![Heard::default(); count.saturating_mul(channels)];
    let mut why: Vec<BTreeMap<Reason, (u32, Fault)>> = vec![BTreeMap::new(); count];
    for (window, place, verdict) in judgement.in_span() {
        let at = window.saturating_mul(channels).saturating_add(place);
        let (Some(cell), Some(why)) = (heard.get_mut(at), why.get_mut(window)) else { continue };
        cell.given = cell.given.saturating_add(1);
        match verdict {
            Verdict::Accepted => cell.accepted = cell.accepted.saturating_add(1),
            Verdict::Refused(refusal) if policy.channels.get(place).is_some_and(|channel| channel.readings_min > 0) => {
                let (times, least) = why.entry(refusal.reason).or_insert((0, *refusal));
                *times = times.saturating_add(1);
                // Which of them is shown must not depend on the order.
                if (refusal.measured, refusal.limit) < (least.measured, least.limit) {
                    *least = *refusal;
                }
            }
            _ => {}
        }
    }
    let start = |at: usize| u64::try_from(at).unwrap_or(u64::MAX).saturating_mul(policy.window_ms);
    let cells = heard.chunks(channels.max(1)).zip(&why).enumerate();
    cells
        .map(|(at, (heard, why))| window(policy, judgement.span.start_ms.saturating_add(start(at)), heard, why))
        .collect()
}

fn window(policy: &StreamPolicy, start_ms: u64, heard: &[Heard], why: &BTreeMap<Reason, (u32, Fault)>) -> Window {
    let required = || policy.channels.iter().zip(heard).filter(|(channel, _)| channel.readings_min > 0);
    let weight = |good: bool| {
        let counted = required().filter(|(channel, heard)| !good || heard.accepted >= channel.readings_min);
        counted.fold(0u64, |sum, (channel, _)| sum.saturating_add(channel.weight.into()))
    };
    let share = weight(true).saturating_mul(10_000).checked_div(weight(false)).unwrap_or(0);
    let quality = u32::try_from(share).unwrap_or(10_000);
    let quality_bp = required().any(|(_, heard)| heard.given > 0).then_some(quality);
    if quality >= policy.quality_min_bp {
        let units = heard.iter().fold(0u32, |sum, heard| sum.saturating_add(heard.accepted));
        return Window { start_ms, quality_bp, result: Ok(units) };
    }
    let surplus = Reason::STREAM_SURPLUS;
    // The most frequent reason, of equals the one with the lowest code: a surplus takes nothing away.
    let worst = why.iter().filter(|(reason, _)| **reason != surplus).rev().max_by_key(|(_, (times, _))| *times);
    let (accepted, due) = required().fold((0i128, 0i128), |(accepted, due), (channel, heard)| {
        let least = i128::from(channel.readings_min);
        (accepted.saturating_add(least.min(heard.accepted.into())), due.saturating_add(least))
    });
    let missing = fault(Reason::STREAM_MISSING, accepted, due);
    Window { start_ms, quality_bp, result: Err(worst.map_or(missing, |(_, (_, refusal))| *refusal)) }
}

/// Mean quality of the windows that have data, basis points; `None` without any. For people: pay is by window.
#[cfg(test)]
pub(super) fn quality_bp(windows: &[Window]) -> Option<u32> {
    let (sum, count) = windows
        .iter()
        .filter_map(|window| window.quality_bp)
        .fold((0u64, 0u64), |(sum, count), quality| (sum.saturating_add(quality.into()), count.saturating_add(1)));
    u32::try_from(sum.checked_div(count)?).ok()
}

/// What a window counts as, in an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Paid, with so many units.
    Paid(u64),
    /// Has data, and is not paid.
    Refused,
    /// Has no data, or not enough.
    Missing,
}

impl Outcome {
    /// Of a finding's result.
    #[must_use]
    pub(super) fn of(result: Result<u64, Reason>) -> Self {
        match result {
            Ok(units) => Self::Paid(units),
            Err(why) if why == Reason::STREAM_MISSING => Self::Missing,
            Err(_) => Self::Refused,
        }
    }
}

impl Tally {
    /// Books an epoch: so many seconds could be judged, and so the windows ended, in any order.
    pub(super) fn book(&mut self, policy: &StreamPolicy, seconds: u64, outcomes: impl IntoIterator<Item = Outcome>) {
        let length_s = policy.window_ms / 1_000;
        self.elapsed_s = self.elapsed_s.saturating_add(seconds);
        for outcome in outcomes {
            let sum = match outcome {
                Outcome::Paid(units) => {
                    self.units = self.units.saturating_add(units);
                    &mut self.good_s
                }
                Outcome::Refused => &mut self.refused_s,
                Outcome::Missing => &mut self.missing_s,
            };
            *sum = sum.saturating_add(length_s);
        }
    }

    /// Good, bad and credited seconds, given the good and bad ones booked before: none falls, and good and bad together fit
    /// in the seconds that could be judged.
    #[must_use]
    pub(super) fn settle(&self, policy: &StreamPolicy, good: u64, bad: u64) -> (u64, u64, u64) {
        let failed = self.refused_s.saturating_add(self.missing_s);
        let good = good.max(self.good_s.min(self.elapsed_s.saturating_sub(bad)));
        let bad = bad.max(failed.min(self.elapsed_s.saturating_sub(good)));
        let credit = u128::from(bad).saturating_mul(policy.credit_bp.into()) / 10_000;
        (good, bad, u64::try_from(credit).unwrap_or(u64::MAX))
    }
}
