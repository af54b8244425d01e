//! The README's airtime table, computed: LoRa's time on air (Semtech AN1200.13) in integers, at 125 kHz, coding rate
//! 4/5, explicit header, CRC on, eight preamble symbols, 13 bytes of LoRaWAN frame around the message.

mod common;

use std::{fs, path::PathBuf};

use attest::{Body, Claims, MAX_MESSAGE, Reading, Sample, SoftEd25519, seal};
use common::{SEED, bodies, claims, network, widest_readings};

/// LoRaWAN's own bytes around an application payload: MHDR 1, DevAddr 4, FCtrl 1, FCnt 2, FPort 1, MIC 4.
const FRAME: u64 = 13;
/// The largest frames of EU868 by spreading factor, 7 to 12.
const LARGEST: [u64; 6] = [255, 255, 128, 64, 64, 64];

/// Microseconds on air of a LoRa frame of `bytes`.
fn airtime(sf: u64, bytes: u64) -> u64 {
    // A symbol takes 2^SF / 125 kHz = 2^SF * 8 us.
    let symbol = (1 << sf) * 8;
    // Low data rate optimisation is on where a symbol takes more than 16 ms.
    let slow = u64::from(symbol > 16_000);
    let bits = (8 * bytes + 28 + 16).saturating_sub(4 * sf);
    let payload = 8 + bits.div_ceil(4 * (sf - 2 * slow)) * 5;
    // Preamble of 8 + 4.25 symbols.
    symbol * 49 / 4 + payload * symbol
}

/// How many LoRaWAN frames carry a message.
fn frames(sf: u64, message: u64) -> (u64, u64) {
    let room = LARGEST[usize::try_from(sf).expect("small") - 7] - FRAME;
    let whole = message / room;
    let rest = message % room;
    let total = whole * airtime(sf, room + FRAME) + if rest > 0 { airtime(sf, rest + FRAME) } else { 0 };
    (message.div_ceil(room), total)
}

fn row(name: &str, message: u64) -> String {
    let mut out = format!("| {name} | {message} |");
    for sf in [7, 8, 9, 10, 12] {
        let (count, micros) = frames(sf, message);
        let many = if count > 1 { format!(" ({count})") } else { String::new() };
        out += &format!(" {} ms{many} |", (micros + 500) / 1000);
    }
    // NB-IoT and LTE-M at their slow ends, and Bluetooth LE: payload bits over the rate.
    for rate in [20_000, 125_000] {
        out += &format!(" {} ms |", (message * 8 * 1000).div_ceil(rate));
    }
    out
}

#[test]
fn the_formula_gives_the_known_times() {
    // Published by the LoRa calculators: SF7 with 10+13 bytes, SF10 with 11+13, SF12 with 51+13 (EU868's longest).
    assert_eq!(airtime(7, 23), 61_696);
    assert_eq!(airtime(10, 24), 370_688);
    assert_eq!(airtime(12, 64), 2_793_472);
}

#[test]
fn the_readme_has_this_table() {
    let readme = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).expect("part of the crate");
    let eight: [Reading; 8] =
        std::array::from_fn(|at| Reading { channel: at as u64, exponent: -2, mantissa: 2_153_400 });
    let minute: [Sample<'_>; 6] =
        std::array::from_fn(|at| Sample { age_ms: 50_000 - 10_000 * at as u32, readings: eight[..1].into() });
    let mut missing = Vec::new();
    let widest = widest_readings();
    for (name, body) in [
        ("heartbeat", Body::Heartbeat),
        ("telemetry, 8 readings", Body::Telemetry((&eight).into())),
        ("telemetry, 6 instants", Body::Telemetry((&minute).into())),
        ("telemetry, 32 widest", Body::Telemetry((&widest).into())),
        ("boot with place", bodies()[2]),
        ("answer", bodies()[3]),
        ("witness", bodies()[5]),
        ("reveal, 2 receptions", bodies()[6]),
        ("channels, 3 names", bodies()[7]),
        ("meter, 2 windows", bodies()[8]),
        ("fix, 2 satellites", bodies()[9]),
        ("storage leaf, 2 siblings", bodies()[10]),
        ("bandwidth, 2 members", bodies()[13]),
        ("endorsement", bodies()[14]),
        ("hello", bodies()[16]),
    ] {
        let row = row(name, size(body));
        println!("{row}");
        if !readme.contains(&row) {
            missing.push(row);
        }
    }
    assert!(missing.is_empty(), "README.md lacks these rows:\n{}", missing.join("\n"));
}

/// The bytes of a message of an old device: boot 1000, the longest sequence number.
fn size(body: Body<'_>) -> u64 {
    let mut buf = [0; MAX_MESSAGE];
    let old = Claims { boot: 1000, seq: u64::MAX, ..claims(body) };
    let signed = seal(&SoftEd25519::from_seed(SEED), &network(), &old, &mut buf).expect("seals");
    signed.bytes.len() as u64
}
