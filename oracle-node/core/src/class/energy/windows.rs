//! A device's own meter windows: how far a register advanced between two times, with what the device summed up from its
//! power samples. One window is held against its length, its own sum, the rated power and the sun.
//! Leaves out: which windows can count together (`chain`), and what a signed meter says of them (`judge`).

use crate::class::Fault;
use crate::class::energy::decimal::Decimal;
use crate::class::energy::reason::{fault, held};
use crate::class::energy::sky::{Sky, scaled};
use crate::reason::Reason;

/// One window `[start, end)`. Energies are `n · 10^exponent` watt hours, powers `n · 10^exponent` watts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Window {
    /// Start, unix seconds.
    pub(crate) start: u64,
    /// End, unix seconds.
    pub(crate) end: u64,
    /// The register at the start. One that rolls over is refused there, and from then on until the meter has a new number.
    pub(crate) first: u64,
    /// The register at the end.
    pub(crate) last: u64,
    /// The energy that the device summed up from its own power samples.
    pub(crate) sampled: i64,
    /// The highest power sampled.
    pub(crate) peak: i64,
    /// Number of the register.
    pub(crate) register: u64,
    /// The decimal exponent of all of these.
    pub(crate) exponent: i8,
}

/// Where a device is (latitude, longitude in 1e-7 degree), or why that is not known.
pub(crate) type Place = Result<(i32, i32), Fault>;

/// What a window is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The latest end that is believed, unix seconds.
    pub(crate) latest_s: u64,
    /// Longest window, s.
    pub(crate) longest_s: u64,
    /// Energy is counted in units of `10^resolution_exponent` Wh.
    pub(crate) resolution_exponent: i32,
    /// The device's rated power, W.
    pub(crate) rated_w: u64,
    /// Energy above this part of rated power times time is refused, basis points.
    pub(crate) rated_margin_bp: u32,
    /// The register and the device's own sum may differ by this part of the register's advance, basis points ...
    pub(crate) balance_bp: u32,
    /// ... or by so many of the window's units, whichever is more.
    pub(crate) balance_units: u32,
    /// For a panel: the sky, and where the panel is.
    pub(crate) sky: Option<(Sky, Place)>,
}

/// A window that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// What counts, in units of the policy's resolution.
    pub(crate) units: u64,
    /// What the register shows, in the same units: more where a short window lies above the narrow limit of the sky.
    pub(crate) shown: u64,
    /// The register at the start and the end, in units of the policy's resolution.
    pub(crate) register: (i128, i128),
}

/// Judges one window by itself.
///
/// # Errors
/// The first rule that does not hold, with what was measured and its limit.
pub(crate) fn judge(window: &Window, rules: &Rules) -> Result<Counted, Fault> {
    held(window.start < window.end, fault(Reason::NO_DURATION, window.end, window.start))?;
    held(window.end <= rules.latest_s, fault(Reason::ENERGY_FROM_FUTURE, window.end, rules.latest_s))?;
    let seconds = window.end.saturating_sub(window.start);
    held(seconds <= rules.longest_s, fault(Reason::WINDOW_TOO_LONG, seconds, rules.longest_s))?;
    held(window.first <= window.last, fault(Reason::REGISTER_FELL, window.last, window.first))?;
    let in_units = |value: u64| Decimal::new(value.into(), window.exponent.into()).units_of(rules.resolution_exponent);
    let lost = Fault::plain(Reason::DIGITS_LOST);
    let register = (in_units(window.first).ok_or(lost)?, in_units(window.last).ok_or(lost)?);
    let advance = window.last.saturating_sub(window.first);
    let shown = in_units(advance).and_then(|units| u64::try_from(units).ok()).ok_or(lost)?;
    check_balance(advance, window.sampled, rules)?;
    check_rated(window, (shown, seconds), rules)?;
    let units = match rules.sky {
        None => shown,
        Some((sky, place)) => {
            let limits = sky.limits(place?, rules.rated_w, (window.start, window.end), rules.resolution_exponent);
            sky.counted(shown, limits.ok_or(fault(Reason::WRONG_SCALE, rules.resolution_exponent, 0))?)?
        }
    };
    Ok(Counted { units, shown, register })
}

/// |ΔE − ΣPΔt| ≤ max(part of ΔE, units).
fn check_balance(advance: u64, sampled: i64, rules: &Rules) -> Result<(), Fault> {
    let apart = (i128::from(advance) - i128::from(sampled)).unsigned_abs();
    let part = u128::from(advance) * u128::from(rules.balance_bp) / 10_000;
    let limit = part.max(rules.balance_units.into());
    held(apart <= limit, fault(Reason::SUM_DISAGREES, apart, limit))
}

/// Energy and peak within the rated power; one unit of energy is granted, since registers show whole units.
fn check_rated(window: &Window, (shown, seconds): (u64, u64), rules: &Rules) -> Result<(), Fault> {
    let scale = fault(Reason::WRONG_SCALE, rules.resolution_exponent, 0);
    let limit = rated_units(rules.rated_w, seconds, rules.rated_margin_bp, rules.resolution_exponent).ok_or(scale)?;
    let coarse = i32::from(window.exponent).saturating_sub(rules.resolution_exponent).max(0).unsigned_abs();
    let limit = limit.saturating_add(10u64.saturating_pow(coarse));
    held(shown <= limit, fault(Reason::ABOVE_RATED, shown, limit))?;
    let margin = i128::from(rules.rated_w) * i128::from(rules.rated_margin_bp);
    let most = scaled(margin, 10_000, window.exponent.into()).ok_or(scale)?.saturating_add(1);
    let within = u64::try_from(window.peak).unwrap_or(0) <= most;
    held(within, fault(Reason::PEAK_ABOVE_RATED, window.peak, most))
}

/// Rated power times time, with its margin, in units of `10^resolution` Wh, rounded down; the largest number where it does
/// not fit, `None` where it cannot be computed.
#[must_use]
pub(crate) fn rated_units(rated_w: u64, seconds: u64, margin_bp: u32, resolution: i32) -> Option<u64> {
    let energy = i128::from(rated_w).checked_mul(seconds.into())?.checked_mul(margin_bp.into())?;
    scaled(energy, 3_600 * 10_000, resolution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::energy::sky::Panel;

    fn rules() -> Rules {
        Rules {
            latest_s: 1_800_000_000,
            longest_s: 86_400,
            resolution_exponent: -3,
            rated_w: 10_000,
            rated_margin_bp: 10_500,
            balance_bp: 100,
            balance_units: 2,
            sky: None,
        }
    }

    fn window() -> Window {
        Window {
            start: 1_647_630_000,
            end: 1_647_633_600,
            first: 5_000,
            last: 9_000,
            sampled: 4_010,
            peak: 6_000,
            register: 1,
            exponent: 0,
        }
    }

    #[test]
    fn a_good_window_counts_to_the_unit() {
        let counted = judge(&window(), &rules()).unwrap();
        assert_eq!(counted, Counted { units: 4_000_000, shown: 4_000_000, register: (5_000_000, 9_000_000) });
    }

    #[test]
    fn each_rule_has_its_reason() {
        let good = window();
        let spoilt = |change: &dyn Fn(&mut Window)| {
            let mut window = good;
            change(&mut window);
            judge(&window, &rules()).unwrap_err().reason
        };
        assert_eq!(spoilt(&|w| w.end = w.start), Reason::NO_DURATION);
        assert_eq!(spoilt(&|w| w.end = 1_800_000_001), Reason::ENERGY_FROM_FUTURE);
        assert_eq!(spoilt(&|w| w.end = w.start + 86_401), Reason::WINDOW_TOO_LONG);
        assert_eq!(spoilt(&|w| w.last = 4_999), Reason::REGISTER_FELL);
        assert_eq!(spoilt(&|w| (w.exponent, w.first) = (-4, 5_001)), Reason::DIGITS_LOST);
        assert_eq!(spoilt(&|w| w.sampled = 3_959), Reason::SUM_DISAGREES);
        assert_eq!(spoilt(&|w| w.sampled = i64::MIN), Reason::SUM_DISAGREES);
        assert_eq!(spoilt(&|w| (w.last, w.sampled) = (15_502, 10_502)), Reason::ABOVE_RATED);
        assert_eq!(spoilt(&|w| w.peak = 10_502), Reason::PEAK_ABOVE_RATED);
        let sky = Sky { panel: Panel::Flat, long_bp: 11_000, short_bp: 15_000, dawn_bp: 100 };
        let nowhere = Rules { sky: Some((sky, Err(Fault::plain(Reason::NO_LOCATION)))), ..rules() };
        assert_eq!(judge(&good, &nowhere).unwrap_err().reason, Reason::NO_LOCATION);
        // The other side of the world has night.
        let dark = Rules { sky: Some((sky, Ok((-397_420_000, 748_273_000)))), ..rules() };
        assert_eq!(judge(&good, &dark).unwrap_err().reason, Reason::ENERGY_AT_NIGHT);
    }

    proptest::proptest! {
        #[test]
        fn extremes_of_every_number_stay_in_bounds(
            numbers: (u64, u64, u64, u64, i64, i64, i8), limits: (u64, u64, u64, u32, u32, u32), resolution in -16i32..=3, near: bool,
        ) {
            let (start, end, first, last, sampled, peak, exponent) = numbers;
            let end = if near { start.saturating_add(end % 7_200) } else { end };
            let window = Window { start, end, first, last, sampled, peak, register: 0, exponent };
            let (latest_s, longest_s, rated_w, rated_margin_bp, balance_bp, balance_units) = limits;
            let sky = Sky { panel: Panel::Tilted, long_bp: balance_bp, short_bp: rated_margin_bp, dawn_bp: 100 };
            let sky = near.then_some((sky, Ok((i32::MAX, i32::MIN))));
            let rules = Rules { latest_s, longest_s, resolution_exponent: resolution, rated_w, rated_margin_bp, balance_bp, balance_units, sky };
            if let Ok(counted) = judge(&window, &rules) {
                proptest::prop_assert!(counted.units <= counted.shown);
            }
        }
    }
}
