//! Requests and answers between two peers: pulls of content, and deals of a key ceremony in the term they name.
//! Leaves out: broadcasts and connections (`swarm`).

use libp2p::PeerId;
use libp2p::request_response::{self, ResponseChannel};
use oracle_core::limits::PULL_ITEMS_MAX;
use oracle_core::observation::blob_hash;
use oracle_core::wire::{self, Direct, Pulled};

use super::Event;
use super::codec::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use super::swarm::{Network, index};

impl Network {
    pub(super) fn direct(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        match event {
            request_response::Event::Message {
                peer,
                message: request_response::Message::Request { request, channel, .. },
                ..
            } => match self.place(&peer) {
                Some(place) if self.admit(place) => self.request(&peer, place, request, channel),
                _ => self.setup.metrics.gossip_direct_refused.with_label_values(&["over_rate"]).inc(),
            },
            request_response::Event::Message {
                message: request_response::Message::Response { request_id, response },
                ..
            } => {
                if let Some((from, asked)) = self.pulls.remove(&request_id) {
                    let items = wire::decode::<Vec<Pulled>>(&response, RESPONSE_BYTES_MAX);
                    self.pulled(from, &asked, items.ok());
                }
            }
            request_response::Event::OutboundFailure { request_id, error, .. } => {
                tracing::debug!(%error, "direct message not answered");
                if let Some((from, asked)) = self.pulls.remove(&request_id) {
                    self.puller.answered(from, &asked, Vec::new(), |_| false);
                }
            }
            _ => {}
        }
    }

    fn request(&mut self, peer: &PeerId, from: u32, request: Vec<u8>, channel: ResponseChannel<Vec<u8>>) {
        match wire::decode::<Direct>(&request, REQUEST_BYTES_MAX) {
            Ok(Direct::Pull(ids)) if ids.len() <= PULL_ITEMS_MAX => {
                let (source, replies) = (self.setup.source.clone(), self.replies.0.clone());
                tokio::task::spawn_blocking(move || {
                    let mut room = RESPONSE_BYTES_MAX / 2;
                    let mut items = Vec::new();
                    for content in ids.iter().filter_map(|id| source.content(id)) {
                        let Some(left) = room.checked_sub(content.bytes.len().saturating_add(64)) else { break };
                        room = left;
                        items.push(Pulled { id: content.id.into(), class: content.class, bytes: content.bytes.into() });
                    }
                    // A closed or full channel means that the network ends or is flooded; the asker tries elsewhere.
                    let _ = replies.try_send((channel, wire::encode(&items)));
                });
            }
            // Without a term's number it is about the first term joined.
            Ok(Direct::Deal(_) | Direct::Ack(_) | Direct::RefreshDeal(..) | Direct::RefreshAck(..)) => {
                self.whispered(peer, self.setup.room.term, request, channel)
            }
            Ok(Direct::Of(term, bytes)) => self.whispered(peer, term, bytes.to_vec(), channel),
            _ => {
                tracing::debug!(from, "direct message refused");
                self.setup.metrics.gossip_direct_refused.with_label_values(&["malformed"]).inc();
            }
        }
    }

    fn whispered(&mut self, peer: &PeerId, term: u64, bytes: Vec<u8>, channel: ResponseChannel<Vec<u8>>) {
        let from = self.rooms.get(&term).and_then(|room| index(room, peer));
        let deal = matches!(
            wire::decode(&bytes, REQUEST_BYTES_MAX),
            Ok(Direct::Deal(_) | Direct::Ack(_) | Direct::RefreshDeal(..) | Direct::RefreshAck(..))
        );
        match from.filter(|_| deal) {
            Some(from) => {
                self.tell(Event::Direct { term, from, bytes });
                let _ = self.swarm.behaviour_mut().direct.send_response(channel, Vec::new());
            }
            None => self.setup.metrics.gossip_direct_refused.with_label_values(&["malformed"]).inc(),
        }
    }

    fn pulled(&mut self, from: u32, asked: &[[u8; 32]], items: Option<Vec<Pulled>>) {
        let undecodable = u64::from(items.is_none());
        let source = self.setup.source.clone();
        let fits = |item: &Pulled| match item.class {
            0 => blob_hash(&item.bytes) == *item.id,
            class => source.evidence_id(class, &item.bytes) == Some(*item.id),
        };
        let answer = self.puller.answered(from, asked, items.unwrap_or_default(), fits);
        let bad = undecodable.saturating_add(answer.bad as u64);
        if bad > 0 {
            tracing::warn!(from, bad, "a member answered a pull with bytes that do not fit");
            self.setup.metrics.pulls_bad.inc_by(bad);
        }
        for (item, others) in answer.good {
            self.tell(Event::Pulled { from, item, others });
        }
        self.send_pulls();
    }
}
