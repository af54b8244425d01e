//! Distance between two places on a sphere of the Earth's mean radius, in metres, by the haversine formula in fixed
//! point with 60 fractional bits. The arithmetic is good to a millimetre per kilometre or better; the sphere itself
//! differs from the ellipsoid by up to 0.56 %, which whoever sets a distance limit must allow for.

/// 1.0.
const ONE: i128 = 1 << 60;
/// π.
const PI: i128 = 3_622_009_729_038_561_421;
/// Mean radius of the Earth (IUGG R₁), mm.
const RADIUS_MM: i128 = 6_371_008_771;
/// Units of 1e-7 degree in a half turn.
const HALF_TURN: i128 = 1_800_000_000;
/// The same in a quarter turn.
const QUARTER_TURN: i128 = 900_000_000;

/// Metres between two places (latitude, longitude), each in units of 1e-7 degree, rounded to the nearest.
/// Latitudes beyond the poles are taken as the poles; longitudes wrap around.
#[must_use]
pub fn distance_m(a: (i32, i32), b: (i32, i32)) -> u64 {
    let [lat_a, lat_b] = [a.0, b.0].map(|lat| i128::from(lat).clamp(-QUARTER_TURN, QUARTER_TURN));
    let across = (i128::from(a.1) - i128::from(b.1)).abs() % (2 * HALF_TURN);
    let sine_lat = sine_of_half((lat_a - lat_b).abs());
    let sine_lon = sine_of_half(across);
    let cosines = mul(sine(QUARTER_TURN - lat_a.abs()), sine(QUARTER_TURN - lat_b.abs()));
    // Squares keep all 120 bits, so that metres do not drown in rounding.
    let haversine = sine_lat * sine_lat + mul(cosines, sine_lon) * sine_lon;
    let chord = isqrt(haversine.unsigned_abs().min(ONE.unsigned_abs() * ONE.unsigned_abs()));
    let millimetres = (2 * RADIUS_MM * arcsine(chord)) >> 60;
    u64::try_from((millimetres + 500) / 1_000).unwrap_or(0)
}

/// 2 · 4/3 · R₁, m: twice the Earth's radius as radio sees it, since the air bends rays downwards (k = 4/3, ITU-R P.310).
const TWICE_RADIO_RADIUS_M: u64 = 16_989_357;

/// Farthest that two antennas of these heights above a smooth sphere see each other by radio, m:
/// √(2·k·R·h₁) + √(2·k·R·h₂), rounded down.
#[must_use]
pub const fn line_of_sight_m(height_a_m: u32, height_b_m: u32) -> u64 {
    let [a, b] = [horizon_m(height_a_m), horizon_m(height_b_m)];
    a.saturating_add(b)
}

const fn horizon_m(height_m: u32) -> u64 {
    TWICE_RADIO_RADIUS_M.saturating_mul(height_m as u64).isqrt()
}

const fn mul(a: i128, b: i128) -> i128 {
    (a * b) >> 60
}

/// sin of an angle from 0 to a quarter turn, in units of 1e-7 degree.
fn sine(units: i128) -> i128 {
    taylor(units * PI / HALF_TURN)
}

/// sin of half an angle from 0 to a full turn, in units of 1e-7 degree.
fn sine_of_half(units: i128) -> i128 {
    // sin(180° − x) = sin x keeps the series short.
    let folded = units.min(2 * HALF_TURN - units);
    taylor(folded * PI / (2 * HALF_TURN))
}

/// The sine's series for 0 ≤ x ≤ π/2; it ends when a term no longer shows.
fn taylor(x: i128) -> i128 {
    let square = mul(x, x);
    let (mut term, mut sum, mut k) = (x, x, 1);
    while term != 0 && k < 40 {
        term = -mul(term, square) / ((k + 1) * (k + 2));
        sum += term;
        k += 2;
    }
    sum.clamp(0, ONE)
}

/// arcsin of 0 ≤ x ≤ 1, in radians.
fn arcsine(x: i128) -> i128 {
    if 2 * x <= ONE {
        return arcsine_series(x);
    }
    // arcsin x = π/2 − 2·arcsin √((1−x)/2): the series converges fast only for small arguments.
    let half = (ONE - x).max(0).unsigned_abs() << 59;
    PI / 2 - 2 * arcsine_series(isqrt(half))
}

fn arcsine_series(x: i128) -> i128 {
    let square = mul(x, x);
    let (mut power, mut sum, mut k) = (x, x, 1);
    while power != 0 && k < 80 {
        power = mul(power, square) * (k * k) / ((k + 1) * (k + 2));
        sum += power;
        k += 2;
    }
    sum
}

/// Floor of the square root of a number with 120 fractional bits: 60 remain.
fn isqrt(value: u128) -> i128 {
    i128::try_from(value.isqrt()).unwrap_or(ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEGREE: i32 = 10_000_000;

    #[test]
    fn known_angles() {
        assert_eq!(distance_m((0, 0), (0, 0)), 0);
        // A quarter and a half of the circumference.
        assert_eq!(distance_m((0, 0), (90 * DEGREE, 0)), 10_007_557);
        assert_eq!(distance_m((0, 0), (0, 180 * DEGREE)), 20_015_114);
        assert_eq!(distance_m((-90 * DEGREE, 17), (90 * DEGREE, -99)), 20_015_114);
        // One minute of arc.
        assert_eq!(distance_m((0, 0), (DEGREE / 60, 0)), 1_853);
    }

    #[test]
    fn metres_are_seen_and_the_date_line_is_no_wall() {
        assert_eq!(distance_m((480_000_000, 110_000_000), (480_000_090, 110_000_000)), 1);
        assert_eq!(distance_m((480_000_000, 110_000_000), (480_000_000, 110_000_000 + 1_344)), 10);
        let east_west = distance_m((0, 179 * DEGREE), (0, -179 * DEGREE));
        assert_eq!(east_west, distance_m((0, 0), (0, 2 * DEGREE)));
    }

    #[test]
    fn a_pole_is_no_wall_either() {
        // 300 m on either side of a pole: 26,980 units of 1e-7 degree from it, on opposite meridians.
        for pole in [1, -1] {
            let at = |lon| (pole * (900_000_000 - 26_980), lon);
            assert_eq!(distance_m(at(0), at(180 * DEGREE)), 600);
            assert_eq!(distance_m(at(-180 * DEGREE), at(0)), 600);
            assert_eq!(distance_m(at(123_456_789), at(123_456_789 - 180 * DEGREE)), 600);
            // A quarter turn apart: the hypotenuse.
            assert_eq!(distance_m(at(0), at(90 * DEGREE)), 424);
            // At the pole itself every longitude is the same place.
            assert_eq!(distance_m((pole * 90 * DEGREE, 17), (pole * 90 * DEGREE, -99 * DEGREE)), 0);
            assert_eq!(distance_m((pole * 90 * DEGREE, 17), at(-99 * DEGREE)), 300);
        }
    }

    #[test]
    fn three_hundred_metres_on_either_side_of_the_date_line() {
        for lat in [0, 45, -60, 80] {
            let (east, west) = ((lat * DEGREE, 180 * DEGREE - 26_980), (lat * DEGREE, -180 * DEGREE + 26_980));
            let (start, end) = ((lat * DEGREE, 26_980), (lat * DEGREE, -26_980));
            assert_eq!(distance_m(east, west), distance_m(start, end), "{lat}");
        }
        assert_eq!(distance_m((0, 180 * DEGREE - 26_980), (0, -180 * DEGREE + 26_980)), 600);
        // +180 and −180 name one meridian.
        assert_eq!(distance_m((450_000_000, 180 * DEGREE), (450_000_000, -180 * DEGREE)), 0);
    }

    #[test]
    fn lines_of_sight() {
        assert_eq!(line_of_sight_m(0, 0), 0);
        // The rule of thumb is 4.12 km · √h.
        assert_eq!(line_of_sight_m(100, 0), 41_218);
        assert_eq!(line_of_sight_m(50, 50), 2 * 29_145);
        // A balloon at 32 km and a mast of 150 m; two mountains.
        assert_eq!(line_of_sight_m(32_000, 150), 737_332 + 50_481);
        assert_eq!(line_of_sight_m(1_350, 3_835), 151_445 + 255_253);
        assert!(line_of_sight_m(u32::MAX, u32::MAX) > 500_000_000);
    }

    #[test]
    fn hostile_coordinates_do_not_overflow() {
        for lat in [i32::MIN, 0, i32::MAX] {
            for lon in [i32::MIN, 0, i32::MAX] {
                assert!(distance_m((lat, lon), (i32::MAX, i32::MIN)) <= 20_015_115);
                assert_eq!(distance_m((lat, lon), (lat, lon)), 0);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn symmetric_and_never_longer_by_a_detour(
            a in (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000),
            b in (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000),
            c in (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000),
        ) {
            proptest::prop_assert_eq!(distance_m(a, b), distance_m(b, a));
            proptest::prop_assert!(distance_m(a, c) <= distance_m(a, b) + distance_m(b, c) + 2);
        }
    }
}
