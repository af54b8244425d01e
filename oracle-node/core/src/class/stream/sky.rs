//! Where the sun stands over a place, to 0.1 degree for this century: mean longitude and anomaly, the equation of the centre
//! to second order, hour angle by sidereal time (the low-precision formulas of the Astronomical Almanac), all in integers.
//! Leaves out: refraction (0.6 degree at the horizon), parallax, and the height of the place.

use super::policy::StreamPolicy;
use super::reading::Span;

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Latitude, 1e-7 degree, north positive; beyond a pole is at the pole.
    pub lat_e7: i32,
    /// Longitude, 1e-7 degree, east positive.
    pub lon_e7: i32,
}

/// 2000-01-01 12:00, unix ms.
const EPOCH_MS: i64 = 946_728_000_000;
const DAY_MS: i64 = 86_400_000;
/// A full turn, 1e-7 degree.
const TURN: i64 = 3_600_000_000;
/// One, of sines.
const ONE: i64 = 1 << 30;

/// Where the sun is: hour angle and sine of the declination.
struct Position {
    hour: i64,
    declination: i64,
}

/// The sun's elevation, 0.01 degree, at unix ms.
#[must_use]
pub(super) fn elevation_cdeg(place: Place, at_ms: u64) -> i32 {
    let sun = position(place.lon_e7, at_ms);
    let lat = i64::from(place.lat_e7).clamp(-TURN / 4, TURN / 4);
    let beside = cosine_of(sun.declination);
    let up = times(sine(lat), sun.declination);
    let across = times(times(cosine(lat), beside), cosine(sun.hour));
    let wanted = up.saturating_add(across).clamp(-ONE, ONE);
    // The sine rises from −90 to 90 degrees: the last 0.01 degree whose sine is not above it.
    let (mut low, mut high) = (-9_000i32, 9_000i32);
    while low < high {
        let middle = low.saturating_add(high).saturating_add(1).div_euclid(2);
        if sine(i64::from(middle).saturating_mul(100_000)) <= wanted {
            low = middle
        } else {
            high = middle.saturating_sub(1)
        }
    }
    low
}

/// The solar noon nearest to an instant, unix ms, to half a minute.
#[must_use]
pub(super) fn noon_ms(place: Place, at_ms: u64) -> u64 {
    let since = position(place.lon_e7, at_ms).hour.saturating_mul(DAY_MS) / TURN;
    at_ms.saturating_add_signed(since.saturating_neg())
}

/// The highest elevation in each window of a span, 0.01 degree, by its two ends.
#[must_use]
pub(super) fn highest_cdeg(policy: &StreamPolicy, place: Place, span: Span) -> Vec<i32> {
    let edge = |at: usize| {
        let since = u64::try_from(at).unwrap_or(u64::MAX).saturating_mul(policy.window_ms);
        elevation_cdeg(place, span.start_ms.saturating_add(since))
    };
    (0..span.windows(policy)).map(|at| edge(at).max(edge(at.saturating_add(1)))).collect()
}

fn position(lon_e7: i32, at_ms: u64) -> Position {
    let since = i64::try_from(at_ms).unwrap_or(i64::MAX).saturating_sub(EPOCH_MS);
    // Degrees a day in 1e-10, beyond whole turns.
    let mean = turned(2_804_600_000, since, 9_856_474_000);
    let anomaly = turned(3_575_280_000, since, 9_856_003_000);
    let sidereal = turned(2_804_606_184, since, 9_856_473_663).saturating_add(turned(0, since, 3_600_000_000_000));
    let centre = times(19_150_000, sine(anomaly)).saturating_add(times(200_000, sine(anomaly.saturating_mul(2))));
    let ecliptic = mean.saturating_add(centre);
    let reduction = times(24_660_000, sine(ecliptic.saturating_mul(2)));
    let reduction = reduction.saturating_sub(times(530_000, sine(ecliptic.saturating_mul(4))));
    let ascension = ecliptic.saturating_sub(reduction);
    let hour = sidereal.saturating_add(lon_e7.into()).saturating_sub(ascension);
    let hour = hour.saturating_add(TURN / 2).rem_euclid(TURN).saturating_sub(TURN / 2);
    Position { hour, declination: times(sine(234_390_000), sine(ecliptic)) }
}

/// An angle that grows from the epoch on: start in 1e-7 degree, growth in 1e-10 degree a day.
fn turned(start: i64, since_ms: i64, daily_e10: i64) -> i64 {
    let grown = i128::from(since_ms).saturating_mul(daily_e10.into()) / i128::from(DAY_MS) / 1_000;
    let within = grown.saturating_add(start.into()).rem_euclid(TURN.into());
    i64::try_from(within).unwrap_or(0)
}

fn times(one: i64, other: i64) -> i64 {
    i64::try_from(i128::from(one).saturating_mul(other.into()) / i128::from(ONE)).unwrap_or(0)
}

fn cosine(angle: i64) -> i64 {
    sine(angle.saturating_add(TURN / 4))
}

/// The cosine of an angle between −90 and 90 degrees by its sine.
fn cosine_of(sine: i64) -> i64 {
    let square = ONE.saturating_mul(ONE).saturating_sub(sine.saturating_mul(sine)).max(0);
    square.isqrt()
}

/// The sine of an angle in 1e-7 degree, in units of 2^-30: the series to the ninth power on a quarter turn, within 4e-6.
fn sine(angle: i64) -> i64 {
    let turned = angle.rem_euclid(TURN);
    let (negative, half) = if turned >= TURN / 2 { (true, turned.saturating_sub(TURN / 2)) } else { (false, turned) };
    let quarter = half.min((TURN / 2).saturating_sub(half));
    // Radians in 2^-30: quarter · π / 180e7.
    let x = i64::try_from(i128::from(quarter).saturating_mul(3_373_259_426) / 1_800_000_000).unwrap_or(0);
    let square = times(x, x);
    let series = [72, 42, 20, 6]
        .iter()
        .fold(ONE, |sum, divisor| ONE.saturating_sub(times(square, sum).checked_div(*divisor).unwrap_or(0)));
    let value = times(x, series);
    if negative { value.saturating_neg() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sine_is_one_of_four_quarters() {
        let degrees = [0, 30, 90, 150, 180, 210, 270, -30].map(|degree| sine(degree * 10_000_000));
        let wanted = [0, ONE / 2, ONE, ONE / 2, 0, -ONE / 2, -ONE, -ONE / 2];
        assert!(degrees.iter().zip(wanted).all(|(sine, wanted)| (sine - wanted).abs() < 5_000), "{degrees:?}");
    }

    #[test]
    fn the_sun_stands_where_a_published_example_says() {
        // NREL/TP-560-34302, table A5.1: 2003-10-17 19:30:30 UTC, zenith 50.11162 with refraction (0.014 there).
        let golden = Place { lat_e7: 397_424_760, lon_e7: -1_051_786_000 };
        let elevation = elevation_cdeg(golden, 1_066_419_030_000);
        assert!((elevation - 3_987).abs() <= 10, "{elevation}");
    }

    #[test]
    fn noon_is_highest_and_extremes_are_in_bounds() {
        let place = Place { lat_e7: 397_424_760, lon_e7: -1_051_786_000 };
        for day in 0..365u64 {
            let at = 1_640_995_200_000 + day * 86_400_000;
            let noon = noon_ms(place, at);
            let [before, top, after] = [noon - 1_200_000, noon, noon + 1_200_000].map(|at| elevation_cdeg(place, at));
            assert!(top >= before && top >= after && (before - after).abs() <= 12, "day {day}: {before} {top} {after}");
            assert!(noon.abs_diff(at) <= 43_260_000);
        }
        for (lat_e7, lon_e7) in [(i32::MIN, i32::MAX), (i32::MAX, i32::MIN)] {
            for at in [0, 1, u64::MAX] {
                let _ = noon_ms(Place { lat_e7, lon_e7 }, at);
                assert!((-9_000..=9_000).contains(&elevation_cdeg(Place { lat_e7, lon_e7 }, at)));
            }
        }
    }
}
