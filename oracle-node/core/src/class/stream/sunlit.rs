//! Channels that need the sun: nothing at night, and the centre of a day's curve near solar noon at the device's place.
//! Leaves out: where the sun stands, which the caller says per window.

use minicbor::{Decode, Encode};

use super::policy::SunPolicy;

const DAY_MS: u64 = 86_400_000;
const HALF_DAY_MS: u64 = 43_200_000;
/// Larger values count as this many resolutions, so that a day of one reading a second still adds up exactly.
const STEPS_MAX: i64 = 1 << 24;

/// The sun over the device's place in the span that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sun<'a> {
    /// Its highest elevation in each window, 0.01 degree; windows beyond the list are not judged.
    pub(super) highest_cdeg: &'a [i32],
    /// Some instant of solar noon, unix ms; those of other days lie whole days away, to half a minute a day.
    pub(super) noon_ms: u64,
}

/// The day's curve so far, about its noon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Daylight {
    /// Days since the first noon of unix time.
    #[n(0)]
    pub(super) day: u32,
    /// Σ value of the day, in resolutions.
    #[n(1)]
    pub(super) sum: u64,
    /// Σ value · seconds after noon.
    #[n(2)]
    pub(super) moment: i64,
    /// The centre of the last full day lay this far from noon, seconds, if beyond the limit; else 0.
    #[n(3)]
    pub(super) shifted_s: i32,
}

impl Daylight {
    /// Takes a value above the night's limit, in resolutions: a day's centre is judged when the next day begins.
    pub(super) fn push(&mut self, policy: &SunPolicy, noon_ms: u64, at_ms: u64, steps: i64) {
        let phase = noon_ms % DAY_MS;
        // Days are counted from midnight to midnight by the sun.
        let since = at_ms.saturating_add(HALF_DAY_MS).saturating_add(DAY_MS).saturating_sub(phase);
        let day = u32::try_from(since.checked_div(DAY_MS).unwrap_or(0)).unwrap_or(u32::MAX);
        if day != self.day {
            *self = Self { day, sum: 0, moment: 0, shifted_s: self.verdict(policy) };
        }
        let seconds = i64::try_from(since % DAY_MS / 1_000).unwrap_or(0).saturating_sub(43_200);
        let steps = steps.clamp(0, STEPS_MAX);
        self.sum = self.sum.saturating_add(steps.unsigned_abs());
        self.moment = self.moment.saturating_add(steps.saturating_mul(seconds));
    }

    fn verdict(&self, policy: &SunPolicy) -> i32 {
        let centre = i128::from(self.moment).checked_div(self.sum.into()).unwrap_or(0);
        let beyond = policy.centre_max_s > 0 && centre.unsigned_abs() > u128::from(policy.centre_max_s);
        if beyond { i32::try_from(centre).unwrap_or(0) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The centre found for a curve around an hour of the day, noon at 12:00 unix time.
    fn centre(hour: i64) -> i32 {
        let policy = SunPolicy { night_max: 0, down_cdeg: -83, centre_max_s: 3_600 };
        let mut daylight = Daylight::default();
        for minute in 0..1_440i64 {
            let away = (minute - hour * 60).abs();
            let at_ms = DAY_MS * 20_000 + u64::try_from(minute).unwrap() * 60_000;
            if away < 300 {
                daylight.push(&policy, HALF_DAY_MS, at_ms, 300 - away);
            }
        }
        daylight.push(&policy, HALF_DAY_MS, DAY_MS * 20_001, 1);
        daylight.shifted_s
    }

    #[test]
    fn only_a_shift_beyond_the_limit_is_one() {
        assert_eq!([centre(12), centre(13), centre(14), centre(10)], [0, 0, 7_200, -7_200]);
    }
}
