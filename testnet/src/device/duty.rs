//! What a device must say, and when: a pure state machine from beacons, lease hints, frames heard and the time to messages,
//! transmissions and diary entries. Leaves out: signatures on beacons (checked by the caller), signing (`voice`), sockets.

use std::collections::BTreeMap;

use attest::{Location, Reading, Reception, challenge};

use super::config::{Clock, Kind, Misbehaviour};
pub use super::coverage::Shout;
use super::coverage::{Coverage, Due};
use super::diary::Entry;
use super::lease::{Book, Chain, Lease};

/// Time between two heartbeats or telemetry messages, ms.
pub const PULSE: u64 = 1_000;
/// Seeds kept, so that a lease learnt late still answers what is in time.
const SEEDS: usize = 16;

/// A message to be signed; one per class of docs/protocol.md §2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Class 1.
    Telemetry(Vec<Reading>),
    /// Class 2.
    Heartbeat,
    /// Class 3.
    Boot(Option<Location>),
    /// Class 4.
    Answer {
        /// Lease.
        lease: u64,
        /// Slot.
        slot: u64,
        /// The draw, its nonce.
        draw: [u8; 32],
        /// Whether a second, different answer with the same sequence number is wanted.
        fork: bool,
    },
    /// Class 5.
    Commitment {
        /// Lease and slots.
        chain: Chain,
        /// Anchor.
        anchor: [u8; 32],
    },
    /// Class 6.
    Witness {
        /// Slot.
        slot: u64,
        /// Witness commitment.
        commitment: [u8; 32],
    },
    /// Class 7.
    Reveal {
        /// Slot.
        slot: u64,
        /// Secret of the slot, if drawn.
        secret: Option<[u8; 32]>,
        /// Salt.
        salt: [u8; 16],
        /// Receptions, ascending by lease.
        receptions: Vec<Reception>,
    },
}

impl Speech {
    /// Slot of an answer, witness or reveal; first slot of a commitment.
    #[must_use]
    pub const fn slot(&self) -> Option<u64> {
        match self {
            Self::Answer { slot, .. } | Self::Witness { slot, .. } | Self::Reveal { slot, .. } => Some(*slot),
            Self::Commitment { chain, .. } => Some(chain.first_slot),
            Self::Telemetry(_) | Self::Heartbeat | Self::Boot(_) => None,
        }
    }

    /// Lease of an answer or commitment.
    #[must_use]
    pub const fn lease(&self) -> Option<u64> {
        match self {
            Self::Answer { lease, .. } => Some(*lease),
            Self::Commitment { chain, .. } => Some(chain.lease),
            _ => None,
        }
    }
}

/// What the caller must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sign and publish.
    Say(Speech),
    /// Hand to the radio.
    Transmit(Shout),
    /// Write into the diary.
    Note(Entry),
    /// Send some of the own old messages again.
    Replay,
    /// Store the chains committed to, before the commitment is sent.
    Keep(Vec<Chain>),
}

/// What a device is, as far as its duties go.
#[derive(Clone, Debug)]
pub struct Role {
    /// Token id.
    pub token: u64,
    /// Kind.
    pub kind: Kind,
    /// The network's time.
    pub clock: Clock,
    /// Answer deadline D, ms.
    pub deadline: u64,
    /// Planned fault.
    pub misbehaviour: Misbehaviour,
    /// Its place.
    pub place: Option<Location>,
}

/// The state of one device.
#[derive(Debug)]
pub struct Duty {
    role: Role,
    book: Book,
    seeds: BTreeMap<u64, [u8; 32]>,
    /// Slots answered or transmitted in, per lease.
    acted: std::collections::BTreeSet<(u64, u64)>,
    coverage: Coverage,
    drawn: u64,
    booted: bool,
    next_pulse: u64,
    silent: bool,
}

impl Duty {
    /// A device that has said nothing yet. `secret`: from which coverage chains derive; `chains`: those committed before.
    #[must_use]
    pub fn new(role: Role, secret: [u8; 32], chains: Vec<Chain>) -> Self {
        let victims = match &role.misbehaviour {
            Misbehaviour::FalseWitness { leases } => Some(leases.iter().copied().collect()),
            _ => None,
        };
        Self {
            coverage: Coverage::new(role.clock, role.deadline, secret, chains, victims),
            next_pulse: role.clock.first_word(),
            role,
            book: Book::default(),
            seeds: BTreeMap::new(),
            acted: std::collections::BTreeSet::new(),
            drawn: 0,
            booted: false,
            silent: false,
        }
    }

    /// The device's token id.
    #[must_use]
    pub const fn token(&self) -> u64 {
        self.role.token
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
        let leases: Vec<Lease> = self.book.iter().copied().collect();
        for lease in leases {
            self.meet(now, slot, &seed, &lease, &mut acts);
        }
        self.gate(now, acts)
    }

    /// A lease hint. Hints for other devices are ignored.
    pub fn hint(&mut self, now: u64, hint: Lease) -> Vec<Act> {
        if hint.token != self.role.token || hint.class != self.role.kind.class() {
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

    /// A frame that the radio delivered.
    pub fn heard(&mut self, now: u64, slot: u64, reception: Reception) -> Vec<Act> {
        let Reception { lease, payload, rssi, snr } = reception;
        let entry = if self.coverage.heard(now, slot, reception) {
            Entry::Heard { at_ms: now, slot, lease, payload: hex::encode(payload), rssi, snr }
        } else {
            Entry::Missed {
                at_ms: now,
                slot,
                why: format!("frame of lease {lease}: outside its slot's listening time"),
            }
        };
        self.gate(now, vec![Act::Note(entry)])
    }

    /// Everything due by now.
    pub fn wake(&mut self, now: u64) -> Vec<Act> {
        let mut acts = Vec::new();
        if now >= self.role.clock.first_word() {
            if !self.booted {
                self.booted = true;
                acts.push(Act::Say(Speech::Boot(self.role.place)));
            }
            self.commit(now, &mut acts);
        }
        for due in self.coverage.wake(now) {
            self.open(now, due, &mut acts);
        }
        self.gate(now, acts)
    }

    /// Whether a pulse (heartbeat or telemetry) is due; moves the next one on. A pulse missed is not made up for.
    pub fn pulse(&mut self, now: u64) -> bool {
        let due = self.booted && now >= self.next_pulse;
        if due {
            self.next_pulse = now.saturating_sub(now.saturating_sub(self.next_pulse) % PULSE).saturating_add(PULSE);
        }
        due && !self.is_silent(now)
    }

    /// When to call [`Self::wake`] and [`Self::pulse`] next; at most a pulse ahead of `now`.
    #[must_use]
    pub fn next_wakeup(&self, now: u64) -> u64 {
        let pulse = self.next_pulse.min(now.saturating_add(PULSE));
        self.coverage.next_due().map_or(pulse, |due| due.min(pulse))
    }

    /// Derives the draw of one lease in one slot and meets it, if there is still time.
    fn meet(&mut self, now: u64, slot: u64, seed: &[u8; 32], lease: &Lease, acts: &mut Vec<Act>) {
        let start = self.role.clock.start(slot);
        if !lease.covers(start) {
            return;
        }
        if lease.class == 2 && now < start.saturating_add(self.role.deadline) {
            self.coverage.began(slot);
        }
        let draw = challenge::draw(seed, self.role.token, lease.lease);
        if !challenge::challenged(&draw, lease.challenge_p) || !self.acted.insert((slot, lease.lease)) {
            return;
        }
        while self.acted.len() > 4 * SEEDS {
            self.acted.pop_first();
        }
        acts.push(Act::Note(Entry::Drawn { at_ms: now, slot, lease: lease.lease, draw: hex::encode(draw) }));
        let missed =
            |why: &str| Act::Note(Entry::Missed { at_ms: now, slot, why: format!("lease {}: {why}", lease.lease) });
        if now >= start.saturating_add(self.role.deadline) {
            acts.push(missed("the beacon came after the answer's deadline"));
        } else if lease.class == 2 {
            acts.push(
                self.coverage
                    .drawn(lease.lease, slot, &draw)
                    .map_or_else(|| missed("no chain has a secret for the slot"), Act::Transmit),
            );
        } else {
            self.answer(slot, lease.lease, draw, acts);
        }
    }

    fn answer(&mut self, slot: u64, lease: u64, draw: [u8; 32], acts: &mut Vec<Act>) {
        self.drawn = self.drawn.saturating_add(1);
        let fork = match self.role.misbehaviour {
            Misbehaviour::Fork { every_n } => self.drawn.is_multiple_of(every_n.max(1)),
            _ => false,
        };
        acts.push(Act::Say(Speech::Answer { lease, slot, draw, fork }));
        if self.role.misbehaviour == Misbehaviour::Replay {
            acts.push(Act::Replay);
        }
    }

    fn commit(&mut self, now: u64, acts: &mut Vec<Act>) {
        let leases: Vec<Lease> = self.book.iter().filter(|lease| lease.class == 2).copied().collect();
        for lease in leases {
            if let Some((chain, anchor)) = self.coverage.commit(&lease, now) {
                acts.push(Act::Keep(self.coverage.chains().to_vec()));
                acts.push(Act::Say(Speech::Commitment { chain, anchor }));
            }
        }
    }

    fn open(&self, now: u64, due: Due, acts: &mut Vec<Act>) {
        match due {
            Due::Witness { slot, commitment } => acts.push(Act::Say(Speech::Witness { slot, commitment })),
            Due::Missed { slot, what } => acts.push(Act::Note(Entry::Missed { at_ms: now, slot, why: what.into() })),
            Due::Reveal { slot, secret, salt, receptions, lie } => {
                for Reception { lease, payload, .. } in &receptions {
                    let payload = hex::encode(payload);
                    acts.push(Act::Note(Entry::Revealed { at_ms: now, slot, lease: *lease, payload, lie }));
                }
                acts.push(Act::Say(Speech::Reveal { slot, secret, salt, receptions }));
            }
        }
    }

    fn is_silent(&self, now: u64) -> bool {
        match self.role.misbehaviour {
            Misbehaviour::Silent { from_ms_after_genesis } => {
                now >= self.role.clock.genesis_ms.saturating_add(from_ms_after_genesis)
            }
            _ => false,
        }
    }

    /// A silent device writes its diary on and does nothing else.
    fn gate(&mut self, now: u64, mut acts: Vec<Act>) -> Vec<Act> {
        if !self.is_silent(now) {
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
#[path = "duty_tests.rs"]
mod tests;
