//! Who has forgotten listens for one whole epoch; who hears itself speak of what it cannot have said stops.

use alloy_primitives::B256;

use super::*;
use crate::term::Member;
use crate::typed::{MemberKey, Phase};

const START: u64 = 1_000_000;
const EPOCH: u64 = 15_000;
const DELTA: u64 = 500;

fn key() -> MemberKey {
    MemberKey::from_bytes(&[7; 32]).expect("a key")
}

/// Genesis at `START`.
fn term() -> Term {
    let scope = Scope { chain_id: 1, registry: Address::ZERO, committee: 1, term: 1, config_digest: B256::ZERO };
    let member = |address| Member { address, peer_key: [0; 32], dkg_key: [0; 32] };
    let members = vec![member(key().address()), member(Address::repeat_byte(9))];
    Term { scope, members, book_root: B256::ZERO, epoch_ms: EPOCH, slot_ms: 1_000, genesis_ms: Some(START) }
}

fn guard(forgotten: bool, now: u64) -> Guard {
    Guard::new(&term(), 0, DELTA, Floor::default(), forgotten, now)
}

/// A vote about an epoch's report, signed by a key in the name of member 0.
fn vote(signer: &MemberKey, epoch: u64) -> Statement {
    let instance = InstanceId::new(Kind::Report, 0, epoch);
    Statement::sign(&term().scope, signer, 0, instance, Phase::Commit, 1, B256::repeat_byte(3))
}

#[test]
fn an_intact_memory_does_not_wait() {
    let mut guard = guard(false, START + 40_000);
    assert_eq!(guard.floor(), Floor::default());
    assert_eq!((guard.listens_until(&term()), guard.settle(&term(), Some(1), 0, u64::MAX)), (None, None));
}

#[test]
fn a_lost_memory_listens_for_one_whole_epoch() {
    // In the middle of epoch 2: epoch 3 is the first that begins afterwards, observed at its end and δ.
    let mut guard = guard(true, START + 2 * EPOCH + 7_000);
    seen(&mut guard, [2, 3]);
    let until = START + 4 * EPOCH + DELTA;
    assert_eq!((guard.floor(), guard.listens_until(&term())), (Floor::SILENT, Some(until)));
    assert_eq!(guard.settle(&term(), Some(1), 4, until - 1), None);
    let floor = guard.settle(&term(), Some(1), 4, until).expect("it is time");
    assert_eq!(floor, Floor { reports: 3, batches: 5, once_said: true, refreshes: floor.refreshes });
    let report = |epoch| InstanceId::new(Kind::Report, 0, epoch);
    assert!(!guard.floor().allows(&report(2)) && guard.floor().allows(&report(3)));
    let once = [Kind::Dkg, Kind::Confirmation, Kind::Rotation].map(|kind| InstanceId::new(kind, 0, 0));
    assert!(once.iter().all(|instance| !guard.floor().allows(instance)));
    // Refreshes are numbered by their time: those after the start may be joined, those before may be forgotten ones.
    assert_eq!(floor.refreshes, (START + 2 * EPOCH + 7_000) / 1_000 + 11);
    for kind in [Kind::Refresh, Kind::Dkg, Kind::Confirmation] {
        let allowed = |number| guard.floor().allows(&InstanceId::new(kind, 0, number));
        assert!(allowed(floor.refreshes) && !allowed(floor.refreshes - 1), "{kind:?}");
    }
    assert_eq!(guard.settle(&term(), Some(1), 4, until), None, "told once");
}

#[test]
fn what_is_on_the_chain_or_was_heard_raises_the_floor() {
    let now = START + 2 * EPOCH + 7_000;
    let mut posted = guard(true, now);
    seen(&mut posted, [2, 3]);
    assert_eq!(posted.settle(&term(), Some(8), 0, u64::MAX).map(|floor| floor.reports), Some(9));

    // A clock that was wrong once: spoken of epoch 1, long before this start; not above what the clock gives anyway.
    let mut heard = guard(true, now);
    seen(&mut heard, [2, 3]);
    let said = Message::Vote(vote(&key(), 1));
    assert_eq!(heard.hear(&term(), &said, now, |_| false), Some(Finding::Forgotten(vote(&key(), 1).instance)));
    assert_eq!(heard.settle(&term(), None, 0, u64::MAX).map(|floor| floor.reports), Some(3));
}

#[test]
fn a_second_process_with_the_key_is_noticed_by_whoever_listens() {
    let now = START + 2 * EPOCH + 7_000;
    for forgotten in [true, false] {
        let mut guard = guard(forgotten, now);
        // Epoch 2 ended after the start: this process did not say that.
        let others = [Message::Vote(vote(&key(), 2)), decided(vote(&key(), 2))];
        for message in others {
            let found = guard.hear(&term(), &message, now, |_| false);
            assert_eq!(found, Some(Finding::Doppelganger(InstanceId::new(Kind::Report, 0, 2))));
        }
        assert_eq!(guard.hear(&term(), &Message::Vote(vote(&key(), 2)), now, |_| true), None, "it said that itself");
    }
}

#[test]
fn nobody_else_can_pretend() {
    let now = START + 2 * EPOCH + 7_000;
    let stranger = MemberKey::from_bytes(&[8; 32]).expect("a key");
    let mut guard = guard(false, now);
    assert_eq!(guard.hear(&term(), &Message::Vote(vote(&stranger, 2)), now, |_| false), None);
    let other = Statement { member: 1, ..vote(&key(), 2) };
    assert_eq!(guard.hear(&term(), &Message::Vote(other), now, |_| false), None);
    assert_eq!(guard.floor(), Floor::default());
}

#[test]
fn a_journal_that_seemed_whole_and_is_not_begins_to_listen() {
    // A whole machine put back from an image: nothing beside the network knows.
    let now = START + 4 * EPOCH + 7_000;
    let mut guard = guard(false, now);
    let found = guard.hear(&term(), &Message::Vote(vote(&key(), 3)), now + 10, |_| false);
    assert_eq!(found, Some(Finding::Forgotten(InstanceId::new(Kind::Report, 0, 3))));
    assert_eq!(guard.floor(), Floor::SILENT);
    seen(&mut guard, [4, 5]);
    assert_eq!(guard.settle(&term(), None, 0, START + 6 * EPOCH + DELTA).map(|floor| floor.reports), Some(5));
}

#[test]
fn silence_alone_proves_nothing() {
    // The network may bring everything to the twin, and nothing here.
    let mut guard = guard(true, START + 2 * EPOCH + 7_000);
    assert_eq!(guard.settle(&term(), Some(50), 0, START + 100 * EPOCH), None);
    // Reports of what ended before the start tell nothing of a twin that runs now; one alone may have left it out.
    seen(&mut guard, [0, 1, 1, 2]);
    assert_eq!(guard.settle(&term(), Some(50), 0, START + 100 * EPOCH), None);
    seen(&mut guard, [3]);
    assert_eq!(guard.settle(&term(), Some(50), 0, START + 100 * EPOCH).map(|floor| floor.reports), Some(51));
}

#[test]
fn before_genesis_it_only_listens_and_leaves_the_ceremony_to_others() {
    let mut early = term();
    early.genesis_ms = None;
    let mut guard = guard(true, 500);
    assert_eq!((guard.listens_until(&early), guard.settle(&early, None, 0, u64::MAX)), (None, None));
    // Once the term runs, the epochs of it do not count as spoken of.
    seen(&mut guard, [0, 1]);
    let floor = guard.settle(&term(), None, 0, START + 2 * EPOCH + DELTA).expect("time");
    assert!(!floor.allows(&InstanceId::new(Kind::Dkg, 0, 0)) && floor.allows(&InstanceId::new(Kind::Report, 0, 1)));
}

/// Reports certified without this member.
fn seen<const N: usize>(guard: &mut Guard, epochs: [u64; N]) {
    epochs.into_iter().for_each(|epoch| guard.absent(&term(), epoch));
}

fn decided(commit: Statement) -> Message {
    Message::Decided(crate::wire::Decided { content: b"value".to_vec().into(), commits: vec![commit] })
}

#[test]
fn a_silenced_agreement_says_nothing_new_and_repeats_what_it_said() {
    use crate::qbft::{Action, Config, Qbft};
    let config = Config {
        scope: term().scope,
        members: term().addresses(),
        instance: InstanceId::new(Kind::Report, 0, 1),
        me: 0,
        leaders: vec![0],
        base_timeout_ms: 1_000,
    };
    let said = |actions: &[Action]| actions.iter().any(|a| matches!(a, Action::Persist(_) | Action::Broadcast(_)));
    let life = |silent: bool| {
        let mut qbft = Qbft::new(config.clone(), std::sync::Arc::new(key()));
        qbft.silence(silent);
        let mut actions = qbft.start(0);
        actions.extend(qbft.set_candidate(0, B256::repeat_byte(1), b"value".to_vec()));
        actions.extend(qbft.verdict(0, B256::repeat_byte(1), true));
        (0..20).for_each(|second| actions.extend(qbft.on_tick(second * 1_000)));
        (qbft, actions)
    };
    assert!(said(&life(false).1) && !said(&life(true).1));
    // Silenced later: the proposal that was made is said again after a restart, and nothing beside it.
    let records = life(false).1.into_iter().filter_map(|action| match action {
        Action::Persist(record) => Some(record),
        _ => None,
    });
    let records: Vec<_> = records.take(1).collect();
    let mut again = Qbft::restore(config.clone(), std::sync::Arc::new(key()), &records);
    again.silence(true);
    let repeated = again.start(0);
    assert!(repeated.iter().any(|action| matches!(action, Action::Broadcast(Message::Proposal(_)))));
    assert!(!repeated.iter().any(|action| matches!(action, Action::Persist(_))));
}

#[test]
fn one_message_costs_a_bounded_number_of_looks_and_signature_checks() {
    // A liar fills one message (4 MiB hold 36,000 statements) with "votes" in this member's name, each a little different.
    let stranger = MemberKey::from_bytes(&[8; 32]).expect("a key");
    let forged = vote(&stranger, 5);
    let commits = (0..10_000).map(|view| Statement { view, ..forged.clone() }).collect();
    let message = Message::Decided(crate::wire::Decided { commits, content: vec![].into() });
    let (mut guard, mut looks) = (guard(false, START), 0);
    let finding = guard.hear(&term(), &message, START + 1, |_| {
        looks += 1;
        looks > 500 // the test ends before its patience does
    });
    assert_eq!(finding, None);
    assert!(looks <= crate::limits::MEMBERS_MAX, "{looks} looks into the store, and as many signatures recovered");
}
