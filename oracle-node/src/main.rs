//! `oracle-node`: flags in, exit codes out. Everything else is in the library.

#![forbid(unsafe_code)]

mod cli;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Command, OutOfReach};
use oracle_node::config::{Config, ConfigError};
use oracle_node::guard::GuardError;
use oracle_node::keys::KeyError;
use oracle_node::store::StoreError;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,libp2p=warn,rumqttc=warn"));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(colours);
    log.with_writer(std::io::stderr).init();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(4)
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            let outcome = runtime.block_on(run(cli.command));
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            outcome
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oracle-node: {error:#}");
            let wrong_store =
                matches!(error.downcast_ref(), Some(StoreError::WrongKey { .. } | StoreError::Format { .. }));
            let twice = matches!(error.downcast_ref(), Some(GuardError::Doppelganger { .. }));
            let operator = error.is::<ConfigError>() || error.is::<KeyError>() || wrong_store || twice;
            ExitCode::from(if operator {
                3
            } else if error.is::<OutOfReach>() {
                4
            } else {
                1
            })
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init { dir, how } => cli::init(&dir, &how),
        Command::Keys(args) => cli::keys(&args),
        Command::Register(path) => cli::register(&path.config).await,
        Command::Broker(command) => oracle_node::broker_config::run(command),
        Command::Status(api) => cli::status(&api).await,
        Command::Dkg(api) => cli::dkg(&api).await,
        Command::Rotate(args) => cli::rotate(&args).await,
        Command::Reshare(args) => cli::reshare(&args).await,
        Command::Faults(command) => cli::faults(&command).await,
        Command::Run(path) => {
            let config = Config::load(&path.config)?;
            let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            let stop = async move {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                tracing::info!("stopping");
            };
            oracle_node::node::run(config, stop).await
        }
    }
}
