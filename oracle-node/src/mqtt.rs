//! Evidence from devices over MQTT 3.1.1, QoS 1, acknowledged only after the durable write. The only file that knows
//! rumqttc, with `mqtt/`. Every broker has a connection of its own; acknowledgements of an ended one are dropped, since a
//! late one could acknowledge another, unstored message. Leaves out: judging and storing (`intake`), the payloads of what
//! is published (`downlink`).

mod acks;
mod batch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attest_mqtt::{Tls, Why};
use oracle_core::policy::Conduct;
use oracle_core::reason::Reason;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, Publish, QoS, StateError, mqttbytes,
};
use tokio::sync::mpsc;

use self::acks::{Ack, Due, Owed};
use crate::config::Broker;
use crate::duties::Duties;
use crate::intake::{Intake, Rates, Raw, Told};
use crate::metrics::Metrics;

/// Requests (publications) waiting for one connection.
const REQUESTS_MAX: usize = 8_192;
/// Messages waiting for the batch worker, over all brokers.
const DELIVERIES_MAX: usize = 2_048;
/// Longest packet taken off the wire; longer than any evidence, so that an oversized message is counted, not fatal.
const PACKET_BYTES_MAX: usize = 256 << 10;
/// Longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the devices' side needs to know.
#[derive(Debug)]
pub struct Setup {
    /// Brokers to connect to, with their TLS identities as read from the files.
    pub brokers: Vec<(Broker, Option<Tls>)>,
    /// Client id; the same after a restart, so that the broker keeps the session.
    pub client_id: String,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// Messages of one device per second, sustained.
    pub messages_per_second: u32,
    /// Messages of one device at once; see [`burst`].
    pub burst: u32,
    /// The door to the store.
    pub intake: Arc<Intake>,
    /// Where durable batches are told.
    pub durable: mpsc::Sender<Told>,
    /// Real time, unix ms.
    pub clock: fn() -> u64,
    /// The node's metrics.
    pub metrics: Metrics,
}

/// Messages that one device may deliver at once: whatever may still count, since a broker hands over all it kept during
/// an outage in one go; the message that would be dropped then cannot be sent again.
#[must_use]
pub fn burst(messages_per_second: u32, conduct: &Conduct) -> u32 {
    burst_of(messages_per_second, conduct.messages_per_device, conduct.late_epochs)
}

/// As [`burst`]: the messages kept of this epoch and of the late ones, and at least twice the rate.
pub(crate) fn burst_of(per_second: u32, per_epoch: u32, late_epochs: u64) -> u32 {
    let epochs = u32::try_from(late_epochs).unwrap_or(u32::MAX).saturating_add(1);
    per_epoch.saturating_mul(epochs).max(per_second.saturating_mul(2))
}

/// A message on its way to the store, with the right to acknowledge it. One that was refused already goes the same way:
/// acknowledgements must leave in the order of arrival (MQTT 3.1.1, 4.6), and brokers end connections over it.
#[derive(Debug)]
struct Delivery {
    raw: Option<Raw>,
    ack: Ack,
}

/// One broker's connection, as everyone but its own task sees it.
#[derive(Debug)]
struct Link {
    client: AsyncClient,
    /// Bumped whenever a connection begins or ends.
    connection: AtomicU64,
    connected: AtomicBool,
    acks: mpsc::Sender<Vec<Due>>,
}

/// Publishes to every connected broker.
#[derive(Clone, Debug)]
pub struct Publisher {
    links: Vec<Arc<Link>>,
    retained: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Publisher {
    /// Publishes once. QoS 0: what devices need again is retained, and every member publishes the beacon.
    pub fn publish(&self, topic: &str, payload: &[u8]) {
        self.send(topic, payload, false);
    }

    /// Publishes as the topic's retained message, now if it changed and again on every new connection.
    pub fn retain(&self, topic: &str, payload: &[u8]) {
        let old =
            self.retained.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), payload.to_vec());
        if old.as_deref() != Some(payload) {
            self.send(topic, payload, true);
        }
    }

    /// Publishes a topic's retained message once more: somebody else may have put another in its place.
    pub fn retain_again(&self, topic: &str) {
        let known = self.retained.lock().unwrap_or_else(PoisonError::into_inner).get(topic).cloned();
        if let Some(payload) = known {
            self.send(topic, &payload, true);
        }
    }

    fn send(&self, topic: &str, payload: &[u8], retain: bool) {
        for link in self.links.iter().filter(|link| link.connected.load(Ordering::Acquire)) {
            if link.client.try_publish(topic, QoS::AtMostOnce, retain, payload).is_err() {
                tracing::debug!(topic, "a publication found its queue full");
            }
        }
    }
}

/// Whether a connection ended because of a packet longer than [`PACKET_BYTES_MAX`].
const fn oversized(error: &ConnectionError) -> bool {
    matches!(
        error,
        ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::PayloadSizeLimitExceeded { .. }))
    )
}

/// Connects to every broker and starts the batch worker. Everything ends when `durable` closes.
#[must_use]
pub fn start(setup: Setup, duties: &Duties) -> Publisher {
    let (deliveries, receiver) = mpsc::channel(DELIVERIES_MAX);
    let retained = Arc::new(Mutex::new(BTreeMap::new()));
    let mut links = Vec::new();
    for (broker, tls) in &setup.brokers {
        let mut options = MqttOptions::new(setup.client_id.clone(), broker.host.clone(), broker.port);
        options.set_clean_session(false);
        options.set_manual_acks(true);
        options.set_keep_alive(Duration::from_secs(15));
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some((user, password)) = &setup.login {
            options.set_credentials(user, password);
        }
        if let Some(tls) = tls {
            options.set_transport(tls.transport());
        }
        let (client, mut events) = AsyncClient::new(options, REQUESTS_MAX);
        // What is written is written at once and in bulk: there is nothing to wait for.
        events.network_options.set_tcp_nodelay(true);
        let (acks, owed) = acks::queue();
        let link = Arc::new(Link { client, connection: AtomicU64::new(0), connected: AtomicBool::new(false), acks });
        links.push(Arc::clone(&link));
        let connection = Connection {
            link,
            owed,
            broker: format!("{}:{}", broker.host, broker.port),
            rates: Rates::new(setup.messages_per_second, setup.burst),
            intake: Arc::clone(&setup.intake),
            deliveries: deliveries.clone(),
            retained: Arc::clone(&retained),
            clock: setup.clock,
            metrics: setup.metrics.clone(),
        };
        duties.keep("the connection to a broker", connection.run(events));
    }
    let worker = batch::run(receiver, setup.intake, setup.durable, setup.clock, setup.metrics, duties.clone());
    duties.keep("the worker that stores evidence", worker);
    Publisher { links, retained }
}

/// The task of one broker.
struct Connection {
    link: Arc<Link>,
    owed: Owed,
    broker: String,
    rates: Rates<[u8; 8]>,
    intake: Arc<Intake>,
    deliveries: mpsc::Sender<Delivery>,
    retained: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    clock: fn() -> u64,
    metrics: Metrics,
}

impl Connection {
    async fn run(mut self, mut events: EventLoop) {
        let (mut pause, mut complained, mut clearing) = (Duration::from_millis(100), false, false);
        while !self.deliveries.is_closed() {
            match self.next(&mut events).await {
                Ok(Event::Incoming(Packet::ConnAck(_))) if std::mem::take(&mut clearing) => {
                    // The broker has forgotten the session; the next connection makes a lasting one again.
                    events.clean();
                    events.mqtt_options.set_clean_session(false);
                }
                Ok(Event::Incoming(Packet::ConnAck(ack))) => {
                    pause = Duration::from_millis(100);
                    self.connected(ack.session_present);
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => self.received(publish).await,
                Ok(_) => {}
                Err(error) => {
                    // Read, but not acknowledged on this connection: it will be delivered again.
                    events.state.events.clear();
                    let was_connected = self.link.connected.swap(false, Ordering::AcqRel);
                    if was_connected {
                        self.link.connection.fetch_add(1, Ordering::AcqRel);
                        self.metrics.mqtt_connected.dec();
                    }
                    if was_connected || !std::mem::replace(&mut complained, true) {
                        let why = Why::read(&error, was_connected);
                        tracing::warn!(broker = self.broker, %why, "no connection to the broker; trying on");
                    }
                    if oversized(&error) {
                        // The broker would deliver the packet on every connection of this session, for ever.
                        tracing::error!(
                            broker = self.broker,
                            "a packet over every limit waits at the broker; its session is given up. Let the broker limit the size of messages"
                        );
                        self.metrics.mqtt_sessions_cleared.inc();
                        events.mqtt_options.set_clean_session(true);
                        clearing = true;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The next event, after whatever acknowledgements are due.
    async fn next(&mut self, events: &mut EventLoop) -> Result<Event, ConnectionError> {
        loop {
            // Only what waits for the network is given up in `poll`, and a connection that is being made never is.
            let dues = tokio::select! {
                biased;
                Some(dues) = self.owed.recv(), if events.network.is_some() => dues,
                event = events.poll() => return event,
            };
            let connection = self.link.connection.load(Ordering::Acquire);
            if let Err(error) = acks::write(events, dues, connection, &self.metrics.mqtt_stale_acks).await {
                events.clean();
                return Err(error);
            }
        }
    }

    fn connected(&self, session_present: bool) {
        self.link.connection.fetch_add(1, Ordering::AcqRel);
        if !self.link.connected.swap(true, Ordering::AcqRel) {
            self.metrics.mqtt_connected.inc();
        }
        tracing::info!(broker = self.broker, session_present, "connected to the broker");
        if !session_present && self.link.client.try_subscribe(attest::UP_FILTER, QoS::AtLeastOnce).is_err() {
            tracing::error!(broker = self.broker, "the subscription could not be queued");
        }
        let again: Vec<(String, Vec<u8>)> = self
            .retained
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|(t, p)| (t.clone(), p.clone()))
            .collect();
        let client = self.link.client.clone();
        tokio::spawn(async move {
            for (topic, payload) in again {
                if client.publish(topic, QoS::AtMostOnce, true, payload).await.is_err() {
                    return;
                }
            }
        });
    }

    /// Cheap refusals first; only then is a message worth a signature check.
    async fn received(&mut self, publish: Publish) {
        let now = (self.clock)();
        let judged = match attest::parse_topic_up(&publish.topic) {
            None => Err(Reason::MALFORMED),
            Some(_) if publish.payload.len() > attest::MAX_MESSAGE => Err(Reason::TOO_LONG),
            Some((_, kid)) if !self.rates.admit(kid, now) => {
                self.metrics.evidence_over_rate.inc();
                Err(Reason::TOO_MANY)
            }
            Some((class, kid)) => Ok(Raw { class, kid, bytes: publish.payload.to_vec(), arrival_ms: now }),
        };
        let connection = self.link.connection.load(Ordering::Acquire);
        let ack = Ack { link: Arc::clone(&self.link), due: Due { connection, packet: publish.pkid } };
        let raw = judged.map_err(|reason| self.intake.refuse(reason)).ok();
        // The worker never waits for this task, so waiting for the worker cannot deadlock.
        let _ = self.deliveries.send(Delivery { raw, ack }).await;
    }
}
