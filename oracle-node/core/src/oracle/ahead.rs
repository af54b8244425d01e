//! Messages about epochs that this member has not reached: kept within bounds until it does.

use std::collections::BTreeMap;

use crate::limits::MESSAGE_BYTES_MAX;
use crate::wire::Message;

/// Messages kept of one peer for one epoch.
const MESSAGES_PER_PEER: usize = 64;
/// Bytes kept of one peer for one epoch.
const BYTES_PER_PEER: usize = MESSAGE_BYTES_MAX;

/// What came early.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    epochs: BTreeMap<u64, BTreeMap<u32, Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: usize,
    messages: Vec<Message>,
}

impl Ahead {
    /// Keeps a message that peer `from` handed over, unless its share is used up. The caller bounds the epochs.
    pub(super) fn keep(&mut self, epoch: u64, from: u32, message: &Message, bytes: usize) {
        let queue = self.epochs.entry(epoch).or_default().entry(from).or_default();
        let total = queue.bytes.saturating_add(bytes);
        if queue.messages.len() < MESSAGES_PER_PEER && total <= BYTES_PER_PEER {
            queue.bytes = total;
            queue.messages.push(message.clone());
        }
    }

    /// Everything about an epoch, peer by peer.
    pub(super) fn take(&mut self, epoch: u64) -> Vec<Message> {
        let queues = self.epochs.remove(&epoch).unwrap_or_default();
        queues.into_values().flat_map(|queue| queue.messages).collect()
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
        let mut ahead = Ahead::default();
        let message = Message::Have(vec![]);
        for _ in 0..1_000 {
            ahead.keep(5, 0, &message, 1);
        }
        ahead.keep(5, 1, &message, 1);
        ahead.keep(5, 2, &message, BYTES_PER_PEER + 1);
        assert_eq!(ahead.take(5).len(), MESSAGES_PER_PEER + 1);
        assert!(ahead.take(5).is_empty());
    }
}
