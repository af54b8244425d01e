//! What both committees are given: keys, terms, a policy, the chain's snapshots, and what each process heard.

use std::collections::BTreeMap;

use aggregator::dkg::DkgIdentity;
use alloy_primitives::{Address, B256};
use oracle_core::observation::Bucket;
use oracle_core::policy::Book;
use oracle_core::registry::{Block, DeviceRecord, Snapshot};
use oracle_core::term::{Member, Term};
use oracle_core::typed::{MemberKey, Scope};

pub(crate) const EPOCH_MS: u64 = 3_000;
pub(crate) const LAG_MS: u64 = 500;
/// Streams of the committee.
pub(crate) const STREAMS: [u32; 3] = [0, 1, 7];

pub(crate) fn member_key(process: usize) -> MemberKey {
    let byte = u8::try_from(process + 1).unwrap_or(255);
    MemberKey::from_bytes(&[byte; 32]).expect("a small scalar is a valid key")
}

/// A term of these processes.
pub(crate) fn term(number: u64, processes: &[usize]) -> Term {
    let member = |process: &usize| Member {
        address: member_key(*process).address(),
        peer_key: [*process as u8; 32],
        dkg_key: DkgIdentity::from_seed([*process as u8 + 1; 32]).public(),
    };
    let config_digest = B256::repeat_byte(0x20 + number as u8);
    let scope = Scope { chain_id: 31_337, registry: Address::ZERO, committee: 1, term: number, config_digest };
    Term {
        scope,
        members: processes.iter().map(member).collect(),
        book_root: B256::ZERO,
        epoch_ms: EPOCH_MS,
        slot_ms: 1_000,
        genesis_ms: None,
    }
}

/// Three devices that may witness, no lease: history does not care what is paid.
pub(crate) fn snapshot(epoch: u64) -> Snapshot {
    let device = |token: u64| DeviceRecord {
        owner: Address::ZERO,
        key: attest::PublicKey::Ed25519([token as u8; 32]),
        active: true,
        proof: [0; 64],
        location: [0; 32],
        class: 2,
        revoked: false,
        meter_key: [0; 32],
    };
    let block = Block { number: epoch + 1, hash: B256::repeat_byte(epoch as u8), timestamp: 1_700_000_000 + epoch };
    Snapshot { block, devices: (1..=3).map(|token| (token, device(token))).collect(), leases: BTreeMap::new() }
}

/// Members hold slightly different things, so that buckets must be fetched.
pub(crate) fn buckets(process: usize, epoch: u64) -> BTreeMap<u64, Bucket> {
    let held = |device: u64| vec![(1, epoch * 10, epoch * 10 + device + process as u64)];
    (1..=3).map(|device| (device, Bucket { device, held: held(device), marks: vec![], forks: vec![] })).collect()
}

pub(crate) fn book() -> Book {
    let documents = r#"{"version":2,"document":"conduct","gossip_allowance_ms":200,"observe_delay_ms":200,"void_bound_ms":700,"snapshot_lag_ms":500,"late_epochs":1,"view_timeout_ms":400,"transmit_stage_ms":300,"messages_per_device":1000}
{"version":2,"document":"policy","classes":{"uptime":{"service":{"deadline_ms":500,"challenge_p":"9223372036854775808","z_squared_millionths":2706025,"credit_bp":1000}},"coverage":{"service":{"deadline_ms":500,"challenge_p":"9223372036854775808","z_squared_millionths":2706025,"credit_bp":1000},"radio":{"eirp_cdbm":1600,"gain_rx_cdb":300,"margin_cdb":0,"frequency_khz":868100,"bandwidth_khz":125,"spreading_factor":12,"receiver_slack_cdb":500,"location_slack_m":0,"min_distance_m":300,"max_distance_m":800000,"min_witnesses":1}}}}"#;
    Book::parse(documents.as_bytes()).expect("a policy book")
}
