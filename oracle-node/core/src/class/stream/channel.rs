//! The readings of one channel in the order of time: jump, constancy, straight lines, last digits, the sun, and how many
//! a window pays. Leaves out: what a reading shows alone (`gates`), and other devices (`copy`).

use super::digits::{Digits, Shown};
use super::fold::{CarriedChannel, age, instant};
use super::line::{CarriedLine, Fit, Line, Point};
use super::policy::{ChannelPolicy, StreamPolicy};
use super::reading::fault;
use super::steady::{CarriedSteady, Steady};
use super::sunlit::{Daylight, Sun};
use crate::class::Fault;
use crate::reason::Reason;

/// A reading that passed what it shows alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sample {
    /// The channel's place in the policy.
    pub(super) place: usize,
    pub(super) at_ms: u64,
    pub(super) boot: u64,
    pub(super) seq: u64,
    pub(super) value: i64,
    /// Window of the span, from 0.
    pub(super) window: usize,
    /// Place among the readings given.
    pub(super) index: usize,
}

/// What a channel's readings are judged by, and what is known so far.
pub(super) struct Channel<'a> {
    policy: &'a ChannelPolicy,
    window_ms: u64,
    sun: Option<Sun<'a>>,
    last: Option<Point>,
    steady: Option<Steady>,
    line: Option<Line>,
    digits: Digits,
    daylight: Daylight,
    /// Accepted readings of the current window.
    window: (usize, u32),
    /// First sample that a line still open here may take back.
    line_from: usize,
    /// First sample of the current stretch of digits.
    digits_from: usize,
}

impl<'a> Channel<'a> {
    pub(super) fn resume(
        policy: &'a StreamPolicy,
        channel: &'a ChannelPolicy,
        sun: Option<Sun<'a>>,
        carried: &CarriedChannel,
        end_ms: u64,
    ) -> Self {
        let last = carried.last.map(|(age_ms, value)| Point { at_ms: instant(age_ms, end_ms), value });
        Self {
            policy: channel,
            window_ms: policy.window_ms,
            sun,
            last,
            steady: carried.steady.map(|run| run.resume(end_ms)),
            line: carried.line.map(|line| line.resume(end_ms)),
            digits: carried.digits,
            daylight: carried.daylight.unwrap_or_default(),
            window: (usize::MAX, 0),
            line_from: 0,
            digits_from: 0,
        }
    }

    pub(super) fn carry(&self, end_ms: u64) -> CarriedChannel {
        CarriedChannel {
            last: self.last.map(|last| (age(last.at_ms, end_ms), last.value)),
            steady: self.steady.map(|run| CarriedSteady::of(&run, end_ms)),
            line: self.line.map(|line| CarriedLine::of(&line, end_ms)),
            digits: self.digits,
            daylight: self.policy.sun.as_ref().map(|_| self.daylight),
        }
    }

    /// Judges the channel's samples, ascending by time.
    pub(super) fn judge(&mut self, samples: &[Sample], refusals: &mut [Option<Fault>]) {
        for (position, sample) in samples.iter().enumerate() {
            if let Err(refusal) = self.enters(sample) {
                refuse(refusals, sample, refusal);
                continue;
            }
            let next = Point { at_ms: sample.at_ms, value: sample.value };
            let alone = self.constant(next).or(self.shifted(next));
            if let Some(refusal) = alone {
                refuse(refusals, sample, refusal);
            }
            self.straight(samples, position, refusals);
            self.digits(samples, position, refusals);
            self.last = Some(next);
            if refusals.get(sample.index).is_some_and(Option::is_none) {
                self.window.1 = self.window.1.saturating_add(1);
            }
        }
        self.open_line(samples, refusals);
    }

    /// The newest sample of a line that still goes on: were it let pass as an end that may be real, each epoch would pay one.
    fn open_line(&self, samples: &[Sample], refusals: &mut [Option<Fault>]) {
        let (Some(policy), Some(line), Some(last)) = (&self.policy.line, &self.line, self.last) else { return };
        if let Some(interior) = line.made(policy, self.policy.resolution, last) {
            let refusal = fault(Reason::STREAM_STRAIGHT_LINE, interior.into(), policy.interior_min.into());
            take_back(samples, self.line_from, samples.len(), refusals, refusal);
        }
    }

    /// What keeps a reading out of the patterns too: otherwise noise that is not paid could hide them.
    fn enters(&mut self, sample: &Sample) -> Result<(), Fault> {
        if self.window.0 != sample.window {
            self.window = (sample.window, 0);
        }
        self.at_night(sample)?;
        self.jump(sample)?;
        let most = self.policy.readings_max;
        if self.window.1 < most {
            return Ok(());
        }
        Err(fault(Reason::STREAM_SURPLUS, i128::from(most).saturating_add(1), most.into()))
    }

    fn at_night(&self, sample: &Sample) -> Result<(), Fault> {
        let (Some(policy), Some(sun)) = (&self.policy.sun, &self.sun) else { return Ok(()) };
        let down = sun.highest_cdeg.get(sample.window).is_some_and(|highest| *highest < policy.down_cdeg);
        if down && sample.value > policy.night_max {
            return Err(fault(Reason::STREAM_NIGHT, sample.value.into(), policy.night_max.into()));
        }
        Ok(())
    }

    /// The allowance grows with the time since the last accepted reading, so a true step is believed after a while.
    fn jump(&self, sample: &Sample) -> Result<(), Fault> {
        let Some(last) = self.last.filter(|_| self.policy.jump_max > 0) else { return Ok(()) };
        let windows = sample.at_ms.saturating_sub(last.at_ms).div_ceil(self.window_ms.max(1)).max(1);
        let allowed = i128::from(self.policy.jump_max).saturating_mul(windows.into());
        let change = i128::from(sample.value).saturating_sub(last.value.into());
        if change.unsigned_abs() <= allowed.unsigned_abs() {
            Ok(())
        } else {
            Err(fault(Reason::STREAM_JUMP, change, allowed))
        }
    }

    fn constant(&mut self, next: Point) -> Option<Fault> {
        let policy = self.policy.constant.as_ref()?;
        let (same_ms, limit) = Steady::push(&mut self.steady, policy, next.at_ms, next.value);
        (same_ms > limit).then(|| fault(Reason::STREAM_CONSTANT, same_ms.into(), limit.into()))
    }

    fn shifted(&mut self, next: Point) -> Option<Fault> {
        let (policy, sun) = (self.policy.sun.as_ref()?, self.sun?);
        if policy.centre_max_s == 0 || next.value <= policy.night_max {
            return None;
        }
        let steps = next.value.checked_div(self.policy.resolution).unwrap_or(0);
        self.daylight.push(policy, sun.noon_ms, next.at_ms, steps);
        let measured = i128::from(self.daylight.shifted_s);
        (measured != 0).then(|| fault(Reason::STREAM_TIME_SHIFTED, measured, policy.centre_max_s.into()))
    }

    /// A line takes back its interior samples of this epoch; its ends may be real.
    fn straight(&mut self, samples: &[Sample], position: usize, refusals: &mut [Option<Fault>]) {
        let (Some(policy), Some(sample)) = (&self.policy.line, samples.get(position)) else { return };
        let next = Point { at_ms: sample.at_ms, value: sample.value };
        let (Some(line), Some(last)) = (&mut self.line, self.last) else {
            self.line = Some(Line::begin(next));
            self.line_from = position.saturating_add(1);
            return;
        };
        match line.push(policy, self.policy.resolution, last, next) {
            Fit::Open => {}
            // The run's first sample is the one before this: what this one may become begins here.
            Fit::Broken => self.line_from = position,
            Fit::Made(interior) => {
                let refusal = fault(Reason::STREAM_STRAIGHT_LINE, interior.into(), policy.interior_min.into());
                take_back(samples, self.line_from, position, refusals, refusal);
                self.line_from = position;
            }
        }
    }

    fn digits(&mut self, samples: &[Sample], position: usize, refusals: &mut [Option<Fault>]) {
        let (Some(policy), Some(sample)) = (&self.policy.digits, samples.get(position)) else { return };
        let changed = self.last.is_none_or(|last| last.value != sample.value);
        let (shown, ended) = if changed {
            self.digits.push(policy, self.policy.resolution, sample.value)
        } else if self.digits.suspect {
            (Shown::Few(self.digits.mask.count_ones()), false)
        } else {
            (Shown::Fine, false)
        };
        let after = position.saturating_add(1);
        if let Shown::Few(distinct) = shown {
            let refusal = fault(Reason::STREAM_FEW_DIGITS, distinct.into(), policy.distinct_min.into());
            let from = if ended { self.digits_from } else { position };
            take_back(samples, from, after, refusals, refusal);
        }
        if ended {
            self.digits_from = after;
        }
    }
}

fn refuse(refusals: &mut [Option<Fault>], sample: &Sample, refusal: Fault) {
    if let Some(slot) = refusals.get_mut(sample.index) {
        *slot = slot.or(Some(refusal));
    }
}

/// Refuses those of the samples that count so far.
fn take_back(samples: &[Sample], from: usize, to: usize, refusals: &mut [Option<Fault>], refusal: Fault) {
    for sample in samples.get(from..to).unwrap_or_default() {
        refuse(refusals, sample, refusal);
    }
}
