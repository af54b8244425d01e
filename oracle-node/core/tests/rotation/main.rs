//! Two terms in one world: the old key signs the rotation, history stays one chain across the hand-over, a newcomer begins
//! from the state's root. Everything follows from one seed, which a failure prints.
//!
//! Leaves out: one term's own troubles (`tests/sim`), real sockets and the real registry (`testnet`).

mod chain;
mod dice;
mod given;
mod handover;
mod process;
mod shelf;
mod world;

/// The seeds of one test: `PLUMBLINE_SEED` repeats one run, `PLUMBLINE_SEEDS` asks for so many instead of `runs`.
fn seeds(runs: u64) -> core::ops::Range<u64> {
    match (number("PLUMBLINE_SEED"), number("PLUMBLINE_SEEDS")) {
        (Some(seed), _) => seed..seed.saturating_add(1),
        (None, many) => 0..many.unwrap_or(runs),
    }
}

#[allow(clippy::disallowed_methods)] // a test may read its environment; the core may not
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
