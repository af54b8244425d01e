//! Tests of bodies and buckets under crowds: nothing that a device or an author does makes one that nobody takes.

use alloy_primitives::{Address, B256};

use super::observed::observed_of_all_streams;
use super::*;
use crate::observation::{Body, LATENESS_MISSING};
use crate::policy::tests::{book, conduct, policy};
use crate::registry::{Block, DeviceRecord, LeaseRecord, Snapshot};
use crate::wire;

fn held(device: u64, class: Message, seq: u64) -> Held {
    Held { device, class, boot: u32::MAX, seq, id: [0xff; 32], slot: u64::MAX, arrival_ms: 1 }
}

fn collected_term() -> Term {
    let scope =
        crate::typed::Scope { chain_id: 1, registry: Address::ZERO, committee: 1, term: 1, config_digest: B256::ZERO };
    Term { scope, members: vec![], book_root: B256::ZERO, epoch_ms: 3_600_000, slot_ms: 1_000, genesis_ms: Some(0) }
}

/// A book whose conduct keeps so many messages of a device.
fn keeping(messages: u32) -> Book {
    let mut conduct = conduct();
    conduct["messages_per_device"] = messages.into();
    book(&[conduct, policy()])
}

fn collected(items: &[Held]) -> BTreeMap<u64, Bucket> {
    let term = collected_term();
    let classes = items.iter().map(|item| (item.device, 2)).collect();
    buckets(&term, &keeping(u32::MAX), &classes, limits::AUTHOR_BYTES_MAX, 0, items)
}

#[test]
fn no_crowd_of_devices_makes_a_body_that_nobody_takes() {
    let crowd: Vec<Held> = (0..25_000).map(|n| held(u64::MAX - n, Message::Boot, 0)).collect();
    let buckets = collected(&crowd);
    assert_eq!(buckets.keys().next(), Some(&(u64::MAX - 24_999)));
    let listed = buckets.iter().map(|(device, bucket)| (*device, bucket.hash().into()));
    let lateness = vec![LATENESS_MISSING; 3_700];
    let body = Body { epoch: u64::MAX, buckets: listed.collect(), first_slot: u64::MAX, lateness, ..Body::default() };
    assert!(wire::encode(&body).len() <= limits::BLOB_BYTES_MAX);
}

#[test]
fn no_chatter_of_a_device_makes_a_bucket_that_nobody_reads() {
    let top = u64::MAX - 200_000;
    let odd = (0..50_000).map(|n| held(7, Message::Heartbeat, top + 2 * n));
    let marks = (0..50_000).map(|n| held(7, Message::Boot, top + n));
    let forks = (0..50_000).map(|n| Held { id: [0xfe; 32], ..held(7, Message::Heartbeat, top + 2 * n) });
    let all: Vec<Held> = odd.chain(marks).chain(forks).collect();
    let bytes = collected(&all).values().map(wire::encode::<Bucket>).next().map(|bytes| bytes.len());
    assert!(
        bytes.is_some_and(|bytes| bytes > limits::BLOB_BYTES_MAX / 2 && bytes <= limits::BLOB_BYTES_MAX),
        "{bytes:?}"
    );
}

/// So many streams of so many leased devices each, besides witnesses that have no lease.
fn crowded(streams: u32, devices: u64, witnesses: u64) -> (Snapshot, Term, Book) {
    let (book, term) = (keeping(1_000), collected_term());
    let policy_hash = book.policies().map(|(hash, _)| *hash).next().unwrap_or_default();
    let zero = Address::ZERO;
    let device = |class| DeviceRecord {
        owner: zero,
        key: attest::PublicKey::Ed25519([1; 32]),
        active: true,
        proof: [0; 64],
        location: [0; 32],
        class,
        revoked: false,
        meter_key: [0; 32],
    };
    let block = Block { number: 1, hash: B256::ZERO, timestamp: 0 };
    let mut snapshot = Snapshot { block, devices: BTreeMap::new(), leases: BTreeMap::new() };
    for number in 0..u64::from(streams) * devices {
        let stream = u32::try_from(number / devices).unwrap_or_default();
        snapshot.devices.insert(number, device(1));
        let lease = LeaseRecord {
            escrow: zero,
            device: number,
            lessee: zero,
            lessor: zero,
            class: 1,
            committee: 1,
            stream,
            policy_hash,
            start: 0,
            end: 1,
        };
        snapshot.leases.insert(number, lease);
    }
    snapshot.devices.extend((0..witnesses).map(|number| (1 << 40 | number, device(2))));
    (snapshot, term, book)
}

#[test]
fn an_authors_sum_over_all_streams_does_not_grow_with_their_number() {
    let sum = |streams: u32, devices: u64, witnesses: u64| -> usize {
        let (snapshot, term, book) = crowded(streams, devices, witnesses);
        let counted: BTreeMap<u32, usize> = observed_of_all_streams(&snapshot, &term, &book);
        // Two streams more are served than have leases.
        let served = 0..streams + 2;
        for stream in served.clone() {
            let observed = observed_devices(&snapshot, &term, &book, stream).len();
            assert_eq!(counted.get(&stream).copied().unwrap_or(observed), observed, "stream {stream}");
            let bytes = author_bytes(&snapshot, &term, &book, stream);
            assert!(bytes >= observed * limits::DEVICE_BYTES_MIN.min(Bucket::bytes_of(2_000)), "stream {stream}");
        }
        served.map(|stream| author_bytes(&snapshot, &term, &book, stream)).sum()
    };
    let one = sum(1, 600, 0);
    assert_eq!(one, limits::AUTHOR_BYTES_MAX, "one stream has it all");
    assert_eq!(sum(1, 10, 0), 10 * Bucket::bytes_of(2_000), "and no more than its devices need");
    assert!(sum(16, 600, 0) <= one, "16 streams have no more than one");
    let (many, devices) = (sum(64, 600, 50), 64 * 650 + 2 * 50);
    assert!(many <= one.max(devices * limits::DEVICE_BYTES_MIN) + one / 64, "{many} bytes of {devices} devices");
    assert!(many < 3 * one, "{many}: without the shared bound it would be 64 times {one}");
}

#[test]
fn whoever_registers_witnesses_by_the_thousand_keeps_nobody_elses_out() {
    // The squatter's 20,000 have the lowest tokens of those without a lease here; the honest came later.
    let (mut snapshot, term, book) = crowded(2, 1_000, DEVICES_MAX as u64);
    let squatting: BTreeSet<u64> = snapshot.devices.range(1 << 40..).map(|(device, _)| *device).collect();
    let witness = snapshot.devices[&(1 << 40)].clone();
    let elsewhere: Vec<u64> = (0..500).map(|n| 1 << 41 | n).collect();
    let unleased: Vec<u64> = (0..1_000).map(|n| 1 << 42 | n).collect();
    let lease = snapshot.leases[&0].clone();
    for device in elsewhere.iter().chain(&unleased) {
        snapshot.devices.insert(*device, witness.clone());
    }
    for device in &elsewhere {
        let here = LeaseRecord { device: *device, class: 2, committee: 9, ..lease.clone() };
        snapshot.leases.insert(*device, here);
    }
    // Leases that ended, and that nobody closes, are no stake.
    for device in squatting.iter().take(5_000) {
        snapshot.leases.insert(*device, LeaseRecord { device: *device, committee: 9, end: 0, ..lease.clone() });
    }
    let mut seen = BTreeSet::new();
    for number in 1..=12 {
        snapshot.block.hash = B256::repeat_byte(number);
        let observed = observed_devices(&snapshot, &term, &book, 0);
        assert_eq!(observed.len(), DEVICES_MAX);
        assert!((0..1_000).all(|device| observed.get(&device) == Some(&1)), "its own leases come first");
        assert!(elsewhere.iter().all(|device| observed.get(device) == Some(&2)), "then other leases");
        let drawn = unleased.iter().filter(|device| observed.contains_key(device));
        seen.extend(drawn.copied());
        // 18,500 places for 21,000 without a lease.
        let part = unleased.iter().filter(|device| observed.contains_key(device)).count();
        assert!((800..960).contains(&part), "{part} of 1,000 in draw {number}");
    }
    assert_eq!(seen.len(), unleased.len(), "everybody's turn comes");
}
