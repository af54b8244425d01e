//! The policy's section `stream`: which channels a device reports, and by what each of them is judged.
//! All values are integers in the channel's own unit, scaled by its exponent. Leaves out: the judging.

use serde::{Deserialize, Serialize};

/// Channels of one policy: with more the carried fold would not fit its bound.
pub(super) const CHANNELS_MAX: usize = 12;
/// Channels of one policy that are held against the sun.
pub(super) const SUNLIT_MAX: usize = 2;
/// Largest value of a channel either way: differences of any two fit an `i64` with room to spare.
pub(super) const VALUE_MAX: i64 = 1 << 60;
/// Longest constancy window: 30 days, ms.
pub(super) const CONSTANT_MS_MAX: u64 = 2_592_000_000;
/// Most windows of one span; those beyond are not judged.
pub(super) const WINDOWS_MAX: u64 = 100_000;

/// How a stream is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamPolicy {
    /// Length of a window, ms: the interval in which a device owes `readings_min` readings. 1,000 to 3,600,000.
    pub(super) window_ms: u64,
    /// A message is fresh until so long after the time it claims, ms; later ones are not paid. 1 to 3,600,000.
    pub(super) fresh_ms: u32,
    /// A message comes in until so long after the time it claims, ms, at least `fresh_ms`.
    pub(super) late_ms: u32,
    /// A reading may be this much older than its message, ms, at most 3,600,000.
    pub(super) age_max_ms: u32,
    /// Of the 64 sequence numbers up to a message's, the share that must have been seen for it to count, basis points; 0
    /// asks nothing.
    pub(super) complete_min_bp: u32,
    /// Weight of the required channels of a window that must be good for the window to be paid, basis points, at least 1.
    pub(super) quality_min_bp: u32,
    /// Part of bad seconds credited to the lessee from the lessor's bond, basis points.
    pub(super) credit_bp: u32,
    /// Channels, ascending by number.
    pub(super) channels: Vec<ChannelPolicy>,
    /// How copies are found; absent: they are not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) copy: Option<CopyPolicy>,
}

/// How one channel is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChannelPolicy {
    /// Channel number.
    pub(super) channel: u64,
    /// Decimal exponent of every number below and of every accepted reading.
    pub(super) exponent: i8,
    /// Least value.
    pub(super) min: i64,
    /// Greatest value.
    pub(super) max: i64,
    /// The sensor's step, at least 1: values are meaningful to this.
    pub(super) resolution: i64,
    /// Accepted readings a window needs; 0: the channel is optional.
    pub(super) readings_min: u32,
    /// Accepted readings of a window that are paid, at least `readings_min` and 1.
    pub(super) readings_max: u32,
    /// Weight of the channel in the quality.
    pub(super) weight: u32,
    /// Largest change within one window's length; the allowance grows with the windows passed. 0: not judged.
    #[serde(default)]
    pub(super) jump_max: i64,
    /// Constancy; absent: not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) constant: Option<ConstantPolicy>,
    /// Straight lines; absent: not judged (a counter at a steady rate is honest and straight).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<LinePolicy>,
    /// Last digits; absent: not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digits: Option<DigitsPolicy>,
    /// The sun; absent: not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sun: Option<SunPolicy>,
}

/// When a value that does not change is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConstantPolicy {
    /// Readings that stay the same longer than this are refused, minutes, 1 to 43,200.
    pub(super) window_min: u32,
    /// Greatest minus least value that still counts as the same, at least 0.
    pub(super) band: i64,
    /// Values that may stay longer (no rain, no wind, night).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) calm: Option<CalmPolicy>,
}

/// Values that may stay the same for longer than others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CalmPolicy {
    /// Least of them.
    pub(super) low: i64,
    /// Greatest of them; they may move between the two.
    pub(super) high: i64,
    /// Readings that stay among them longer than this are refused, minutes, `window_min` to 43,200.
    pub(super) window_min: u32,
}

/// When readings on one straight line are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinePolicy {
    /// Interior samples on the line from which it is one, at least 4.
    pub(super) interior_min: u32,
    /// Rise or fall along the line, in resolutions, below which it is slow weather and no line, at least 4.
    pub(super) rise_min: u32,
}

/// When too few different last digits are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DigitsPolicy {
    /// Changes of the value that are looked at together, 20 to 1,000.
    pub(super) changes: u32,
    /// Different last digits (of value ÷ resolution) among them, 2 to 10.
    pub(super) distinct_min: u32,
}

/// How a channel that needs the sun is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SunPolicy {
    /// Greatest value while the sun is down.
    pub(super) night_max: i64,
    /// The sun is down below this elevation, 0.01 degree, at most 0 (−600: end of civil twilight).
    pub(super) down_cdeg: i32,
    /// Farthest that the centre of a day's curve may lie from solar noon, seconds; 0: not judged.
    pub(super) centre_max_s: u32,
}

/// How copies are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CopyPolicy {
    /// Channels that are compared, and to how much their values are rounded: (channel, step ≥ 1).
    pub(super) channels: Vec<(u64, i64)>,
    /// Consecutive windows that make one comparison, 1 to 8: with one value a window a single one equals by chance.
    pub(super) span: u32,
    /// Longest lag, windows, at most 24.
    pub(super) lag_max: u32,
    /// Equal comparisons of two devices at one lag that make a copy, 30 to 48.
    pub(super) matches_min: u32,
    /// Who was held earlier by less than this is not known to be first, ms.
    pub(super) margin_ms: u64,
}

impl StreamPolicy {
    /// Numbers with which nothing could be judged, or arithmetic would not be exact.
    ///
    /// # Errors
    /// A sentence naming the first number that is out of range.
    pub(super) fn check(&self) -> Result<(), String> {
        within("stream.window_ms", self.window_ms.into(), 1_000, 3_600_000)?;
        if !self.window_ms.is_multiple_of(1_000) {
            return Err(format!("stream.window_ms {} is not whole seconds", self.window_ms));
        }
        within("stream.fresh_ms", self.fresh_ms.into(), 1, self.late_ms.into())?;
        within("stream.late_ms", self.late_ms.into(), 1, 3_600_000)?;
        within("stream.age_max_ms", self.age_max_ms.into(), 0, 3_600_000)?;
        within("stream.quality_min_bp", self.quality_min_bp.into(), 1, 10_000)?;
        within("stream.credit_bp", self.credit_bp.into(), 0, 10_000)?;
        within("stream.complete_min_bp", self.complete_min_bp.into(), 0, 10_000)?;
        within("stream.channels", self.channels.len() as i128, 1, CHANNELS_MAX as i128)?;
        let sunlit = self.channels.iter().filter(|channel| channel.sun.is_some()).count();
        within("stream.channels with sun", sunlit as i128, 0, SUNLIT_MAX as i128)?;
        if !self.channels.is_sorted_by(|one, next| one.channel < next.channel) {
            return Err("stream.channels must ascend by number".into());
        }
        if !self.channels.iter().any(|channel| channel.readings_min > 0 && channel.weight > 0) {
            return Err("stream.channels: none is required and has a weight".into());
        }
        self.channels.iter().try_for_each(ChannelPolicy::check)?;
        self.copy.as_ref().map_or(Ok(()), |copy| copy.check(self))
    }

    /// Reads and checks a policy's section.
    ///
    /// # Errors
    /// A sentence: not of this form, or naming the first number that is out of range.
    pub(super) fn parse(section: &serde_json::Value) -> Result<Self, String> {
        let policy = Self::deserialize(section).map_err(|e| e.to_string())?;
        policy.check().map(|()| policy)
    }

    /// How long after its time a reading may still come in, ms: what is judged lags behind the clock by this.
    #[must_use]
    pub(super) fn grace_ms(&self) -> u64 {
        u64::from(self.late_ms).saturating_add(self.age_max_ms.into())
    }

    /// The place of a channel in the list.
    #[must_use]
    pub(super) fn place(&self, channel: u64) -> Option<usize> {
        self.channels.binary_search_by_key(&channel, |policy| policy.channel).ok()
    }
}

impl ChannelPolicy {
    fn check(&self) -> Result<(), String> {
        let (least, most) = (i128::from(-VALUE_MAX), i128::from(VALUE_MAX));
        within("channel.min", self.min.into(), least, self.max.into())?;
        within("channel.max", self.max.into(), self.min.into(), most)?;
        within("channel.resolution", self.resolution.into(), 1, most / 1_000)?;
        within("channel.readings_max", self.readings_max.into(), self.readings_min.max(1).into(), 3_600)?;
        within("channel.weight", self.weight.into(), 0, 10_000)?;
        within("channel.jump_max", self.jump_max.into(), 0, most)?;
        if let Some(constant) = &self.constant {
            within("constant.window_min", constant.window_min.into(), 1, i128::from(CONSTANT_MS_MAX / 60_000))?;
            within("constant.band", constant.band.into(), 0, most)?;
            if let Some(calm) = &constant.calm {
                within("calm.low", calm.low.into(), least, calm.high.into())?;
                within("calm.high", calm.high.into(), calm.low.into(), most)?;
                let longest = i128::from(CONSTANT_MS_MAX / 60_000);
                within("calm.window_min", calm.window_min.into(), constant.window_min.into(), longest)?;
            }
        }
        if let Some(line) = &self.line {
            within("line.interior_min", line.interior_min.into(), 4, 1_000)?;
            within("line.rise_min", line.rise_min.into(), 4, 1_000)?;
        }
        if let Some(digits) = &self.digits {
            within("digits.changes", digits.changes.into(), 20, 1_000)?;
            within("digits.distinct_min", digits.distinct_min.into(), 2, 10)?;
        }
        self.sun.as_ref().map_or(Ok(()), SunPolicy::check)
    }
}

impl SunPolicy {
    fn check(&self) -> Result<(), String> {
        within("sun.night_max", self.night_max.into(), i128::from(-VALUE_MAX), i128::from(VALUE_MAX))?;
        within("sun.down_cdeg", self.down_cdeg.into(), -9_000, 0)?;
        within("sun.centre_max_s", self.centre_max_s.into(), 0, 43_200)
    }
}

impl CopyPolicy {
    fn check(&self, policy: &StreamPolicy) -> Result<(), String> {
        within("copy.span", self.span.into(), 1, 8)?;
        within("copy.lag_max", self.lag_max.into(), 0, 24)?;
        within("copy.matches_min", self.matches_min.into(), 30, super::fold::TRAIL_MAX as i128)?;
        within("copy.margin_ms", self.margin_ms.into(), 0, 3_600_000)?;
        within("copy.channels", self.channels.len() as i128, 1, CHANNELS_MAX as i128)?;
        if !self.channels.is_sorted_by(|one, next| one.0 < next.0) {
            return Err("copy.channels must ascend by number".into());
        }
        let known = |(channel, step): &(u64, i64)| policy.place(*channel).is_some() && (1..=VALUE_MAX).contains(step);
        if self.channels.iter().all(known) {
            Ok(())
        } else {
            Err("copy.channels: unknown channel or step below 1".into())
        }
    }
}

fn within(name: &str, value: i128, least: i128, most: i128) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{name} {value} is not within {least} to {most}"))
    }
}
