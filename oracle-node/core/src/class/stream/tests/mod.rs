//! What the tests share: real series, and devices that say them epoch by epoch. Leaves out: what is expected of them.

#![allow(
    clippy::float_arithmetic,
    reason = "decimal texts are read and shares are shown with it; nothing is judged by it"
)]

mod cheaters;
mod data;
mod properties;

use std::collections::BTreeMap;

use super::copy::strike;
use super::fold::Fold;
use super::judge::{Given, Judgement, Verdict, judge};
use super::policy::StreamPolicy;
use super::reading::{Arrival, Reading, Span};
use super::sequence::Counts;
use super::sky::{Place, highest_cdeg, noon_ms};
use super::sunlit::Sun;
use super::windows::{Window, windows};
use crate::class::recorded;

/// The site of the weather station and of the roof: Golden, Colorado.
pub(super) const GOLDEN: Place = Place { lat_e7: 397_407_000, lon_e7: -1_051_688_000 };
pub(super) const HOUR_MS: u64 = 3_600_000;
pub(super) const DAY_MS: u64 = 86_400_000;

/// A real file's text, or `None` after saying so.
pub(super) fn data(path: &str) -> Option<String> {
    recorded::text(&format!("telemetry/{path}"))
}

/// Unix ms of a civil date and time.
pub(super) fn civil(year: i64, month: i64, day: i64, hour: i64, minute: i64) -> u64 {
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 1 - 719_468;
    u64::try_from(((days * 24 + hour) * 60 + minute) * 60_000).expect("after 1970")
}

/// Unix ms of "2010-12-29 14:15:00…", taken as UTC, or "1/1/2022 0:05".
pub(super) fn instant(text: &str) -> u64 {
    let numbers: Vec<i64> = text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    if text.contains('/') {
        civil(numbers[2], numbers[0], numbers[1], numbers[3], numbers[4])
    } else {
        civil(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
    }
}

/// A decimal text as an integer at an exponent, rounded.
pub(super) fn scaled(text: &str, exponent: i8) -> Option<i64> {
    let value: f64 = text.trim().parse().ok()?;
    Some((value * 10f64.powi(-i32::from(exponent))).round() as i64)
}

/// One instant of a device: time and (channel, exponent, mantissa) each.
pub(super) type Row = (u64, Vec<(u64, i8, i64)>);

/// Messages of one row each, numbered from 0, held a second after they were sent.
pub(super) fn messages(rows: &[Row]) -> Vec<Reading> {
    let mut readings = Vec::new();
    for (seq, (at_ms, values)) in rows.iter().enumerate() {
        for (channel, exponent, mantissa) in values {
            readings.push(Reading {
                at_ms: *at_ms,
                sent_ms: *at_ms,
                held_ms: at_ms + 1_000,
                channel: *channel,
                mantissa: *mantissa,
                exponent: *exponent,
                boot: 1,
                seq: seq as u64,
                arrival: Arrival::Fresh,
            });
        }
    }
    readings
}

/// A device: where it is, and all that it ever says.
pub(super) struct Device {
    pub(super) place: Option<Place>,
    pub(super) readings: Vec<Reading>,
}

/// What became of a device.
#[derive(Default)]
pub(super) struct Ended {
    pub(super) verdicts: Vec<Option<Verdict>>,
    pub(super) windows: Vec<Window>,
    pub(super) counts: Counts,
    pub(super) fold_bytes_max: usize,
}

impl Ended {
    pub(super) fn accepted(&self) -> usize {
        self.verdicts.iter().filter(|verdict| **verdict == Some(Verdict::Accepted)).count()
    }

    /// Refused readings by reason.
    pub(super) fn refused(&self) -> BTreeMap<&'static str, usize> {
        let mut reasons = BTreeMap::new();
        for verdict in &self.verdicts {
            if let Some(Verdict::Refused(refusal)) = verdict {
                *reasons.entry(refusal.reason.name()).or_insert(0) += 1;
            }
        }
        reasons
    }

    pub(super) fn windows_by_reason(&self) -> BTreeMap<&'static str, usize> {
        let mut reasons = BTreeMap::new();
        for window in &self.windows {
            *reasons.entry(window.result.map_or_else(|refusal| refusal.reason.name(), |_| "paid")).or_insert(0) += 1;
        }
        reasons
    }

    pub(super) fn units(&self) -> u64 {
        self.windows.iter().filter_map(|window| window.result.ok()).map(u64::from).sum()
    }

    pub(super) fn accepts(&self, index: usize) -> bool {
        self.verdicts[index] == Some(Verdict::Accepted)
    }
}

/// Judges devices together, epoch by epoch, through the bytes that are carried.
pub(super) fn run(policy: &StreamPolicy, devices: &[Device], epoch_ms: u64) -> Vec<Ended> {
    let times = || devices.iter().flat_map(|device| device.readings.iter().map(|reading| reading.at_ms));
    let (first, last) = (times().min().expect("readings"), times().max().expect("readings"));
    let mut start = first - first % policy.window_ms;
    let mut ended: Vec<Ended> = devices.iter().map(|_| Ended::default()).collect();
    ended.iter_mut().zip(devices).for_each(|(ended, device)| ended.verdicts = vec![None; device.readings.len()]);
    let mut carried: Vec<Vec<u8>> = devices.iter().map(|_| Vec::new()).collect();
    while start <= last {
        let end = (start + epoch_ms).min(last - last % policy.window_ms + policy.window_ms);
        let span = Span { start_ms: start, end_ms: end };
        epoch(policy, devices, span, &mut ended, &mut carried);
        start = end;
    }
    ended
}

fn epoch(policy: &StreamPolicy, devices: &[Device], span: Span, ended: &mut [Ended], carried: &mut [Vec<u8>]) {
    let mut judged: Vec<Judgement> = Vec::new();
    let mut listed: Vec<Vec<usize>> = Vec::new();
    for (device, carried) in devices.iter().zip(carried.iter()) {
        let fold = Fold::decode(carried).expect("a fold");
        let near = |reading: &&Reading| span.holds(reading.at_ms) || span.holds(reading.sent_ms);
        listed.push((0..device.readings.len()).filter(|index| near(&&device.readings[*index])).collect());
        let readings: Vec<Reading> = device.readings.iter().filter(near).copied().collect();
        let highest = device.place.map(|place| highest_cdeg(policy, place, span));
        let noon = device.place.map_or(0, |place| noon_ms(place, span.start_ms / 2 + span.end_ms / 2));
        let sun = highest.as_ref().map(|highest| Sun { highest_cdeg: highest, noon_ms: noon });
        judged.push(judge(&Given { policy, span, sun, fold: &fold, readings: &readings, others: &[] }));
    }
    if let Some(copy) = &policy.copy {
        let mut leases: Vec<(u64, &mut Judgement)> =
            judged.iter_mut().enumerate().map(|(at, one)| (at as u64, one)).collect();
        strike(copy, policy.window_ms, &mut leases);
    }
    for (at, judgement) in judged.iter().enumerate() {
        for (index, verdict) in listed[at].iter().zip(&judgement.verdicts) {
            if *verdict != Verdict::Elsewhere {
                ended[at].verdicts[*index] = Some(*verdict);
            }
        }
        ended[at].windows.extend(windows(policy, judgement));
        ended[at].counts.seen += judgement.counts.seen;
        ended[at].counts.missing += judgement.counts.missing;
        carried[at] = judgement.fold.encode();
        ended[at].fold_bytes_max = ended[at].fold_bytes_max.max(carried[at].len());
    }
}

/// The real weather station's rows by the default policy's channels, its local time taken from UTC−7; empty cells left out.
pub(super) fn station() -> Option<Vec<Row>> {
    let text = data("solar/rmis_weather_data.csv")?;
    let rows = text.lines().skip(1).filter(|line| !line.is_empty()).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let at_ms = instant(cells[0]) + 7 * HOUR_MS;
        let wanted = [(1, 1, -2), (2, 8, -2), (3, 2, -2), (4, 12, -2), (5, 5, -1)];
        let values = wanted.iter().filter_map(|(channel, cell, exponent)| {
            scaled(cells[*cell], *exponent).map(|value| (*channel, *exponent, value))
        });
        (at_ms, values.collect())
    });
    Some(rows.collect())
}

/// Pseudo-random numbers from a seed (splitmix64), so that every run is the same.
pub(super) struct Dice(pub u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}
