//! The last word is others': the archive replayed offline by `plumbline`, certificates and chain record read by noble-curves
//! and viem. Leaves out: what was paid (`settle`).

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tokio::process::Command;

use crate::committee::path;
use crate::demo::{Checks, Sabotage};
use crate::network::Network;
use crate::progress::Progress;
use crate::rules;

/// Exports the chain log and replays the archive with `plumbline` in an empty network namespace.
///
/// # Errors
/// When the log cannot be exported or the auditor not be started.
pub async fn replay(network: &Network, sabotage: Sabotage, progress: &Progress, checks: &mut Checks) -> Result<()> {
    let step = progress.step("offline replay");
    let folder = network.place.folder("archive")?;
    let (log, book) = (network.place.run.join("chain.jsonl"), network.place.run.join("book.jsonl"));
    let contracts = &network.contracts;
    let blocks = network.chain.export(&contracts.logged(), contracts.first_block, &log).await?;
    std::fs::write(&book, rules::book().text())?;
    if sabotage == Sabotage::Archive {
        spoil(&folder.join("epoch-000002.bundle"))?;
    }
    let numbers = [network.chain.id.to_string(), rules::COMMITTEE.to_string(), rules::TERM.to_string()];
    let addresses = contracts.logged().map(|address| address.to_string());
    let [registry, devices, escrow, hub] = &addresses;
    let [chain_id, committee, term] = &numbers;
    let arguments = [
        "replay",
        "--archive",
        path(&folder)?,
        "--chain-log",
        path(&log)?,
        "--book",
        path(&book)?,
        "--chain-id",
        chain_id,
        "--registry",
        registry,
        "--devices",
        devices,
        "--escrow",
        escrow,
        "--hub",
        hub,
        "--committee",
        committee,
        "--term",
        term,
    ];
    let alone = Command::new("unshare").args(["-rn", "true"]).stdin(Stdio::null()).stderr(Stdio::null()).status().await;
    let alone = alone.is_ok_and(|status| status.success());
    let mut command = if alone {
        let mut command = Command::new("unshare");
        command.arg("-rn").arg(&network.place.auditor);
        command
    } else {
        Command::new(&network.place.auditor)
    };
    let output = command.args(arguments).stdin(Stdio::null()).process_group(0).kill_on_drop(true).output().await?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    let setting = if alone {
        "in an empty network namespace"
    } else {
        "without a namespace of its own (unshare is not permitted here)"
    };
    let held = output.status.success() && said.contains("every digest matches");
    step.done(&format!("{} epochs, {blocks} blocks of chain log, {setting}", rules::EPOCHS));
    // A line for each epoch is for those who look for what went wrong.
    for line in said.lines().chain(complained.lines()).filter(|line| !held || !line.starts_with("epoch ")) {
        println!("    {line}");
    }
    checks.hold("offline replay", held, || {
        format!(
            "{}: {}",
            output.status,
            said.lines().chain(complained.lines()).next_back().unwrap_or("it said nothing")
        )
    });
    Ok(())
}

/// Sabotage: one byte of an archived epoch.
fn spoil(bundle: &Path) -> Result<()> {
    let mut bytes = std::fs::read(bundle)?;
    let middle = bytes.len() / 2;
    let Some(byte) = bytes.get_mut(middle) else { bail!("{} is empty", bundle.display()) };
    *byte ^= 1;
    std::fs::write(bundle, bytes).with_context(|| format!("write {}", bundle.display()))
}

/// The same certificates and the same chain record, read by viem and noble-curves in Node.
pub async fn other_libraries(network: &Network, progress: &Progress, checks: &mut Checks) {
    let step = progress.step("other people's libraries");
    let result = verify_with_node(network).await;
    let outcome = checks.step("certificates by noble-curves, chain by viem", result);
    step.done(outcome.as_deref().unwrap_or("failed"));
}

async fn verify_with_node(network: &Network) -> Result<String> {
    let addresses = network.place.run.join("verify.json");
    let contracts = &network.contracts;
    let text = json!({
        "rpc": network.chain.url,
        "committee": rules::COMMITTEE,
        "term": rules::TERM,
        "registry": contracts.registry,
        "hub": contracts.hub,
    });
    std::fs::write(&addresses, serde_json::to_vec_pretty(&text)?)?;
    let script = network.place.root.join("contracts/check/verify.mjs");
    let output = Command::new("node")
        .args([path(&script)?, path(&addresses)?])
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await
        .context("start node")?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let last = said.lines().next_back().unwrap_or_default().to_owned();
    // More than the epochs of the leases when settling took long: the committee goes on.
    let count = last.split_once(" reports verified").and_then(|(count, _)| count.parse().ok());
    if !output.status.success() || count.is_none_or(|count: u64| count < rules::EPOCHS) {
        bail!("{}: {said} {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(last)
}
