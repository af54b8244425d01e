//! One reading of a stream and what became of it. Leaves out: the signature and the form of the message it came in
//! (`ingest`), and whether members held it in time, which the caller says by [`Arrival`].

use crate::class::Fault;
use crate::reason::Reason;

use super::policy::{StreamPolicy, WINDOWS_MAX};

/// What the members say of a message's arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Arrival {
    /// Held in time by enough members.
    Fresh,
    /// Held, but by too few of them in time.
    Late,
    /// Its own time lies after the time it arrived at.
    Future,
}

/// One value of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// When it was measured, by the device, unix ms: what its message claims, less the reading's age.
    pub(super) at_ms: u64,
    /// The time that its message claims, unix ms.
    pub(super) sent_ms: u64,
    /// When more than f members held its message, unix ms; 0 where nobody says.
    pub(super) held_ms: u64,
    /// Channel number.
    pub(super) channel: u64,
    /// Value = mantissa · 10^exponent.
    pub(super) mantissa: i64,
    /// Decimal exponent.
    pub(super) exponent: i8,
    /// Boot count of the message.
    pub(super) boot: u64,
    /// Sequence number of the message within its boot. Several readings of one message share it.
    pub(super) seq: u64,
    /// What the members say of the message.
    pub(super) arrival: Arrival,
}

/// A message's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number {
    /// Boot count.
    pub(super) boot: u64,
    /// Sequence number within the boot.
    pub(super) seq: u64,
}

/// The time that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// First instant, unix ms.
    pub(super) start_ms: u64,
    /// First instant after it, unix ms.
    pub(super) end_ms: u64,
}

impl Span {
    /// What is judged in an epoch: the whole windows that the grace has passed for in it. Those of one epoch begin where
    /// those of the epoch before end, wherever the epochs begin; windows are counted from the first instant of unix time.
    #[must_use]
    pub(super) fn of_epoch(policy: &StreamPolicy, start_ms: u64, end_ms: u64) -> Self {
        let edge = |at_ms: u64| {
            let settled = at_ms.saturating_sub(policy.grace_ms());
            settled.saturating_sub(settled.checked_rem(policy.window_ms).unwrap_or(0))
        };
        Self { start_ms: edge(start_ms), end_ms: edge(end_ms) }
    }

    /// The part of it that a lease covers with whole windows.
    #[must_use]
    pub(super) fn within(&self, policy: &StreamPolicy, start_ms: u64, end_ms: u64) -> Self {
        let over = |at_ms: u64| at_ms.checked_rem(policy.window_ms).unwrap_or(0);
        let first = start_ms.div_ceil(policy.window_ms.max(1)).saturating_mul(policy.window_ms);
        let span =
            Self { start_ms: self.start_ms.max(first), end_ms: self.end_ms.min(end_ms.saturating_sub(over(end_ms))) };
        Self { end_ms: span.end_ms.max(span.start_ms), ..span }
    }

    /// Its length, ms; 0 when it ends before it starts.
    #[must_use]
    pub(super) const fn length_ms(&self) -> u64 {
        self.end_ms.saturating_sub(self.start_ms)
    }

    /// Whole windows in it.
    #[must_use]
    pub(super) fn windows(&self, policy: &StreamPolicy) -> usize {
        let windows = self.length_ms().checked_div(policy.window_ms).unwrap_or(0).min(WINDOWS_MAX);
        usize::try_from(windows).unwrap_or(0)
    }

    /// Whether an instant lies in it.
    #[must_use]
    pub(super) const fn holds(&self, at_ms: u64) -> bool {
        self.start_ms <= at_ms && at_ms < self.end_ms
    }
}

/// A fault with measurement; both numbers are capped at what an `i64` holds.
pub(super) fn fault(reason: Reason, measured: i128, limit: i128) -> Fault {
    Fault { reason, measured: capped(measured), limit: capped(limit) }
}

/// The nearest number that an `i64` holds.
fn capped(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}
