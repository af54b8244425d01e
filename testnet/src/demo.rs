//! `testnet demo`: the story in order, one page. Every step is a call; what it does is in the module it calls.
//! Leaves out: all detail.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::network::Network;
use crate::place::Place;
use crate::process::tail;
use crate::progress::{Progress, paint};
use crate::{aftermath, audit, faults, firsthand, settle};

/// How to play the story.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// Leave the network running at the end (until Ctrl-C), with the API's address printed; keep the run folder.
    #[arg(long)]
    pub keep: bool,
    /// Plain lines instead of progress bars.
    #[arg(long)]
    pub plain: bool,
    /// Run folder; a fresh one under the temporary folder by default.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Checkout; searched upward from here by default.
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// Break one thing on purpose: the demo must then end with 1.
    #[arg(long, value_enum, default_value_t = Sabotage::None)]
    pub sabotage: Sabotage,
}

/// What to break on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sabotage {
    /// Nothing.
    None,
    /// One byte of an archived epoch, before it is replayed.
    Archive,
    /// One answer of gpu-1 is hidden from the independent calculation, as if the chain had paid for work never done.
    Payout,
}

/// Ctrl-C.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// What must hold at the end, with what was found.
#[derive(Debug, Default)]
pub struct Checks {
    failed: Vec<String>,
    held: usize,
}

impl Checks {
    /// Notes one check; `why` is asked only when it failed.
    pub fn hold(&mut self, name: &str, held: bool, why: impl FnOnce() -> String) {
        if held {
            self.held += 1;
        } else {
            self.failed.push(format!("{name}: {}", why()));
        }
    }

    /// How many checks have failed so far.
    #[must_use]
    pub const fn failures(&self) -> usize {
        self.failed.len()
    }

    /// Prints what was found, with a mark that says whether any check has failed since there were `before` failures.
    pub fn found(&self, before: usize, text: &str) {
        let mark = if self.failed.len() == before { paint("32", "✓") } else { paint("31", "✗") };
        println!("  {mark} {text}");
    }

    /// Notes a step that must succeed, and goes on when it did not.
    pub fn step<T>(&mut self, name: &str, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                self.held += 1;
                Some(value)
            }
            Err(error) => {
                self.failed.push(format!("{name}: {error:#}"));
                None
            }
        }
    }
}

/// Plays the story. `Ok(true)` only when everything held.
///
/// # Errors
/// When a step broke before the end, or on Ctrl-C ([`Interrupted`]).
pub async fn run(flags: Flags) -> Result<bool> {
    let place = Place::find(flags.root.as_deref(), flags.dir.as_deref())?;
    let outcome = tokio::select! {
        outcome = story(&flags, &place) => outcome,
        () = stop_asked() => Err(Interrupted.into()),
    };
    let held = matches!(outcome, Ok(true));
    let interrupted = outcome.as_ref().is_err_and(|error| error.is::<Interrupted>());
    if (held || interrupted) && !flags.keep {
        remove(&place.run);
    } else {
        println!("\n  the run folder is kept: {}", place.run.display());
    }
    if outcome.is_err() && !interrupted {
        show_logs(&place);
    }
    outcome
}

async fn story(flags: &Flags, place: &Place) -> Result<bool> {
    let progress = Progress::new(flags.plain);
    let mut checks = Checks::default();

    progress.heading("1  A chain, a broker, four oracles, no dealer");
    let mut network = Network::start(place, &progress).await?;
    network.bootstrap(&progress).await?;

    progress.heading("2  Nine devices, nine leases");
    network.open_leases(&progress).await?;
    network.start_devices().await?;

    progress.heading("3  One minute of work, five epochs, seven faults");
    let played = faults::play(&mut network, &progress, &mut checks).await?;

    progress.heading("4  Money");
    let settlement = settle::settle(&mut network, &progress, &mut checks).await?;
    let accounts = settle::calculate(&network, flags.sabotage, &mut checks).await?;
    settle::show(&network, &settlement, &accounts).await?;

    progress.heading("5  Was it right?");
    settle::compare(&network, &settlement, &accounts, &mut checks);
    faults::check_liar(&network, &mut checks).await?;
    firsthand::check_doors(&network, &played.users, &played.spree, &mut checks)?;
    firsthand::check_receipts(&network, &accounts, &played.spree, &mut checks)?;
    faults::check_restarted(&mut network, &played.journal, &accounts, &mut checks).await?;
    aftermath::check(&network, &played.spree, &mut checks).await?;
    aftermath::check_logs(&network, &mut checks);
    audit::replay(&network, flags.sabotage, &progress, &mut checks).await?;
    audit::other_libraries(&network, &progress, &mut checks).await;

    let held = verdict(&checks, &progress);
    if flags.keep {
        stay(&network).await?;
    }
    network.stop().await?;
    Ok(held)
}

fn verdict(checks: &Checks, progress: &Progress) -> bool {
    let seconds = progress.elapsed().as_secs();
    if checks.failed.is_empty() {
        let all = format!("all {} checks held", checks.held);
        println!("\n  {} in {seconds} s", paint("1;32", &all));
        return true;
    }
    let failed = format!("{} of {} checks failed", checks.failed.len(), checks.failed.len() + checks.held);
    println!("\n  {} after {seconds} s:", paint("1;31", &failed));
    for failure in &checks.failed {
        println!("  {} {failure}", paint("31", "✗"));
    }
    false
}

async fn stay(network: &Network) -> Result<()> {
    println!("\n  the network keeps running; Ctrl-C stops it");
    for node in &network.committee.nodes {
        println!("    {}  {}/v1/status", node.name, node.api.address());
    }
    println!("    chain   {}", network.chain.url);
    loop {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    }
}

/// Ctrl-C or a polite kill.
async fn stop_asked() {
    let term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    match term {
        Ok(mut term) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

fn remove(run: &Path) {
    if let Err(error) = std::fs::remove_dir_all(run) {
        eprintln!("could not remove {}: {error}", run.display());
    }
}

fn show_logs(place: &Place) {
    let Ok(files) = std::fs::read_dir(&place.logs) else { return };
    let mut files: Vec<PathBuf> = files.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.to_string_lossy().contains("node-")) {
        println!("\n  the end of {}:\n{}", file.display(), tail(file, 6));
    }
}

/// Runs `work` again and again until it says yes.
///
/// # Errors
/// When it fails, or has not said yes within `patience`.
pub async fn until<F, W>(what: &str, patience: Duration, mut work: W) -> Result<()>
where
    W: FnMut() -> F,
    F: Future<Output = Result<bool>>,
{
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        if work().await.with_context(|| what.to_owned())? {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            bail!("{what}: not within {} s", patience.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
