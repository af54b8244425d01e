//! The Wilson score interval in billionths, exact up to one rounding against whoever claims it.
//!
//! With k of n, z² = Z / 10⁶ and M = 10⁶:
//! bound = (2Mk + Z ∓ √(Z·(4M·k(n−k) + Z·n) / n)) / (2(Mn + Z)).

use alloy_primitives::aliases::U512;

/// One, in billionths.
pub const BILLION: u64 = 1_000_000_000;
const MILLION: u64 = 1_000_000;

/// Lower bound of the proportion `passed` of `of`, billionths, rounded down; 0 when nothing was tried.
/// `z_squared_millionths` is z² · 10⁶. More passed than tried counts as all.
#[must_use]
pub fn wilson_lower(passed: u64, of: u64, z_squared_millionths: u64) -> u64 {
    if of == 0 {
        return 0;
    }
    let parts = Parts::of(passed.min(of), of, z_squared_millionths);
    let numerator = parts.centre.saturating_sub(root_up(parts.radicand));
    u64::try_from(numerator / parts.denominator).unwrap_or(0).min(BILLION)
}

/// Upper bound of the proportion `passed` of `of`, billionths, rounded up; one when nothing was tried.
/// Exactly one minus the lower bound of what did not pass.
#[must_use]
pub fn wilson_upper(passed: u64, of: u64, z_squared_millionths: u64) -> u64 {
    BILLION.saturating_sub(wilson_lower(of.saturating_sub(passed), of, z_squared_millionths))
}

/// The terms of the formula, scaled by a billion.
struct Parts {
    centre: U512,
    /// Square of the half width, rounded up.
    radicand: U512,
    denominator: U512,
}

impl Parts {
    fn of(k: u64, n: u64, z: u64) -> Self {
        let [big_k, big_n, big_z] = [k, n, z].map(U512::from);
        let [m, scale] = [MILLION, BILLION].map(U512::from);
        let four = U512::from(4u64);
        let spread = four * m * big_k * (big_n - big_k) + big_z * big_n;
        let dividend = big_z * spread * scale * scale;
        Self {
            centre: scale * (U512::from(2u64) * m * big_k + big_z),
            radicand: dividend.div_ceil(big_n),
            denominator: U512::from(2u64) * (m * big_n + big_z),
        }
    }
}

/// Smallest integer whose square is at least `value`, by Newton's method from above.
fn root_up(value: U512) -> U512 {
    if value.is_zero() {
        return value;
    }
    let mut root = U512::from(1u64) << value.bit_len().div_ceil(2);
    loop {
        let next = (root + value / root) >> 1;
        if next >= root {
            break;
        }
        root = next;
    }
    if root * root < value { root + U512::from(1u64) } else { root }
}

#[cfg(test)]
mod tests {
    use super::*;

    const Z2: u64 = 2_706_025; // 1.645²

    /// Basis points, nearest.
    fn bp(billionths: u64) -> u64 {
        (billionths + 50_000) / 100_000
    }

    #[test]
    fn published_values_at_z_1_645() {
        assert_eq!(bp(wilson_lower(1_440, 1_440, Z2)), 9_981);
        assert_eq!(bp(wilson_lower(1_435, 1_440, Z2)), 9_929);
        assert_eq!(bp(wilson_lower(285, 288, Z2)), 9_742);
        // Twelve of twelve can never show more than about 82 %.
        assert_eq!(wilson_lower(12, 12, Z2) / 10_000_000, 81);
    }

    #[test]
    fn nothing_tried_proves_nothing() {
        assert_eq!((wilson_lower(0, 0, Z2), wilson_upper(0, 0, Z2)), (0, BILLION));
    }

    #[test]
    fn all_passed_is_the_closed_form() {
        // With k = n the bound is n / (n + z²).
        for n in [1, 2, 3, 10, 1_000, 123_456_789] {
            let exact = u128::from(n) * u128::from(MILLION) * u128::from(BILLION)
                / (u128::from(n) * u128::from(MILLION) + u128::from(Z2));
            let bound = u128::from(wilson_lower(n, n, Z2));
            assert!(bound == exact || bound + 1 == exact, "{n}: {bound} {exact}");
        }
    }

    #[test]
    fn the_largest_inputs_neither_overflow_nor_leave_the_interval() {
        for k in [0, 1, u64::MAX / 2, u64::MAX] {
            for z in [1, Z2, u64::MAX] {
                let (low, high) = (wilson_lower(k, u64::MAX, z), wilson_upper(k, u64::MAX, z));
                assert!(low <= high && high <= BILLION);
            }
        }
        assert_eq!(wilson_lower(9, 3, Z2), wilson_lower(3, 3, Z2));
    }

    proptest::proptest! {
        #[test]
        fn bounds_enclose_the_share_and_solve_the_defining_equation(n in 1u64..1_000_000, part in 0u64..=1_000, z in 1u64..20_000_000) {
            let k = n * part / 1_000;
            let (low, high) = (wilson_lower(k, n, z), wilson_upper(k, n, z));
            let share = u128::from(k) * u128::from(BILLION);
            proptest::prop_assert!(u128::from(low) * u128::from(n) <= share);
            proptest::prop_assert!(u128::from(high) * u128::from(n) >= share);
            // At the exact bound p: n(k/n − p)² = z² p(1−p). Just inside it the left side is smaller, just outside larger.
            proptest::prop_assert!(!outside(k, n, z, low + 2) || low + 2 > high);
            proptest::prop_assert!(low == 0 || outside(k, n, z, low - 1));
        }

        #[test]
        fn more_passed_never_lowers_a_bound(n in 1u64..5_000, k in 0u64..5_000) {
            let k = k.min(n - 1);
            proptest::prop_assert!(wilson_lower(k, n, Z2) <= wilson_lower(k + 1, n, Z2));
            proptest::prop_assert!(wilson_upper(k, n, Z2) <= wilson_upper(k + 1, n, Z2));
        }
    }

    /// Whether p (billionths) lies outside the interval: M(kB − np)² > Z·n·p(B − p).
    fn outside(k: u64, n: u64, z: u64, p: u64) -> bool {
        let [k, n, z, p, b, m] = [k, n, z, p, BILLION, MILLION].map(U512::from);
        let (share, at) = (k * b, n * p);
        let distance = if share > at { share - at } else { at - share };
        m * distance * distance > z * n * p * (b - p)
    }
}
