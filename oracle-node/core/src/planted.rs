//! Deliberate faults of F, by which the simulation shows that it would find them; `qbft::Rules` has those of the agreement.
//! Only compiled with the feature `planted-faults`, which no shipped binary has. Each thread plants its own.

use std::cell::Cell;

thread_local! {
    static SHORT_MEDIAN: Cell<bool> = const { Cell::new(false) };
}

/// Takes medians over f+1 values too few: over so few that f liars can be the majority.
pub fn short_median(plant: bool) {
    SHORT_MEDIAN.set(plant);
}

/// How many of `count` observations a median takes.
pub(crate) fn median_of(count: usize, faults: u32) -> usize {
    let too_few = usize::try_from(faults).unwrap_or(usize::MAX).saturating_add(1);
    if SHORT_MEDIAN.get() { count.saturating_sub(too_few).max(1) } else { count }
}
