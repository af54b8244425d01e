//! What every device does, whatever its kind: it follows beacons and lease hints, derives its draws and hands its kind the
//! challenges that are in time; boots first, pulses once a second, and is silent when its kind is. Pure. Leaves out: what a
//! challenge asks for (`kind`), signatures on beacons (checked by the caller), signing (`voice`), sockets.

use std::collections::{BTreeMap, BTreeSet};

use attest::challenge;

use super::diary::Entry;
use super::lease::{Book, Lease};
use super::{Clock, Speech};
use crate::kind::{Act, Challenge, Duty};

/// Time between two pulses (heartbeats or telemetry), ms.
pub const PULSE: u64 = 1_000;
/// Seeds kept, so that a lease learnt late still answers what is in time.
const SEEDS: usize = 16;

/// What it watches for.
#[derive(Clone, Copy, Debug)]
pub struct Post {
    /// Token id.
    pub token: u64,
    /// Class of proof of its leases.
    pub class: u8,
    /// The network's time.
    pub clock: Clock,
    /// Answer deadline D, ms.
    pub deadline: u64,
}

/// The state of one device.
#[derive(Debug)]
pub struct Watch {
    post: Post,
    duty: Box<dyn Duty>,
    book: Book,
    seeds: BTreeMap<u64, [u8; 32]>,
    /// Slots met, per lease.
    acted: BTreeSet<(u64, u64)>,
    booted: bool,
    next_pulse: u64,
    silent: bool,
}

impl Watch {
    /// A device that has said nothing yet.
    #[must_use]
    pub fn new(post: Post, duty: Box<dyn Duty>) -> Self {
        Self {
            next_pulse: post.clock.first_word(),
            post,
            duty,
            book: Book::default(),
            seeds: BTreeMap::new(),
            acted: BTreeSet::new(),
            booted: false,
            silent: false,
        }
    }

    /// Where what it measures comes from, in words.
    #[must_use]
    pub fn source(&self) -> String {
        self.duty.source()
    }

    /// Whether a slot's beacon is known already, so that the caller need not verify it again.
    #[must_use]
    pub fn knows(&self, slot: u64) -> bool {
        self.seeds.contains_key(&slot)
            || self.seeds.keys().next().is_some_and(|oldest| self.seeds.len() >= SEEDS && slot < *oldest)
    }

    /// A beacon whose certificate the caller has verified.
    pub fn beacon(&mut self, now: u64, slot: u64, certificate: &[u8; 48]) -> Vec<Act> {
        if self.knows(slot) {
            return Vec::new();
        }
        let seed = challenge::seed(certificate);
        self.seeds.insert(slot, seed);
        if self.seeds.len() > SEEDS {
            self.seeds.pop_first();
        }
        let mut acts = vec![Act::Note(Entry::Beacon { at_ms: now, slot, certificate: hex::encode(certificate) })];
        for lease in self.leases() {
            self.meet(now, slot, &seed, &lease, &mut acts);
        }
        self.gate(now, acts)
    }

    /// A lease hint. Hints for other devices are ignored.
    pub fn hint(&mut self, now: u64, hint: Lease) -> Vec<Act> {
        if hint.token != self.post.token || hint.class != self.post.class {
            return Vec::new();
        }
        let Some(lease) = self.book.learn(hint) else { return Vec::new() };
        let Lease { lease: id, class, start, end, challenge_p, .. } = lease;
        let mut acts = vec![Act::Note(Entry::Lease { at_ms: now, lease: id, class, start, end, challenge_p })];
        for (slot, seed) in self.seeds.clone() {
            self.meet(now, slot, &seed, &lease, &mut acts);
        }
        self.gate(now, acts)
    }

    /// A datagram came over its own line.
    pub fn heard(&mut self, now: u64, datagram: &[u8]) -> Vec<Act> {
        let acts = self.duty.heard(now, datagram);
        self.gate(now, acts)
    }

    /// Everything due by now.
    pub fn wake(&mut self, now: u64) -> Vec<Act> {
        if now < self.post.clock.first_word() {
            return self.gate(now, Vec::new());
        }
        let mut acts = Vec::new();
        if !self.booted {
            self.booted = true;
            acts.push(Act::Boot);
        }
        let leases = self.leases();
        acts.extend(self.duty.wake(now, &leases));
        self.gate(now, acts)
    }

    /// The pulse, when it is due; moves the next one on. A pulse missed is not made up for.
    pub fn pulse(&mut self, now: u64) -> Option<Speech> {
        if !self.booted || now < self.next_pulse {
            return None;
        }
        self.next_pulse = now.saturating_sub(now.saturating_sub(self.next_pulse) % PULSE).saturating_add(PULSE);
        (!self.duty.silent(now)).then(|| self.duty.pulse())
    }

    /// When to call [`Self::wake`] and [`Self::pulse`] next; at most a pulse ahead of `now`.
    #[must_use]
    pub fn next_wakeup(&self, now: u64) -> u64 {
        let pulse = self.next_pulse.min(now.saturating_add(PULSE));
        self.duty.next_due().map_or(pulse, |due| due.min(pulse))
    }

    fn leases(&self) -> Vec<Lease> {
        self.book.iter().copied().collect()
    }

    /// Derives the draw of one lease in one slot and meets it, if there is still time.
    fn meet(&mut self, now: u64, slot: u64, seed: &[u8; 32], lease: &Lease, acts: &mut Vec<Act>) {
        let start = self.post.clock.start(slot);
        if !lease.covers(start) {
            return;
        }
        let in_time = now < start.saturating_add(self.post.deadline);
        if in_time {
            self.duty.began(slot);
        }
        let draw = challenge::draw(seed, self.post.token, lease.lease);
        if !challenge::challenged(&draw, lease.challenge_p) || !self.acted.insert((slot, lease.lease)) {
            return;
        }
        while self.acted.len() > 4 * SEEDS {
            self.acted.pop_first();
        }
        acts.push(Act::Note(Entry::Drawn { at_ms: now, slot, lease: lease.lease, draw: hex::encode(draw) }));
        if in_time {
            acts.extend(self.duty.challenged(&Challenge { now, slot, lease: lease.lease, draw }));
        } else {
            let why = format!("lease {}: the beacon came after the answer's deadline", lease.lease);
            acts.push(Act::missed(now, slot, why));
        }
    }

    /// A silent device writes its diary on and does nothing else.
    fn gate(&mut self, now: u64, mut acts: Vec<Act>) -> Vec<Act> {
        if !self.duty.silent(now) {
            return acts;
        }
        acts.retain(|act| matches!(act, Act::Note(Entry::Beacon { .. } | Entry::Drawn { .. } | Entry::Lease { .. })));
        if !self.silent {
            self.silent = true;
            acts.insert(0, Act::Note(Entry::Silent { at_ms: now }));
        }
        acts
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
