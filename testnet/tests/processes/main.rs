//! Real oracle nodes under faults, each in a network namespace of its own: partition, heal, kill -9, a slow member. After
//! each of them every member has every epoch, with one certificate, and nobody can prove anything against anybody.
//!
//! `.ci/netns` makes the namespaces and runs this; without them (PLUMBLINE_NETNS unset) the tests say that they are skipped.
//! Leaves out: devices and money (`make demo`), and faults that only a simulation can time (`oracle-node/core/tests/sim`).

#![allow(clippy::unwrap_used)] // tests: a panic is the failure

mod network;

use std::time::Duration;

use network::{EPOCH, Network};

/// Time after a fault is over until everybody must have everything: two epochs, and views that time out on the way.
const PATIENCE: Duration = Duration::from_secs(60);

/// The namespaces' prefix; `None` when this runs without them.
fn namespaces() -> Option<String> {
    let prefix = std::env::var("PLUMBLINE_NETNS").ok();
    if prefix.is_none() {
        println!("skipped: no network namespaces; .ci/netns makes them and runs this");
    }
    prefix
}

#[tokio::test]
async fn four_members() {
    let Some(prefix) = namespaces() else { return };
    let mut network = Network::start(&prefix, 4).await;
    network.all_certify(0, PATIENCE).await;

    // Two and two: neither side can decide, so nothing that ends meanwhile is certified anywhere.
    network.split(&[&[0, 1], &[2, 3]]).await;
    let stuck = network.epoch_now();
    network.sleep(2 * EPOCH).await;
    for node in 0..4 {
        assert!(!network.has(node, stuck + 1).await, "member {node} certified epoch {} without a quorum", stuck + 1);
    }
    network.say("2|2: nothing certified for two epochs");
    network.heal().await;
    network.all_certify(network.epoch_now() - 1, PATIENCE).await;

    // kill -9 in the middle of an epoch; the others go on; it comes back and catches up.
    network.kill(2).await;
    let from = network.epoch_now();
    network.certify(&[0, 1, 3], from + 1, PATIENCE).await;
    network.revive(2);
    network.all_certify(network.epoch_now() - 1, PATIENCE).await;

    // Killed at the moment when votes and partials are in the air, again and again.
    for node in [0, 3, 1] {
        network.sleep_until_agreement().await;
        network.kill(node).await;
        network.sleep(Duration::from_millis(700)).await;
        network.revive(node);
    }
    network.all_certify(network.epoch_now() - 1, PATIENCE).await;

    network.slow(1, 2 * EPOCH).await;
    network.all_certify(network.epoch_now() - 1, PATIENCE).await;
    network.finish().await;
}

#[tokio::test]
async fn seven_members() {
    let Some(prefix) = namespaces() else { return };
    let mut network = Network::start(&prefix, 7).await;
    network.all_certify(0, PATIENCE).await;

    // Five and two: the five are a quorum and go on, the two wait.
    network.split(&[&[0, 1, 2, 3, 4], &[5, 6]]).await;
    let from = network.epoch_now();
    network.certify(&[0, 1, 2, 3, 4], from + 1, PATIENCE).await;
    for node in [5, 6] {
        assert!(!network.has(node, from + 1).await, "member {node} has what only the other side can have");
    }
    network.say("5|2: the five went on, the two did not");
    network.heal().await;
    network.all_certify(network.epoch_now() - 1, PATIENCE).await;

    // f of them killed at once.
    network.kill(0).await;
    network.kill(4).await;
    let from = network.epoch_now();
    network.certify(&[1, 2, 3, 5, 6], from + 1, PATIENCE).await;
    network.revive(0);
    network.revive(4);
    network.all_certify(network.epoch_now() - 1, PATIENCE).await;

    network.slow(3, 2 * EPOCH).await;
    network.all_certify(network.epoch_now() - 1, PATIENCE).await;
    network.finish().await;
}
