//! Four oracles, their disks and a chain that posts: small delays, no loss; deaths and blindness are said outright.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use oracle_core::effect::{Content, Effect, Input, Record, Seen, Transmission};
use oracle_core::guard::journaled;
use oracle_core::observation::Bucket;
use oracle_core::report::header_digest;
use oracle_core::term::Term;
use oracle_core::typed::Header;
use oracle_core::wire::{Message, Statement};

use crate::given::{EPOCH_MS, STREAMS, buckets, snapshot, term};
use crate::process::Process;

pub(crate) const MEMBERS: usize = 4;
pub(crate) const TERM: u64 = 1;
/// See [`World::floods`].
pub(crate) const FLOODER: usize = 3;

/// Well-formed runs of nothing, of about so many bytes, other ones in every stream.
fn fill(bucket: &mut Bucket, bytes: usize, stream: u32) {
    let runs = (bytes / 24) as u64;
    let first = u64::MAX - 4 * runs - u64::from(stream) * 1_000_000;
    bucket.held = (0..runs).map(|run| (u32::MAX, first + 2 * run, first + 2 * run)).collect();
}

enum Event {
    /// To a process, in one of its lives.
    Input(usize, u64, Input),
    Wake(usize),
    NewEpoch(u64),
    Die(usize, u64),
    Revive(usize),
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) term: Term,
    pub(crate) processes: Vec<Process>,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(crate) genesis: Option<u64>,
    /// (process, stream): its questions for buckets are not answered.
    pub(crate) blind: Vec<(usize, u32)>,
    /// (stream, epoch) → header, and who holds it certified.
    certified: BTreeMap<(u32, u64), (Header, BTreeSet<usize>)>,
    /// (process, instance, phase, view) → what was said.
    audible: BTreeMap<(usize, Vec<u8>), B256>,
    /// Process 3 lists garbage in every stream: in even epochs far more than its budget, in odd ones just as much.
    pub(crate) floods: bool,
    /// Most bytes of content that an honest process held for one stream.
    pub(crate) peak: usize,
    /// Observations by stream, epoch and member, as broadcast.
    pub(crate) observed: BTreeMap<(u32, u64, u32), Statement>,
    /// Broadcasts, and their bytes.
    pub(crate) said: (usize, usize),
    /// When content was asked for last.
    pub(crate) asked: BTreeMap<[u8; 32], u64>,
    pub(crate) deaths: u64,
    pub(crate) notes: BTreeMap<&'static str, Vec<String>>,
    pub(crate) incidents: Vec<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let everybody: Vec<usize> = (0..MEMBERS).collect();
        let mut world = Self {
            now: 1_700_000_000_000,
            term: term(TERM, &everybody),
            processes: everybody.iter().map(|_| Process::default()).collect(),
            queue: BTreeMap::new(),
            sequence: 0,
            genesis: None,
            blind: Vec::new(),
            certified: BTreeMap::new(),
            audible: BTreeMap::new(),
            floods: false,
            peak: 0,
            observed: BTreeMap::new(),
            said: (0, 0),
            asked: BTreeMap::new(),
            deaths: 0,
            notes: BTreeMap::new(),
            incidents: Vec::new(),
        };
        everybody.into_iter().for_each(|index| world.after(1, Event::Revive(index)));
        world
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    /// kill -9 after a while, and a new life some time later.
    pub(crate) fn dies(&mut self, index: usize, after: u64, for_ms: u64) {
        self.after(after, Event::Die(index, for_ms));
    }

    /// Ends every process now and starts them again from their disks.
    pub(crate) fn restart_all(&mut self) {
        (0..MEMBERS).for_each(|index| self.dies(index, 1 + index as u64 * 5, 50));
    }

    /// Runs until something holds; fails after two minutes of the world's time.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now + 120_000;
        while !holds(self) {
            let Some(((at, _), event)) = self.queue.pop_first().filter(|((at, _), _)| *at <= end) else {
                let held: Vec<_> = self.certified.iter().map(|(key, (_, by))| (key, by.len())).collect();
                panic!("never {what}: certified {held:?}, notes {:?}, {:?}", self.notes, self.incidents);
            };
            self.now = at;
            match event {
                Event::Input(to, life, input) if self.processes[to].life == life => self.step(to, input),
                Event::Input(..) => {}
                Event::Wake(index) => {
                    self.processes[index].wakes_at.clear();
                    self.step(index, Input::Tick);
                }
                Event::NewEpoch(epoch) => {
                    self.tell_all(&Input::Snapshot { epoch, snapshot: snapshot(epoch) });
                    self.after(EPOCH_MS, Event::NewEpoch(epoch + 1));
                }
                Event::Die(index, for_ms) => {
                    self.processes[index].die();
                    self.deaths += 1;
                    self.after(for_ms, Event::Revive(index));
                }
                Event::Revive(index) => self.revive(index),
            }
        }
    }

    fn revive(&mut self, index: usize) {
        self.processes[index].up = true;
        self.processes[index].seat(index, &self.term, self.now);
        for (_, input) in self.processes[index].told.clone() {
            self.step(index, input);
        }
        self.step(index, Input::Tick);
    }

    /// The chain's word, now and after every restart.
    fn tell_all(&mut self, input: &Input) {
        for index in 0..MEMBERS {
            self.processes[index].told.push((TERM, input.clone()));
            self.step(index, input.clone());
        }
    }

    /// A message right out of a member's hands.
    pub(crate) fn hand_over(&mut self, to: usize, from: u32, bytes: Vec<u8>) {
        self.step(to, Input::Message { from, bytes });
    }

    fn step(&mut self, index: usize, input: Input) {
        let now = self.now;
        let Some(oracle) = self.processes[index].seats.get_mut(&TERM) else { return };
        let effects = oracle.step(now, input);
        let wakeup = oracle.next_wakeup();
        if self.floods && index != FLOODER {
            self.peak = self.peak.max(oracle.held_bytes().into_values().max().unwrap_or_default());
        }
        effects.into_iter().for_each(|effect| self.carry_out(index, effect));
        let known = self.processes[index].wakes_at.get(&TERM).copied().unwrap_or(u64::MAX);
        if let Some(at) = wakeup.filter(|at| *at < known) {
            self.processes[index].wakes_at.insert(TERM, at);
            self.after(at.saturating_sub(now).max(1), Event::Wake(index));
        }
    }

    fn send(&mut self, to: usize, input: Input) {
        let (delay, life) = (5 + self.sequence % 4 * 10, self.processes[to].life);
        self.after(delay, Event::Input(to, life, input));
    }

    fn carry_out(&mut self, from: usize, effect: Effect) {
        let me = from as u32;
        match effect {
            Effect::Persist(Record { key, value }) => drop(self.processes[from].disk.insert(key, value)),
            Effect::Erase(keys) => keys.iter().for_each(|key| drop(self.processes[from].disk.remove(key))),
            Effect::Broadcast(bytes) => {
                self.listen(from, &bytes);
                self.said = (self.said.0 + 1, self.said.1 + bytes.len());
                for to in (0..MEMBERS).filter(|to| *to != from) {
                    self.send(to, Input::Message { from: me, bytes: bytes.clone() });
                }
            }
            Effect::Direct { to, bytes } => self.send(to as usize, Input::Direct { from: me, bytes }),
            Effect::Fetch { ids, .. } | Effect::FetchOf { ids, .. } => {
                self.asked.extend(ids.iter().map(|id| (*id, self.now)));
                let shelves = || self.processes.iter().flat_map(|process| process.shelf.contents.values());
                let found: Vec<Content> = shelves().filter(|content| ids.contains(&content.id)).cloned().collect();
                let (large, small) = found.into_iter().partition(|content| content.bytes.len() > 4_096);
                let large: Vec<Content> = large;
                // What is large comes one by one, as over a wire.
                large.into_iter().for_each(|content| self.send(from, Input::Content(vec![content])));
                self.send(from, Input::Content(small));
            }
            Effect::Observe { stream, epoch, budget, .. } => {
                if !self.blind.contains(&(from, stream)) {
                    let (mut buckets, receipts_root) = (buckets(from, epoch + u64::from(stream)), [from as u8; 32]);
                    if self.floods && from == FLOODER {
                        let bytes = if epoch % 2 == 0 { 300_000 } else { budget / 3 - 64 };
                        buckets.values_mut().for_each(|bucket| fill(bucket, bytes, stream));
                    }
                    self.send(
                        from,
                        Input::Observed { stream, epoch, seen: Seen { buckets, receipts_root, measurements: vec![] } },
                    );
                }
            }
            Effect::Serve(contents) => self.processes[from].shelf.serve(contents),
            Effect::Lend { stream, epoch, contents } => self.processes[from].shelf.lend(stream, epoch, contents),
            Effect::Settled { stream, epoch, kept } => self.processes[from].shelf.settle(stream, epoch, &kept),
            Effect::Certified(report) => self.note_certified(from, &report.header),
            Effect::Beacon { .. } => {}
            Effect::Transmit { what, .. } => self.transmit(what),
            Effect::Note { code, text } => self.notes.entry(code).or_default().push(format!("{from}: {text}")),
        }
    }

    fn transmit(&mut self, what: Transmission) {
        match what {
            Transmission::Activate { .. } if self.genesis.is_none() => {
                let genesis_ms = self.now + 2_000;
                self.genesis = Some(genesis_ms);
                self.tell_all(&Input::Activated { genesis_ms });
                self.after(2_000, Event::NewEpoch(0));
            }
            Transmission::Report { header, .. } => {
                self.tell_all(&Input::Posted { stream: header.stream, epoch: header.epoch });
            }
            _ => {}
        }
    }

    fn note_certified(&mut self, from: usize, header: &Header) {
        let key = (header.stream, header.epoch);
        let (first, by) = self.certified.entry(key).or_insert_with(|| (header.clone(), BTreeSet::new()));
        by.insert(from);
        if first != header {
            self.incidents.push(format!("two certified reports of {key:?}"));
        }
    }

    /// Nobody may ever be heard saying two things about one instance, across crashes too.
    fn listen(&mut self, from: usize, bytes: &[u8]) {
        let statement: Statement = match Message::decode(bytes) {
            Ok(Message::Observation(statement, _)) => {
                let instance = statement.instance;
                self.observed.insert((instance.stream, instance.epoch, statement.member), statement.clone());
                statement
            }
            Ok(Message::Vote(statement)) => statement,
            Ok(Message::Proposal(proposal)) => proposal.statement,
            Ok(Message::RoundChange(change)) => change.statement,
            Ok(Message::Partial(partial)) => partial.statement,
            _ => return,
        };
        let step = oracle_core::wire::encode(&(statement.instance, statement.phase, statement.view));
        // Whatever leaves is found in the journal after a restart: a note lost with the power is taken from there.
        let holds =
            |(key, value): (&Vec<u8>, &Vec<u8>)| journaled(&self.term.scope, key, value) == Some(statement.clone());
        if !self.audible.contains_key(&(from, step.clone())) && !self.processes[from].disk.iter().any(holds) {
            self.incidents
                .push(format!("process {from} said what its journal does not hold: {:?}", statement.instance));
        }
        if *self.audible.entry((from, step)).or_insert(statement.value()) != statement.value() {
            self.incidents.push(format!("process {from} signed twice: {:?}", statement.instance));
        }
    }

    /// Whether everybody holds the certificates of all epochs of a stream up to this one.
    pub(crate) fn all_certified(&self, stream: u32, last: u64) -> bool {
        (0..=last).all(|epoch| self.certified.get(&(stream, epoch)).is_some_and(|(_, by)| by.len() == MEMBERS))
    }

    /// Whether the certified report of an epoch rests on a member's observation.
    pub(crate) fn took_part(&self, stream: u32, epoch: u64, member: usize) -> bool {
        self.certified[&(stream, epoch)].0.participation.bit(member)
    }

    /// The last epoch of a stream that anybody holds certified.
    pub(crate) fn last_certified(&self, stream: u32) -> u64 {
        self.certified.range((stream, 0)..=(stream, u64::MAX)).last().map_or(0, |((_, epoch), _)| *epoch)
    }

    /// When an epoch is observed.
    pub(crate) fn latest_opening(&self, epoch: u64) -> u64 {
        self.genesis.expect("active") + (epoch + 1) * EPOCH_MS + 200
    }

    /// Every header of a stream is built on the one before it, and names its stream.
    pub(crate) fn one_chain(&self, stream: u32) {
        assert!(STREAMS.contains(&stream));
        let mut previous = B256::ZERO;
        for ((_, epoch), (header, _)) in self.certified.range((stream, 0)..=(stream, u64::MAX)) {
            assert_eq!((header.stream, header.previousHeader), (stream, previous), "epoch {epoch}");
            previous = header_digest(&self.term, header);
        }
    }
}
