//! Constancy: a sensor that says the same for too long is stuck or made up.
//! Leaves out: noise added to a constant, which passes as soon as it is wider than the policy's band.

use minicbor::{Decode, Encode};

use super::fold::{age, instant};
use super::policy::ConstantPolicy;

/// A run of readings that stay within the band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steady {
    since_ms: u64,
    low: i64,
    high: i64,
}

impl Steady {
    /// Takes a value into the run or begins a new one; ms since the run began, and how many are allowed.
    pub(super) fn push(run: &mut Option<Self>, policy: &ConstantPolicy, at_ms: u64, value: i64) -> (u64, u64) {
        let calm = |low, high| policy.calm.as_ref().filter(|calm| calm.low <= low && high <= calm.high);
        let fresh = Self { since_ms: at_ms, low: value, high: value };
        let current = run.map_or(fresh, |run| {
            let (low, high) = (run.low.min(value), run.high.max(value));
            let same = high.saturating_sub(low) <= policy.band
                && calm(value, value).is_some() == calm(run.low, run.high).is_some();
            if same || calm(low, high).is_some() { Self { low, high, ..run } } else { fresh }
        });
        *run = Some(current);
        let minutes = calm(current.low, current.high).map_or(policy.window_min, |calm| calm.window_min);
        (at_ms.saturating_sub(current.since_ms), u64::from(minutes).saturating_mul(60_000))
    }
}

/// A run as it is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct CarriedSteady {
    /// Age of its first reading at the end of the epoch, ms.
    #[n(0)]
    pub(super) age_ms: u32,
    /// Its least value.
    #[n(1)]
    pub(super) low: i64,
    /// Its greatest value.
    #[n(2)]
    pub(super) high: i64,
}

impl CarriedSteady {
    pub(super) fn of(run: &Steady, end_ms: u64) -> Self {
        Self { age_ms: age(run.since_ms, end_ms), low: run.low, high: run.high }
    }

    pub(super) fn resume(&self, end_ms: u64) -> Steady {
        Steady { since_ms: instant(self.age_ms, end_ms), low: self.low, high: self.high }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::stream::policy::CalmPolicy;

    #[test]
    fn a_run_grows_older_until_a_value_leaves_the_band() {
        let calm = CalmPolicy { low: -3, high: 0, window_min: 2 };
        let policy = ConstantPolicy { window_min: 1, band: 1, calm: Some(calm) };
        let mut run = None;
        let ages: Vec<(u64, u64)> = [(0, 7), (10, 8), (20, 7), (30, 9), (40, 9), (50, 0), (60, -3), (70, 1), (80, 2)]
            .iter()
            .map(|(at, value)| Steady::push(&mut run, &policy, *at, *value))
            .map(|(age, limit)| (age, limit / 60_000))
            .collect();
        assert_eq!(ages, [(0, 1), (10, 1), (20, 1), (0, 1), (10, 1), (0, 2), (10, 2), (0, 1), (10, 1)]);
    }
}
