//! `plumbline explain`: in words, what a lease earned and why it lost the rest. Leaves out: proof; it repeats a node.

use std::fmt::Write as _;

use clap::Args;
use oracle_core::reason::Reason;
use sdk::client::{Client, Counters, Judged, Lease};

use super::{Verdict, reason_text};

/// Explain what a lease proved and why the rest did not count.
///
/// It repeats what the node says. `plumbline replay --lease N` derives the same reasons from the evidence.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Lease.
    #[arg(long, value_name = "N")]
    lease: u64,
    /// The node's API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    node: String,
}

impl Explain {
    /// Asks the node and prints.
    pub(super) fn run(&self) -> anyhow::Result<Verdict> {
        print!("{}", text(&Client::new(&self.node)?.lease(self.lease)?));
        Ok(Verdict::Holds)
    }
}

fn text(lease: &Lease) -> String {
    let mut out = String::new();
    let (Some(state), Some(epoch)) = (&lease.state, lease.last_epoch) else {
        return format!(
            "lease {}: no certified report holds it yet. It enters the report of the first epoch whose snapshot \
             of the chain holds it.\n",
            lease.lease
        );
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "lease {}: device {}, {}, from {} to {} (unix s); judged up to {}, as of epoch {epoch}",
        lease.lease,
        state.device,
        state.class_name.as_deref().unwrap_or("a class of work that the node does not know"),
        state.start,
        state.end,
        state.through
    );
    let unit = state.unit.as_deref().unwrap_or("unit");
    let _ = writeln!(out, "  units              {}, each a proven {unit}, paid", state.units);
    let _ = writeln!(out, "  proven good        {} s", state.good);
    let _ =
        writeln!(out, "  proven bad         {} s, of which {} s are credited to the lessee", state.bad, state.credit);
    for (name, value) in &state.kept {
        let _ = writeln!(out, "  {:<18} {value}", name.replace('_', " "));
    }
    reasons(&mut out, state);
    last(&mut out, epoch, &lease.last_verdicts);
    out
}

fn reasons(out: &mut String, state: &Counters) {
    if state.reasons.is_empty() {
        let _ = writeln!(out, "nothing failed");
        return;
    }
    let _ = writeln!(out, "why proofs failed:");
    for counted in &state.reasons {
        let known = Reason::from_code(counted.code);
        let text =
            known.map_or_else(|| format!("reason {}", counted.code), |r| format!("{}: {}", r.name(), r.sentence()));
        let _ = writeln!(out, "  {} × {text}", counted.count);
    }
}

fn last(out: &mut String, epoch: u64, verdicts: &[Judged]) {
    let lost: Vec<&Judged> = verdicts.iter().filter(|verdict| verdict.code != 0).collect();
    if lost.is_empty() {
        return;
    }
    let _ = writeln!(out, "in epoch {epoch}:");
    for verdict in lost {
        let void = Reason::from_code(verdict.code) == Some(Reason::VOID_SLOT);
        let outcome = if void { "void" } else { "failed" };
        let why = reason_text(verdict.code, verdict.measured, verdict.limit);
        let _ = writeln!(out, "  at {}: {outcome}, {why}", verdict.at);
    }
}
