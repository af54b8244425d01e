//! Requests and answers between two peers: pulls of content, and deals of a key ceremony in the term they name.
//! Leaves out: broadcasts and connections (`swarm`), whose pull is answered when (`serving`).

use std::collections::BTreeSet;

use libp2p::PeerId;
use libp2p::request_response::{self, InboundRequestId, ResponseChannel};
use oracle_core::limits::PULL_ITEMS_MAX;
use oracle_core::observation::blob_hash;
use oracle_core::wire::{self, Direct, Hash, Pulled};

use super::codec::{REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use super::serving::LOOK_BYTES;
use super::swarm::{Network, Reply, index};
use super::{Event, Source};

impl Network {
    pub(super) fn direct(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        match event {
            request_response::Event::Message {
                peer,
                message: request_response::Message::Request { request_id, request, channel },
                ..
            } => match self.place(&peer) {
                Some(place) if self.admit(place, request.len()) => {
                    self.request(&peer, place, request, (request_id, channel));
                }
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
            request_response::Event::ResponseSent { peer, request_id, .. }
            | request_response::Event::InboundFailure { peer, request_id, .. } => {
                if let Some(place) = self.place(&peer) {
                    self.serving.finished(place, &request_id);
                    self.serve();
                }
            }
        }
    }

    fn request(
        &mut self,
        peer: &PeerId,
        from: u32,
        request: Vec<u8>,
        (id, channel): (InboundRequestId, ResponseChannel<Vec<u8>>),
    ) {
        match wire::decode::<Direct>(&request, REQUEST_BYTES_MAX) {
            Ok(Direct::Pull(ids)) if ids.len() <= PULL_ITEMS_MAX => {
                if !self.serving.ask(from, id, (channel, ids), self.elapsed_ms()) {
                    // The asker tries elsewhere.
                    self.setup.metrics.gossip_direct_refused.with_label_values(&["over_rate"]).inc();
                }
                self.serve();
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

    /// Answers the pulls whose turn it is, each on a thread that may block.
    pub(super) fn serve(&mut self) {
        for (from, (channel, ids)) in self.serving.due(self.elapsed_ms()) {
            let (source, replies) = (self.setup.source.clone(), self.replies.0.clone());
            tokio::task::spawn_blocking(move || {
                let (items, cost) = gathered(&ids, &*source);
                // A closed channel means that the network ends.
                let _ = replies.blocking_send(Reply { from, channel, bytes: wire::encode(&items), cost });
            });
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

/// What is held of the content asked for, as far as one answer has room, and what it costs the asker, in bytes. An id named
/// twice is one.
fn gathered(ids: &[Hash], source: &dyn Source) -> (Vec<Pulled>, usize) {
    let (mut room, mut cost) = (RESPONSE_BYTES_MAX / 2, 0_usize);
    let (mut items, mut seen) = (Vec::new(), BTreeSet::new());
    for id in ids.iter().filter(|id| seen.insert(***id)) {
        let content = source.content(id);
        cost = cost.saturating_add(content.as_ref().map_or(0, |content| content.bytes.len()).max(LOOK_BYTES));
        let Some(content) = content else { continue };
        let Some(left) = room.checked_sub(content.bytes.len().saturating_add(64)) else { break };
        room = left;
        items.push(Pulled { id: content.id.into(), class: content.class, bytes: content.bytes.into() });
    }
    (items, cost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oracle_core::effect::Content;

    /// Holds one blob of a megabyte, and counts how often it is read.
    #[derive(Default)]
    struct Big(std::sync::atomic::AtomicUsize);

    impl Source for Big {
        fn content(&self, id: &[u8; 32]) -> Option<Content> {
            let held = *id == [1; 32];
            held.then(|| {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Content { id: *id, class: 0, bytes: vec![0; 1 << 20] }
            })
        }
        fn evidence_id(&self, _: u8, _: &[u8]) -> Option<[u8; 32]> {
            None
        }
    }

    #[test]
    fn an_id_named_many_times_is_read_and_sent_once_and_paid_for() {
        let source = Big::default();
        let ids = vec![Hash::from([1; 32]); PULL_ITEMS_MAX];
        let (items, cost) = gathered(&ids, &source);
        assert_eq!((items.len(), cost, source.0.into_inner()), (1, 1 << 20, 1));
        // To look for what is not there is not free.
        let invented: Vec<Hash> = (2..=101).map(|n| Hash::from([n; 32])).collect();
        let (items, cost) = gathered(&invented, &Big::default());
        assert_eq!((items.len(), cost), (0, 100 * LOOK_BYTES));
    }
}
