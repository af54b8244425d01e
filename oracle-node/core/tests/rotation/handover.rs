//! Rotations in fair and bad weather: one chain of headers, one term per epoch, newcomers that begin by the root.

use oracle_core::handover::base_root;
use oracle_core::report::header_digest;

use crate::given::STREAMS;
use crate::seeds;
use crate::world::{Climate, World};

fn fair() -> Climate {
    Climate {
        old: vec![0, 1, 2, 3],
        new: vec![1, 2, 3, 4],
        loss: 0,
        crashes: 0,
        cut: vec![],
        lost_rotations: 0,
        forced: false,
        liar: false,
        hasty: false,
        epochs: 3,
    }
}

/// Runs the seeds; each must end with one chain of headers across both terms.
fn survive(name: &str, climate: &Climate, runs: u64) -> World {
    let (mut crashes, mut last) = (0, None);
    let seeds = seeds(runs);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut world = World::new(climate.clone(), seed);
        let incidents = world.run();
        let repeat = format!("repeat: PLUMBLINE_SEED={seed} cargo test -p oracle-core --test rotation {name}");
        assert!(incidents.is_empty(), "{name}: {incidents:?}\n{repeat}");
        let broken = one_chain(&world);
        assert!(broken.is_none(), "{name}: {broken:?}\n{repeat}");
        crashes += world.crashes;
        last = Some(world);
    }
    println!("{name}: {count} seeds, {crashes} crashes");
    last.expect("a seed")
}

/// In every stream each certified header names the one before it, and its term is the one in force; what is wrong otherwise.
fn one_chain(world: &World) -> Option<String> {
    STREAMS.into_iter().find_map(|stream| one_chain_of(world, stream))
}

fn one_chain_of(world: &World, stream: u32) -> Option<String> {
    let start = world.start.as_ref().expect("a rotation");
    let mut previous = alloy_primitives::B256::ZERO;
    for ((_, epoch), (header, _)) in world.certified.range((stream, 0)..=(stream, u64::MAX)) {
        let skipped = start.forced && *epoch < start.from_epoch && start.base_of(stream) == Some(previous);
        if skipped {
            continue;
        }
        if header.previousHeader != previous {
            return Some(format!("stream {stream}, epoch {epoch} is not built on the header before it"));
        }
        if header.term != if *epoch < start.from_epoch { 1 } else { 2 } {
            return Some(format!("stream {stream}, epoch {epoch} is certified by term {}", header.term));
        }
        previous = header_digest(&world.terms[&header.term], header);
    }
    None
}

#[test]
fn a_fair_hand_over() {
    let world = survive("a_fair_hand_over", &fair(), 1);
    let start = world.start.expect("a rotation");
    // In fair weather the streams move together: the base is their headers of one epoch, or of two that follow each other.
    let digest = |stream, epoch| {
        let (header, _) = world.certified.get(&(stream, epoch))?;
        Some((stream, header_digest(&world.terms[&1], header)))
    };
    let base = (0..start.from_epoch).any(|epoch| {
        (0..1 << STREAMS.len()).any(|ahead| {
            let of = |(place, stream): (usize, u32)| digest(stream, epoch + (ahead >> place & 1));
            STREAMS
                .into_iter()
                .enumerate()
                .map(of)
                .collect::<Option<Vec<_>>>()
                .is_some_and(|b| base_root(&b) == start.base)
        })
    });
    assert!(base, "the base is the root over one header of each stream that the old term certified");
    assert_eq!(world.notes.get("rotation_missed"), None);
    assert_eq!(world.notes.get("term_begins"), Some(&(4 * STREAMS.len() as u64)));
}

#[test]
fn a_hand_over_with_loss_and_crashes() {
    survive("a_hand_over_with_loss_and_crashes", &Climate { loss: 15, crashes: 40, ..fair() }, 3);
}

#[test]
fn a_cut_at_the_hand_over_stops_and_heals() {
    // Two processes of each term are cut off from the rest: no quorum on either side until it heals.
    survive("a_cut_at_the_hand_over_stops_and_heals", &Climate { cut: vec![2, 3], crashes: 20, ..fair() }, 2);
}

#[test]
fn a_rotation_that_misses_its_time_is_tried_again() {
    let world = survive("a_rotation_that_misses_its_time_is_tried_again", &Climate { lost_rotations: 4, ..fair() }, 1);
    assert!(world.notes.get("rotation_missed").is_some_and(|count| *count >= 3), "{:?}", world.notes);
}

#[test]
fn a_leader_that_proposes_the_past_does_not_use_up_the_attempts() {
    // Its plans are decided and signed, and the chain takes none: while it leads each attempt first, 1,024 are gone in
    // minutes, and no rotation to that term is possible any more.
    survive("a_leader_that_proposes_the_past_does_not_use_up_the_attempts", &Climate { hasty: true, ..fair() }, 1);
}

#[test]
fn strangers_take_over_from_the_old_members_alone() {
    // Nobody sits in both terms: the key, the rotation and the state cross between strangers.
    let climate = Climate { new: vec![4, 5, 6, 7], loss: 5, crashes: 20, ..fair() };
    survive("strangers_take_over_from_the_old_members_alone", &climate, 2);
}

#[test]
fn a_committee_grows() {
    survive("a_committee_grows", &Climate { new: vec![0, 1, 2, 3, 4, 5, 6], epochs: 2, ..fair() }, 1);
}

#[test]
fn governance_rotates_when_the_old_quorum_is_dead() {
    // Two of four die with the old term: no certificate of it is possible any more.
    let climate = Climate { new: vec![2, 3, 4, 5], forced: true, ..fair() };
    let world = survive("governance_rotates_when_the_old_quorum_is_dead", &climate, 2);
    let start = world.start.expect("a rotation");
    let skipped = (0..start.from_epoch).filter(|epoch| !world.certified.contains_key(&(7, *epoch))).count();
    assert!(skipped > 0, "epochs between the base and the new term have no report");
}

#[test]
fn one_that_lies_about_the_state_is_not_believed() {
    let climate = Climate { liar: true, new: vec![4, 5, 6, 7], ..fair() };
    let world = survive("one_that_lies_about_the_state_is_not_believed", &climate, 2);
    assert!(world.notes.contains_key("checkpoint_refused"), "{:?}", world.notes);
}
