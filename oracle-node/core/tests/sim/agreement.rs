//! Agreement under bad weather: never two values, never a second signature, and a decision once it is calm.

use oracle_core::qbft::Rules;

use crate::seeds;
use crate::world::{Weather, World};

pub(crate) const FAIR: Weather = Weather {
    n: 4,
    liars: 0,
    dead: 0,
    loss: 0,
    crashes: 0,
    splits: false,
    lonely: false,
    sly: false,
    unsynced: false,
    rules: Rules { majority_quorum: false, forget_prepared: false, trust_proposals: false, sign_prepared: false },
};

const STORM: Weather = Weather { loss: 20, crashes: 15, splits: true, lonely: true, ..FAIR };

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

#[test]
fn fair_weather() {
    survive("fair_weather", FAIR, 10);
}

#[test]
fn storm_of_four() {
    survive("storm_of_four", STORM, 40);
}

#[test]
fn storm_of_four_with_a_liar() {
    survive("storm_of_four_with_a_liar", Weather { liars: 1, ..STORM }, 60);
}

#[test]
fn storm_of_four_with_one_dead() {
    survive("storm_of_four_with_one_dead", Weather { dead: 1, ..STORM }, 20);
}

#[test]
fn storm_of_seven_with_two_liars() {
    survive("storm_of_seven_with_two_liars", Weather { n: 7, liars: 2, ..STORM }, 10);
}

#[test]
fn storm_of_seven_with_a_liar_and_one_dead() {
    survive("storm_of_seven_with_a_liar_and_one_dead", Weather { n: 7, liars: 1, dead: 1, ..STORM }, 6);
}

#[test]
fn storm_of_ten_with_three_liars() {
    survive("storm_of_ten_with_three_liars", Weather { n: 10, liars: 3, ..STORM }, 3);
}

/// Fails unless some seed shows the planted fault, and nothing under that seed without it.
fn catches(what: &str, faulty: Weather, runs: u64, kinds: &[&str]) {
    let shows = |seed: &u64| {
        let incidents = World::new(faulty, *seed).run();
        incidents.iter().any(|incident| kinds.iter().any(|kind| incident.contains(kind)))
    };
    let Some(seed) = (0..runs).find(shows) else { panic!("{what}: the simulation does not see it in {runs} seeds") };
    let sound = Weather { rules: FAIR.rules, unsynced: false, ..faulty };
    assert_eq!(World::new(sound, seed).run(), [""; 0], "{what}: seed {seed} without the fault");
    println!("{what}: caught under seed {seed}");
}

/// The weather in which quorums too small show: f = 2, so that n/2+1 = 4 is less than n−f = 5.
const TWO_LIARS: Weather = Weather { n: 7, liars: 2, sly: true, ..FAIR };
/// The weather in which views change after somebody has decided.
const HEAVY: Weather = Weather { loss: 30, crashes: 5, splits: false, ..STORM };

#[test]
fn a_quorum_of_half_and_one_is_caught() {
    let rules = Rules { majority_quorum: true, ..FAIR.rules };
    catches("quorum n/2+1", Weather { rules, ..TWO_LIARS }, 400, &["two decided values"]);
}

#[test]
fn signing_when_prepared_is_caught() {
    let rules = Rules { sign_prepared: true, ..FAIR.rules };
    let kinds = ["two decided values", "would sign two values"];
    catches("sign when prepared", Weather { liars: 1, rules, ..STORM }, 1_000, &kinds);
}

#[test]
fn a_justification_unchecked_is_caught() {
    let rules = Rules { trust_proposals: true, ..FAIR.rules };
    catches("justification unchecked", Weather { liars: 1, rules, ..HEAVY }, 1_000, &["two decided values"]);
}

#[test]
fn a_forgotten_prepared_value_is_caught() {
    let rules = Rules { forget_prepared: true, ..FAIR.rules };
    catches("prepared value forgotten", Weather { rules, ..HEAVY }, 1_000, &["two decided values"]);
}

#[test]
fn a_journal_that_is_not_synced_is_caught() {
    let weather = Weather { unsynced: true, crashes: 60, ..STORM };
    catches("journal not synced", weather, 200, &["signed twice"]);
}
