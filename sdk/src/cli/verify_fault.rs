//! `plumbline verify-fault`: one published proof that a member contradicted itself.
//! Leaves out: the check (`oracle_core::fault`), and punishing (OperatorStake).

use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use anyhow::Context as _;
use clap::Args;
use oracle_core::fault::Published;

use super::Verdict;

/// Verify a fault proof: two signatures of one committee member that must not both exist.
///
/// Offline. The proof names the committee that it is about; give what you know of that committee, and it is compared.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLE)]
pub(crate) struct VerifyFault {
    /// The proof, one object of JSON, as `oracle-node faults list --json` prints it.
    proof: PathBuf,
    /// EIP-155 id of the chain that it must be about.
    #[arg(long, value_name = "N")]
    chain_id: Option<u64>,
    /// Address of the CommitteeRegistry that it must be about.
    #[arg(long, value_name = "ADDR")]
    registry: Option<Address>,
    /// Digest of the term's configuration that it must be about: CommitteeRegistry.configDigest(committee, term).
    #[arg(long, value_name = "HEX")]
    config_digest: Option<B256>,
}

const EXAMPLE: &str = "\
Example:
  oracle-node faults list --config node-a/config.toml --json | head -1 > fault.json
  plumbline verify-fault fault.json --chain-id 31337 --registry 0x…";

impl VerifyFault {
    pub(super) fn run(&self) -> anyhow::Result<Verdict> {
        let text = std::fs::read(&self.proof).with_context(|| self.proof.display().to_string())?;
        let published: Published = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no published fault proof", self.proof.display()))?;
        let (scope, member, proof) = match published.verify() {
            Ok(verified) => verified,
            Err(error) => return Ok(refused(&error.to_string())),
        };
        if self.chain_id.is_some_and(|expected| expected != scope.chain_id) {
            return Ok(refused(&format!("it is about chain {}", scope.chain_id)));
        }
        if self.registry.is_some_and(|expected| expected != scope.registry) {
            return Ok(refused(&format!("it is about the registry {}", scope.registry)));
        }
        if self.config_digest.is_some_and(|expected| expected != scope.config_digest) {
            return Ok(refused(&format!("it is about the configuration {}", scope.config_digest)));
        }
        say!("{member} signed two different values: {}", published.about);
        say!("  {}\n  {}", proof.a.value(), proof.b.value());
        say!(
            "committee {}, term {}, registry {}, chain {}",
            scope.committee,
            scope.term,
            scope.registry,
            scope.chain_id
        );
        Ok(Verdict::Holds)
    }
}

fn refused(what: &str) -> Verdict {
    eprintln!("mismatch: {what}");
    Verdict::DoesNotHold
}
