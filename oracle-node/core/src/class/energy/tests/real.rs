//! Real data: the Caltech charging total to the last digit, and honest and cheating panels under the clear-sky bounds.
//! Prints "skipped: ..." where the data is absent.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::class::energy::decimal::Decimal;
use crate::class::energy::fold::{LeaseFold, PageBook};
use crate::class::energy::judge::{Rules, Said, Verdict, judge, units};
use crate::class::energy::ocmf::time::Time;
use crate::class::energy::policy::{Pays, Section};
use crate::class::energy::sky::Panel;
use crate::class::energy::windows::Window;
use crate::reason::Reason;

fn file(name: &str) -> Option<Vec<u8>> {
    let path = super::data().join("telemetry").join(name);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        println!("skipped: no {}", path.display());
    }
    bytes
}

/// Reads `2019-05-01 01:18:45-07:00`.
fn unix(text: &str) -> u64 {
    let (day, rest) = text.split_at(10);
    let (time, offset) = rest[1..].split_at(8);
    Time::parse(&format!("{day}T{time},000{} S", offset.replace(':', ""))).unwrap().unix_s()
}

fn run(section: &Section, rated_w: u64, said: &[Said]) -> Verdict {
    let place = Ok((397_420_000, -1_051_727_000));
    let rules = Rules {
        section,
        curves: &[],
        meter: [0; 32],
        rated_w,
        place,
        lease: 1,
        lease_s: (0, u64::MAX),
        latest_s: 2_000_000_000,
    };
    judge(&rules, &PageBook::default(), &LeaseFold::default(), &[], said)
}

#[test]
fn the_caltech_total_is_exact() {
    let Some(packed) = file("ev/acn_caltech_2019-05_08.csv.gz") else { return };
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    let section = Section { pays: Pays::Windows, resolution_exponent: -13, longest_s: 604_800, ..Section::sessions() };
    let mut stations: BTreeMap<&str, Vec<(u64, u64, u64)>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let energy = Decimal::parse(fields[3]).unwrap().shifted(3).unwrap().units_of(-13).unwrap();
        stations.entry(fields[4]).or_default().push((unix(fields[0]), unix(fields[1]), energy.try_into().unwrap()));
    }
    let (mut total, mut sessions) = (0u128, 0);
    for all in stations.values_mut() {
        all.sort_unstable();
        // A register of 64 bits holds a few hundred sessions at sixteen decimals; a new one starts with each epoch of twenty.
        for epoch in all.chunks(20) {
            let mut register = 0;
            let mut said = Vec::new();
            for (start, end, energy) in epoch {
                let (first, last) = (register, register + energy);
                let window = Window {
                    start: *start,
                    end: *end,
                    first,
                    last,
                    sampled: (*energy).try_into().unwrap(),
                    peak: 0,
                    register: 1,
                    exponent: -13,
                };
                said.push(Said { window, evidence: said.len() });
                register = last;
            }
            let verdict = run(&section, 7_200, &said);
            assert!(verdict.findings.iter().all(|finding| finding.result.is_ok()), "{:?}", verdict.findings);
            total += units(&verdict.findings);
            sessions += said.len();
        }
    }
    println!("Caltech: {sessions} sessions, {total} units of 1e-16 kWh");
    assert_eq!((sessions, total), (3_527, 295_327_716_712_783_588_713));
}

/// Windows of so many minutes from the 1-minute series, aligned to the clock, with energies times a factor in percent.
fn panel(text: &str, minutes: u64, percent: i128, shift_s: u64) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let mut sum = 0i128;
    for line in text.lines().skip(1) {
        let (time, power) = line.split_once(',').unwrap();
        let Some(power) = Decimal::parse(power).and_then(|power| power.units_of(-4)) else { continue };
        let (time, before) = (unix(time), sum);
        sum += power.max(0) * percent;
        // 1e-4 W · minute · percent = 1/60,000 mWh / 10.
        let [first, last] = [before, sum].map(|value| u64::try_from(value / 60_000).unwrap());
        let start = time / (60 * minutes) * (60 * minutes) + shift_s;
        match said.last_mut().map(|one| &mut one.window).filter(|one| one.start == start && one.end == time + shift_s) {
            Some(window) => (window.end, window.last) = (time + 60 + shift_s, last),
            None if time + shift_s == start => {
                let window = Window {
                    start,
                    end: time + 60 + shift_s,
                    first,
                    last,
                    sampled: 0,
                    peak: 0,
                    register: 1,
                    exponent: -3,
                };
                said.push(Said { window, evidence: said.len() });
            }
            None => {}
        }
    }
    said.retain(|one| one.window.end - one.window.start == 60 * minutes);
    said.iter_mut().for_each(|one| one.window.sampled = (one.window.last - one.window.first).try_into().unwrap());
    said
}

#[test]
fn panels_under_the_sun() {
    let Some(bytes) = file("solar/serf_east_1min_ac_power.csv") else { return };
    let text = String::from_utf8(bytes).unwrap();
    for panel_kind in [Panel::Flat, Panel::Tilted] {
        for (minutes, rated_w) in [(1, 4_700), (5, 4_700), (60, 4_700), (1, 6_000), (5, 6_000), (60, 6_000)] {
            let mut section = Section::panels();
            section.sky.as_mut().unwrap().panel = panel_kind;
            for (name, percent, shift) in [("honest", 100, 0), ("+20 %", 120, 0), ("12 h late", 100, 43_200)] {
                let said = panel(&text, minutes, percent, shift);
                let verdict = run(&section, rated_w, &said);
                let told: i64 = said.iter().map(|one| one.window.sampled).sum();
                let energetic =
                    said.iter().filter(|one| one.window.sampled > 10 * i64::try_from(minutes).unwrap()).count();
                let refused = verdict.findings.iter().filter(|finding| finding.result.is_err()).count();
                let paid_bp = units(&verdict.findings) * 10_000 / u128::try_from(told).unwrap();
                println!(
                    "{panel_kind:?} {minutes} min, {rated_w} W, {name}: {refused} of {} windows refused ({energetic} with energy); {paid_bp} bp of the energy told is paid",
                    said.len()
                );
                if panel_kind == Panel::Tilted && name == "honest" {
                    assert!(refused * 200 <= said.len());
                }
                if name == "12 h late" {
                    assert!(
                        verdict
                            .findings
                            .iter()
                            .any(|finding| finding.result.is_err_and(|fault| fault.reason == Reason::ENERGY_AT_NIGHT))
                    );
                }
            }
        }
    }
}
