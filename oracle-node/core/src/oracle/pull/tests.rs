//! What an author can make another member ask for and keep before any proposal.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256};

use super::*;
use crate::beacon::Beacon;
use crate::effect::Content;
use crate::effect::Seen;
use crate::keyring::Keyring;
use crate::observation::{Body, Bucket, blob_hash};
use crate::oracle::Behaviour;
use crate::oracle::desk::Desk;
use crate::policy::tests::standard;
use crate::registry::{Block, DeviceRecord, Snapshot};
use crate::state::State;
use crate::term::{Member, Term};
use crate::typed::{MemberKey, Phase, Scope};
use crate::wire::{self, Statement};

/// Far behind the end of epoch 0.
const NOW: u64 = 1_000_000;
/// Observed devices have the tokens from 1 up to this one.
const OBSERVED: u64 = 1_200;

/// One member (number 0 of four) in one epoch.
struct Bench {
    desk: Desk,
    beacon: Beacon,
    snapshot: Snapshot,
    /// Σ before the epoch, once the epoch before is decided.
    state: Option<State>,
    round: Round,
}

fn key(member: u32) -> MemberKey {
    MemberKey::from_bytes(&[member.to_le_bytes()[0] + 1; 32]).expect("a scalar below the order")
}

/// The facts of member 0 of four, and its beacon.
pub(in crate::oracle) fn desk() -> (Desk, Beacon) {
    let (chain_id, registry, config_digest) = (1, Address::ZERO, B256::ZERO);
    let scope = Scope { chain_id, registry, committee: 1, term: 1, config_digest };
    let member = |n| Member { address: key(n).address(), peer_key: [0; 32], dkg_key: [0; 32] };
    let members = (0..4).map(member).collect();
    let term = Term { scope, members, book_root: B256::ZERO, epoch_ms: 15_000, slot_ms: 1_000, genesis_ms: Some(0) };
    let (sharing, mut shares) = aggregator::deal_for_tests(4, 3);
    let keys = Keyring::new(Arc::new(sharing), Some(Arc::new(shares.remove(0))));
    let beacon = Beacon::with_keys(term.clone(), keys.clone(), 0);
    let (addresses, book) = (term.addresses(), standard());
    let behaviour = Behaviour::Honest;
    (Desk { term, addresses, me: 0, key: Arc::new(key(0)), book, stream: 0, behaviour, keys, floor: 0 }, beacon)
}

impl Bench {
    fn new() -> Self {
        let (desk, beacon) = desk();
        let device = DeviceRecord {
            owner: Address::ZERO,
            key: attest::Signer::public_key(&attest::SoftEd25519::from_seed([1; 32])),
            active: true,
            proof: [0; 64],
            location: [0; 32],
            class: 2,
            revoked: false,
            meter_key: [0; 32],
        };
        let block = Block { number: 1, hash: B256::ZERO, timestamp: 0 };
        let devices = (1..=OBSERVED).map(|token| (token, device.clone())).collect();
        let round = Round::new(&desk, 0, &Vec::new());
        let (snapshot, state) = (Snapshot { block, devices, leases: BTreeMap::new() }, Some(State::default()));
        let mut bench = Self { desk, beacon, snapshot, state, round };
        let effects = bench.step(|round, ctx| round.on_observed(ctx, Seen::default()));
        // Found by `any_weather`, seed 2160: the observation was durable, its buckets were not, and no quorum without it.
        let stored = effects.iter().position(|effect| matches!(effect, Effect::Lend { .. }));
        let signed = effects.iter().position(|effect| matches!(effect, Effect::Persist(_)));
        assert!(stored.is_some() && stored < signed, "content is stored before the observation that lists it");
        bench
    }

    fn step(&mut self, act: impl FnOnce(&mut Round, &mut Ctx<'_>)) -> Vec<Effect> {
        let (mut out, snapshot) = (Vec::new(), Some(&self.snapshot));
        let Self { desk, beacon, round, state, .. } = self;
        act(round, &mut Ctx { desk, beacon, state: state.as_ref(), snapshot, now: NOW, out: &mut out });
        out
    }

    /// Takes an observation that lists these, and says what is pulled: (of whom, ids).
    fn hear(&mut self, member: u32, buckets: &[(u64, [u8; 32])]) -> Vec<(Vec<u32>, Vec<[u8; 32]>)> {
        let buckets = buckets.iter().map(|(device, hash)| (*device, (*hash).into())).collect();
        let bytes = wire::encode(&Body { buckets, ..Body::default() });
        let (scope, instance, value) = (self.desk.term.scope, self.round.instance, B256::from(blob_hash(&bytes)));
        let statement = Statement::sign(&scope, &key(member), member, instance, Phase::Observation, 0, value);
        self.step(|round, ctx| round.on_observation(ctx, &statement, &bytes));
        self.pulled()
    }

    fn pulled(&mut self) -> Vec<(Vec<u32>, Vec<[u8; 32]>)> {
        let effects = self.step(Round::pull_ahead);
        let pulled = effects.into_iter().filter_map(|effect| match effect {
            Effect::Fetch { ids, holders } => Some((holders, ids)),
            _ => None,
        });
        pulled.collect()
    }
}

/// A hash that no content has.
fn invented(author: u8, device: u64) -> (u64, [u8; 32]) {
    let mut hash = [author; 32];
    hash[..8].copy_from_slice(&device.to_be_bytes());
    (device, hash)
}

fn content(bytes: Vec<u8>) -> Content {
    Content { id: blob_hash(&bytes), class: 0, bytes }
}

#[test]
fn what_nobody_observes_is_never_pulled() {
    let mut bench = Bench::new();
    let strangers: Vec<_> = (OBSERVED + 1..2 * OBSERVED).map(|device| invented(1, device)).collect();
    assert_eq!(bench.hear(1, &strangers), []);
    let hash = blob_hash(b"unasked");
    bench.round.on_content(&[content(b"unasked".to_vec())]);
    assert!(!bench.round.blobs.contains_key(&hash), "what nobody asked for is not kept");
}

#[test]
fn an_author_that_serves_nothing_is_asked_for_one_chunk_once() {
    let mut bench = Bench::new();
    let listed: Vec<_> = (1..=OBSERVED).map(|device| invented(1, device)).collect();
    let pulled = bench.hear(1, &listed);
    assert_eq!(pulled.len(), 1);
    assert_eq!((&pulled[0].0, pulled[0].1.len()), (&vec![1], limits::PULL_ITEMS_MAX));
    for _ in 0..50 {
        assert_eq!(bench.hear(1, &listed), [], "not again");
    }
    // Others are asked all the same, and for nothing that is on its way.
    let mut mixed = vec![listed[0]];
    mixed.extend((2..=9).map(|device| invented(2, device)));
    let pulled = bench.hear(2, &mixed);
    assert_eq!(pulled, [(vec![2], mixed[1..].iter().map(|(_, hash)| *hash).collect())]);
}

#[test]
fn a_hash_that_an_honest_author_lists_too_does_not_wait_for_the_silent_one() {
    let mut bench = Bench::new();
    let (ours, theirs) = (invented(1, 1), invented(1, 2));
    bench.hear(1, &[ours, theirs]);
    let ids = BTreeSet::from([ours.1, theirs.1]);
    assert_eq!(bench.round.coming(NOW, 100, &ids), ids);
    bench.hear(2, &[ours]);
    assert_eq!(bench.round.coming(NOW, 100, &ids), BTreeSet::from([theirs.1]));
    assert_eq!(bench.round.coming(NOW + 100, 100, &ids), BTreeSet::new(), "nor for ever");
}

#[test]
fn chunks_follow_each_other_and_stop_above_the_budget() {
    let mut bench = Bench::new();
    bench.desk.book.conduct.messages_per_device = 0;
    let budget = crate::collect::author_bytes(&bench.snapshot, &bench.desk.term, &bench.desk.book, 0);
    let bucket = |device| {
        let held = (0..4_000).map(|run| (u32::MAX, u64::MAX - 8_000 + 2 * run, u64::MAX - 8_000 + 2 * run)).collect();
        content(wire::encode(&Bucket { device, held, ..Bucket::default() }))
    };
    let fat: BTreeMap<[u8; 32], Content> = (1..=OBSERVED).map(bucket).map(|blob| (blob.id, blob)).collect();
    let listed: Vec<_> = (1..=OBSERVED).map(|device| (device, bucket(device).id)).collect();
    let mut pulled = bench.hear(1, &listed);
    let mut kept = 0;
    while let Some((_, ids)) = pulled.pop() {
        for id in ids {
            bench.round.on_content(&[fat[&id].clone()]);
            let held: usize = bench.round.blobs.values().map(|blob| blob.bytes.len()).sum();
            kept = kept.max(held);
            pulled.extend(bench.pulled());
        }
    }
    let all: usize = fat.values().map(|blob| blob.bytes.len()).sum();
    assert!(all > 2 * budget, "{all} bytes are far above the budget of {budget}");
    let largest = fat.values().map(|blob| blob.bytes.len()).max().unwrap_or_default();
    // One bucket too many, and the body that lists them.
    let body = 44 * OBSERVED as usize;
    assert!(kept > budget / 2 && kept <= budget + largest + body + 4_096, "{kept} bytes were kept at a time");
    assert_eq!(bench.round.overdrawn.len(), 1, "the author is named");
    assert!(bench.round.blobs.values().all(|blob| !fat.contains_key(&blob.id)), "and what only it lists is dropped");
}

#[test]
fn a_body_longer_than_an_honest_one_is_not_kept() {
    let mut bench = Bench::new();
    let listed: Vec<_> = (1..=OBSERVED + 1).map(|device| invented(1, device)).collect();
    assert_eq!(bench.hear(1, &listed), []);
    assert!(!bench.round.statements.contains_key(&1), "it is heard again, or fetched where a proposal names it");
    assert_eq!(bench.hear(1, &listed[1..]).len(), 1);
}

#[test]
fn nothing_is_pulled_before_the_epoch_before_is_decided() {
    let mut bench = Bench::new();
    let state = bench.state.take();
    let listed: Vec<_> = (1..=OBSERVED).map(|device| invented(1, device)).collect();
    assert_eq!(bench.hear(1, &listed), []);
    bench.state = state;
    assert_eq!(bench.pulled().len(), 1);
}

/// What is fetched for a proposal of these observations, each of a body that is not held.
fn fetched_for(bench: &mut Bench, sign: impl Fn(u32, B256) -> Statement) -> Vec<[u8; 32]> {
    let observations = (0..4).map(|member| sign(member, B256::repeat_byte(0x60 + member as u8))).collect();
    let set = crate::report::EpochSet { version: 2, observations, beacons: vec![] };
    let value = B256::repeat_byte(9);
    let mut effects = bench.step(|round, ctx| round.ask(ctx, value, &set.encode()));
    effects.extend(bench.step(Round::answer));
    let fetched = effects.into_iter().filter_map(|effect| match effect {
        Effect::Fetch { ids, .. } => Some(ids),
        _ => None,
    });
    fetched.flatten().collect()
}

#[test]
fn nothing_is_fetched_for_a_proposal_that_nobody_signed() {
    let mut bench = Bench::new();
    let (scope, instance) = (bench.desk.term.scope, bench.round.instance);
    let signed = |by: u32, value| Statement::sign(&scope, &key(by), by, instance, Phase::Observation, 0, value);
    // A relay put its own list of bodies beside the leader's signature.
    let forged = |member: u32, value| Statement { member, ..signed(3, value) };
    assert_eq!(fetched_for(&mut bench, forged), [[0; 32]; 0]);
    assert!(bench.round.waiting().is_empty() && bench.round.questions.is_empty());
    assert_eq!(fetched_for(&mut bench, signed).len(), 4, "the same of true observations is fetched");
    assert_eq!(bench.round.twofaced, [0].into(), "member 0 is this one: its key signed another one");
}

#[test]
fn a_judged_proposal_leaves_nothing_behind() {
    let mut bench = Bench::new();
    let (scope, instance) = (bench.desk.term.scope, bench.round.instance);
    // Members 1 to 3 sign bodies for a liar's proposal that they never broadcast; each lists one bucket.
    let bucket = |device| content(wire::encode(&Bucket { device, held: vec![(1, 5, device)], ..Bucket::default() }));
    let body = |member: u32| {
        let listed = bucket(u64::from(member));
        content(wire::encode(&Body { buckets: vec![(u64::from(member), listed.id.into())], ..Body::default() }))
    };
    let sign = |by: u32| {
        let value = B256::from(body(by).id);
        Statement::sign(&scope, &key(by), by, instance, Phase::Observation, 0, value)
    };
    let observations = (1..4).map(sign).collect();
    let set = crate::report::EpochSet { version: 2, observations, beacons: vec![] };
    let before = bench.round.held_bytes();
    bench.step(|round, ctx| round.ask(ctx, B256::repeat_byte(9), &set.encode()));
    bench.step(Round::answer);
    bench.round.on_content(&[body(1), body(2), body(3)]);
    bench.step(Round::answer);
    bench.round.on_content(&[bucket(1), bucket(2), bucket(3)]);
    assert!(bench.round.held_bytes() > before, "it was fetched");
    // F says another header than the value, or refuses: either way the question is over.
    bench.step(Round::answer);
    assert!(bench.round.questions.is_empty());
    assert_eq!(bench.round.held_bytes(), before);
}
