//! One connection at a time to one broker at a time: connect, publish what waits, hand on what comes down, and move to the
//! next broker when it ends. The only file that runs the MQTT client. Every connection gets a client of its own, since what
//! must not be lost is in the outbox and not in the client. Leaves out: what to publish next (`outbox`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use attest::{BEACON_TOPIC, Down, topic_down, topic_term, topic_up};
use rumqttc::{
    AsyncClient, Event as Polled, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet, QoS,
    SubscribeFilter, SubscribeReasonCode,
};
use tokio::sync::watch;

use crate::outbox::WINDOW;
use crate::uplink::{Change, Event, Shared};
use crate::{Broker, Why, receipts, status_topic};

/// Largest packet either way, bytes; access feeds are the largest thing that comes down.
const PACKET_MAX: usize = 32 * 1024;
/// Longest wait for a connection and its greeting, seconds.
const CONNECT_SECONDS: u64 = 10;
/// A connection that lasted this long was a good one: the next failure is the first again.
const GOOD: Duration = Duration::from_secs(10);
/// Longest wait for the last words of a connection that is closed on purpose.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection slot.
pub(crate) struct Lane {
    pub(crate) number: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) change: watch::Receiver<Change>,
}

/// How a connection ended.
enum Ended {
    /// By the device.
    Closed,
    /// By the broker or the network, after this long.
    Failed { why: Why, lasted: Duration },
}

impl Lane {
    /// Runs until the uplink is closed.
    pub(crate) async fn run(mut self) {
        let mut failures = 0u32;
        while let Some(index) = self.shared.take_broker() {
            let shared = Arc::clone(&self.shared);
            let Some(broker) = shared.options.brokers.get(index) else { return };
            let ended = self.serve(index, broker).await;
            self.shared.give_back(index);
            let Ended::Failed { why, lasted } = ended else { return };
            failures = if lasted >= GOOD { 1 } else { failures.saturating_add(1) };
            let pause = self.shared.options.backoff.pause(failures, rand::random());
            self.shared.tell(Event::Trouble { broker: index, why, again: Some(pause) });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = closing(&mut self.change) => return,
            }
        }
    }

    async fn serve(&mut self, index: usize, broker: &Broker) -> Ended {
        let (client, mut events) = AsyncClient::new(self.mqtt_options(broker), WINDOW * 2);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(CONNECT_SECONDS).set_tcp_nodelay(true);
        events.set_network_options(network);
        let greeting = tokio::select! {
            greeting = events.poll() => greeting,
            () = closing(&mut self.change) => return Ended::Closed,
        };
        let session_present = match greeting {
            Ok(Polled::Incoming(Packet::ConnAck(ack))) => ack.session_present,
            Ok(_) => return Ended::Failed { why: Why::Refused("no greeting".to_owned()), lasted: Duration::ZERO },
            Err(error) => return Ended::Failed { why: Why::read(&error, false), lasted: Duration::ZERO },
        };
        let since = Instant::now();
        self.shared.outbox().began(self.number);
        self.greet(&client);
        self.shared.tell(Event::Connected { broker: index, session_present });
        loop {
            match self.next_event(&client, &mut events).await {
                None => return self.farewell(&client, &mut events).await,
                Some(Ok(event)) => self.take(index, &event),
                Some(Err(error)) => {
                    return Ended::Failed { why: Why::read(&error, true), lasted: since.elapsed() };
                }
            }
        }
    }

    fn mqtt_options(&self, broker: &Broker) -> MqttOptions {
        let own = &self.shared.options;
        let mut options = MqttOptions::new(own.client_id.clone(), broker.host.clone(), broker.port);
        options.set_clean_session(false).set_keep_alive(own.keep_alive).set_max_packet_size(PACKET_MAX, PACKET_MAX);
        // More than the outbox ever has in flight: the client wedges itself when a packet id comes round too early.
        options.set_inflight(u16::try_from(WINDOW * 4).unwrap_or(u16::MAX));
        if let Some((user, password)) = &broker.login {
            options.set_credentials(user.clone(), password.expose());
        }
        if let Some(tls) = &broker.tls {
            options.set_transport(tls.transport());
        }
        if own.announce {
            options.set_last_will(LastWill::new(status_topic(&own.kid), "offline", QoS::AtLeastOnce, true));
        }
        options
    }

    /// Subscribes on every connection: a broker may have forgotten, and one that has not does no harm.
    fn greet(&self, client: &AsyncClient) {
        let own = &self.shared.options;
        let filters = self.filters().into_iter().map(|path| SubscribeFilter::new(path, QoS::AtLeastOnce));
        // A new client's queue has room for it.
        let _ = client.try_subscribe_many(filters);
        if own.announce && client.try_publish(status_topic(&own.kid), QoS::AtLeastOnce, true, "online").is_ok() {
            self.shared.outbox().handed(self.number, None, self.shared.now_ms());
        }
    }

    /// What the device listens to.
    fn filters(&self) -> Vec<String> {
        let own = &self.shared.options;
        let lease = topic_down(Down::Lease, &own.kid);
        let down = lease.rsplit_once('/').map_or("", |(folder, _)| folder);
        let terms = self.term_topic();
        [Some(BEACON_TOPIC.to_owned()), Some(format!("{down}/#")), terms].into_iter().flatten().collect()
    }

    fn term_topic(&self) -> Option<String> {
        let own = &self.shared.options;
        own.committee.map(|committee| topic_term(&own.network, committee).to_string())
    }

    /// The client's next event; meanwhile publishes whatever comes to wait. `None`: the uplink is closing.
    async fn next_event(
        &mut self,
        client: &AsyncClient,
        events: &mut EventLoop,
    ) -> Option<Result<Polled, rumqttc::ConnectionError>> {
        let tick = (self.shared.options.patience / 4).clamp(Duration::from_millis(25), Duration::from_secs(5));
        // Kept over the turns of the loop: a poll that is dropped in the middle of a write loses the packet.
        let poll = events.poll();
        tokio::pin!(poll);
        loop {
            self.publish(client);
            tokio::select! {
                event = &mut poll => return Some(event),
                changed = self.change.changed() => {
                    if changed.is_err() || self.change.borrow().closing {
                        return None;
                    }
                }
                () = tokio::time::sleep(tick) => {}
            }
        }
    }

    fn publish(&self, client: &AsyncClient) {
        let (mut outbox, now) = (self.shared.outbox(), self.shared.now_ms());
        while let Some(parcel) = outbox.next(self.number, now) {
            let topic = topic_up(parcel.class, &self.shared.options.kid);
            if client.try_publish(topic.as_str(), QoS::AtLeastOnce, false, parcel.bytes).is_err() {
                return;
            }
            outbox.handed(self.number, Some(parcel.id), now);
        }
    }

    fn take(&self, broker: usize, event: &Polled) {
        match event {
            Polled::Outgoing(Outgoing::Publish(packet)) => self.shared.outbox().sent(self.number, *packet),
            Polled::Incoming(Packet::PubAck(ack)) => {
                let id = self.shared.outbox().acked(self.number, ack.pkid);
                if let Some(id) = id {
                    self.shared.tell(Event::Taken { broker, id });
                }
            }
            Polled::Incoming(Packet::SubAck(ack)) => {
                let refused = ack.return_codes.iter().any(|code| matches!(code, SubscribeReasonCode::Failure));
                if refused {
                    let filters = self.filters().join(" or ");
                    let why = format!("the broker does not let this device subscribe to {filters}; check its rules");
                    self.shared.tell(Event::Trouble { broker, why: Why::Refused(why), again: None });
                }
            }
            Polled::Incoming(Packet::Publish(publish)) => self.down(&publish.topic, &publish.payload),
            _ => {}
        }
    }

    fn down(&self, topic: &str, payload: &[u8]) {
        let own = &self.shared.options;
        let is = |what| topic == topic_down(what, &own.kid).as_str();
        if topic == BEACON_TOPIC {
            self.shared.tell(Event::Beacon(payload.to_vec()));
        } else if self.term_topic().is_some_and(|terms| terms == topic) {
            self.shared.tell(Event::Terms(payload.to_vec()));
        } else if is(Down::Lease) {
            self.shared.tell(Event::Lease(payload.to_vec()));
        } else if is(Down::Access) {
            self.shared.tell(Event::Access(payload.to_vec()));
        } else if is(Down::Receipt) {
            match receipts::check(payload, &own.receipt_keys) {
                Ok(checked) => self.shared.receipted(checked),
                Err(why) => self.shared.tell(Event::BadReceipts(why)),
            }
        }
    }

    /// Says `offline` and disconnects; the broker keeps the session.
    async fn farewell(&self, client: &AsyncClient, events: &mut EventLoop) -> Ended {
        let own = &self.shared.options;
        if own.announce {
            let _ = client.try_publish(status_topic(&own.kid), QoS::AtLeastOnce, true, "offline");
        }
        let _ = client.try_disconnect();
        let last = async {
            while let Ok(event) = events.poll().await {
                if let Polled::Incoming(Packet::Publish(publish)) = &event {
                    self.down(&publish.topic, &publish.payload);
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, last).await;
        Ended::Closed
    }
}

/// Ready once the uplink is closing or gone.
async fn closing(change: &mut watch::Receiver<Change>) {
    let _ = change.wait_for(|change| change.closing).await;
}
