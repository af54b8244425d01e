//! The doppelganger guard with real processes: four members on a chain; one is killed and starts on its own store, then on an
//! older copy of it, and then gets a twin with its keys and an empty store. Nobody is to sign twice.
//! Leaves out: an image of a whole disk (docs/threat-model.md, what is left).

#![allow(clippy::unwrap_used, clippy::expect_used)] // tests: a panic is the failure

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{EPOCH_S, World, anvil, program};
use testnet::api::Api;
use testnet::committee::path;
use testnet::process::{Process, free_port, tail};

/// The member that all of it happens to.
const D: usize = 3;
/// How long its twin may run: three epochs end meanwhile, and a post takes a few seconds to be final.
const TWIN_RUNS: Duration = Duration::from_secs(3 * EPOCH_S + 10);

/// A statement that a node has in its journal: epoch, phase, view, value.
type Said = (u64, String, u64, String);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "70 seconds: make deep"]
async fn a_restart_speaks_an_older_store_listens_first_and_a_twin_stops() {
    let (Some(program), Some(anvil)) = (program("oracle-node"), anvil()) else {
        println!("skipped: oracle-node or anvil is not there (make setup build)");
        return;
    };
    let begun = Instant::now();
    let folder = std::env::temp_dir().join(format!("plumbline-guard-{}", std::process::id()));
    let mut world = World::start(&program, &anvil, &folder).await;
    world.configure().await;
    world.until("the term is active", async |w| w.activated().await).await;
    world.until("all four certify", async |w| part(w, 0, 0).await.filter(|took| *took)).await;

    let old = folder.join("old");
    restart(&mut world, &program, &old).await;
    restore(&mut world, &program, &old).await;
    twin(&mut world, &program, &folder.join("twin")).await;

    let posted = world.posted().await;
    let last = *posted.last().unwrap();
    assert!((0..=last).all(|epoch| posted.contains(&epoch)), "no epoch is missing: {posted:?}");
    for node in &world.nodes {
        let faults = node.api.need("/v1/faults").await.unwrap();
        assert_eq!(faults["faults"].as_array().unwrap().len(), 0, "{}: {faults}", node.name);
        let statements = node.api.need("/v1/statements").await.unwrap();
        assert_eq!(statements["contradictions_withheld"], 0, "{}", node.name);
    }
    println!("{} epochs, none missing, no fault; {:.0} s in all", last + 1, begun.elapsed().as_secs_f32());
    world.stop(&folder).await;
}

/// kill -9 and start on the same store: no listening. While it is down, the store is copied to `old`.
async fn restart(world: &mut World, program: &Path, old: &Path) {
    kill(world).await;
    copy(&world.nodes[D].folder.join("data"), old);
    // The epoch that runs now, by another member: to be observed when it ends.
    let running = status(&world.nodes[0].api).await["core"]["epoch"].as_u64().unwrap();
    let logs = world.logs.clone();
    world.nodes[D].start(program, &logs);
    world
        .until("the restarted member speaks of the epoch that it was killed in, or the next", async |w| {
            let said = said(&w.nodes[D].api, 1).await?;
            said.iter().any(|(epoch, ..)| (running..=running + 1).contains(epoch)).then_some(())
        })
        .await;
    assert!(!world.log(D).contains("only listens"), "a restart does not listen: {}", world.log(D));
    assert_eq!(listens(world).await, Some(false));
    world.until("and is counted", async |w| part(w, 0, running + 1).await.filter(|took| *took)).await;
}

/// The store is replaced by the older copy: it listens, says nothing of what it may have said, and takes part again.
async fn restore(world: &mut World, program: &Path, old: &Path) {
    let seen = said(&world.nodes[D].api, 1).await.unwrap().into_iter().map(|(epoch, ..)| epoch).max().unwrap();
    kill(world).await;
    let data = world.nodes[D].folder.join("data");
    std::fs::remove_dir_all(&data).unwrap();
    copy(old, &data);
    let (started, logs) = (Instant::now(), world.logs.clone());
    world.nodes[D].start(program, &logs);
    world.until("status: it only listens", async |w| listens(w).await.filter(|listens| *listens)).await;
    let metrics = String::from_utf8(world.nodes[D].api.bytes("/metrics").await.unwrap().unwrap()).unwrap();
    assert!(metrics.lines().any(|line| line == "oracle_listening 1"), "{metrics}");
    assert!(world.log(D).contains("the store is an older copy of itself"), "{}", world.log(D));
    let remembered = said(&world.nodes[D].api, 1).await.unwrap();
    assert!(remembered.iter().all(|(epoch, ..)| *epoch < seen), "votes of epoch {seen} are forgotten: {remembered:?}");

    let from = world.until("it takes part again", async |w| from_epoch(&w.log(D))).await;
    println!(
        "listened {:.1} s (epochs of {EPOCH_S} s); had spoken up to {seen}, speaks from {from}",
        started.elapsed().as_secs_f32()
    );
    assert!(from > seen, "nothing at or below {seen}");
    let (counted, _) = world
        .until("a report rests on its observation again", async |w| {
            for epoch in from..from + 8 {
                if part(w, 0, epoch).await? {
                    return Some((epoch, ()));
                }
            }
            None
        })
        .await;
    assert_eq!(listens(world).await, Some(false));
    let now = said(&world.nodes[D].api, 1).await.unwrap();
    let below: BTreeSet<Said> = now.iter().filter(|(epoch, ..)| *epoch < from).cloned().collect();
    assert_eq!(below, remembered, "nothing new below the floor {from}");
    assert!(now.iter().any(|(epoch, ..)| *epoch == counted), "and what was counted it said itself");
    for epoch in seen + 1..from {
        assert_ne!(part(world, 0, epoch).await, Some(true), "epoch {epoch} was certified without it");
    }
}

/// A second process with the keys, their mark, and an empty store, while the first runs: it says nothing, takes no session
/// of the first one's at the broker, and stops with exit code 3 as soon as a report of an epoch that ended after its start
/// is final: from the chain at the latest, since the network brings the members' messages to one of the two at best.
async fn twin(world: &mut World, program: &Path, folder: &Path) {
    let original = world.nodes[D].folder.clone();
    std::fs::create_dir_all(folder).unwrap();
    copy(&original.join("keys"), &folder.join("keys"));
    copy(&original.join("policy.json"), &folder.join("policy.json"));
    let http = free_port().unwrap();
    let config = std::fs::read_to_string(original.join("config.toml")).unwrap();
    let elsewhere = config.lines().map(|line| match line {
        line if line.starts_with("listen = \"/ip4") => {
            format!("listen = \"/ip4/127.0.0.1/tcp/{}\"\n", free_port().unwrap())
        }
        line if line.starts_with("listen = ") => format!("listen = \"127.0.0.1:{http}\"\n"),
        line => format!("{line}\n"),
    });
    std::fs::write(folder.join("config.toml"), elsewhere.collect::<String>()).unwrap();

    let lost = world.log(D).matches("no connection to the broker").count();
    let (begun, api, log) = (Instant::now(), Api::new(http).unwrap(), world.logs.join("twin.log"));
    let running = status(&world.nodes[0].api).await["core"]["epoch"].as_u64().unwrap();
    let config = folder.join("config.toml");
    let mut twin = Process::start("twin", program, &["run", "--config", path(&config).unwrap()], &world.logs).unwrap();
    let (mut looks, mut ended) = (0, None);
    while ended.is_none() {
        assert!(begun.elapsed() < TWIN_RUNS, "it does not notice the first one: {}", tail(&log, 30));
        for kind in 1..=6 {
            if let Some(said) = said(&api, kind).await {
                assert!(said.is_empty(), "a twin says nothing (kind {kind}): {said:?}");
                looks += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        ended = twin.check().err().map(|why| why.to_string());
    }
    let (took, ended) = (begun.elapsed(), ended.unwrap());
    let log_text = std::fs::read_to_string(&log).unwrap();
    assert!(log_text.contains("its keys were copied from another place"), "{}", tail(&log, 30));
    assert!(looks > 0, "it ran long enough to be looked at: {ended}");
    assert!(ended.contains("exit status: 3"), "{ended}");
    let member = world.nodes[D].actor.address().to_string();
    let alarm = log_text.lines().find(|line| line.contains("another process signs with the key of member"));
    let alarm = alarm.unwrap_or_else(|| panic!("no alarm: {}", tail(&log, 30)));
    let epoch = alarm.split_once("the report of epoch ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
    let epoch: u64 = epoch.unwrap_or_else(|| panic!("no epoch: {alarm}"));
    assert!(alarm.contains(&member), "whose key: {alarm}");
    assert!(epoch >= running, "an epoch that ended after its start: {epoch}, not before {running}");
    assert_eq!(part(world, 0, epoch).await, Some(true), "and that the first one did observe");
    assert_eq!(world.log(D).matches("no connection to the broker").count(), lost, "the first one keeps its broker");
    println!(
        "the twin stopped with exit code 3 after {:.1} s, {looks} looks at its empty journal: {alarm}",
        took.as_secs_f32()
    );

    // Whatever was agreed on meanwhile: the seat spoke with one voice (no fault: the end of the test), and speaks on.
    let next = status(&world.nodes[0].api).await["core"]["epoch"].as_u64().unwrap() + 1;
    world.until("the original is counted after it", async |w| part(w, 0, next).await.filter(|took| *took)).await;
}

/// kill -9 of the member.
async fn kill(world: &mut World) {
    world.nodes[D].process.take().unwrap().kill().await.unwrap();
}

/// Copies a file or folder: new inodes, as a backup has them.
fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(status.success(), "copy {} to {}", from.display(), to.display());
}

async fn status(api: &Api) -> Value {
    api.need("/v1/status").await.unwrap()
}

/// Whether the member says that it only listens; `None` while its API is not there or it does not know its seat.
async fn listens(world: &World) -> Option<bool> {
    let status = world.nodes[D].api.json("/v1/status").await.unwrap()?;
    status["member"].as_u64()?;
    status["listens"].as_bool()
}

/// A node's own statements of a kind of instance (1 = report), of stream 0.
async fn said(api: &Api, kind: u32) -> Option<BTreeSet<Said>> {
    let found = api.json(&format!("/v1/statements?kind={kind}&stream=0")).await.unwrap()?;
    let row = |row: &Value| {
        let value = row["value"].as_str()?.to_owned();
        Some((row["epoch"].as_u64()?, row["phase"].to_string(), row["view"].as_u64()?, value))
    };
    Some(found["statements"].as_array()?.iter().map(|one| row(one).expect("a statement")).collect())
}

/// Whether the report of an epoch, as another node has it, rests on an observation of the member; `None` = no report yet.
async fn part(world: &World, node: usize, epoch: u64) -> Option<bool> {
    let member = world.nodes[D].api.json("/v1/status").await.unwrap()?["member"].as_u64()?;
    let report = world.nodes[node].api.json(&format!("/v1/reports/{epoch}")).await.unwrap()?;
    let bits = report["header"]["participation"].as_str()?.trim_start_matches("0x");
    let bits = u128::from_str_radix(bits, 16).unwrap();
    Some(bits >> member & 1 == 1)
}

/// From which epoch the member speaks again, by its log.
fn from_epoch(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains("it takes part again"))?;
    let (_, number) = line.split_once("from_epoch=")?;
    number.split_whitespace().next()?.parse().ok()
}
