//! Following rotations: golden bytes of a true payload, and everything that a broker, a liar or an old message can try.
//! The group's signature is a stand-in here (a hash that only the holder of the key can make); `oracle-core` holds the same
//! payload against real certificates.

use std::{cell::Cell, path::PathBuf};

use attest::{
    BeaconError, CheckCertificate, GroupKey, Home, MAX_ROTATIONS, ROTATION_LEN, ROTATIONS_HEAD, Rotation, Rotations,
    TERM_KEYS_LEN, TermError, TermKey, TermKeys, beacon_message, topic_term,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const HOME: Home = Home { chain_id: 31_337, registry: [7; 20], committee: 1, epoch_ms: 15_000, slot_ms: 2_000 };

/// The key of a term; `other` makes another one for the same term.
fn key(term: u64, other: u8) -> GroupKey {
    let mut key = [other; 256];
    key[..8].copy_from_slice(&term.to_be_bytes());
    key
}

fn sign(key: &GroupKey, message: &[u8; 32]) -> [u8; 48] {
    let mut certificate = [0x80; 48];
    certificate[16..].copy_from_slice(&Sha256::digest([&key[..], message].concat()));
    certificate
}

/// The check under a key.
struct Under(GroupKey);

impl CheckCertificate for Under {
    fn holds(&self, message: &[u8; 32], certificate: &[u8; 48]) -> bool {
        *certificate == sign(&self.0, message)
    }
}

fn under(key: &GroupKey) -> Under {
    Under(*key)
}

/// A rotation before it is signed.
#[derive(Clone, Copy)]
struct Step {
    from: u64,
    to: u64,
    epoch: u64,
    key: GroupKey,
    signer: Option<GroupKey>,
}

const fn step(from: u64, to: u64, epoch: u64, key: GroupKey, signer: GroupKey) -> Step {
    Step { from, to, epoch, key, signer: Some(signer) }
}

/// Term `from` to the next, as it should be.
fn plain(from: u64) -> Step {
    step(from, from + 1, from * 10, key(from + 1, 0), key(from, 0))
}

fn row(home: &Home, step: Step) -> [u8; ROTATION_LEN] {
    let mut rotation = Rotation {
        term: step.from,
        config: &[1; 32],
        new_term: step.to,
        new_config: &[2; 32],
        from_epoch: step.epoch,
        base: &[3; 32],
        group_key: &step.key,
        certificate: &[0; 48],
    };
    let certificate = step.signer.map_or([0; 48], |signer| sign(&signer, &rotation.digest(home)));
    rotation.certificate = &certificate;
    rotation.to_bytes()
}

fn payload_at(home: &Home, steps: &[Step]) -> Vec<u8> {
    let mut payload = Rotations::head(home, u8::try_from(steps.len()).expect("few")).to_vec();
    steps.iter().for_each(|step| payload.extend(row(home, *step)));
    payload
}

fn payload(steps: &[Step]) -> Vec<u8> {
    payload_at(&HOME, steps)
}

fn trusting(term: u64) -> TermKeys {
    TermKeys::trust(HOME, TermKey { term, group_key: key(term, 0) })
}

fn beacon(term: u64, group: &GroupKey, slot: u64) -> Vec<u8> {
    let message = beacon_message(&HOME.network(), HOME.committee, term, slot);
    [slot.to_be_bytes().to_vec(), sign(group, &message).to_vec()].concat()
}

/// Whether the device takes the beacon of a slot signed by a term's true key.
fn takes(keys: &mut TermKeys, term: u64, slot: u64) -> bool {
    let broadcast = beacon(term, &key(term, 0), slot);
    match keys.beacon(&broadcast, under) {
        Ok(beacon) => beacon.slot == slot,
        Err(error) => {
            assert_eq!(error, BeaconError::Certificate);
            false
        }
    }
}

#[test]
fn a_signed_rotation_is_followed_at_the_exact_slot() {
    let mut keys = trusting(1);
    assert_eq!(keys.follow(&payload(&[step(1, 2, 5, key(2, 0), key(1, 0))]), under).map(|f| f.steps), Ok(1));
    // Epoch 5 starts at 75 s, in the middle of slot 37: slot 38 is the first of term 2.
    assert_eq!((HOME.first_slot_of(5), keys.newest()), (38, 2));
    assert!(takes(&mut keys, 1, 37) && takes(&mut keys, 2, 38));
    assert!(!takes(&mut keys, 2, 37) && !takes(&mut keys, 1, 38));
    // The last beacon of the old term may come after the first of the new one.
    assert!(takes(&mut keys, 1, 37));
    assert_eq!((keys.at_epoch(4).term, keys.at_epoch(5).term), (1, 2));
}

#[test]
fn a_device_that_slept_follows_the_whole_chain_and_no_further() {
    let chain: Vec<Step> = (3..11).map(plain).collect();
    assert_eq!(chain.len(), MAX_ROTATIONS);
    let mut slept = trusting(3);
    assert_eq!(slept.follow(&payload(&chain), under).map(|f| f.steps), Ok(8));
    assert_eq!((slept.newest(), slept.at_epoch(99).term, slept.at_epoch(100).term), (11, 10, 11));
    // Again, and from an older message: nothing is to be done.
    assert_eq!(slept.follow(&payload(&chain), under).map(|f| f.steps), Ok(0));
    let mut midway = trusting(8);
    assert_eq!(midway.follow(&payload(&chain), under).map(|f| f.steps), Ok(3));
    let mut too_long = trusting(2);
    let error = TermError::Behind { known: 2, oldest: 3 };
    assert_eq!((too_long.follow(&payload(&chain), under), too_long), (Err(error), trusting(2)));
    assert!(error.to_string().contains("from its maker"), "{error}");
}

#[test]
fn an_older_payload_changes_nothing() {
    let mut keys = trusting(1);
    keys.follow(&payload(&[plain(1), plain(2), plain(3)]), under).expect("signed");
    let known = keys;
    for old in [vec![plain(1)], vec![plain(1), plain(2)], vec![]] {
        assert_eq!(keys.follow(&payload(&old), under).map(|f| f.steps), Ok(0));
        assert_eq!(keys, known);
    }
    // Not even a rotation that an old, since broken key signs now.
    let broken = step(1, 9, 900, key(9, 9), key(1, 0));
    assert_eq!((keys.follow(&payload(&[broken]), under).map(|f| f.steps), keys), (Ok(0), known));
}

#[test]
fn what_the_old_key_did_not_sign_is_refused() {
    let forged = [
        // By another key; by the new key itself; over another epoch, term or key.
        step(1, 2, 10, key(2, 0), key(1, 9)),
        step(1, 2, 10, key(2, 0), key(2, 0)),
    ];
    for bad in forged {
        let mut keys = trusting(1);
        assert_eq!((keys.follow(&payload(&[bad]), under), keys), (Err(TermError::Forged { term: 1 }), trusting(1)));
    }
    let good = payload(&[plain(1)]);
    for index in 0..good.len() {
        let (mut bad, mut keys) = (good.clone(), trusting(1));
        bad[index] ^= 1;
        // The last byte of the old term: 0 now, and older than anything of ours.
        let passed_over = index == ROTATIONS_HEAD + 7;
        assert_eq!(keys.follow(&bad, under).is_ok(), passed_over, "byte {index}");
        assert_eq!(keys, trusting(1), "byte {index}");
    }
    for length in [0, ROTATIONS_HEAD - 1, good.len() - 1] {
        assert_eq!(trusting(1).follow(&good[..length], under), Err(TermError::Form), "{length}");
    }
    assert_eq!(trusting(1).follow(&[good, vec![0]].concat(), under), Err(TermError::Form));
}

#[test]
fn a_fault_further_on_keeps_what_was_proven_before_it() {
    let mut keys = trusting(1);
    let forged = Step { signer: Some(key(9, 9)), ..plain(2) };
    assert_eq!(keys.follow(&payload(&[plain(1), forged]), under), Err(TermError::Forged { term: 2 }));
    assert_eq!(keys.newest(), 2);
}

#[test]
fn another_committee_network_or_chain_is_refused() {
    for other in [Home { committee: 2, ..HOME }, Home { chain_id: 1, ..HOME }, Home { registry: [8; 20], ..HOME }] {
        let theirs = payload_at(&other, &[plain(1)]);
        assert_eq!(trusting(1).follow(&theirs, under), Err(TermError::Elsewhere));
        // Nor under our own head.
        let relabelled = [&Rotations::head(&HOME, 1)[..], &theirs[ROTATIONS_HEAD..]].concat();
        assert_eq!(trusting(1).follow(&relabelled, under), Err(TermError::Forged { term: 1 }));
        assert_ne!(topic_term(&other.network(), other.committee), topic_term(&HOME.network(), HOME.committee));
    }
}

#[test]
fn a_payload_is_one_ascending_chain() {
    let wrong = [
        vec![plain(1), plain(3)],
        vec![plain(2), plain(1)],
        vec![step(2, 2, 10, key(2, 0), key(2, 0))],
        vec![plain(1), step(2, 3, 10, key(3, 0), key(2, 0))],
    ];
    for steps in wrong {
        assert_eq!(trusting(1).follow(&payload(&steps), under), Err(TermError::Form));
    }
    let many: Vec<Step> = (1..10).map(plain).collect();
    assert_eq!(trusting(1).follow(&payload(&many), under), Err(TermError::Form));
    let mut later = payload(&[plain(1)]);
    later[0] = 2;
    assert_eq!(trusting(1).follow(&later, under), Err(TermError::Form));
}

#[test]
fn a_rotation_that_the_chain_never_took_gives_way_to_the_later_one() {
    let late = step(1, 2, 10, key(2, 5), key(1, 0));
    let (true_one, after) = (step(1, 3, 12, key(3, 0), key(1, 0)), plain(3));
    let mut keys = trusting(1);
    assert_eq!(keys.follow(&payload(&[late]), under).map(|f| f.steps), Ok(1));
    assert_eq!(keys.follow(&payload(&[true_one, after]), under).map(|f| f.steps), Ok(2));
    assert_eq!(keys.newest(), 4);
    // And cannot come back.
    let mut keys = trusting(1);
    keys.follow(&payload(&[true_one]), under).expect("signed");
    let known = keys;
    assert_eq!((keys.follow(&payload(&[late]), under).map(|f| f.steps), keys), (Ok(0), known));
    // Two for one epoch cannot both be true, and a term whose beacons hold is not replaced.
    let twin = step(1, 3, 12, key(3, 9), key(1, 0));
    assert_eq!((keys.follow(&payload(&[twin]), under), keys), (Err(TermError::Conflict { term: 1 }), known));
    assert!(takes(&mut keys, 3, HOME.first_slot_of(12)));
    let known = keys;
    let later = step(1, 3, 20, key(3, 9), key(1, 0));
    assert_eq!((keys.follow(&payload(&[later]), under), keys), (Err(TermError::Conflict { term: 1 }), known));
}

#[test]
fn an_attempt_that_came_too_late_with_the_same_key_stops_nobody() {
    let (late, true_one, after) =
        (step(1, 2, 10, key(2, 0), key(1, 0)), step(1, 2, 20, key(2, 0), key(1, 0)), plain(2));
    // A broker hands out the late one alone; beacons of the true one prove its key.
    let mut keys = trusting(1);
    assert_eq!(keys.follow(&payload(&[late]), under).map(|f| f.steps), Ok(1));
    assert!(takes(&mut keys, 2, HOME.first_slot_of(20)));
    let after = Step { epoch: 40, ..after };
    assert_eq!(keys.follow(&payload(&[true_one, after]), under).map(|f| f.steps), Ok(1));
    assert_eq!(keys.newest(), 3);
}

#[test]
fn governance_signs_nothing_and_is_not_followed() {
    let forced = Step { signer: None, ..plain(1) };
    let mut keys = trusting(1);
    let error = TermError::Governance { term: 1, new_term: 2 };
    assert_eq!((keys.follow(&payload(&[forced, plain(2)]), under), keys), (Err(error), trusting(1)));
    assert!(error.to_string().contains("from its maker"), "{error}");
    // The maker gives the new key; from there signed rotations lead on.
    let mut keys = trusting(2);
    assert_eq!(keys.follow(&payload(&[forced, plain(2)]), under).map(|f| f.steps), Ok(1));
}

#[test]
fn a_pairing_is_spent_only_on_what_is_new() {
    let spent = Cell::new(0);
    let counting = |key: &GroupKey| {
        spent.set(spent.get() + 1);
        Under(*key)
    };
    let (mut keys, two) = (trusting(1), payload(&[plain(1), plain(2)]));
    keys.follow(&two, counting).expect("signed");
    assert_eq!(spent.get(), 2);
    keys.follow(&two, counting).expect("known");
    assert_eq!(spent.get(), 2);
}

#[test]
fn the_state_outlives_a_restart() {
    let mut keys = trusting(1);
    let mut states = vec![keys];
    keys.follow(&payload(&[plain(1)]), under).expect("signed");
    states.push(keys);
    assert!(takes(&mut keys, 2, HOME.first_slot_of(10)));
    states.push(keys);
    for state in states {
        let bytes = state.to_bytes();
        assert_eq!(TermKeys::from_bytes(HOME, &bytes), Some(state));
        for (index, value) in [(0, 2), (265, 3)] {
            let mut bad = bytes;
            bad[index] = value;
            assert_eq!(TermKeys::from_bytes(HOME, &bad), None, "byte {index}");
        }
    }
    let mut none = trusting(1).to_bytes();
    none[TERM_KEYS_LEN - 1] = 1;
    assert_eq!(TermKeys::from_bytes(HOME, &none), None, "a key where there is none");
    // Restarted, the device is where it was: an older payload leads nowhere.
    let mut back = TermKeys::from_bytes(HOME, &keys.to_bytes()).expect("written above");
    assert_eq!(back.follow(&payload(&[plain(1)]), under).map(|f| f.steps), Ok(0));
}

#[test]
fn golden_bytes() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/rotations.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("vectors")).expect("JSON");
    let number = |value: &Value| value.as_u64().expect("a number");
    let bytes = |value: &Value| hex::decode(value.as_str().expect("hex")).expect("hex");
    let home = Home {
        chain_id: number(&golden["chain_id"]),
        registry: bytes(&golden["registry"]).try_into().expect("20 bytes"),
        committee: number(&golden["committee"]),
        epoch_ms: number(&golden["epoch_ms"]),
        slot_ms: number(&golden["slot_ms"]),
    };
    assert_eq!(topic_term(&home.network(), home.committee).as_str(), golden["topic"]);
    let payload = bytes(&golden["payload"]);
    let rotations: Vec<_> = Rotations::parse(&payload, &home).expect("golden").iter().collect();
    let rows = golden["rotations"].as_array().expect("rows");
    assert_eq!((rotations.len(), rows.len()), (3, 3));
    for (rotation, row) in rotations.iter().zip(rows) {
        assert_eq!(
            [rotation.term, rotation.new_term, rotation.from_epoch],
            ["term", "new_term", "from_epoch"].map(|f| number(&row[f]))
        );
        assert_eq!(rotation.digest(&home).to_vec(), bytes(&row["digest"]));
        assert_eq!(rotation.group_key.to_vec(), bytes(&row["group_key"]));
    }
    let again: Vec<u8> = rotations.iter().flat_map(|rotation| rotation.to_bytes()).collect();
    assert_eq!([&Rotations::head(&home, 3)[..], &again].concat(), payload);
}
