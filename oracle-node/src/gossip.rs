//! The committee's own network: libp2p over TCP with noise and yamux. Gossipsub carries broadcasts, request-response
//! carries direct messages and pulls; peers outside the lists of the joined terms are refused at the handshake.
//! The only file that knows libp2p's swarm, with `gossip/`. Leaves out: what messages mean (`oracle-core`).

mod codec;
mod dial;
mod pull;
mod requests;
mod serving;
mod swarm;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};
use oracle_core::effect::Content;
use oracle_core::wire::Pulled;
use tokio::sync::mpsc;

use crate::duties::Duties;
use crate::metrics::Metrics;

/// What the node may ask of the network.
#[derive(Clone, Debug)]
pub enum Command {
    /// Be part of one more term's network, as a member or, without a seat in it, as one that listens.
    Join(Room),
    /// Leave a term's network: its topic and whoever is only in its list.
    Leave(u64),
    /// Send to every member of every term in which this node is one.
    Broadcast(Vec<u8>),
    /// Send to every member of one term.
    Say {
        /// The term.
        term: u64,
        /// Encoded `wire::Message`.
        bytes: Vec<u8>,
    },
    /// Send to one member of a term.
    Whisper {
        /// The term.
        term: u64,
        /// Receiver's index in it.
        to: u32,
        /// Encoded `wire::Direct`.
        bytes: Vec<u8>,
    },
    /// Send to one peer.
    Direct {
        /// Receiver's place in the roster: the index in the first term joined.
        to: u32,
        /// Encoded `wire::Direct`.
        bytes: Vec<u8>,
    },
    /// Fetch content by id from whoever of `holders` answers first, one after the other.
    Pull {
        /// Hashes and evidence ids.
        ids: Vec<[u8; 32]>,
        /// Places in the roster of those that said they hold them.
        holders: Vec<u32>,
    },
    /// A member of a term says that it holds this evidence: fetch it, as far as the member's room goes.
    Offered {
        /// The term.
        term: u64,
        /// The member's index in it.
        holder: u32,
        /// Evidence ids.
        ids: Vec<[u8; 32]>,
    },
    /// The same, asking members of a term.
    PullOf {
        /// The term.
        term: u64,
        /// Hashes and evidence ids.
        ids: Vec<[u8; 32]>,
        /// Members' indices in it.
        holders: Vec<u32>,
    },
}

/// One term's network.
#[derive(Clone, Debug)]
pub struct Room {
    /// The term.
    pub term: u64,
    /// Topic of broadcasts.
    pub topic: String,
    /// Every member's transport identity, by index.
    pub members: Vec<PeerId>,
    /// Whom to dial, and who is expected there if that is known.
    pub peers: Vec<(Option<PeerId>, Multiaddr)>,
}

/// What the network tells the node. Senders are authenticated members.
#[derive(Clone, Debug)]
pub enum Event {
    /// A broadcast that decodes.
    Message {
        /// The term it was said in.
        term: u64,
        /// Author's index in it.
        from: u32,
        /// Encoded `wire::Message`.
        bytes: Vec<u8>,
    },
    /// A `Deal` or `Ack` for this member.
    Direct {
        /// The term it is about.
        term: u64,
        /// Sender's index in it.
        from: u32,
        /// Encoded `wire::Direct`.
        bytes: Vec<u8>,
    },
    /// Content that fits the id asked for (signatures of evidence are not checked yet).
    Pulled {
        /// Who gave it, by place in the roster.
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
    /// The first term's network; more may be joined later.
    pub room: Room,
    /// Answers to pulls.
    pub source: Arc<dyn Source>,
    /// What happens goes there; a full channel loses broadcasts, which are retransmitted.
    pub events: mpsc::Sender<Event>,
    /// The node's metrics.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Setup(listen {}, {:?})", self.listen, self.room)
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
pub fn start(setup: Setup, duties: &Duties) -> Result<mpsc::Sender<Command>, GossipError> {
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    let network = swarm::Network::new(setup)?;
    duties.keep("the members' network", network.run(receiver));
    Ok(commands)
}

/// Commands waiting for the network's task.
const COMMANDS_MAX: usize = 4_096;
