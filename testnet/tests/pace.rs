//! How long four real processes on loopback take from observing an epoch (cut-off and δ) to its certificate, as they count
//! it themselves (`oracle_report_seconds`): a row of `make bench`. Leaves out: devices and their evidence.

#![allow(clippy::unwrap_used, clippy::expect_used)] // tests: a panic is the failure

mod support;

use std::collections::BTreeMap;

use support::{World, anvil, program};

/// Certified by four members each, of which the first two are left out: connections are being made.
const EPOCHS: u64 = 14;
/// The bar that the project set itself, seconds.
const BAR: f64 = 0.15;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of 80 seconds: make bench"]
async fn from_observation_to_certificate() {
    let (Some(program), Some(anvil)) = (program("oracle-node"), anvil()) else {
        println!("skipped: oracle-node or anvil is not there (make setup build)");
        return;
    };
    let folder = std::env::temp_dir().join(format!("plumbline-pace-{}", std::process::id()));
    let mut world = World::start(&program, &anvil, &folder).await;
    world.configure().await;
    world.until("the term is active", async |w| w.activated().await).await;
    world.until("warm", async |w| w.posted_of(0).await.contains(&1).then_some(())).await;
    let before = counted(&world).await;
    for epoch in (4..EPOCHS).step_by(4).chain([EPOCHS]) {
        world.until("posted", async |w| w.posted_of(0).await.contains(&epoch).then_some(())).await;
    }
    let mut counts = counted(&world).await;
    counts.iter_mut().for_each(|(bound, count)| *count -= before[bound]);
    let all = *counts.values().last().unwrap();
    let p50 = quantile(&counts, all.div_ceil(2));
    let verdict = if p50 <= BAR { "ok" } else { "missed" };
    println!(
        "observation → certificate, n = 4, processes on loopback, p50 of {all}, s | {p50:.3} | bar {BAR} | {verdict}"
    );
    world.stop(&folder).await;
    assert!(all >= 4 * (EPOCHS - 2), "every member has certified every epoch: {counts:?}");
}

/// Reports of all nodes by upper bound, in microseconds; cumulative.
async fn counted(world: &World) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for node in &world.nodes {
        let page = String::from_utf8(node.api.bytes("/metrics").await.unwrap().unwrap()).unwrap();
        for line in page.lines() {
            let Some(row) = line.strip_prefix("oracle_report_seconds_bucket{le=\"") else { continue };
            let (bound, count) = row.split_once("\"} ").unwrap();
            let bound = bound.parse::<f64>().map_or(u64::MAX, |s| (s * 1e6).min(1e15) as u64);
            *counts.entry(bound).or_default() += count.parse::<u64>().unwrap();
        }
    }
    counts
}

/// The `rank`th shortest, seconds: evenly spread within its bucket, as Prometheus has it.
fn quantile(counts: &BTreeMap<u64, u64>, rank: u64) -> f64 {
    let (mut low, mut below) = (0, 0);
    for (bound, count) in counts {
        if *count >= rank {
            return (low as f64 + (bound - low) as f64 * (rank - below) as f64 / (count - below) as f64) / 1e6;
        }
        (low, below) = (*bound, *count);
    }
    f64::INFINITY
}
