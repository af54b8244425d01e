//! `oracle-node faults`: what proofs of equivocation a node holds, and bringing one to the chain.
//! Leaves out: the contract's call (`oracle_node::chain::submit_fault`).

use std::path::PathBuf;

use alloy::primitives::Address;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use oracle_core::fault::Published;
use oracle_node::chain::{Rpc, submit_fault};
use oracle_node::config::Config;
use oracle_node::keys::{KeyError, Passwords, Secret};

use super::{Api, OutOfReach, ask};

/// `oracle-node faults`
#[derive(Debug, Subcommand)]
pub(crate) enum FaultsCommand {
    /// List the fault proofs that a running node holds; each is a line of JSON with --json, a file for everyone.
    #[command(after_help = "Example:\n  oracle-node faults list --config node-a/config.toml --json > faults.jsonl")]
    List(Api),
    /// Bring fault proofs to OperatorStake: the bond is cut, and this member rewarded. Costs gas.
    #[command(after_help = "Example:\n  oracle-node faults submit --config node-a/config.toml\n  \
        oracle-node faults submit proof.json --config node-a/config.toml --stake 0x…")]
    Submit(Submit),
}

#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// One proof, as `faults list --json` prints it; without it all that the node holds.
    proof: Option<PathBuf>,
    #[command(flatten)]
    api: Api,
    /// OperatorStake, if [chain] stake does not name it.
    #[arg(long, value_name = "ADDR")]
    stake: Option<Address>,
}

/// `faults`
pub(crate) async fn faults(command: &FaultsCommand) -> anyhow::Result<()> {
    match command {
        FaultsCommand::List(api) => list(api).await,
        FaultsCommand::Submit(submit) => bring(submit).await,
    }
}

async fn held(api: &Api) -> anyhow::Result<Vec<Published>> {
    let answer = ask(api, "/v1/faults").await?;
    let Some(list) = answer.get("faults") else { bail!("the node answered: {answer}") };
    Ok(serde_json::from_value(list.clone())?)
}

async fn list(api: &Api) -> anyhow::Result<()> {
    let faults = held(api).await?;
    if faults.is_empty() && !api.json {
        println!("no member was seen to contradict itself");
    }
    for fault in faults {
        if api.json {
            println!("{}", serde_json::to_string(&fault)?);
        } else {
            println!("{} contradicted itself: {}", fault.member, fault.about);
        }
    }
    Ok(())
}

async fn bring(submit: &Submit) -> anyhow::Result<()> {
    let config = Config::load(&submit.api.config)?;
    let Some(stake) = submit.stake.or(config.chain.stake) else {
        bail!("where is OperatorStake? Give --stake, or set [chain] stake")
    };
    let faults = match &submit.proof {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
            vec![serde_json::from_str(&text).with_context(|| format!("{} is no fault proof", path.display()))?]
        }
        None => held(&submit.api).await?,
    };
    let key: Result<Secret, KeyError> =
        Secret::read(&config.keys.member, &Passwords::new(config.keys.password_file.clone()));
    let rpc = Rpc::new(&config.chain.rpc, &key?)?;
    let mut refused = 0;
    for fault in &faults {
        match submit_fault(&rpc, stake, fault).await {
            Ok(done) => println!("{} was slashed in {}; the reward is booked", done.member, done.cut),
            Err(error) => {
                refused += 1;
                eprintln!("{}, {}: {error}", fault.member, fault.about);
            }
        }
    }
    if refused > 0 {
        return Err(OutOfReach(format!("{refused} of {} proofs were not taken", faults.len())).into());
    }
    Ok(())
}
