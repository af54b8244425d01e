//! `plumbline verify-report`: one report's certificate, leaves and a lease's proof.
//! Leaves out: the checks (`sdk::verify`).

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use alloy_primitives::Address;
use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use oracle_core::registry::Contracts;
use oracle_core::typed::Leaf;
use sdk::chain_log::{self, Chain};
use sdk::client::Client;
use sdk::report::{Proof, Report};
use sdk::verify::{self, Trust};

use super::Verdict;

/// Verify one report: its certificate under the committee's key, its leaves, and a lease's proof.
///
/// This shows that the committee signed it, not that it follows from the evidence: `plumbline replay` shows that.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct VerifyReport {
    /// The report, as `plumbline fetch report` prints it.
    #[arg(long, value_name = "FILE", required_unless_present = "node", conflicts_with = "node")]
    report: Option<PathBuf>,
    /// Fetch the report from this node instead.
    #[arg(long, value_name = "URL", requires = "epoch")]
    node: Option<String>,
    /// Epoch to fetch.
    #[arg(long, value_name = "EPOCH", requires = "node")]
    epoch: Option<u64>,
    /// Show what the report says of this lease.
    #[arg(long, value_name = "N")]
    lease: Option<u64>,
    /// Also verify this proof, as `plumbline fetch proof` prints it.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Address book of the deployment (see `plumbline replay --help`), instead of --chain-id and --registry; with
    /// --chain-log also instead of --hub.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["chain_id", "registry", "hub"])]
    addresses: Option<PathBuf>,
    /// EIP-155 id of the chain.
    #[arg(long, value_name = "N", required_unless_present = "addresses")]
    chain_id: Option<u64>,
    /// Address of CommitteeRegistry.
    #[arg(long, value_name = "ADDR", required_unless_present = "addresses")]
    registry: Option<Address>,
    /// Committee.
    #[arg(long, value_name = "N", default_value_t = 1)]
    committee: u64,
    /// Term of the committee.
    #[arg(long, value_name = "N", default_value_t = 1)]
    term: u64,
    /// The group key as the registry holds it: hex of 256 bytes (EIP-2537) or 96 (compressed). Read it from the chain.
    #[arg(long, value_name = "HEX", required_unless_present = "chain_log", conflicts_with = "chain_log")]
    group_key: Option<String>,
    /// Take the group key from this chain log instead (see `plumbline replay --help`).
    #[arg(long, value_name = "FILE")]
    chain_log: Option<PathBuf>,
    /// Address of ReportHub: also compare with what the chain log settled.
    #[arg(long, value_name = "ADDR", requires = "chain_log")]
    hub: Option<Address>,
}

const EXAMPLE: &str = "\
Example:
  plumbline fetch report 4 --node http://127.0.0.1:8080 > report.json
  plumbline verify-report --report report.json --chain-id 31337 --registry 0x… --group-key 0x… --lease 7";

impl VerifyReport {
    /// Runs every check that the arguments allow; the first that fails ends it.
    pub(super) fn run(&self) -> anyhow::Result<Verdict> {
        let report = self.report()?;
        let proof = self.proof.as_ref().map(|path| {
            let text = std::fs::read(path).with_context(|| path.display().to_string())?;
            Proof::from_json(&text).map_err(|what| anyhow!("{}: {what}", path.display()))
        });
        let proof = proof.transpose()?;
        let (trust, history) = self.trust()?;
        let header = &report.header;
        let digest = match verify::certificate(&trust, header, &report.certificate) {
            Ok(digest) => digest,
            Err(error) => return Ok(refused(header.epoch, &error.to_string())),
        };
        say!("epoch {}: certified by committee {}, term {}: {digest}", header.epoch, header.committee, header.term);
        if let Err(error) = verify::leaves(header, &report.leaves) {
            return Ok(refused(header.epoch, &error.to_string()));
        }
        say!("{} leaves give the certified root {}", report.leaves.len(), header.leavesRoot);
        if let Some(proof) = &proof {
            if let Err(error) = verify::inclusion(header, &proof.leaf, &proof.path) {
                return Ok(refused(header.epoch, &error.to_string()));
            }
            say!("the proof leads from the leaf of lease {} to the certified root", proof.leaf.lease);
        }
        if let Some(history) = history {
            match history.registry().posted().get(&(header.committee, header.stream, header.epoch)) {
                Some(posted) if posted.digest == digest => say!("the chain settled it in block {}", posted.block),
                Some(posted) => return Ok(refused(header.epoch, &format!("the chain settled {}", posted.digest))),
                None => return Ok(refused(header.epoch, "this chain log does not settle it")),
            }
        }
        Ok(self.show_lease(&report))
    }

    fn report(&self) -> anyhow::Result<Report> {
        match (&self.report, &self.node, self.epoch) {
            (Some(path), _, _) => {
                let text = std::fs::read(path).with_context(|| path.display().to_string())?;
                Report::from_json(&text).map_err(|what| anyhow!("{}: {what}", path.display()))
            }
            (None, Some(node), Some(epoch)) => Ok(Client::new(node)?.report(epoch)?),
            _ => Err(anyhow!("give --report, or --node and --epoch")),
        }
    }

    /// Whose signature counts, and what the chain log settled if it was asked for.
    fn trust(&self) -> anyhow::Result<(Trust, Option<oracle_core::registry::History>)> {
        let (chain_id, registry, hub) = self.place()?;
        let (committee, term) = (self.committee, self.term);
        if let Some(path) = &self.chain_log {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            // Devices and leases are not looked at here.
            let (devices, escrow) = (Address::ZERO, Address::ZERO);
            let contracts = Contracts { registry, devices, escrow, hub: hub.unwrap_or_default() };
            let history =
                chain_log::fold(&Chain { id: chain_id, contracts, committee, term }, 0, BufReader::new(file))?;
            return Ok((Trust::from_chain(&history)?, hub.map(|_| history)));
        }
        let text = self.group_key.as_deref().unwrap_or_default();
        let key = hex::decode(text.strip_prefix("0x").unwrap_or(text)).context("--group-key")?;
        ensure!(!key.is_empty(), "--group-key is empty: is the term activated?");
        let group = verify::group_key(&key)?;
        Ok((Trust { chain_id, registry, committee, term, group }, None))
    }

    /// Chain id, registry and, where it is known, the hub.
    fn place(&self) -> anyhow::Result<(u64, Address, Option<Address>)> {
        if let Some(path) = &self.addresses {
            let book = super::address_book(path)?;
            let contracts = book.logged();
            return Ok((book.chain_id, contracts.registry, Some(contracts.hub)));
        }
        let needed = self.chain_id.zip(self.registry);
        let (chain_id, registry) = needed.context("give --addresses, or --chain-id and --registry")?;
        Ok((chain_id, registry, self.hub))
    }

    fn show_lease(&self, report: &Report) -> Verdict {
        let Some(lease) = self.lease else { return Verdict::Holds };
        match report.leaves.iter().find(|leaf| leaf.lease == lease) {
            Some(leaf) => {
                say!("{}", told(leaf));
                Verdict::Holds
            }
            None => refused(report.header.epoch, &format!("lease {lease} is not in it")),
        }
    }
}

fn told(leaf: &Leaf) -> String {
    format!(
        "lease {}: {} units proven ({} s good, {} s bad, {} s credited, {} units taken back), judged up to {} (unix s)",
        leaf.lease, leaf.units, leaf.goodSeconds, leaf.badSeconds, leaf.creditSeconds, leaf.adjustment, leaf.through
    )
}

fn refused(epoch: u64, what: &str) -> Verdict {
    eprintln!("mismatch: epoch {epoch}: {what}");
    Verdict::DoesNotHold
}
