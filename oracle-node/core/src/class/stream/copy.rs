//! Copies: two keys on one sensor, or a series taken from a neighbour, at once or some windows later. Each window of a
//! device leaves a mark, a hash over its rounded values; two devices whose marks go on being equal at one lag are one.
//! Leaves out: copies with more noise than the rounding, and devices judged under different policies.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::channel::Sample;
use super::fold::{Mark, TRAIL_MAX, Trail};
use super::judge::{Given, Judgement};
use super::policy::CopyPolicy;
use crate::class::Fault;

/// Earlier windows that a window is compared with, at most: the earliest of those that are equal to it.
const PARTNERS_MAX: usize = 16;

impl Trail {
    /// The last windows, as they are carried.
    pub(super) fn last(&self) -> Self {
        let skipped = self.marks.len().saturating_sub(TRAIL_MAX);
        let first = self.first.saturating_add(u64::try_from(skipped).unwrap_or(u64::MAX));
        Self { first, marks: self.marks.iter().skip(skipped).copied().collect() }
    }
}

/// The marks carried and those of the span's windows. A hole between the two is filled with windows without a mark.
pub(super) fn trail(given: &Given<'_>, samples: &[Sample], refusals: &[Option<Fault>]) -> Trail {
    let Some(policy) = &given.policy.copy else { return Trail::default() };
    let first = given.span.start_ms.checked_div(given.policy.window_ms).unwrap_or(0);
    let fresh = marks(given, policy, samples, refusals);
    let carried = &given.fold.trail;
    let end = carried.first.saturating_add(u64::try_from(carried.marks.len()).unwrap_or(u64::MAX));
    let hole = first.checked_sub(end).and_then(|hole| usize::try_from(hole).ok()).filter(|hole| *hole <= TRAIL_MAX);
    let Some(hole) = hole else { return Trail { first, marks: fresh } };
    let held = carried.marks.iter().copied();
    let marks = held.chain(core::iter::repeat_n(None, hole)).chain(fresh).collect();
    Trail { first: carried.first, marks }
}

fn marks(given: &Given<'_>, policy: &CopyPolicy, samples: &[Sample], refusals: &[Option<Fault>]) -> Vec<Option<Mark>> {
    let mut windows = vec![Window::default(); given.span.windows(given.policy)];
    for sample in samples.iter().filter(|sample| refusals.get(sample.index).is_some_and(Option::is_none)) {
        let Some(window) = windows.get_mut(sample.window) else { continue };
        let held_ms = given.readings.get(sample.index).map_or(0, |reading| reading.held_ms);
        window.held_ms = window.held_ms.max(held_ms);
        let (sum, count) = window.sums.entry(sample.place).or_default();
        *sum = sum.saturating_add(sample.value.into());
        *count = count.saturating_add(1);
    }
    let places: Vec<Option<(usize, i64)>> = policy
        .channels
        .iter()
        .map(|(channel, step)| given.policy.place(*channel).map(|place| (place, *step)))
        .collect();
    let start = |at: usize| u64::try_from(at).unwrap_or(u64::MAX).saturating_mul(given.policy.window_ms);
    let mark = |(at, window): (usize, &Window)| window.mark(&places, given.span.start_ms.saturating_add(start(at)));
    windows.iter().enumerate().map(mark).collect()
}

/// What a window holds of each channel: sum and count.
#[derive(Clone, Default)]
struct Window {
    sums: BTreeMap<usize, (i128, i128)>,
    held_ms: u64,
}

impl Window {
    /// First 4 bytes of SHA-256 over the rounded means, 16 bytes each, big-endian.
    fn mark(&self, places: &[Option<(usize, i64)>], start_ms: u64) -> Option<Mark> {
        let mut hash = Sha256::new();
        for place in places {
            let (place, step) = (*place)?;
            let (sum, count) = self.sums.get(&place)?;
            let mean = sum.checked_div_euclid(*count)?;
            hash.update(mean.checked_div_euclid(step.into())?.to_be_bytes());
        }
        let digest = hash.finalize();
        let [a, b, c, d, ..] = digest.as_slice() else { return None };
        let held_ms = u32::try_from(self.held_ms.saturating_sub(start_ms)).unwrap_or(u32::MAX);
        Some(Mark { hash: u32::from_be_bytes([*a, *b, *c, *d]), held_ms })
    }
}

/// One comparison's side: the marks of consecutive windows, ending with one that changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Print {
    key: [u8; 32],
    window: u64,
    /// Place of the lease in the list.
    lease: usize,
    held_ms: u32,
}

/// Windows of a lease that equal another's, by (lease, other, lag): window, and whether it was held clearly earlier.
type Matches = BTreeMap<(usize, usize, u64), Vec<(u64, bool)>>;

/// Refuses the windows of copies among the leases judged under one policy: (device, judgement) each.
pub(super) fn strike(policy: &CopyPolicy, window_ms: u64, leases: &mut [(u64, &mut Judgement)]) {
    let mut prints: Vec<Print> = Vec::new();
    for (lease, (_, judgement)) in leases.iter().enumerate() {
        prints.extend(prints_of(policy, lease, &judgement.trail));
    }
    prints.sort_unstable();
    let mut matches = Matches::new();
    for group in prints.chunk_by(|one, next| one.key == next.key) {
        match_group(policy, leases, group, &mut matches);
    }
    let struck = copies(policy, window_ms, leases, &matches);
    for ((_, judgement), windows) in leases.iter_mut().zip(&struck) {
        judgement.strike(windows, policy.matches_min);
    }
}

/// The windows of each lease's span that are copied, with how many matched.
fn copies(
    policy: &CopyPolicy,
    window_ms: u64,
    leases: &[(u64, &mut Judgement)],
    matches: &Matches,
) -> Vec<BTreeMap<usize, usize>> {
    let mut struck = vec![BTreeMap::new(); leases.len()];
    for ((lease, _, _), windows) in matches {
        let earlier = windows.iter().filter(|(_, earlier)| *earlier).count();
        let enough = windows.len() >= usize::try_from(policy.matches_min).unwrap_or(usize::MAX);
        // Who was first most of the time is the one that was copied.
        if !enough || earlier.saturating_mul(2) > windows.len() {
            continue;
        }
        let (Some((_, judgement)), Some(struck)) = (leases.get(*lease), struck.get_mut(*lease)) else { continue };
        let first = judgement.span.start_ms.checked_div(window_ms).unwrap_or(0);
        for (window, _) in windows {
            let from = window.saturating_sub(u64::from(policy.span).saturating_sub(1));
            for at in (from..=*window).filter_map(|covered| usize::try_from(covered.checked_sub(first)?).ok()) {
                let most = struck.entry(at).or_insert(0);
                *most = windows.len().max(*most);
            }
        }
    }
    struck
}

/// A print per window that changed: what goes on unchanged (night, no rain) is equal everywhere by chance.
fn prints_of(policy: &CopyPolicy, lease: usize, trail: &Trail) -> Vec<Print> {
    let span = usize::try_from(policy.span).unwrap_or(usize::MAX);
    // One window more than is compared: whether the last one changed.
    let seen = span.max(2);
    let print = |(at, marks): (usize, &[Option<Mark>])| {
        let [.., Some(before), Some(last)] = marks else { return None };
        let mut hash = Sha256::new();
        for mark in marks.iter().rev().take(span) {
            hash.update((*mark)?.hash.to_be_bytes());
        }
        let window = trail.first.saturating_add(u64::try_from(at.saturating_add(seen)).ok()?).saturating_sub(1);
        let changed = before.hash != last.hash;
        changed.then(|| Print { key: hash.finalize().into(), window, lease, held_ms: last.held_ms })
    };
    trail.marks.windows(seen).enumerate().filter_map(print).collect()
}

/// Pairs the prints of one key: ascending by window, each with the earliest before it within the lag.
fn match_group(policy: &CopyPolicy, leases: &[(u64, &mut Judgement)], group: &[Print], matches: &mut Matches) {
    let device = |print: &Print| leases.get(print.lease).map(|(device, _)| *device);
    for (at, later) in group.iter().enumerate() {
        let oldest = later.window.saturating_sub(policy.lag_max.into());
        let from = group.partition_point(|print| print.window < oldest);
        let before = group.get(from..at).unwrap_or_default();
        for earlier in before.iter().take(PARTNERS_MAX).filter(|earlier| device(earlier) != device(later)) {
            let lag = later.window.saturating_sub(earlier.window);
            let ahead = u64::from(later.held_ms.abs_diff(earlier.held_ms)) >= policy.margin_ms.max(1);
            let first = |one: &Print, other: &Print| lag == 0 && ahead && one.held_ms < other.held_ms;
            let of_later = (later.window, first(later, earlier));
            matches.entry((later.lease, earlier.lease, lag)).or_default().push(of_later);
            if lag == 0 {
                let of_earlier = (earlier.window, first(earlier, later));
                matches.entry((earlier.lease, later.lease, lag)).or_default().push(of_earlier);
            }
        }
    }
}
