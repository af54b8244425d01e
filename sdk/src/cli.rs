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
mod simulate;
mod verify_fault;
mod verify_report;

use std::path::{Path, PathBuf};

use alloy_primitives::Address;
use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use oracle_core::reason::Reason;
use oracle_core::registry::Contracts;
use sdk::addresses::AddressBook;
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
    VerifyFault(verify_fault::VerifyFault),
    Fetch(fetch::Fetch),
    Explain(explain::Explain),
    Simulate(simulate::Simulate),
}

impl Cli {
    /// Runs the command.
    pub(crate) fn run(self) -> anyhow::Result<Verdict> {
        match self.command {
            Command::Replay(command) => command.run(),
            Command::VerifyReport(command) => command.run(),
            Command::VerifyFault(command) => command.run(),
            Command::Fetch(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Simulate(command) => command.run(),
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
    /// The term's policy book, one document a line. Give one for each book that the audited terms name.
    #[arg(long = "book", value_name = "FILE", required = true)]
    pub(crate) books: Vec<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Committee.
    #[arg(long, value_name = "N", default_value_t = 1)]
    committee: u64,
    /// Term of the committee: a new group key, a new term.
    #[arg(long, value_name = "N", default_value_t = 1)]
    term: u64,
}

impl ChainArgs {
    /// The texts of the policy books.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn books(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("policy book: {}", path.display()));
        self.books.iter().map(read).collect()
    }

    /// The chain and committee named.
    ///
    /// # Errors
    /// When the address book cannot be used.
    pub(crate) fn chain(&self) -> anyhow::Result<Chain> {
        let (id, contracts) = self.place.resolve()?;
        Ok(Chain { id, contracts, committee: self.committee, term: self.term })
    }
}

/// Which contracts: the address book of a deployment, or each address by itself.
#[derive(Clone, Debug, Args)]
struct PlaceArgs {
    /// Address book of the deployment, as contracts/script/Deploy.s.sol wrote it: chain id and all addresses in one file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["chain_id", "registry", "devices", "escrow", "hub"])]
    addresses: Option<PathBuf>,
    /// EIP-155 id of the chain.
    #[arg(long, value_name = "N", required_unless_present = "addresses")]
    chain_id: Option<u64>,
    /// Address of CommitteeRegistry.
    #[arg(long, value_name = "ADDR", required_unless_present = "addresses")]
    registry: Option<Address>,
    /// Address of DeviceRegistry.
    #[arg(long, value_name = "ADDR", required_unless_present = "addresses")]
    devices: Option<Address>,
    /// Address of LeaseEscrow.
    #[arg(long, value_name = "ADDR", required_unless_present = "addresses")]
    escrow: Option<Address>,
    /// Address of ReportHub.
    #[arg(long, value_name = "ADDR", required_unless_present = "addresses")]
    hub: Option<Address>,
}

impl PlaceArgs {
    /// Chain id and contracts.
    fn resolve(&self) -> anyhow::Result<(u64, Contracts)> {
        if let Some(path) = &self.addresses {
            let book = address_book(path)?;
            return Ok((book.chain_id, book.logged()));
        }
        match (self.chain_id, self.registry, self.devices, self.escrow, self.hub) {
            (Some(id), Some(registry), Some(devices), Some(escrow), Some(hub)) => {
                Ok((id, Contracts { registry, devices, escrow, hub }))
            }
            _ => anyhow::bail!("give --addresses, or --chain-id, --registry, --devices, --escrow and --hub"),
        }
    }
}

/// Reads a deployment's address book; says so when its contracts are not of this build's version.
pub(crate) fn address_book(path: &Path) -> anyhow::Result<AddressBook> {
    let book = AddressBook::load(path).with_context(|| path.display().to_string())?;
    let other = book.of_other_abi();
    if !other.is_empty() {
        eprintln!("note: deployed with another ABI than this build knows: {}", other.join(", "));
    }
    Ok(book)
}
