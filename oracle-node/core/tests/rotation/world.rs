//! The network, the registry and the clock of a run, and what must hold all the time.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use oracle_core::effect::{Content, Effect, Input, Record, Seen};
use oracle_core::handover::{Checkpoint, PIECES_MAX, Plan, Start};
use oracle_core::report::header_digest;
use oracle_core::term::Term;
use oracle_core::typed::{Header, Kind, Phase};
use oracle_core::wire::{InstanceId, Message, Proposal, Statement};

use crate::dice::Dice;
use crate::given::{EPOCH_MS, STREAMS, buckets, member_key, snapshot, term};
use crate::process::Process;

/// What one run is like.
#[derive(Clone, Debug)]
pub(crate) struct Climate {
    /// Processes of the old term, and of the new one.
    pub(crate) old: Vec<usize>,
    pub(crate) new: Vec<usize>,
    /// Percent of messages lost from the new term's configuration on.
    pub(crate) loss: u64,
    /// Per 10,000 effects: a process dies.
    pub(crate) crashes: u64,
    /// These are cut off from the others from one epoch before the hand-over to one after it.
    pub(crate) cut: Vec<usize>,
    /// The first rotations that the chain loses.
    pub(crate) lost_rotations: u32,
    /// Governance rotates by itself, without the old key, and these old processes die before.
    pub(crate) forced: bool,
    /// Process 0 makes up the pieces of every checkpoint that it hands out, many times over, and is heard first.
    pub(crate) liar: bool,
    /// Process 0 proposes that the new term begins with epoch 0, which is long over, whenever it leads first.
    pub(crate) hasty: bool,
    /// Epochs of the new term that must be certified.
    pub(crate) epochs: u64,
}

pub(crate) enum Event {
    Input(usize, u64, u64, Input),
    Wake(usize, u64),
    Revive(usize),
    NewEpoch(u64),
    Configure,
    Rotated(Box<Start>, Vec<u8>),
}

/// The run.
pub(crate) struct World {
    pub(crate) climate: Climate,
    pub(crate) dice: Dice,
    pub(crate) now: u64,
    end: u64,
    pub(crate) terms: BTreeMap<u64, Term>,
    pub(crate) processes: Vec<Process>,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(crate) genesis: Option<u64>,
    pub(crate) keys: BTreeMap<u64, Vec<u8>>,
    pub(crate) start: Option<Start>,
    pub(crate) rotations_lost: u32,
    /// (process, term, step) → what was said.
    audible: BTreeMap<(usize, u64, Vec<u8>), B256>,
    /// By stream and epoch: the header and who holds it certified.
    pub(crate) certified: BTreeMap<(u32, u64), (Header, BTreeSet<usize>)>,
    /// By stream: last epoch on the chain, with its digest.
    pub(crate) posted: BTreeMap<u32, (u64, B256)>,
    pub(crate) crashes: u64,
    /// What a hasty process 0 proposes, and the attempt at the rotation that process 1 is at.
    past_plan: Option<Plan>,
    attempts: u32,
    pub(crate) notes: BTreeMap<&'static str, u64>,
    pub(crate) incidents: Vec<String>,
}

impl World {
    pub(crate) fn new(climate: Climate, seed: u64) -> Self {
        let count = climate.old.iter().chain(&climate.new).max().map_or(0, |last| last + 1);
        let terms = BTreeMap::from([(1, term(1, &climate.old)), (2, term(2, &climate.new))]);
        let mut world = Self {
            climate,
            dice: Dice::new(seed),
            now: 1_700_000_000_000,
            end: 1_700_000_400_000,
            terms,
            processes: (0..count).map(|_| Process::default()).collect(),
            queue: BTreeMap::new(),
            sequence: 0,
            genesis: None,
            keys: BTreeMap::new(),
            start: None,
            rotations_lost: 0,
            audible: BTreeMap::new(),
            certified: BTreeMap::new(),
            posted: BTreeMap::new(),
            crashes: 0,
            past_plan: None,
            attempts: 0,
            notes: BTreeMap::new(),
            incidents: Vec::new(),
        };
        (0..count).for_each(|index| world.after(1 + index as u64 * 37, Event::Revive(index)));
        world
    }

    pub(crate) fn after(&mut self, delay: u64, event: Event) {
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
                Event::Input(to, life, term, input) if self.processes[to].life == life => self.step(to, term, input),
                Event::Input(..) => {}
                Event::Wake(index, term) => {
                    self.processes[index].wakes_at.remove(&term);
                    self.step(index, term, Input::Tick);
                }
                Event::Revive(index) => self.revive(index),
                Event::NewEpoch(epoch) => self.new_epoch(epoch),
                Event::Configure => self.configure(),
                Event::Rotated(start, key) => self.rotated(*start, key),
            }
        }
        if self.incidents.is_empty() && !self.finished() {
            let at: Vec<String> = (0..self.processes.len()).map(|index| self.describe(index)).collect();
            let by: Vec<_> = self.certified.iter().map(|(e, (h, by))| (e, h.term, by.len())).collect();
            self.incidents.push(format!("not finished: certified {by:?}; {}", at.join("; ")));
        }
        core::mem::take(&mut self.incidents)
    }

    fn describe(&self, index: usize) -> String {
        let seats = self.processes[index].seats.iter().map(|(term, oracle)| {
            let s = oracle.status(self.now);
            let slowest =
                s.slowest().map(|(stream, s)| format!("stream {stream} next {} view {}", s.next_epoch, s.view));
            format!(
                "term {term} {} slowest {slowest:?} until {:?} key {} planned {:?} inherits {}",
                s.phase,
                s.until_epoch,
                s.successor_key,
                s.planned_epoch,
                s.inheriting()
            )
        });
        format!("process {index}: {}", seats.collect::<Vec<_>>().join(", "))
    }

    /// Every epoch that should have a report has one, held by every living member of its term.
    fn finished(&self) -> bool {
        let Some(start) = &self.start else { return false };
        let last = start.from_epoch + self.climate.epochs;
        let by_all = |by: &BTreeSet<usize>| self.climate.new.iter().all(|index| by.contains(index));
        STREAMS.iter().all(|stream| {
            let known = |epoch| self.certified.get(&(*stream, epoch));
            (start.from_epoch..last).all(|epoch| known(epoch).is_some_and(|(_, by)| by_all(by)))
                && (self.climate.forced || (0..start.from_epoch).all(|epoch| known(epoch).is_some()))
        })
    }

    /// Tells one process what the chain says, now and after every restart.
    pub(crate) fn tell(&mut self, index: usize, term: u64, input: Input) {
        self.processes[index].told.push((term, input.clone()));
        self.step(index, term, input);
    }

    pub(crate) fn tell_all(&mut self, term: u64, input: &Input) {
        (0..self.processes.len()).for_each(|index| self.tell(index, term, input.clone()));
    }

    fn revive(&mut self, index: usize) {
        self.processes[index].up = true;
        for (number, term) in self.terms.clone() {
            if number == 1 || self.keys.contains_key(&0) {
                self.processes[index].seat(index, &term, self.now);
            }
        }
        for (term, input) in self.processes[index].told.clone() {
            self.step(index, term, input);
        }
        [1, 2].into_iter().for_each(|term| self.step(index, term, Input::Tick));
    }

    fn new_epoch(&mut self, epoch: u64) {
        [1, 2].into_iter().for_each(|term| self.tell_all(term, &Input::Snapshot { epoch, snapshot: snapshot(epoch) }));
        self.after(EPOCH_MS, Event::NewEpoch(epoch + 1));
    }

    pub(crate) fn step(&mut self, index: usize, term: u64, input: Input) {
        let now = self.now;
        let Some(oracle) = self.processes[index].seats.get_mut(&term) else { return };
        let effects = oracle.step(now, input);
        let wakeup = oracle.next_wakeup();
        for effect in effects {
            if self.stormy() && self.dice.below(10_000) < self.climate.crashes {
                self.processes[index].die();
                self.crashes += 1;
                let delay = 50 + self.dice.below(1_500);
                return self.after(delay, Event::Revive(index));
            }
            self.carry_out(index, term, effect);
        }
        let known = self.processes[index].wakes_at.get(&term).copied().unwrap_or(u64::MAX);
        if let Some(at) = wakeup.filter(|at| *at < known) {
            self.processes[index].wakes_at.insert(term, at);
            self.after(at.saturating_sub(now).max(1), Event::Wake(index, term));
        }
    }

    /// Bad weather from the new term's configuration until its second epoch.
    fn stormy(&self) -> bool {
        let over = self.start.as_ref().is_some_and(|start| self.epoch() > start.from_epoch + 1);
        self.keys.contains_key(&0) && !over
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.genesis.map_or(0, |genesis| self.now.saturating_sub(genesis) / EPOCH_MS)
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        let Some(start) = &self.start else { return false };
        let around = self.epoch() + 1 >= start.from_epoch && self.epoch() < start.from_epoch + 1;
        around && self.climate.cut.contains(&a) != self.climate.cut.contains(&b)
    }

    fn index_in(&self, term: u64, process: usize) -> Option<u32> {
        let list = if term == 1 { &self.climate.old } else { &self.climate.new };
        list.iter().position(|one| *one == process).map(|place| place as u32)
    }

    fn carry_out(&mut self, from: usize, term: u64, effect: Effect) {
        match effect {
            Effect::Persist(Record { key, value }) => drop(self.processes[from].disk.insert(key, value)),
            Effect::Broadcast(bytes) => self.broadcast(from, term, &bytes),
            Effect::Direct { to, bytes } => {
                let to = self.list(term)[to as usize];
                let me = self.index_in(term, from).expect("a member");
                self.deliver(from, to, term, Input::Direct { from: me, bytes });
            }
            Effect::Fetch { ids, holders } => {
                let list = self.list(term);
                let holders: Vec<usize> = holders.iter().map(|holder| list[*holder as usize]).collect();
                self.fetch(from, term, &ids, &holders);
            }
            Effect::FetchOf { term: of, holder, ids } => {
                if ids.len() > PIECES_MAX {
                    self.incidents.push(format!("process {from} asks for {} pieces of one state", ids.len()));
                }
                let holder = self.list(of)[holder as usize];
                self.fetch(from, term, &ids, &[holder]);
            }
            Effect::Observe { stream, epoch, .. } => {
                let (buckets, receipts_root) = (buckets(from, epoch), [from as u8; 32]);
                let input =
                    Input::Observed { stream, epoch, seen: Seen { buckets, receipts_root, measurements: vec![] } };
                let (delay, life) = (1 + self.dice.below(30), self.processes[from].life);
                self.after(delay, Event::Input(from, life, term, input));
            }
            Effect::Serve(contents) => self.processes[from].shelf.serve(contents),
            Effect::Lend { stream, epoch, contents } => self.processes[from].shelf.lend(stream, epoch, contents),
            Effect::Settled { stream, epoch, kept } => self.processes[from].shelf.settle(stream, epoch, &kept),
            Effect::Certified(report) => self.note_certified(from, term, &report.header),
            Effect::Transmit { what, .. } => self.transmit(from, term, what),
            Effect::Note { code, text } => {
                let count = self.notes.entry(code).or_default();
                *count += 1;
                if code == "rotation_missed" && self.climate.hasty && from == 1 {
                    self.attempts += 1;
                    self.propose_the_past(self.attempts);
                    if self.attempts > 12 {
                        self.incidents.push(format!("attempt after attempt is decided for nothing: {text}"));
                    }
                }
                let grave = ["fault_proof", "draft_refused", "sign_once_refused", "proposal_differs"];
                if grave.contains(&code) {
                    self.incidents.push(format!("process {from}, term {term}: {text}"));
                }
            }
            Effect::Beacon { slot, .. } => self.note_beacon(term, slot),
            Effect::Erase(keys) => keys.iter().for_each(|key| drop(self.processes[from].disk.remove(key))),
        }
    }

    /// A slot has the beacon of one term: the one in force when it starts.
    fn note_beacon(&mut self, term: u64, slot: u64) {
        let first = self.start.as_ref().map_or(u64::MAX, |start| self.terms[&1].first_slot_of(start.from_epoch));
        if (term == 1) != (slot < first) {
            self.incidents
                .push(format!("a beacon of term {term} for slot {slot}; the new term begins at slot {first}"));
        }
    }

    fn note_certified(&mut self, from: usize, term: u64, header: &Header) {
        let (epoch, digest) = (header.epoch, header_digest(&self.terms[&term], header));
        let (first, by) =
            self.certified.entry((header.stream, epoch)).or_insert_with(|| (header.clone(), BTreeSet::new()));
        by.insert(from);
        if header_digest(&self.terms[&first.term], first) != digest {
            self.incidents.push(format!("two certified reports of epoch {epoch}: terms {} and {term}", first.term));
        }
    }

    fn deliver(&mut self, from: usize, to: usize, term: u64, input: Input) {
        let lost = self.stormy() && self.dice.chance(self.climate.loss);
        if from != to && (lost || self.is_cut(from, to)) {
            return;
        }
        let (delay, life) = (1 + self.dice.below(40), self.processes[to].life);
        self.after(delay, Event::Input(to, life, term, input));
    }

    fn list(&self, term: u64) -> Vec<usize> {
        if term == 1 { self.climate.old.clone() } else { self.climate.new.clone() }
    }

    fn fetch(&mut self, from: usize, term: u64, ids: &[[u8; 32]], holders: &[usize]) {
        for place in core::iter::once(from).chain(holders.iter().copied()) {
            if !self.processes[place].up {
                continue;
            }
            let found: Vec<Content> =
                ids.iter().filter_map(|id| self.processes[place].shelf.contents.get(id).cloned()).collect();
            if !found.is_empty() {
                self.deliver(place, from, term, Input::Content(found));
            }
        }
    }

    fn broadcast(&mut self, from: usize, term: u64, bytes: &[u8]) {
        let Ok(message) = Message::decode(bytes) else {
            return self.incidents.push(format!("process {from} says what nobody can read"));
        };
        if self.climate.hasty && from == 0 && said(&message).is_some_and(|s| s.instance.kind() == Some(Kind::Rotation))
        {
            return self.hasten(&message);
        }
        self.listen(from, term, &message);
        // The liar is heard first; for an epoch, it is the only one.
        let late = self.start.as_ref().is_some_and(|start| self.epoch() > start.from_epoch);
        if self.climate.liar && from != 0 && !late && matches!(message, Message::Checkpoint(_)) {
            return;
        }
        let lies = if from == 0 && self.climate.liar { self.spoil(&message) } else { Vec::new() };
        let said = if lies.is_empty() { vec![bytes.to_vec()] } else { lies };
        let me = self.index_in(term, from).expect("a member");
        for bytes in &said {
            let input = || Input::Message { from: me, bytes: bytes.clone() };
            for to in (0..self.processes.len()).filter(|to| *to != from) {
                self.deliver(from, to, term, input());
            }
        }
        // What one term says to the other: heard by everybody, the same process included.
        let other = match message {
            Message::NewKey(_) if term == 2 => 1,
            Message::Checkpoint(_) if term == 1 => 2,
            _ => return,
        };
        if let Message::NewKey(key) = &message
            && self.climate.forced
        {
            self.force(key);
        }
        for bytes in &said {
            let input = || Input::Overheard { term, from: me, bytes: bytes.clone() };
            (0..self.processes.len()).for_each(|to| self.deliver(from, to, other, input()));
        }
    }

    /// True headers and certificates, beside lists of pieces that nobody has, and pieces of another state, which the liar
    /// serves.
    fn spoil(&mut self, message: &Message) -> Vec<Vec<u8>> {
        let Message::Checkpoint(checkpoint) = message else { return Vec::new() };
        let mut state = oracle_core::state::State { next_epoch: 99, ..Default::default() };
        state.previous_header = [7; 32].into();
        let (lie, pieces) = Checkpoint::of(&checkpoint.header, *checkpoint.certificate, &state);
        self.processes[0].shelf.serve(pieces);
        let mut lies: Vec<Checkpoint> =
            (0..20).map(|n| Checkpoint { pieces: vec![[n; 32].into()], ..lie.clone() }).collect();
        let many = (0..1_000_u32).map(|n| [[0xee; 28].as_slice(), &n.to_be_bytes()].concat().try_into());
        let many = many.map(|id: Result<[u8; 32], _>| id.expect("32 bytes").into()).collect();
        lies.push(Checkpoint { pieces: many, ..lie.clone() });
        lies.push(lie);
        lies.into_iter().map(|lie| Message::Checkpoint(lie).encode()).collect()
    }

    /// What process 0 says about the rotation when it is hasty: a plan that is sound in everything but its time.
    fn hasten(&mut self, message: &Message) {
        if let Message::Proposal(proposal) = message
            && self.past_plan.is_none()
        {
            self.past_plan = Plan::decode(&proposal.content).ok().map(|plan| Plan { from_epoch: 0, ..plan });
            self.propose_the_past(0);
        }
    }

    /// Process 0 leads the first view of an attempt, and says it as often as it takes.
    fn propose_the_past(&mut self, attempt: u32) {
        let Some(plan) = self.past_plan.clone() else { return };
        let (old, instance) = (&self.terms[&1].scope, InstanceId::new(Kind::Rotation, attempt, 2));
        let value = old.digest(&plan.rotation(old, &self.terms[&2].scope));
        let statement = Statement::sign(old, &member_key(0), 0, instance, Phase::Proposal, 1, value);
        let message = Message::Proposal(Proposal { statement, content: plan.encode().into(), justification: vec![] });
        for (to, delay) in [1, 2, 3].into_iter().flat_map(|to| [1, 50, 100, 150].map(|delay| (to, delay))) {
            let input = Input::Message { from: 0, bytes: message.encode() };
            let life = self.processes[to].life;
            self.after(delay, Event::Input(to, life, 1, input));
        }
    }

    /// Nobody may ever be heard saying two things, across crashes too.
    fn listen(&mut self, from: usize, term: u64, message: &Message) {
        let Some(statement) = said(message) else { return };
        let step = oracle_core::wire::encode(&(statement.instance, statement.phase, statement.view));
        let before = *self.audible.entry((from, term, step)).or_insert(statement.value());
        if before != statement.value() {
            let (phase, epoch) = (statement.phase, statement.instance.epoch);
            self.incidents.push(format!("process {from}, term {term}: signed twice in phase {phase} of epoch {epoch}"));
        }
    }
}

/// What its sender signed in a message.
fn said(message: &Message) -> Option<&Statement> {
    Some(match message {
        Message::Observation(statement, _) | Message::Vote(statement) => statement,
        Message::Proposal(proposal) => &proposal.statement,
        Message::RoundChange(change) => &change.statement,
        Message::Partial(partial) => &partial.statement,
        _ => return None,
    })
}
