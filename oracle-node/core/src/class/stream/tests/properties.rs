//! What must hold whatever a device says: a valid reading more never lowers what it comes to, a dropped one never raises it,
//! the order does not matter, and no number leaves its bounds.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::class::stream::copy::strike;
use crate::class::stream::fold::{Fold, Tally};
use crate::class::stream::judge::{Given, Verdict, judge};
use crate::class::stream::policy::{CalmPolicy, ChannelPolicy, ConstantPolicy, StreamPolicy};
use crate::class::stream::reading::{Arrival, Number, Reading, Span};
use crate::class::stream::sequence::BootSeen;
use crate::class::stream::sunlit::Sun;
use crate::class::stream::windows::{self, Outcome, Window, windows};

const WINDOW_MS: u64 = 60_000;
const START_MS: u64 = 60_000_000;
const WINDOWS: u64 = 12;

/// Two channels; patterns are judged or not.
fn policy(patterns: bool) -> StreamPolicy {
    let mut policy = StreamPolicy { window_ms: WINDOW_MS, copy: None, ..StreamPolicy::default() };
    let channels: Vec<ChannelPolicy> = policy.channels.into_iter().take(2).collect();
    policy.channels = channels;
    for channel in &mut policy.channels {
        channel.readings_max = 3;
        if !patterns {
            (channel.jump_max, channel.constant, channel.line, channel.digits) = (0, None, None, None);
        }
    }
    policy
}

const fn span() -> Span {
    Span { start_ms: START_MS, end_ms: START_MS + WINDOWS * WINDOW_MS }
}

/// A fold of a device that was heard before, up to number 9 of boot 1.
fn heard_before() -> Fold {
    let boots = vec![BootSeen { boot: 1, next: 10, near: 0x3ff, far: 0, base: 0 }];
    Fold { end_ms: START_MS, boots, ..Fold::default() }
}

fn judged(policy: &StreamPolicy, readings: &[Reading]) -> (Vec<Verdict>, Vec<Window>, Fold) {
    let fold = heard_before();
    let judgement = judge(&Given { policy, span: span(), sun: None, fold: &fold, readings, others: &[] });
    let windows = windows(policy, &judgement);
    (judgement.verdicts, windows, judgement.fold)
}

/// (units, good, bad, credit) of an account that books the windows.
fn account(policy: &StreamPolicy, windows: &[Window]) -> (u64, u64, u64, u64) {
    let mut tally = Tally::default();
    tally.book(policy, WINDOWS * WINDOW_MS / 1_000, windows.iter().map(outcome));
    let (good, bad, credit) = tally.settle(policy, 0, 0);
    (tally.units, good, bad, credit)
}

fn outcome(window: &Window) -> Outcome {
    Outcome::of(window.result.map(u64::from).map_err(|refusal| refusal.reason))
}

fn no_better(policy: &StreamPolicy, fewer: &[Window], more: &[Window]) -> Result<(), TestCaseError> {
    let (less, all) = (account(policy, fewer), account(policy, more));
    prop_assert!(less.0 <= all.0 && less.1 <= all.1 && less.2 >= all.2 && less.3 >= all.3, "{less:?} {all:?}");
    for (one, other) in fewer.iter().zip(more) {
        prop_assert!(one.result.unwrap_or(0) <= other.result.unwrap_or(0));
        prop_assert!(one.quality_bp.unwrap_or(0) <= other.quality_bp.unwrap_or(0));
    }
    Ok(())
}

prop_compose! {
    /// Anything near the span, of all kinds of fault.
    fn any_message()(
        since in 0..WINDOWS * WINDOW_MS + 100_000,
        age in prop_oneof![4 => 0u64..5_000, 1 => 0u64..2_000_000],
        seq in 0u64..90,
        boot in prop_oneof![6 => Just(1u64), 1 => 0u64..3],
        arrival in prop_oneof![8 => Just(Arrival::Fresh), 1 => Just(Arrival::Late), 1 => Just(Arrival::Future)],
        values in vec((1u64..4, -5i8..2, -12_000i64..12_000), 1..4),
    ) -> Vec<Reading> {
        let sent_ms = START_MS - 50_000 + since;
        let reading = |(channel, exponent, mantissa)| Reading {
            at_ms: sent_ms.saturating_sub(age), sent_ms, held_ms: 0, channel, mantissa, exponent, boot, seq, arrival,
        };
        values.into_iter().map(reading).collect()
    }
}

/// Messages of ascending numbers, as a device makes them; a number is one message.
fn numbered(messages: &[Vec<Reading>]) -> Vec<Vec<Reading>> {
    let mut messages = messages.to_vec();
    messages.sort_by_key(|message| message[0].sent_ms);
    for (at, message) in messages.iter_mut().enumerate() {
        message.iter_mut().for_each(|reading| (reading.boot, reading.seq) = (1, 10 + at as u64));
    }
    messages
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn of_what_is_judged_alone_less_never_pays_more(messages in vec(any_message(), 1..60), kept in vec(any::<bool>(), 60)) {
        let policy = policy(false);
        let messages = numbered(&messages);
        let all: Vec<Reading> = messages.iter().flatten().copied().collect();
        let fewer: Vec<Reading> = messages.iter().zip(&kept).filter(|(_, kept)| **kept).flat_map(|(message, _)| message).copied().collect();
        no_better(&policy, &judged(&policy, &fewer).1, &judged(&policy, &all).1)?;
    }

    #[test]
    fn of_valid_readings_less_never_pays_more(steps in vec((-20i64..21, -90i64..91, 1u64..70_000), 1..60), kept in vec(any::<bool>(), 60)) {
        // A walk that jumps nowhere and lies on no line; what little of it is refused, the premise leaves out.
        let policy = policy(true);
        let (mut at_ms, mut warm, mut wet, mut seq) = (START_MS, 1_500i64, 5_000i64, 10);
        let mut all = vec![];
        for (one, other, ms) in steps {
            (at_ms, warm, wet, seq) = (at_ms + ms, warm + one, wet + other, seq + 1);
            let of = |channel, mantissa| Reading {
                at_ms, sent_ms: at_ms, held_ms: 0, channel, mantissa, exponent: -2, boot: 1, seq: seq - 1, arrival: Arrival::Fresh,
            };
            all.extend([of(1, warm), of(2, wet)]);
        }
        let (verdicts, more, _) = judged(&policy, &all);
        let valid = |verdict: &Verdict| match verdict {
            Verdict::Refused(refusal) => refusal.reason.name() == "STREAM_SURPLUS",
            _ => true,
        };
        prop_assume!(verdicts.iter().all(valid));
        let fewer: Vec<Reading> = all.chunks(2).zip(&kept).filter(|(_, kept)| **kept).flat_map(|(pair, _)| pair).copied().collect();
        no_better(&policy, &judged(&policy, &fewer).1, &more)?;
    }

    #[test]
    fn the_order_does_not_matter(messages in vec(any_message(), 1..60), seed: u64) {
        let policy = policy(true);
        let all: Vec<Reading> = messages.into_iter().flatten().collect();
        let mut mixed = all.clone();
        let mut dice = super::Dice(seed);
        for at in (1..mixed.len()).rev() {
            mixed.swap(at, dice.roll(at as u64 + 1) as usize);
        }
        let (one, other) = (judged(&policy, &all), judged(&policy, &mixed));
        prop_assert_eq!(&one.2, &other.2);
        let count = |verdicts: &[Verdict]| verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count();
        prop_assert_eq!(count(&one.0), count(&other.0));
        prop_assert_eq!(&one.1, &other.1);
        let mut backwards: Vec<Window> = one.1.clone();
        backwards.reverse();
        prop_assert_eq!(account(&policy, &one.1), account(&policy, &backwards));
    }

    #[test]
    fn extremes_stay_within_bounds(
        words in vec((any::<u64>(), any::<u64>(), any::<u64>(), prop_oneof![any::<u64>(), 0u64..7], any::<i64>(), any::<i8>(), any::<u64>(), any::<u64>()), 0..40),
        start: u64, length in 0u64..100_000_000, noon: u64, cold: i32, carried in vec(any::<u8>(), 0..100), inside: bool,
    ) {
        let policy = StreamPolicy::default();
        let end_ms = start.saturating_add(length);
        let highest = vec![cold; 20];
        let readings: Vec<Reading> = words.iter().map(|(at, sent, held, channel, mantissa, exponent, boot, seq)| {
            let at_ms = if inside { start.saturating_add(at % (length + 1)) } else { *at };
            let sent_ms = if inside { at_ms } else { *sent };
            let (held_ms, arrival) = if inside { (0, Arrival::Fresh) } else { (*held, Arrival::Fresh) };
            Reading { at_ms, sent_ms, held_ms, channel: *channel, mantissa: *mantissa, exponent: *exponent, boot: *boot, seq: *seq, arrival }
        }).collect();
        let mut fold = Fold::decode(&carried).unwrap_or_default();
        for _ in 0..2 {
            let others = [(start, Number { boot: u64::MAX, seq: u64::MAX }), (start, Number { boot: 0, seq: 0 })];
            let given = Given { policy: &policy, span: Span { start_ms: start, end_ms }, sun: Some(Sun { highest_cdeg: &highest, noon_ms: noon }), fold: &fold, readings: &readings, others: &others };
            let mut judgement = judge(&given);
            let mut twin = judgement.clone();
            strike(policy.copy.as_ref().expect("copy"), policy.window_ms, &mut [(1, &mut judgement), (2, &mut twin)]);
            let seconds = length / 1_000;
            let ended = windows(&policy, &judgement);
            fold = judgement.fold;
            fold.tally.book(&policy, seconds, ended.iter().map(outcome));
            let (good, bad, credit) = fold.tally.settle(&policy, 0, 0);
            prop_assert!(good.saturating_add(bad) <= fold.tally.elapsed_s && credit <= bad);
            let most = ended.len() * policy.channels.iter().map(|channel| channel.readings_max as usize).sum::<usize>();
            prop_assert!(judgement.verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count() <= most);
            prop_assert_eq!(Fold::decode(&fold.encode()), Ok(fold.clone()));
        }
    }

    #[test]
    fn accounts_never_fall_and_fit_in_the_time(epochs in vec((any::<u32>(), vec(0u64..4, 0..20)), 1..20)) {
        let policy = policy(false);
        let (mut tally, mut good, mut bad) = (Tally::default(), 0, 0);
        for (seconds, outcomes) in epochs {
            let outcomes = outcomes.into_iter().map(|kind| match kind {
                0 => Outcome::Missing,
                1 => Outcome::Refused,
                units => Outcome::Paid(units),
            });
            tally.book(&policy, u64::from(seconds) % 1_500, outcomes);
            let (next_good, next_bad, credit) = tally.settle(&policy, good, bad);
            prop_assert!(next_good >= good && next_bad >= bad && next_good + next_bad <= tally.elapsed_s && credit <= next_bad);
            (good, bad) = (next_good, next_bad);
        }
    }

    #[test]
    fn epochs_cover_every_window_once(first in 0u64..10_000_000, lengths in vec(1u64..5_000_000, 1..20)) {
        let policy = policy(false);
        let (mut at, mut last) = (10_000_000 + first, None);
        for length in lengths {
            let span = Span::of_epoch(&policy, at, at + length);
            prop_assert!(last.is_none_or(|end| end == span.start_ms));
            prop_assert_eq!(span.start_ms % policy.window_ms, 0);
            prop_assert!(span.end_ms + policy.grace_ms() <= at + length);
            (at, last) = (at + length, Some(span.end_ms));
        }
    }
}

#[test]
fn a_window_without_data_is_missing_and_lowers_no_quality() {
    let policy = policy(true);
    let reading = |seq: u64, channel, mantissa| Reading {
        at_ms: START_MS + seq * WINDOW_MS,
        sent_ms: START_MS + seq * WINDOW_MS,
        held_ms: 0,
        channel,
        mantissa,
        exponent: -2,
        boot: 1,
        seq: 10 + seq,
        arrival: Arrival::Fresh,
    };
    // Both channels; one of the two; one of the two out of bounds; nothing.
    let said =
        [reading(0, 1, 1_500), reading(0, 2, 5_000), reading(1, 1, 1_501), reading(2, 1, 1_502), reading(2, 2, 20_000)];
    let (_, windows, _) = judged(&policy, &said);
    let results: Vec<_> =
        windows.iter().map(|window| (window.quality_bp, window.result.map_err(|r| r.reason.name()))).collect();
    assert_eq!(results[0], (Some(10_000), Ok(2)));
    assert_eq!(results[1], (Some(5_000), Err("STREAM_MISSING")));
    assert_eq!(results[2], (Some(5_000), Err("STREAM_OUT_OF_BOUNDS")));
    assert!(results[3..].iter().all(|result| *result == (None, Err("STREAM_MISSING"))));
    assert_eq!(windows::quality_bp(&windows), Some(6_666));
    assert_eq!(windows::quality_bp(&windows[3..]), None);
}

#[test]
fn what_is_too_old_or_too_much_is_not_paid() {
    let policy = policy(false);
    let of = |seq: u64, age: u64, channel| Reading {
        at_ms: START_MS + 30_000 + seq,
        sent_ms: START_MS + 30_000 + seq + age,
        held_ms: 0,
        channel,
        mantissa: 1_500,
        exponent: -2,
        boot: 1,
        seq: 10 + seq,
        arrival: Arrival::Fresh,
    };
    let name = |verdict: &Verdict| match verdict {
        Verdict::Refused(refusal) => refusal.reason.name(),
        _ => "",
    };
    let limit = u64::from(policy.age_max_ms);
    let (verdicts, _, _) = judged(&policy, &[of(0, limit, 1), of(1, limit + 1, 1)]);
    assert_eq!(verdicts.iter().map(name).collect::<Vec<_>>(), ["", "STREAM_TOO_OLD"]);
    let many: Vec<Reading> = (0..10).flat_map(|seq| [of(seq, 0, 1), of(seq, 0, 2)]).collect();
    let (verdicts, windows, _) = judged(&policy, &many);
    assert_eq!(windows[0].result, Ok(6));
    assert_eq!(verdicts.iter().filter(|verdict| name(verdict) == "STREAM_SURPLUS").count(), 14);
}

#[test]
fn calm_values_may_stay_longer_and_not_for_ever() {
    let mut policy = policy(false);
    let calm = Some(CalmPolicy { low: 0, high: 0, window_min: 5 });
    policy.channels[1].constant = Some(ConstantPolicy { window_min: 2, band: 0, calm });
    policy.channels[0].readings_min = 0;
    for (value, accepted) in [(0, 6), (7, 3)] {
        let said: Vec<Reading> = (0..WINDOWS)
            .map(|window| {
                let at_ms = START_MS + window * WINDOW_MS;
                Reading {
                    at_ms,
                    sent_ms: at_ms,
                    held_ms: 0,
                    channel: 2,
                    mantissa: value,
                    exponent: -2,
                    boot: 1,
                    seq: 10 + window,
                    arrival: Arrival::Fresh,
                }
            })
            .collect();
        let paid = judged(&policy, &said).1.iter().filter(|window| window.result.is_ok()).count();
        assert_eq!(paid, accepted);
    }
}
