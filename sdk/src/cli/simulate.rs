//! `plumbline simulate`: whose pay a new policy would change, and why. Leaves out: the judging (`sdk::simulate`).

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use oracle_core::report::Verdict as Judged;
use oracle_core::state::LeaseState;
use sdk::audit::epochs_in;
use sdk::chain_log;
use sdk::simulate::{Compared, Simulation};

use super::{ChainArgs, Verdict, reason_text};

/// Judge an archive again by a new policy, and tell whose pay would change and why.
///
/// Every lease is put under the new policy from the first archived epoch on, and judged by the evidence that is in the
/// archive. The new policy may use the deadlines of the book's policies only, and challenge no more often than they do:
/// an archive does not say more.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Simulate {
    /// The new policy document.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Folder of bundles, without gaps.
    #[arg(long, value_name = "DIR")]
    archive: PathBuf,
    /// Also tell every challenge of this lease that ends differently.
    #[arg(long, value_name = "N")]
    lease: Option<u64>,
    #[command(flatten)]
    chain: ChainArgs,
}

const EXAMPLE: &str = "\
Example:
  plumbline simulate --policy new.json --archive archive --chain-log chain.jsonl --book book.jsonl --addresses deployment.json

It exits with 0 whatever it finds; nothing here says that a report is wrong.";

impl Simulate {
    /// Judges and prints.
    pub(super) fn run(&self) -> anyhow::Result<Verdict> {
        let policy = std::fs::read(&self.policy).with_context(|| format!("policy: {}", self.policy.display()))?;
        let books = self.chain.books()?;
        let [book] = books.as_slice() else {
            return Err(anyhow!("give one --book: that of the epochs in the archive"));
        };
        let simulation = Simulation::new(book, &policy).map_err(|why| anyhow!(why))?;
        let log = File::open(&self.chain.chain_log)
            .with_context(|| format!("chain log: {}", self.chain.chain_log.display()))?;
        let history = chain_log::fold(&self.chain.chain()?, simulation.snapshot_lag_ms(), BufReader::new(log))?;
        let epochs = epochs_in(&self.archive).with_context(|| format!("archive: {}", self.archive.display()))?;
        let judged = epochs.len();
        let leases = simulation.run(&self.archive, &history, epochs.into_iter()).map_err(|why| anyhow!(why))?;
        let changed = leases.iter().filter(|lease| lease.pay_differs()).count();
        for lease in &leases {
            say!("{}", line(lease));
            if Some(lease.lease) == self.lease {
                lease.differing.iter().for_each(|(epoch, old, new)| {
                    say!("  epoch {epoch}: {}, by the new policy {}", ended(old.as_ref()), ended(new.as_ref()));
                });
            }
        }
        say!("{judged} epochs, {} leases: the pay of {changed} would change", leases.len());
        Ok(Verdict::Holds)
    }
}

fn line(lease: &Compared) -> String {
    if !lease.pay_differs() {
        return format!("lease {}: {}, the same", lease.lease, pay(lease.now.as_ref()));
    }
    let why = if lease.differing.is_empty() {
        "every challenge ends as before, they are worth something else".to_owned()
    } else {
        format!("{} challenges or windows end differently (--lease {} tells which)", lease.differing.len(), lease.lease)
    };
    format!("lease {}: {}, would be {}: {why}", lease.lease, pay(lease.now.as_ref()), pay(lease.then.as_ref()))
}

fn pay(state: Option<&LeaseState>) -> String {
    state.map_or_else(
        || "not judged".to_owned(),
        |one| format!("{} units, {} s good, {} s bad, {} s credited", one.units(), one.good, one.bad, one.credit),
    )
}

fn ended(verdict: Option<&Judged>) -> String {
    match verdict {
        None => "not asked".to_owned(),
        Some(Judged { outcome: 1, at, .. }) => format!("at {at} passed"),
        Some(one) => format!("at {} {}", one.at, reason_text(one.reason, one.measured, one.limit)),
    }
}
