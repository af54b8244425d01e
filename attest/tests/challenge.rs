//! Draws, hash chains, transmissions and witness commitments, recomputed here with plain hashing.

mod common;

use attest::{MAX_CHAIN, Receptions, challenge::*};
use common::RECEPTIONS;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn sha(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

#[test]
fn a_draw_is_the_tagged_hash_of_seed_device_and_lease() {
    let certificate = [0x8f; 48];
    let seed = seed(&certificate);
    assert_eq!(seed, sha(&[&certificate]));
    let by_hand = sha(&[b"plumbline/challenge/v1", &seed, &5u64.to_be_bytes(), &6u64.to_be_bytes()]);
    assert_eq!(draw(&seed, 5, 6), by_hand);
    assert_ne!(draw(&seed, 6, 5), by_hand);
}

#[test]
fn the_first_eight_bytes_decide_and_the_bound_is_open() {
    let mut draw = [0xff; 32];
    draw[..8].copy_from_slice(&1000u64.to_be_bytes());
    assert!(!challenged(&draw, 0));
    assert!(!challenged(&draw, 1000));
    assert!(challenged(&draw, 1001));
    assert!(!challenged(&[0xff; 32], u64::MAX));
    assert!(!challenged(&[0; 32], 0));
    assert!(challenged(&[0; 32], 1));
}

#[test]
fn draws_come_as_often_as_the_policy_says() {
    // A quarter of 4,000: 1,000 with a standard deviation of 27. The seeds are fixed, so this cannot flicker.
    let hits = (0..4000u64).filter(|slot| challenged(&draw(&sha(&[&slot.to_be_bytes()]), 1, 1), 1 << 62)).count();
    assert!((890..1110).contains(&hits), "{hits}");
}

#[test]
fn every_secret_opens_its_own_slot_only() {
    let (secret0, first, length) = ([7; 32], 1000, 20);
    let anchor = chain_anchor(&secret0, length).expect("short");
    assert_eq!(chain_step(&secret0), sha(&[b"plumbline/chain/v1", &secret0]));
    let secret = |slot| chain_secret(&secret0, first, length, slot);
    assert_eq!(secret(first + 19), Some(secret0));
    assert_eq!(secret(first).map(|first| chain_step(&first)), Some(anchor));
    assert_eq!((secret(first - 1), secret(first + 20)), (None, None));
    for slot in first..first + 20 {
        let own = secret(slot).expect("covered");
        for other in first - 1..=first + 20 {
            assert_eq!(secret_opens(&anchor, first, length, other, &own), slot == other, "{slot} {other}");
        }
    }
}

#[test]
fn hostile_chains_cost_and_open_nothing() {
    let x = [3; 32];
    assert_eq!(chain_anchor(&x, MAX_CHAIN + 1), None);
    assert_eq!(chain_anchor(&x, 0), Some(x));
    assert!(!secret_opens(&x, 0, 0, 0, &x));
    assert!(!secret_opens(&x, 0, u32::MAX, 5, &x));
    assert!(!secret_opens(&chain_step(&x), u64::MAX, 2, 0, &x));
    // A chain longer than announced opens no slot past the announced ones.
    let anchor = chain_anchor(&x, 3).expect("short");
    assert!(secret_opens(&anchor, 10, 3, 12, &x));
    assert!(!secret_opens(&anchor, 10, 2, 12, &x));
    // A chain that would run past the last slot opens where slots exist.
    assert!(secret_opens(&chain_step(&x), u64::MAX, 2, u64::MAX, &x));
}

#[test]
fn payload_and_power_come_from_secret_and_draw() {
    let mut seen = [0; 3];
    for n in 0..60u8 {
        let (secret, draw) = ([n; 32], [0xd0; 32]);
        let hash = sha(&[b"plumbline/radio/v1", &secret, &draw]);
        let sent = transmission(&secret, &draw);
        assert_eq!(sent.payload[..], hash[..16]);
        assert_eq!(sent.attenuation_db, 3 * (hash[16] % 3));
        seen[usize::from(sent.attenuation_db / 3)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
}

#[test]
fn a_witness_commits_to_count_order_and_salt() {
    let salt = [0x5b; 16];
    let mut by_hand = b"plumbline/witness/v1\x00\x02".to_vec();
    for heard in RECEPTIONS {
        by_hand.extend(heard.lease.to_be_bytes());
        by_hand.extend(heard.payload);
        by_hand.extend(heard.rssi.to_be_bytes());
        by_hand.extend(heard.snr.to_be_bytes());
    }
    by_hand.extend(salt);
    let expected = sha(&[&by_hand]);
    assert_eq!(witness_commitment(RECEPTIONS, &salt), expected);
    assert_eq!(witness_commitment(Receptions::from(&RECEPTIONS), &salt), expected);
    assert_ne!(witness_commitment(RECEPTIONS.into_iter().rev(), &salt), expected);
    assert_ne!(witness_commitment(RECEPTIONS, &[0; 16]), expected);
    assert_eq!(witness_commitment([], &salt), sha(&[b"plumbline/witness/v1\x00\x00", &salt]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chains_of_any_place_and_length_open(secret0: [u8; 32], first in 0..u64::MAX - 64, length in 1..64u32, at in 0..64u64) {
        let anchor = chain_anchor(&secret0, length).expect("short");
        let slot = first + at;
        match chain_secret(&secret0, first, length, slot) {
            Some(secret) => prop_assert!(secret_opens(&anchor, first, length, slot, &secret)),
            None => prop_assert!(at >= u64::from(length)),
        }
    }
}
