//! The committee's own network: libp2p over TCP with noise and yamux. Gossipsub carries broadcasts, request-response
//! carries direct messages and pulls; peers outside the term's list are refused at the handshake.
//! The only file that knows libp2p's swarm, with `gossip/`. Leaves out: what messages mean (`oracle-core`).

mod codec;
mod dial;
mod pull;
mod swarm;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use oracle_core::effect::Content;
use oracle_core::wire::Pulled;
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// What the node may ask of the network.
#[derive(Clone, Debug)]
pub enum Command {
    /// Send to every member.
    Broadcast(Vec<u8>),
    /// Send to one member.
    Direct {
        /// Receiver's index.
        to: u32,
        /// Encoded `wire::Direct`.
        bytes: Vec<u8>,
    },
    /// Fetch content by id from whoever of `holders` answers first, one after the other.
    Pull {
        /// Hashes and evidence ids.
        ids: Vec<[u8; 32]>,
        /// Members that said they hold them.
        holders: Vec<u32>,
    },
}

/// What the network tells the node. Senders are authenticated members.
#[derive(Clone, Debug)]
pub enum Event {
    /// A broadcast that decodes.
    Message {
        /// Author's index.
        from: u32,
        /// Encoded `wire::Message`.
        bytes: Vec<u8>,
    },
    /// A `Deal` or `Ack` for this member.
    Direct {
        /// Sender's index.
        from: u32,
        /// Encoded `wire::Direct`.
        bytes: Vec<u8>,
    },
    /// Content that fits the id asked for (signatures of evidence are not checked yet).
    Pulled {
        /// Who gave it.
        from: u32,
        /// What was given.
        item: Pulled,
        /// Who else said to hold it, should it turn out bad.
        others: Vec<u32>,
    },
}

/// Where answers to pulls come from. May block on the disk; called off the async threads.
pub trait Source: Send + Sync + 'static {
    /// Content by id, if held.
    fn content(&self, id: &[u8; 32]) -> Option<Content>;
    /// The id that evidence of this class has; `None` when the bytes do not decode.
    fn evidence_id(&self, class: u8, bytes: &[u8]) -> Option<[u8; 32]>;
}

/// Everything the network needs to know.
pub struct Setup {
    /// Transport identity.
    pub key: Keypair,
    /// Where to listen.
    pub listen: Multiaddr,
    /// Every member's transport identity, by index, this node's included.
    pub members: Vec<PeerId>,
    /// Whom to dial, and who is expected there if that is known.
    pub peers: Vec<(Option<PeerId>, Multiaddr)>,
    /// Topic of broadcasts.
    pub topic: String,
    /// Answers to pulls.
    pub source: Arc<dyn Source>,
    /// What happens goes there; a full channel loses broadcasts, which are retransmitted.
    pub events: mpsc::Sender<Event>,
    /// The node's metrics.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Setup(listen {}, {} members, topic {})", self.listen, self.members.len(), self.topic)
    }
}

/// Why the network could not start.
#[derive(Debug, thiserror::Error)]
pub enum GossipError {
    /// The address cannot be listened on.
    #[error("gossip: cannot listen on {address}: {why}")]
    Listen {
        /// From the configuration.
        address: Multiaddr,
        /// What the transport said.
        why: String,
    },
    /// libp2p refused our settings.
    #[error("gossip: {0}")]
    Settings(String),
}

/// Topic of a term's broadcasts.
#[must_use]
pub fn topic(committee: u64, term: u64) -> String {
    format!("plumbline/{committee}/{term}")
}

/// Starts the network in a task of its own; it ends when the returned sender is dropped.
///
/// # Errors
/// An address that cannot be listened on, or settings that libp2p refuses.
pub fn start(setup: Setup) -> Result<mpsc::Sender<Command>, GossipError> {
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    let network = swarm::Network::new(setup)?;
    tokio::spawn(network.run(receiver));
    Ok(commands)
}

/// Commands waiting for the network's task.
const COMMANDS_MAX: usize = 4_096;
