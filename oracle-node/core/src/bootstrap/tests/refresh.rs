//! Refreshes of whole committees: calm and stormy, with members away, dead, lying, restarted or without their disk.

use minicbor::bytes::ByteVec;

use super::super::{Bootstrap, Event, Heard, is_secret};
use super::net::{CALM, Net, Weather, member_key};
use crate::keyring::Keyring;
use crate::typed::{Kind, Phase as Step};
use crate::wire::{Direct, InstanceId, Message, Statement};
use alloy_primitives::B256;

fn active(n: u32, seed: u64, weather: Weather) -> Net {
    let mut net = Net::new(n, seed, weather);
    net.boot_all();
    assert!(net.run(120_000, |net| net.all_done()
        && net.nodes.iter().all(|node| node.process.as_ref().is_some_and(|p| p.progress().refresh.has_share))));
    net.weather = CALM;
    net
}

/// Whether a member knows so many sharings of the chain.
fn told(process: Option<&Bootstrap>, roots: usize) -> bool {
    process.is_some_and(|process| process.refresher.progress(4).refreshed as usize + 1 >= roots)
}

fn ring(net: &Net, index: u32) -> Keyring {
    net.running(index).keyring().expect("keys")
}

/// Whether these members hold their share of the newest sharing on the chain.
fn have_share(net: &Net, members: &[u32], roots: usize) -> bool {
    net.chain.roots.len() >= roots
        && members.iter().all(|index| {
            let process = net.node(*index).process.as_ref();
            told(process, roots) && process.is_some_and(|p| p.progress().refresh.has_share)
        })
}

/// One key as before, one sharing everywhere, its root on the chain, and every share fits and signs.
fn assert_refreshed(net: &Net, members: &[u32]) {
    let (root, from_epoch) = *net.chain.roots.last().expect("roots");
    let first = ring(net, members[0]);
    let sharing = first.at(from_epoch).sharing.clone();
    assert_eq!(crate::merkle::share_root(&sharing), root);
    assert_eq!(Some(sharing.group), net.chain.group);
    let message = [9; 32];
    let mut partials = Vec::new();
    for index in members {
        let ring = ring(net, *index);
        let span = ring.at(from_epoch);
        assert_eq!((span.from_epoch, &span.sharing), (from_epoch, &sharing), "member {index}");
        let share = span.share.as_ref().expect("a share");
        assert_eq!(sharing.public_share(*index), Ok(&share.public_share()));
        partials.push(share.sign(&message));
        assert_ne!(ring.at(0).sharing.public_shares[*index as usize], share.public_share(), "a new share");
    }
    sharing.recover(&message, &partials).expect("the new shares sign");
}

fn ask_all(net: &mut Net, members: &[u32], number: u64) {
    members.iter().for_each(|index| net.ask(*index, number));
}

/// Member 3 hands it over, whoever it is of.
fn hear(net: &mut Net, to: u32, message: &Message) {
    net.step(to, &Event::Message(Heard { from: 3, message }));
}

#[test]
fn a_calm_refresh_takes_moments_and_leaves_no_old_secret_behind() {
    for n in [4u32, 7] {
        let everybody: Vec<u32> = (0..n).collect();
        let mut net = active(n, 1, CALM);
        let before = ring(&net, 0);
        ask_all(&mut net, &everybody, 0);
        assert!(net.run(5_000, |net| have_share(net, &everybody, 2)), "{:?}", net.running(0).progress().refresh);
        assert_refreshed(&net, &everybody);
        assert!(net.nodes.iter().all(|node| node.notes.is_empty()), "{:?}", net.node(0).notes);
        assert!(
            ring(&net, 0).at(9).share.is_some() && before.at(9).share.is_some(),
            "until epoch 10 the old share counts"
        );
        let secrets = |net: &Net| net.node(1).disk.keys().filter(|key| is_secret(key)).count();
        let (full, all) = (secrets(&net), usize::try_from(n).unwrap());
        assert_eq!(full, 2 * (all - 1) + 3, "two rounds of deals, two shares, one seed");
        net.retire(1, 9);
        assert_eq!(secrets(&net), full, "too early");
        net.retire(1, 10);
        assert_eq!(secrets(&net), 1, "the new share alone: {:?}", net.node(1).notes);
        assert!(ring(&net, 1).at(9).share.is_none() && ring(&net, 1).at(10).share.is_some());
        // The disk is enough for a restart, and for the next refresh.
        net.kill(1);
        net.boot(1);
        assert!(net.run(1_000, |net| have_share(net, &everybody, 2)));
        ask_all(&mut net, &everybody, 0);
        assert!(net.run(5_000, |net| have_share(net, &everybody, 3)), "{:?}", net.running(1).progress().refresh);
        assert_refreshed(&net, &everybody);
    }
}

#[test]
fn a_stormy_refresh_ends_well() {
    for seed in 1..=3 {
        let mut net = active(4, seed, CALM);
        net.weather = Weather { loss: 20, twice: 10, delay: 300 };
        ask_all(&mut net, &[0, 1, 2, 3], 0);
        assert!(net.run(120_000, |net| have_share(net, &[0, 1, 2, 3], 2)), "{:?}", net.running(0).progress().refresh);
        assert_refreshed(&net, &[0, 1, 2, 3]);
    }
}

#[test]
fn f_absent_members_do_not_stop_it_and_catch_up_with_the_next() {
    let mut net = active(4, 2, CALM);
    net.kill(3);
    ask_all(&mut net, &[0, 1, 2], 0);
    assert!(net.run(30_000, |net| have_share(net, &[0, 1, 2], 2)), "{:?}", net.running(0).progress().refresh);
    assert_refreshed(&net, &[0, 1, 2]);
    assert_eq!(net.running(0).progress().refresh.absent, [3]);
    net.boot(3);
    assert!(net.run(5_000, |net| told(net.node(3).process.as_ref(), 2)));
    // From the moment at which it knows that there are others, its old share is none of theirs.
    let before = ring(&net, 3);
    assert!(before.at(10).share.is_none() && before.at(9).share.is_some(), "{:?}", before.starts());
    net.run(30_000, |net| net.noted(3, "share_missing"));
    assert!((0..4).all(|index| net.noted(index, "share_missing") == (index == 3)), "its operator is told, nobody else");
    let ring = ring(&net, 3);
    assert_eq!(ring.at(10).from_epoch, 10, "it has learnt the public shares");
    assert!(ring.at(10).share.is_none() && ring.at(9).share.is_some() && !net.running(3).progress().refresh.has_share);
    ask_all(&mut net, &[0, 1, 2, 3], 0);
    assert!(net.run(30_000, |net| have_share(net, &[0, 1, 2, 3], 3)), "{:?}", net.running(3).progress().refresh);
    assert_refreshed(&net, &[0, 1, 2, 3]);
    // A number of its own that nobody else asks for is left behind as soon as f+1 others ask for a higher one.
    net.run(100_000, |_| false);
    let time = net.now / 1_000;
    ask_all(&mut net, &[3], time);
    net.run(1_000, |_| false);
    ask_all(&mut net, &[0], time + 7);
    net.run(1_000, |_| false);
    assert_eq!(net.running(3).progress().refresh.number, Some(time), "one liar may name any number");
    ask_all(&mut net, &[1, 2], time + 7);
    assert!(net.run(30_000, |net| have_share(net, &[0, 1, 2, 3], 4)), "{:?}", net.running(3).progress().refresh);
    assert_refreshed(&net, &[0, 1, 2, 3]);
}

#[test]
fn a_member_that_lost_its_disk_gets_a_new_share() {
    let mut net = active(4, 3, CALM);
    net.kill(1);
    net.nodes[1].disk.clear();
    net.boot(1);
    assert!(net.run(5_000, |net| net.running(1).keyring().is_some()), "the public shares come from the others");
    assert!(ring(&net, 1).at(0).share.is_none());
    ask_all(&mut net, &[0, 1, 2, 3], 0);
    assert!(net.run(30_000, |net| have_share(net, &[0, 1, 2, 3], 2)), "{:?}", net.running(1).progress().refresh);
    assert_refreshed(&net, &[0, 1, 2, 3]);
    assert!(ring(&net, 1).at(9).share.is_none(), "and none of the time before");
}

#[test]
fn fewer_than_a_quorum_of_operators_start_nothing() {
    let mut net = active(4, 4, CALM);
    ask_all(&mut net, &[0, 2], 0);
    net.run(60_000, |_| false);
    let progress = net.running(0).progress().refresh;
    assert_eq!((progress.phase, progress.asked), ("asked", vec![0, 2]));
    let number = net.running(0).progress().refresh.number.expect("under way");
    assert_eq!(net.running(1).progress().refresh.next, number, "the others are told which number is waited for");
    // A made-up ask in member 1's name does not help; the real one does.
    let instance = InstanceId::new(Kind::Refresh, 0, number);
    let value = super::super::refresh::asked_value_for_tests();
    let forged = Statement::sign(&net.term.scope, &member_key(0), 1, instance, Step::Observation, 0, value);
    hear(&mut net, 0, &Message::Observation(forged, ByteVec::from(Vec::new())));
    assert_eq!(net.running(0).progress().refresh.asked, [0, 2]);
    net.ask(1, 0);
    assert!(net.run(30_000, |net| have_share(net, &[0, 1, 2], 2)));
}

#[test]
fn a_dealer_that_lies_is_named_and_left_out() {
    let mut net = active(4, 5, CALM);
    net.tamper = |from, _, message| {
        if let (3, Direct::RefreshDeal(_, deal)) = (from, &mut *message) {
            let mut bytes = deal.to_vec();
            *bytes.last_mut().unwrap() ^= 1; // another share than the commitment says
            *deal = ByteVec::from(bytes);
        }
        true
    };
    ask_all(&mut net, &[0, 1, 2, 3], 0);
    assert!(net.run(60_000, |net| have_share(net, &[0, 1, 2, 3], 2)), "{:?}", net.running(0).progress().refresh);
    assert_refreshed(&net, &[0, 1, 2, 3]);
    for index in 0..3 {
        let (_, text) = net.node(index).notes.iter().find(|(code, _)| *code == "dkg_bad_deal").expect("named");
        assert!(text.contains("member 3"), "{text}");
    }
}

#[test]
fn a_member_that_falls_silent_ends_it_by_name_and_the_next_goes_without() {
    let mut net = active(4, 6, CALM);
    // Member 3 asks, and acknowledges nothing.
    net.tamper = |from, _, message| !(from == 3 && matches!(message, Direct::RefreshAck(..)));
    ask_all(&mut net, &[0, 1, 2, 3], 0);
    assert!(!net.run(250_000, |net| net.chain.roots.len() > 1), "no share may be published");
    assert_eq!(net.running(0).progress().refresh.waiting_for, [3]);
    net.run(100_000, |_| false);
    let progress = net.running(0).progress().refresh;
    assert_eq!(progress.phase, "idle");
    assert!(progress.failure.as_ref().is_some_and(|text| text.contains("members [3]")), "{progress:?}");
    assert!(net.node(0).disk.keys().all(|key| !key.starts_with(b"deal/1/refresh")), "its secrets are gone");
    ask_all(&mut net, &[0, 1, 2, 3], 0);
    assert!(net.run(60_000, |net| have_share(net, &[0, 1, 2], 2)), "{:?}", net.running(0).progress().refresh);
    assert_refreshed(&net, &[0, 1, 2]);
}

#[test]
fn a_silent_member_that_leads_first_does_not_stop_every_refresh() {
    let mut net = active(4, 11, CALM);
    // As above, but the one that acknowledges nothing is the one that proposes who takes part: itself, every time.
    net.tamper = |from, _, message| !(from == 0 && matches!(message, Direct::RefreshAck(..)));
    for _ in 0..4 {
        ask_all(&mut net, &[0, 1, 2, 3], 0);
        if net.run(350_000, |net| have_share(net, &[1, 2, 3], 2)) {
            return assert_refreshed(&net, &[1, 2, 3]);
        }
    }
    panic!("four refreshes, and each waited for member 0: {:?}", net.running(1).progress().refresh.failure);
}

#[test]
fn a_used_number_is_refused_and_a_higher_one_replaces_it() {
    let mut net = active(4, 7, CALM);
    let time = net.now / 1_000;
    net.ask(0, time);
    net.ask(0, time);
    net.ask(0, time - 1);
    net.ask(0, time + 60);
    let refused = |net: &Net| net.node(0).notes.iter().filter(|(code, _)| *code == "refresh_refused").count();
    assert_eq!(refused(&net), 3, "used, used, and in the future");
    ask_all(&mut net, &[1, 2, 3], time + 1);
    assert!(net.run(30_000, |net| have_share(net, &[0, 1, 2, 3], 2)));
    assert_refreshed(&net, &[0, 1, 2, 3]);
}

#[test]
fn kills_at_any_moment_end_well() {
    for seed in 1..=5 {
        let mut rng = super::net::Rng(seed);
        let mut net = active(4, seed, CALM);
        net.weather = Weather { loss: 5, twice: 5, delay: 60 };
        ask_all(&mut net, &[0, 1, 2, 3], 0);
        for _ in 0..6 {
            let (victim, wait, pause) = (u32::try_from(rng.below(4)).unwrap(), rng.below(200), rng.below(1_500));
            net.run(wait, |_| false);
            net.kill(victim);
            net.run(pause, |_| false);
            net.boot(victim);
        }
        assert!(
            net.run(120_000, |net| have_share(net, &[0, 1, 2, 3], 2)),
            "seed {seed}: {:?}",
            net.running(0).progress().refresh
        );
        assert_refreshed(&net, &[0, 1, 2, 3]);
        assert_eq!(net.chain.roots.len(), 2, "seed {seed}: one refresh, one root");
    }
}

#[test]
fn everybody_killed_at_once_in_each_phase_resumes() {
    for phase in ["asked", "dealing", "logs", "deciding", "confirming", "activating", "done"] {
        let mut net = active(4, 8, CALM);
        net.weather = Weather { loss: 0, twice: 0, delay: 40 };
        ask_all(&mut net, &[0, 1, 2, 3], 0);
        assert!(net.run(30_000, |net| net.running(2).progress().refresh.phase == phase), "{phase} is reached");
        (0..4).for_each(|index| net.kill(index));
        net.boot_all();
        assert!(net.run(60_000, |net| have_share(net, &[0, 1, 2, 3], 2)), "killed in {phase}");
        assert_refreshed(&net, &[0, 1, 2, 3]);
        assert_eq!(net.chain.roots.len(), 2, "killed in {phase}");
    }
}

#[test]
fn made_up_public_shares_are_not_believed() {
    let mut net = active(4, 9, CALM);
    net.kill(1);
    net.nodes[1].disk.clear();
    net.cut.insert(1);
    net.boot(1);
    net.run(100, |_| false);
    let (other, _) = aggregator::deal_for_tests(4, 77);
    hear(&mut net, 1, &Message::Sharing(ByteVec::from(other.encode())));
    assert!(net.running(1).keyring().is_none());
    let real = ring(&net, 0).at(0).sharing.encode();
    hear(&mut net, 1, &Message::Sharing(ByteVec::from(real)));
    assert!(net.running(1).keyring().is_some());
}

#[test]
fn device_keys_in_progress_are_signed_again_with_the_new_shares() {
    let mut net = active(4, 10, CALM);
    ask_all(&mut net, &[0, 1, 2, 3], 0);
    assert!(net.run(5_000, |net| have_share(net, &[0, 1, 2, 3], 2)));
    // Two members have entered the epoch of the new shares, two have not: no three partials add up.
    [0, 1].into_iter().for_each(|index| net.enter_epoch(index, 10));
    net.chain.waiting.insert((7, [7; 32]));
    assert!(!net.run(3_000, |net| !net.chain.active_keys.is_empty()));
    [2, 3].into_iter().for_each(|index| net.enter_epoch(index, 10));
    assert!(net.run(10_000, |net| net.chain.active_keys.len() == 1), "{:?}", net.node(0).notes);
    assert_eq!(net.chain.roots.last().map(|(root, _)| *root != B256::ZERO), Some(true));
}
