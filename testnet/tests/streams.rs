//! Real processes serve two streams under one key: both are reported every epoch, a kill -9 in the middle leaves no gap in
//! either, and the member that was configured with a stream of its own is no trouble to anybody: what it says of that one is
//! dropped and counted.

#![allow(clippy::unwrap_used, clippy::expect_used)] // tests: a panic is the failure

mod support;

use std::time::Instant;

use support::{World, anvil, program};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_report_two_streams_and_ignore_a_third_that_one_makes_up() {
    let (Some(program), Some(anvil)) = (program("oracle-node"), anvil()) else {
        println!("skipped: oracle-node or anvil is not there (make setup build)");
        return;
    };
    let begun = Instant::now();
    let folder = std::env::temp_dir().join(format!("plumbline-streams-{}", std::process::id()));
    let streams: [&[u32]; 4] = [&[0, 1], &[1, 0], &[0, 1], &[0, 1, 9]];
    let mut world = World::start_with(&program, &anvil, &folder, streams).await;
    world.configure().await;
    world.until("the term is active", async |w| w.activated().await).await;
    for stream in [0, 1] {
        world.until("a stream is posted", async |w| w.posted_of(stream).await.contains(&0).then_some(())).await;
    }

    let logs = world.logs.clone();
    world.nodes[2].process.take().unwrap().kill().await.unwrap();
    world.nodes[2].start(&program, &logs);
    for stream in [0, 1] {
        world.until("four epochs are posted", async |w| w.posted_of(stream).await.contains(&3).then_some(())).await;
        world
            .until("the restarted member has certified them", async |w| {
                let status = w.nodes[2].api.json("/v1/status").await.unwrap()?;
                let certified = status["core"]["streams"][stream.to_string()]["last_certified"].as_u64()?;
                (certified >= 3).then_some(())
            })
            .await;
        let posted = world.posted_of(stream).await;
        assert!((0..=3).all(|epoch| posted.contains(&epoch)), "no epoch of stream {stream} is missing: {posted:?}");
    }

    let mut digests = Vec::new();
    for stream in [0, 1] {
        let report = world.nodes[0].api.need(&format!("/v1/reports/2?stream={stream}")).await.unwrap();
        assert_eq!((report["header"]["stream"].as_u64(), report["header"]["epoch"].as_u64()), (Some(stream), Some(2)));
        digests.push(report["digest"].clone());
        // One value for each instance, phase and view, of which there is one per stream.
        let said = world.nodes[0].api.need(&format!("/v1/statements?stream={stream}")).await.unwrap();
        let said = said["statements"].as_array().unwrap().clone();
        assert!(!said.is_empty() && said.iter().all(|row| row["stream"].as_u64() == Some(stream)), "{said:?}");
    }
    assert_ne!(digests[0], digests[1], "two streams, two reports");
    assert!(world.nodes[0].api.json("/v1/reports/2?stream=9").await.unwrap().is_none(), "stream 9 is not served here");

    for node in &world.nodes[..2] {
        let status = node.api.need("/v1/status").await.unwrap();
        assert!(status["core"]["unserved"].as_u64().unwrap() > 0, "what is said of stream 9 is counted: {status}");
        assert_eq!(status["core"]["streams"].as_object().unwrap().len(), 2);
    }
    assert!(world.posted_of(9).await.is_empty(), "nobody signs what one member makes up");
    println!("two streams, kill -9 and a made-up third: {:.0} s in all", begun.elapsed().as_secs_f32());
    world.stop(&folder).await;
}
