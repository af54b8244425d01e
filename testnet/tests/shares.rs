//! A member's share with real processes: exported, carried into an empty data folder and used from there; left out of a
//! refresh that it was away in, and given back by the next one.
//! Leaves out: refreshes of all four (`refresh`), the guard's own cases (`guard`).

#![allow(clippy::unwrap_used, clippy::expect_used)] // tests: a panic is the failure

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use support::{World, anvil, program};
use testnet::committee::path;

/// The member that all of it happens to.
const D: usize = 3;
/// Another one, which is stopped where D's share must be needed: three of four are the threshold.
const C: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "3 minutes: make deep"]
async fn a_share_is_carried_to_a_new_store_and_an_absent_member_gets_one_from_the_next_refresh() {
    let (Some(program), Some(anvil)) = (program("oracle-node"), anvil()) else {
        println!("skipped: oracle-node or anvil is not there (make setup build)");
        return;
    };
    let begun = Instant::now();
    let folder = std::env::temp_dir().join(format!("plumbline-shares-{}", std::process::id()));
    let mut world = World::start(&program, &anvil, &folder).await;
    world.configure().await;
    world.until("the term is active", async |w| w.activated().await).await;
    world.until("all four certify", async |w| part(w, 0).await.filter(|took| *took)).await;

    let status = world.nodes[D].api.need("/v1/status").await.unwrap();
    assert_eq!(status["member"], D, "members are in the order in which they were configured");

    let secret = carry(&mut world, &program, &folder).await;
    needed(&mut world, &program, "the imported share signs").await;
    left_out(&mut world, &program).await;
    let refresh = reshare(&mut world, &program, &[0, 1, C, D]).await;
    world.until("D has a share again", async |w| has_share(w).await.filter(|has| *has)).await;
    world.until("the new shares count", async |w| part(w, refresh + 1).await).await;
    needed(&mut world, &program, "the share of the second refresh signs").await;

    for (index, node) in world.nodes.iter().enumerate() {
        let faults = node.api.need("/v1/faults").await.unwrap();
        assert_eq!(faults["faults"].as_array().unwrap().len(), 0, "{}: {faults}", node.name);
        let statements = node.api.need("/v1/statements").await.unwrap();
        assert_eq!(statements["contradictions_withheld"], 0, "{}", node.name);
        assert!(!world.log(index).contains(&secret), "{}: a share is in the log", node.name);
        let wrong = world.log(index).matches("bad_partial").count();
        assert!(index == D || wrong == 0, "{}: somebody signed with a share that does not count: {wrong}", node.name);
    }
    println!("{:.0} s in all", begun.elapsed().as_secs_f32());
    world.stop(&folder).await;
}

/// Export, an empty data folder, import, with everything that is refused on the way; gives the share's secret.
async fn carry(world: &mut World, program: &Path, folder: &Path) -> String {
    let config = world.nodes[D].config();
    let (config, out) = (path(&config).unwrap(), folder.join("share.json"));
    let (right, wrong) =
        (private(folder, "right", "a long password\n"), private(folder, "wrong", "another password\n"));
    let export =
        ["keys", "export-share", "--config", config, "--out", path(&out).unwrap(), "--new-password-file", &right];
    let (code, said) = oracle(program, &export);
    assert!(code == Some(1) && said.contains("is the node stopped?") && !out.exists(), "{code:?} {said}");

    let seen = spoken(world).await.into_iter().max().unwrap();
    kill(world, D).await;
    let (code, exported) = oracle(program, &export);
    assert_eq!(code, Some(0), "{exported}");
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let whole = std::fs::read_to_string(&out).unwrap();
    let (code, said) = oracle(program, &export);
    assert!(code != Some(0) && said.contains("share.json"), "never overwritten: {said}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), whole);
    let bare = folder.join("bare");
    let take = ["keys", "import", path(&out).unwrap(), "--kind", "store", "--plain", "--out", path(&bare).unwrap()];
    let (code, said) = oracle(program, &[&take[..], &["--from-password-file", &right]].concat());
    assert_eq!(code, Some(0), "{said}");
    let secret = std::fs::read_to_string(&bare).unwrap().trim().trim_start_matches("0x").to_owned();
    assert!(secret.len() == 64 && !whole.contains(&secret) && !exported.contains(&secret), "the file is sealed");

    std::fs::rename(world.nodes[D].folder.join("data"), folder.join("data-before")).unwrap();
    let own = world.nodes[D].actor.address().to_string();
    let other = world.nodes[0].actor.address().to_string();
    let document: Value = serde_json::from_str(&whole).unwrap();
    let lower = |text: &str| text.replace(&own.to_lowercase(), &other.to_lowercase()).replace(&own, &other);
    let mut elsewhere = document.clone();
    replace(&mut elsewhere, "committee", 2.into());
    let receipt = world.nodes[D].folder.join("keys/receipt.key");
    let key = folder.join("receipt.json");
    let (code, said) = oracle(
        program,
        &["keys", "export", path(&receipt).unwrap(), "--out", path(&key).unwrap(), "--new-password-file", &right],
    );
    assert_eq!(code, Some(0), "{said}");
    let open = private(folder, "open.json", &whole);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = [
        (path(&out).unwrap().to_owned(), &wrong, 3, "does not open"),
        (private(folder, "cut.json", &whole[..whole.len() / 2]), &right, 1, "cut.json"),
        (private(folder, "foreign.json", &lower(&whole)), &right, 1, "this is the share of member"),
        (private(folder, "committee.json", &elsewhere.to_string()), &right, 1, "in committee 2"),
        (path(&key).unwrap().to_owned(), &right, 1, "is no exported share"),
        (open, &right, 3, "chmod 600"),
    ];
    let import = |from: &str, password: &str| {
        let arguments = ["keys", "import-share", from, "--config", config, "--from-password-file", password];
        oracle(program, &arguments)
    };
    for (from, password, wanted, words) in refused {
        let (code, said) = import(&from, password);
        assert!(code == Some(wanted) && said.contains(words) && !said.contains(&secret), "{from}: {code:?} {said}");
    }
    let (code, said) = import(path(&out).unwrap(), &right);
    assert!(code == Some(0) && said.contains("is in the store") && !said.contains(&secret), "{said}");
    let (code, said) = import(path(&out).unwrap(), &right);
    assert!(code == Some(0) && said.contains("already"), "{said}");

    let (logs, before) = (world.logs.clone(), world.log(D).len());
    world.nodes[D].start(program, &logs);
    let from = world.until("D takes part again", async |w| from_epoch(&w.log(D)[before..])).await;
    assert!(from > seen, "nothing at or below {seen}: {from}");
    world.until("a report rests on its observation", async |w| counted(w, from).await).await;
    let spoken = spoken(world).await;
    assert!(!spoken.is_empty() && spoken.iter().all(|epoch| *epoch >= from), "from {from}: {spoken:?}");
    assert_eq!(has_share(world).await, Some(true));
    secret
}

/// Without C, reports need D's share.
async fn needed(world: &mut World, program: &Path, what: &str) {
    kill(world, C).await;
    // What runs now may have been signed with C's; not what begins later.
    let next = epoch(world).await + 2;
    world.until(what, async |w| part(w, next).await.filter(|took| *took)).await;
    let logs = world.logs.clone();
    world.nodes[C].start(program, &logs);
    let next = epoch(world).await + 1;
    world.until("C is back", async |w| part(w, next).await).await;
}

/// D is away while the others refresh: it is told, disturbs nobody, and observes.
async fn left_out(world: &mut World, program: &Path) {
    kill(world, D).await;
    let refresh = reshare(world, program, &[0, 1, C]).await;
    world.until("the others report with the new shares", async |w| part(w, refresh + 1).await).await;
    let logs = world.logs.clone();
    world.nodes[D].start(program, &logs);
    world.until("D is told that it has no share", async |w| w.log(D).contains("share_missing").then_some(())).await;
    assert_eq!(has_share(world).await, Some(false));
    let now = epoch(world).await;
    world.until("D observes all the same", async |w| counted(w, now + 1).await).await;
    assert_eq!(has_share(world).await, Some(false), "and has no share until the next refresh");
}

/// These members' operators ask for a refresh; gives the first epoch of the new shares.
async fn reshare(world: &mut World, program: &Path, who: &[usize]) -> u64 {
    let configs: Vec<PathBuf> = who.iter().map(|index| world.nodes[*index].config()).collect();
    for config in &configs {
        let (code, said) = oracle(program, &["reshare", "--no-wait", "--config", path(config).unwrap()]);
        assert_eq!(code, Some(0), "{said}");
    }
    let before = refreshed(world).await.unwrap().0;
    let done = async |w: &World| refreshed(w).await.filter(|(count, _)| *count > before);
    world.until("the chain has the new share root", done).await.1
}

/// Refreshes that node A has seen on the chain, and the first epoch of the newest shares.
async fn refreshed(world: &World) -> Option<(u64, u64)> {
    let status = world.nodes[0].api.json("/v1/status").await.unwrap()?;
    let refresh = &status["core"]["bootstrap"]["refresh"];
    Some((refresh["refreshed"].as_u64()?, refresh["from_epoch"].as_u64()?))
}

async fn has_share(world: &World) -> Option<bool> {
    let status = world.nodes[D].api.json("/v1/status").await.unwrap()?;
    status["core"]["bootstrap"]["refresh"]["has_share"].as_bool()
}

async fn epoch(world: &World) -> u64 {
    world.nodes[0].api.need("/v1/status").await.unwrap()["core"]["epoch"].as_u64().unwrap()
}

async fn kill(world: &mut World, index: usize) {
    world.nodes[index].process.take().unwrap().kill().await.unwrap();
}

/// Epochs whose report D has spoken of, as its journal holds them.
async fn spoken(world: &World) -> Vec<u64> {
    let found = world.nodes[D].api.need("/v1/statements?kind=1&stream=0").await.unwrap();
    found["statements"].as_array().unwrap().iter().map(|one| one["epoch"].as_u64().unwrap()).collect()
}

/// Whether the report of an epoch, as node A has it, rests on an observation of D; `None` = no report yet.
async fn part(world: &World, epoch: u64) -> Option<bool> {
    let report = world.nodes[0].api.json(&format!("/v1/reports/{epoch}")).await.unwrap()?;
    let bits = report["header"]["participation"].as_str()?.trim_start_matches("0x");
    Some(u128::from_str_radix(bits, 16).unwrap() >> D & 1 == 1)
}

/// An epoch from `from` on whose report rests on an observation of D.
async fn counted(world: &World, from: u64) -> Option<u64> {
    for epoch in from..from + 8 {
        if part(world, epoch).await? {
            return Some(epoch);
        }
    }
    None
}

/// From which epoch D speaks again, by its log.
fn from_epoch(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains("it takes part again"))?;
    line.split_once("from_epoch=")?.1.split_whitespace().next()?.parse().ok()
}

/// A file that only its owner reads.
fn private(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    path(&file).unwrap().to_owned()
}

/// Replaces every value of this name, at whatever depth.
fn replace(document: &mut Value, name: &str, with: Value) {
    let Some(fields) = document.as_object_mut() else { return };
    for (key, value) in fields {
        if key == name {
            *value = with.clone();
        }
        replace(value, name, with.clone());
    }
}

/// Runs `oracle-node …`; gives the exit code and everything it said.
fn oracle(program: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env_remove("ORACLE_NODE_PASSWORD");
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}
