//! How things travel: effects carried out, messages delayed, lost, repeated, spoiled; content pulled; evidence delivered.
//! Leaves out: the life of processes (`committee`).

use std::collections::BTreeMap;

use oracle_core::collect::{self, Held};
use oracle_core::effect::{Content, Effect, Input, Seen, Transmission};
use oracle_core::observation::{BY_ALWAYS, Bucket, Mark};
use oracle_core::report::header_digest;
use oracle_core::typed::Header;
use oracle_core::wire::{Hash, Message};

use crate::committee::{Committee, Event};
use crate::devices::{Answer, Habit};
use crate::given::{self, CHALLENGE_P, DEADLINE_MS, fatten};

/// Messages that liars remember.
const OVERHEARD_MAX: usize = 32;
/// Longer content does not come with others.
const LARGE: usize = 100_000;

impl Committee {
    pub(crate) fn maybe_split(&mut self) {
        if self.calm() || !self.climate.splits {
            self.side.fill(0);
        } else if self.now >= self.split_until {
            self.split_until = self.now + 100 + self.dice.below(1_500);
            for side in &mut self.side {
                *side = self.dice.below(2);
            }
        }
    }

    fn lies(&self, index: usize) -> bool {
        self.processes[index].member < self.climate.liars
    }

    pub(crate) fn carry_out(&mut self, from: usize, effect: Effect) {
        match effect {
            Effect::Persist(record) => self.persist(from, record),
            Effect::Erase(keys) => self.processes[from].erase(&keys),
            Effect::Broadcast(bytes) => self.broadcast(from, &bytes),
            Effect::Direct { to, bytes } => {
                let input = Input::Direct { from: self.processes[from].member, bytes };
                self.deliver_to_member(to, &input);
            }
            Effect::Fetch { ids, holders } => self.fetch(from, &ids, &holders),
            Effect::FetchOf { holder, ids, .. } => self.fetch(from, &ids, &[holder]),
            Effect::Observe { stream, epoch, devices, budget } => {
                self.observe(from, (stream, epoch), &devices, budget);
            }
            Effect::Serve(contents) => self.processes[from].store.serve(contents),
            Effect::Lend { stream, epoch, contents } => self.processes[from].store.lend(stream, epoch, contents),
            Effect::Settled { stream, epoch, kept } => {
                self.processes[from].store.settle(stream, epoch, &kept);
                self.watch.on_settled(stream, epoch, kept);
            }
            Effect::Certified(report) => {
                self.watch.on_certified(from, &report, &self.term);
                self.note_latency(report.instance.epoch);
                if report.instance.stream == 0 {
                    let members = report.header.participation.saturating_to();
                    self.participation.insert(report.instance.epoch, members);
                }
            }
            Effect::Beacon { slot, certificate } => self.tell_devices(slot, &certificate),
            Effect::Transmit { what, .. } => self.transmit(what),
            Effect::Note { code: "fault_proof", text } => self.effect_of_fault(&text),
            Effect::Note { code: "draft_refused" | "sign_once_refused" | "proposal_differs", text } => {
                if !self.lies(from) {
                    self.watch.incident(format!("process {from}: {text}"));
                }
            }
            Effect::Note { code, .. } => drop(self.notes.insert(code)),
        }
    }

    fn transmit(&mut self, what: Transmission) {
        match what {
            Transmission::Activate { group_key, share_root, .. } if self.genesis.is_none() => {
                self.activate(&group_key, share_root);
            }
            Transmission::Report { header, .. } => self.post(&header),
            _ => {}
        }
    }

    /// The first post of an epoch is mined; everybody sees it a moment later.
    fn post(&mut self, header: &Header) {
        let (stream, epoch) = (header.stream, header.epoch);
        if !self.posted.insert((stream, epoch)) {
            return;
        }
        self.pending_logs.push(given::posted(stream, header, header_digest(&self.term, header)));
        for index in 0..self.processes.len() {
            let life = self.processes[index].life;
            self.after(1_500, Event::Input(index, life, Input::Posted { stream, epoch }));
        }
    }

    fn deliver_to_member(&mut self, member: u32, input: &Input) {
        for to in 0..self.processes.len() {
            if self.processes[to].member == member {
                let delay = 1 + self.dice.below(20);
                self.after(delay, Event::Input(to, self.processes[to].life, input.clone()));
            }
        }
    }

    /// The store's answer: what it really held, or what a liar makes of it.
    fn observe(&mut self, from: usize, (stream, epoch): (u32, u64), devices: &BTreeMap<u64, u8>, budget: usize) {
        let process = &self.processes[from];
        let mut buckets = collect::buckets(&self.term, &self.book, devices, budget, epoch, &process.held);
        let (member, hog) = (process.member, self.climate.hog == Some(process.member));
        if self.climate.uneven || hog {
            // A device of which nothing was held has no bucket yet.
            for device in devices.keys() {
                let bucket = buckets.entry(*device).or_insert(Bucket { device: *device, ..Bucket::default() });
                bucket.held = vec![(1, epoch * 10, epoch * 10 + u64::from(member))];
            }
        }
        if hog {
            fatten(&mut buckets);
        }
        if self.lies(from) && self.dice.chance(30) {
            self.invent(&mut buckets, epoch);
        }
        let seen = Seen { buckets, receipts_root: [from as u8; 32], measurements: vec![] };
        let input = Input::Observed { stream, epoch, seen };
        let delay = if self.climate.delay.0 > 1 { 1 } else { 1 + self.dice.below(30) };
        self.after(delay, Event::Input(from, self.processes[from].life, input));
    }

    /// Lists evidence that nobody has.
    fn invent(&mut self, buckets: &mut BTreeMap<u64, Bucket>, epoch: u64) {
        let (slot, id) = (self.term.first_slot_of(epoch), [self.dice.below(255) as u8; 32]);
        let (class, seq) = (attest::Class::Answer as u8, 1 << 40);
        for bucket in buckets.values_mut() {
            bucket.marks.push(Mark { class, slot, boot: 1, seq, id: Hash::from(id), by: BY_ALWAYS });
            bucket.marks.sort_by_key(|mark| (mark.class, mark.slot, mark.boot, mark.seq, mark.id));
        }
    }

    fn fetch(&mut self, from: usize, ids: &[[u8; 32]], holders: &[u32]) {
        self.fetches += 1;
        let member = self.processes[from].member;
        for place in 0..self.processes.len() {
            let other = &self.processes[place];
            if place != from && !holders.contains(&other.member) {
                continue;
            }
            let split = self.side[other.member as usize] != self.side[member as usize];
            let lost = place != from && !self.calm() && (split || self.dice.chance(self.climate.loss));
            let withheld = place != from && self.lies(place) && self.dice.chance(50);
            if lost || withheld || self.processes[place].oracle.is_none() {
                continue;
            }
            let store = &self.processes[place].store.contents;
            let deaf =
                |content: &Content| self.climate.deaf && member >= 2 && content.class != 0 && says_first(content);
            let found = ids.iter().filter_map(|id| store.get(id)).filter(|content| !deaf(content));
            let found: Vec<Content> = found.cloned().collect();
            let delay = if place == from { 1 } else { self.delay() + self.delay() };
            let (large, small): (Vec<_>, Vec<_>) = found.into_iter().partition(|content| content.bytes.len() > LARGE);
            // What is large comes one by one, as over a wire.
            for contents in large.into_iter().map(|content| vec![content]).chain([small]) {
                self.after(delay, Event::Input(from, self.processes[from].life, Input::Content(contents)));
            }
        }
    }

    fn delay(&mut self) -> u64 {
        let (least, most) = self.climate.delay;
        least + self.dice.below(most - least + 1)
    }

    fn broadcast(&mut self, from: usize, bytes: &[u8]) {
        let sender = self.processes[from].member;
        match Message::decode(bytes) {
            Ok(message) => self.watch.listen(sender, &message),
            Err(e) => self.watch.incident(format!("process {from} says what nobody can read: {e}")),
        }
        for to in 0..self.processes.len() {
            let receiver = self.processes[to].member;
            let split = self.side[sender as usize] != self.side[receiver as usize];
            if to == from || split || (!self.calm() && self.dice.chance(self.climate.loss)) {
                continue;
            }
            let mut bytes = bytes.to_vec();
            if self.lies(from) {
                // Each face speaks to its half of the members, seldom to the other.
                let shown = u64::from(receiver % 2) == self.processes[from].face;
                if self.dice.chance(if shown { 5 } else { 70 }) {
                    continue;
                }
                bytes = self.spoil(bytes);
            }
            for _ in 0..=u64::from(self.dice.chance(5) && self.climate.loss > 0) {
                let input = Input::Message { from: sender, bytes: bytes.clone() };
                let delay = self.delay();
                self.after(delay, Event::Input(to, self.processes[to].life, input));
            }
        }
        if self.climate.liars > 0 {
            self.overheard.push_back(bytes.to_vec());
            if self.overheard.len() > OVERHEARD_MAX {
                self.overheard.pop_front();
            }
        }
    }

    /// A liar's bytes: now and then with a wrong bit, or somebody's older words instead.
    fn spoil(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.dice.chance(10) {
            let place = self.dice.below(bytes.len() as u64) as usize;
            bytes[place] ^= 1;
        } else if self.dice.chance(5) && !self.overheard.is_empty() {
            let place = self.dice.below(self.overheard.len() as u64) as usize;
            bytes.clone_from(&self.overheard[place]);
        }
        bytes
    }

    /// Devices hear a beacon once, and answer by their habits.
    fn tell_devices(&mut self, slot: u64, certificate: &[u8; 48]) {
        if !self.heard_slots.insert(slot) {
            return;
        }
        let network = self.term.scope.network();
        for device in 0..self.devices.len() {
            let habit = self.devices[device].habit;
            for answer in self.devices[device].hear(&network, CHALLENGE_P, slot, certificate) {
                for to in 0..self.processes.len() {
                    let late = if habit == Habit::Late { 900 } else { 0 };
                    let delay = late + 5 + self.dice.below(200);
                    self.after(delay, Event::Evidence(to, Box::new(answer.clone())));
                }
            }
        }
    }

    /// The broker keeps a message until the process is there to take it.
    pub(crate) fn take_evidence(&mut self, to: usize, answer: Answer) {
        if self.processes[to].oracle.is_none() {
            return self.after(100, Event::Evidence(to, Box::new(answer)));
        }
        if self.climate.deaf && self.processes[to].member >= 2 && answer.held.device == 1 {
            return;
        }
        let lag = DEADLINE_MS + self.book.conduct.gossip_allowance_ms;
        let start = self.term.slot_start(answer.slot).unwrap_or_default();
        let (member, now) = (self.processes[to].member, self.now);
        self.watch.arrived(member, &answer, now <= start + lag);
        let process = &mut self.processes[to];
        process.held.push(Held { arrival_ms: now, ..answer.held });
        process.store.serve(vec![answer.content]);
    }
}

/// Whether evidence names the key of device 1.
fn says_first(content: &Content) -> bool {
    let key = attest::Signer::public_key(&attest::SoftEd25519::from_seed([1; 32]));
    attest::decode(&content.bytes).is_ok_and(|envelope| envelope.kid == key.kid())
}
