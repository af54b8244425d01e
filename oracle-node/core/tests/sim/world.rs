//! The committee, its disks and its network, and what must hold at every step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use oracle_core::effect::Record;
use oracle_core::qbft::{Action, Config, Qbft, Rules};
use oracle_core::shared_checks;
use oracle_core::typed::{Kind, MemberKey, Phase, Scope};
use oracle_core::wire::{InstanceId, Message, Proposal, Statement};

use crate::dice::Dice;

/// What one run is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Members.
    pub(crate) n: u32,
    /// How many of them lie: two faces with one key each, each shown to its half of the others, with forgetful disks, that
    /// propose what they like and alter, withhold and repeat messages.
    pub(crate) liars: u32,
    /// How many of the others are silent for ever.
    pub(crate) dead: u32,
    /// Percent of messages lost before the calm.
    pub(crate) loss: u64,
    /// Per mille of actions at which a process dies before the calm.
    pub(crate) crashes: u64,
    /// Whether members are cut off from each other now and then before the calm.
    pub(crate) splits: bool,
    /// Whether liars do nothing but show two faces, one half of the members each, and one of them leads first: the
    /// equivocation that quorums are there for, undisturbed.
    pub(crate) sly: bool,
    /// Whether the first to decide is cut off at once until the calm: others then have to find its decision again.
    pub(crate) lonely: bool,
    /// Whether a process that dies loses its last writes (a planted fault: the journal is not synced).
    pub(crate) unsynced: bool,
    /// Planted faults of the protocol.
    pub(crate) rules: Rules,
}

/// From here on messages arrive, nobody dies, and everybody must decide.
const CALM_MS: u64 = 3_000;
const END_MS: u64 = 400_000;
const BASE_TIMEOUT_MS: u64 = 200;

/// One process: a member, or one of the two faces of a liar.
struct Process {
    member: u32,
    /// 0, or 1 for the second face of a liar.
    face: u64,
    qbft: Option<Qbft>,
    disk: Vec<Record>,
    /// Records not yet safe (only with the planted fault).
    cache: Vec<Record>,
    wakes_at: u64,
}

enum Event {
    Deliver(usize, u32, Box<Message>),
    /// Process, its life, the value, the number of the question, the answer.
    Verdict(usize, u64, B256, u64, bool),
    Wake(usize),
}

/// The simulation.
pub(crate) struct World {
    weather: Weather,
    dice: Dice,
    now: u64,
    keys: Vec<Arc<MemberKey>>,
    members: Vec<Address>,
    processes: Vec<Process>,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    group: Vec<u64>,
    /// Which face of a liar each member sees.
    sees: Vec<u64>,
    /// Who leads view 1; the others follow in turn.
    first_leader: u32,
    /// What liars may say again: other members' words.
    heard: Vec<Message>,
    split_until: u64,
    questions: BTreeMap<(usize, B256), u64>,
    lives: Vec<u64>,
    audible: BTreeMap<(u32, u8, u32), B256>,
    decided: BTreeMap<usize, B256>,
    /// The member that decided first, while it is cut off.
    alone: Option<u32>,
    accused: BTreeSet<u32>,
    incidents: Vec<String>,
}

/// The digest of an honest content; content that starts with `bad` is valid for nobody.
fn digest(content: &[u8]) -> B256 {
    keccak256(content)
}

impl World {
    pub(crate) fn new(weather: Weather, seed: u64) -> Self {
        shared_checks::share(true);
        let keys: Vec<Arc<MemberKey>> = (0..weather.n).map(|i| Arc::new(key(i))).collect();
        let members = keys.iter().map(|k| k.address()).collect();
        let mut dice = Dice::new(seed);
        let sees = (0..weather.n).map(|_| dice.below(2)).collect();
        let first_leader = u32::try_from(dice.below(u64::from(weather.n))).unwrap_or_default();
        let first_leader = if weather.sly { 0 } else { first_leader };
        let mut world = Self {
            weather,
            dice,
            sees,
            first_leader,
            heard: Vec::new(),
            now: 0,
            keys,
            members,
            processes: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            group: vec![0; weather.n as usize],
            split_until: 0,
            questions: BTreeMap::new(),
            lives: Vec::new(),
            audible: BTreeMap::new(),
            decided: BTreeMap::new(),
            alone: None,
            accused: BTreeSet::new(),
            incidents: Vec::new(),
        };
        for member in 0..weather.n {
            world.admit(member, 0);
            if member < weather.liars {
                world.admit(member, 1);
            }
        }
        world
    }

    fn admit(&mut self, member: u32, face: u64) {
        let process = Process { member, face, qbft: None, disk: Vec::new(), cache: Vec::new(), wakes_at: u64::MAX };
        self.processes.push(process);
        self.lives.push(0);
        let delay = self.dice.below(300);
        let index = self.processes.len() - 1;
        if !self.is_dead(member) {
            self.after(delay, Event::Wake(index));
        }
    }

    const fn is_liar(&self, member: u32) -> bool {
        member < self.weather.liars
    }

    /// The last members are the dead ones.
    const fn is_dead(&self, member: u32) -> bool {
        member + self.weather.dead >= self.weather.n
    }

    fn config(&self, member: u32) -> Config {
        Config {
            scope: scope(),
            members: self.members.clone(),
            instance: InstanceId::new(Kind::Report, 0, 9),
            me: member,
            leaders: (0..self.weather.n).map(|turn| (turn + self.first_leader) % self.weather.n).collect(),
            base_timeout_ms: BASE_TIMEOUT_MS,
        }
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }

    /// Runs to the end; the incidents are what went wrong.
    pub(crate) fn run(mut self) -> Vec<String> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > END_MS || !self.incidents.is_empty() || self.all_decided() {
                break;
            }
            self.now = at;
            self.maybe_split();
            match event {
                Event::Deliver(to, from, message) => self.with(to, |q, now| q.on_message(now, from, &message)),
                Event::Verdict(to, life, value, question, valid) => {
                    // A newer question about the same value has replaced this one.
                    if self.lives[to] == life && self.questions.get(&(to, value)) == Some(&question) {
                        self.with(to, |q, now| q.verdict(now, value, valid));
                    }
                }
                Event::Wake(index) => self.wake(index),
            }
        }
        let missing = self.honest().filter(|i| !self.decided.contains_key(i)).count();
        if self.incidents.is_empty() && missing > 0 {
            self.incidents.push(format!("{missing} honest members undecided at {END_MS} ms"));
        }
        self.incidents
    }

    fn honest(&self) -> impl Iterator<Item = usize> + '_ {
        let lives = |p: &Process| !self.is_liar(p.member) && !self.is_dead(p.member);
        self.processes.iter().enumerate().filter(move |(_, p)| lives(p)).map(|(i, _)| i)
    }

    fn all_decided(&self) -> bool {
        self.now > CALM_MS && self.honest().all(|i| self.decided.contains_key(&i) && self.processes[i].qbft.is_some())
    }

    fn maybe_split(&mut self) {
        if self.now >= CALM_MS || !self.weather.splits {
            self.group.fill(0);
        } else if self.now >= self.split_until {
            self.split_until = self.now + 20 + self.dice.below(600);
            for side in &mut self.group {
                *side = self.dice.below(2);
            }
        }
    }

    /// A process comes up, or its clock strikes.
    fn wake(&mut self, index: usize) {
        if self.processes[index].qbft.is_some() {
            self.processes[index].wakes_at = u64::MAX;
            return self.with(index, Qbft::on_tick);
        }
        let member = self.processes[index].member;
        let (config, key) = (self.config(member), self.keys[member as usize].clone());
        let disk = core::mem::take(&mut self.processes[index].disk);
        let qbft = if disk.is_empty() { Qbft::new(config, key) } else { Qbft::restore(config, key, &disk) };
        self.processes[index].disk = disk;
        let mut rules = self.weather.rules;
        rules.forget_prepared |= self.is_liar(member);
        self.processes[index].qbft = Some(qbft.with_rules(rules));
        self.with(index, Qbft::start);
        let content = format!("what process {index} saw").into_bytes();
        self.with(index, |q, now| q.set_candidate(now, digest(&content), content.clone()));
        if self.is_liar(member) && !self.weather.sly && self.dice.chance(30) {
            self.usurp(index, &content);
        }
    }

    /// A liar proposes in a later view that it leads, for no reason that anybody could check, and pretends to be there.
    fn usurp(&mut self, index: usize, content: &[u8]) {
        let (member, instance) = (self.processes[index].member, self.config(0).instance);
        let turn = (member + self.weather.n - self.first_leader) % self.weather.n;
        let view = if turn == 0 { self.weather.n + 1 } else { turn + 1 };
        let sign =
            |phase, value| Statement::sign(&scope(), &self.keys[member as usize], member, instance, phase, view, value);
        let statement = sign(Phase::Proposal, digest(content));
        let votes = [Phase::Prepare, Phase::Commit].map(|phase| Message::Vote(sign(phase, digest(content))));
        let proposal = Proposal { statement, content: content.to_vec().into(), justification: Vec::new() };
        for message in core::iter::once(Message::Proposal(proposal)).chain(votes) {
            for to in 0..self.processes.len() {
                let delay = 60 + self.dice.below(200);
                if self.dice.chance(60) {
                    self.after(delay, Event::Deliver(to, member, Box::new(message.clone())));
                }
            }
        }
    }

    /// Lets a process act, and carries out what it asks for, unless it dies on the way.
    fn with(&mut self, index: usize, step: impl FnOnce(&mut Qbft, u64) -> Vec<Action>) {
        let now = self.now;
        let Some(qbft) = self.processes[index].qbft.as_mut() else { return };
        let actions = step(qbft, now);
        let wakeup = qbft.next_wakeup();
        for action in actions {
            if now < CALM_MS && self.dice.below(1_000) < self.weather.crashes {
                return self.crash(index);
            }
            self.carry_out(index, action);
        }
        if let Some(at) = wakeup
            && at < self.processes[index].wakes_at
        {
            self.processes[index].wakes_at = at;
            self.after(at.saturating_sub(now).max(1), Event::Wake(index));
        }
    }

    fn crash(&mut self, index: usize) {
        let forgetful = self.is_liar(self.processes[index].member) && self.dice.chance(50);
        let process = &mut self.processes[index];
        process.qbft = None;
        process.wakes_at = u64::MAX;
        process.cache.clear();
        if forgetful {
            process.disk.clear();
        }
        self.lives[index] += 1;
        let delay = 1 + self.dice.below(500);
        self.after(delay, Event::Wake(index));
    }

    fn carry_out(&mut self, index: usize, action: Action) {
        match action {
            Action::Persist(record) => self.persist(index, record),
            Action::Broadcast(message) => self.broadcast(index, &message),
            Action::Validate { value, content, .. } => {
                let valid = digest(&content) == value && !content.starts_with(b"bad");
                let delay = self.dice.below(30);
                self.questions.insert((index, value), self.sequence);
                self.after(delay, Event::Verdict(index, self.lives[index], value, self.sequence, valid));
            }
            Action::Decided { value, content } => self.note_decision(index, value, &content),
            Action::Fault(proof) => match proof.verify(&scope(), &self.members) {
                Ok(member) if self.is_liar(member) => {
                    self.accused.insert(member);
                }
                other => self.incidents.push(format!("fault proof {other:?} against an honest member")),
            },
        }
    }

    fn persist(&mut self, index: usize, record: Record) {
        let unsynced = self.weather.unsynced;
        let process = &mut self.processes[index];
        if unsynced {
            process.cache.push(record);
            if process.cache.len() > 3 {
                let oldest = process.cache.remove(0);
                process.disk.push(oldest);
            }
            return;
        }
        process.disk.retain(|r| r.key != record.key);
        process.disk.push(record);
        process.disk.sort_by(|a, b| a.key.cmp(&b.key));
    }

    fn note_decision(&mut self, index: usize, value: B256, content: &[u8]) {
        if self.is_liar(self.processes[index].member) {
            return;
        }
        if digest(content) != value || content.starts_with(b"bad") {
            self.incidents.push(format!("process {index} decided on content that is not valid"));
        }
        if self.weather.lonely && self.decided.is_empty() {
            self.alone = Some(self.processes[index].member);
        }
        if self.decided.insert(index, value).is_some_and(|before| before != value) {
            self.incidents.push(format!("process {index} would sign two values"));
        }
        let values: BTreeSet<B256> = self.decided.values().copied().collect();
        if values.len() > 1 {
            self.incidents.push(format!("two decided values at {} ms", self.now));
        }
    }

    fn broadcast(&mut self, from: usize, message: &Message) {
        let member = self.processes[from].member;
        if !self.is_liar(member) {
            self.listen(member, message);
        }
        let calm = self.now >= CALM_MS;
        for to in 0..self.processes.len() {
            let receiver = self.processes[to].member;
            let alone = !calm && self.alone.is_some_and(|alone| alone == member || alone == receiver);
            let split = self.group[member as usize] != self.group[receiver as usize];
            if to == from || alone || split || (!calm && self.dice.chance(self.weather.loss)) {
                continue;
            }
            // Each face of a liar speaks to its own half and to other liars' faces of its kind, seldom to the others, and
            // withholds some of everything.
            let theirs = self.processes[to].face;
            let side = if self.is_liar(receiver) { theirs } else { self.sees[receiver as usize] };
            let shown = side == self.processes[from].face;
            let withheld = match (self.weather.sly, shown) {
                (true, true) => 0,
                (true, false) => 100,
                (false, true) => 5,
                (false, false) => 90,
            };
            if self.is_liar(member) && self.dice.chance(withheld) {
                continue;
            }
            for _ in 0..=u64::from(self.dice.chance(5)) {
                let delay = 1 + self.dice.below(if calm { 20 } else { 120 });
                let sent = if self.is_liar(member) { self.alter(member, message) } else { message.clone() };
                self.after(delay, Event::Deliver(to, member, Box::new(sent)));
            }
        }
        self.repeat(message);
        // A liar may also relay others' words with other content beside the same signature.
        if let Message::Proposal(proposal) = message
            && self.weather.liars > 0
            && self.dice.chance(20)
        {
            let mut forged = proposal.clone();
            forged.content = b"bad relay".to_vec().into();
            let to = self.dice.below(self.processes.len() as u64) as usize;
            self.after(1, Event::Deliver(to, 0, Box::new(Message::Proposal(forged))));
        }
    }

    /// Liars say again what they heard some time ago, to anybody.
    fn repeat(&mut self, message: &Message) {
        if self.weather.liars == 0 || self.weather.sly {
            return;
        }
        if self.heard.len() < 64 {
            self.heard.push(message.clone());
        } else {
            let place = self.dice.below(64) as usize;
            self.heard[place] = message.clone();
        }
        if self.dice.chance(10) {
            let old = self.heard[self.dice.below(self.heard.len() as u64) as usize].clone();
            let to = self.dice.below(self.processes.len() as u64) as usize;
            self.after(1, Event::Deliver(to, 0, Box::new(old)));
        }
    }

    /// What a liar really sends.
    fn alter(&mut self, member: u32, message: &Message) -> Message {
        let mut message = message.clone();
        let roll = if self.weather.sly { 10 } else { self.dice.below(10) };
        match &mut message {
            Message::Vote(vote) if roll == 0 => {
                let phase = vote.phase().unwrap_or(Phase::Commit);
                let (view, value) = (vote.view, B256::repeat_byte(0xee));
                *vote =
                    Statement::sign(&scope(), &self.keys[member as usize], member, vote.instance, phase, view, value);
            }
            Message::Vote(vote) if roll == 1 => vote.signature.0[7] ^= 1,
            Message::Proposal(proposal) if roll < 2 => proposal.content = b"bad".to_vec().into(),
            Message::Proposal(proposal) if roll == 2 => proposal.justification.clear(),
            Message::RoundChange(change) if roll < 2 => {
                change.prepared = None;
                change.content = None;
            }
            Message::RoundChange(change) if roll == 2 => change.content = Some(b"bad".to_vec().into()),
            Message::Decided(decided) if roll < 5 => decided.content = b"bad".to_vec().into(),
            _ => {}
        }
        message
    }

    /// No honest member may ever be heard saying two things, across crashes too.
    fn listen(&mut self, member: u32, message: &Message) {
        let statement = match message {
            Message::Proposal(proposal) => &proposal.statement,
            Message::Vote(statement) => statement,
            Message::RoundChange(change) => &change.statement,
            _ => return,
        };
        let step = (member, statement.phase, statement.view);
        let before = *self.audible.entry(step).or_insert(statement.value());
        if before != statement.value() {
            self.incidents.push(format!("member {member} signed twice in phase {}, view {}", step.1, step.2));
        }
    }
}

fn key(member: u32) -> MemberKey {
    let byte = u8::try_from(member + 1).unwrap_or(255);
    MemberKey::from_bytes(&[byte; 32]).expect("a small scalar is a valid key")
}

fn scope() -> Scope {
    Scope { chain_id: 31_337, registry: Address::ZERO, committee: 1, term: 1, config_digest: B256::repeat_byte(1) }
}
