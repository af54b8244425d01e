//! Cheating devices, made of a real weather station's series: what share of what they make up is paid (false accept), and
//! what share of what is honest is not (false reject). Each cheat is caught by the check it is named after.

use crate::class::stream::judge::Verdict;
use crate::class::stream::policy::{LinePolicy, StreamPolicy};
use crate::class::stream::reading::{Arrival, Reading};

use super::{DAY_MS, Device, Dice, Ended, GOLDEN, HOUR_MS, Row, messages, run, station};

const EPOCH_MS: u64 = 6 * HOUR_MS;

/// The station's rows that say something.
fn honest() -> Option<Vec<Row>> {
    station().map(|rows| rows.into_iter().filter(|(_, values)| !values.is_empty()).collect())
}

fn device(rows: &[Row]) -> Device {
    Device { place: Some(GOLDEN), readings: messages(rows) }
}

fn alone(rows: &[Row]) -> Ended {
    run(&StreamPolicy::default(), &[device(rows)], EPOCH_MS).remove(0)
}

/// Readings of the rows, in their order: whether each is made up, for a row and a channel.
fn labels(rows: &[Row], made_up: impl Fn(usize, u64) -> bool) -> Vec<bool> {
    let of_row =
        |(row, (_, values)): (usize, &Row)| values.iter().map(|(channel, _, _)| made_up(row, *channel)).collect();
    rows.iter().enumerate().flat_map(|pair| -> Vec<bool> { of_row(pair) }).collect()
}

/// (false accept, false reject), basis points, printed.
fn measure(name: &str, ended: &Ended, made_up: &[bool]) -> (usize, usize) {
    let of = |label: bool, accepted: bool| {
        (0..made_up.len()).filter(|index| made_up[*index] == label && ended.accepts(*index) == accepted).count()
    };
    let (passed, caught, paid, lost) = (of(true, true), of(true, false), of(false, true), of(false, false));
    let share = |part: usize, rest: usize| (part * 10_000).checked_div(part + rest).unwrap_or(0);
    let (accept, reject) = (share(passed, caught), share(lost, paid));
    println!(
        "{name}: false accept {passed} of {} ({}.{:02} %), false reject {lost} of {} ({}.{:02} %), refused {:?}",
        passed + caught,
        accept / 100,
        accept % 100,
        paid + lost,
        reject / 100,
        reject % 100,
        ended.refused()
    );
    (accept, reject)
}

/// Changes one channel's value in the rows from one on.
fn changed(rows: &[Row], channel: u64, change: impl Fn(usize, i64) -> i64) -> Vec<Row> {
    let mut rows = rows.to_vec();
    for (row, (_, values)) in rows.iter_mut().enumerate() {
        for (_, _, value) in values.iter_mut().filter(|(of, _, _)| *of == channel) {
            *value = change(row, *value);
        }
    }
    rows
}

fn value(rows: &[Row], row: usize, channel: u64) -> i64 {
    rows[row].1.iter().find(|(of, _, _)| *of == channel).expect("the channel").2
}

#[test]
fn a_constant_sensor_is_refused_after_its_window() {
    let Some(rows) = honest() else { return };
    let from = 300;
    let stuck = value(&rows, from, 1);
    let cheat = changed(&rows, 1, |row, real| if row >= from { stuck } else { real });
    let ended = alone(&cheat);
    // Four hours at 5 minutes: 48 readings pass before anybody can know.
    let (_, reject) =
        measure("constant, all of it", &ended, &labels(&rows, |row, channel| channel == 1 && row >= from));
    let (accept, _) =
        measure("constant, beyond 4 h", &ended, &labels(&rows, |row, channel| channel == 1 && row > from + 48));
    assert_eq!((accept, reject), (0, 0));
    assert!(ended.refused()["STREAM_CONSTANT"] > 700);
}

/// Every so many readings of the temperature are real, and those between lie on straight lines.
fn interpolated(rows: &[Row], every: usize) -> (Vec<Row>, Vec<bool>) {
    let cheat = changed(rows, 1, |row, real| {
        let (first, next) = (row - row % every, row - row % every + every);
        if next >= rows.len() {
            return real;
        }
        let (low, high) = (value(rows, first, 1), value(rows, next, 1));
        low + (high - low) * (row - first) as i64 / every as i64
    });
    let last = (rows.len() - 1) / every * every;
    (cheat, labels(rows, |row, channel| channel == 1 && row % every != 0 && row < last))
}

/// How the line's numbers trade one fault for the other where a sensor's step is coarse.
#[test]
fn an_honest_coarse_sensor_needs_a_steeper_line() {
    let Some(rows) = honest() else { return };
    for step in [2, 5, 10, 20] {
        let rounded = |rows: &[Row]| changed(rows, 1, |_, value| (value + step / 2).div_euclid(step) * step);
        let coarse = rounded(&rows);
        let (cheat, made_up) = interpolated(&coarse, 24);
        for (interior_min, rise_min) in [(4, 6), (4, 20), (8, 6), (8, 12), (8, 20)] {
            let mut policy = StreamPolicy::default();
            policy.channels.truncate(1);
            policy.copy = None;
            policy.channels[0].resolution = step;
            policy.channels[0].line = Some(LinePolicy { interior_min, rise_min });
            policy.channels[0].digits = None;
            let judged = |rows: &[Row]| {
                let mut device = device(rows);
                device.readings.retain(|reading| reading.channel == 1);
                run(&policy, &[device], EPOCH_MS).remove(0)
            };
            let name = format!("steps of 0.{step:02} °C, {interior_min} inside, rise of {rise_min}");
            let (_, reject) = measure(&format!("{name}: honest"), &judged(&coarse), &vec![false; rows.len()]);
            let made_up: Vec<bool> = made_up.iter().step_by(5).copied().collect();
            measure("  interpolating, 1 of 24 real", &judged(&rounded(&cheat)), &made_up);
            assert!(rise_min < 20 || reject <= 50, "{reject}");
        }
    }
}

#[test]
fn an_interpolating_sensor_is_refused_between_its_real_readings() {
    let Some(rows) = honest() else { return };
    for rise_min in [4, 6, 8, 12, 20] {
        let mut policy = StreamPolicy::default();
        policy.channels.iter_mut().for_each(|channel| channel.line.as_mut().expect("line").rise_min = rise_min);
        let judged = |rows: &[Row]| run(&policy, &[device(rows)], EPOCH_MS).remove(0);
        measure(&format!("rise of at least {rise_min}: honest"), &judged(&rows), &vec![false; rows.len() * 5]);
        for every in [6, 12, 24] {
            let (cheat, made_up) = interpolated(&rows, every);
            measure(&format!("  interpolating, 1 of {every} real"), &judged(&cheat), &made_up);
        }
    }
    for (every, limit) in [(6, 1_500), (12, 800), (24, 500)] {
        let (cheat, made_up) = interpolated(&rows, every);
        let (accept, reject) =
            measure(&format!("interpolating, 1 of {every} real, default policy"), &alone(&cheat), &made_up);
        assert!(accept <= limit, "{accept}");
        assert!(reject <= 100, "{reject}");
    }
}

#[test]
fn a_rounded_sensor_shows_too_few_digits() {
    let Some(rows) = honest() else { return };
    let ended = alone(&changed(&rows, 1, |_, real| real.div_euclid(50) * 50));
    let (accept, reject) = measure("rounded to 0.5 °C", &ended, &labels(&rows, |_, channel| channel == 1));
    // The first 40 changes of such a value take most of a day.
    assert!(accept <= 2_500 && reject == 0, "{accept} {reject}");
    assert!(ended.refused()["STREAM_FEW_DIGITS"] > 0);
}

/// Two stations; the second says what the first said some windows before, with noise.
fn pair(rows: &[Row], lag: usize, noise: u64) -> Vec<Ended> {
    let mut dice = Dice(7);
    let copied: Vec<Row> = (lag..rows.len())
        .map(|row| {
            let mut values = rows[row - lag].1.clone();
            for (_, _, value) in values.iter_mut().filter(|(channel, _, _)| *channel <= 3) {
                *value += dice.roll(2 * noise + 1) as i64 - noise as i64;
            }
            (rows[row].0, values)
        })
        .collect();
    let mut second = device(&copied);
    // Not held against the sun, which would catch the lag by itself.
    second.place = None;
    if lag == 0 {
        second.readings.iter_mut().for_each(|reading| reading.held_ms += 20_000);
    }
    run(&StreamPolicy::default(), &[device(rows), second], EPOCH_MS)
}

#[test]
fn a_copied_neighbour_is_refused_and_the_original_is_paid() {
    let Some(rows) = honest() else { return };
    // What is paid of a copy lies before its thirtieth match, and nothing can match before the lag has passed.
    for (lag, noise, limit) in [(0, 0, 200), (3, 0, 200), (24, 0, 1_000), (3, 1, 4_000)] {
        let ended = pair(&rows, lag, noise);
        let (accept, _) = measure(
            &format!("copy, {lag} windows behind, noise ±{noise}"),
            &ended[1],
            &vec![true; ended[1].verdicts.len()],
        );
        let (_, reject) = measure("  its original", &ended[0], &vec![false; ended[0].verdicts.len()]);
        assert!(accept <= limit, "{accept}");
        assert_eq!(reject, 0);
    }
    // Beyond the longest lag nobody looks, and noise wider than the rounding hides a copy: not caught, and said so.
    let far = pair(&rows, 25, 0);
    assert_eq!(far[1].refused().get("STREAM_COPIED"), None);
    let noisy = pair(&rows, 3, 50);
    measure("copy, 3 windows behind, noise ±50 (not caught)", &noisy[1], &vec![true; noisy[1].verdicts.len()]);
}

#[test]
fn two_keys_on_one_sensor_are_both_refused_when_neither_was_first() {
    let Some(rows) = honest() else { return };
    let ended = run(&StreamPolicy::default(), &[device(&rows), device(&rows)], EPOCH_MS);
    for (at, ended) in ended.iter().enumerate() {
        let (accept, _) = measure(&format!("two keys, key {at}"), ended, &vec![true; ended.verdicts.len()]);
        assert!(accept <= 100, "{accept}");
    }
}

#[test]
fn honest_neighbours_are_no_copies() {
    let Some(rows) = honest() else { return };
    // Twenty stations in one place: the weather of the first, each with its own offset and noise of 0.3 °C, 1 %, 0.3 hPa.
    let mut dice = Dice(11);
    let stations: Vec<Device> = (0..20)
        .map(|_| {
            let offsets: Vec<i64> = (0..4).map(|_| dice.roll(101) as i64 - 50).collect();
            let mut rows = rows.clone();
            for (_, values) in &mut rows {
                for (channel, _, value) in values.iter_mut().filter(|(channel, _, _)| *channel <= 3) {
                    let wide = if *channel == 2 { 100 } else { 30 };
                    *value += offsets[*channel as usize] + dice.roll(2 * wide + 1) as i64 - wide as i64;
                    *value = if *channel == 2 { (*value).min(10_000) } else { *value };
                }
            }
            device(&rows)
        })
        .collect();
    let ended = run(&StreamPolicy::default(), &stations, EPOCH_MS);
    let copied: usize = ended.iter().map(|ended| ended.refused().get("STREAM_COPIED").copied().unwrap_or(0)).sum();
    let all: usize = ended.iter().map(|ended| ended.verdicts.len()).sum();
    println!("20 honest neighbours: {copied} of {all} readings refused as copied");
    assert_eq!(copied, 0);
}

#[test]
fn what_does_not_change_is_equal_everywhere_and_no_copy() {
    let mut policy = StreamPolicy::default();
    policy.channels.iter_mut().for_each(|channel| channel.constant = None);
    let still: Vec<Row> = (0..300)
        .map(|row| {
            (
                EPOCH_MS * 80_000 + row * policy.window_ms,
                (1..6).map(|channel| (channel, 0, if channel == 3 { 800 } else { 5 })).collect(),
            )
        })
        .collect();
    let said = || Device { place: None, readings: messages(&still) };
    for ended in run(&policy, &[said(), said()], EPOCH_MS) {
        assert_eq!(ended.accepted(), ended.verdicts.len(), "{:?}", ended.refused());
    }
}

#[test]
fn a_shifted_clock_is_seen_by_the_sun() {
    let Some(rows) = honest() else { return };
    for hours in [-6i64, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 12] {
        // The device says now what the weather was hours ago (or will be): its light does not fit its sun.
        let mut moved = rows.clone();
        let shift = hours * 12;
        for (row, (_, values)) in moved.iter_mut().enumerate() {
            let from = (row as i64 - shift).rem_euclid(rows.len() as i64) as usize;
            *values = rows[from].1.clone();
        }
        let ended = alone(&moved);
        let light = |row: usize, channel| channel == 5 && value(&moved, row, 5) > 100;
        let made_up = labels(&moved, |row, channel| hours != 0 && light(row, channel));
        let (accept, _) = measure(&format!("shifted by {hours} h, daylight readings"), &ended, &made_up);
        let first_days =
            labels(&moved, |row, channel| hours != 0 && light(row, channel) && rows[row].0 > rows[0].0 + 2 * DAY_MS);
        let (after, _) = measure("  after the second day", &ended, &first_days);
        let sunlit =
            ["STREAM_NIGHT", "STREAM_TIME_SHIFTED"].map(|name| ended.refused().get(name).copied().unwrap_or(0));
        if hours == 0 {
            assert_eq!(sunlit, [0, 0]);
        }
        // Nearer to noon than the policy's two hours, and not beyond twilight, a shift is not seen.
        if hours.abs() >= 3 {
            assert!(after == 0 && accept <= 2_500, "{hours}: {accept} {after}");
        }
    }
}

#[test]
fn timestamps_from_the_future_are_refused() {
    let Some(rows) = honest() else { return };
    let mut cheat = device(&rows);
    for reading in cheat.readings.iter_mut().filter(|reading| reading.seq % 2 == 1) {
        // Held ten minutes before the time it claims: by the members' clocks, or by their word.
        if reading.seq % 4 == 1 { reading.held_ms = reading.at_ms - 600_000 } else { reading.arrival = Arrival::Future }
    }
    let made_up: Vec<bool> = cheat.readings.iter().map(|reading| reading.seq % 2 == 1).collect();
    let ended = run(&StreamPolicy::default(), &[cheat], EPOCH_MS).remove(0);
    assert_eq!(measure("future timestamps", &ended, &made_up), (0, 0));
    let all = ended.verdicts.iter().zip(&made_up).filter(|(_, made_up)| **made_up);
    assert!(all.clone().all(|(verdict, _)| matches!(verdict, Some(Verdict::Refused(_)))) && all.count() > 2_000);
}

#[test]
fn old_messages_sent_again_and_late_ones_are_not_paid_twice() {
    let Some(rows) = honest() else { return };
    let mut cheat = device(&rows[..288]);
    let once = run(&StreamPolicy::default(), &[device(&rows[..288])], EPOCH_MS).remove(0);
    let again: Vec<_> = cheat.readings.iter().map(|reading| Reading { boot: 2, ..*reading }).collect();
    let late: Vec<_> = cheat
        .readings
        .iter()
        .map(|r| Reading { boot: 3, arrival: Arrival::Late, at_ms: r.at_ms + 1, sent_ms: r.sent_ms + 1, ..*r })
        .collect();
    cheat.readings.extend(again);
    cheat.readings.extend(late);
    let ended = run(&StreamPolicy::default(), &[cheat], EPOCH_MS).remove(0);
    println!("sent again and late: {:?}", ended.refused());
    assert_eq!(ended.units(), once.units());
    assert_eq!(ended.refused().values().sum::<usize>(), 2 * 288 * 5);
    assert_eq!(ended.refused().get("STREAM_LATE").copied(), Some(288 * 5));
}

#[test]
fn who_withholds_messages_to_hide_a_line_is_refused_by_its_gaps() {
    let Some(rows) = honest() else { return };
    let (cheat, made_up) = interpolated(&rows, 6);
    let mut policy = StreamPolicy::default();
    for complete_min_bp in [0, 5_000, 8_000] {
        policy.complete_min_bp = complete_min_bp;
        let mut withheld = device(&cheat);
        let all = run(&policy, &[device(&cheat)], EPOCH_MS).remove(0);
        withheld.readings.retain(|reading| reading.seq % 2 == 0);
        let made_up: Vec<bool> =
            (0..made_up.len()).filter(|index| index / 5 % 2 == 0).map(|index| made_up[index]).collect();
        let kept = run(&policy, &[withheld], EPOCH_MS).remove(0);
        measure(&format!("withheld every other message, {complete_min_bp} bp due"), &kept, &made_up);
        println!("  units: all said {}, half withheld {}", all.units(), kept.units());
        assert!(kept.units() < all.units());
        assert!(complete_min_bp < 8_000 || kept.accepted() <= 10);
    }
}
