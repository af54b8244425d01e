//! The numbers of the demo: its clock, its policy book, its lease terms. The only file that knows the documents' form.
//! Leaves out: what the numbers mean for pay (`expect`), and sections that a kind brings itself.

use alloy::primitives::U256;
use serde_json::{Value, json};

use crate::book::Book;
use crate::kind::KINDS;

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
/// Δ, ms.
pub const GOSSIP_MS: u64 = 1_000;
/// b, ms.
pub const VOID_BOUND_MS: u64 = 700;
/// L, ms.
pub const SNAPSHOT_LAG_MS: u64 = 4_000;
/// Committee's part of what is paid, basis points.
pub const FEE_BP: u16 = 100;
/// Least fee of a lease, base units.
pub const MIN_FEE: u64 = 1_000;
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

/// What the policy says of one class of proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassRules {
    /// Answer deadline D after a slot's start, ms.
    pub deadline_ms: u64,
    /// Draw threshold: a slot is a challenge with probability `challenge_p / 2^64`.
    pub challenge_p: u64,
    /// z², millionths.
    pub z_squared_millionths: u64,
    /// Part of bad units that is credited to the lessee, basis points.
    pub credit_bp: u64,
}

/// The uptime class. ⌊(1 − e^(−2.3)) · 2^64⌋: 2.3 challenges a second, one draw a slot, so about nine slots of ten are
/// challenged; z = 1.645; half of a bad second's price is credited to the lessee.
pub const UPTIME: ClassRules = ClassRules {
    deadline_ms: 2_000,
    challenge_p: 16_597_294_842_428_949_761,
    z_squared_millionths: 2_706_025,
    credit_bp: 5_000,
};
/// The coverage class: the same.
pub const COVERAGE: ClassRules = UPTIME;

/// What a lease costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// What is paid for, in a few letters.
    pub unit: &'static str,
    /// Base units (of a millionth of a dollar) per proven unit.
    pub per_unit: u64,
    /// Most units that one second may bring.
    pub units_per_second: u64,
    /// The lessor's bond, base units: covers the credit of a lease that is bad throughout.
    pub bond: u64,
    /// What the lessee deposits, base units: more than the whole lease can cost, so that a refund is seen.
    pub deposit: u64,
}

/// One cent per proven second.
pub const BY_THE_SECOND: Price =
    Price { unit: "s", per_unit: 10_000, units_per_second: 1, bond: 600_000, deposit: 1_000_000 };

/// The demo's policy book: the committee's conduct, and a policy with a section for the class of each kind.
#[must_use]
pub fn book() -> Book {
    let conduct = json!({
        "version": 2,
        "document": "conduct",
        "gossip_allowance_ms": GOSSIP_MS,
        "observe_delay_ms": 500,
        "void_bound_ms": VOID_BOUND_MS,
        "snapshot_lag_ms": SNAPSHOT_LAG_MS,
        "late_epochs": 1,
        "view_timeout_ms": 1_000,
        "transmit_stage_ms": 1_500,
        // Far above what a device of the demo sends in an epoch (about four a second), far below what could fill a disk.
        "messages_per_device": 1_024,
    });
    let sections = KINDS.iter().map(|kind| {
        let rules = kind.rules();
        let mut section = kind.section();
        section["service"] = json!({
            "deadline_ms": rules.deadline_ms,
            "challenge_p": rules.challenge_p.to_string(),
            "z_squared_millionths": rules.z_squared_millionths,
            "credit_bp": rules.credit_bp,
        });
        (kind.class().1.to_owned(), section)
    });
    let classes: serde_json::Map<String, Value> = sections.collect();
    let policy = json!({ "version": 2, "document": "policy", "classes": classes });
    let bits = KINDS.iter().fold(U256::ZERO, |bits, kind| bits | U256::from(1u64) << usize::from(kind.class().0));
    Book { conduct, policy, classes: bits }
}

/// What links of the coverage class may look like.
pub mod links {
    /// Radiated power at full power, 0.01 dBm: the legal limit of the European 868 MHz band with a small antenna.
    pub const EIRP_CDBM: i32 = 1_600;
    /// Best receiving antenna, 0.01 dBi: recorded links in sight of their gateway need up to 2.67 dB.
    pub const GAIN_RX_CDB: i32 = 300;
    /// Slack of the free-space bound beside it, 0.01 dB.
    pub const MARGIN_CDB: i32 = 0;
    /// Carrier, kHz.
    pub const FREQUENCY_KHZ: u32 = 868_100;
    /// Bandwidth, kHz.
    pub const BANDWIDTH_KHZ: u16 = 125;
    /// Spreading factor: 12 decodes down to −20 dB.
    pub const SPREADING_FACTOR: u8 = 12;
    /// How much weaker a reading may be, 0.01 dB: recorded links need up to 3.7 dB, but for one in two hundred.
    pub const RECEIVER_SLACK_CDB: i32 = 500;
    /// Uncertainty of places, m: none, the demo's hotspots stand where they say.
    pub const LOCATION_SLACK_M: u32 = 0;
    /// Nearer proves nothing, m.
    pub const MIN_DISTANCE_M: u32 = 300;
    /// Farther is implausible, m: a balloon's line of sight.
    pub const MAX_DISTANCE_M: u32 = 800_000;

    /// What the class has in the policy beside its service numbers.
    pub(crate) fn section() -> serde_json::Value {
        serde_json::json!({"radio": {
            "eirp_cdbm": EIRP_CDBM,
            "gain_rx_cdb": GAIN_RX_CDB,
            "margin_cdb": MARGIN_CDB,
            "frequency_khz": FREQUENCY_KHZ,
            "bandwidth_khz": BANDWIDTH_KHZ,
            "spreading_factor": SPREADING_FACTOR,
            "receiver_slack_cdb": RECEIVER_SLACK_CDB,
            "location_slack_m": LOCATION_SLACK_M,
            "min_distance_m": MIN_DISTANCE_M,
            "max_distance_m": MAX_DISTANCE_M,
            "min_witnesses": 1,
        }})
    }
}
