//! Acknowledgements on their way back: those of a batch leave in one write, by the task of the connection that brought the
//! messages, which alone knows whether it is still that connection. (Through the client's queue each would be a write of
//! its own, which costs as much as storing the message.) Leaves out: when a message may be acknowledged (`batch`).

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{ConnectionError, EventLoop, Packet, PubAck};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::timeout;

use super::Link;

/// Batches of acknowledgements waiting for one connection; each is of messages that a broker let out of its window.
const BATCHES_MAX: usize = 8_192;
/// Longest wait for a broker to take a batch of acknowledgements.
const PATIENCE: Duration = Duration::from_secs(5);

/// The right to acknowledge one message on the connection that brought it.
#[derive(Debug)]
pub(super) struct Ack {
    pub(super) link: Arc<Link>,
    pub(super) due: Due,
}

/// A packet identifier, and the number of the connection on which it means something. 0 = QoS 0, nothing to acknowledge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) connection: u64,
    pub(super) packet: u16,
}

/// Where a connection's task finds what it owes.
pub(super) type Owed = mpsc::Receiver<Vec<Due>>;

/// A connection's queue of acknowledgements.
pub(super) fn queue() -> (mpsc::Sender<Vec<Due>>, Owed) {
    mpsc::channel(BATCHES_MAX)
}

/// Hands a batch's acknowledgements to the connections they belong to, each in the order of arrival. Never waits.
pub(super) fn send(acks: Vec<Ack>) {
    let mut by_link: Vec<(Arc<Link>, Vec<Due>)> = Vec::new();
    for Ack { link, due } in acks {
        match by_link.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &link)) {
            Some((_, dues)) => dues.push(due),
            None => by_link.push((link, vec![due])),
        }
    }
    for (link, dues) in by_link {
        // Lost, they make the broker deliver again.
        if let Err(TrySendError::Full(lost)) = link.acks.try_send(dues) {
            tracing::warn!(lost = lost.len(), "acknowledgements found their queue full; the messages will come again");
        }
    }
}

/// Writes what is owed on connection number `now`, and counts what belongs to an earlier one.
pub(super) async fn write(
    events: &mut EventLoop,
    dues: Vec<Due>,
    now: u64,
    stale: &prometheus::IntCounter,
) -> Result<(), ConnectionError> {
    let (current, old): (Vec<Due>, Vec<Due>) = dues.into_iter().partition(|due| due.connection == now);
    stale.inc_by(old.len() as u64);
    let Some(network) = &mut events.network else { return Ok(()) };
    let all = async {
        for due in current.iter().filter(|due| due.packet != 0) {
            network.write(Packet::PubAck(PubAck::new(due.packet))).await?;
        }
        network.flush().await
    };
    timeout(PATIENCE, all).await.map_err(|_| ConnectionError::FlushTimeout)?.map_err(ConnectionError::MqttState)
}
