//! `plumbline replay`: an archive against a chain log, offline. Leaves out: the audit itself (`sdk::audit`).

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use oracle_core::report::Verdict as Judged;
use sdk::audit::{Audit, Epoch, Fault, Proven, Span};

use super::{ChainArgs, Verdict, reason_text};

/// Replay an archive offline and compare every digest with what the chain settled.
///
/// Every epoch is recomputed from its bundle by the code that the committee runs: observations, device evidence, beacons
/// and the certificate are verified again, keys and leases come from the chain log, and each epoch must start
/// from the state that the one before ended with. No network is needed or used.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Replay {
    /// Folder of bundles: epoch-000000.bundle, epoch-000001.bundle, … (`plumbline fetch archive` makes one).
    #[arg(long, value_name = "DIR")]
    archive: PathBuf,
    /// Stream of leases.
    #[arg(long, value_name = "N", default_value_t = 0)]
    stream: u32,
    /// First epoch to replay, by default the first archived; after 0 it must start from the state that the chain settled.
    #[arg(long, value_name = "EPOCH")]
    from: Option<u64>,
    /// Last epoch to replay, by default the last archived.
    #[arg(long, value_name = "EPOCH")]
    to: Option<u64>,
    /// Also tell how every challenge of this lease was judged, and why.
    #[arg(long, value_name = "N")]
    lease: Option<u64>,
    #[command(flatten)]
    chain: ChainArgs,
}

const EXAMPLE: &str = "\
Example:
  plumbline replay --archive archive --chain-log chain.jsonl --book book.jsonl --addresses deployment.json

Without an address book: --chain-id 31337 --registry 0x… --devices 0x… --escrow 0x… --hub 0x… instead.

Between the first and the last epoch every one that the chain settled must be archived. A last epoch that is not on the
chain yet fails by name: --to ends the audit before it.";

impl Replay {
    /// Replays and prints one line per epoch, then what follows from them.
    pub(super) fn run(&self) -> anyhow::Result<Verdict> {
        let books = self.chain.books()?;
        let log = File::open(&self.chain.chain_log)
            .with_context(|| format!("chain log: {}", self.chain.chain_log.display()))?;
        let audit = Audit::new(self.chain.chain()?, self.stream, BufReader::new(log), &books)?;
        let odd = audit.history().registry().malformed();
        if odd > 0 {
            eprintln!("note: {odd} logs of these contracts are unreadable here; the committee passes over them too");
        }
        let span = Span { from: self.from, to: self.to };
        let epochs = audit.run(&self.archive, span, |epoch| self.show(epoch))?;
        let replayed = |epoch: &u64| epochs.iter().any(|one| one.epoch == *epoch);
        let outside: Vec<u64> = audit.settled().filter(|epoch| !replayed(epoch)).collect();
        Ok(conclude(&epochs, &outside))
    }

    fn show(&self, epoch: &Epoch) {
        let number = epoch.epoch;
        match &epoch.found {
            Ok(proven) => {
                say!("epoch {number}: {}, {} ms", line(proven), epoch.took.as_millis());
                for judged in proven.verdicts.iter().filter(|verdict| Some(verdict.lease) == self.lease) {
                    say!("  {}", judgement(judged));
                }
            }
            Err(fault) => say!("epoch {number}: DOES NOT HOLD: {fault}"),
        }
    }
}

fn line(proven: &Proven) -> String {
    let settled = match proven.block {
        Some(block) => format!("settled in block {block}"),
        None => "not on the chain log".into(),
    };
    let start = if proven.from_chain { ", started from the state root on chain" } else { "" };
    format!(
        "{} {settled}; {} leases, {} observations ({} left out), {} evidence items and {} beacons verified again, {} challenges ({} passed, {} failed, {} void){start}",
        proven.digest,
        proven.leases,
        proven.observations,
        proven.left_out,
        proven.evidence,
        proven.beacons,
        proven.verdicts.len(),
        proven.count(1),
        proven.count(2),
        proven.count(0),
    )
}

fn judgement(judged: &Judged) -> String {
    let outcome = match judged.outcome {
        0 => "void",
        1 => "passed",
        _ => "failed",
    };
    if judged.reason == 0 {
        let units = if judged.units == 0 { String::new() } else { format!(", {} units", judged.units) };
        return format!("at {}: {outcome}{units}", judged.at);
    }
    format!("at {}: {outcome}, {}", judged.at, reason_text(judged.reason, judged.measured, judged.limit))
}

fn conclude(epochs: &[Epoch], outside: &[u64]) -> Verdict {
    let bad: Vec<(u64, &Fault)> = epochs.iter().filter_map(|e| Some((e.epoch, e.found.as_ref().err()?))).collect();
    let proven = || epochs.iter().filter_map(|epoch| epoch.found.as_ref().ok());
    let evidence: usize = proven().map(|proven| proven.evidence).sum();
    let verdicts: usize = proven().map(|proven| proven.verdicts.len()).sum();
    let ms: u128 = epochs.iter().map(|epoch| epoch.took.as_millis()).sum();
    say!("{} epochs, {evidence} evidence items, {verdicts} verdicts, {ms} ms", epochs.len());
    if let (Some(first), Some(last)) = (outside.first(), outside.last()) {
        let count = outside.len();
        say!("not part of this replay: {count} epochs that the chain settled, from {first} to {last} (--from, --to)");
    }
    if bad.is_empty() {
        say!("every digest matches what the chain settled");
        return Verdict::Holds;
    }
    for (epoch, fault) in &bad {
        eprintln!("mismatch: epoch {epoch}: {fault}");
    }
    Verdict::DoesNotHold
}
