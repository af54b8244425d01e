//! Epochs under bad weather: one certified report each, the same everywhere, and no second signature across crashes.

use crate::committee::{Climate, Committee};
use crate::seeds;

const FAIR: Climate =
    Climate { n: 4, epochs: 3, loss: 0, crashes: 0, away: None, dies: None, liar: false, hog: false, unsynced: false };

fn survive(name: &str, climate: Climate, runs: u64) {
    let seeds = seeds(runs);
    let (count, mut crashes, mut steps) = (seeds.end - seeds.start, 0, 0);
    for seed in seeds {
        let mut committee = Committee::new(climate, seed);
        let incidents = committee.run();
        crashes += committee.crashes;
        steps += committee.steps;
        assert!(
            incidents.is_empty(),
            "{name}: {incidents:?}\nrepeat: PLUMBLINE_SEED={seed} cargo test -p oracle-core --test sim {name}"
        );
    }
    println!("{name}: {count} seeds, {crashes} crashes, {steps} steps");
}

#[test]
fn three_fair_epochs() {
    survive("three_fair_epochs", FAIR, 1);
    let mut committee = Committee::new(FAIR, 1);
    assert_eq!(committee.run(), [""; 0]);
    assert_eq!(committee.round_changes, 0, "the first leader is enough");
}

#[test]
fn epochs_with_loss_and_crashes() {
    survive("epochs_with_loss_and_crashes", Climate { loss: 20, crashes: 120, epochs: 5, ..FAIR }, 10);
}

#[test]
fn epochs_with_a_liar() {
    survive("epochs_with_a_liar", Climate { liar: true, loss: 20, crashes: 30, ..FAIR }, 6);
}

#[test]
fn an_author_of_too_many_bytes_is_left_out_and_named() {
    let mut committee = Committee::new(Climate { hog: true, ..FAIR }, 1);
    assert_eq!(committee.run(), [""; 0]);
    assert!(committee.notes.contains("over_budget"), "{:?}", committee.notes);
    assert!(committee.participation.len() >= 3);
    assert!(committee.participation.values().all(|members| members & 2 == 0), "{:?}", committee.participation);
}

#[test]
fn a_member_that_was_away_catches_up() {
    survive("a_member_that_was_away_catches_up", Climate { away: Some((1, 5)), epochs: 8, loss: 10, ..FAIR }, 5);
}

#[test]
fn epochs_of_seven() {
    survive("epochs_of_seven", Climate { n: 7, epochs: 3, loss: 15, crashes: 60, ..FAIR }, 3);
}

#[test]
fn one_that_catches_up_needs_no_author_who_died() {
    let climate = Climate { away: Some((1, 3)), dies: Some(4), epochs: 7, ..FAIR };
    survive("one_that_catches_up_needs_no_author_who_died", climate, 2);
}

#[test]
fn a_journal_that_is_not_synced_is_found_in_an_epoch() {
    let climate = Climate { unsynced: true, crashes: 300, loss: 20, ..FAIR };
    let twice = |seed: &u64| Committee::new(climate, *seed).run().iter().any(|i| i.contains("signed twice"));
    let seed = (0..60).find(twice);
    assert!(seed.is_some(), "the simulation cannot see a second signature of an oracle");
    println!("a journal that is not synced: a second signature of an oracle under seed {seed:?}");
}
