//! Agreement under bad weather: never two values, never a second signature, and a decision once it is calm.

use oracle_core::qbft::Rules;

use crate::seeds;
use crate::world::{Weather, World};

const FAIR: Weather = Weather {
    n: 4,
    liars: 0,
    dead: 0,
    loss: 0,
    crashes: 0,
    splits: false,
    unsynced: false,
    rules: Rules { quorum_minus_one: false, forget_prepared: false },
};

const STORM: Weather = Weather { loss: 20, crashes: 15, splits: true, ..FAIR };

/// Runs seeds until the budget of simulated runs is used; panics with a line that repeats the failure.
fn survive(name: &str, weather: Weather, runs: u64) {
    let seeds = seeds(runs);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let incidents = World::new(weather, seed).run();
        assert!(
            incidents.is_empty(),
            "{name}: {incidents:?}\nrepeat: PLUMBLINE_SEED={seed} cargo test -p oracle-core --test sim {name}"
        );
    }
    println!("{name}: {count} seeds");
}

/// The first seed under which the planted fault shows.
fn finds(weather: Weather, runs: u64, kind: &str) -> Option<u64> {
    (0..runs).find(|seed| World::new(weather, *seed).run().iter().any(|incident| incident.contains(kind)))
}

#[test]
fn fair_weather() {
    survive("fair_weather", FAIR, 20);
}

#[test]
fn storm_of_four() {
    survive("storm_of_four", STORM, 100);
}

#[test]
fn storm_of_four_with_a_liar() {
    survive("storm_of_four_with_a_liar", Weather { liars: 1, ..STORM }, 100);
}

#[test]
fn storm_of_four_with_one_dead() {
    survive("storm_of_four_with_one_dead", Weather { dead: 1, ..STORM }, 40);
}

#[test]
fn storm_of_seven_with_two_liars() {
    survive("storm_of_seven_with_two_liars", Weather { n: 7, liars: 2, ..STORM }, 20);
}

#[test]
fn storm_of_seven_with_a_liar_and_one_dead() {
    survive("storm_of_seven_with_a_liar_and_one_dead", Weather { n: 7, liars: 1, dead: 1, ..STORM }, 12);
}

#[test]
fn a_quorum_too_small_is_found() {
    let rules = Rules { quorum_minus_one: true, ..FAIR.rules };
    let seed = finds(Weather { liars: 1, rules, ..STORM }, 400, "two decided values");
    assert!(seed.is_some(), "the simulation cannot see two decisions");
    println!("a quorum too small: two decisions under seed {seed:?}");
}

#[test]
fn a_forgotten_prepared_value_is_found() {
    let rules = Rules { forget_prepared: true, ..FAIR.rules };
    let seed = finds(Weather { rules, ..STORM }, 1_000, "two decided values");
    assert!(seed.is_some(), "the simulation cannot see two decisions across views");
    println!("a forgotten prepared value: two decisions under seed {seed:?}");
}

#[test]
fn a_journal_that_is_not_synced_is_found() {
    let seed = finds(Weather { unsynced: true, crashes: 60, ..STORM }, 200, "signed twice");
    assert!(seed.is_some(), "the simulation cannot see a second signature");
    println!("a journal that is not synced: a second signature under seed {seed:?}");
}
