//! The most that a panel can give by the sun alone: the sun's height over a place at a time, and the irradiance of a clear
//! sky by Haurwitz' formula (GHI = 1098 · cos z · e^(-0.059 / cos z) W/m², 1945), in fixed point. The sun's place is by the
//! low-precision formulas of the Astronomical Almanac, good to 0.02 degrees from 1950 to 2050.
//! Leaves out: altitude, haze, horizon and how a panel is really turned. A bound needs none of them.

use serde::{Deserialize, Serialize};

use crate::class::Fault;
use crate::class::energy::reason::{fault, held};
use crate::class::energy::trig::{ONE, cosine, exp_of_minus, mul, sine};
use crate::reason::Reason;

/// Unix seconds of the epoch J2000.
const J2000_S: i128 = 946_728_000;
const DAY_S: i128 = 86_400;
/// The sun's upper edge touches the horizon, refraction included: 0.833 degrees below.
const HORIZON: i128 = -8_330_000;
/// Haurwitz' constants: mW/m², and 0.059 with 60 fractional bits.
const HAURWITZ_MW: i128 = 1_098_000;
const HAURWITZ_EXPONENT: i128 = ONE * 59 / 1_000;
/// Irradiance at which a panel gives its rated power, mW/m².
const RATED_MW: i128 = 1_000_000;
/// Most steps into which a window is cut; a step of a shorter window is a minute.
const STEPS_MAX: u64 = 96;
/// Windows of at least this length are held to the narrow limit, s.
pub(crate) const LONG_S: u64 = 3_600;
/// Windows of at most this length are held to the wide limit, s.
pub(crate) const SHORT_S: u64 = 300;

/// How a panel is taken to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Panel {
    /// Flat on the ground: the irradiance of the plane.
    Flat,
    /// Turned to the sun as well as can be, always: the irradiance of the plane, over the cosine that it lies at.
    Tilted,
}

/// What panels are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sky {
    /// How panels are taken to lie.
    pub(crate) panel: Panel,
    /// Windows of an hour or more: refused above this part of clear sky, and shorter ones count no more, basis points.
    pub(crate) long_bp: u32,
    /// Windows of five minutes or less: refused above this part of clear sky, basis points.
    pub(crate) short_bp: u32,
    /// What twilight and a flat sun may give whatever the formula says, in basis points of rated power.
    pub(crate) dawn_bp: u32,
}

/// Sine of the sun's height over a place (latitude, longitude in 1e-7 degree), with 60 fractional bits.
#[must_use]
pub(crate) fn sine_of_height(place: (i32, i32), unix_s: u64) -> i128 {
    let t = i128::from(unix_s) - J2000_S;
    // All angles in 1e-7 degree; the motions are per day.
    let longitude = 2_804_600_000 + 9_856_474 * t / DAY_S;
    let anomaly = 3_575_280_000 + 9_856_003 * t / DAY_S;
    let centre = (19_150_000 * sine(anomaly) + 200_000 * sine(2 * anomaly)) >> 60;
    let ecliptic = longitude + centre;
    let obliquity = 234_390_000 - 4 * t / DAY_S;
    let sidereal = 2_804_606_184 + 36_098_564_736_629 * t / (DAY_S * 10_000) + i128::from(place.1);
    let latitude = i128::from(place.0).clamp(-900_000_000, 900_000_000);
    // The sun as a vector in the equator's frame; no inverse function is needed.
    let (x, y) = (cosine(ecliptic), mul(cosine(obliquity), sine(ecliptic)));
    let z = mul(sine(obliquity), sine(ecliptic));
    let along = mul(cosine(sidereal), x) + mul(sine(sidereal), y);
    mul(sine(latitude), z) + mul(cosine(latitude), along)
}

/// Irradiance of a clear sky on a panel, mW/m², by the sine of the sun's height.
#[must_use]
pub(crate) fn irradiance_mw(panel: Panel, height: i128) -> i128 {
    // Below a thousandth the exponential has long vanished.
    if height < ONE / 1_000 {
        return 0;
    }
    let through = exp_of_minus((HAURWITZ_EXPONENT << 60) / height);
    match panel {
        Panel::Flat => (HAURWITZ_MW * mul(height.min(ONE), through)) >> 60,
        Panel::Tilted => (HAURWITZ_MW * through) >> 60,
    }
}

/// A window held against the sun: energies in units of `10^resolution` Wh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sunlit {
    /// Above this the window is refused.
    pub(crate) refused_above: u64,
    /// More than this does not count.
    pub(crate) counted_up_to: u64,
}

impl Sky {
    /// What a panel of `rated_w` can give in `[start, end)` at a place; `None` when the numbers are out of all proportion.
    #[must_use]
    pub(crate) fn limits(
        &self,
        place: (i32, i32),
        rated_w: u64,
        (start, end): (u64, u64),
        resolution: i32,
    ) -> Option<Sunlit> {
        let seconds = end.checked_sub(start)?;
        let step = seconds.div_ceil(STEPS_MAX).max(60);
        let (mut from, mut sum, dawn) = (start, 0i128, i128::from(self.dawn_bp) * RATED_MW / 10_000);
        let horizon = sine(HORIZON);
        while from < end {
            let length = step.min(end.checked_sub(from)?);
            let height = sine_of_height(place, from.checked_add(length / 2)?);
            // The edge of a step may be light while its middle is dark.
            let edges = [from, from.checked_add(length)?].map(|time| sine_of_height(place, time));
            let highest = edges.into_iter().fold(height, i128::max);
            if highest >= horizon {
                let most = irradiance_mw(self.panel, height).max(dawn);
                sum = sum.checked_add(most.checked_mul(length.into())?)?;
            }
            from = from.checked_add(length)?;
        }
        let units = |part_bp: u64| -> Option<u64> {
            let energy = i128::from(rated_w).checked_mul(sum)?.checked_mul(part_bp.into())?;
            scaled(energy, RATED_MW * 3_600 * 10_000, resolution)
        };
        Some(Sunlit { refused_above: units(self.part_bp(seconds))?, counted_up_to: units(self.long_bp.into())? })
    }

    /// The part of clear sky above which a window of this length is refused: falling evenly from short to long.
    #[must_use]
    pub(crate) fn part_bp(&self, seconds: u64) -> u64 {
        let (long, short) = (u64::from(self.long_bp), u64::from(self.short_bp));
        let left = LONG_S.saturating_sub(seconds.max(SHORT_S));
        long + short.saturating_sub(long) * left / (LONG_S - SHORT_S)
    }

    /// What counts of a window's energy.
    ///
    /// # Errors
    /// [`Reason::ENERGY_AT_NIGHT`] and [`Reason::ABOVE_CLEAR_SKY`]; one unit is granted, since registers show whole units.
    pub(crate) fn counted(&self, energy: u64, limits: Sunlit) -> Result<u64, Fault> {
        let limit = limits.refused_above.saturating_add(1);
        let reason = if limits.refused_above == 0 { Reason::ENERGY_AT_NIGHT } else { Reason::ABOVE_CLEAR_SKY };
        held(energy <= limit, fault(reason, energy, limit))?;
        Ok(energy.min(limits.counted_up_to.saturating_add(1)))
    }
}

/// `energy / divisor` Wh in units of `10^resolution` Wh, rounded down.
pub(crate) fn scaled(energy: i128, divisor: i128, resolution: i32) -> Option<u64> {
    let factor = 10i128.checked_pow(resolution.unsigned_abs())?;
    let units = if resolution <= 0 {
        // Multiply first where it fits, so that no digit is lost; else last, rounding down a little more.
        match energy.checked_mul(factor) {
            Some(product) => product.checked_div(divisor)?,
            None => energy.checked_div(divisor)?.checked_mul(factor)?,
        }
    } else {
        energy.checked_div(divisor.checked_mul(factor)?)?
    };
    Some(u64::try_from(units.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
