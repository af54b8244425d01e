//! Whole oracles, from key generation to certified epochs: processes with disks, a lossy network, a chain that grants
//! everything asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aggregator::dkg::DkgIdentity;
use alloy_primitives::{Address, B256};
use oracle_core::effect::{Content, Effect, Input, Record, Transmission};
use oracle_core::oracle::{Behaviour, Oracle, Setup};
use oracle_core::report::header_digest;
use oracle_core::term::{Member, Term};
use oracle_core::typed::{Kind, MemberKey, Scope};
use oracle_core::wire::{Message, RoundChange, Statement};

use crate::dice::Dice;
use crate::given::{buckets, fatten, member_key, policy, snapshot};

/// What one run is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Climate {
    pub(crate) n: u32,
    /// Epochs that everybody must certify.
    pub(crate) epochs: u64,
    /// Percent of messages and pulls lost once epochs run.
    pub(crate) loss: u64,
    /// Per mille of effects at which a process dies, once epochs run.
    pub(crate) crashes: u64,
    /// The last member is away during these epochs.
    pub(crate) away: Option<(u64, u64)>,
    /// Member 0 dies for ever when this epoch begins.
    pub(crate) dies: Option<u64>,
    /// Member 0 falsifies its observations, and some of its messages arrive spoiled.
    pub(crate) liar: bool,
    /// Member 1 lists buckets far beyond what the policy lets a device send.
    pub(crate) hog: bool,
    /// Whether a dying process loses its last writes (a planted fault).
    pub(crate) unsynced: bool,
}

const EPOCH_MS: u64 = 3_000;
const SLOT_MS: u64 = 1_000;
const START_MS: u64 = 1_700_000_000_000;

struct Process {
    oracle: Option<Oracle>,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
    cache: Vec<Record>,
    store: BTreeMap<[u8; 32], Content>,
    wakes_at: u64,
}

enum Event {
    Input(usize, u64, Input),
    Wake(usize),
    Revive(usize),
    NewEpoch(u64),
}

/// The simulation.
pub(crate) struct Committee {
    climate: Climate,
    dice: Dice,
    now: u64,
    end: u64,
    term: Term,
    keys: Vec<Arc<MemberKey>>,
    processes: Vec<Process>,
    lives: Vec<u64>,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    genesis: Option<u64>,
    audible: BTreeMap<(u32, Vec<u8>), B256>,
    certified: BTreeMap<u64, BTreeMap<usize, B256>>,
    pub(crate) crashes: u64,
    pub(crate) steps: u64,
    pub(crate) round_changes: u64,
    /// Members that took part in certified reports, as a bit map, by epoch.
    pub(crate) participation: BTreeMap<u64, u64>,
    /// Codes of the notes that were made.
    pub(crate) notes: BTreeSet<&'static str>,
    incidents: Vec<String>,
}

impl Committee {
    pub(crate) fn new(climate: Climate, seed: u64) -> Self {
        let keys: Vec<Arc<MemberKey>> = (0..climate.n).map(|i| Arc::new(member_key(i))).collect();
        let member = |(i, key): (usize, &Arc<MemberKey>)| Member {
            address: key.address(),
            peer_key: [i as u8; 32],
            dkg_key: DkgIdentity::from_seed([i as u8 + 1; 32]).public(),
        };
        let members = keys.iter().enumerate().map(member).collect();
        let scope = Scope {
            chain_id: 31_337,
            registry: Address::ZERO,
            committee: 1,
            term: 1,
            config_digest: B256::repeat_byte(2),
        };
        let term =
            Term { scope, members, policy_hash: B256::ZERO, epoch_ms: EPOCH_MS, slot_ms: SLOT_MS, genesis_ms: None };
        let n = climate.n as usize;
        let mut committee = Self {
            climate,
            dice: Dice::new(seed),
            now: START_MS,
            end: START_MS + 60_000,
            term,
            keys,
            processes: (0..n).map(|_| Process::new()).collect(),
            lives: vec![0; n],
            queue: BTreeMap::new(),
            sequence: 0,
            genesis: None,
            audible: BTreeMap::new(),
            certified: BTreeMap::new(),
            crashes: 0,
            steps: 0,
            round_changes: 0,
            participation: BTreeMap::new(),
            notes: BTreeSet::new(),
            incidents: Vec::new(),
        };
        for index in 0..n {
            committee.after(1 + index as u64 * 37, Event::Revive(index));
        }
        committee
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    /// Runs to the end; gives what went wrong.
    pub(crate) fn run(&mut self) -> Vec<String> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > self.end || !self.incidents.is_empty() || self.finished() {
                break;
            }
            self.now = at;
            match event {
                Event::Input(to, life, input) if self.lives[to] == life => self.step(to, input),
                Event::Input(..) => {}
                Event::Wake(index) => {
                    self.processes[index].wakes_at = u64::MAX;
                    self.step(index, Input::Tick);
                }
                Event::Revive(index) => self.revive(index),
                Event::NewEpoch(epoch) => self.new_epoch(epoch),
            }
        }
        if self.incidents.is_empty() && !self.finished() {
            let at: Vec<String> = self.processes.iter().map(|p| self.describe(p)).collect();
            let epochs: Vec<u64> = (0..self.climate.epochs).filter(|epoch| !self.certified_by_all(*epoch)).collect();
            let by: Vec<_> =
                epochs.iter().map(|e| (e, self.certified.get(e).map(|by| by.keys().collect::<Vec<_>>()))).collect();
            self.incidents.push(format!("{by:?} not everybody certified everything: {}", at.join("; ")));
        }
        core::mem::take(&mut self.incidents)
    }

    fn describe(&self, process: &Process) -> String {
        let status = process.oracle.as_ref().map(|oracle| oracle.status(self.now));
        status.map_or("down".into(), |s| {
            format!("{} next {:?} view {} heard {:?} wanted {}", s.phase, s.next_epoch, s.view, s.heard, s.wanted)
        })
    }

    fn finished(&self) -> bool {
        (0..self.climate.epochs).all(|epoch| self.certified_by_all(epoch))
    }

    /// Everybody certified the epoch; a member that dies may leave it out.
    fn certified_by_all(&self, epoch: u64) -> bool {
        let lives = |index: &usize| *index != 0 || self.climate.dies.is_none();
        let by = self.certified.get(&epoch);
        (0..self.processes.len()).filter(lives).all(|index| by.is_some_and(|by| by.contains_key(&index)))
    }

    fn calm(&self) -> bool {
        let stormy = self.climate.epochs * EPOCH_MS;
        self.genesis.is_none_or(|genesis| self.now < genesis || self.now > genesis + stormy)
    }

    fn is_away(&self, index: usize) -> bool {
        let Some(genesis) = self.genesis.filter(|genesis| self.now > *genesis) else { return false };
        let epoch = (self.now - genesis) / EPOCH_MS;
        let last = index + 1 == self.processes.len();
        let away = last && self.climate.away.is_some_and(|(from, to)| (from..=to).contains(&epoch));
        away || (index == 0 && self.climate.dies.is_some_and(|from| epoch >= from))
    }

    fn revive(&mut self, index: usize) {
        if self.is_away(index) {
            return self.after(500, Event::Revive(index));
        }
        let behaviour = match index {
            0 if self.climate.liar => Behaviour::Liar { from_epoch: 0, to_epoch: 100 },
            _ => Behaviour::Honest,
        };
        let setup = Setup {
            term: self.term.clone(),
            me: index as u32,
            key: self.keys[index].clone(),
            dkg_seed: [index as u8 + 1; 32],
            policy: policy(),
            stream: 0,
            behaviour,
        };
        let disk = self.processes[index].disk.iter();
        let journal = disk.map(|(key, value)| Record { key: key.clone(), value: value.clone() }).collect();
        self.processes[index].oracle = Some(Oracle::new(setup, journal, self.now));
        if let Some(genesis_ms) = self.genesis {
            self.step(index, Input::Activated { genesis_ms });
            for epoch in 0..=self.now.saturating_sub(genesis_ms) / EPOCH_MS {
                self.step(index, Input::Snapshot { epoch, snapshot: snapshot(epoch) });
            }
        }
        self.step(index, Input::Tick);
    }

    fn new_epoch(&mut self, epoch: u64) {
        for index in 0..self.processes.len() {
            self.step(index, Input::Snapshot { epoch, snapshot: snapshot(epoch) });
        }
        self.after(EPOCH_MS, Event::NewEpoch(epoch + 1));
    }

    fn step(&mut self, index: usize, input: Input) {
        let now = self.now;
        if self.is_away(index) && self.processes[index].oracle.is_some() {
            return self.crash(index);
        }
        let Some(oracle) = self.processes[index].oracle.as_mut() else { return };
        self.steps += 1;
        let effects = oracle.step(now, input);
        let wakeup = oracle.next_wakeup();
        for effect in effects {
            if !self.calm() && self.dice.below(10_000) < self.climate.crashes {
                return self.crash(index);
            }
            self.carry_out(index, effect);
        }
        let Some(at) = wakeup else { return };
        if at < self.processes[index].wakes_at {
            self.processes[index].wakes_at = at;
            self.after(at.saturating_sub(now).max(1), Event::Wake(index));
        }
    }

    fn crash(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.oracle = None;
        process.cache.clear();
        process.wakes_at = u64::MAX;
        self.lives[index] += 1;
        self.crashes += 1;
        let delay = 50 + self.dice.below(1_500);
        self.after(delay, Event::Revive(index));
    }

    fn carry_out(&mut self, from: usize, effect: Effect) {
        match effect {
            Effect::Persist(record) => self.processes[from].persist(record, self.climate.unsynced),
            Effect::Broadcast(bytes) => self.broadcast(from, &bytes),
            Effect::Direct { to, bytes } => {
                let input = Input::Direct { from: from as u32, bytes };
                let delay = 1 + self.dice.below(20);
                self.after(delay, Event::Input(to as usize, self.lives[to as usize], input));
            }
            Effect::Fetch { ids, holders } => self.fetch(from, &ids, &holders),
            Effect::Observe { epoch, .. } => {
                let mut buckets = buckets(from, epoch);
                if from == 1 && self.climate.hog {
                    fatten(&mut buckets);
                }
                let input = Input::Observed { epoch, buckets, receipts_root: [from as u8; 32] };
                let delay = 1 + self.dice.below(30);
                self.after(delay, Event::Input(from, self.lives[from], input));
            }
            Effect::Serve(contents) => {
                self.processes[from].store.extend(contents.into_iter().map(|content| (content.id, content)));
            }
            Effect::Certified(report) => {
                let digest = header_digest(&self.term, &report.header);
                let by = self.certified.entry(report.instance.epoch).or_default();
                by.insert(from, digest);
                self.participation.insert(report.instance.epoch, report.header.participation.saturating_to());
                if by.values().collect::<BTreeSet<_>>().len() > 1 {
                    self.incidents.push(format!("two certified reports of epoch {}", report.instance.epoch));
                }
            }
            Effect::Transmit { what: Transmission::Activate { .. }, .. } if self.genesis.is_none() => self.activate(),
            Effect::Note { code: "fault_proof" | "draft_refused" | "sign_once_refused" | "proposal_differs", text } => {
                self.incidents.push(format!("process {from}: {text}"));
            }
            Effect::Note { code, .. } => drop(self.notes.insert(code)),
            _ => {}
        }
    }

    fn activate(&mut self) {
        let genesis_ms = self.now + 2_000;
        self.genesis = Some(genesis_ms);
        self.end = genesis_ms + self.climate.epochs * EPOCH_MS + 60_000;
        for index in 0..self.processes.len() {
            self.after(10, Event::Input(index, self.lives[index], Input::Activated { genesis_ms }));
        }
        self.after(2_000, Event::NewEpoch(0));
    }

    fn fetch(&mut self, from: usize, ids: &[[u8; 32]], holders: &[u32]) {
        let places = core::iter::once(from).chain(holders.iter().map(|holder| *holder as usize));
        for place in places.collect::<Vec<_>>() {
            let lost = place != from && !self.calm() && self.dice.chance(self.climate.loss);
            let process = &self.processes[place];
            if lost || process.oracle.is_none() {
                continue;
            }
            let found: Vec<Content> = ids.iter().filter_map(|id| process.store.get(id).cloned()).collect();
            let delay = 2 + self.dice.below(30);
            self.after(delay, Event::Input(from, self.lives[from], Input::Content(found)));
        }
    }

    fn broadcast(&mut self, from: usize, bytes: &[u8]) {
        match Message::decode(bytes) {
            Ok(message) => self.listen(from as u32, &message),
            Err(e) => self.incidents.push(format!("process {from} says what nobody can read: {e}")),
        }
        for to in (0..self.processes.len()).filter(|to| *to != from) {
            if !self.calm() && self.dice.chance(self.climate.loss) {
                continue;
            }
            let mut bytes = bytes.to_vec();
            if from == 0 && self.climate.liar && self.dice.chance(10) {
                let place = self.dice.below(bytes.len() as u64) as usize;
                bytes[place] ^= 1;
            }
            for _ in 0..=u64::from(self.dice.chance(5)) {
                let delay = 1 + self.dice.below(60);
                let input = Input::Message { from: from as u32, bytes: bytes.clone() };
                self.after(delay, Event::Input(to, self.lives[to], input));
            }
        }
    }

    fn listen(&mut self, from: u32, message: &Message) {
        let report = |change: &RoundChange| change.statement.instance.kind == Kind::Report as u8;
        self.round_changes += u64::from(matches!(message, Message::RoundChange(change) if report(change)));
        let statement: &Statement = match message {
            Message::Observation(statement, _) | Message::Vote(statement) => statement,
            Message::Proposal(proposal) => &proposal.statement,
            Message::RoundChange(change) => &change.statement,
            Message::Partial(partial) => &partial.statement,
            _ => return,
        };
        let step = oracle_core::wire::encode(&(statement.instance, statement.phase, statement.view));
        let before = *self.audible.entry((from, step)).or_insert(statement.value());
        if before != statement.value() {
            let (phase, epoch) = (statement.phase, statement.instance.epoch);
            self.incidents.push(format!("member {from} signed twice in phase {phase} of epoch {epoch}"));
        }
    }
}

impl Process {
    const fn new() -> Self {
        Self { oracle: None, disk: BTreeMap::new(), cache: Vec::new(), store: BTreeMap::new(), wakes_at: u64::MAX }
    }

    fn persist(&mut self, record: Record, unsynced: bool) {
        self.cache.push(record);
        let keep = if unsynced { 4 } else { 0 };
        while self.cache.len() > keep {
            let oldest = self.cache.remove(0);
            self.disk.insert(oldest.key, oldest.value);
        }
    }
}
