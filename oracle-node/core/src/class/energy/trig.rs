//! Sine, cosine and e^-x in fixed point with 60 fractional bits, for angles in units of 1e-7 degree.
//! Leaves out: inverse functions, and distances.

/// 1.0.
pub(crate) const ONE: i128 = 1 << 60;
/// π.
const PI: i128 = 3_622_009_729_038_561_421;
/// ln 2.
const LN_2: i128 = 799_144_290_325_165_979;
/// Units of 1e-7 degree in a half turn.
pub(crate) const HALF_TURN: i128 = 1_800_000_000;
/// The same in a quarter turn.
pub(crate) const QUARTER_TURN: i128 = 900_000_000;
/// Above this, e^-x does not show in 60 bits.
const EXPONENT_MAX: i128 = 42 << 60;

/// Product of two numbers with 60 fractional bits, each of magnitude below 8.
#[must_use]
pub(crate) const fn mul(a: i128, b: i128) -> i128 {
    (a * b) >> 60
}

/// Sine of any angle in units of 1e-7 degree.
#[must_use]
pub(crate) fn sine(units: i128) -> i128 {
    let turned = units.rem_euclid(2 * HALF_TURN);
    let (sign, half) = if turned >= HALF_TURN { (-1, turned - HALF_TURN) } else { (1, turned) };
    // sin(180° − x) = sin x keeps the series short.
    let folded = half.min(HALF_TURN - half);
    sign * series(folded * PI / HALF_TURN)
}

/// Cosine of any angle in units of 1e-7 degree.
#[must_use]
pub(crate) fn cosine(units: i128) -> i128 {
    sine(units.rem_euclid(2 * HALF_TURN) + QUARTER_TURN)
}

/// The sine's series for 0 ≤ x ≤ π/2; it ends when a term no longer shows.
fn series(x: i128) -> i128 {
    let square = mul(x, x);
    let (mut term, mut sum, mut k) = (x, x, 1);
    while term != 0 && k < 40 {
        term = -mul(term, square) / ((k + 1) * (k + 2));
        sum += term;
        k += 2;
    }
    sum.clamp(0, ONE)
}

/// e^-x for x ≥ 0; a negative x is taken as 0.
#[must_use]
pub(crate) fn exp_of_minus(x: i128) -> i128 {
    let x = x.max(0);
    if x >= EXPONENT_MAX {
        return 0;
    }
    // e^-x = 2^-halvings · e^-rest, with a rest below ln 2.
    let (halvings, rest) = (x / LN_2, x % LN_2);
    let (mut term, mut sum, mut k) = (ONE, ONE, 1);
    while term != 0 && k < 40 {
        term = -mul(term, rest) / k;
        sum += term;
        k += 1;
    }
    u32::try_from(halvings).map_or(0, |halvings| sum.clamp(0, ONE) >> halvings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In millionths, rounded.
    fn millionths(value: i128) -> i128 {
        (value * 1_000_000 + ONE / 2) >> 60
    }

    #[test]
    fn known_values() {
        let degree = 10_000_000;
        for (degrees, expected) in [(0, 0), (30, 500_000), (45, 707_107), (90, 1_000_000), (150, 500_000), (180, 0)] {
            assert_eq!(millionths(sine(degrees * degree)), expected, "{degrees}");
            assert_eq!(sine(-degrees * degree), -sine(degrees * degree), "{degrees}");
            assert_eq!(sine((degrees + 360_000) * degree), sine(degrees * degree), "{degrees}");
        }
        assert_eq!(millionths(cosine(60 * degree)), 500_000);
        assert_eq!(millionths(cosine(180 * degree)), -1_000_000);
        for (tenths, expected) in [(0, 1_000_000), (1, 904_837), (10, 367_879), (100, 45), (1_000, 0)] {
            assert_eq!(millionths(exp_of_minus(ONE * tenths / 10)), expected, "{tenths}");
        }
    }

    proptest::proptest! {
        #[test]
        fn squares_add_up_to_one_for_every_angle(units: i64) {
            let (s, c) = (sine(units.into()), cosine(units.into()));
            proptest::prop_assert!((mul(s, s) + mul(c, c) - ONE).abs() < 1 << 12);
        }

        #[test]
        fn the_exponential_falls_and_stays_within_bounds(x: i64, more in 0i64..1 << 50) {
            let (x, y) = (exp_of_minus(i128::from(x) << 8), exp_of_minus((i128::from(x) << 8) + i128::from(more)));
            proptest::prop_assert!((0..=ONE).contains(&x) && y <= x + 64);
        }
    }
}
