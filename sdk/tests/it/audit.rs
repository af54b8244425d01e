//! Archives that hold, and every way in which one of their epochs may not.

use oracle_core::archive::{Bundle, ReplayError};
use sdk::audit::{Audit, AuditError, Epoch, Fault, Span};

use crate::support::{Dir, POLICY, World, archived, book_text, chain, chain_log, store};

fn audit(world: &World) -> Audit {
    Audit::new(chain(), 0, chain_log(&world.chain).as_bytes(), &[book_text(POLICY, &[])]).unwrap()
}

fn run(world: &World, dir: &Dir) -> Vec<Epoch> {
    audit(world).run(dir.path(), Span::default(), |_| ()).unwrap()
}

/// The epochs that do not hold, with what is said of each.
fn faults(epochs: &[Epoch]) -> Vec<(u64, String)> {
    epochs.iter().filter_map(|one| Some((one.epoch, one.found.as_ref().err()?.to_string()))).collect()
}

#[test]
fn an_archive_replays_to_what_the_chain_settled() {
    let (world, bundles) = archived(3, &[0, 1, 2]);
    let dir = Dir::new("holds");
    store(dir.path(), &bundles);
    std::fs::write(dir.path().join("notes.txt"), "passed over").unwrap();
    let epochs = run(&world, &dir);
    assert_eq!(faults(&epochs), []);
    let history = audit(&world);
    for (number, epoch) in (0u64..).zip(&epochs) {
        let proven = epoch.found.as_ref().unwrap();
        let posted = history.history().registry().posted()[&(1, 0, number)];
        assert_eq!((epoch.epoch, proven.digest, proven.block), (number, posted.digest, Some(posted.block)));
        assert_eq!(proven.count(0) + proven.count(1) + proven.count(2), proven.verdicts.len());
        assert!(proven.evidence > 10 && proven.count(1) > 10 && proven.count(2) > 10 && !proven.from_chain);
        assert!(proven.beacons >= 13 && proven.leases == 6, "{proven:?}");
    }
}

#[test]
fn a_tampered_bundle_is_named_and_spoils_no_other_epoch() {
    let (world, bundles) = archived(4, &[0, 1, 2, 3]);
    let dir = Dir::new("tampered");
    let mut bent = bundles.clone();
    let mut bundle = Bundle::decode(&bundles[2]).unwrap();
    *bundle.content.iter_mut().find(|one| one.class == 4).unwrap().bytes.last_mut().unwrap() ^= 1;
    bent[2] = bundle.encode();
    store(dir.path(), &bent);
    let epochs = run(&world, &dir);
    assert_eq!(faults(&epochs), [(2, "report: 1 pieces of content are missing".into())]);
    assert!(epochs[3].found.as_ref().unwrap().from_chain);
    // Any single flipped bit, wherever it falls, is found in its own epoch.
    for place in [10, bundles[1].len() / 3, bundles[1].len() / 2, bundles[1].len() - 40] {
        let mut flipped = bundles.clone();
        flipped[1][place] ^= 0x10;
        store(dir.path(), &flipped);
        let named: Vec<u64> = faults(&run(&world, &dir)).iter().map(|fault| fault.0).collect();
        assert_eq!(named, [1], "byte {place}");
    }
}

#[test]
fn a_consistent_lie_about_the_past_is_found() {
    // Counters carried into epoch 2 are raised; nothing else in the bundle is touched.
    let (world, bundles) = archived(3, &[0, 1, 2]);
    let mut bundle = Bundle::decode(&bundles[2]).unwrap();
    bundle.state.leases[1].good += 100;
    let linked = audit(&world).replay(&bundle.encode(), 2, None).map(drop);
    assert!(matches!(linked, Err(Fault::Replay(ReplayError::NotLinked(2)))), "{linked:?}");
    let dir = Dir::new("past");
    let bent = [bundles[0].clone(), bundles[1].clone(), bundle.encode()];
    store(dir.path(), &bent);
    let [(2, said)] = &faults(&run(&world, &dir))[..] else { panic!("not epoch 2 alone") };
    assert!(said.contains("does not start from the state"), "{said}");
}

#[test]
fn what_is_missing_misplaced_or_not_settled_is_named() {
    let (world, bundles) = archived(4, &[0, 1, 2]);
    let dir = Dir::new("missing");
    store(dir.path(), &bundles[..3]);
    std::fs::remove_file(dir.path().join("epoch-000001.bundle")).unwrap();
    assert_eq!(faults(&run(&world, &dir)), [(1, "the archive has no epoch-000001.bundle".into())]);
    std::fs::write(dir.path().join("epoch-000001.bundle"), &bundles[0]).unwrap();
    assert_eq!(faults(&run(&world, &dir)), [(1, "the bundle is of stream 0, epoch 0".into())]);
    store(dir.path(), &bundles);
    let [(3, said)] = &faults(&run(&world, &dir))[..] else { panic!("not epoch 3 alone") };
    assert!(said.contains("settles neither it"), "{said}");
    // Settled by the chain, not in the archive: named when it was asked for.
    let dir = Dir::new("withheld");
    store(dir.path(), &bundles[..2]);
    assert_eq!(faults(&run(&world, &dir)), []);
    let all = Span { from: Some(0), to: Some(2) };
    let epochs = audit(&world).run(dir.path(), all, |_| ()).unwrap();
    assert_eq!(faults(&epochs), [(2, "the archive has no epoch-000002.bundle".into())]);
    std::fs::remove_file(dir.path().join("epoch-000000.bundle")).unwrap();
    let epochs = audit(&world).run(dir.path(), all, |_| ()).unwrap();
    assert_eq!(epochs.iter().map(|one| one.found.is_ok()).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn an_invented_disagreement_is_found() {
    let (world, bundles) = archived(1, &[0]);
    let mut bundle = Bundle::decode(&bundles[0]).unwrap();
    assert_eq!(bundle.disagreement.len(), 1);
    let told = audit(&world).replay(&bundles[0], 0, None).unwrap();
    assert_eq!((told.0.observations, told.0.left_out), (3, 1));
    bundle.disagreement[0].value.0[0] ^= 1;
    let found = audit(&world).replay(&bundle.encode(), 0, None).map(drop);
    assert!(
        matches!(&found, Err(Fault::Replay(ReplayError::Report(error))) if error.to_string().contains("member 3")),
        "{found:?}"
    );
}

#[test]
fn a_gap_on_the_hub_is_settled_by_the_next_epoch_built_on_it() {
    let (world, bundles) = archived(3, &[0, 2]);
    let dir = Dir::new("gap");
    store(dir.path(), &bundles);
    let epochs = run(&world, &dir);
    assert_eq!(faults(&epochs), []);
    assert_eq!(epochs[1].found.as_ref().unwrap().block, None);
    // Alone, epoch 2 has nothing on chain to start from.
    let alone = audit(&world).run(dir.path(), Span { from: Some(2), to: Some(2) }, |_| ()).unwrap();
    assert_eq!(faults(&alone).len(), 1);
    assert!(matches!(alone[0].found, Err(Fault::NoStart(1))));
}

#[test]
fn a_chain_that_settled_something_else_is_named() {
    let (mut world, bundles) = archived(2, &[0, 1]);
    let dir = Dir::new("settled");
    store(dir.path(), &bundles);
    let place = |world: &mut World, byte: usize| world.chain.last_mut().unwrap().1[0].data[byte] ^= 1;
    place(&mut world, 3);
    let [(1, said)] = &faults(&run(&world, &dir))[..] else { panic!("not epoch 1 alone") };
    assert!(said.contains("the chain settled 0x"), "{said}");
    place(&mut world, 3);
    place(&mut world, 40);
    assert_eq!(faults(&run(&world, &dir)), [(1, "the chain settled another leaves root under the same digest".into())]);
    place(&mut world, 40);
    place(&mut world, 70);
    assert_eq!(faults(&run(&world, &dir)), [(1, "the chain settled another state root under the same digest".into())]);
}

#[test]
fn what_cannot_be_audited_says_so_before_any_epoch() {
    let (world, _) = archived(1, &[0]);
    let log = chain_log(&world.chain);
    let begin =
        |log: &str, policy: &str| Audit::new(chain(), 0, log.as_bytes(), &[book_text(policy, &[])]).unwrap_err();
    let cut = log.replacen("\"logs\"", "\"log\"", 2).replacen("\"log\"", "\"logs\"", 1);
    assert!(begin(&cut, POLICY).to_string().starts_with("chain log, line 2: "), "{}", begin(&cut, POLICY));
    let first = log.lines().next().unwrap();
    assert!(matches!(begin(first, POLICY), AuditError::Chain(what) if what.contains("not activated")));
    assert!(matches!(begin("", POLICY), AuditError::Chain(what) if what.contains("not configured")));
    assert!(matches!(begin(&log, &POLICY.replace(":5000", ":5001")), AuditError::Book(_)));
    assert!(matches!(begin(&log, "{}"), AuditError::Book(_)));
    let dir = Dir::new("empty");
    let found = audit(&world).run(dir.path(), Span::default(), |_| ()).unwrap_err();
    assert!(matches!(found, AuditError::Archive(_)));
}
