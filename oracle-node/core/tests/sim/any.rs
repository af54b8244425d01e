//! Weather drawn from the seed itself: how many members, liars and dead, how much is lost, who crashes, what is split.
//! One test runs as many seeds as one likes, on every core, and says how fast.

#![allow(clippy::disallowed_types, reason = "it says how fast it ran; nothing in a run depends on it")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::agreement::FAIR;
use crate::committee::{Climate, Committee};
use crate::dice::Dice;
use crate::world::{Weather, World};
use crate::{epochs, seeds};

/// Sizes from 4 to 10, the small ones more often: they are quicker, and every rule of f is in them.
const SIZES: [u32; 12] = [4, 4, 4, 4, 4, 5, 6, 7, 7, 8, 9, 10];
/// Every so many seeds, whole oracles run; single decisions otherwise.
const WHOLE_EVERY: u64 = 4;

/// What went wrong under a seed.
fn run(seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed ^ 0x77ea_7be7);
    let n = SIZES[dice.below(SIZES.len() as u64) as usize];
    let f = u64::from((n - 1) / 3);
    let liars = dice.below(f + 1) as u32;
    let dead = dice.below(f + 1 - u64::from(liars)) as u32;
    let (loss, splits) = (dice.below(30), dice.chance(70));
    if seed.is_multiple_of(WHOLE_EVERY) {
        let streams = if n < 6 { 1 + dice.below(2) as u32 } else { 1 };
        let dies = (dead > 0).then(|| dice.below(2));
        let crashes = dice.below(100);
        // One of the liars lists garbage far above its budget.
        let hog = (liars > 0 && dice.chance(50)).then_some(0);
        let climate = Climate { n, streams, liars, dies, loss, splits, crashes, hog, ..epochs::FAIR };
        return Committee::new(climate, seed).run();
    }
    let (crashes, lonely) = (dice.below(30), dice.chance(50));
    let weather = Weather { n, liars, dead, loss, splits, crashes, lonely, ..FAIR };
    World::new(weather, seed).run()
}

fn judged(seed: u64) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| run(seed))) {
        Ok(incidents) if incidents.is_empty() => None,
        Ok(incidents) => Some(format!("{incidents:?}")),
        Err(_) => Some("a panic, printed above".into()),
    }
}

#[test]
fn any_weather() {
    let seeds = seeds(120);
    let (next, began) = (AtomicU64::new(seeds.start), Instant::now());
    let failures: Mutex<Vec<(u64, String)>> = Mutex::default();
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let broken = failures.lock().map_or(true, |failures| !failures.is_empty());
            if seed >= seeds.end || broken {
                return;
            }
            if let Some(what) = judged(seed) {
                failures.lock().into_iter().for_each(|mut failures| failures.push((seed, what.clone())));
            }
            if (seed + 1).is_multiple_of(1_000) {
                println!("any_weather: about {} seeds, {:.0} s", seed + 1 - seeds.start, began.elapsed().as_secs_f64());
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, core::num::NonZero::get);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(worker))));
    if let Some((seed, what)) = failures.into_inner().unwrap_or_default().into_iter().min() {
        panic!("any_weather: {what}\nrepeat: PLUMBLINE_SEED={seed} cargo test -p oracle-core --test sim any_weather");
    }
    let (count, seconds) = (seeds.end - seeds.start, began.elapsed().as_secs_f64());
    println!("any_weather: {count} seeds in {seconds:.1} s on {cores} cores, {:.1} a second", count as f64 / seconds);
}
