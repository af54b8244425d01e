//! What devices are told of rotations, against the core's own types: one digest, real certificates, golden bytes.
//! `PLUMBLINE_BLESS=1` writes `attest/tests/vectors/rotations.json` anew: only for a new protocol version.

#![allow(clippy::unwrap_used, clippy::expect_used)] // tests: a panic is the failure

use std::path::PathBuf;

use aggregator::{Share, Sharing, deal_for_tests};
use alloy_primitives::{Address, B256, keccak256};
use attest::{CheckCertificate, GroupKey, Home, Rotations, TermKey, TermKeys, topic_term};
use oracle_core::typed::{Rotation, Scope};
use proptest::prelude::*;
use serde_json::{Value, json};

const HOME: Home = Home { chain_id: 31_337, registry: [0x5f; 20], committee: 3, epoch_ms: 15_000, slot_ms: 1_000 };

/// The pairing, under a group key as the chain has it.
struct Pairing(Option<aggregator::GroupKey>);

impl CheckCertificate for Pairing {
    fn holds(&self, message: &[u8; 32], certificate: &[u8; 48]) -> bool {
        let certificate = aggregator::Signature::from_bytes(certificate).ok();
        self.0.zip(certificate).is_some_and(|(group, certificate)| group.verify(message, &certificate).is_ok())
    }
}

fn under(key: &GroupKey) -> Pairing {
    Pairing(aggregator::GroupKey::from_eip2537(key).ok())
}

fn scope(home: &Home, term: u64, config: [u8; 32]) -> Scope {
    Scope {
        chain_id: home.chain_id,
        registry: Address::from(home.registry),
        committee: home.committee,
        term,
        config_digest: B256::from(config),
    }
}

/// The struct that the registry checks.
fn typed(committee: u64, rotation: &attest::Rotation<'_>) -> Rotation {
    Rotation {
        committee,
        term: rotation.term,
        configDigest: B256::from(*rotation.config),
        newTerm: rotation.new_term,
        newConfigDigest: B256::from(*rotation.new_config),
        newGroupKeyHash: keccak256(rotation.group_key),
        fromEpoch: rotation.from_epoch,
        baseHeader: B256::from(*rotation.base),
    }
}

struct Committee {
    sharing: Sharing,
    shares: Vec<Share>,
}

impl Committee {
    fn of(term: u64) -> Self {
        let (sharing, shares) = deal_for_tests(4, 70 + term);
        Self { sharing, shares }
    }

    fn key(&self) -> GroupKey {
        self.sharing.group.to_eip2537()
    }

    fn certify(&self, digest: &[u8; 32]) -> [u8; 48] {
        let partials: Vec<_> = self.shares.iter().take(3).map(|share| share.sign(digest)).collect();
        self.sharing.recover(digest, &partials).unwrap().to_bytes()
    }
}

/// Terms 1 → 2 → 4 → 5, each signed by the committee before it over the core's digest.
fn payload() -> (Vec<u8>, Vec<Value>) {
    let mut payload = Rotations::head(&HOME, 3).to_vec();
    let mut rows = Vec::new();
    for (term, new_term, from_epoch) in [(1, 2, 100), (2, 4, 250), (4, 5, 1_000)] {
        let (config, new_config) = ([term as u8; 32], [new_term as u8; 32]);
        let group_key = Committee::of(new_term).key();
        let mut rotation = attest::Rotation {
            term,
            config: &config,
            new_term,
            new_config: &new_config,
            from_epoch,
            base: &[0xba; 32],
            group_key: &group_key,
            certificate: &[0; 48],
        };
        let digest = scope(&HOME, term, config).digest(&typed(HOME.committee, &rotation)).0;
        let certificate = Committee::of(term).certify(&digest);
        rotation.certificate = &certificate;
        payload.extend(rotation.to_bytes());
        rows.push(json!({
            "term": term, "new_term": new_term, "from_epoch": from_epoch, "digest": hex::encode(digest),
            "group_key": hex::encode(group_key), "certificate": hex::encode(certificate),
        }));
    }
    (payload, rows)
}

#[test]
fn a_device_follows_what_committees_really_signed() {
    let first = TermKeys::trust(HOME, TermKey { term: 1, group_key: Committee::of(1).key() });
    let (payload, _) = payload();
    let mut keys = first;
    assert_eq!(keys.follow(&payload, under).map(|followed| followed.steps), Ok(3));
    assert_eq!(keys.at_epoch(1_000), &TermKey { term: 5, group_key: Committee::of(5).key() });
    assert_eq!(keys.at_epoch(999).term, 4);
    // Whoever trusts another first key believes nothing of it.
    let mut stranger = TermKeys::trust(HOME, TermKey { term: 1, group_key: Committee::of(9).key() });
    let before = stranger;
    assert!(stranger.follow(&payload, under).is_err() && stranger == before);
}

#[test]
fn the_golden_bytes_are_those() {
    let (payload, rows) = payload();
    let now = json!({
        "chain_id": HOME.chain_id, "registry": hex::encode(HOME.registry), "committee": HOME.committee,
        "epoch_ms": HOME.epoch_ms, "slot_ms": HOME.slot_ms,
        "topic": topic_term(&HOME.network(), HOME.committee).as_str(),
        "first_group_key": hex::encode(Committee::of(1).key()), "payload": hex::encode(payload), "rotations": rows,
    });
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../attest/tests/vectors/rotations.json");
    if std::env::var_os("PLUMBLINE_BLESS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(golden, now);
}

proptest! {
    #[test]
    fn device_and_core_compute_one_digest(
        numbers: [u64; 6], registry: [u8; 20], words: [[u8; 32]; 3], key in proptest::collection::vec(any::<u8>(), 256),
    ) {
        let [chain_id, committee, term, new_term, from_epoch, _] = numbers;
        let home = Home { chain_id, registry, committee, ..HOME };
        let group_key: GroupKey = key.try_into().unwrap();
        let rotation = attest::Rotation {
            term,
            config: &words[0],
            new_term,
            new_config: &words[1],
            from_epoch,
            base: &words[2],
            group_key: &group_key,
            certificate: &[0; 48],
        };
        let digest = scope(&home, term, words[0]).digest(&typed(committee, &rotation)).0;
        prop_assert_eq!(rotation.digest(&home), digest);
    }
}
