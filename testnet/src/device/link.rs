//! One device's connection to one broker: MQTT 3.1.1, quality of service 1, kept session. It tells which evidence the broker
//! has acknowledged and sends again what a lost session took with it. Leaves out: what is said and what is done on arrival.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use tokio::sync::mpsc;

/// Publishes in flight at once; a broker's window is 20 by default (mosquitto).
const IN_FLIGHT: u16 = 16;
/// Largest packet either way, bytes; access feeds are the largest thing that comes down.
const MAX_PACKET: usize = 32 * 1024;
/// Messages waiting in memory for a broker that is away; the oldest goes first.
const MAX_QUEUE: usize = 10_000;

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Evidence id; comes back with the acknowledgement.
    pub id: [u8; 32],
    /// Topic.
    pub topic: String,
    /// Payload.
    pub bytes: Vec<u8>,
}

/// What a link reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A message came down.
    Down {
        /// Topic.
        topic: String,
        /// Payload.
        payload: Vec<u8>,
    },
    /// The broker acknowledged a message (PUBACK).
    Acked {
        /// Evidence id.
        id: [u8; 32],
        /// Which broker, as numbered by the caller.
        broker: usize,
    },
    /// The connection was lost or could not be made; it is tried again.
    Trouble {
        /// Why.
        why: String,
    },
}

/// Which message holds which packet id: rumqttc tells packet ids in the order of publishing, never contents.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Not handed to the client: the connection is away or the client is full.
    queue: VecDeque<Parcel>,
    /// Handed to the client, packet id not known yet.
    handed: VecDeque<Parcel>,
    /// On the wire, not acknowledged.
    flying: BTreeMap<u16, (u64, Parcel)>,
    count: u64,
}

impl Ledger {
    /// A new message to publish.
    pub(crate) fn add(&mut self, parcel: Parcel) {
        if self.queue.len() >= MAX_QUEUE {
            self.queue.pop_front();
        }
        self.queue.push_back(parcel);
    }

    /// The next message to hand over, which the caller confirms with [`Self::hand`].
    pub(crate) fn next(&self) -> Option<&Parcel> {
        self.queue.front()
    }

    /// The client took the next message.
    pub(crate) fn hand(&mut self) {
        self.handed.extend(self.queue.pop_front());
    }

    /// The client put a publish with this packet id on the wire. A packet id that flies already is a retransmission.
    pub(crate) fn sent(&mut self, packet: u16) {
        if packet != 0
            && !self.flying.contains_key(&packet)
            && let Some(parcel) = self.handed.pop_front()
        {
            self.count = self.count.saturating_add(1);
            self.flying.insert(packet, (self.count, parcel));
        }
    }

    /// The broker acknowledged a packet id.
    pub(crate) fn acked(&mut self, packet: u16) -> Option<[u8; 32]> {
        self.flying.remove(&packet).map(|(_, parcel)| parcel.id)
    }

    /// The session is gone, and with it what the client held: everything unacknowledged goes to the front of the queue, in
    /// the order in which it was first sent.
    pub(crate) fn lost(&mut self) {
        let mut flying: Vec<(u64, Parcel)> = std::mem::take(&mut self.flying).into_values().collect();
        flying.sort_by_key(|(count, _)| *count);
        let held = flying.into_iter().map(|(_, parcel)| parcel).chain(std::mem::take(&mut self.handed));
        self.queue = held.chain(std::mem::take(&mut self.queue)).collect();
    }
}

/// One connection, to be run as a task.
#[derive(Debug)]
pub(crate) struct Link {
    /// MQTT client id.
    pub(crate) client_id: String,
    /// Address.
    pub(crate) broker: SocketAddr,
    /// Its number in [`News::Acked`].
    pub(crate) number: usize,
    /// Topic filters to subscribe to.
    pub(crate) filters: Vec<String>,
}

impl Link {
    /// Runs until the other end of either channel is gone.
    ///
    /// # Errors
    /// When the client's own queue is closed, which only a fault in it can do.
    pub(crate) async fn run(self, mut parcels: mpsc::Receiver<Parcel>, news: mpsc::Sender<News>) -> Result<()> {
        let mut options = MqttOptions::new(self.client_id.clone(), self.broker.ip().to_string(), self.broker.port());
        options.set_clean_session(false).set_keep_alive(Duration::from_secs(5)).set_inflight(IN_FLIGHT);
        options.set_max_packet_size(MAX_PACKET, MAX_PACKET);
        let (client, mut events) = AsyncClient::new(options, usize::from(IN_FLIGHT) * 2);
        let mut ledger = Ledger::default();
        let mut connected = false;
        loop {
            tokio::select! {
                event = events.poll() => match event {
                    Ok(event) => self.take(&event, &client, &mut ledger, &mut connected, &news).await?,
                    Err(error) => {
                        connected = false;
                        if news.send(News::Trouble { why: format!("{}: {error}", self.broker) }).await.is_err() {
                            return Ok(());
                        }
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                },
                // Only while connected: dropping a poll that is connecting would begin the connection anew.
                parcel = parcels.recv(), if connected => match parcel {
                    Some(parcel) => ledger.add(parcel),
                    None => return farewell(&client, &mut events).await,
                },
            }
            while connected && let Some(next) = ledger.next() {
                if client.try_publish(next.topic.clone(), QoS::AtLeastOnce, false, next.bytes.clone()).is_err() {
                    break;
                }
                ledger.hand();
            }
        }
    }

    async fn take(
        &self,
        event: &Event,
        client: &AsyncClient,
        ledger: &mut Ledger,
        connected: &mut bool,
        news: &mpsc::Sender<News>,
    ) -> Result<()> {
        let told = match event {
            Event::Incoming(Packet::ConnAck(ack)) => {
                *connected = true;
                if !ack.session_present {
                    ledger.lost();
                    for filter in &self.filters {
                        client.try_subscribe(filter.clone(), QoS::AtLeastOnce)?;
                    }
                }
                return Ok(());
            }
            Event::Incoming(Packet::Publish(publish)) => {
                News::Down { topic: publish.topic.clone(), payload: publish.payload.to_vec() }
            }
            Event::Incoming(Packet::PubAck(ack)) => match ledger.acked(ack.pkid) {
                Some(id) => News::Acked { id, broker: self.number },
                None => return Ok(()),
            },
            Event::Outgoing(Outgoing::Publish(packet)) => {
                ledger.sent(*packet);
                return Ok(());
            }
            _ => return Ok(()),
        };
        // A closed channel shows in `run` as the end of the parcels.
        let _ = news.send(told).await;
        Ok(())
    }
}

/// Disconnects; the broker keeps the session.
async fn farewell(client: &AsyncClient, events: &mut EventLoop) -> Result<()> {
    client.try_disconnect()?;
    let last = async { while events.poll().await.is_ok() {} };
    let _ = tokio::time::timeout(Duration::from_millis(500), last).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(number: u8) -> Parcel {
        Parcel { id: [number; 32], topic: "t".into(), bytes: vec![number] }
    }

    #[test]
    fn acknowledgements_name_the_message_they_are_for() {
        let mut ledger = Ledger::default();
        for number in 1..=3 {
            ledger.add(parcel(number));
            ledger.hand();
        }
        ledger.sent(7);
        ledger.sent(8);
        ledger.sent(7);
        assert_eq!(ledger.acked(8), Some([2; 32]));
        assert_eq!((ledger.acked(8), ledger.acked(9)), (None, None));
        ledger.sent(8);
        assert_eq!((ledger.acked(8), ledger.acked(7)), (Some([3; 32]), Some([1; 32])));
    }

    #[test]
    fn a_lost_session_sends_everything_unacknowledged_again_in_order() {
        let mut ledger = Ledger::default();
        for number in 1..=4 {
            ledger.add(parcel(number));
        }
        for packet in [9, 2] {
            ledger.hand();
            ledger.sent(packet);
        }
        ledger.hand();
        ledger.lost();
        let mut order = Vec::new();
        while let Some(next) = ledger.next() {
            order.extend(next.bytes.first().copied());
            ledger.hand();
        }
        assert_eq!(order, [1, 2, 3, 4]);
        assert!(ledger.flying.is_empty());
    }

    #[test]
    fn a_broker_that_stays_away_costs_bounded_memory() {
        let mut ledger = Ledger::default();
        (0..MAX_QUEUE + 5).for_each(|number| ledger.add(parcel(number as u8)));
        assert_eq!((ledger.queue.len(), ledger.next().map(|p| p.id)), (MAX_QUEUE, Some([5; 32])));
    }
}
