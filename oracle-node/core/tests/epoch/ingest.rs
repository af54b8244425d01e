//! The batch gate of ingest: every message gets the verdict it would get alone.

use attest::Body as Said;
use oracle_core::ingest::{self, Incoming};
use oracle_core::reason::Reason;

use crate::world::{N, World};

#[test]
fn a_batch_gives_each_message_its_own_verdict() {
    let mut world = World::new();
    let ids: Vec<[u8; 32]> = (0..6).map(|index| world.say(index, None, &Said::Heartbeat, [None; N])).collect();
    let mut messages: Vec<_> = ids.iter().map(|id| world.blobs[id].bytes.clone()).collect();
    *messages[2].last_mut().unwrap() ^= 1;
    messages[3].push(0);
    messages.push(vec![0; attest::MAX_MESSAGE + 1]);
    let kids: Vec<_> = world.devices.iter().map(|d| attest::Signer::public_key(&d.key).kid()).collect();
    let mut keys = ingest::keys(&world.snapshot(0));
    keys.remove(&kids[4]);
    let incoming = |(index, bytes): (usize, &Vec<u8>), class| {
        // The sixth comes on another device's topic.
        let kid = kids[if index == 5 { 0 } else { index.min(5) }];
        ingest::judge(&[Incoming { class, kid, bytes }], &keys, &world.term.scope.network()).remove(0)
    };
    let alone: Vec<_> = messages.iter().enumerate().map(|one| incoming(one, attest::Class::Heartbeat)).collect();
    let expected = [None, None, Some(Reason::BAD_SIGNATURE), Some(Reason::MALFORMED), Some(Reason::UNKNOWN_DEVICE)];
    assert_eq!(alone[..5].iter().map(|verdict| verdict.err()).collect::<Vec<_>>(), expected);
    assert_eq!((alone[5], alone[6]), (Err(Reason::MALFORMED), Err(Reason::TOO_LONG)));
    assert_eq!(alone[0].unwrap().id, ids[0]);
    let kid = |index: usize| kids[if index == 5 { 0 } else { index.min(5) }];
    let all = messages.iter().enumerate();
    let batch = all.map(|(index, bytes)| Incoming { class: attest::Class::Heartbeat, kid: kid(index), bytes });
    let batch: Vec<_> = batch.collect();
    assert_eq!(ingest::judge(&batch, &keys, &world.term.scope.network()), alone);
    // A class that the topic does not carry fails: as form here, as signature where the forms agree.
    assert_eq!(incoming((0, &messages[0]), attest::Class::Answer), Err(Reason::MALFORMED));
}
