//! Physics held against recorded radio links: what they accept of honest readings, and what they refuse when the
//! receiver is said to stand somewhere else. Says so and tests nothing without the recordings.
//! Leaves out: reading the recordings (`recordings`).

use super::recordings::{self, Reading};
use super::tests::radio as calibrated;
use super::*;

/// Nearest that a false place is to the true one, m.
const MOVED_M: u64 = 75_000;
/// Northward and eastward steps to false places, 1e-7 degree: at least 75, 150 and 300 km below 46 degrees of latitude.
const STEPS: [(i32, i32); 3] = [(6_760_000, 9_780_000), (13_520_000, 19_560_000), (27_040_000, 39_120_000)];

/// What was counted of one set.
#[derive(Default)]
struct Count {
    links: u64,
    accepted: u64,
    moved: u64,
    /// Moved readings stronger than free space permits with nothing to spare.
    impossible: u64,
    /// The same if every receiving antenna were known to be isotropic.
    impossible_isotropic: u64,
    /// Moved readings that the judged free-space bound refuses.
    refused: u64,
    /// Receiving gain that each honest reading needs, 0.01 dB.
    needed: Vec<i64>,
    /// Slack of the receiver's meters that each needs, 0.01 dB.
    short: Vec<i64>,
}

/// The numbers for one reading's modulation.
fn of(reading: &Reading) -> Radio {
    Radio { spreading_factor: reading.spreading_factor, ..calibrated() }
}

fn link(reading: &Reading, receiver: (i32, i32)) -> Link {
    let distance_m = fixed::distance_m(reading.transmitter, receiver);
    let Reading { attenuation_cdb, rssi_cdbm, snr_cdb, .. } = *reading;
    Link { distance_m, attenuation_cdb, rssi_cdbm, snr_cdb }
}

/// How much weaker than the table a reading is, 0.01 dB.
fn shortfall(radio: &Radio, link: &Link) -> i64 {
    let strict = Radio { receiver_slack_cdb: 0, ..radio.clone() };
    let weak = |bound: &Bound| [Reason::RSSI_BELOW_FLOOR, Reason::SNR_TOO_LOW].contains(&bound.reason);
    bounds(&strict, link).filter(weak).map(|bound| -bound.margin).max().expect("every reading has a floor")
}

/// How far a reading is below the strongest that free space permits, 0.01 dB.
fn room(radio: &Radio, link: &Link) -> i64 {
    let bound = bounds(radio, link).find(|bound| bound.reason == Reason::RSSI_ABOVE_FREE_SPACE);
    bound.expect("every reading has this bound").margin
}

fn count(readings: &[Reading]) -> Count {
    let mut count = Count::default();
    for reading in readings {
        let (radio, here) = (of(reading), link(reading, reading.receiver));
        count.links += 1;
        count.accepted += u64::from(plausible(&radio, &here).is_ok());
        count.needed.push(i64::from(radio.gain_rx_cdb) - room(&radio, &here));
        count.short.push(shortfall(&radio, &here));
        let exact = Radio { location_slack_m: 0, margin_cdb: 0, ..radio.clone() };
        let isotropic = Radio { gain_rx_cdb: 0, ..exact.clone() };
        for receiver in elsewhere(reading.receiver) {
            assert!(fixed::distance_m(reading.receiver, receiver) >= MOVED_M, "{:?} {receiver:?}", reading.receiver);
            let there = link(reading, receiver);
            count.moved += 1;
            count.impossible += u64::from(room(&exact, &there) < 0);
            count.impossible_isotropic += u64::from(room(&isotropic, &there) < 0);
            count.refused += u64::from(room(&radio, &there) < 0);
        }
    }
    count.needed.sort_unstable();
    count.short.sort_unstable();
    count
}

/// Twelve false places: three distances north, south, east and west.
fn elsewhere((lat, lon): (i32, i32)) -> impl Iterator<Item = (i32, i32)> {
    // Meridians converge: at 69 degrees, the northernmost recording, twice as many degrees make a step of this length.
    let wide = if lat > 460_000_000 { 2 } else { 1 };
    STEPS
        .into_iter()
        .map(move |(north, east)| (north, east * wide))
        .flat_map(move |(north, east)| [(lat + north, lon), (lat - north, lon), (lat, lon + east), (lat, lon - east)])
}

/// The 99.5th percentile and the greatest of ascending numbers.
fn extremes(ascending: &[i64]) -> (i64, i64) {
    let usual = ascending.get(ascending.len() * 995 / 1_000).or(ascending.last());
    (usual.copied().unwrap_or_default(), ascending.last().copied().unwrap_or_default())
}

/// Hundredths of a percent of a whole, rounded down.
const fn bp(part: u64, whole: u64) -> u64 {
    match (part * 10_000).checked_div(whole) {
        Some(share) => share,
        None => 0,
    }
}

#[test]
fn the_bounds_keep_honest_links_and_refuse_what_free_space_can() {
    let Some(sets) = recordings::all() else {
        println!("skipped: no recordings");
        return;
    };
    println!("shares and ratio in basis points, gain and slack (99.5th percentile, greatest) in 0.01 dB");
    let mut impossible = 0;
    for (name, readings) in &sets {
        let found = count(readings);
        println!(
            "{name}: {} links, accepted {}; gain needed {:?}, slack needed {:?}; of {} moved: impossible {} (known isotropic {}), refused {}, ratio {}",
            found.links,
            bp(found.accepted, found.links),
            extremes(&found.needed),
            extremes(&found.short),
            found.moved,
            bp(found.impossible, found.moved),
            bp(found.impossible_isotropic, found.moved),
            bp(found.refused, found.moved),
            bp(found.refused, found.impossible),
        );
        impossible += found.impossible;
        assert!(found.links > 1_000, "{name}: only {} links", found.links);
        assert!(bp(found.accepted, found.links) >= 9_950, "{name}: honest links refused");
        assert!(found.refused * 100 >= found.impossible * 95, "{name}: moved links accepted");
    }
    assert!(impossible > 1_000, "the recordings put nothing to the test");
}
