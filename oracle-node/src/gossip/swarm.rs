//! The swarm and its loop: commands in, events out, every bound applied before anything is handed on.
//! Leaves out: framing (`codec`), whom to dial (`dial`), whom to ask for content (`pull`), answering (`requests`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::gossipsub::{self, MessageAcceptance, MessageAuthenticity, MessageId, PublishError};
use libp2p::request_response::{self, InboundRequestId, OutboundRequestId, ProtocolSupport, ResponseChannel};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ListenError, NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, Swarm, SwarmBuilder, allow_block_list, connection_limits, noise, tcp, yamux};
use oracle_core::limits::MESSAGE_BYTES_MAX;
use oracle_core::wire::{self, Direct, Hash, Message};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::codec::{Frames, PROTOCOL};
use super::dial::Dialler;
use super::pull::{Puller, hashes};
use super::serving::Serving;
use super::{Command, Event, GossipError, Room, Setup};
use crate::intake::Rates;

/// How often dials and pulls are looked at.
const PULSE: Duration = Duration::from_millis(100);
/// An answer to a direct message or a pull must come within this; then another holder is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Broadcasts and requests of one member per second, sustained; twice that in a burst. A large one counts as several.
const RATE_PER_MEMBER: u32 = 1_000;
/// Bytes of a broadcast or request that count as one.
const BYTES_PER_COUNT: usize = 64 << 10;
/// Connections that may be in their handshake at once; members are dialled as well, so a flood cannot shut them out.
const PENDING_INCOMING_MAX: u32 = 128;
/// Room for gossipsub's own fields around a message.
const ENVELOPE_BYTES: usize = 1_024;

/// The protocols of one connection.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    allowed: allow_block_list::Behaviour<allow_block_list::AllowedPeers>,
    limits: connection_limits::Behaviour,
    gossip: gossipsub::Behaviour,
    pub(super) direct: request_response::Behaviour<Frames>,
}

/// An answer to a pull, on its way back to the asking member.
pub(super) struct Reply {
    /// Its place in the roster.
    pub(super) from: u32,
    pub(super) channel: ResponseChannel<Vec<u8>>,
    pub(super) bytes: Vec<u8>,
    /// What it is charged.
    pub(super) cost: usize,
}

/// The network of the terms that this node is in or listens to.
pub(super) struct Network {
    pub(super) setup: Setup,
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) rooms: BTreeMap<u64, Room>,
    /// Every peer of every room, the first room's members first; a place never changes its peer.
    roster: Vec<PeerId>,
    me: PeerId,
    started: Instant,
    dialler: Dialler,
    pub(super) puller: Puller,
    pub(super) pulls: BTreeMap<OutboundRequestId, (u32, Vec<[u8; 32]>)>,
    rates: Rates<u32>,
    pub(super) serving: Serving<InboundRequestId, (ResponseChannel<Vec<u8>>, Vec<Hash>)>,
    pub(super) replies: (mpsc::Sender<Reply>, mpsc::Receiver<Reply>),
}

impl Network {
    /// Builds the swarm and starts to listen.
    pub(super) fn new(setup: Setup) -> Result<Self, GossipError> {
        let settings = |e: &dyn std::fmt::Display| GossipError::Settings(e.to_string());
        let key = setup.key.clone();
        let me_id = key.public().to_peer_id();
        let behaviour = behaviour(&setup).map_err(GossipError::Settings)?;
        let swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .map_err(|e| settings(&e))?
            .with_behaviour(|_| behaviour)
            .map_err(|e| settings(&e))?
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3_600)));
        let mut swarm = swarm.build();
        let listening = swarm.listen_on(setup.listen.clone());
        listening.map_err(|e| GossipError::Listen { address: setup.listen.clone(), why: e.to_string() })?;
        let first = setup.room.clone();
        let mut network = Self {
            setup,
            swarm,
            rooms: BTreeMap::new(),
            roster: Vec::new(),
            me: me_id,
            started: Instant::now(),
            dialler: Dialler::new(me_id, Vec::new()),
            puller: Puller::default(),
            pulls: BTreeMap::new(),
            rates: Rates::new(RATE_PER_MEMBER, 2 * RATE_PER_MEMBER),
            serving: Serving::new(),
            replies: mpsc::channel(256),
        };
        network.join(first).map_err(GossipError::Settings)?;
        Ok(network)
    }

    /// Joins a term's network; joining again takes over a new list of addresses.
    fn join(&mut self, room: Room) -> Result<(), String> {
        let topic = gossipsub::IdentTopic::new(room.topic.clone());
        let behaviour = self.swarm.behaviour_mut();
        behaviour.gossip.subscribe(&topic).map_err(|e| e.to_string())?;
        for member in &room.members {
            behaviour.allowed.allow_peer(*member);
            if !self.roster.contains(member) {
                self.roster.push(*member);
            }
        }
        self.dialler.add(room.peers.clone());
        tracing::info!(term = room.term, members = room.members.len(), "in the network of the term");
        self.rooms.insert(room.term, room);
        Ok(())
    }

    /// Leaves a term's network; who is in no other room is refused from now on.
    fn leave(&mut self, term: u64) {
        let Some(room) = self.rooms.remove(&term) else { return };
        let topic = gossipsub::IdentTopic::new(room.topic.clone());
        self.swarm.behaviour_mut().gossip.unsubscribe(&topic);
        let rooms = &self.rooms;
        let wanted = |peer: &PeerId| rooms.values().any(|room| room.members.contains(peer));
        for member in room.members.iter().filter(|member| !wanted(member) && **member != self.me) {
            self.swarm.behaviour_mut().allowed.disallow_peer(*member);
            let _ = self.swarm.disconnect_peer_id(*member);
        }
        self.dialler.forget(wanted);
        tracing::info!(term, "left the network of the term");
    }

    /// Runs until the command channel closes.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                event = futures::StreamExt::select_next_some(&mut self.swarm) => self.swarm_event(event),
                Some(reply) = self.replies.1.recv() => {
                    self.serving.charge(reply.from, reply.cost);
                    // The asker may have given up; then there is nobody to tell.
                    let _ = self.swarm.behaviour_mut().direct.send_response(reply.channel, reply.bytes);
                }
                _ = pulse.tick() => self.pulse(),
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Join(room) => {
                if let Err(error) = self.join(room) {
                    tracing::error!(error, "a term's network cannot be joined");
                }
            }
            Command::Leave(term) => self.leave(term),
            Command::Broadcast(bytes) => {
                let rooms = self.rooms.values().filter(|room| room.members.contains(&self.me));
                for term in rooms.map(|room| room.term).collect::<Vec<_>>() {
                    self.say(term, bytes.clone());
                }
            }
            Command::Say { term, bytes } => self.say(term, bytes),
            Command::Whisper { term, to, bytes } => {
                if let Some(peer) = self.member(term, to) {
                    let request = wire::encode(&Direct::Of(term, bytes.into()));
                    self.swarm.behaviour_mut().direct.send_request(&peer, request);
                }
            }
            Command::Direct { to, bytes } => {
                if let Some(peer) = self.peer(to) {
                    self.swarm.behaviour_mut().direct.send_request(&peer, bytes);
                }
            }
            Command::PullOf { term, ids, holders } => {
                let peers = holders.iter().filter_map(|member| self.member(term, *member));
                let places: Vec<u32> = peers.filter_map(|peer| self.place(&peer)).collect();
                self.pull(&ids, &places);
            }
            Command::Pull { ids, holders } => self.pull(&ids, &holders),
            Command::Offered { term, holder, ids } => {
                let place = self.member(term, holder).and_then(|peer| self.place(&peer));
                if let Some(place) = place.filter(|place| Some(*place) != self.place(&self.me)) {
                    self.puller.offer(&ids, place);
                    self.send_pulls();
                }
            }
        }
    }

    fn pull(&mut self, ids: &[[u8; 32]], holders: &[u32]) {
        let me = self.place(&self.me).unwrap_or(u32::MAX);
        self.puller.want(ids, holders, me);
        self.send_pulls();
    }

    fn say(&mut self, term: u64, bytes: Vec<u8>) {
        let Some(room) = self.rooms.get(&term) else { return };
        let topic = gossipsub::IdentTopic::new(room.topic.clone());
        match self.swarm.behaviour_mut().gossip.publish(topic, bytes) {
            Ok(_) => {}
            // Nobody is there yet; the core sends again.
            Err(PublishError::NoPeersSubscribedToTopic) => tracing::debug!("nobody hears a broadcast yet"),
            Err(error) => tracing::warn!(%error, "broadcast not sent"),
        }
    }

    fn pulse(&mut self) {
        let swarm = &self.swarm;
        for address in self.dialler.due(self.started.elapsed(), |peer| swarm.is_connected(peer)) {
            if let Err(error) = self.swarm.dial(DialOpts::unknown_peer_id().address(address).build()) {
                tracing::trace!(%error, "dial");
            }
        }
        self.send_pulls();
        self.serve();
    }

    pub(super) fn send_pulls(&mut self) {
        let (swarm, members) = (&self.swarm, &self.roster);
        let reachable = |member: u32| {
            usize::try_from(member).ok().and_then(|i| members.get(i)).is_some_and(|p| swarm.is_connected(p))
        };
        for (member, ids) in self.puller.requests(reachable) {
            let Some(peer) = self.peer(member) else { continue };
            let request = wire::encode(&Direct::Pull(hashes(&ids)));
            let id = self.swarm.behaviour_mut().direct.send_request(&peer, request);
            self.pulls.insert(id, (member, ids));
        }
    }

    fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            })) => {
                self.broadcast(propagation_source, &message_id, message);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Direct(event)) => self.direct(event),
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, num_established, .. } => {
                if endpoint.is_dialer() {
                    self.dialler.answered(endpoint.get_remote_address(), peer_id);
                }
                // Two members that dial each other at once have two connections for a while.
                if num_established.get() == 1 {
                    tracing::info!(member = self.place(&peer_id), %peer_id, "member connected");
                }
                self.count_peers();
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                tracing::info!(member = self.place(&peer_id), %peer_id, "member disconnected");
                self.count_peers();
            }
            SwarmEvent::IncomingConnectionError { error, send_back_addr, .. } => {
                let cause = refusal(&error);
                tracing::debug!(%send_back_addr, cause, "connection refused");
                self.setup.metrics.connections_refused.with_label_values(&[cause]).inc();
            }
            SwarmEvent::NewListenAddr { address, .. } => tracing::info!(%address, "listening for members"),
            SwarmEvent::ListenerClosed { reason, .. } => tracing::error!(?reason, "no longer listening for members"),
            _ => {}
        }
    }

    fn count_peers(&self) {
        let connected = self.swarm.connected_peers().count();
        self.setup.metrics.peers_connected.set(i64::try_from(connected).unwrap_or(i64::MAX));
    }

    /// A broadcast: from a member, within its rate, in canonical encoding; only then is it handed on and forwarded.
    fn broadcast(&mut self, source: PeerId, id: &MessageId, message: gossipsub::Message) {
        // Only a member of the topic's own term may speak in it.
        let room = self.rooms.values().find(|room| gossipsub::IdentTopic::new(&room.topic).hash() == message.topic);
        let author =
            room.zip(message.source).and_then(|(room, author)| Some((room.term, index(room, &author)?, author)));
        let author = author.and_then(|(term, from, peer)| Some((term, from, self.place(&peer)?)));
        let (acceptance, outcome) = match author {
            Some((_, _, place)) if !self.admit(place, message.data.len()) => (MessageAcceptance::Ignore, "over_rate"),
            Some((term, from, _)) if Message::decode(&message.data).is_ok() => {
                self.tell(Event::Message { term, from, bytes: message.data });
                (MessageAcceptance::Accept, "accepted")
            }
            _ => (MessageAcceptance::Reject, "malformed"),
        };
        self.setup.metrics.gossip_received.with_label_values(&[outcome]).inc();
        self.swarm.behaviour_mut().gossip.report_message_validation_result(id, &source, acceptance);
    }

    pub(super) fn tell(&self, event: Event) {
        if self.setup.events.try_send(event).is_err() {
            tracing::warn!("the node is busy: a message from a member was dropped");
        }
    }

    /// Whether a message of this length is within its sender's rate.
    pub(super) fn admit(&mut self, from: u32, bytes: usize) -> bool {
        let now = self.elapsed_ms();
        (0..=bytes / BYTES_PER_COUNT).all(|_| self.rates.admit(from, now))
    }

    /// Milliseconds since the network was started.
    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A peer's place in the roster.
    pub(super) fn place(&self, peer: &PeerId) -> Option<u32> {
        let place = self.roster.iter().position(|known| known == peer)?;
        u32::try_from(place).ok()
    }

    fn peer(&self, place: u32) -> Option<PeerId> {
        usize::try_from(place).ok().and_then(|place| self.roster.get(place)).copied()
    }

    fn member(&self, term: u64, index: u32) -> Option<PeerId> {
        let room = self.rooms.get(&term)?;
        usize::try_from(index).ok().and_then(|index| room.members.get(index)).copied()
    }
}

/// A peer's index among a term's members.
pub(super) fn index(room: &Room, peer: &PeerId) -> Option<u32> {
    let place = room.members.iter().position(|member| member == peer)?;
    u32::try_from(place).ok()
}

fn behaviour(setup: &Setup) -> Result<Behaviour, String> {
    let allowed = allow_block_list::Behaviour::<allow_block_list::AllowedPeers>::default();
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Strict)
        .validate_messages()
        .flood_publish(true)
        .max_transmit_size(MESSAGE_BYTES_MAX.saturating_add(ENVELOPE_BYTES))
        .message_id_fn(message_id)
        .build()
        .map_err(|e| e.to_string())?;
    let gossip =
        gossipsub::Behaviour::new(MessageAuthenticity::Signed(setup.key.clone()), config).map_err(str::to_owned)?;
    let direct_config = request_response::Config::default().with_request_timeout(ANSWER_TIMEOUT);
    let direct = request_response::Behaviour::with_codec(Frames, [(PROTOCOL, ProtocolSupport::Full)], direct_config);
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_established_per_peer(Some(4))
        .with_max_pending_incoming(Some(PENDING_INCOMING_MAX));
    Ok(Behaviour { allowed, limits: connection_limits::Behaviour::new(limits), gossip, direct })
}

/// Why a connection was refused, as the metric says it.
fn refusal(error: &ListenError) -> &'static str {
    match error {
        ListenError::Denied { cause } if cause.downcast_ref::<connection_limits::Exceeded>().is_some() => "limit",
        ListenError::Denied { .. } => "stranger",
        ListenError::Transport(_) | ListenError::Aborted => "handshake",
        _ => "other",
    }
}

/// SHA-256 over author, its sequence number and the bytes: relays of one message are one, a retransmission is another.
fn message_id(message: &gossipsub::Message) -> MessageId {
    let source = message.source.map(|peer| peer.to_bytes()).unwrap_or_default();
    let sequence = message.sequence_number.unwrap_or_default().to_be_bytes();
    let hash = Sha256::new().chain_update(source).chain_update(sequence).chain_update(&message.data).finalize();
    MessageId::from(hash.to_vec())
}
