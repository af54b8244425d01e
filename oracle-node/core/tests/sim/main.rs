//! A whole committee in one thread, over a network that delays, loses, repeats, reorders and splits, with crashes at any
//! action and with liars. Everything follows from one seed, which a failure prints.
//!
//! Members of one run verify each signature once between them (`oracle_core::shared_checks`); nothing else is shared.
//!
//! Two simulations: `agreement` over single decisions (`world`), and `epochs` over whole oracles with devices, evidence,
//! chain and auditor (`committee`). `any_weather` draws the kind of run from the seed, too. `PLUMBLINE_SEED=7` repeats one
//! run, `PLUMBLINE_SEEDS=100` asks for so many of each test, `PLUMBLINE_SEEDS=100..200` for a range: a long run goes on
//! where an earlier one stopped. A hundred thousand:
//!
//! ```text
//! PLUMBLINE_SEEDS=100000 cargo test --release -p oracle-core --test sim any_weather -- --nocapture
//! ```
//!
//! Leaves out: the exhaustive model check of the rules, and real sockets and disks (`testnet`).

mod agreement;
mod any;
mod committee;
mod devices;
mod dice;
mod epochs;
mod given;
mod latency;
#[path = "../rotation/shelf.rs"]
mod shelf;
mod traffic;
mod watch;
mod world;

/// The seeds of one test: from the environment, or the first `runs`.
fn seeds(runs: u64) -> core::ops::Range<u64> {
    if let Some(seed) = variable("PLUMBLINE_SEED").and_then(|seed| seed.parse::<u64>().ok()) {
        return seed..seed.saturating_add(1);
    }
    let Some(many) = variable("PLUMBLINE_SEEDS") else { return 0..runs };
    let range = many.split_once("..").map(|(from, to)| (from.parse(), to.parse()));
    match (range, many.parse()) {
        (Some((Ok(from), Ok(to))), _) => from..to,
        (None, Ok(many)) => 0..many,
        _ => panic!("PLUMBLINE_SEEDS={many}: give a number, or a range such as 100..200"),
    }
}

#[allow(clippy::disallowed_methods)] // a test may read its environment; the core may not
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
