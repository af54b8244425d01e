//! The numbers of the demo: its clock, its policy document, its lease terms. DESIGN.md §11, demo column.
//! Leaves out: what they mean for pay (`expect`).

use serde_json::json;

/// Slot length, ms.
pub const SLOT_MS: u64 = 1_000;
/// Epoch length, s.
pub const EPOCH_S: u64 = 15;
/// From activation on chain to slot 0, s: time for the key activation certificate (four blocks) and for the leases to be mined
/// before the first snapshot.
pub const GENESIS_DELAY_S: u64 = 24;
/// Length of every lease, s: four epochs, so that the last challenge falls due in the fifth.
pub const LEASE_S: u64 = 60;
/// Epochs with work due: 0 to 4.
pub const EPOCHS: u64 = 5;
/// D, ms.
pub const ANSWER_MS: u64 = 2_000;
/// Δ, ms.
pub const GOSSIP_MS: u64 = 1_000;
/// b, ms.
pub const VOID_BOUND_MS: u64 = 700;
/// L, ms.
pub const SNAPSHOT_LAG_MS: u64 = 4_000;
/// ⌊(1 − e^(−2.3)) · 2^64⌋: 2.3 challenges a second, one draw a slot, so about nine slots of ten are challenged.
pub const CHALLENGE_P: u64 = 16_597_294_842_428_949_761;
/// 1.645², millionths.
pub const Z_SQUARED_MILLIONTHS: u64 = 2_706_025;
/// Half of a bad second's price is credited to the lessee.
pub const CREDIT_BP: u64 = 5_000;
/// Base units (of a millionth of a dollar) per proven second: one cent.
pub const PRICE: u64 = 10_000;
/// Committee's part of what is paid, basis points.
pub const FEE_BP: u16 = 100;
/// Least fee of a lease, base units.
pub const MIN_FEE: u64 = 1_000;
/// The lessor's bond, base units: covers the credit of a lease that is bad throughout.
pub const BOND: u64 = 600_000;
/// What the lessee deposits, base units: more than the whole lease can cost, so that a refund is seen.
pub const DEPOSIT: u64 = 1_000_000;
/// After a lease's end, the seconds that its final epoch must cover.
pub const GRACE_S: u64 = 5;
/// Dispute window of the hub, s.
pub const DISPUTE_S: u64 = 5;
/// Committee number.
pub const COMMITTEE: u64 = 1;
/// Term number.
pub const TERM: u64 = 1;
/// Stream.
pub const STREAM: u32 = 0;

/// Radiated power at full power, 0.01 dBm: the legal limit of the European 868 MHz band with a small antenna.
pub const EIRP_CDBM: i32 = 1_600;
/// Receiving antenna, 0.01 dBi.
pub const GAIN_CDB: i32 = 300;
/// Slack of the free-space bound, 0.01 dB.
pub const MARGIN_CDB: i32 = 600;
/// Carrier, kHz.
pub const FREQUENCY_KHZ: u32 = 868_100;
/// Spreading factor 12 decodes down to −137 dBm.
pub const FLOOR_CDBM: i32 = -13_700;
/// Spreading factor 12 decodes down to −20 dB.
pub const SNR_MIN_CDB: i32 = -2_000;
/// Nearer proves nothing, m.
pub const MIN_DISTANCE_M: u32 = 300;
/// Farther is implausible, m.
pub const MAX_DISTANCE_M: u32 = 100_000;

/// The policy document's bytes; its hash is what leases and reports name.
#[must_use]
pub fn policy_document() -> Vec<u8> {
    let document = json!({
        "version": 1,
        "answer_deadline_ms": ANSWER_MS,
        "gossip_allowance_ms": GOSSIP_MS,
        "observe_delay_ms": 500,
        "void_bound_ms": VOID_BOUND_MS,
        "snapshot_lag_ms": SNAPSHOT_LAG_MS,
        "late_epochs": 1,
        "view_timeout_ms": 1_000,
        "transmit_stage_ms": 1_500,
        "challenge_p": CHALLENGE_P.to_string(),
        "z_squared_millionths": Z_SQUARED_MILLIONTHS,
        "credit_bp": CREDIT_BP,
        // Far above what a device of the demo sends in an epoch (about four a second), far below what could fill a disk.
        "messages_per_device": 1_024,
        "coverage": {
            "eirp_cdbm": EIRP_CDBM,
            "gain_cdb": GAIN_CDB,
            "margin_cdb": MARGIN_CDB,
            "frequency_khz": FREQUENCY_KHZ,
            "floor_cdbm": FLOOR_CDBM,
            "snr_min_cdb": SNR_MIN_CDB,
            "min_distance_m": MIN_DISTANCE_M,
            "max_distance_m": MAX_DISTANCE_M,
            "min_witnesses": 1,
        },
    });
    let mut bytes = serde_json::to_vec_pretty(&document).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Last deadline of a class after the slot's start, ms; docs/protocol.md §5.
#[must_use]
pub const fn lag_ms(class: u8) -> u64 {
    if class == 2 { 2 * ANSWER_MS + GOSSIP_MS } else { ANSWER_MS + GOSSIP_MS }
}
