//! Tests of F.
use crate::policy::{CoveragePolicy, Policy};

/// A policy with the demo's numbers.
pub(crate) fn policy() -> Policy {
    Policy {
        version: 1,
        answer_deadline_ms: 2_000,
        gossip_allowance_ms: 1_000,
        observe_delay_ms: 500,
        void_bound_ms: 700,
        snapshot_lag_ms: 4_000,
        late_epochs: 1,
        view_timeout_ms: 1_000,
        transmit_stage_ms: 500,
        challenge_p: u64::MAX / 10 * 9,
        z_squared_millionths: 2_706_025,
        credit_bp: 5_000,
        messages_per_device: 1_000,
        coverage: CoveragePolicy {
            eirp_cdbm: 1_600,
            gain_cdb: 300,
            margin_cdb: 600,
            frequency_khz: 868_100,
            floor_cdbm: -13_700,
            snr_min_cdb: -2_000,
            min_distance_m: 300,
            max_distance_m: 100_000,
            min_witnesses: 1,
        },
        endorsements: Default::default(),
    }
}
