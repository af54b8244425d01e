//! Small cases of agreement, one rule each; the storm is in `tests/sim`.

use alloy_primitives::keccak256;

use super::*;
use crate::typed::{Kind, round_change_value};

const N: u32 = 4;

fn key(member: u32) -> Arc<MemberKey> {
    Arc::new(MemberKey::from_bytes(&[u8::try_from(member + 1).unwrap(); 32]).unwrap())
}

fn config(me: u32) -> Config {
    Config {
        scope: Scope { chain_id: 1, registry: Address::ZERO, committee: 1, term: 1, config_digest: B256::ZERO },
        members: (0..N).map(|i| key(i).address()).collect(),
        instance: InstanceId::new(Kind::Report, 0, 3),
        me,
        leaders: (0..N).collect(),
        base_timeout_ms: 1_000,
    }
}

fn node(me: u32) -> Qbft {
    let mut qbft = Qbft::new(config(me), key(me));
    assert_eq!(qbft.start(0), []);
    qbft
}

fn say(member: u32, phase: Phase, view: u32, value: B256) -> Statement {
    let config = config(member);
    Statement::sign(&config.scope, &key(member), member, config.instance, phase, view, value)
}

fn vote(member: u32, phase: Phase, view: u32, value: B256) -> Message {
    Message::Vote(say(member, phase, view, value))
}

fn proposal(member: u32, view: u32, content: &[u8], justification: Vec<RoundChange>) -> Message {
    let statement = say(member, Phase::Proposal, view, keccak256(content));
    Message::Proposal(Proposal { statement, content: content.to_vec().into(), justification })
}

fn prepared(view: u32, content: &[u8], members: &[u32]) -> PreparedProof {
    let value = keccak256(content);
    let prepares = members.iter().map(|m| say(*m, Phase::Prepare, view, value)).collect();
    PreparedProof { view, value: wire_hash(value), prepares }
}

fn change(member: u32, view: u32, prepared: Option<PreparedProof>) -> RoundChange {
    let (at, value) = prepared.as_ref().map_or((0, B256::ZERO), |p| (p.view, B256::from(*p.value)));
    let statement = say(member, Phase::RoundChange, view, round_change_value(at, value));
    RoundChange { statement, prepared, content: None }
}

/// Hands a message over as the one who signed it does.
fn hear(node: &mut Qbft, now: u64, message: &Message) -> Vec<Action> {
    let from = match message {
        Message::Proposal(proposal) => proposal.statement.member,
        Message::Vote(vote) => vote.member,
        Message::RoundChange(change) => change.statement.member,
        _ => 0,
    };
    node.on_message(now, from, message)
}

fn votes(actions: &[Action]) -> Vec<(u8, u32)> {
    let vote = |action: &Action| match action {
        Action::Broadcast(Message::Vote(vote)) => Some((vote.phase, vote.view)),
        _ => None,
    };
    actions.iter().filter_map(vote).collect()
}

fn records(actions: &[Action]) -> Vec<Record> {
    let record = |action: &Action| match action {
        Action::Persist(record) => Some(record.clone()),
        _ => None,
    };
    actions.iter().filter_map(record).collect()
}

const PREPARE: u8 = Phase::Prepare as u8;
const COMMIT: u8 = Phase::Commit as u8;

#[test]
fn the_fair_way_and_its_order() {
    let (content, value) = (b"A".as_slice(), keccak256(b"A"));
    let mut node = node(1);
    let asked = hear(&mut node, 1, &proposal(0, 1, content, vec![]));
    assert!(matches!(&asked[..], [Action::Validate { view: 1, leader: 0, .. }]), "{asked:?}");
    let prepare = node.verdict(2, value, true);
    assert!(matches!(&prepare[..], [Action::Persist(_), Action::Broadcast(Message::Vote(_))]), "{prepare:?}");
    assert_eq!(hear(&mut node, 3, &vote(0, Phase::Prepare, 1, value)), []);
    let commit = hear(&mut node, 4, &vote(2, Phase::Prepare, 1, value));
    assert!(matches!(&commit[..], [Action::Persist(_), Action::Persist(_), Action::Broadcast(_)]), "{commit:?}");
    assert_eq!(hear(&mut node, 5, &vote(0, Phase::Commit, 1, value)), []);
    let decided = hear(&mut node, 6, &vote(2, Phase::Commit, 1, value));
    assert!(matches!(&decided[..], [Action::Persist(_), Action::Decided { .. }]), "{decided:?}");
    assert_eq!(node.decided(), Some((value, content)));
    assert_eq!(node.next_wakeup(), None);
}

#[test]
fn one_vote_per_view_and_phase_across_a_restart() {
    let mut first = node(1);
    hear(&mut first, 1, &proposal(0, 1, b"A", vec![]));
    let disk = records(&first.verdict(2, keccak256(b"A"), true));
    let mut again = Qbft::restore(config(1), key(1), &disk);
    assert_eq!(votes(&again.start(10)), [(PREPARE, 1)], "says the same again");
    hear(&mut again, 11, &proposal(0, 1, b"B", vec![]));
    assert_eq!(again.verdict(12, keccak256(b"B"), true), [], "and nothing else");
}

#[test]
fn equivocation_is_proven_once_and_counts_once() {
    let mut node = node(1);
    let (a, b) = (keccak256(b"A"), keccak256(b"B"));
    assert_eq!(hear(&mut node, 1, &vote(2, Phase::Commit, 1, a)), []);
    let actions = hear(&mut node, 2, &vote(2, Phase::Commit, 1, b));
    let [Action::Fault(proof)] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(proof.verify(&config(0).scope, &config(0).members), Ok(2));
    assert_eq!(hear(&mut node, 3, &vote(2, Phase::Commit, 1, b)), [], "accused once");
}

#[test]
fn a_later_proposal_must_carry_the_highest_prepared_value() {
    let reasons = |p: Option<PreparedProof>| vec![change(1, 2, p), change(2, 2, None), change(3, 2, None)];
    let asks = |message: Message| {
        let mut node = node(0);
        let actions = hear(&mut node, 1, &message);
        actions.iter().any(|action| matches!(action, Action::Validate { view: 2, .. }))
    };
    let bound = prepared(1, b"A", &[0, 2, 3]);
    assert!(asks(proposal(1, 2, b"A", reasons(Some(bound.clone())))));
    assert!(!asks(proposal(1, 2, b"B", reasons(Some(bound.clone())))), "another value than the prepared one");
    assert!(asks(proposal(1, 2, b"B", reasons(None))), "nothing was prepared");
    assert!(!asks(proposal(1, 2, b"A", vec![])), "no reason");
    assert!(!asks(proposal(1, 2, b"A", reasons(None)[..2].to_vec())), "too few reasons");
    assert!(!asks(proposal(2, 2, b"B", reasons(None))), "not the leader");
    let twice = vec![change(1, 2, None), change(1, 2, None), change(2, 2, None)];
    assert!(!asks(proposal(1, 2, b"B", twice)), "one member twice");
    let thin = prepared(1, b"A", &[0, 2]);
    assert!(!asks(proposal(1, 2, b"A", reasons(Some(thin)))), "a prepared proof below n−f");
}

#[test]
fn f_plus_one_higher_members_are_followed_and_fewer_are_not() {
    let mut node = node(0);
    assert_eq!(hear(&mut node, 1, &Message::RoundChange(change(1, 5, None))), []);
    assert_eq!(node.view(), 1);
    hear(&mut node, 2, &Message::RoundChange(change(2, 7, None)));
    assert_eq!(node.view(), 5, "the highest view that f+1 reach");
    // Far ahead of the window only the wish is kept, and followed all the same.
    hear(&mut node, 3, &Message::RoundChange(change(1, 500, None)));
    hear(&mut node, 4, &Message::RoundChange(change(2, 400, None)));
    assert_eq!(node.view(), 400);
}

#[test]
fn timeouts_double_and_a_round_change_is_durable_first() {
    let mut node = node(2);
    assert_eq!(node.next_wakeup(), Some(1_000));
    let actions = node.on_tick(1_000);
    assert!(matches!(&actions[..], [Action::Persist(_), Action::Broadcast(Message::RoundChange(_))]), "{actions:?}");
    assert_eq!((node.view(), node.deadline), (2, 3_000));
    node.on_tick(3_000);
    assert_eq!((node.view(), node.deadline), (3, 7_000));
}

#[test]
fn spoiled_content_beside_a_true_signature_costs_a_question_only() {
    let value = keccak256(b"A");
    let mut node = node(1);
    let Message::Proposal(good) = proposal(0, 1, b"A", vec![]) else { unreachable!() };
    let spoiled = Proposal { content: b"X".to_vec().into(), ..good.clone() };
    assert_eq!(hear(&mut node, 1, &Message::Proposal(spoiled)).len(), 1);
    assert_eq!(node.verdict(2, value, false), []);
    assert_eq!(hear(&mut node, 3, &Message::Proposal(good)).len(), 1);
    assert_eq!(votes(&node.verdict(4, value, true)), [(PREPARE, 1)]);
}

#[test]
fn content_that_nobody_can_judge_does_not_lock_the_true_one_out() {
    // The liar 0 leads view 1. It gives 1 and 2 the true content, and to 3, beside the same signature, five contents of
    // which each lists something that nobody can serve, so that no verdict ever comes. 1 and 2 prepare; the liar's vote
    // makes one of them carry the value on, and then it is silent: without 3 nothing is ever decided.
    let mut node = node(3);
    let Message::Proposal(good) = proposal(0, 1, b"A", vec![]) else { unreachable!() };
    for rubbish in 0..5u8 {
        hear(&mut node, 1, &Message::Proposal(Proposal { content: vec![rubbish; 9].into(), ..good.clone() }));
    }
    let mut asked: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let bound = prepared(1, b"A", &[0, 1, 2]);
    let mut now = 1;
    for view in 2..7 {
        // What the honest ones say in this view, each time they repeat themselves.
        let first = change(1, view, Some(bound.clone()));
        let reasons = vec![first.clone(), change(2, view, None), change(3, view, None)];
        let carried = Message::RoundChange(RoundChange { content: Some(b"A".to_vec().into()), ..first });
        let leader = (view - 1) % N;
        let proposed = [1, 2].contains(&leader).then(|| proposal(leader, view, b"A", reasons));
        while node.view() <= view {
            now += 250;
            let mut actions = node.on_tick(now);
            if node.view() == view {
                actions.extend(hear(&mut node, now, &carried));
                actions.extend(proposed.iter().flat_map(|message| hear(&mut node, now, message)));
            }
            for action in actions {
                if let Action::Validate { content, .. } = action {
                    *asked.entry(content).or_default() += 1;
                }
            }
        }
    }
    assert!(asked.contains_key(b"A".as_slice()), "the true content was never asked about: {asked:?}");
}

#[test]
fn a_sleeper_is_told_with_proof_and_checks_the_content() {
    let value = keccak256(b"A");
    let commits = |n: u32| (0..n).map(|m| say(m, Phase::Commit, 3, value)).collect::<Vec<_>>();
    let tell = |commits, content: &[u8]| Message::Decided(Decided { commits, content: content.to_vec().into() });
    let mut node = node(3);
    assert_eq!(hear(&mut node, 1, &tell(commits(2), b"A")), [], "too few commits");
    let asked = hear(&mut node, 2, &tell(commits(3), b"X"));
    assert!(matches!(&asked[..], [Action::Validate { view: 0, .. }]), "{asked:?}");
    assert_eq!(node.verdict(3, value, false), []);
    hear(&mut node, 4, &tell(commits(3), b"A"));
    node.verdict(5, value, true);
    assert_eq!(node.decided(), Some((value, b"A".as_slice())));
    let help = hear(&mut node, 6, &Message::Status(config(0).instance));
    assert!(matches!(&help[..], [Action::Broadcast(Message::Decided(_))]), "{help:?}");
    assert_eq!(hear(&mut node, 7, &Message::Status(config(0).instance)), [], "not too often");
}

#[test]
fn a_new_leader_takes_over_what_was_prepared_elsewhere() {
    let value = keccak256(b"A");
    let mut node = node(1);
    node.set_candidate(0, keccak256(b"mine"), b"mine".to_vec());
    let carried =
        RoundChange { content: Some(b"A".to_vec().into()), ..change(0, 2, Some(prepared(1, b"A", &[0, 2, 3]))) };
    hear(&mut node, 1, &Message::RoundChange(carried));
    let asked = hear(&mut node, 2, &Message::RoundChange(change(2, 2, None)));
    assert!(asked.iter().any(|a| matches!(a, Action::Validate { value: v, .. } if *v == value)), "{asked:?}");
    let actions = node.verdict(3, value, true);
    let proposed = actions.iter().find_map(|action| match action {
        Action::Broadcast(Message::Proposal(proposal)) => Some(proposal.statement.value()),
        _ => None,
    });
    assert_eq!(proposed, Some(value), "{actions:?}");
    assert!(votes(&actions).contains(&(PREPARE, 2)));
}

#[test]
fn commits_need_a_proposal_found_valid_here() {
    let value = keccak256(b"A");
    let mut node = node(1);
    for member in [0, 2, 3] {
        assert_eq!(hear(&mut node, 1, &vote(member, Phase::Prepare, 1, value)), []);
    }
    assert_eq!(hear(&mut node, 2, &proposal(0, 1, b"A", vec![])).len(), 1);
    assert_eq!(votes(&node.verdict(3, value, true)), [(PREPARE, 1), (COMMIT, 1)]);
}

#[test]
fn strangers_and_other_instances_change_nothing() {
    let value = keccak256(b"A");
    let mut node = node(1);
    let config = config(2);
    let other = InstanceId::new(Kind::Report, 0, 4);
    let elsewhere = Statement::sign(&config.scope, &key(2), 2, other, Phase::Commit, 1, value);
    let forged = Statement { member: 3, ..say(2, Phase::Commit, 1, value) };
    let nobody = Statement { member: 9, ..say(2, Phase::Commit, 1, value) };
    let far = say(2, Phase::Commit, 1 + crate::limits::VIEWS_AHEAD_MAX + 1, value);
    for statement in [elsewhere, forged, nobody, far] {
        hear(&mut node, 1, &Message::Vote(statement));
    }
    assert!(node.votes.is_empty());
}
