//! How a committee works: its waits, bounds and timeouts, the same for every lease of a term. One document of the book.
//! Leaves out: how evidence is judged, which is a lease's policy.

use serde::{Deserialize, Serialize};

use super::{DURATION_MS_MAX, LAG_MS_MAX, check_kind};

/// The numbers of one committee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conduct {
    /// Format of this document, 2.
    pub version: u32,
    /// "conduct".
    pub document: String,
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
    /// Messages of one device that are kept per epoch; more are counted and dropped.
    pub messages_per_device: u32,
}

impl Conduct {
    /// Parses the document.
    ///
    /// # Errors
    /// A sentence naming what is wrong: not JSON, an unknown key, a missing one, or a number out of range.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        let conduct: Self = serde_json::from_slice(document).map_err(|e| format!("conduct document: {e}"))?;
        check_kind("conduct", &conduct.document, conduct.version)?;
        conduct.check().map_err(|why| format!("conduct document: {why}"))?;
        Ok(conduct)
    }

    /// Numbers with which no committee could work.
    fn check(&self) -> Result<(), String> {
        let least_one = [
            ("void_bound_ms", self.void_bound_ms),
            ("view_timeout_ms", self.view_timeout_ms),
            ("messages_per_device", self.messages_per_device.into()),
        ];
        if let Some((name, _)) = least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{name} must be above 0"));
        }
        let most = [
            ("gossip_allowance_ms", self.gossip_allowance_ms, DURATION_MS_MAX),
            ("observe_delay_ms", self.observe_delay_ms, DURATION_MS_MAX),
            ("void_bound_ms", self.void_bound_ms, DURATION_MS_MAX),
            ("view_timeout_ms", self.view_timeout_ms, DURATION_MS_MAX),
            ("transmit_stage_ms", self.transmit_stage_ms, DURATION_MS_MAX),
            ("snapshot_lag_ms", self.snapshot_lag_ms, LAG_MS_MAX),
            ("late_epochs", self.late_epochs, 64),
        ];
        if let Some((name, value, limit)) = most.iter().find(|(_, value, limit)| value > limit) {
            return Err(format!("{name} {value} is above {limit}"));
        }
        Ok(())
    }
}
