//! One process serves many streams: four oracles report three streams under one key, and what happens to one stream (a
//! crash in its middle, silence, a flood) costs the others nothing. Journals are written and read back as the node does.
//! Leaves out: devices and leases of several streams (`tests/sim`, `tests/epoch`), the hand-over (`tests/rotation`).

#[allow(dead_code)]
#[path = "../rotation/given.rs"]
mod given;
#[allow(dead_code)]
#[path = "../rotation/process.rs"]
mod process;
#[path = "../rotation/shelf.rs"]
mod shelf;
mod world;

use oracle_core::report::EpochSet;
use oracle_core::state::State;
use oracle_core::typed::{Kind, Phase};
use oracle_core::wire::{Certified, InstanceId, Message, Proposal, Statement};
use sha2::{Digest, Sha256};

use given::{EPOCH_MS, STREAMS, member_key};
use world::{MEMBERS, TERM, World};

#[test]
fn every_stream_is_certified_every_epoch_and_a_restart_loses_nothing() {
    let mut world = World::new();
    world.until("two epochs of every stream", |w| STREAMS.iter().all(|stream| w.all_certified(*stream, 1)));
    // Everybody dies at once in the middle of an epoch's agreement, one after another of them in the next ones.
    let opens = world.genesis.expect("active") + 4 * EPOCH_MS + 200;
    let wait = opens.saturating_sub(world.now);
    (0..MEMBERS).for_each(|index| world.dies(index, wait + 30 + index as u64 * 11, 700));
    (0..MEMBERS).for_each(|index| world.dies(index, wait + EPOCH_MS * (index as u64 + 1) + 40, 900));
    world.until("ten epochs of every stream", |w| STREAMS.iter().all(|stream| w.all_certified(*stream, 9)));
    assert!(world.deaths >= 2 * MEMBERS as u64);
    assert_eq!(world.incidents, [""; 0]);
    for stream in STREAMS {
        world.one_chain(stream);
    }
    // The journal has a record of its own for what was signed in each stream: sign-once holds for each by itself.
    let key = |stream: u32, epoch: u64| {
        [b"sign/".as_slice(), world.term.scope.instance(Kind::Report, stream, epoch).as_slice()].concat()
    };
    for process in &world.processes {
        let signed = |stream| (0..10).filter(|epoch| process.disk.contains_key(&key(stream, *epoch))).count();
        let by_stream = STREAMS.map(signed);
        assert!(by_stream.iter().all(|count| *count >= 9), "{by_stream:?}");
    }
    assert!(world.notes.is_empty(), "{:?}", world.notes);
}

#[test]
fn a_stream_that_stands_still_holds_up_no_other() {
    let mut world = World::new();
    world.until("an epoch of every stream", |w| STREAMS.iter().all(|stream| w.all_certified(*stream, 0)));
    // Two of four see nothing of stream 1: it has no n−f observations.
    world.blind = vec![(0, 1), (2, 1)];
    let since = world.last_certified(1);
    world.until("five more epochs of the others", |w| [0, 7].iter().all(|stream| w.all_certified(*stream, 5)));
    assert!(world.last_certified(1) <= since + 1, "stream 1 stands still");
    let late = world.latest_opening(5);
    assert!(world.now <= late + EPOCH_MS, "the others are on time");
    let status = world.processes[1].seats[&TERM].status(world.now);
    assert_eq!(status.slowest().map(|(stream, _)| stream), Some(1), "{status:?}");
    // What stood still goes on where it stood.
    world.blind.clear();
    world.restart_all();
    world.until("stream 1 has caught up", |w| w.all_certified(1, 6));
    world.one_chain(1);
    assert_eq!(world.incidents, [""; 0]);
}

#[test]
fn a_stream_nobody_serves_is_counted_and_a_flood_on_one_starves_no_other() {
    let mut world = World::new();
    world.until("an epoch of every stream", |w| STREAMS.iter().all(|stream| w.all_certified(*stream, 0)));
    let scope = world.term.scope;
    let vote = |stream: u32, epoch: u64, view: u32| {
        let instance = InstanceId::new(Kind::Report, stream, epoch);
        let value = alloy_primitives::B256::with_last_byte(view as u8);
        let statement = Statement::sign(&scope, &member_key(3), 3, instance, Phase::Prepare, view, value);
        Message::Vote(statement).encode()
    };
    // Signed by the flooder itself, about epochs that are not reached: whatever can be kept of them is.
    let next = world.last_certified(7) + 1;
    let flood: Vec<Vec<u8>> = (1..400).flat_map(|view| [vote(7, next + 1, view), vote(7, next + 2, view)]).collect();
    let strange: Vec<Vec<u8>> = (1..200).map(|view| vote(99, next, view)).collect();
    let before = world.processes[0].seats[&TERM].status(world.now).unserved;
    for index in 0..3 {
        flood.iter().chain(&strange).for_each(|bytes| world.hand_over(index, 3, bytes.clone()));
    }
    let status = world.processes[0].seats[&TERM].status(world.now);
    assert_eq!(status.unserved - before, strange.len() as u64, "each one is counted");
    assert!(!status.streams.contains_key(&99));
    world.until("four more epochs of every stream", |w| STREAMS.iter().all(|stream| w.all_certified(*stream, 5)));
    assert!(world.now <= world.latest_opening(5) + EPOCH_MS, "all of them on time");
    assert_eq!(world.incidents, [""; 0]);
}

#[test]
fn a_true_certificate_under_another_epochs_name_raises_no_alarm() {
    let mut world = World::new();
    world.until("an epoch of every stream", |w| STREAMS.iter().all(|stream| w.all_certified(*stream, 0)));
    // What everybody has heard: the certificate of epoch 0. It says nothing of the epoch that it was made for.
    let instance = |epoch| InstanceId::new(Kind::Report, 0, epoch);
    let hash = instance(0).hash(&world.term.scope).expect("a kind");
    let kept = world.processes[3].disk.get([b"cert/".as_slice(), hash.as_slice()].concat().as_slice()).expect("kept");
    let old: Certified = oracle_core::wire::decode(kept, 1_024).expect("a certificate");
    let next = world.last_certified(0) + 1;
    let renamed = Message::Certified(Certified { instance: instance(next), ..old }).encode();
    (0..3).for_each(|index| world.hand_over(index, 3, renamed.clone()));
    world.until("two more epochs", |w| w.all_certified(0, next + 1));
    assert!(world.notes.is_empty(), "{:?}", world.notes);
}

#[test]
fn a_contradiction_is_written_down_once() {
    let mut world = World::new();
    world.until("an epoch of every stream", |w| STREAMS.iter().all(|stream| w.all_certified(*stream, 0)));
    let next = world.last_certified(0) + 1;
    world.until("member 3 is heard of the next epoch", |w| {
        let status = w.processes[0].seats[&TERM].status(w.now);
        status.streams[&0].next_epoch == next && status.streams[&0].heard.contains(&3)
    });
    let instance = InstanceId::new(Kind::Report, 0, next);
    for n in 0..50 {
        let value = alloy_primitives::B256::with_last_byte(n);
        let said = Statement::sign(&world.term.scope, &member_key(3), 3, instance, Phase::Observation, 0, value);
        for _ in 0..2 {
            world.hand_over(0, 3, Message::Observation(said.clone(), vec![].into()).encode());
        }
    }
    // Each one is a synchronous write and a line in the log.
    let written = world.notes.get("fault_proof").map_or(0, Vec::len);
    assert_eq!(written, 1, "one liar's hundred contradictions about one step");
}

#[test]
fn a_liar_that_lists_all_it_can_in_every_stream_is_held_within_its_budget_and_leaves_nothing_behind() {
    let mut world = World::new();
    world.floods = true;
    world.until("six epochs of every stream", |w| STREAMS.iter().all(|stream| w.all_certified(*stream, 5)));
    assert!(world.now <= world.latest_opening(5) + EPOCH_MS, "all of them on time");
    assert_eq!(world.incidents, [""; 0]);
    assert!(world.notes.keys().all(|code| *code == "over_budget"), "{:?}", world.notes);
    assert!(world.notes["over_budget"].len() >= 3 * 3 * 3, "three honest members, three streams, three epochs");
    // Three devices of a stream without a lease: 12 KiB an author, in the epoch that is agreed on and, where the decided S
    // names it, in those before it. The liar lists 900 kB, in each of the streams.
    let budget = 3 * oracle_core::limits::DEVICE_BYTES_MIN;
    assert!(world.peak > budget, "the liar was heard: {}", world.peak);
    assert!(world.peak < 4 * budget, "{} bytes were held for one stream", world.peak);
    for epoch in 0..6 {
        let took_part = STREAMS.map(|stream| world.took_part(stream, epoch, 3));
        assert_eq!(took_part, [epoch % 2 == 1; 3], "epoch {epoch}: within its budget it counts, above it does not");
    }
    for process in &world.processes[..3] {
        let longest = process.shelf.contents.values().map(|content| content.bytes.len()).max();
        assert!(longest.is_some_and(|bytes| bytes < budget), "{longest:?}: what no decided S names is on no shelf");
        let held = process.seats[&TERM].held_bytes();
        assert!(held.values().all(|bytes| *bytes < 20 * budget), "{held:?}: nor in memory");
    }
}

/// Who leads the first view of an epoch (docs/protocol.md §7).
fn leader(seed: [u8; 32], epoch: u64) -> u32 {
    let place = |member: &u32| -> [u8; 32] {
        let hash = Sha256::new_with_prefix(seed).chain_update(epoch.to_be_bytes());
        hash.chain_update(member.to_be_bytes()).finalize().into()
    };
    (0..4).min_by_key(place).expect("a member")
}

#[test]
fn what_a_lost_proposal_needs_is_not_asked_for_after_the_decision() {
    let mut world = World::new();
    world.until("an epoch of every stream", |w| STREAMS.iter().all(|stream| w.all_certified(*stream, 0)));
    let mut epoch = 0;
    // An epoch whose first leader is member 3, the liar.
    while epoch == 0 {
        let next = world.last_certified(0) + 1;
        let hash = InstanceId::new(Kind::Report, 0, next).hash(&world.term.scope).expect("a kind");
        let key = [b"state/".as_slice(), hash.as_slice()].concat();
        world.until("the state before it", |w| w.processes[0].disk.get(&key).is_some_and(|bytes| !bytes.is_empty()));
        let state: State = oracle_core::wire::decode(&world.processes[0].disk[&key], 1 << 20).expect("a state");
        match leader(*state.seed, next) {
            3 => epoch = next,
            _ => world.until("the next epoch", |w| w.all_certified(0, next)),
        }
    }
    // Its proposal rests on an observation of its own whose body nobody has.
    world.until("two observations", |w| (0..2).all(|member| w.observed.contains_key(&(0, epoch, member))));
    let instance = InstanceId::new(Kind::Report, 0, epoch);
    let (scope, key) = (&world.term.scope, member_key(3));
    let absent = alloy_primitives::B256::repeat_byte(0xab);
    let own = Statement::sign(scope, &key, 3, instance, Phase::Observation, 0, absent);
    let observations = (0..2).map(|member| world.observed[&(0, epoch, member)].clone()).chain([own]).collect();
    let set = EpochSet { version: 2, observations, beacons: vec![] };
    let statement = Statement::sign(scope, &key, 3, instance, Phase::Proposal, 1, alloy_primitives::B256::ZERO);
    let proposal = Proposal { statement, content: set.encode().into(), justification: vec![] };
    let bytes = Message::Proposal(proposal).encode();
    (0..3).for_each(|index| world.hand_over(index, 3, bytes.clone()));
    world.until("the epoch is certified without it", |w| w.all_certified(0, epoch));
    let over = world.now + 1_000;
    assert!(world.asked.contains_key(&absent.0), "it was asked for");
    world.until("two more epochs", |w| w.all_certified(0, epoch + 2));
    let last = world.asked[&absent.0];
    assert!(last <= over, "still asked for {} ms after the decision, of everybody", last - (over - 1_000));
}

#[test]
fn what_one_member_asks_of_old_epochs_is_answered_within_bounds() {
    let mut world = World::new();
    world.until("twelve epochs of every stream", |w| STREAMS.iter().all(|stream| w.all_certified(*stream, 11)));
    let asks = STREAMS.into_iter().flat_map(|stream| (0..10).map(move |epoch| (stream, epoch)));
    let asks = asks.map(|(stream, epoch)| Message::Status(InstanceId::new(Kind::Report, stream, epoch)).encode());
    let (before, mut heard) = (world.said, 0);
    for bytes in asks {
        heard += bytes.len();
        world.hand_over(0, 3, bytes);
    }
    let (count, bytes) = (world.said.0 - before.0, world.said.1 - before.1);
    // Each answer goes to everybody, and everybody answers.
    assert!(count <= 32, "30 questions of {heard} bytes: {count} broadcasts of {bytes} bytes by one member at once");
}
