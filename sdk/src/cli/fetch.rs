//! `plumbline fetch`: what a node's API has, as it is. Leaves out: judging any of it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use sdk::audit::file_name;
use sdk::client::Client;

use super::Verdict;

/// Fetch a status, report, proof, evidence or archive from a node.
///
/// What a node says is a claim. `replay` and `verify-report` check it against the chain.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct Fetch {
    /// The node's API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080", global = true)]
    node: String,
    /// The stream of reports, verdicts, proofs and bundles; left out: the lowest that the node serves.
    #[arg(long, value_name = "NUMBER", global = true)]
    stream: Option<u32>,
    #[command(subcommand)]
    what: What,
}

const EXAMPLE: &str = "\
Examples:
  plumbline fetch status
  plumbline fetch proof 4 7 --node http://192.0.2.7:8080 > proof.json
  plumbline fetch archive --from 0 --to 23 --out archive
  plumbline fetch archive --stream 1 --from 0 --to 23 --out archive-1";

#[derive(Debug, Subcommand)]
enum What {
    /// Where the node stands.
    Status,
    /// The committee: members, keys, clock.
    Committee,
    /// Certified epochs.
    Epochs,
    /// One epoch's header, certificate and leaves.
    Report {
        /// Epoch.
        epoch: u64,
    },
    /// How every challenge of one epoch ended, and why.
    Verdicts {
        /// Epoch.
        epoch: u64,
    },
    /// A lease's leaf with its Merkle proof, ready to claim with.
    Proof {
        /// Epoch.
        epoch: u64,
        /// Lease.
        lease: u64,
    },
    /// A lease: terms, counters, reasons.
    Lease {
        /// Lease.
        lease: u64,
    },
    /// Evidence by its id.
    Evidence {
        /// 64 hex digits.
        id: String,
    },
    /// A node's receipt for evidence.
    Receipt {
        /// 64 hex digits.
        id: String,
    },
    /// Bundles, into a folder as `replay` wants it.
    Archive {
        /// First epoch.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// Last epoch.
        #[arg(long)]
        to: u64,
        /// Folder; made when missing.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

impl Fetch {
    /// Prints JSON, or writes bundles.
    pub(super) fn run(&self) -> anyhow::Result<Verdict> {
        let client = Client::new(&self.node)?.of_stream(self.stream);
        let path = match &self.what {
            What::Status => "/v1/status".into(),
            What::Committee => "/v1/committee".into(),
            What::Epochs => client.path("/v1/epochs"),
            What::Report { epoch } => client.path(&format!("/v1/reports/{epoch}")),
            What::Verdicts { epoch } => client.path(&format!("/v1/reports/{epoch}/verdicts")),
            What::Proof { epoch, lease } => client.path(&format!("/v1/reports/{epoch}/proof/{lease}")),
            What::Lease { lease } => format!("/v1/leases/{lease}"),
            What::Evidence { id } => format!("/v1/evidence/{}", digits(id)?),
            What::Receipt { id } => format!("/v1/receipts/{}", digits(id)?),
            What::Archive { from, to, out } => return archive(&client, *from, *to, out),
        };
        say!("{:#}", client.json(&path)?);
        Ok(Verdict::Holds)
    }
}

/// An id that cannot change the path it goes into.
fn digits(id: &str) -> anyhow::Result<&str> {
    let digits = id.strip_prefix("0x").unwrap_or(id);
    ensure!(digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()), "{id:?} is not 64 hex digits");
    Ok(digits)
}

fn archive(client: &Client, from: u64, to: u64, out: &Path) -> anyhow::Result<Verdict> {
    ensure!(from <= to, "--from {from} is after --to {to}");
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    for epoch in from..=to {
        let bundle = client.archive(epoch)?;
        let path = out.join(file_name(epoch));
        std::fs::write(&path, &bundle).with_context(|| path.display().to_string())?;
        say!("{}: {} bytes", path.display(), bundle.len());
    }
    Ok(Verdict::Holds)
}
