//! Real series through the class: labelled made-up rows are found, and honest sensors are accepted.

use crate::class::stream::judge::Verdict;
use crate::class::stream::policy::{CalmPolicy, ChannelPolicy, ConstantPolicy, LinePolicy, StreamPolicy, SunPolicy};

use super::{DAY_MS, Device, Ended, GOLDEN, HOUR_MS, Row, data, instant, messages, run, scaled, station};

/// A policy of one channel, judged by nothing but its bounds.
fn single(window_ms: u64, exponent: i8, min: i64, max: i64) -> StreamPolicy {
    let channel = ChannelPolicy {
        channel: 1,
        exponent,
        min,
        max,
        resolution: 1,
        readings_min: 1,
        readings_max: 4,
        weight: 1,
        jump_max: 0,
        constant: None,
        line: None,
        digits: None,
        sun: None,
    };
    StreamPolicy { window_ms, channels: vec![channel], copy: None, ..StreamPolicy::default() }
}

/// The inverter's rows, and which of them are labelled as made up.
fn inverter() -> Option<(Vec<Row>, Vec<bool>)> {
    let text = data("solar/ac_power_inv_2173_interpolated_data.csv")?;
    let rows = text.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let value = scaled(cells[1], -9).expect("a value");
        ((instant(cells[0]), vec![(1, -9, value)]), cells[2].trim() == "True")
    });
    Some(rows.unzip())
}

fn roof(resolution: i64, night_min: u32) -> StreamPolicy {
    let mut policy = single(900_000, -9, -100_000_000, 1_200_000_000);
    policy.channels[0].resolution = resolution;
    policy.channels[0].line = Some(LinePolicy { interior_min: 4, rise_min: 4 });
    let calm = Some(CalmPolicy { low: 0, high: 0, window_min: night_min });
    policy.channels[0].constant = Some(ConstantPolicy { window_min: 120, band: 0, calm });
    policy
}

/// (labelled, found, both): found are the rows refused for one of the reasons.
fn found(ended: &Ended, labels: &[bool], reasons: &[&str]) -> (usize, usize, usize) {
    let is_found = |verdict: &Option<Verdict>| match verdict {
        Some(Verdict::Refused(refusal)) => reasons.contains(&refusal.reason.name()),
        _ => false,
    };
    let hits: Vec<bool> = ended.verdicts.iter().map(is_found).collect();
    let both = hits.iter().zip(labels).filter(|(hit, label)| **hit && **label).count();
    (labels.iter().filter(|label| **label).count(), hits.iter().filter(|hit| **hit).count(), both)
}

fn rates((labelled, found, both): (usize, usize, usize)) -> (f64, f64) {
    (both as f64 / labelled as f64, both as f64 / found as f64)
}

#[test]
fn made_up_rows_of_a_solar_roof_are_found() {
    let Some((rows, labels)) = inverter() else { return };
    let readings = messages(&rows);
    let judged = |resolution, night_min, epoch_ms| {
        let device = Device { place: None, readings: readings.clone() };
        run(&roof(resolution, night_min), &[device], epoch_ms).remove(0)
    };
    let both = ["STREAM_STRAIGHT_LINE", "STREAM_CONSTANT"];
    for (resolution, night_h, epoch_h) in
        [(1, 18, 10_000), (1, 19, 10_000), (1, 20, 10_000), (1, 19, 24), (1, 19, 1), (100_000, 19, 10_000)]
    {
        let ended = judged(resolution, night_h * 60, epoch_h * HOUR_MS);
        for reasons in [&both[..1], &both[..]] {
            let counts = found(&ended, &labels, reasons);
            let (recall, precision) = rates(counts);
            println!(
                "resolution {resolution}e-9, longest night {night_h} h, epoch {epoch_h} h, {reasons:?}: labelled {}, found {}, both {}, recall {recall:.4}, precision {precision:.4}",
                counts.0, counts.1, counts.2
            );
        }
    }
    // Judged hour by hour, four rows each: what was paid before its line was known is not taken back.
    let hourly = rates(found(&judged(1, 19 * 60, HOUR_MS), &labels, &both[..1]));
    assert!(hourly.0 >= 0.9 && hourly.1 >= 0.99, "{hourly:?}");
    let moved: Vec<bool> = rows.iter().zip(&labels).map(|((_, values), label)| *label && values[0].2 != 0).collect();
    let whole = judged(1, 19 * 60, 10_000 * HOUR_MS);
    let (recall, precision) = rates(found(&whole, &moved, &both[..1]));
    println!(
        "labelled rows that are not zero at night: {} recall {recall:.4}, precision {precision:.4}",
        moved.iter().filter(|m| **m).count()
    );
    assert!(recall >= 0.99 && precision >= 0.99);
    let (recall, precision) = rates(found(&whole, &labels, &both));
    assert!(recall >= 0.95 && precision >= 0.9, "recall {recall}, precision {precision}");
}

fn explain(name: &str, ended: &Ended) {
    println!(
        "{name}: {} readings, {} accepted, refused {:?}; {} windows: {:?}; fold {} bytes",
        ended.verdicts.len(),
        ended.accepted(),
        ended.refused(),
        ended.windows.len(),
        ended.windows_by_reason(),
        ended.fold_bytes_max
    );
    for (index, verdict) in ended.verdicts.iter().enumerate() {
        if let Some(Verdict::Refused(refusal)) = verdict {
            println!(
                "  reading {index}: {} measured {} limit {}",
                refusal.reason.name(),
                refusal.measured,
                refusal.limit
            );
        }
    }
}

#[test]
fn a_real_weather_station_is_accepted() {
    let Some(rows) = station() else { return };
    let said: Vec<Row> = rows.iter().filter(|(_, values)| !values.is_empty()).cloned().collect();
    for epoch_ms in [100 * DAY_MS, HOUR_MS] {
        let device = Device { place: Some(GOLDEN), readings: messages(&said) };
        let ended = run(&StreamPolicy::default(), &[device], epoch_ms).remove(0);
        explain(&format!("weather station, epoch {} h", epoch_ms / HOUR_MS), &ended);
        let missing = ended.windows_by_reason().get("STREAM_MISSING").copied();
        assert_eq!(
            missing,
            Some(rows.len() - said.len() - 1),
            "the empty rows but the last, after which nothing is said"
        );
        assert!(ended.accepted() * 1_000 >= ended.verdicts.len() * 999);
    }
}

fn nab(file: &str, exponent: i8) -> Option<Vec<Row>> {
    let text = data(&format!("nab/{file}.csv.gz"))?;
    let rows = text.lines().skip(1).map(|line| {
        let (at, value) = line.split_once(',').expect("two cells");
        (instant(at), vec![(1, exponent, scaled(value, exponent).expect("a value"))])
    });
    Some(rows.collect())
}

#[test]
fn a_real_temperature_sensor_is_accepted_and_a_swing_is_named() {
    let Some(rows) = nab("ambient_temperature_system_failure", -2) else { return };
    // 0.01 °F an hour. One swing is larger than 8 °F: of 9.5 °F, on 2013-08-06. The labelled failures are drifts: they pass.
    for (jump_max, refused) in [(1_000, 0), (800, 1)] {
        let mut policy = single(HOUR_MS, -2, 3_000, 12_000);
        policy.channels[0].jump_max = jump_max;
        policy.channels[0].constant = Some(ConstantPolicy { window_min: 360, band: 0, calm: None });
        policy.channels[0].line = Some(LinePolicy { interior_min: 4, rise_min: 6 });
        let ended = run(&policy, &[Device { place: None, readings: messages(&rows) }], DAY_MS).remove(0);
        explain(&format!("ambient temperature, jump {jump_max}"), &ended);
        assert_eq!(ended.verdicts.len() - ended.accepted(), refused);
        assert_eq!(ended.refused().get("STREAM_JUMP").copied().unwrap_or(0), refused);
        assert_eq!(ended.windows_by_reason()["STREAM_MISSING"], ended.windows.len() - ended.verdicts.len());
    }
}

#[test]
fn servers_that_are_sensors_are_accepted_but_for_instants_said_twice() {
    let quiet = Some(CalmPolicy { low: 0, high: 0, window_min: 43_200 });
    for (file, exponent, max, calm, twice) in [
        ("ec2_request_latency_system_failure", -3, 1_000_000, None, 11),
        ("ec2_network_in_257a54", -1, 10_000_000_000, None, 0),
        ("ec2_disk_write_bytes_1ef3de", 0, 1_000_000_000, quiet, 11),
    ] {
        let Some(rows) = nab(file, exponent) else { return };
        let mut policy = single(300_000, exponent, 0, max);
        policy.channels[0].constant = Some(ConstantPolicy { window_min: 60, band: 0, calm });
        policy.channels[0].line = Some(LinePolicy { interior_min: 4, rise_min: 6 });
        let ended = run(&policy, &[Device { place: None, readings: messages(&rows) }], DAY_MS).remove(0);
        explain(file, &ended);
        let refused = ended.refused();
        assert_eq!(refused.get("STREAM_DUPLICATE").copied().unwrap_or(0), twice);
        assert_eq!(refused.values().sum::<usize>(), twice, "{refused:?}");
    }
}

#[test]
fn a_real_roof_minute_by_minute_is_in_time_with_the_sun() {
    let Some(text) = data("solar/serf_east_1min_ac_power.csv") else { return };
    let rows = text.lines().skip(1).filter_map(|line| {
        let (at, value) = line.split_once(',')?;
        Some((instant(at) + 7 * HOUR_MS, vec![(1, -4, scaled(value, -4)?)]))
    });
    let rows: Vec<Row> = rows.collect();
    let mut policy = single(60_000, -4, -200_000, 60_000_000);
    policy.channels[0].sun = Some(SunPolicy { night_max: 50_000, down_cdeg: -600, centre_max_s: 7_200 });
    policy.channels[0].line = Some(LinePolicy { interior_min: 4, rise_min: 6 });
    let calm = Some(CalmPolicy { low: -200_000, high: 0, window_min: 1_440 });
    policy.channels[0].constant = Some(ConstantPolicy { window_min: 60, band: 0, calm });
    let ended = run(&policy, &[Device { place: Some(GOLDEN), readings: messages(&rows) }], HOUR_MS).remove(0);
    explain("roof, one minute", &ended);
    assert_eq!(ended.accepted(), ended.verdicts.len());
}
