//! The header that a transaction holds, whole or packed, and forged ones beside it.

use alloy::primitives::{Address, U256};
use alloy::sol_types::SolEvent;
use oracle_core::effect::Transmission;
use oracle_core::registry::events::{TermActivated, TermConfigured};
use oracle_core::registry::{Block, RawLog};
use oracle_core::term::Term;
use oracle_core::wire::Hash;

use super::*;
use crate::chain::log::StoredLog;

const CHAIN: u64 = 31_337;

fn contracts() -> Contracts {
    let [registry, devices, escrow, hub] = [1, 2, 3, 4].map(Address::repeat_byte);
    Contracts { registry, devices, escrow, hub }
}

fn stored<E: SolEvent>(address: Address, event: &E) -> StoredLog {
    let data = event.encode_log_data();
    StoredLog {
        address: address.into_array().into(),
        topics: data.topics().iter().map(|topic| Hash::from(topic.0)).collect(),
        data: data.data.to_vec().into(),
        transaction: Hash::from([7; 32]),
    }
}

fn block(logs: Vec<StoredLog>) -> StoredBlock {
    StoredBlock { hash: Hash::from([1; 32]), timestamp: 5, logs }
}

/// A fold that knows the term.
fn fold() -> (Registry, Term) {
    let keys = vec![B256::repeat_byte(9); 4];
    let configured = TermConfigured {
        committee: 1,
        term: 1,
        configDigest: B256::repeat_byte(5),
        members: (1..5).map(Address::repeat_byte).collect(),
        peerKeys: keys.clone(),
        dkgKeys: keys,
        policyHash: B256::repeat_byte(6),
        epochSeconds: 10,
        slotMs: 1_000,
        genesisDelay: 50,
    };
    let activated = TermActivated {
        committee: 1,
        term: 1,
        groupKey: vec![7; 256].into(),
        shareRoot: B256::repeat_byte(8),
        genesis: 100,
    };
    let mut registry = Registry::new(contracts());
    apply(
        &mut registry,
        &block(vec![stored(contracts().registry, &configured), stored(contracts().registry, &activated)]),
    );
    let term = registry.term(CHAIN, 1, 1).expect("configured");
    (registry, term)
}

fn apply(registry: &mut Registry, stored: &StoredBlock) {
    let logs: Vec<RawLog> = stored.raw_logs();
    registry.apply(Block { number: 1, hash: B256::ZERO, timestamp: 5 }, &logs);
}

fn header_of(epoch: u64, participation: u64) -> Header {
    Header {
        committee: 1,
        term: 1,
        configDigest: B256::repeat_byte(5),
        stream: 0,
        epoch,
        periodStart: 1,
        periodEnd: 2,
        snapshotBlock: 3,
        snapshotHash: B256::repeat_byte(1),
        leafCount: 4,
        leavesRoot: B256::repeat_byte(2),
        stateRoot: B256::repeat_byte(3),
        observationsHash: B256::repeat_byte(4),
        policyHash: B256::repeat_byte(6),
        previousHeader: B256::repeat_byte(5),
        participation: U256::from(participation),
    }
}

fn posted(term: &Term, header: &Header) -> ReportPosted {
    ReportPosted {
        committee: header.committee,
        stream: header.stream,
        epoch: header.epoch,
        headerDigest: header_digest(term, header),
        leavesRoot: header.leavesRoot,
        stateRoot: header.stateRoot,
        activeAt: 9,
    }
}

fn call(header: &Header) -> Vec<u8> {
    let what = Transmission::Report { header: Box::new(header.clone()), certificate: vec![3; 96] };
    let chain = crate::config::Chain {
        rpc: String::new(),
        registry: Address::ZERO,
        devices: Address::ZERO,
        escrow: Address::ZERO,
        hub: Address::ZERO,
        stake: None,
        start_block: 0,
        poll: std::time::Duration::ZERO,
    };
    abi::calldata(&chain, 1, 1, &what).1
}

#[test]
fn the_header_counts_that_has_the_digest_which_the_hub_took() {
    let (mut registry, term) = fold();
    let header = header_of(3, 0b0111);
    let post = block(vec![stored(contracts().hub, &posted(&term, &header))]);
    apply(&mut registry, &post);
    assert_eq!(named(&post, &contracts(), 1), [((0, 3), B256::repeat_byte(7))]);
    let found = |calldata: &[u8]| among(calldata, (CHAIN, &registry), (1, 0, 3));
    assert_eq!(found(&call(&header)), Some(header.clone()), "every field comes back as it went");
    // Packed into another contract's call, after one with a forged bit.
    let forged = call(&header_of(3, 0b1111));
    let packed = [&[0xaa; 37][..], &forged, &call(&header), &[0; 30]].concat();
    assert_eq!(found(&packed), Some(header));
    assert_eq!(found(&forged), None, "a bit that the committee did not sign");
    assert_eq!(found(&[]), None);
    assert_eq!(among(&call(&header_of(4, 1)), (CHAIN, &registry), (1, 0, 4)), None, "not posted");
}

#[test]
fn who_else_speaks_of_posts_is_not_heard() {
    let (_, term) = fold();
    let event = posted(&term, &header_of(3, 1));
    let other = ReportPosted { committee: 2, ..event.clone() };
    let logs = vec![stored(Address::repeat_byte(9), &event), stored(contracts().hub, &other)];
    assert!(named(&block(logs), &contracts(), 1).is_empty());
}
