//! The contracts' bytecode on an EVM in this process, against random reports and claims: after every step each lease, each
//! account and every coin must be where an independent calculation (`model`) says. `PLUMBLINE_SEEDS=first..last` chooses the
//! campaigns; the seed is in the output of one that fails. Leaves out: the nodes, and what a report should say.

#![allow(clippy::unwrap_used)] // tests: a panic is the failure

mod campaign;
mod committee;
mod evm;
mod model;
mod tree;
mod world;

use std::ops::Range;
use std::time::Instant;

/// What `make test` runs.
const SEEDS: Range<u64> = 0..24;
/// Steps of one campaign, before everything is closed and withdrawn.
const STEPS: u32 = 120;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("PLUMBLINE_SEEDS") else { return SEEDS };
    let range = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    range.unwrap_or_else(|| panic!("PLUMBLINE_SEEDS={text}: not first..last"))
}

#[test]
fn every_coin_is_where_the_calculation_says() {
    let (began, mut tally) = (Instant::now(), campaign::Tally::default());
    for seed in seeds() {
        println!("seed {seed}: PLUMBLINE_SEEDS={seed}..{} cargo test -p testnet --test differential", seed + 1);
        tally += campaign::run(seed, STEPS);
    }
    println!("{tally:?} in {:.1} s", began.elapsed().as_secs_f64());
    // Random steps that never get anywhere would prove nothing.
    assert!(tally.paying_claims > 0 && tally.refused > 0 && tally.closed > 0 && tally.withdrawn > 0, "{tally:?}");
    assert!(tally.silent > 0 && tally.left > 0 && tally.pauses > 0, "{tally:?}");
    assert!(tally.rotations > 0 && tally.frozen > 0 && tally.resumed > 0 && tally.wrong_term > 0, "{tally:?}");
}

/// A contract that pays one base unit too much must be caught: the calculation is told of one unit more than was proven.
#[test]
#[should_panic(expected = "is not what the calculation says")]
fn a_difference_of_one_unit_is_seen() {
    for seed in 0..8 {
        campaign::run_with_a_slip(seed, STEPS);
    }
}
