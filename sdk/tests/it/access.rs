//! The device's door: it opens to the certified lessee, in time, and to nobody by a stale or foreign word.

use alloy_primitives::Address;
use oracle_core::archive::Bundle;
use oracle_core::merkle::{sha_leaf, sha_proof};
use oracle_core::report::state_leaves;
use oracle_core::wire;
use sdk::access::{AccessError, Feed, Gate};
use sdk::verify::Trust;

use crate::support::world::GENESIS;
use crate::support::{World, archived, trust};

/// Feeds of the leaf at `place` in the state of epochs 0 and 1.
fn feeds(place: usize) -> (World, [Feed; 2]) {
    let (mut world, bundles) = archived(2, &[]);
    let after = std::mem::take(&mut world.state);
    let [first, second] = [0, 1].map(|i| Bundle::decode(&bundles[i]).unwrap());
    let made = |bundle: &Bundle, mut state: oracle_core::state::State| {
        let header = bundle.header().unwrap();
        state.previous_header = header.previousHeader.0.into();
        let leaves = state_leaves(&state);
        let hashes: Vec<[u8; 32]> = leaves.iter().map(|leaf| sha_leaf(leaf)).collect();
        let proof = sha_proof(&hashes, place).unwrap();
        Feed {
            header: bundle.header.clone(),
            certificate: bundle.certificate,
            leaf: leaves[place].clone().into(),
            proof: proof.iter().map(|step| (step.sibling.into(), step.left)).collect(),
        }
    };
    let feeds = [made(&first, second.state.clone()), made(&second, after)];
    (world, feeds)
}

#[test]
fn the_lessee_is_let_in_while_the_lease_runs_and_the_word_is_fresh() {
    let (world, [first, second]) = feeds(2);
    let mut gate = Gate::new(trust(&world), 2, 30);
    assert_eq!(gate.user_of(GENESIS), None);
    let grant = gate.learn(&wire::encode(&first)).unwrap();
    assert_eq!((grant.lease, grant.epoch, grant.as_of), (102, 0, GENESIS + 15));
    let lessee = Some(Address::repeat_byte(0x88));
    assert_eq!(gate.user_of(GENESIS - 1), None, "not yet");
    assert_eq!((gate.user_of(GENESIS), gate.user_of(GENESIS + 45)), (lessee, lessee));
    assert_eq!(gate.user_of(GENESIS + 46), None, "too old a word");
    gate.learn(&wire::encode(&second)).unwrap();
    assert_eq!(gate.user_of(GENESIS + 46), lessee);
    let older = gate.learn(&wire::encode(&first));
    assert_eq!(older, Err(AccessError::Older { told: 0, known: 1 }));
    let mut patient = Gate::new(trust(&world), 2, u64::MAX);
    patient.learn(&wire::encode(&first)).unwrap();
    assert_eq!((patient.user_of(GENESIS + 3_599), patient.user_of(GENESIS + 3_600)), (lessee, None));
}

#[test]
fn after_a_rotation_each_epoch_has_one_key() {
    let (world, [first, second]) = feeds(2);
    let (first, second) = (wire::encode(&first), wire::encode(&second));
    let (known, stranger) = (trust(&world), Trust { term: 2, ..trust(&world) });
    // The next term begins after both epochs: they are the known term's.
    let mut gate = Gate::new(known.clone(), 2, 30);
    gate.trust(known.clone(), Some((2, stranger.clone())));
    assert_eq!(gate.learn(&first).map(|grant| grant.epoch), Ok(0));
    assert_eq!(gate.learn(&second).map(|grant| grant.epoch), Ok(1));
    // It begins with the second: what the old key says of that epoch is nobody's word.
    let mut gate = Gate::new(known.clone(), 2, 30);
    gate.trust(known.clone(), Some((1, stranger.clone())));
    assert!(gate.learn(&first).is_ok());
    assert!(matches!(gate.learn(&second), Err(AccessError::Certificate(_))));
    // And a new key's word of an epoch before its time.
    let mut gate = Gate::new(stranger, 2, 30);
    gate.trust(Trust { term: 0, ..known.clone() }, Some((1, known)));
    assert!(matches!(gate.learn(&first), Err(AccessError::Certificate(_))));
    assert_eq!(gate.learn(&second).map(|grant| grant.epoch), Ok(1));
}

#[test]
fn nothing_forged_opens_the_door() {
    let (world, [feed, _]) = feeds(2);
    let refused = |change: &dyn Fn(&mut Feed), device: u64| {
        let mut bent = feed.clone();
        change(&mut bent);
        let mut gate = Gate::new(trust(&world), device, 30);
        let refused = gate.learn(&wire::encode(&bent)).unwrap_err();
        assert_eq!(gate.user_of(GENESIS), None);
        refused
    };
    assert_eq!(refused(&|_| (), 3), AccessError::OtherDevice(2));
    assert!(matches!(refused(&|feed| feed.certificate.0[5] ^= 1, 2), AccessError::Certificate(_)));
    // A byte of the state root, and one that pads a number.
    assert!(matches!(refused(&|feed| feed.header[355] ^= 1, 2), AccessError::Certificate(_)));
    assert!(matches!(refused(&|feed| feed.header[200] ^= 1, 2), AccessError::Malformed(_)));
    // The lessee's bytes follow three small numbers: whoever puts his own address there is not in the state.
    let lessee = feed.leaf.windows(20).position(|bytes| bytes == [0x88; 20]).unwrap();
    assert_eq!(refused(&|feed| feed.leaf[lessee] = 0x99, 2), AccessError::NotInState);
    assert_eq!(refused(&|feed| feed.proof.truncate(1), 2), AccessError::NotInState);
    assert_eq!(refused(&|feed| feed.proof[0].1 = !feed.proof[0].1, 2), AccessError::NotInState);
    assert!(matches!(refused(&|feed| feed.header.extend([0; 32]), 2), AccessError::Malformed(_)));
    let mut gate = Gate::new(trust(&world), 2, 30);
    assert!(matches!(gate.learn(&[0; 9_000]), Err(AccessError::Malformed(_))));
    assert!(matches!(gate.learn(b""), Err(AccessError::Malformed(_))));
}

#[test]
fn other_leaves_of_the_state_are_no_leases() {
    // The head, and the first device: certified, but no lease.
    for place in [0, 7] {
        let (world, [feed, _]) = feeds(place);
        let mut gate = Gate::new(trust(&world), 4, 30);
        assert_eq!(gate.learn(&wire::encode(&feed)), Err(AccessError::NotInState), "{place}");
    }
}
