//! The appraisal policy: every number by which evidence is judged, as one content-addressed document.
//! docs/protocol.md §9. Leaves out: the judging itself (`class`), and where the document is kept.

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::endorse::EndorsementPolicy;

/// Longest deadline, allowance, delay, bound or timeout of a policy, ms.
pub const DURATION_MS_MAX: u64 = 3_600_000;
/// Longest snapshot lag, ms.
pub const LAG_MS_MAX: u64 = 86_400_000;

/// Thresholds and rates of one committee's streams. The document is JSON; its hash is over its exact bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Format of this document, 1.
    pub version: u32,
    /// D: time to answer a challenge, ms after the slot's start.
    pub answer_deadline_ms: u64,
    /// Δ: allowance for gossip between members, ms.
    pub gossip_allowance_ms: u64,
    /// δ: wait after the cut-off before observing, ms.
    pub observe_delay_ms: u64,
    /// b: a slot is void when the median lateness of its beacon exceeds this, ms.
    pub void_bound_ms: u64,
    /// L: the snapshot is at least this much older than the epoch's start, ms.
    pub snapshot_lag_ms: u64,
    /// K: epochs for which late data may still count.
    pub late_epochs: u64,
    /// Time before the first view change, ms; doubles per view.
    pub view_timeout_ms: u64,
    /// Stagger between two members' turns to transmit, ms.
    pub transmit_stage_ms: u64,
    /// A challenge is drawn when the first 64 bits of the draw are below this: ⌊(1 − e^(−λ·slot)) · 2^64⌋, decimal text.
    #[serde(with = "decimal")]
    pub challenge_p: u64,
    /// z² of the confidence bounds, in millionths (1.645² = 2,706,025).
    pub z_squared_millionths: u64,
    /// Part of bad seconds credited to the lessee from the lessor's bond, basis points.
    pub credit_bp: u32,
    /// Messages of one device that are kept per epoch; more are counted and dropped.
    pub messages_per_device: u32,
    /// The coverage class.
    pub coverage: CoveragePolicy,
    /// Whose endorsements count, and what tier devices of a class need. Left out of a document that asks for none.
    #[serde(default, skip_serializing_if = "EndorsementPolicy::is_empty")]
    pub endorsements: EndorsementPolicy,
}

/// Radio plausibility, integers in 0.01 dB, metres and kHz; research: free-space bound, sensitivity floor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoveragePolicy {
    /// Radiated power at full power, 0.01 dBm EIRP.
    pub eirp_cdbm: i32,
    /// Receiving antenna gain assumed, 0.01 dBi.
    pub gain_cdb: i32,
    /// Slack above the free-space bound before a reading is refused, 0.01 dB.
    pub margin_cdb: i32,
    /// Carrier frequency, kHz.
    pub frequency_khz: u32,
    /// Weakest reading that the spreading factor can decode, 0.01 dBm.
    pub floor_cdbm: i32,
    /// Lowest signal-to-noise ratio that the spreading factor can decode, 0.01 dB.
    pub snr_min_cdb: i32,
    /// Witnesses nearer than this prove nothing, m.
    pub min_distance_m: u32,
    /// Witnesses farther than this are implausible, m.
    pub max_distance_m: u32,
    /// Valid witnesses that make a challenge good.
    pub min_witnesses: u32,
}

impl Policy {
    /// Parses the document.
    ///
    /// # Errors
    /// A sentence naming what is wrong: not JSON, an unknown key, a missing one, or a number out of range.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        let policy: Self = serde_json::from_slice(document).map_err(|e| format!("policy document: {e}"))?;
        if policy.version != 1 {
            return Err(format!("policy document: version {} is not known here (1 is)", policy.version));
        }
        policy.check().map(|()| policy).map_err(|why| format!("policy document: {why}"))
    }

    /// Numbers with which nothing could be judged, or everything would pass.
    fn check(&self) -> Result<(), String> {
        let least_one = [
            ("challenge_p", self.challenge_p),
            ("z_squared_millionths", self.z_squared_millionths),
            ("answer_deadline_ms", self.answer_deadline_ms),
            ("void_bound_ms", self.void_bound_ms),
            ("view_timeout_ms", self.view_timeout_ms),
            ("messages_per_device", self.messages_per_device.into()),
            ("coverage.min_witnesses", self.coverage.min_witnesses.into()),
            ("coverage.frequency_khz", self.coverage.frequency_khz.into()),
        ];
        if let Some((name, _)) = least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} must be above 0"));
        }
        let most = [
            ("answer_deadline_ms", self.answer_deadline_ms, DURATION_MS_MAX),
            ("gossip_allowance_ms", self.gossip_allowance_ms, DURATION_MS_MAX),
            ("observe_delay_ms", self.observe_delay_ms, DURATION_MS_MAX),
            ("void_bound_ms", self.void_bound_ms, DURATION_MS_MAX),
            ("view_timeout_ms", self.view_timeout_ms, DURATION_MS_MAX),
            ("transmit_stage_ms", self.transmit_stage_ms, DURATION_MS_MAX),
            ("snapshot_lag_ms", self.snapshot_lag_ms, LAG_MS_MAX),
            ("credit_bp", self.credit_bp.into(), 10_000),
        ];
        if let Some((name, value, limit)) = most.iter().find(|(_, value, limit)| value > limit) {
            return Err(format!("{name} {value} is above {limit}"));
        }
        let coverage = &self.coverage;
        if coverage.min_distance_m > coverage.max_distance_m {
            let (least, most) = (coverage.min_distance_m, coverage.max_distance_m);
            return Err(format!("coverage.min_distance_m {least} is above coverage.max_distance_m {most}"));
        }
        if coverage.margin_cdb < 0 {
            return Err(format!("coverage.margin_cdb {} is below 0", coverage.margin_cdb));
        }
        self.endorsements.check()
    }

    /// The hash that leases and headers carry: KEC of the document's bytes.
    #[must_use]
    pub fn hash(document: &[u8]) -> B256 {
        keccak256(document)
    }
}

/// A u64 as decimal text, since JSON readers elsewhere lose precision above 2^53.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("{text:?} is not a decimal u64")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(change: impl FnOnce(&mut Policy)) -> Result<Policy, String> {
        let mut policy = crate::report::tests::policy();
        change(&mut policy);
        Policy::parse(&serde_json::to_vec(&policy).unwrap())
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert!(parsed(|_| {}).is_ok());
        type Case = (fn(&mut Policy), &'static str);
        let cases: [Case; 8] = [
            (|p| p.coverage.min_witnesses = 0, "coverage.min_witnesses must be above 0"),
            (|p| p.messages_per_device = 0, "messages_per_device must be above 0"),
            (|p| p.view_timeout_ms = 0, "view_timeout_ms must be above 0"),
            (|p| p.void_bound_ms = 0, "void_bound_ms must be above 0"),
            (|p| p.answer_deadline_ms = u64::MAX, "answer_deadline_ms 18446744073709551615 is above 3600000"),
            (|p| p.credit_bp = 10_001, "credit_bp 10001 is above 10000"),
            (|p| p.coverage.min_distance_m = 100_001, "min_distance_m 100001 is above coverage.max_distance_m 100000"),
            (|p| p.coverage.margin_cdb = -1, "coverage.margin_cdb -1 is below 0"),
        ];
        for (change, sentence) in cases {
            let refused = parsed(change).unwrap_err();
            assert!(refused.ends_with(sentence), "{refused}");
        }
    }
}
