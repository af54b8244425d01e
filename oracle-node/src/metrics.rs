//! Every metric of a node, in one struct and one table: name, kind, labels and help. docs/metrics.md is written from it.
//! Leaves out: who counts (each room counts what it does), and alerts.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// One row of the table.
struct Row {
    name: &'static str,
    kind: &'static str,
    label: &'static str,
    help: &'static str,
}

macro_rules! metrics {
    ($($field:ident: $kind:ident($name:literal, $label:literal, $help:literal);)*) => {
        /// Every metric of a node.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: metrics!(@type $kind),)*
        }

        const TABLE: &[Row] = &[$(Row { name: $name, kind: stringify!($kind), label: $label, help: $help },)*];

        impl Metrics {
            /// Makes and registers all of them.
            ///
            /// # Errors
            /// Two metrics with one name: a mistake in the table.
            pub fn new() -> Result<Self, prometheus::Error> {
                let registry = Registry::new();
                $(
                    let $field = metrics!(@make $kind, $name, $label, $help)?;
                    registry.register(Box::new($field.clone()))?;
                )*
                Ok(Self { registry, $($field,)* })
            }
        }
    };
    (@type counter) => { IntCounter };
    (@type counters) => { IntCounterVec };
    (@type gauge) => { IntGauge };
    (@type gauges) => { IntGaugeVec };
    (@type histogram) => { Histogram };
    (@make counter, $name:literal, $label:literal, $help:literal) => { IntCounter::new($name, $help) };
    (@make gauge, $name:literal, $label:literal, $help:literal) => { IntGauge::new($name, $help) };
    (@make counters, $name:literal, $label:literal, $help:literal) => {
        IntCounterVec::new(Opts::new($name, $help), &[$label])
    };
    (@make gauges, $name:literal, $label:literal, $help:literal) => {
        IntGaugeVec::new(Opts::new($name, $help), &[$label])
    };
    (@make histogram, $name:literal, $label:literal, $help:literal) => {
        Histogram::with_opts(HistogramOpts::new($name, $help).buckets(SECONDS.to_vec()))
    };
}

/// Buckets of every duration, seconds.
const SECONDS: [f64; 13] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 5.0];

metrics! {
    evidence_stored: counter("oracle_evidence_stored_total", "", "Messages verified and made durable.");
    evidence_duplicates: counter("oracle_evidence_duplicates_total", "", "Messages that verify and were held already.");
    evidence_refused: counters("oracle_evidence_refused_total", "reason", "Messages that were not stored, by reason (docs/reasons.md).");
    evidence_over_rate: counter("oracle_evidence_over_rate_total", "", "Messages refused because their device exceeded its rate and burst; part of the refused ones of reason TOO_MANY. An honest device lost them.");
    evidence_durable_seconds: histogram("oracle_evidence_durable_seconds", "", "Time from a message's arrival to its durable write.");
    mqtt_connected: gauge("oracle_mqtt_connected", "", "Brokers connected now.");
    mqtt_sessions_cleared: counter("oracle_mqtt_sessions_cleared_total", "", "Sessions given up because the broker held a packet longer than any message may be; what waited in them is lost here, members and devices bring it again.");
    mqtt_stale_acks: counter("oracle_mqtt_stale_acks_total", "", "Acknowledgements dropped because their connection had ended.");
    peers_connected: gauge("oracle_peers_connected", "", "Members connected now, this node not counted.");
    gossip_received: counters("oracle_gossip_received_total", "outcome", "Broadcasts received, by outcome: accepted, malformed, over_rate.");
    gossip_direct_refused: counters("oracle_gossip_direct_refused_total", "outcome", "Direct messages and pulls of members refused, by outcome: malformed, over_rate.");
    connections_refused: counters("oracle_connections_refused_total", "cause", "Connections to the members' port refused, by cause: handshake (no libp2p with noise, or broken off), stranger (not in the term), limit, other.");
    pulls_bad: counter("oracle_pulls_bad_total", "", "Answers to pulls whose bytes did not fit the id asked for.");
    core_step_seconds: histogram("oracle_core_step_seconds", "", "Time of one step of the core with its effects.");
    core_notes: counters("oracle_core_notes_total", "code", "Notes of the core for the operator, by code.");
    report_seconds: histogram("oracle_report_seconds", "", "Time from the observation of an epoch (cut-off and δ) to its certificate here; what comes an epoch later or more (catching up) is not counted.");
    epoch_decided: gauges("oracle_epoch_decided", "stream", "Last epoch decided here; -1 before any.");
    epoch_certified: gauges("oracle_epoch_certified", "stream", "Last epoch with a certificate here; -1 before any.");
    epoch_posted: gauges("oracle_epoch_posted", "stream", "Last epoch seen posted on the chain; -1 before any.");
    messages_unserved: gauge("oracle_messages_unserved", "", "Members' messages dropped because they are about a stream that this node does not serve, in the current term's process.");
    slot_current: gauge("oracle_slot_current", "", "Slot by this node's clock; -1 before genesis.");
    beacons_recovered: counter("oracle_beacons_recovered_total", "", "Beacon certificates recovered or received in time to publish.");
    chain_block: gauge("oracle_chain_block", "", "Last finalized block folded.");
    chain_errors: counter("oracle_chain_errors_total", "", "Failed calls to the chain's endpoint.");
    http_refused: counters("oracle_http_refused_total", "status", "Answers of the API that were errors, by status.");
    listening: gauge("oracle_listening", "", "1 while this member only listens, because it may have forgotten what it said (docs/operate.md); else 0.");
    forgotten_statements: counter("oracle_forgotten_statements_total", "", "Signatures of this member's own key, heard from others, that its store does not know.");
    clock_offset_ms: gauge("oracle_clock_offset_ms", "", "How far this node's clock is ahead of the other members' (median, their messages' travel included), ms; negative = behind; 0 while too few are heard.");
    clock_alarm: gauge("oracle_clock_alarm", "", "1 while the offset, or a block from the future, is beyond the configured clock limit; else 0.");
    faults_known: gauge("oracle_faults_known", "", "Fault proofs held against members (`oracle-node faults list`).");
    store_bytes: gauge("oracle_store_bytes", "", "Bytes of the store's tables on disk.");
    store_epochs: gauges("oracle_store_epochs", "stream", "Epochs whose reports and archives are kept here.");
    store_pruned: counter("oracle_store_pruned_total", "", "Messages whose bytes were dropped because their epoch is archived and past keep_epochs.");
    outbox_items: gauge("oracle_outbox_items", "", "Transmissions not yet final on the chain.");
    outbox_sent: counter("oracle_outbox_sent_total", "", "Transactions sent.");
}

impl Metrics {
    /// Prometheus text format.
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// docs/metrics.md.
    #[must_use]
    pub fn document() -> String {
        let mut page = String::from(
            "# Metrics\n\nWritten from `oracle-node/src/metrics.rs` by its test (`make bless`). Served at `/metrics`.\n\n\
             | name | kind | label | meaning |\n|---|---|---|---|\n",
        );
        for row in TABLE {
            let kind = row.kind.trim_end_matches('s');
            let label = if row.label.is_empty() { "–" } else { row.label };
            page.push_str(&format!("| `{}` | {kind} | {label} | {} |\n", row.name, row.help));
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_metrics_is_current() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        if std::env::var_os("PLUMBLINE_BLESS").is_some() {
            std::fs::write(&path, Metrics::document()).expect("written");
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(page, Metrics::document(), "run: make bless");
    }

    #[test]
    fn every_alert_is_about_a_metric_that_exists_and_says_what_to_do() {
        let rules = include_str!("../../docs/alerts.rules.yml");
        let mut named = 0;
        for word in rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("oracle_")) {
            let row = |row: &&Row| match row.kind {
                "histogram" => {
                    word.strip_prefix(row.name).is_some_and(|end| ["_bucket", "_sum", "_count"].contains(&end))
                }
                _ => word == row.name,
            };
            assert!(TABLE.iter().any(|r| row(&r)), "docs/alerts.rules.yml: there is no metric {word}");
            named += 1;
        }
        let alerts = rules.matches("- alert: ").count();
        assert!(named >= alerts && alerts >= 15, "{named} metrics in {alerts} alerts");
        for part in ["expr: ", "severity: ", "summary: ", "action: "] {
            assert_eq!(rules.matches(part).count(), alerts, "{part}");
        }
        let codes = ["contradiction_withheld", "sign_once_refused"];
        let sources = [include_str!("node/effects.rs"), include_str!("../core/src/oracle/seal.rs")];
        for code in codes {
            assert!(rules.contains(code) && sources.iter().any(|source| source.contains(code)), "{code}");
        }
    }

    #[test]
    fn every_metric_is_served_once() {
        let metrics = Metrics::new().expect("unique names");
        metrics.evidence_refused.with_label_values(&["MALFORMED"]).inc();
        metrics.epoch_decided.with_label_values(&["3"]).set(-1);
        let text = metrics.text();
        assert!(text.contains("oracle_evidence_refused_total{reason=\"MALFORMED\"} 1"));
        assert!(text.contains("oracle_epoch_decided{stream=\"3\"} -1"));
    }
}
