//! After the vandal: everyone refused it, counted it, and is well. Leaves out: what it did (`vandal`).

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::api::Api;
use crate::demo::Checks;
use crate::network::Network;
use crate::vandal::Spree;

/// Warnings that a node may write while it lasts: a line for a kind of trouble, not for each piece of garbage.
const WARNINGS_MAX: usize = 10;

/// A node's counts of refused messages by reason.
///
/// # Errors
/// When the node does not serve them.
pub async fn refusals(api: &Api) -> Result<Vec<(String, u64)>> {
    let metrics = api.bytes("/metrics").await?.context("a node does not serve /metrics")?;
    let read = |line: &str| {
        let (reason, count) = line.strip_prefix("oracle_evidence_refused_total{reason=\"")?.split_once("\"} ")?;
        Some((reason.to_owned(), count.parse().ok()?))
    };
    Ok(String::from_utf8_lossy(&metrics).lines().filter_map(read).collect())
}

/// Lines of warning or worse in a log.
#[must_use]
pub fn warnings(log: &Path) -> usize {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count()
}

/// Everyone refused it, counted it, and is well.
///
/// # Errors
/// When a node does not answer.
pub async fn check(network: &Network, spree: &Spree, checks: &mut Checks) -> Result<()> {
    let failures = checks.failures();
    let total: u64 = spree.shots.iter().map(|(_, count)| count).sum();
    let nodes = network.committee.nodes.iter().zip(&spree.before).zip(&spree.warnings);
    for ((node, before), (earlier, later)) in nodes {
        let after = refusals(&node.api).await?;
        let of = |counts: &[(String, u64)], wanted: &str| -> u64 {
            counts.iter().filter(|(reason, _)| wanted.is_empty() || reason == wanted).map(|(_, count)| count).sum()
        };
        for (reason, thrown) in spree.shots.iter().filter(|(reason, _)| !reason.is_empty()) {
            let counted = of(&after, reason).saturating_sub(of(before, reason));
            checks.hold("the vandal's messages are refused and counted", counted >= *thrown, || {
                format!("{} counted {counted} of {thrown} as {reason}", node.name)
            });
        }
        let counted = of(&after, "").saturating_sub(of(before, ""));
        checks.hold("every refusal is counted", counted >= total, || {
            format!("{} counted {counted} of {total}", node.name)
        });
        let healthy = node.api.bytes("/health").await?.is_some();
        checks.hold("healthy after the vandal", healthy, || format!("{} is not", node.name));
        let warned = later.saturating_sub(*earlier);
        checks.hold("no storm of warnings", warned <= WARNINGS_MAX, || {
            format!("{} wrote {warned} warnings while the vandal was at it", node.name)
        });
    }
    let first = || spree.welcomed.first().cloned().unwrap_or_default();
    checks.hold("bad requests are refused", spree.welcomed.is_empty() && spree.requests > 0, first);
    checks.found(failures, &format!("the vandal: {total} messages refused and counted by each node, {} HTTP requests and {} gossip calls turned away",
        spree.requests, spree.calls
    ));
    Ok(())
}

/// Nothing that ran has panicked.
pub fn check_logs(network: &Network, checks: &mut Checks) {
    let files = std::fs::read_dir(&network.place.logs).into_iter().flatten().flatten().map(|entry| entry.path());
    let panicked = files.filter(|path| {
        // The radio's record of the air is data, not a log.
        path.extension().is_some_and(|ext| ext == "log")
            && std::fs::read(path).is_ok_and(|text| String::from_utf8_lossy(&text).contains("panicked"))
    });
    let panicked: Vec<String> = panicked.map(|path| path.display().to_string()).collect();
    checks.hold("nothing panicked", panicked.is_empty(), || panicked.join(", "));
}
