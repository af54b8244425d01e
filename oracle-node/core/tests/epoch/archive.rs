//! Archive and replay: what a node archives, an auditor replays to the same digest from the chain log alone.

use std::collections::BTreeSet;

use oracle_core::archive::{Bundle, ReplayError, replay};
use oracle_core::registry::{History, events};
use oracle_core::report::{self, ReportError};
use oracle_core::state::State;

use crate::world::{POLICY, World, block, book, contracts, log};

/// Runs epochs, archives each, and posts the first two reports on the chain.
fn archived(epochs: u64) -> (World, Vec<Vec<u8>>) {
    let mut world = World::new();
    let mut bundles = Vec::new();
    for epoch in 0..epochs {
        world.all_answer(epoch, &[1].into());
        let mut observed = world.observe(epoch);
        let left_out = observed.statements.pop().unwrap();
        observed.bodies.remove(&3);
        let set = world.proposal(epoch, &observed);
        let outcome = world.with_input(epoch, &observed, &set, report::compute).unwrap();
        let digest = report::header_digest(&world.term, &outcome.header);
        let certificate = world.certify(&digest);
        let bundle = world.with_input(epoch, &observed, &set, |input| {
            Bundle::of(input, &outcome, &certificate, vec![left_out]).encode()
        });
        bundles.push(bundle);
        if epoch < 2 {
            let posted = events::ReportPosted {
                committee: 1,
                stream: 0,
                epoch,
                headerDigest: digest,
                leavesRoot: outcome.header.leavesRoot,
                stateRoot: outcome.header.stateRoot,
                activeAt: 0,
            };
            let number = world.chain.len() as u64 + 1;
            let at = block(number, i64::try_from(number).unwrap() - 9);
            let logs = vec![log(contracts().hub, &posted)];
            world.history.apply(at, &logs);
            world.chain.push((at, logs));
        }
        world.state = outcome.state;
    }
    (world, bundles)
}

/// An auditor's own fold of the chain log.
fn audit(world: &World) -> History {
    let mut history = History::new(contracts(), 31_337, 1, 1, 4_000);
    for (block, logs) in &world.chain {
        history.apply(*block, logs);
    }
    history
}

#[test]
fn every_epoch_replays_in_a_chain_of_states() {
    let (world, bundles) = archived(3);
    let history = audit(&world);
    let mut previous: Option<State> = None;
    for (epoch, bundle) in bundles.iter().enumerate() {
        let replayed = replay(bundle, &history, &book(POLICY, &[]), previous.as_ref()).unwrap();
        assert_eq!((replayed.epoch, replayed.settled), (epoch as u64, epoch < 2));
        assert!(replayed.evidence > 10);
        assert_eq!(Bundle::decode(bundle).unwrap().encode(), *bundle);
        previous = Some(replayed.outcome.state);
    }
    assert_eq!(previous.as_ref(), Some(&world.state));
    let skipped = replay(&bundles[2], &history, &book(POLICY, &[]), None);
    assert_eq!(skipped, Err(ReplayError::NotLinked(2)));
}

#[test]
fn tampering_is_found_and_named() {
    let (world, bundles) = archived(1);
    let history = audit(&world);
    let try_with = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = Bundle::decode(&bundles[0]).unwrap();
        change(&mut bundle);
        replay(&bundle.encode(), &history, &book(POLICY, &[]), None).unwrap_err()
    };
    assert_eq!(try_with(&|b| b.certificate = [0xc0; 48].into()), ReplayError::Certificate(0));
    assert_eq!(try_with(&|b| b.state.next_epoch = 1), ReplayError::NotLinked(0));
    let other_root = try_with(&|b| {
        let mut header = b.header().unwrap();
        header.leavesRoot = alloy_primitives::B256::ZERO;
        b.header = alloy_sol_types::SolValue::abi_encode(&header).into();
    });
    assert_eq!(other_root, ReplayError::Differs { epoch: 0, field: "leavesRoot" });
    assert!(matches!(
        try_with(&|b| b.content.truncate(b.content.len() - 1)),
        ReplayError::Report(ReportError::Missing(_))
    ));
    let spoiled = try_with(&|b| {
        let evidence = b.content.iter_mut().find(|one| one.class == 4).unwrap();
        *evidence.bytes.last_mut().unwrap() ^= 1;
    });
    assert!(matches!(spoiled, ReplayError::Report(ReportError::Missing(ids)) if ids.len() == 1));
    assert!(matches!(try_with(&|b| b.observations.truncate(2)), ReplayError::Bundle(_)));
    assert!(matches!(try_with(&|b| b.observations[0].signature.0[0] ^= 1), ReplayError::Report(_)));
    let forgeries: [&dyn Fn(&mut Bundle); 3] =
        [&|b| b.disagreement[0].value = [1; 32].into(), &|b| b.disagreement[0] = b.observations[0].clone(), &|b| {
            b.disagreement[0].phase = 3
        }];
    for forge in forgeries {
        assert!(matches!(try_with(forge), ReplayError::Report(ReportError::Invalid(_))));
    }
    let other_policy = POLICY.replace(":5000", ":5001");
    let other = replay(&bundles[0], &history, &book(&other_policy, &[]), None);
    assert!(matches!(other, Err(ReplayError::Book(_))));
    let older = try_with(&|b| b.version = 1);
    assert!(older.to_string().contains("version 1; this version reads 2"), "{older}");
    let mut trailing = bundles[0].clone();
    trailing.push(0);
    assert!(matches!(replay(&trailing, &history, &book(POLICY, &[]), None), Err(ReplayError::Bundle(_))));
}

#[test]
fn a_chain_that_settled_something_else_is_named() {
    let (mut world, bundles) = archived(1);
    for (_, logs) in &mut world.chain {
        for log in logs.iter_mut().filter(|log| log.address == contracts().hub) {
            log.data[3] ^= 1;
        }
    }
    let found = replay(&bundles[0], &audit(&world), &book(POLICY, &[]), None);
    assert!(matches!(found, Err(ReplayError::Settled { epoch: 0, .. })));
}

#[test]
fn a_bundle_holds_only_what_was_read() {
    let (_, bundles) = archived(1);
    let bundle = Bundle::decode(&bundles[0]).unwrap();
    let ids: BTreeSet<_> = bundle.content.iter().map(|one| *one.id).collect();
    assert_eq!(ids.len(), bundle.content.len());
    assert!(bundle.content.iter().all(|one| one.class == 0 || (3..=7).contains(&one.class)));
    assert_eq!(bundle.disagreement.len(), 1);
}
