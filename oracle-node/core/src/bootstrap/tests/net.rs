//! A committee in one process: a seeded network that delays, drops and reorders, disks that survive a kill, and a chain
//! that checks what it is given as the contracts do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aggregator::dkg::DkgIdentity;
use aggregator::{GroupKey, Signature};
use alloy_primitives::{Address, B256, keccak256};

use super::super::journal::{deal_key, seed_key};
use super::super::{Bootstrap, Event, Heard, PendingKey, Phase, Timing, device_keys};
use crate::effect::{Effect, Entropy, Record, Transmission};
use crate::merkle;
use crate::term::{Member, Term};
use crate::typed::{Activation, KeyConfirmation, MemberKey, Scope, recover_signer};
use crate::wire::{self, Direct, Message};

/// First instant of every run, unix ms.
pub(super) const START: u64 = 1_800_000_000_000;
const TIMING: Timing = Timing { view_timeout_ms: 1_000, transmit_stage_ms: 300 };

/// SplitMix64.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// How the network treats packets.
#[derive(Clone, Copy)]
pub(super) struct Weather {
    /// Lost, in percent.
    pub(super) loss: u64,
    /// Twice, in percent.
    pub(super) twice: u64,
    /// Longest delay, ms (shortest: 1).
    pub(super) delay: u64,
}

pub(super) const CALM: Weather = Weather { loss: 0, twice: 0, delay: 1 };

#[derive(Clone)]
enum Packet {
    Message(u32, Message),
    Direct(u32, Direct),
    Activated,
    Roots(Vec<(B256, u64)>),
}

/// One member: a process that may be down, and its disk.
pub(super) struct Node {
    pub(super) process: Option<Bootstrap>,
    pub(super) disk: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) notes: Vec<(&'static str, String)>,
    /// What it believes to be waiting on chain.
    pub(super) pending: Option<(u64, Vec<PendingKey>)>,
}

/// What the chain holds.
#[derive(Default)]
pub(super) struct Chain {
    outbox: Vec<(u64, Transmission)>,
    pub(super) group: Option<GroupKey>,
    pub(super) activations: u32,
    pub(super) next_batch: u64,
    pub(super) waiting: BTreeSet<PendingKey>,
    pub(super) active_keys: BTreeSet<PendingKey>,
    /// Share roots with the first epoch of each.
    pub(super) roots: Vec<(B256, u64)>,
}

/// Changes or drops what a member sends directly.
pub(super) type Tamper = fn(from: u32, to: u32, message: &mut Direct) -> bool;

/// Changes or drops what one member hears of another's broadcast, by the time.
pub(super) type Relay = Box<dyn Fn(u64, u32, u32, &mut Message) -> bool>;

pub(super) struct Net {
    pub(super) term: Term,
    pub(super) nodes: Vec<Node>,
    pub(super) chain: Chain,
    pub(super) now: u64,
    pub(super) tamper: Tamper,
    pub(super) relay: Relay,
    /// Members whose links are cut.
    pub(super) cut: BTreeSet<u32>,
    pub(super) weather: Weather,
    rng: Rng,
    packets: BTreeMap<(u64, u64), (u32, Packet)>,
    sent: u64,
    pub(super) steps: u64,
}

pub(super) fn member_key(index: u32) -> Arc<MemberKey> {
    let mut secret = [0x11; 32];
    secret[31] = u8::try_from(index).unwrap();
    Arc::new(MemberKey::from_bytes(&secret).unwrap())
}

fn dkg_seed(index: u32) -> [u8; 32] {
    [u8::try_from(index).unwrap() + 1; 32]
}

pub(super) fn term(n: u32) -> Term {
    let registry = Address::repeat_byte(0xcc);
    let scope = Scope { chain_id: 31_337, registry, committee: 1, term: 1, config_digest: B256::repeat_byte(9) };
    let member = |index| Member {
        address: member_key(index).address(),
        peer_key: [0; 32],
        dkg_key: DkgIdentity::from_seed(dkg_seed(index)).public(),
    };
    let members = (0..n).map(member).collect();
    Term { scope, members, book_root: B256::ZERO, epoch_ms: 15_000, slot_ms: 1_000, genesis_ms: None }
}

impl Net {
    pub(super) fn new(n: u32, seed: u64, weather: Weather) -> Self {
        let node = |_| Node { process: None, disk: BTreeMap::new(), notes: Vec::new(), pending: None };
        Self {
            term: term(n),
            nodes: (0..n).map(node).collect(),
            chain: Chain::default(),
            now: START,
            tamper: |_, _, _| true,
            relay: Box::new(|_, _, _, _| true),
            cut: BTreeSet::new(),
            weather,
            rng: Rng(seed),
            packets: BTreeMap::new(),
            sent: 0,
            steps: 0,
        }
    }

    pub(super) fn n(&self) -> u32 {
        self.term.n()
    }

    pub(super) fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    pub(super) fn running(&self, index: u32) -> &Bootstrap {
        self.node(index).process.as_ref().expect("the process runs")
    }

    /// Starts a process from its disk; the chain tells it what it has missed.
    pub(super) fn boot(&mut self, index: u32) {
        let journal: Vec<Record> = self
            .node(index)
            .disk
            .iter()
            .map(|(key, value)| Record { key: key.clone(), value: value.clone() })
            .collect();
        let bootstrap =
            Bootstrap::new(self.term.clone(), index, member_key(index), dkg_seed(index), TIMING, &journal, self.now);
        self.nodes[index as usize].process = Some(bootstrap);
        self.nodes[index as usize].pending = None;
        if self.chain.group.is_some() {
            self.push(index, 1, Packet::Activated);
            self.push(index, 2, Packet::Roots(self.chain.roots.clone()));
        }
    }

    /// A member's operator asks for a refresh.
    pub(super) fn ask(&mut self, index: u32, number: u64) {
        let entropy: u8 = u8::try_from(self.rng.below(256)).unwrap();
        let entropy = Entropy(zeroize::Zeroizing::new([entropy; 32]));
        self.step(index, &Event::Refresh { number, entropy: &entropy });
    }

    pub(super) fn boot_all(&mut self) {
        (0..self.n()).for_each(|index| self.boot(index));
    }

    /// Kills a process: all that was not persisted is gone, with the packets on their way to it.
    pub(super) fn kill(&mut self, index: u32) {
        self.nodes[index as usize].process = None;
        self.packets.retain(|_, (to, _)| *to != index);
    }

    /// The clock of a member enters an epoch.
    pub(super) fn enter_epoch(&mut self, index: u32, epoch: u64) {
        self.nodes[index as usize].process.as_mut().expect("the process runs").enter_epoch(epoch);
    }

    /// Everything before an epoch is certified at a member.
    pub(super) fn retire(&mut self, index: u32, epoch: u64) {
        let process = self.nodes[index as usize].process.as_mut().expect("the process runs");
        process.retire(epoch).into_iter().for_each(|effect| self.carry_out(index, effect));
    }

    fn push(&mut self, to: u32, delay: u64, packet: Packet) {
        self.sent += 1;
        self.packets.insert((self.now + delay, self.sent), (to, packet));
    }

    fn send(&mut self, from: u32, to: u32, packet: &Packet) {
        let cut = self.cut.contains(&from) || self.cut.contains(&to);
        if to == from || cut || self.rng.below(100) < self.weather.loss {
            return;
        }
        let copies = if self.rng.below(100) < self.weather.twice { 2 } else { 1 };
        for _ in 0..copies {
            let delay = 1 + self.rng.below(self.weather.delay);
            self.push(to, delay, packet.clone());
        }
    }

    pub(super) fn step(&mut self, index: u32, event: &Event<'_>) {
        self.steps += 1;
        assert!(self.steps < 100_000, "the network spins at {} ms", self.now - START);
        let now = self.now;
        let Some(process) = &mut self.nodes[index as usize].process else { return };
        let effects = process.step(now, event);
        effects.into_iter().for_each(|effect| self.carry_out(index, effect));
    }

    fn carry_out(&mut self, from: u32, effect: Effect) {
        match effect {
            Effect::Persist(record) => {
                self.nodes[from as usize].disk.insert(record.key, record.value);
            }
            Effect::Broadcast(bytes) => {
                let message = Message::decode(&bytes).expect("own broadcasts are canonical");
                self.assert_durable(from, &message);
                for to in 0..self.n() {
                    let mut heard = message.clone();
                    if (self.relay)(self.now - START, from, to, &mut heard) {
                        self.send(from, to, &Packet::Message(from, heard));
                    }
                }
            }
            Effect::Direct { to, bytes } => {
                let mut message: Direct = wire::decode(&bytes, 1 << 20).expect("own messages are canonical");
                let acknowledged = match message {
                    Direct::Ack(_) => Some(0),
                    Direct::RefreshAck(number, _) => Some(number),
                    _ => None,
                };
                if let Some(number) = acknowledged {
                    let key = deal_key(&self.term, number, to);
                    assert!(self.node(from).disk.contains_key(&key), "acknowledged before durable");
                }
                if (self.tamper)(from, to, &mut message) {
                    self.send(from, to, &Packet::Direct(from, message));
                }
            }
            Effect::Transmit { not_before, what } => self.chain.outbox.push((not_before, what)),
            Effect::Erase(keys) => keys.iter().for_each(|key| drop(self.nodes[from as usize].disk.remove(key))),
            Effect::Note { code, text } => self.nodes[from as usize].notes.push((code, text)),
            other => panic!("a bootstrap has no business with {other:?}"),
        }
    }

    /// Durable before audible: whatever this member signed is on its disk when it leaves.
    fn assert_durable(&self, from: u32, message: &Message) {
        let disk = &self.node(from).disk;
        let held = |value: &[u8]| disk.values().any(|held| held.as_slice() == value);
        match message {
            Message::Observation(ask, _) => {
                let seed = seed_key(&self.term, ask.instance.epoch);
                assert!(ask.member != from || disk.contains_key(&seed), "asked before the seed is durable");
            }
            Message::Partial(partial) => assert!(held(&wire::encode(partial)), "partial not durable"),
            Message::Vote(vote) => assert!(held(&wire::encode(vote)), "vote not durable"),
            Message::Proposal(proposal) => assert!(held(&wire::encode(proposal)), "proposal not durable"),
            Message::RoundChange(change) => assert!(held(&wire::encode(change)), "round change not durable"),
            _ => {}
        }
    }

    /// Runs until `done` or until `limit_ms` have passed; says which.
    pub(super) fn run(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit_ms;
        loop {
            if done(self) {
                return true;
            }
            self.run_chain();
            self.tell_pending();
            let wakeups = self.nodes.iter().filter_map(|node| node.process.as_ref()?.next_wakeup());
            let packet = self.packets.keys().next().map(|(at, _)| *at);
            let chain = self.chain.outbox.iter().map(|(at, _)| *at).min();
            let next = wakeups.chain(packet).chain(chain).min().unwrap_or(u64::MAX);
            if next > end {
                self.now = end;
                return done(self);
            }
            self.now = self.now.max(next);
            if packet.is_some_and(|at| at <= self.now) {
                self.deliver();
            } else {
                self.tick();
            }
        }
    }

    fn deliver(&mut self) {
        let Some((_, (to, packet))) = self.packets.pop_first() else { return };
        match &packet {
            Packet::Message(from, message) => self.step(to, &Event::Message(Heard { from: *from, message })),
            Packet::Direct(from, message) => self.step(to, &Event::Direct { from: *from, message }),
            Packet::Activated => self.step(to, &Event::Activated),
            Packet::Roots(roots) => self.step(to, &Event::ShareRoots(roots)),
        }
    }

    fn tick(&mut self) {
        for index in 0..self.n() {
            let wakeup = self.node(index).process.as_ref().and_then(Bootstrap::next_wakeup);
            if wakeup.is_some_and(|at| at <= self.now) {
                self.step(index, &Event::Tick);
            }
        }
    }

    /// Tells running members what waits on chain, when that is news to them.
    fn tell_pending(&mut self) {
        if self.chain.group.is_none() || self.chain.next_batch == 0 && self.chain.waiting.is_empty() {
            return;
        }
        let news = (self.chain.next_batch, self.chain.waiting.iter().copied().collect::<Vec<_>>());
        for index in 0..self.n() {
            if self.node(index).process.is_some() && self.node(index).pending.as_ref() != Some(&news) {
                self.nodes[index as usize].pending = Some(news.clone());
                self.step(index, &Event::PendingKeys { batch: news.0, keys: &news.1 });
            }
        }
    }

    fn run_chain(&mut self) {
        let now = self.now;
        let (due, later): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.chain.outbox).into_iter().partition(|(at, _)| *at <= now);
        self.chain.outbox = later;
        for (_, what) in due {
            match what {
                Transmission::Activate { group_key, share_root, confirmation, signatures } => {
                    if self.chain.group.is_none() {
                        self.activate(&group_key, share_root, &confirmation, &signatures);
                    }
                }
                Transmission::ActivateKeys { batch, keys, certificate } => {
                    self.activate_keys(batch, &keys, &certificate)
                }
                Transmission::Report { .. } | Transmission::Rotate { .. } => panic!("no business of a bootstrap"),
                Transmission::RefreshShares { share_root, signatures } => {
                    if self.chain.roots.iter().all(|(root, _)| *root != share_root) {
                        self.refresh_shares(share_root, &signatures);
                    }
                }
            }
        }
    }

    /// What the registry checks.
    fn activate(&mut self, group_key: &[u8], share_root: B256, confirmation: &[u8], signatures: &[(u32, [u8; 65])]) {
        let (scope, hash) = (self.term.scope, keccak256(group_key));
        let (committee, term, config) = (scope.committee, scope.term, scope.config_digest);
        let activation =
            Activation { committee, term, configDigest: config, groupKeyHash: hash, shareRoot: share_root };
        let digest = scope.digest(&activation);
        assert_eq!(signatures.len(), self.term.quorum() as usize);
        assert!(signatures.is_sorted_by(|a, b| a.0 < b.0));
        for (member, signature) in signatures {
            assert_eq!(recover_signer(&digest, signature), Some(self.term.members[*member as usize].address));
        }
        let group = GroupKey::from_eip2537(group_key.try_into().unwrap()).unwrap();
        let certificate = Signature::from_onchain(confirmation.try_into().unwrap()).unwrap();
        let confirmed =
            KeyConfirmation { committee, term, configDigest: config, groupKeyHash: hash, shareRoot: share_root };
        group.verify(&scope.digest(&confirmed).0, &certificate).expect("proof of possession");
        self.chain.group = Some(group);
        self.chain.activations += 1;
        self.chain.roots.push((share_root, 0));
        (0..self.n()).for_each(|to| self.push(to, 50, Packet::Activated));
        self.tell_roots();
    }

    fn tell_roots(&mut self) {
        let roots = self.chain.roots.clone();
        (0..self.n()).for_each(|to| self.push(to, 60, Packet::Roots(roots.clone())));
    }

    /// The same for a refresh; it counts ten epochs after the one before.
    fn refresh_shares(&mut self, share_root: B256, signatures: &[(u32, [u8; 65])]) {
        let scope = self.term.scope;
        let group = self.chain.group.as_ref().expect("an active term");
        let activation = Activation {
            committee: scope.committee,
            term: scope.term,
            configDigest: scope.config_digest,
            groupKeyHash: keccak256(group.to_eip2537()),
            shareRoot: share_root,
        };
        let digest = scope.digest(&activation);
        assert_eq!(signatures.len(), self.term.quorum() as usize);
        for (member, signature) in signatures {
            assert_eq!(recover_signer(&digest, signature), Some(self.term.members[*member as usize].address));
        }
        let from_epoch = 10 * self.chain.roots.len() as u64;
        self.chain.roots.push((share_root, from_epoch));
        self.tell_roots();
    }

    fn activate_keys(&mut self, batch: u64, keys: &[PendingKey], certificate: &[u8]) {
        if batch != self.chain.next_batch {
            return;
        }
        let certificate = Signature::from_onchain(certificate.try_into().unwrap()).unwrap();
        let digest = device_keys::digest(&self.term.scope, batch, keys);
        let group = self.chain.group.as_ref().expect("the key is known");
        group.verify(&digest.0, &certificate).expect("certified batch");
        for key in keys {
            assert!(self.chain.waiting.remove(key), "a key that waits");
            self.chain.active_keys.insert(*key);
        }
        self.chain.next_batch += 1;
    }

    /// Whether everybody runs and is done.
    pub(super) fn all_done(&self) -> bool {
        self.nodes.iter().all(|node| node.process.as_ref().is_some_and(|p| p.phase() == Phase::Done))
    }

    /// One sharing everywhere, whose root and key are the chain's, and each share fits.
    pub(super) fn assert_one_key(&self) {
        let (sharing, _) = self.running(0).keys().expect("member 0 has the key");
        assert_eq!(self.chain.group, Some(sharing.group));
        assert_eq!(sharing.threshold, self.term.quorum());
        assert_ne!(merkle::share_root(&sharing), B256::ZERO);
        for index in 0..self.n() {
            let (same, share) = self.running(index).keys().expect("every member has the key");
            assert_eq!(same, sharing, "member {index} has another sharing");
            assert_eq!(sharing.public_share(index), Ok(&share.public_share()), "member {index} has another share");
        }
    }

    pub(super) fn noted(&self, index: u32, code: &str) -> bool {
        self.node(index).notes.iter().any(|(noted, _)| *noted == code)
    }
}
