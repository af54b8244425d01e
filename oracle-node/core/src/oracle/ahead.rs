//! Messages about epochs that this member has not reached: kept within bounds until it does.
//!
//! Every stream has a place of its own, and a peer's bytes are shared out among the streams: a peer that floods one uses up
//! nothing that it, or another peer, has in the others; and what one peer can make this member keep does not grow with the
//! number of streams. A message that is larger than the share is lost, and its decision asked for later.

use std::collections::BTreeMap;

use crate::limits::MESSAGE_BYTES_MAX;
use crate::wire::Message;

/// Messages kept of one peer for one epoch.
const MESSAGES_PER_PEER: usize = 64;

/// Bytes kept of one peer for one epoch of one stream, of so many that are served.
pub(super) fn share(streams: usize) -> usize {
    MESSAGE_BYTES_MAX.checked_div(streams).unwrap_or(MESSAGE_BYTES_MAX)
}

/// What came early to one stream.
#[derive(Debug)]
pub(super) struct Ahead {
    /// See [`share`].
    bytes_per_peer: usize,
    epochs: BTreeMap<u64, BTreeMap<u32, Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: usize,
    messages: Vec<Message>,
}

impl Ahead {
    /// `bytes_per_peer` counts for one epoch.
    pub(super) const fn new(bytes_per_peer: usize) -> Self {
        Self { bytes_per_peer, epochs: BTreeMap::new() }
    }

    /// Keeps a message that peer `from` handed over, unless its share is used up. The caller bounds the epochs.
    pub(super) fn keep(&mut self, epoch: u64, from: u32, message: &Message, bytes: usize) {
        let queue = self.epochs.entry(epoch).or_default().entry(from).or_default();
        let total = queue.bytes.saturating_add(bytes);
        if queue.messages.len() < MESSAGES_PER_PEER && total <= self.bytes_per_peer {
            queue.bytes = total;
            queue.messages.push(message.clone());
        }
    }

    /// Everything about an epoch, each message with the peer that handed it over.
    pub(super) fn take(&mut self, epoch: u64) -> Vec<(u32, Message)> {
        let queues = self.epochs.remove(&epoch).unwrap_or_default();
        let of = |(from, queue): (u32, Queue)| queue.messages.into_iter().map(move |message| (from, message));
        queues.into_iter().flat_map(of).collect()
    }

    /// Forgets epochs before `next`.
    pub(super) fn prune(&mut self, next: u64) {
        self.epochs = self.epochs.split_off(&next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_cannot_use_up_anothers_share() {
        let mut ahead = Ahead::new(share(4));
        let message = Message::Have(vec![]);
        for _ in 0..1_000 {
            ahead.keep(5, 0, &message, 1);
        }
        ahead.keep(5, 1, &message, 1);
        ahead.keep(5, 2, &message, MESSAGE_BYTES_MAX / 4 + 1);
        ahead.keep(5, 3, &message, MESSAGE_BYTES_MAX / 4);
        assert_eq!(ahead.take(5).len(), MESSAGES_PER_PEER + 2);
        assert!(ahead.take(5).is_empty());
    }
}
