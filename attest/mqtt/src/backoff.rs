//! How long to wait before the next attempt: doubling, bounded, and random in its upper half, so that a thousand devices
//! that lost one broker do not come back in one moment. Pure: the caller brings the randomness.

use std::time::Duration;

/// The pauses between attempts to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest pause after the first failure; at least 1 ms.
    pub first: Duration,
    /// The longest pause ever.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The pause after `failures` failures in a row (from 1): between half of a bound and the bound, which is
    /// `first · 2^(failures − 1)` and at most `longest`. `random` is any number.
    #[must_use]
    pub fn pause(&self, failures: u32, random: u64) -> Duration {
        let (first, longest) = (millis(self.first).max(1), millis(self.longest).max(1));
        let doubled =
            1u64.checked_shl(failures.saturating_sub(1)).map_or(u64::MAX, |factor| first.saturating_mul(factor));
        let bound = doubled.min(longest);
        Duration::from_millis(bound / 2 + random % (bound - bound / 2 + 1))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: [u64; 5] = [0, 1, 12_345, u64::MAX - 1, u64::MAX];

    #[test]
    fn pauses_double_up_to_the_bound_and_never_vanish() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(3) };
        for (failures, bound) in
            [(1, 100), (2, 200), (3, 400), (5, 1_600), (6, 3_000), (40, 3_000), (64, 3_000), (u32::MAX, 3_000)]
        {
            for random in RANDOM {
                let pause = backoff.pause(failures, random).as_millis();
                assert!((bound / 2..=bound).contains(&pause), "{failures} failures: {pause} ms, bound {bound}");
            }
        }
    }

    #[test]
    fn pauses_differ() {
        let backoff = Backoff::default();
        let pauses: std::collections::BTreeSet<Duration> =
            (0..200).map(|random| backoff.pause(8, random * 997)).collect();
        assert!(pauses.len() > 150, "only {} different pauses", pauses.len());
    }

    #[test]
    fn a_senseless_setting_is_still_a_pause() {
        let none = Backoff { first: Duration::ZERO, longest: Duration::ZERO };
        assert!(none.pause(1, 7) <= Duration::from_millis(1));
        let forever = Backoff { first: Duration::MAX, longest: Duration::MAX };
        assert!(forever.pause(64, u64::MAX) > Duration::from_secs(1));
    }
}
