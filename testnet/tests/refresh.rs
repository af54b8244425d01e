//! Real processes refresh their shares: four nodes on a chain are asked by their operators' command, the registry takes the
//! new root, reports and beacons go on under the new shares, and the old ones are erased. The key stays the same.

#![allow(clippy::unwrap_used, clippy::expect_used)] // tests: a panic is the failure

mod support;

use std::time::Instant;

use alloy::sol_types::SolEvent as _;
use support::{World, anvil, program};
use testnet::committee::{path, run};

alloy::sol! {
    event SharesRefreshed(uint64 indexed committee, uint64 indexed term, bytes32 shareRoot);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_refresh_their_shares_and_go_on_reporting() {
    let (Some(program), Some(anvil)) = (program("oracle-node"), anvil()) else {
        println!("skipped: oracle-node or anvil is not there (make setup build)");
        return;
    };
    let begun = Instant::now();
    let folder = std::env::temp_dir().join(format!("plumbline-refresh-{}", std::process::id()));
    let mut world = World::start(&program, &anvil, &folder).await;
    world.configure().await;
    let first_root = world.until("the term is active", async |w| w.activated().await).await;
    world.until("the first report is posted", async |w| w.posted().await.first().copied()).await;

    let configs: Vec<_> = world.nodes.iter().map(|node| node.config()).collect();
    let said = run(&program, &["reshare", "--dry-run", "--config", path(&configs[0]).unwrap()]).await.unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("refreshes so far      0") && said.contains("3 of 4 members"), "{said}");
    for config in &configs[..3] {
        run(&program, &["reshare", "--no-wait", "--config", path(config).unwrap()]).await.unwrap();
    }
    // The fourth follows it to the end.
    let said = run(&program, &["reshare", "--timeout", "50", "--config", path(&configs[3]).unwrap()]).await.unwrap();
    let said = String::from_utf8(said).unwrap();
    println!("{said}");
    assert!(said.contains("done: the new shares count from epoch"), "{said}");

    let events = world.chain.events(world.set.registry).await.unwrap();
    let refreshed: Vec<_> = events.iter().filter_map(|log| SharesRefreshed::decode_log(log).ok()).collect();
    assert_eq!(refreshed.len(), 1, "four asks, one refresh");
    assert_ne!(refreshed[0].shareRoot, first_root);
    let status = world.nodes[0].api.need("/v1/status").await.unwrap();
    let from = status["core"]["bootstrap"]["refresh"]["from_epoch"].as_u64().unwrap();
    assert!(from > 0, "{status}");

    world
        .until("a report of the new shares is posted", async |w| w.posted().await.contains(&(from + 1)).then_some(()))
        .await;
    let posted = world.posted().await;
    assert!((0..=from + 1).all(|epoch| posted.contains(&epoch)), "no epoch is missing: {posted:?}");
    for index in 0..4 {
        world.until("the old share is erased", async |w| w.log(index).contains("shares_erased").then_some(())).await;
        let log = world.log(index);
        assert!(!log.contains("bad_partial"), "no partial of two sharings met: {log}");
    }

    // What is left on disk is enough to go on: kill -9 and start again.
    let logs = world.logs.clone();
    world.nodes[2].process.take().unwrap().kill().await.unwrap();
    world.nodes[2].start(&program, &logs);
    let last = from + 2;
    world
        .until("the restarted member certifies with its new share", async |w| {
            let status = w.nodes[2].api.json("/v1/status").await.unwrap()?;
            let certified = status["core"]["last_certified"].as_u64()? >= last;
            (certified && status["core"]["bootstrap"]["refresh"]["has_share"] == true).then_some(())
        })
        .await;
    println!("shares refreshed from epoch {from}; {:.0} s in all", begun.elapsed().as_secs_f32());
    world.stop(&folder).await;
}
