//! A whole committee in one thread, over a network that delays, loses, repeats, reorders and splits, with crashes at any
//! action and with liars. Everything follows from one seed, which a failure prints.
//!
//! Leaves out: the exhaustive model check of the rules, and real sockets and disks (`testnet`).

mod agreement;
mod committee;
mod dice;
mod epochs;
mod given;
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
