//! The swarm and its loop: commands in, events out, every bound applied before anything is handed on.
//! Leaves out: framing (`codec`), whom to dial (`dial`), whom to ask for content (`pull`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::gossipsub::{self, MessageAcceptance, MessageAuthenticity, MessageId, PublishError};
use libp2p::request_response::{self, OutboundRequestId, ProtocolSupport, ResponseChannel};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ListenError, NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, Swarm, SwarmBuilder, allow_block_list, connection_limits, noise, tcp, yamux};
use oracle_core::limits::{MESSAGE_BYTES_MAX, PULL_ITEMS_MAX};
use oracle_core::observation::blob_hash;
use oracle_core::wire::{self, Direct, Message, Pulled};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::codec::{Frames, PROTOCOL, REQUEST_BYTES_MAX, RESPONSE_BYTES_MAX};
use super::dial::Dialler;
use super::pull::{Puller, hashes};
use super::{Command, Event, GossipError, Setup};
use crate::intake::Rates;

/// How often dials and pulls are looked at.
const PULSE: Duration = Duration::from_millis(100);
/// An answer to a direct message or a pull must come within this; then another holder is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Broadcasts and requests of one member per second, sustained; twice that in a burst.
const RATE_PER_MEMBER: u32 = 1_000;
/// Connections that may be in their handshake at once; members are dialled as well, so a flood cannot shut them out.
const PENDING_INCOMING_MAX: u32 = 128;
/// Room for gossipsub's own fields around a message.
const ENVELOPE_BYTES: usize = 1_024;

/// The protocols of one connection.
#[derive(NetworkBehaviour)]
struct Behaviour {
    allowed: allow_block_list::Behaviour<allow_block_list::AllowedPeers>,
    limits: connection_limits::Behaviour,
    gossip: gossipsub::Behaviour,
    direct: request_response::Behaviour<Frames>,
}

/// An answer to a pull, on its way back to the asking member.
type Reply = (ResponseChannel<Vec<u8>>, Vec<u8>);

/// The network of one term.
pub(super) struct Network {
    setup: Setup,
    swarm: Swarm<Behaviour>,
    topic: gossipsub::IdentTopic,
    me: u32,
    started: Instant,
    dialler: Dialler,
    puller: Puller,
    pulls: BTreeMap<OutboundRequestId, (u32, Vec<[u8; 32]>)>,
    rates: Rates<u32>,
    replies: (mpsc::Sender<Reply>, mpsc::Receiver<Reply>),
}

impl Network {
    /// Builds the swarm and starts to listen.
    pub(super) fn new(mut setup: Setup) -> Result<Self, GossipError> {
        let settings = |e: &dyn std::fmt::Display| GossipError::Settings(e.to_string());
        let key = setup.key.clone();
        let me_id = key.public().to_peer_id();
        let mut behaviour = behaviour(&setup).map_err(GossipError::Settings)?;
        let topic = gossipsub::IdentTopic::new(setup.topic.clone());
        behaviour.gossip.subscribe(&topic).map_err(|e| settings(&e))?;
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
        let place = setup.members.iter().position(|member| *member == me_id);
        let me = place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX);
        let dialler = Dialler::new(me_id, std::mem::take(&mut setup.peers));
        Ok(Self {
            setup,
            swarm,
            topic,
            me,
            started: Instant::now(),
            dialler,
            puller: Puller::default(),
            pulls: BTreeMap::new(),
            rates: Rates::new(RATE_PER_MEMBER, 2 * RATE_PER_MEMBER),
            replies: mpsc::channel(256),
        })
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
                Some((channel, bytes)) = self.replies.1.recv() => {
                    // The asker may have given up; then there is nobody to tell.
                    let _ = self.swarm.behaviour_mut().direct.send_response(channel, bytes);
                }
                _ = pulse.tick() => self.pulse(),
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Broadcast(bytes) => {
                let sent = self.swarm.behaviour_mut().gossip.publish(self.topic.clone(), bytes);
                match sent {
                    Ok(_) => {}
                    // Nobody is there yet; the core sends again.
                    Err(PublishError::NoPeersSubscribedToTopic) => tracing::debug!("nobody hears a broadcast yet"),
                    Err(error) => tracing::warn!(%error, "broadcast not sent"),
                }
            }
            Command::Direct { to, bytes } => {
                if let Some(peer) = self.peer(to) {
                    self.swarm.behaviour_mut().direct.send_request(&peer, bytes);
                }
            }
            Command::Pull { ids, holders } => {
                self.puller.want(&ids, &holders, self.me);
                self.send_pulls();
            }
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
    }

    fn send_pulls(&mut self) {
        let (swarm, members) = (&self.swarm, &self.setup.members);
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
                    tracing::info!(member = self.index(&peer_id), %peer_id, "member connected");
                }
                self.count_peers();
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                tracing::info!(member = self.index(&peer_id), %peer_id, "member disconnected");
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
        let from = message.source.and_then(|author| self.index(&author));
        let (acceptance, outcome) = match from {
            Some(from) if !self.admit(from) => (MessageAcceptance::Ignore, "over_rate"),
            Some(from) if Message::decode(&message.data).is_ok() => {
                self.tell(Event::Message { from, bytes: message.data });
                (MessageAcceptance::Accept, "accepted")
            }
            _ => (MessageAcceptance::Reject, "malformed"),
        };
        self.setup.metrics.gossip_received.with_label_values(&[outcome]).inc();
        self.swarm.behaviour_mut().gossip.report_message_validation_result(id, &source, acceptance);
    }

    fn direct(&mut self, event: request_response::Event<Vec<u8>, Vec<u8>>) {
        match event {
            request_response::Event::Message {
                peer,
                message: request_response::Message::Request { request, channel, .. },
                ..
            } => match self.index(&peer) {
                Some(from) if self.admit(from) => self.request(from, request, channel),
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

    fn request(&mut self, from: u32, request: Vec<u8>, channel: ResponseChannel<Vec<u8>>) {
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
            Ok(Direct::Deal(_) | Direct::Ack(_)) => {
                self.tell(Event::Direct { from, bytes: request });
                let _ = self.swarm.behaviour_mut().direct.send_response(channel, Vec::new());
            }
            _ => {
                tracing::debug!(from, "direct message refused");
                self.setup.metrics.gossip_direct_refused.with_label_values(&["malformed"]).inc();
            }
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

    fn tell(&self, event: Event) {
        if self.setup.events.try_send(event).is_err() {
            tracing::warn!("the node is busy: a message from a member was dropped");
        }
    }

    fn admit(&mut self, from: u32) -> bool {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.rates.admit(from, now)
    }

    fn index(&self, peer: &PeerId) -> Option<u32> {
        let place = self.setup.members.iter().position(|member| member == peer)?;
        u32::try_from(place).ok()
    }

    fn peer(&self, member: u32) -> Option<PeerId> {
        usize::try_from(member).ok().and_then(|place| self.setup.members.get(place)).copied()
    }
}

fn behaviour(setup: &Setup) -> Result<Behaviour, String> {
    let mut allowed = allow_block_list::Behaviour::<allow_block_list::AllowedPeers>::default();
    for member in &setup.members {
        allowed.allow_peer(*member);
    }
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
