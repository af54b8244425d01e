//! `testnet`: a whole network on one machine. Flags only; the story is in `demo`.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use serde::de::DeserializeOwned;
use testnet::{broker, demo, device, kind};

/// A whole Plumbline network on one machine: chain, broker, committee, devices.
#[derive(Debug, Parser)]
#[command(
    name = "testnet",
    version,
    after_help = "Start with:  testnet demo\nExit codes: 0 all held, 1 a check failed or a step broke, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One lease market end to end: bootstrap, prove, report, pay, replay; three minutes.
    Demo(demo::Flags),
    /// The MQTT broker, in a process of its own.
    Broker {
        /// Loopback address to listen on.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// One device, honest or not.
    Device {
        /// Its TOML file.
        #[arg(long)]
        config: PathBuf,
    },
    /// What the devices of one kind share: the radio's air, say.
    Helper {
        /// The kind's name.
        #[arg(long)]
        kind: String,
        /// Its TOML file.
        #[arg(long)]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Broker { listen } => broker::run(&broker::BrokerConfig { listen }).map(|()| true),
        Command::Demo(flags) => block_on(demo::run(flags)),
        Command::Device { config } => {
            quiet_tracing();
            read(&config).and_then(|config| block_on(device::run(config))).map(|()| true)
        }
        Command::Helper { kind, config } => {
            quiet_tracing();
            kind::named(&kind).and_then(|kind| block_on(kind.help(config))).map(|()| true)
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<demo::Interrupted>() => {
            eprintln!("\ninterrupted: everything that was started has been stopped");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nfailed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn quiet_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).init();
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{}: not a valid configuration", path.display()))
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}
