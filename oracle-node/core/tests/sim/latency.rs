//! How long a committee takes from observation (cut-off and δ) to the certificate, in simulated time: 50±20 ms per message,
//! nothing lost. Computing takes no time here, so this measures the protocol's hops, not the machine.

use crate::committee::{Climate, Committee};
use crate::epochs::FAIR;

/// Mean delay of a message, ms: one hop.
const HOP_MS: u64 = 50;

/// Runs so many epochs; prints the row and gives the median and the 95th percentile, ms, over members and epochs.
fn measure(n: u32, epochs: u64, uneven: bool) -> (u64, u64) {
    let delay = (HOP_MS - 20, HOP_MS + 20);
    let climate = Climate { n, epochs, delay, uneven, ..FAIR };
    let mut committee = Committee::new(climate, 1);
    assert_eq!(committee.run(), [""; 0]);
    let mut all = committee.latencies;
    all.sort_unstable();
    assert!(all.len() >= n as usize * epochs as usize, "everybody certified everything");
    let (p50, p95) = (all[all.len() / 2], all[all.len() * 95 / 100]);
    let hops = |ms: u64| format!("{}.{}", ms / HOP_MS, ms % HOP_MS * 10 / HOP_MS);
    println!(
        "simulated n={n}, {HOP_MS}±20 ms a hop, {epochs} epochs, {}: observation → certificate p50 {p50} ms = {} hops, \
         p95 {p95} ms = {} hops",
        if uneven { "every bucket differs" } else { "equal buckets" },
        hops(p50),
        hops(p95)
    );
    (p50, p95)
}

/// At most ten hops with 31 members, also when every bucket differs and all of them must be pulled.
#[test]
fn latency_of_thirty_one() {
    for uneven in [false, true] {
        let (p50, p95) = measure(31, 1, uneven);
        assert!(p50.max(p95) <= 10 * HOP_MS, "p50 {p50} ms, p95 {p95} ms: more than ten hops");
    }
}

#[test]
#[ignore = "minutes: make deep runs it"]
fn latency_of_a_hundred() {
    measure(100, 1, true);
}
