//! The commands and what they share. Leaves out: what each does (`cli/`).

/// Prints a line; a reader that closes early (`| head`) is no fault of ours, and the exit code still tells the verdict.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}

mod explain;
mod fetch;
mod replay;
mod verify_report;

use std::path::PathBuf;

use alloy_primitives::Address;
use clap::{Args, Parser, Subcommand};
use oracle_core::reason::Reason;
use oracle_core::registry::Contracts;
use sdk::chain_log::Chain;

/// How a command ended; what went wrong before it could tell is an error (exit code 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Exit code 0.
    Holds,
    /// Exit code 1.
    DoesNotHold,
}

/// Check what a Plumbline committee reported, trusting nobody but the chain.
///
/// A report says how many seconds of service each lease's device proved. The committee signs it with one threshold
/// signature and the chain pays by it. With an archive and a chain log you recompute every report offline.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  everything checked holds
  1  something does not hold; it is named
  2  nothing could be checked: wrong usage, or a file or node that cannot be read";

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Replay),
    VerifyReport(verify_report::VerifyReport),
    Fetch(fetch::Fetch),
    Explain(explain::Explain),
}

impl Cli {
    /// Runs the command.
    pub(crate) fn run(self) -> anyhow::Result<Verdict> {
        match self.command {
            Command::Replay(command) => command.run(),
            Command::VerifyReport(command) => command.run(),
            Command::Fetch(command) => command.run(),
            Command::Explain(command) => command.run(),
        }
    }
}

/// The reason of a code in words, with what was measured where something was.
pub(crate) fn reason_text(code: u16, measured: i64, limit: i64) -> String {
    let Some(reason) = Reason::from_code(code) else {
        return format!("reason {code}, which this version does not know");
    };
    let measured = match reason.unit() {
        "" => String::new(),
        "lease" => format!(" It was lease {measured}."),
        unit => format!(" Measured {measured} {unit}, the limit is {limit}."),
    };
    format!("{}: {}{measured}", reason.name(), reason.sentence())
}

/// Which committee on which chain.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "The chain")]
pub(crate) struct ChainArgs {
    /// Finalized blocks with the contracts' logs, JSON lines, from the registry's first block on, none left out.
    ///
    /// Export it from a chain node you trust: every key that is used comes out of it. Each line is
    /// {"block":{"number":1,"hash":"0x…","timestamp":1},"logs":[{"address":"0x…","topics":["0x…"],"data":"0x…"}]}.
    #[arg(long, value_name = "FILE")]
    pub(crate) chain_log: PathBuf,
    /// The appraisal policy, byte for byte the document whose hash the term names.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// EIP-155 id of the chain.
    #[arg(long, value_name = "N")]
    pub(crate) chain_id: u64,
    /// Address of CommitteeRegistry.
    #[arg(long, value_name = "ADDR")]
    registry: Address,
    /// Address of DeviceRegistry.
    #[arg(long, value_name = "ADDR")]
    devices: Address,
    /// Address of LeaseEscrow.
    #[arg(long, value_name = "ADDR")]
    escrow: Address,
    /// Address of ReportHub.
    #[arg(long, value_name = "ADDR")]
    hub: Address,
    /// Committee.
    #[arg(long, value_name = "N", default_value_t = 1)]
    committee: u64,
    /// Term of the committee: a new group key, a new term.
    #[arg(long, value_name = "N", default_value_t = 1)]
    term: u64,
}

impl ChainArgs {
    /// The chain and committee named.
    pub(crate) const fn chain(&self) -> Chain {
        let contracts =
            Contracts { registry: self.registry, devices: self.devices, escrow: self.escrow, hub: self.hub };
        Chain { id: self.chain_id, contracts, committee: self.committee, term: self.term }
    }
}
