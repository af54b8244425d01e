//! What a reading shows alone: when it came, its message's number, its channel, scale and bounds.
//! Leaves out: what it shows beside its neighbours (`channel`) and beside other devices (`copy`).

use std::collections::BTreeMap;

use super::channel::Sample;
use super::judge::Given;
use super::reading::{Arrival, Number, Reading, fault};
use super::sequence::{Sequence, Turn};
use crate::class::{EARLY_MS, Fault};
use crate::reason::Reason;

/// Takes the numbers of all messages that claim a time in the span, ascending, each once.
pub(super) fn take_numbers(given: &Given<'_>, sequence: &mut Sequence) -> BTreeMap<Number, Turn> {
    let of_readings = given.readings.iter().map(|reading| (reading.sent_ms, number(reading)));
    let in_span = of_readings.chain(given.others.iter().copied()).filter(|(sent_ms, _)| given.span.holds(*sent_ms));
    let mut numbers: Vec<Number> = in_span.map(|(_, number)| number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(|number| (number, sequence.take(number))).collect()
}

const fn number(reading: &Reading) -> Number {
    Number { boot: reading.boot, seq: reading.seq }
}

/// The readings that pass alone, ascending by channel and time; the others get their refusal. Readings outside the span are
/// neither: another epoch judges them, or did.
pub(super) fn pass(given: &Given<'_>, turns: &BTreeMap<Number, Turn>, refusals: &mut [Option<Fault>]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (index, reading) in given.readings.iter().enumerate() {
        let Some(window) = given.window(reading.at_ms) else { continue };
        match alone(given, turns, reading) {
            Ok((place, value)) => {
                let Reading { at_ms, boot, seq, .. } = *reading;
                samples.push(Sample { place, at_ms, boot, seq, value, window, index });
            }
            Err(refusal) => set(refusals, index, refusal),
        }
    }
    samples.sort_unstable();
    samples.dedup_by(|next, kept| {
        let same = (next.place, next.at_ms) == (kept.place, kept.at_ms);
        if same {
            set(refusals, next.index, Fault::plain(Reason::STREAM_DUPLICATE));
        }
        same
    });
    samples
}

fn set(refusals: &mut [Option<Fault>], index: usize, refusal: Fault) {
    if let Some(slot) = refusals.get_mut(index) {
        *slot = Some(refusal);
    }
}

/// The channel's place and the value at the channel's scale.
fn alone(given: &Given<'_>, turns: &BTreeMap<Number, Turn>, reading: &Reading) -> Result<(usize, i64), Fault> {
    on_time(given, reading)?;
    in_turn(given, turns, reading)?;
    let unknown = || fault(Reason::STREAM_UNKNOWN_CHANNEL, reading.channel.into(), 0);
    let place = given.policy.place(reading.channel).ok_or_else(unknown)?;
    let channel = given.policy.channels.get(place).ok_or_else(unknown)?;
    let value = scaled(reading.mantissa, reading.exponent, channel.exponent)
        .ok_or_else(|| fault(Reason::STREAM_BAD_SCALE, reading.exponent.into(), channel.exponent.into()))?;
    let limit = if value < channel.min { channel.min } else { channel.max };
    if (channel.min..=channel.max).contains(&value) {
        Ok((place, value))
    } else {
        Err(fault(Reason::STREAM_OUT_OF_BOUNDS, value.into(), limit.into()))
    }
}

fn on_time(given: &Given<'_>, reading: &Reading) -> Result<(), Fault> {
    let ahead = reading.at_ms.max(reading.sent_ms).saturating_sub(reading.held_ms);
    let early = reading.held_ms > 0 && ahead > EARLY_MS;
    if reading.arrival == Arrival::Future || early || reading.at_ms > reading.sent_ms {
        let ahead = if early { ahead } else { reading.at_ms.saturating_sub(reading.sent_ms) };
        return Err(fault(Reason::STREAM_FROM_FUTURE, ahead.into(), EARLY_MS.into()));
    }
    if reading.arrival == Arrival::Late {
        return Err(Fault::plain(Reason::STREAM_LATE));
    }
    let (age, limit) = (reading.sent_ms.saturating_sub(reading.at_ms), u64::from(given.policy.age_max_ms));
    if age > limit { Err(fault(Reason::STREAM_TOO_OLD, age.into(), limit.into())) } else { Ok(()) }
}

/// A message that claims a time after the span gets its turn in the epoch that judges its time.
fn in_turn(given: &Given<'_>, turns: &BTreeMap<Number, Turn>, reading: &Reading) -> Result<(), Fault> {
    match turns.get(&number(reading)) {
        Some(Turn::Replayed(next)) => Err(fault(Reason::STREAM_REPLAYED, reading.seq.into(), (*next).into())),
        Some(Turn::New(heard_bp)) if *heard_bp < given.policy.complete_min_bp => {
            let limit = given.policy.complete_min_bp;
            Err(fault(Reason::STREAM_INCOMPLETE, (*heard_bp).into(), limit.into()))
        }
        _ => Ok(()),
    }
}

/// The mantissa at another exponent; `None` where it cannot be written exactly.
fn scaled(mantissa: i64, from: i8, to: i8) -> Option<i64> {
    if mantissa == 0 {
        return Some(0);
    }
    let steps = i32::from(from).saturating_sub(to.into());
    let power = 10i64.checked_pow(steps.unsigned_abs())?;
    if steps >= 0 {
        return mantissa.checked_mul(power);
    }
    if mantissa.checked_rem(power)? == 0 { mantissa.checked_div(power) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_exact_or_refused() {
        assert_eq!(scaled(125, -1, -2), Some(1_250));
        assert_eq!(scaled(1_250, -2, -1), Some(125));
        assert_eq!(scaled(1_255, -2, -1), None);
        assert_eq!(scaled(0, -128, 127), Some(0));
        assert_eq!(scaled(1, -128, 127), None);
        assert_eq!(scaled(i64::MIN, 1, 0), None);
        assert_eq!(scaled(i64::MIN, 0, 0), Some(i64::MIN));
    }
}
