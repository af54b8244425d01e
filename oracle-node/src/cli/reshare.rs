//! `oracle-node reshare`: asks the running node to take part in a refresh of the shares, and shows how far it is.
//! docs/reshare.md. Leaves out: the refresh itself, which runs inside `run`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use oracle_node::config::Config;
use oracle_node::control;
use serde_json::Value;

use super::{Api, ask, plain};

/// Time between two questions to the node.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct Reshare {
    /// The configuration file; its data folder takes the request, its [http] listen is asked.
    #[arg(long, value_name = "PATH", default_value = "config.toml")]
    config: PathBuf,
    /// Number of the refresh, unix seconds of its first ask; left out, the one that other members wait for, or a new one.
    #[arg(long, value_name = "N")]
    number: Option<u64>,
    /// Show where things stand and what would happen; ask for nothing.
    #[arg(long)]
    dry_run: bool,
    /// Ask and return; the refresh goes on without this command.
    #[arg(long)]
    no_wait: bool,
    /// Longest wait for the end, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800)]
    timeout: u64,
}

/// `reshare`
pub(crate) async fn reshare(args: &Reshare) -> anyhow::Result<()> {
    let api = Api { config: args.config.clone(), api: None, json: false };
    let status = ask(&api, "/v1/status").await?;
    let before = refresh_of(&status)?;
    if args.number == Some(0) {
        bail!("a refresh is numbered by the time of its first ask; 0 names none");
    }
    let number = args.number.or_else(|| before["next"].as_u64()).unwrap_or(1);
    plan(&status, before, number);
    if args.dry_run {
        return Ok(());
    }
    let running = before["phase"] != "idle" && before["phase"] != "done";
    if args.number.is_none() && running {
        println!("refresh {} is under way here already; nothing new is asked for", plain(&before["number"]));
    } else {
        let config = Config::load(&args.config)?;
        control::ask_refresh(&config.data_dir, args.number.unwrap_or(0))?;
    }
    if args.no_wait {
        return Ok(());
    }
    follow(&api, before["refreshed"].as_u64().unwrap_or(0), Duration::from_secs(args.timeout)).await
}

fn refresh_of(status: &Value) -> anyhow::Result<&Value> {
    let refresh = &status["core"]["bootstrap"]["refresh"];
    if refresh.is_null() {
        bail!("the node takes part in no term yet; a refresh needs one that is active");
    }
    Ok(refresh)
}

/// What stands and what would happen, one line each.
fn plan(status: &Value, refresh: &Value, number: u64) {
    let members = status["members"].as_u64().unwrap_or(0);
    let quorum = members - members.saturating_sub(1) / 3;
    println!("refreshes so far      {}", plain(&refresh["refreshed"]));
    println!("newest shares count   from epoch {}", plain(&refresh["from_epoch"]));
    println!(
        "this node's share     {}",
        if refresh["has_share"] == true { "held" } else { "missing; a refresh gives one" }
    );
    println!("refresh               {number}");
    println!("asked for it          members {}", plain(&refresh["asked"]));
    println!("it begins             once {quorum} of {members} members have asked; who has not by then is left out");
    if let Some(failure) = refresh["failure"].as_str() {
        println!("last one              {failure}");
    }
}

/// Prints every change until the chain has taken a refresh, or it has failed.
async fn follow(api: &Api, refreshed: u64, patience: Duration) -> anyhow::Result<()> {
    let (begun, mut last) = (Instant::now(), String::new());
    while begun.elapsed() < patience {
        tokio::time::sleep(LOOK).await;
        let status = ask(api, "/v1/status").await?;
        let refresh = refresh_of(&status)?;
        let line = line(refresh);
        if line != last {
            println!("{line}");
            last = line;
        }
        if refresh["refreshed"].as_u64().is_some_and(|now| now > refreshed) {
            println!("done: the new shares count from epoch {}", plain(&refresh["from_epoch"]));
            return Ok(());
        }
        if refresh["phase"] == "idle"
            && let Some(failure) = refresh["failure"].as_str()
        {
            bail!("{failure}; nothing has changed, ask again for the next number");
        }
    }
    bail!("not done within {} s; it goes on inside the node (see: oracle-node reshare --dry-run)", patience.as_secs());
}

fn line(refresh: &Value) -> String {
    let count = |name: &str| plain(&refresh[name]);
    format!(
        "{:<12} asked {} | absent {} | acks {} | logs {} | partials {} | activations {} | waits for {}",
        count("phase"),
        count("asked"),
        count("absent"),
        count("acks"),
        count("logs"),
        count("partials"),
        count("activations"),
        count("waiting_for")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_whom_it_waits_for() {
        let refresh = serde_json::json!({
            "phase": "dealing", "asked": [0, 1, 2], "absent": [3], "acks": 3, "logs": 0, "partials": 0,
            "activations": 0, "waiting_for": [2],
        });
        let line = line(&refresh);
        assert!(line.starts_with("dealing") && line.contains("absent 3") && line.ends_with("waits for 2"), "{line}");
        assert!(refresh_of(&serde_json::json!({"core": null})).is_err());
    }
}
