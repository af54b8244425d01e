//! What the committee is given: keys, a policy, a chain with devices and leases, and a group key where no ceremony runs.
//! Leaves out: what the devices say (`devices`).

use std::cell::RefCell;
use std::collections::BTreeMap;

use aggregator::dkg::DkgIdentity;
use aggregator::{Share, Sharing, deal_for_tests};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;
use attest::Signer as _;
use oracle_core::effect::Record;
use oracle_core::merkle;
use oracle_core::observation::Bucket;
use oracle_core::policy::{Book, Policy};
use oracle_core::registry::{Block, Contracts, History, RawLog, events};
use oracle_core::typed::{Header, MemberKey};

use crate::devices::Device;

/// Length of an epoch and of a slot, ms.
pub(crate) const EPOCH_MS: u64 = 3_000;
pub(crate) const SLOT_MS: u64 = 1_000;
/// When every run begins, unix ms.
pub(crate) const START_MS: u64 = 1_700_000_000_000;
/// The snapshot of an epoch is the chain this long before the epoch starts.
const SNAPSHOT_LAG_MS: u64 = 1_000;
const CHAIN_ID: u64 = 31_337;
/// The class of work of every device here; `tests/epoch` runs the others.
const UPTIME: u8 = 1;

/// The committee's conduct.
const CONDUCT: &str = r#"{"version":2,"document":"conduct","gossip_allowance_ms":200,"observe_delay_ms":200,"void_bound_ms":700,"snapshot_lag_ms":1000,"late_epochs":1,"view_timeout_ms":1000,"transmit_stage_ms":500,"messages_per_device":1000}"#;
/// The policy of every lease.
pub(crate) const POLICY: &str = r#"{"version":2,"document":"policy","classes":{"uptime":{"service":{"deadline_ms":500,"challenge_p":"9223372036854775808","z_squared_millionths":2706025,"credit_bp":1000}},"coverage":{"service":{"deadline_ms":500,"challenge_p":"9223372036854775808","z_squared_millionths":2706025,"credit_bp":1000},"radio":{"eirp_cdbm":1600,"gain_rx_cdb":300,"margin_cdb":0,"frequency_khz":868100,"bandwidth_khz":125,"spreading_factor":12,"receiver_slack_cdb":500,"location_slack_m":0,"min_distance_m":300,"max_distance_m":800000,"min_witnesses":1}}}}"#;
/// Its part of slots with a challenge, of 2^64, and the time to answer one, ms.
pub(crate) const CHALLENGE_P: u64 = 1 << 63;
pub(crate) const DEADLINE_MS: u64 = 500;

pub(crate) fn book() -> Book {
    Book::parse(format!("{CONDUCT}\n{POLICY}").as_bytes()).expect("a policy book")
}

pub(crate) fn member_key(member: u32) -> MemberKey {
    let byte = u8::try_from(member + 1).unwrap_or(255);
    MemberKey::from_bytes(&[byte; 32]).expect("a small scalar is a valid key")
}

/// The seed of a member's key generation key.
pub(crate) fn dkg_seed(member: u32) -> [u8; 32] {
    [u8::try_from(member + 1).unwrap_or(255); 32]
}

fn contracts() -> Contracts {
    let [registry, devices, escrow, hub] = [0x11, 0x22, 0x33, 0x44].map(Address::repeat_byte);
    Contracts { registry, devices, escrow, hub }
}

fn log<E: SolEvent>(address: Address, event: &E) -> RawLog {
    let data = event.encode_log_data();
    RawLog { address, topics: data.topics().to_vec(), data: data.data.to_vec() }
}

/// An empty chain as one reader folds it.
pub(crate) fn history() -> History {
    History::new(contracts(), CHAIN_ID, 1, 1, SNAPSHOT_LAG_MS)
}

/// A block at a time, unix ms.
pub(crate) fn block(number: u64, now: u64) -> Block {
    Block { number, hash: B256::from(U256::from(number + 7)), timestamp: now / 1_000 }
}

/// The term's configuration and the devices.
pub(crate) fn configured(n: u32, devices: &[Device]) -> Vec<RawLog> {
    let all = contracts();
    let term = events::TermConfigured {
        committee: 1,
        term: 1,
        configDigest: B256::repeat_byte(5),
        members: (0..n).map(|member| member_key(member).address()).collect(),
        peerKeys: (0..n).map(|member| B256::from(U256::from(member + 1))).collect(),
        dkgKeys: (0..n).map(|member| DkgIdentity::from_seed(dkg_seed(member)).public().into()).collect(),
        policyHash: book().root(),
        epochSeconds: EPOCH_MS / 1_000,
        slotMs: SLOT_MS,
        genesisDelay: 3,
    };
    let registered =
        devices.iter().filter(|device| device.is_itself()).map(|device| log(all.devices, &registered(device)));
    core::iter::once(log(all.registry, &term)).chain(registered).collect()
}

/// The term's activation; the devices' keys are active from here on, and their leases begin.
pub(crate) fn activated(group_key: &[u8], share_root: B256, genesis_ms: u64, devices: &[Device]) -> Vec<RawLog> {
    let all = contracts();
    let genesis = genesis_ms / 1_000;
    let group_key = group_key.to_vec().into();
    let term = events::TermActivated { committee: 1, term: 1, groupKey: group_key, shareRoot: share_root, genesis };
    let mut logs = vec![log(all.registry, &term)];
    for device in devices {
        let thumbprint = device.key.public_key().thumbprint().into();
        let active = events::DeviceKeyActivated { tokenId: U256::from(device.token), thumbprint };
        logs.extend(device.is_itself().then(|| log(all.devices, &active)));
        logs.push(opened(device, genesis).log(all.escrow));
    }
    logs
}

fn registered(device: &Device) -> events::DeviceRegistered {
    let (owner, key) = (Address::repeat_byte(0x77), device.key.public_key());
    let mut space = [0; attest::DEVICE_KEY_STATEMENT_MAX];
    let registry = contracts().devices.into_array();
    let statement = attest::device_key_statement(CHAIN_ID, &registry, &owner.into_array(), &key, &mut space);
    let proof = device.key.sign(attest::ToBeSigned::new(statement)).expect("a software key signs");
    events::DeviceRegistered {
        tokenId: U256::from(device.token),
        owner,
        alg: key.alg().id(),
        publicKey: key.bytes().to_vec().into(),
        proof: proof.to_vec().into(),
        locationCommitment: B256::ZERO,
        class: UPTIME,
    }
}

fn opened(device: &Device, genesis: u64) -> events::LeaseOpened {
    let terms = events::OfferTerms {
        lessor: Address::repeat_byte(0x77),
        class: UPTIME,
        committee: 1,
        stream: device.stream,
        policyHash: Policy::hash(POLICY.as_bytes()),
        ..Default::default()
    };
    let (start, end, deposit) = (genesis, genesis + 3_600, Default::default());
    let data = events::LeaseOpenedData { start, end, deposit, terms, bounds: Default::default() };
    let (lease, token_id, lessee) = (device.lease, U256::from(device.token), Address::repeat_byte(0x88));
    events::LeaseOpened { lease, token_id, lessee, data }
}

/// The hub's event for a posted report.
pub(crate) fn posted(stream: u32, header: &Header, digest: B256) -> RawLog {
    let event = events::ReportPosted {
        committee: 1,
        stream,
        epoch: header.epoch,
        headerDigest: digest,
        leavesRoot: header.leavesRoot,
        stateRoot: header.stateRoot,
        activeAt: 0,
    };
    log(contracts().hub, &event)
}

/// About 300 kB for each device: well formed, and together more than the devices can say.
pub(crate) fn fatten(buckets: &mut BTreeMap<u64, Bucket>) {
    for bucket in buckets.values_mut() {
        bucket.held = (0..16_000).map(|run| (u32::MAX, u64::MAX - 2 * run - 1, u64::MAX - 2 * run - 1)).rev().collect();
    }
}

/// Bytes that a process may hold for one stream: for each face of the one that lists too much its budget and a quarter (of
/// four devices), and the bucket that is too many; what is left is for true content, of which there is little.
pub(crate) fn may_hold() -> usize {
    let budget = DEVICES_EACH * Bucket::bytes_of(2 * book().conduct.messages_per_device as usize);
    2 * (budget + budget / 4 + FAT_BYTES) + TRUE_BYTES
}

/// Observed devices of a stream, the one with a lease in both counted.
const DEVICES_EACH: usize = 5;
/// A bucket of [`fatten`], at most.
const FAT_BYTES: usize = 336_000;
/// True content of all open rounds of a stream, at most.
const TRUE_BYTES: usize = 200_000;

/// A group key that somebody dealt, and each member's journal after a ceremony: most runs begin behind it.
#[derive(Clone)]
pub(crate) struct Dealing {
    pub(crate) group_key: Vec<u8>,
    pub(crate) share_root: B256,
    pub(crate) journals: Vec<Vec<Record>>,
}

/// The dealing of a committee of n, made once per thread.
pub(crate) fn dealing(n: u32) -> Dealing {
    thread_local! {
        static DEALT: RefCell<BTreeMap<u32, Dealing>> = const { RefCell::new(BTreeMap::new()) };
    }
    DEALT.with_borrow_mut(|dealt| dealt.entry(n).or_insert_with(|| deal(n)).clone())
}

fn deal(n: u32) -> Dealing {
    let (sharing, shares) = deal_for_tests(n, 7);
    let journals = shares.iter().map(|share| journal(&sharing, share)).collect();
    Dealing { group_key: sharing.group.to_eip2537().to_vec(), share_root: merkle::share_root(&sharing), journals }
}

/// What `bootstrap` keeps of a concluded key: its module `journal` names these records.
fn journal(sharing: &Sharing, share: &Share) -> Vec<Record> {
    let secret = share.to_bytes_secret();
    let share = [share.index.to_be_bytes().as_slice(), secret.as_slice()].concat();
    vec![
        Record { key: b"key/1/share".to_vec(), value: share },
        Record { key: b"key/1/sharing".to_vec(), value: sharing.encode() },
    ]
}
