//! The command line: its flags, its help, and what each command does short of running the node.
//! Leaves out: exit codes and logging (`main`), the node itself (`oracle_node::node`).

mod faults;
mod keys;
mod reshare;
mod rotate;
mod share;

use std::path::{Path, PathBuf};

use alloy::transports::http::reqwest;
use clap::{Args, Parser, Subcommand};
use oracle_node::chain::Rpc;
use oracle_node::config::Config;
use oracle_node::keys::Keys;
use serde_json::Value;

pub(crate) use faults::{FaultsCommand, faults};
pub(crate) use keys::{How, KeysArgs, init, keys};
pub(crate) use reshare::{Reshare, reshare};
pub(crate) use rotate::{Rotate, rotate};

/// One member of a Plumbline committee: hears devices, agrees with the other members on what was proven, signs, reports.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "From nothing to a running node:\n  \
        oracle-node init ./node-a                 # keys (under a password) and a configuration to edit\n  \
        oracle-node keys --config node-a/config.toml      # what governance and the bond need to know\n  \
        oracle-node register --config node-a/config.toml  # publish keys and endpoint on the chain\n  \
        oracle-node run --config node-a/config.toml       # serve; the key ceremony happens in here\n\n\
        Exit codes: 0 done, 1 failed while running, 2 wrong flags, 3 configuration or keys, 4 API or chain out of reach."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a folder with five new keys (four of the member, one that seals its store) and a configuration to edit.
    #[command(after_help = "Example:\n  oracle-node init ./node-a\n\nNothing that exists is overwritten.")]
    Init {
        /// The folder; made when missing.
        dir: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Print the public identities as JSON (address, transport, key generation and receipt keys); or make, import, export
    /// and inspect key files.
    #[command(after_help = "Example:\n  oracle-node keys --config node-a/config.toml | jq -r .address")]
    Keys(KeysArgs),
    /// Publish this member's keys and endpoint: CommitteeRegistry.register. The member's address needs gas, and its bond.
    #[command(after_help = "Example:\n  oracle-node register --config node-a/config.toml")]
    Register(ConfigPath),
    /// Run the node until SIGINT or SIGTERM. It waits for a chain, brokers and members that are not up yet.
    #[command(after_help = "Example:\n  RUST_LOG=info oracle-node run --config node-a/config.toml")]
    Run(ConfigPath),
    /// Certificates and a mosquitto configuration for a broker that you run.
    #[command(subcommand)]
    Broker(oracle_node::broker_config::BrokerCommand),
    /// Ask a running node how it is.
    #[command(
        after_help = "Examples:\n  oracle-node status --config node-a/config.toml\n  oracle-node status --api http://127.0.0.1:8080 --json"
    )]
    Status(Api),
    /// Show how far the key ceremony is, and whom it waits for. The ceremony itself runs inside `run`.
    #[command(after_help = "Example:\n  oracle-node dkg --config node-a/config.toml")]
    Dkg(Api),
    /// Give every member a new share of the same key: asks the running node to take part, and shows how far it is.
    #[command(
        after_help = "Examples:\n  oracle-node reshare --config node-a/config.toml --dry-run\n  oracle-node reshare --config node-a/config.toml"
    )]
    Reshare(Reshare),
    /// Show how far the hand-over to the next term is. It happens inside `run`, once governance has configured that term.
    #[command(
        after_help = "Examples:\n  oracle-node rotate --config node-a/config.toml --dry-run\n  oracle-node rotate --config node-a/config.toml --wait"
    )]
    Rotate(Rotate),
    /// Proofs that members contradicted themselves: list them, bring them to the chain.
    #[command(subcommand)]
    Faults(FaultsCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ConfigPath {
    /// The configuration file.
    #[arg(long, value_name = "PATH", default_value = "config.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Api {
    /// The configuration file; its [http] listen is asked.
    #[arg(long, value_name = "PATH", default_value = "config.toml")]
    config: PathBuf,
    /// The API to ask instead, for example http://127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// The API or the chain does not answer: exit code 4.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct OutOfReach(String);

/// `register`
pub(crate) async fn register(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    let keys = Keys::load(&config.keys)?;
    let public = keys.public();
    let bytes = |text: &str| -> anyhow::Result<[u8; 32]> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim_start_matches("0x"), &mut key)?;
        Ok(key)
    };
    let triple = [bytes(&public.peer_key)?, bytes(&public.dkg_key)?, bytes(&public.receipt_key)?];
    let rpc = Rpc::new(&config.chain.rpc, &keys.member_secret)?;
    let sent = rpc.register(config.chain.registry, config.committee, triple, &config.gossip.endpoint).await;
    let hash = sent.map_err(|error| OutOfReach(format!("not registered: {error}")))?;
    println!(
        "{} registered for committee {} at {} in {hash}",
        public.address, config.committee, config.gossip.endpoint
    );
    Ok(())
}

async fn ask(api: &Api, path: &str) -> anyhow::Result<Value> {
    let base = match &api.api {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", Config::load(&api.config)?.http.listen),
    };
    let unreachable =
        |error: reqwest::Error| OutOfReach(format!("no answer from {base}: {error}; is the node running?"));
    let response = reqwest::get(format!("{base}{path}")).await.map_err(unreachable)?;
    Ok(serde_json::from_slice(&response.bytes().await.map_err(unreachable)?)?)
}

/// `status`
pub(crate) async fn status(api: &Api) -> anyhow::Result<()> {
    let status = ask(api, "/v1/status").await?;
    if api.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(());
    }
    let core = &status["core"];
    let rows = [
        ("address", &status["identity"]["address"]),
        ("member", &status["member"]),
        ("members of the term", &status["members"]),
        ("members connected", &status["peers_connected"]),
        ("brokers connected", &status["brokers_connected"]),
        ("finalized block", &status["chain"]["block"]),
        ("phase", &core["phase"]),
        ("streams", &status["streams"]),
        ("epoch, by the clock", &core["epoch"]),
        ("slot, by the clock", &core["slot"]),
        ("last decided epoch", &core["last_decided"]),
        ("last certified epoch", &core["last_certified"]),
        ("last posted epoch", &core["last_posted"]),
        ("void slots of it", &core["void_slots"]),
        ("behind the others", &core["behind"]),
        ("only listens", &status["listens"]),
        ("clock offset, ms", &status["clock"]["offset_ms"]),
        ("clock alarm", &status["clock"]["alarm"]),
    ];
    for (name, value) in rows {
        println!("{name:<22}{}", plain(value));
    }
    Ok(())
}

/// `dkg`
pub(crate) async fn dkg(api: &Api) -> anyhow::Result<()> {
    let status = ask(api, "/v1/status").await?;
    let progress = &status["core"]["bootstrap"];
    if api.json {
        println!("{}", serde_json::to_string_pretty(progress)?);
        return Ok(());
    }
    let n = plain(&status["members"]);
    if progress.is_null() {
        println!("the ceremony has not begun: the term is not configured in a finalized block yet");
        return Ok(());
    }
    println!("phase                 {}", plain(&progress["phase"]));
    for (name, key) in [
        ("deals held", "deals"),
        ("acknowledgements", "acks"),
        ("logs held", "logs"),
        ("confirmation partials", "partials"),
        ("activation signatures", "activations"),
    ] {
        println!("{name:<22}{} of {n}", plain(&progress[key]));
    }
    println!("waiting for members   {}", plain(&progress["waiting_for"]));
    Ok(())
}

/// A JSON value as a person writes it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.into(),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
