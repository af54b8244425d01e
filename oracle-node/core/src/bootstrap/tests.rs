//! Bootstraps of whole committees: calm and stormy networks, silent, dead and lying members, restarts at any point.

mod liars;
mod net;
mod refresh;

use minicbor::bytes::ByteVec;

use super::{Phase, is_secret, list_hash};
use crate::wire::Direct;
use net::{CALM, Net, Rng, START, Weather};

const STORM: Weather = Weather { loss: 20, twice: 10, delay: 300 };

#[test]
fn a_calm_network_is_done_in_seconds_and_posts_once() {
    for n in [1, 4, 7] {
        let mut net = Net::new(n, 1, CALM);
        net.boot_all();
        assert!(net.run(3_000, Net::all_done), "n = {n}: {:?}", net.running(0).progress());
        net.assert_one_key();
        assert_eq!(net.chain.activations, 1);
        assert!(net.nodes.iter().all(|node| node.notes.is_empty()), "n = {n}: {:?}", net.node(0).notes);
        // Nothing is left to do: nobody wants to be called again.
        assert!(net.nodes.iter().all(|node| node.process.as_ref().unwrap().next_wakeup().is_none()), "n = {n}");
        let progress = net.running(0).progress();
        assert_eq!((progress.phase, progress.waiting_for, progress.batch), (Phase::Done, vec![], None));
    }
}

#[test]
fn a_lossy_reordering_network_is_done_too() {
    for seed in 1..=4 {
        let mut net = Net::new(4, seed, STORM);
        net.boot_all();
        assert!(net.run(120_000, Net::all_done), "seed {seed}: {:?}", net.running(0).progress());
        net.assert_one_key();
    }
}

#[test]
fn a_silent_member_is_waited_for_and_named_and_its_share_is_never_revealed() {
    let mut net = Net::new(4, 2, CALM);
    (0..3).for_each(|index| net.boot(index));
    assert!(!net.run(60_000, |net| net.running(0).phase() > Phase::Dealing), "no log may be signed without member 3");
    let progress = net.running(0).progress();
    assert_eq!((progress.phase, progress.acks, progress.deals), (Phase::Dealing, 3, 3));
    assert_eq!(progress.waiting_for, vec![3]);
    net.boot(3);
    assert!(net.run(10_000, Net::all_done), "{:?}", net.running(0).progress());
    net.assert_one_key();
}

#[test]
fn a_member_that_vanishes_after_acknowledging_does_not_stop_the_others_and_catches_up() {
    let mut net = Net::new(4, 3, CALM);
    net.boot_all();
    assert!(net.run(10_000, |net| (0..4).all(|i| net.running(i).phase() > Phase::Dealing)));
    net.kill(3);
    assert!(net.run(60_000, |net| net.chain.group.is_some()), "{:?}", net.running(0).progress());
    assert!(net.run(1_000, |net| (0..3).all(|i| net.running(i).phase() == Phase::Done)));
    net.boot(3);
    assert!(net.run(20_000, Net::all_done), "{:?}", net.running(3).progress());
    net.assert_one_key();
}

#[test]
fn kills_at_any_moment_end_well() {
    for seed in 1..=6 {
        let mut rng = Rng(seed);
        let mut net = Net::new(4, seed, Weather { loss: 5, twice: 5, delay: 60 });
        net.boot_all();
        for _ in 0..6 {
            let (victim, wait, pause) = (u32::try_from(rng.below(4)).unwrap(), rng.below(400), rng.below(1_500));
            net.run(wait, |_| false);
            net.kill(victim);
            net.run(pause, |_| false);
            net.boot(victim);
        }
        assert!(net.run(120_000, Net::all_done), "seed {seed}: {:?}", net.running(0).progress());
        net.assert_one_key();
        assert_eq!(net.chain.activations, 1, "seed {seed}");
    }
}

#[test]
fn everybody_killed_at_once_in_each_phase_resumes() {
    for phase in [Phase::Dealing, Phase::Logs, Phase::Deciding, Phase::Confirming, Phase::Activating, Phase::Done] {
        let mut net = Net::new(4, 7, Weather { loss: 0, twice: 0, delay: 40 });
        net.boot_all();
        assert!(net.run(30_000, |net| net.running(2).phase() >= phase), "{phase:?} is reached");
        (0..4).for_each(|index| net.kill(index));
        net.boot_all();
        assert!(net.run(60_000, Net::all_done), "killed in {phase:?}: {:?}", net.running(0).progress());
        net.assert_one_key();
        assert_eq!(net.chain.activations, 1, "killed in {phase:?}");
    }
}

#[test]
fn a_dealer_of_rubbish_is_named_and_left_out() {
    let rubbish: [net::Tamper; 2] = [
        |from, _, message| {
            if let (3, Direct::Deal(deal)) = (from, &mut *message) {
                *deal = ByteVec::from(b"rubbish".to_vec());
            }
            true
        },
        |from, _, message| {
            if let (3, Direct::Deal(deal)) = (from, &mut *message) {
                let mut bytes = deal.to_vec();
                *bytes.last_mut().unwrap() ^= 1; // another share than the commitment says
                *deal = ByteVec::from(bytes);
            }
            true
        },
    ];
    for tamper in rubbish {
        let mut net = Net::new(4, 4, CALM);
        net.tamper = tamper;
        net.boot_all();
        assert!(net.run(60_000, Net::all_done), "{:?}", net.running(0).progress());
        net.assert_one_key();
        for index in 0..3 {
            assert!(net.noted(index, "dkg_bad_deal"), "member {index} notes it");
            let (_, text) = net.node(index).notes.iter().find(|(code, _)| *code == "dkg_bad_deal").unwrap();
            assert!(text.contains("member 3"), "{text}");
            assert_eq!(net.node(index).notes.len(), 1, "once, not at every repetition: {:?}", net.node(index).notes);
        }
    }
}

#[test]
fn a_member_with_another_dkg_key_says_so() {
    let mut net = Net::new(4, 5, CALM);
    net.term.members[0].dkg_key = net.term.members[1].dkg_key;
    net.term.members[1].dkg_key = aggregator::dkg::DkgIdentity::from_seed([0xee; 32]).public();
    net.boot(1);
    net.run(2_000, |_| false);
    assert!(net.noted(1, "dkg_refused"), "{:?}", net.node(1).notes);
}

#[test]
fn a_restart_after_the_end_keeps_key_and_partials() {
    let mut net = Net::new(4, 6, CALM);
    net.boot_all();
    assert!(net.run(10_000, Net::all_done));
    let before = net.running(2).keys().unwrap();
    let disk = net.node(2).disk.clone();
    net.kill(2);
    net.boot(2);
    let after = net.running(2).keys().expect("the key comes from the disk at once");
    assert_eq!((before.0, before.1.public_share()), (after.0, after.1.public_share()));
    net.run(5_000, |_| false);
    let signed = |disk: &std::collections::BTreeMap<Vec<u8>, Vec<u8>>| {
        disk.iter()
            .filter(|(key, _)| key.starts_with(b"sign/"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(signed(&disk).len(), 1);
    assert_eq!(signed(&disk), signed(&net.node(2).disk), "signed once, the same for ever");
    let secrets = disk.keys().filter(|key| is_secret(key)).count();
    assert_eq!(secrets, 4, "three deals and the share are secret");
}

#[test]
fn device_keys_are_certified_batch_after_batch() {
    for (seed, weather) in [(1, CALM), (2, STORM), (3, STORM)] {
        let mut net = Net::new(4, seed, weather);
        net.boot_all();
        assert!(net.run(120_000, Net::all_done));
        for round in 0..3u64 {
            let keys = (0..5).map(|i| (10 * round + i + 1, [u8::try_from(round * 5 + i).unwrap(); 32]));
            net.chain.waiting.extend(keys);
            let all = usize::try_from((round + 1) * 5).unwrap();
            assert!(
                net.run(60_000, |net| net.chain.active_keys.len() == all),
                "seed {seed}: {:?}",
                net.running(0).progress()
            );
        }
        assert!(net.run(5_000, Net::all_done), "seed {seed}");
    }
}

#[test]
fn more_device_keys_than_fit_go_into_several_batches() {
    let mut net = Net::new(4, 8, CALM);
    net.boot_all();
    assert!(net.run(10_000, Net::all_done));
    let count = super::KEYS_PER_BATCH_MAX + 3;
    net.chain.waiting.extend((0..count as u64).map(|token| (token, [7; 32])));
    assert!(net.run(30_000, |net| net.chain.active_keys.len() == count));
    assert_eq!(net.chain.next_batch, 2);
}

#[test]
fn a_batch_survives_a_dead_leader_and_a_killed_follower() {
    let mut net = Net::new(4, 9, Weather { loss: 0, twice: 0, delay: 30 });
    net.boot_all();
    assert!(net.run(10_000, Net::all_done));
    net.cut.insert(0); // leads view 1 of every batch
    net.chain.waiting.extend([(1, [1; 32]), (2, [2; 32])]);
    net.run(40, |_| false);
    net.kill(2);
    net.run(100, |_| false);
    net.boot(2);
    assert!(net.run(60_000, |net| net.chain.active_keys.len() == 2), "{:?}", net.running(1).progress());
    assert_eq!(net.running(1).progress().phase, Phase::Done, "{}", net.now - START);
}

#[test]
fn list_hash_is_solidity_abi_encode_of_two_arrays() {
    // abi.encode(uint256[]{1, 2}, bytes32[]{0x11…, 0x22…}): two offsets, then each array as length and words.
    let word = |value: u8| {
        let mut word = [0; 32];
        word[31] = value;
        word
    };
    let encoded = [word(64), word(160), word(2), word(1), word(2), word(2), [0x11; 32], [0x22; 32]].concat();
    assert_eq!(list_hash(&[(1, [0x11; 32]), (2, [0x22; 32])]), alloy_primitives::keccak256(encoded));
}
