//! Whole oracles over epochs with real evidence: processes with disks, devices that answer, a chain that posts.
//! Leaves out: how things travel (`traffic`) and what must hold (`watch`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use alloy_primitives::B256;
use oracle_core::collect::Held;
use oracle_core::effect::{Input, Record};
use oracle_core::oracle::{Behaviour, Oracle, Setup};
use oracle_core::policy::Book;
use oracle_core::registry::{History, RawLog};
use oracle_core::shared_checks;
use oracle_core::term::Term;
use oracle_core::typed::MemberKey;

use crate::devices::{Answer, Device, fleet};
use crate::dice::Dice;
use crate::given::{self, EPOCH_MS, START_MS, block, dealing, dkg_seed, member_key};
use crate::shelf::Shelf;
use crate::watch::Watch;

/// What one run is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Climate {
    pub(crate) n: u32,
    /// Streams that every process serves.
    pub(crate) streams: u32,
    /// Epochs that everybody must certify.
    pub(crate) epochs: u64,
    /// Whether the key is made by the members; a dealt one otherwise.
    pub(crate) ceremony: bool,
    /// Delay of a message, ms, both ends included.
    pub(crate) delay: (u64, u64),
    /// Whether every member's buckets differ a little, so that they must be pulled.
    pub(crate) uneven: bool,
    /// Percent of messages and pulls lost while it storms.
    pub(crate) loss: u64,
    /// Per 10,000 effects, how often a process dies while it storms.
    pub(crate) crashes: u64,
    /// Whether members are cut off from each other now and then while it storms.
    pub(crate) splits: bool,
    /// The last member is away during these epochs.
    pub(crate) away: Option<(u64, u64)>,
    /// The member behind the liars dies for ever when this epoch begins.
    pub(crate) dies: Option<u64>,
    /// The first members lie: two faces each, which falsify, withhold, spoil and repeat.
    pub(crate) liars: u32,
    /// This member lists buckets far beyond what the policy lets a device send.
    pub(crate) hog: Option<u32>,
    /// Members 2 and 3 cannot take what device 1 says, from whomever: to them its key has changed.
    pub(crate) deaf: bool,
    /// Whether a dying process loses its last writes (a planted fault).
    pub(crate) unsynced: bool,
}

/// A member's process, or one of the two faces of a liar.
pub(crate) struct Process {
    pub(crate) member: u32,
    pub(crate) face: u64,
    pub(crate) oracle: Option<Oracle>,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
    cache: Vec<Record>,
    /// Evidence and buckets: written before they are acknowledged.
    pub(crate) store: Shelf,
    pub(crate) held: Vec<Held>,
    wakes_at: u64,
    /// Counts the deaths: what was sent to an earlier life is lost.
    pub(crate) life: u64,
}

pub(crate) enum Event {
    Input(usize, u64, Input),
    /// A device's message reaches a process, or waits for it at the broker.
    Evidence(usize, Box<Answer>),
    Wake(usize),
    Revive(usize),
    Block,
}

/// The simulation.
pub(crate) struct Committee {
    pub(crate) climate: Climate,
    pub(crate) dice: Dice,
    pub(crate) now: u64,
    end: u64,
    pub(crate) term: Term,
    pub(crate) book: Book,
    keys: Vec<Arc<MemberKey>>,
    pub(crate) processes: Vec<Process>,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(crate) devices: Vec<Device>,
    /// Slots whose beacon the devices have heard.
    pub(crate) heard_slots: BTreeSet<u64>,
    pub(crate) history: History,
    blocks: u64,
    pub(crate) pending_logs: Vec<RawLog>,
    pub(crate) posted: BTreeSet<(u32, u64)>,
    pub(crate) genesis: Option<u64>,
    /// Which side of a split each member is on.
    pub(crate) side: Vec<u64>,
    pub(crate) split_until: u64,
    /// What liars repeat.
    pub(crate) overheard: VecDeque<Vec<u8>>,
    pub(crate) watch: Watch,
    /// From an epoch's opening to its certificate at each process, ms of simulated time.
    pub(crate) latencies: Vec<u64>,
    pub(crate) crashes: u64,
    pub(crate) steps: u64,
    /// Times that content was asked for.
    pub(crate) fetches: u64,
    /// Members that took part in certified reports, as a bit map, by epoch (stream 0).
    pub(crate) participation: BTreeMap<u64, u64>,
    /// Codes of the notes that were made.
    pub(crate) notes: BTreeSet<&'static str>,
    /// Bytes of content that a process may hold for one stream.
    may_hold: usize,
}

impl Committee {
    pub(crate) fn new(climate: Climate, seed: u64) -> Self {
        shared_checks::share(true);
        let devices = fleet(climate.streams);
        let mut history = given::history();
        history.apply(block(0, START_MS), &given::configured(climate.n, &devices));
        let mut committee = Self {
            climate,
            dice: Dice::new(seed),
            now: START_MS,
            end: START_MS + 60_000,
            term: history.term().expect("the term is configured"),
            book: given::book(),
            keys: (0..climate.n).map(|member| Arc::new(member_key(member))).collect(),
            processes: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            devices,
            heard_slots: BTreeSet::new(),
            history,
            blocks: 1,
            pending_logs: Vec::new(),
            posted: BTreeSet::new(),
            genesis: None,
            side: vec![0; climate.n as usize],
            split_until: 0,
            overheard: VecDeque::new(),
            watch: Watch::new(climate.liars),
            latencies: Vec::new(),
            crashes: 0,
            steps: 0,
            fetches: 0,
            participation: BTreeMap::new(),
            notes: BTreeSet::new(),
            may_hold: given::may_hold(),
        };
        committee.admit();
        if !climate.ceremony {
            let dealt = dealing(climate.n);
            committee.activate(&dealt.group_key, dealt.share_root);
        }
        committee.after(1_000, Event::Block);
        committee
    }

    fn admit(&mut self) {
        let dealt = || dealing(self.climate.n).journals;
        let journals = if self.climate.ceremony { Default::default() } else { dealt() };
        for member in 0..self.climate.n {
            let faces = if member < self.climate.liars { 2 } else { 1 };
            for face in 0..faces {
                let journal = journals.get(member as usize).cloned().unwrap_or_default();
                let disk = journal.into_iter().map(|record| (record.key, record.value)).collect();
                self.processes.push(Process::new(member, face, disk));
                let index = self.processes.len() - 1;
                self.after(1 + index as u64 * 7, Event::Revive(index));
            }
        }
    }

    pub(crate) fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    /// Runs to the end; gives what went wrong.
    pub(crate) fn run(&mut self) -> Vec<String> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > self.end || !self.watch.incidents.is_empty() || self.finished() {
                break;
            }
            self.now = at;
            self.maybe_split();
            match event {
                Event::Input(to, life, input) if self.processes[to].life == life => self.step(to, input),
                Event::Input(..) => {}
                Event::Evidence(to, answer) => self.take_evidence(to, *answer),
                Event::Wake(index) => {
                    self.processes[index].wakes_at = u64::MAX;
                    self.step(index, Input::Tick);
                }
                Event::Revive(index) => self.revive(index),
                Event::Block => self.mine(),
            }
        }
        if self.watch.incidents.is_empty() {
            self.check_all_certified();
        }
        core::mem::take(&mut self.watch.incidents)
    }

    fn check_all_certified(&mut self) {
        if !self.finished() {
            let at: Vec<String> = self.processes.iter().map(|process| self.describe(process)).collect();
            return self.watch.incident(format!("not everybody certified everything: {}", at.join("; ")));
        }
        self.watch.audit(&self.history, &self.book, self.climate.streams);
        self.check_shelves();
        for stream in 0..self.climate.streams {
            let replayed = self.watch.replayed_epochs(stream);
            if replayed < self.climate.epochs && self.watch.incidents.is_empty() {
                self.watch.incident(format!("only {replayed} epochs of stream {stream} replay"));
            }
        }
    }

    /// Nothing is on an honest member's shelf for good but what a decided S names.
    fn check_shelves(&mut self) {
        let honest = self.processes.iter().filter(|process| process.member >= self.climate.liars);
        for process in honest {
            let strange = process.store.for_good().filter(|content| content.class == 0);
            let strange = strange.filter(|one| !self.watch.is_named(&one.id)).count();
            if strange > 0 {
                let text = format!("member {} keeps {strange} blobs that no decided S names", process.member);
                self.watch.incidents.push(text);
            }
        }
    }

    fn describe(&self, process: &Process) -> String {
        let status = process.oracle.as_ref().map(|oracle| oracle.status(self.now));
        let state = status.map_or("down".into(), |s| {
            let streams = s.streams.iter().map(|(number, s)| {
                format!("stream {number} next {} view {} heard {:?} wanted {}", s.next_epoch, s.view, s.heard, s.wanted)
            });
            format!("{} {}", s.phase, streams.collect::<Vec<_>>().join(", "))
        });
        format!("{}: {state}", process.member)
    }

    /// The member that dies for ever.
    fn mortal(&self) -> Option<u32> {
        self.climate.dies.map(|_| self.climate.liars)
    }

    /// Every honest member that lives certified every epoch of every stream.
    fn finished(&self) -> bool {
        let counts = |process: &Process| process.member >= self.climate.liars && Some(process.member) != self.mortal();
        let waits = self.processes.iter().enumerate().filter(|(_, process)| counts(process));
        waits.into_iter().all(|(index, _)| {
            let holds =
                |stream, epoch| self.watch.certified_by(stream, epoch).is_some_and(|by| by.contains_key(&index));
            (0..self.climate.epochs).rev().all(|epoch| (0..self.climate.streams).all(|stream| holds(stream, epoch)))
        })
    }

    pub(crate) fn calm(&self) -> bool {
        let stormy = self.climate.epochs * EPOCH_MS;
        self.genesis.is_none_or(|genesis| self.now < genesis || self.now > genesis + stormy)
    }

    fn is_away(&self, member: u32) -> bool {
        let Some(genesis) = self.genesis.filter(|genesis| self.now > *genesis) else { return false };
        let epoch = (self.now - genesis) / EPOCH_MS;
        let last = member + 1 == self.climate.n;
        let away = last && self.climate.away.is_some_and(|(from, to)| (from..=to).contains(&epoch));
        away || (Some(member) == self.mortal() && self.climate.dies.is_some_and(|from| epoch >= from))
    }

    fn revive(&mut self, index: usize) {
        let (member, face) = self.processes[index].who();
        if self.is_away(member) {
            return self.after(500, Event::Revive(index));
        }
        let lies = member < self.climate.liars && face == 0;
        let behaviour = if lies { Behaviour::Liar { from_epoch: 0, to_epoch: 100 } } else { Behaviour::Honest };
        let setup = Setup {
            term: self.term.clone(),
            me: member,
            key: self.keys[member as usize].clone(),
            dkg_seed: dkg_seed(member),
            book: self.book.clone(),
            streams: (0..self.climate.streams).collect(),
            behaviour,
        };
        self.processes[index].oracle = Some(Oracle::new(setup, self.processes[index].journal(), self.now));
        if let Some(genesis_ms) = self.term.genesis_ms {
            self.step(index, Input::Activated { genesis_ms });
            for epoch in 0..self.history.next_epoch() {
                self.snapshot(index, epoch);
            }
        }
        self.step(index, Input::Tick);
    }

    fn snapshot(&mut self, index: usize, epoch: u64) {
        if let Some(snapshot) = self.history.snapshot(epoch).cloned() {
            self.step(index, Input::Snapshot { epoch, snapshot });
        }
    }

    /// The registry takes the key: the term is active from the next block on.
    pub(crate) fn activate(&mut self, group_key: &[u8], share_root: B256) {
        let genesis_ms = (self.now / 1_000 + 4) * 1_000;
        self.genesis = Some(genesis_ms);
        self.end = genesis_ms + self.climate.epochs * EPOCH_MS + 60_000;
        self.pending_logs.extend(given::activated(group_key, share_root, genesis_ms, &self.devices));
    }

    /// A block a second, final at once.
    fn mine(&mut self) {
        let logs = core::mem::take(&mut self.pending_logs);
        let was_active = self.history.term().is_some_and(|term| term.genesis_ms.is_some());
        let epochs = self.history.apply(block(self.blocks, self.now), &logs);
        self.blocks += 1;
        let activated = self.history.term().and_then(|term| term.genesis_ms).filter(|_| !was_active);
        self.term.genesis_ms = self.term.genesis_ms.or(activated);
        for index in 0..self.processes.len() {
            if let Some(genesis_ms) = activated {
                self.step(index, Input::Activated { genesis_ms });
            }
            for epoch in epochs.clone() {
                self.snapshot(index, epoch);
            }
        }
        self.watch.audit(&self.history, &self.book, self.climate.streams);
        self.after(1_000, Event::Block);
    }

    pub(crate) fn step(&mut self, index: usize, input: Input) {
        let now = self.now;
        if self.is_away(self.processes[index].member) && self.processes[index].oracle.is_some() {
            return self.crash(index);
        }
        let Some(oracle) = self.processes[index].oracle.as_mut() else { return };
        self.steps += 1;
        let effects = oracle.step(now, input);
        let (wakeup, held) = (oracle.next_wakeup(), oracle.held_bytes());
        let honest = self.processes[index].member >= self.climate.liars;
        let above = |(_, bytes): &(u32, usize)| honest && *bytes > self.may_hold;
        if let Some((stream, bytes)) = held.into_iter().find(above) {
            self.watch.incident(format!("process {index} holds {bytes} bytes for stream {stream}"));
        }
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

    pub(crate) fn persist(&mut self, index: usize, record: Record) {
        let keep = if self.climate.unsynced { 4 } else { 0 };
        self.processes[index].persist(record, keep);
    }

    fn crash(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.oracle = None;
        process.cache.clear();
        process.wakes_at = u64::MAX;
        process.life += 1;
        self.crashes += 1;
        let delay = 50 + self.dice.below(1_500);
        self.after(delay, Event::Revive(index));
    }

    /// Notes when a process has an epoch's certificate.
    pub(crate) fn note_latency(&mut self, epoch: u64) {
        let end = self.genesis.unwrap_or_default() + (epoch + 1) * EPOCH_MS;
        self.latencies.push(self.now.saturating_sub(end + self.book.conduct.observe_delay_ms));
    }

    pub(crate) fn effect_of_fault(&mut self, text: &str) {
        let named = text.strip_prefix("member ").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        if named.is_none_or(|member| member >= self.climate.liars) {
            self.watch.incident(format!("a fault proof against an honest member: {text}"));
        }
    }
}

impl Process {
    fn new(member: u32, face: u64, disk: BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        Self {
            member,
            face,
            oracle: None,
            disk,
            cache: Vec::new(),
            store: Shelf::default(),
            held: Vec::new(),
            wakes_at: u64::MAX,
            life: 0,
        }
    }

    const fn who(&self) -> (u32, u64) {
        (self.member, self.face)
    }

    fn journal(&self) -> Vec<Record> {
        self.disk.iter().map(|(key, value)| Record { key: key.clone(), value: value.clone() }).collect()
    }

    pub(crate) fn erase(&mut self, keys: &[Vec<u8>]) {
        self.cache.retain(|record| !keys.contains(&record.key));
        self.disk.retain(|key, _| !keys.contains(key));
    }

    fn persist(&mut self, record: Record, keep: usize) {
        self.cache.push(record);
        while self.cache.len() > keep {
            let oldest = self.cache.remove(0);
            self.disk.insert(oldest.key, oldest.value);
        }
    }
}
