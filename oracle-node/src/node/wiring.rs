//! What the committee's network and the brokers' client are made of, out of configuration, keys and the first term.
//! Leaves out: both of them (`gossip`, `mqtt`).

use std::sync::Arc;

use anyhow::Context as _;
use oracle_core::policy::Conduct;
use oracle_core::term::Term;
use tokio::sync::mpsc;

use super::{evidence, now_ms, seats};
use crate::chain::View;
use crate::config::{self, Config};
use crate::intake::{Intake, Told};
use crate::keys::{self, Keys};
use crate::metrics::Metrics;
use crate::{gossip, mqtt};

/// What the committee's network is made of.
pub(super) fn network(
    config: &Config,
    keys: &Keys,
    term: &Term,
    view: &View,
    source: Arc<evidence::Shelf>,
    events: mpsc::Sender<gossip::Event>,
    metrics: &Metrics,
) -> anyhow::Result<gossip::Setup> {
    Ok(gossip::Setup {
        key: keys.peer.clone(),
        listen: config.gossip.listen.parse()?,
        room: seats::room(config, term, view)?,
        source,
        events,
        metrics: metrics.clone(),
    })
}

/// What the client of the brokers is made of.
pub(super) fn mqtt(
    config: &Config,
    keys: &Keys,
    conduct: &Conduct,
    intake: &Arc<Intake>,
    durable: mpsc::Sender<Told>,
    metrics: &Metrics,
) -> anyhow::Result<mqtt::Setup> {
    let password = config.mqtt.password_file.as_deref().map(keys::read_private).transpose()?;
    let login =
        config.mqtt.username.clone().map(|user| (user, password.map_or_else(String::new, |p| p.trim().to_owned())));
    let tls = |broker: &config::Broker| {
        let Some(files) = &broker.tls else { return Ok((broker.clone(), None)) };
        let identity = files.identity.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let tls = attest_mqtt::Tls::from_files(&files.ca, identity);
        tls.map(|tls| (broker.clone(), Some(tls))).with_context(|| format!("TLS with the broker {}", broker.host))
    };
    Ok(mqtt::Setup {
        brokers: config.mqtt.brokers.iter().map(tls).collect::<anyhow::Result<_>>()?,
        client_id: format!("plumbline-{}", hex::encode(keys.member.address())),
        login,
        messages_per_second: config.mqtt.messages_per_second,
        burst: mqtt::burst(config.mqtt.messages_per_second, conduct),
        intake: Arc::clone(intake),
        durable,
        clock: now_ms,
        metrics: metrics.clone(),
    })
}
