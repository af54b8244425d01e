//! The section of a policy that this class reads: JSON with every number checked.
//! Leaves out: what belongs to one device (its place, its meter's key).

use serde::{Deserialize, Serialize};

use crate::class::energy::ocmf::key::Curve;
use crate::class::energy::sky::Sky;
use crate::class::energy::{ocmf::session, windows};

/// What energy is paid by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pays {
    /// Signed records of charging sessions; the device's own windows are only held against them.
    Sessions,
    /// The device's own windows; a signed record that disagrees with one disputes it.
    Windows,
}

/// The clocks of signed meters that count, besides a synchronised one. An unknown clock never counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Clocks {
    /// An informative clock counts when the record came within so many ms of its end; 0 when it never counts.
    pub(crate) informative_ms: u64,
    /// Whether a relative clock counts.
    pub(crate) relative: bool,
}

/// The section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    /// What energy is paid by.
    pub(crate) pays: Pays,
    /// One unit is `10^resolution_exponent` Wh, -16 to 3.
    pub(crate) resolution_exponent: i32,
    /// Rated power of the devices leased under the policy, 1 to 10^12 W.
    pub(crate) rated_w: u64,
    /// Energy and power above this part of rated power are refused, 10,000 to 20,000 basis points.
    pub(crate) rated_margin_bp: u32,
    /// Longest window or session, 60 to 2,678,400 s.
    pub(crate) longest_s: u64,
    /// A register and the device's own sum may differ by this part, 0 to 1,000 basis points ...
    pub(crate) balance_bp: u32,
    /// ... or by so many units of the window, 0 to 100.
    pub(crate) balance_units: u32,
    /// A message counts until so many ms after the second that it claims; at least `fresh_ms`.
    pub(crate) late_ms: u32,
    /// One that was held until so many ms after that second is known to have arrived by then.
    pub(crate) fresh_ms: u32,
    /// Names of the curves that meters' keys may lie on.
    pub(crate) curves: Vec<String>,
    /// The clocks of signed meters that count.
    pub(crate) clocks: Clocks,
    /// For panels: what they are held to under the sun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sky: Option<Sky>,
}

impl Section {
    /// Reads the section from its JSON value.
    ///
    /// # Errors
    /// A sentence naming the field and what is wrong with it.
    pub(crate) fn read(value: &serde_json::Value) -> Result<Self, String> {
        let section = Self::deserialize(value).map_err(|e| e.to_string())?;
        section.check().map(|()| section)
    }

    /// Numbers with which nothing could be judged, or everything would pass.
    fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: i64, least: i64, most: i64| {
            let inside = (least..=most).contains(&value);
            if inside { Ok(()) } else { Err(format!("{name} {value} is not within {least} to {most}")) }
        };
        let wide = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        within("resolution_exponent", self.resolution_exponent.into(), -16, 3)?;
        within("rated_w", wide(self.rated_w), 1, 1_000_000_000_000)?;
        within("late_ms", self.late_ms.into(), self.fresh_ms.into(), u32::MAX.saturating_sub(2).into())?;
        within("rated_margin_bp", self.rated_margin_bp.into(), 10_000, 20_000)?;
        within("longest_s", wide(self.longest_s), 60, 2_678_400)?;
        within("balance_bp", self.balance_bp.into(), 0, 1_000)?;
        within("balance_units", self.balance_units.into(), 0, 100)?;
        within("clocks.informative_ms", wide(self.clocks.informative_ms), 0, 86_400_000)?;
        if let Some(sky) = &self.sky {
            within("sky.long_bp", sky.long_bp.into(), 10_000, 20_000)?;
            within("sky.short_bp", sky.short_bp.into(), sky.long_bp.into(), 30_000)?;
            within("sky.dawn_bp", sky.dawn_bp.into(), 0, 1_000)?;
        }
        self.allowed().map(|_| ())
    }

    /// The curves that meters' keys may lie on.
    ///
    /// # Errors
    /// A sentence naming a curve that is unknown, too weak, or that nothing here can verify.
    pub(crate) fn allowed(&self) -> Result<Vec<Curve>, String> {
        let one = |name: &String| {
            let curve = Curve::by_name(name).ok_or_else(|| format!("curves: no curve is named {name}"))?;
            if curve.bits() < 256 {
                return Err(format!("curves: {name} has {} bits, and 256 are the least", curve.bits()));
            }
            let known = Curve::VERIFIABLE.contains(&curve);
            if known { Ok(curve) } else { Err(format!("curves: no signature on {name} can be verified here")) }
        };
        self.curves.iter().take(64).map(one).collect()
    }

    /// The rules for one session of a device of this rated power. `fresh` tells whether all of its records came within the
    /// time of an informative clock, `late_ms` how late the last of them came.
    #[must_use]
    pub(crate) const fn session_rules(&self, rated_w: u64, latest_s: u64, fresh: bool, late_ms: u64) -> session::Rules {
        session::Rules {
            informative: fresh && self.clocks.informative_ms > 0,
            relative: self.clocks.relative,
            arrival_ms: (late_ms, self.clocks.informative_ms),
            latest_s,
            longest_s: self.longest_s,
            resolution_exponent: self.resolution_exponent,
            rated_w,
            rated_margin_bp: self.rated_margin_bp,
        }
    }

    /// The rules for one window of a device of this rated power at this place.
    #[must_use]
    pub(crate) fn window_rules(&self, rated_w: u64, latest_s: u64, place: windows::Place) -> windows::Rules {
        windows::Rules {
            latest_s,
            longest_s: self.longest_s,
            resolution_exponent: self.resolution_exponent,
            rated_w,
            rated_margin_bp: self.rated_margin_bp,
            balance_bp: self.balance_bp,
            balance_units: self.balance_units,
            sky: self.sky.map(|sky| (sky, place)),
        }
    }
}

#[cfg(test)]
impl Section {
    /// The default for leases paid by what a signed meter recorded.
    pub(crate) fn sessions() -> Self {
        Self {
            pays: Pays::Sessions,
            resolution_exponent: -1,
            rated_w: 22_000,
            rated_margin_bp: 10_500,
            longest_s: 604_800,
            balance_bp: 100,
            balance_units: 2,
            late_ms: 604_800_000,
            fresh_ms: 60_000,
            curves: Curve::VERIFIABLE.iter().map(|curve| curve.name().to_owned()).collect(),
            clocks: Clocks { informative_ms: 600_000, relative: true },
            sky: None,
        }
    }

    /// The default for panels, paid by their own windows.
    pub(crate) fn panels() -> Self {
        let sky =
            Sky { panel: crate::class::energy::sky::Panel::Tilted, long_bp: 11_000, short_bp: 15_000, dawn_bp: 200 };
        Self { pays: Pays::Windows, resolution_exponent: -3, longest_s: 86_400, sky: Some(sky), ..Self::sessions() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_read_back() {
        for section in [Section::sessions(), Section::panels()] {
            let value = serde_json::to_value(&section).unwrap();
            assert_eq!(Section::read(&value).unwrap(), section);
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let cases = [
            ("resolution_exponent", "-17", "not within -16 to 3"),
            ("resolution_exponent", "0.5", "invalid type"),
            ("rated_margin_bp", "9999", "not within"),
            ("rated_w", "0", "not within"),
            ("late_ms", "59999", "not within 60000"),
            ("longest_s", "18446744073709551615", "not within"),
            ("balance_bp", "1001", "not within"),
            ("balance_units", "101", "not within"),
            ("pays", "\"both\"", "unknown variant"),
            ("curves", "[\"secp192r1\"]", "secp192r1 has 192 bits"),
            ("curves", "[\"brainpoolP256r1\"]", "brainpoolP256r1 can be verified"),
            ("curves", "[\"curve25519\"]", "no curve is named"),
            ("clocks", "{\"informative_ms\":86400001,\"relative\":true}", "informative_ms"),
            ("sky", "{\"panel\":\"flat\",\"long_bp\":11000,\"short_bp\":10999,\"dawn_bp\":0}", "short_bp"),
            ("more", "1", "unknown field"),
        ];
        for (field, text, expected) in cases {
            let mut value = serde_json::to_value(Section::panels()).unwrap();
            value[field] = serde_json::from_str(text).unwrap();
            let why = Section::read(&value).unwrap_err();
            assert!(why.contains(expected), "{field} {text}: {why}");
        }
    }
}
