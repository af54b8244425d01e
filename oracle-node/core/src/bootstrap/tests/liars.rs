//! Members and relays that lie after the deals: made-up partials, invented device keys, two-faced votes, false consent.

use alloy_primitives::B256;

use super::super::sign_once::SignOnce;
use super::super::{CONFIRMATION, Context, DKG, Event, Heard, Phase, Timing};
use super::net::{CALM, Net, START, member_key, term};
use crate::effect::Record;
use crate::fault::FaultProof;
use crate::typed::{self, Kind};
use crate::wire::{self, Bytes, InstanceId, Message, Statement};

/// A point on the curve that is nobody's partial of anything here.
fn other_point() -> [u8; 48] {
    let (_, shares) = aggregator::deal_for_tests(4, 1);
    shares[0].sign(&[3; 32]).signature.to_bytes()
}

#[test]
fn a_relay_that_swaps_partials_delays_nothing_for_good() {
    let point = other_point();
    for made_up in [[0xff; 48], point] {
        let mut net = Net::new(4, 1, CALM);
        net.relay = Box::new(move |at, from, to, message| {
            if let (1, 0, true, Message::Partial(partial)) = (from, to, at < 1_400, &mut *message) {
                partial.partial = Bytes::from(made_up);
            }
            // Member 0 must find the true partial itself: nobody hands it the certificate early.
            !(at < 2_500 && to == 0 && matches!(message, Message::Certified(_)))
        });
        net.boot_all();
        assert!(net.run(20_000, Net::all_done), "{:?}", net.running(0).progress());
        net.assert_one_key();
        assert!(net.noted(0, "confirmation_bad_partial"), "{:?}", net.node(0).notes);
        assert!(!net.noted(0, "confirmation_incomplete"), "the true partial came and counted");
    }
}

#[test]
fn a_relay_that_swaps_partials_of_a_key_batch_is_noted_and_outlived() {
    let point = other_point();
    let mut net = Net::new(4, 2, CALM);
    net.relay = Box::new(move |_, from, to, message| {
        let batch = |partial: &wire::SignedPartial| partial.statement.instance.kind == Kind::KeyActivation as u8;
        match message {
            Message::Partial(partial) if (from, to) == (1, 0) && batch(partial) => partial.partial = Bytes::from(point),
            // Member 0 hears only of member 1 (swapped), 2 and 3: three with its own are enough.
            Message::Certified(_) => return to != 0,
            _ => {}
        }
        true
    });
    net.boot_all();
    assert!(net.run(20_000, |net| net.chain.group.is_some()));
    net.chain.waiting.insert((5, [5; 32]));
    assert!(net.run(20_000, |net| net.chain.active_keys.len() == 1));
    net.run(5_000, |_| false);
    assert_eq!(net.running(0).phase(), Phase::Done);
    assert!(net.nodes.iter().all(|node| node.notes.iter().all(|(code, _)| *code == "key_activation_bad_partial")));
}

#[test]
fn invented_device_keys_are_not_certified() {
    let mut net = Net::new(4, 3, CALM);
    net.boot_all();
    assert!(net.run(10_000, Net::all_done));
    let real = vec![(1, [1; 32]), (2, [2; 32])];
    net.chain.waiting.extend(real.iter().copied());
    // Member 0, which leads first, believes in a key that does not wait; the chain's news does not reach it.
    net.nodes[0].pending = Some((0, real.clone()));
    net.step(0, &Event::PendingKeys { batch: 0, keys: &[(1, [1; 32]), (99, [9; 32])] });
    assert!(net.run(20_000, |net| net.chain.active_keys.len() == 2), "{:?}", net.running(1).progress());
    assert!(net.chain.active_keys.iter().copied().eq(real), "and nothing else");
}

#[test]
fn a_follower_behind_on_the_chain_waits_for_its_own_view() {
    let mut net = Net::new(4, 4, CALM);
    net.boot_all();
    assert!(net.run(10_000, Net::all_done));
    let news = (0, vec![(1, [1; 32])]);
    net.chain.waiting.insert(news.1[0]);
    // Members 2 and 3 hear of it later than the proposal arrives: nothing may be certified before.
    [2, 3].into_iter().for_each(|index: usize| net.nodes[index].pending = Some(news.clone()));
    assert!(!net.run(600, |net| !net.chain.active_keys.is_empty()));
    let told = net.now;
    net.nodes[2].pending = None;
    assert!(net.run(300, |net| !net.chain.active_keys.is_empty()), "decided at once, without a view change");
    assert!(net.now - told < 300);
}

#[test]
fn a_two_faced_vote_becomes_a_fault_proof_on_disk() {
    let mut net = Net::new(4, 5, CALM);
    (0..3).for_each(|index| net.boot(index));
    net.run(100, |_| false);
    let scope = net.term.scope;
    for value in [1, 2] {
        let vote = Statement::sign(&scope, &member_key(3), 3, DKG, typed::Phase::Prepare, 1, B256::repeat_byte(value));
        net.step(0, &Event::Message(Heard { from: 3, message: &Message::Vote(vote) }));
    }
    assert!(net.noted(0, "fault_proof"), "{:?}", net.node(0).notes);
    let (_, proof) = net.node(0).disk.iter().find(|(key, _)| key.starts_with(b"fault/")).expect("kept");
    let proof: FaultProof = wire::decode(proof, 4_096).unwrap();
    assert_eq!(proof.verify(&scope, &net.term.addresses()), Ok(3));
}

#[test]
fn false_consent_does_not_count() {
    let mut net = Net::new(4, 6, CALM);
    // Only member 0 is heard consenting; the others' signatures are replaced on the way.
    net.relay = Box::new(|_, from, _, message| {
        if let (true, Message::Activation(_, signature)) = (from >= 1, message) {
            *signature = Bytes::from(member_key(0).sign(&B256::repeat_byte(1)));
        }
        true
    });
    net.boot_all();
    assert!(!net.run(5_000, |net| net.chain.group.is_some() || net.running(0).progress().activations > 1));
    let progress = net.running(0).progress();
    assert_eq!((progress.phase, progress.waiting_for), (Phase::Activating, vec![1, 2, 3]));
    net.relay = Box::new(|_, _, _, _| true);
    assert!(net.run(10_000, Net::all_done), "at {} ms", net.now - START);
}

#[test]
fn one_digest_per_instance_for_ever() {
    let (_, shares) = aggregator::deal_for_tests(4, 2);
    let timing = Timing { view_timeout_ms: 1, transmit_stage_ms: 1 };
    let term = term(4);
    let addresses = term.addresses();
    let context = Context { term, addresses, me: 1, key: member_key(1), timing, noted: Default::default() };
    let mut journal = SignOnce::default();
    let (first, second) = (B256::repeat_byte(1), B256::repeat_byte(2));
    let signed = journal.sign(&context, &shares[1], CONFIRMATION, first).unwrap();
    let record: Record = signed.record.expect("new");
    assert!(journal.sign(&context, &shares[1], CONFIRMATION, second).is_none());
    let again = journal.sign(&context, &shares[1], CONFIRMATION, first).unwrap();
    assert_eq!((again.partial, again.record), (signed.partial.clone(), None));
    let other = InstanceId::new(Kind::KeyActivation, 0, 7);
    assert!(journal.sign(&context, &shares[1], other, second).is_some(), "another instance");
    let mut restarted = SignOnce::from_journal(&[record]);
    assert!(restarted.sign(&context, &shares[1], CONFIRMATION, second).is_none());
    assert_eq!(restarted.sign(&context, &shares[1], CONFIRMATION, first).unwrap().partial, signed.partial);
}

#[test]
fn a_proposal_that_its_leader_has_not_signed_is_not_judged() {
    let mut net = Net::new(4, 6, CALM);
    net.relay = Box::new(|_, _, to, message| {
        if let (3, Message::Proposal(proposal)) = (to, &mut *message) {
            proposal.statement.signature.0[7] ^= 1;
        }
        // Member 3 has no logs of its own to judge by, and hears of no decision.
        to != 3 || !matches!(message, Message::DkgLog(_) | Message::Decided(_) | Message::Vote(_))
    });
    net.boot_all();
    net.run(5_000, |_| false);
    assert!(net.running(0).keys().is_some(), "the others go on");
    assert_eq!(net.running(3).generation.judged(), 0);
}

#[test]
fn a_term_that_cannot_run_is_refused_once_and_clearly() {
    let mut net = Net::new(4, 7, CALM);
    net.term.slot_ms = 1_500;
    net.boot_all();
    net.run(5_000, |_| false);
    for node in &net.nodes {
        assert_eq!(node.notes.len(), 1, "{:?}", node.notes);
        assert!(node.notes.iter().all(|(code, text)| *code == "term_refused" && text.contains("1500 ms")));
        assert!(node.disk.is_empty());
    }
}
