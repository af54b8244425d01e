//! Straight lines: readings that nobody measured are filled in between two that somebody did.
//!
//! A run is a series of samples that one line through its first sample meets, all of them, to one resolution (the
//! swinging door of data compression: the set of slopes that still fit only shrinks). It is a line when it has enough
//! interior samples and rises or falls far enough that slow weather, rounded, would have left it.
//! Leaves out: lines with noise of more than a resolution on them, which this does not see, and who is refused.

use minicbor::{Decode, Encode};

use super::fold::{age, instant};
use super::policy::{CONSTANT_MS_MAX, LinePolicy};

/// A sample: unix ms and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) at_ms: u64,
    pub(super) value: i64,
}

/// A slope: value over ms, the latter above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slope {
    rise: i64,
    ms: u64,
}

impl Slope {
    fn below(self, other: Self) -> bool {
        i128::from(self.rise).saturating_mul(other.ms.into()) < i128::from(other.rise).saturating_mul(self.ms.into())
    }
}

/// A run of samples on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    first: Point,
    slopes: Option<(Slope, Slope)>,
    samples: u32,
}

/// What the newest sample makes of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The samples after the first and before this one were made up; that many lie on the line.
    Made(u32),
    /// On the line, but too few or too flat to tell.
    Open,
    /// Off the line: a new run begins with the sample before this one.
    Broken,
}

impl Line {
    pub(super) const fn begin(first: Point) -> Self {
        Self { first, slopes: None, samples: 1 }
    }

    /// Takes the next sample; `last` is the one before it.
    pub(super) fn push(&mut self, policy: &LinePolicy, resolution: i64, last: Point, next: Point) -> Fit {
        let ms = next.at_ms.saturating_sub(self.first.at_ms);
        if ms == 0 {
            return Fit::Open;
        }
        let rise = next.value.saturating_sub(self.first.value);
        let low = Slope { rise: rise.saturating_sub(resolution), ms };
        let high = Slope { rise: rise.saturating_add(resolution), ms };
        let (low, high) = self.slopes.map_or((low, high), |(lowest, highest)| {
            (if low.below(lowest) { lowest } else { low }, if high.below(highest) { high } else { highest })
        });
        if high.below(low) || ms > CONSTANT_MS_MAX {
            return self.restart(resolution, last, next);
        }
        self.slopes = Some((low, high));
        self.samples = self.samples.saturating_add(1);
        self.made(policy, resolution, next).map_or(Fit::Open, Fit::Made)
    }

    /// Interior samples, if they are enough and the line is steep enough to tell; `last` is the newest of the run.
    pub(super) fn made(&self, policy: &LinePolicy, resolution: i64, last: Point) -> Option<u32> {
        let interior = self.samples.saturating_sub(2);
        let rise = i128::from(last.value).saturating_sub(self.first.value.into());
        let steep = rise.abs() >= i128::from(resolution).saturating_mul(policy.rise_min.into());
        (interior >= policy.interior_min && steep).then_some(interior)
    }

    /// Begins again with the two newest samples, or with the newest alone after a silence too long for a line.
    fn restart(&mut self, resolution: i64, last: Point, next: Point) -> Fit {
        let ms = next.at_ms.saturating_sub(last.at_ms);
        *self = Self::begin(next);
        if ms > 0 && ms <= CONSTANT_MS_MAX {
            let rise = next.value.saturating_sub(last.value);
            let slope = |rise| Slope { rise, ms };
            let slopes = (slope(rise.saturating_sub(resolution)), slope(rise.saturating_add(resolution)));
            *self = Self { first: last, slopes: Some(slopes), samples: 2 };
        }
        Fit::Broken
    }
}

/// A run as it is carried: times are ages at the end of the epoch, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct CarriedLine {
    /// Age of its first sample.
    #[n(0)]
    pub(super) age_ms: u32,
    /// Value of its first sample.
    #[n(1)]
    pub(super) value: i64,
    /// Least slope that fits: rise, and the ms it takes; no ms when there is one sample only.
    #[n(2)]
    pub(super) low: (i64, u32),
    /// Greatest slope that fits.
    #[n(3)]
    pub(super) high: (i64, u32),
    /// Samples.
    #[n(4)]
    pub(super) samples: u32,
}

impl CarriedLine {
    pub(super) fn of(line: &Line, end_ms: u64) -> Self {
        let carried = |slope: Slope| (slope.rise, u32::try_from(slope.ms).unwrap_or(u32::MAX));
        let (low, high) = line.slopes.map_or(((0, 0), (0, 0)), |(low, high)| (carried(low), carried(high)));
        Self { age_ms: age(line.first.at_ms, end_ms), value: line.first.value, low, high, samples: line.samples }
    }

    pub(super) fn resume(&self, end_ms: u64) -> Line {
        let slope = |(rise, ms): (i64, u32)| Slope { rise, ms: ms.into() };
        let one = self.low.1 == 0 || self.high.1 == 0;
        let slopes = if one { None } else { Some((slope(self.low), slope(self.high))) };
        let first = Point { at_ms: instant(self.age_ms, end_ms), value: self.value };
        Line { first, slopes, samples: self.samples }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: LinePolicy = LinePolicy { interior_min: 4, rise_min: 4 };

    fn fits(values: &[i64]) -> Vec<Fit> {
        let points: Vec<Point> =
            values.iter().enumerate().map(|(at, value)| Point { at_ms: at as u64 * 60_000, value: *value }).collect();
        let mut line = Line::begin(points[0]);
        points.windows(2).map(|pair| line.push(&POLICY, 1, pair[0], pair[1])).collect()
    }

    #[test]
    fn the_fifth_interior_sample_is_not_needed_and_rounding_does_not_hide() {
        // Thirds, rounded: 0, 3.33, 6.67, 10, …
        let seen = fits(&[0, 3, 7, 10, 13, 17, 20, 90]);
        assert_eq!(seen[4..], [Fit::Made(4), Fit::Made(5), Fit::Broken]);
        assert!(seen[..4].iter().all(|fit| *fit == Fit::Open));
    }

    #[test]
    fn a_curve_and_a_flat_stretch_are_no_lines() {
        let parabola: Vec<i64> = (0..20).map(|x| x * x).collect();
        assert!(!fits(&parabola).iter().any(|fit| matches!(fit, Fit::Made(_))));
        assert!(!fits(&[5, 5, 6, 5, 6, 6, 5, 6, 6, 5]).iter().any(|fit| matches!(fit, Fit::Made(_))));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let (least, most) = (i64::MIN, i64::MAX);
        let _ = fits(&[least, most, least, most, 0, most]);
        let mut line = Line::begin(Point { at_ms: 0, value: least });
        let last = Point { at_ms: 0, value: least };
        assert_eq!(line.push(&POLICY, most, last, Point { at_ms: u64::MAX, value: most }), Fit::Broken);
    }
}
