//! One oracle: from key generation to certified reports, epoch after epoch. docs/protocol.md §7.
//!
//! [`Oracle::step`] takes what happened and says what to do; nothing else ever changes an oracle. Effects run in order,
//! and an [`Effect::Persist`] is durable before any effect behind it: durable before audible.
//!
//! ```text
//! bootstrap ─(key, genesis)─ running: beacon │ round e: observe ─ gather ─ agree ─ sign once ─ certify ─ transmit
//!                                  (per stream) └ round e+1 opens when e is decided
//! ```
//!
//! A term has one key, one beacon and any number of streams; each stream has its own epochs, Σ and reports.
//!
//! Leaves out: sockets, disks, the chain and the clock (`oracle-node`); what a report says (`report`).

mod ahead;
mod behaviour;
mod budget;
mod desk;
mod handing;
mod inherit;
mod journal;
mod past;
mod prune;
mod publish;
mod pull;
mod reckon;
mod round;
mod running;
mod seal;
mod status;
mod stream;
mod succession;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::beacon::Beacon;
use crate::bootstrap::{Bootstrap, Event, Heard, Timing};
use crate::effect::{Effect, Input, Journal, Transmission};
use crate::handover::{NewKey, Start};
use crate::limits;
use crate::policy::Book;
use crate::registry::Snapshot;
use crate::term::Term;
use crate::typed::{Kind, MemberKey};
use crate::wire::{self, Direct, InstanceId, Message};

use desk::{Desk, Step};
use running::{Running, Touched};

pub use behaviour::Behaviour;
pub use status::{Status, StreamStatus};

/// Snapshots kept before the term runs.
const EARLY_SNAPSHOTS_MAX: usize = 256;

/// What an oracle is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The term; its `genesis_ms` is looked at, too: a restarted node may know it already.
    pub term: Term,
    /// This member's index.
    pub me: u32,
    /// This member's registered secp256k1 key.
    pub key: Arc<MemberKey>,
    /// Ed25519 seed of this member's key generation key. Secret.
    pub dkg_seed: [u8; 32],
    /// The policy book; the caller has checked that its root is `term.book_root`.
    pub book: Book,
    /// The streams that are reported, the same at every member; at most [`limits::STREAMS_MAX`], any further (the highest)
    /// are not served.
    pub streams: BTreeSet<u32>,
    /// [`Behaviour::Honest`] everywhere but in a testnet.
    pub behaviour: Behaviour,
}

/// The node's brain.
pub struct Oracle {
    setup: Setup,
    bootstrap: Bootstrap,
    running: Option<Box<Running>>,
    /// Needed until the term runs.
    journal: Journal,
    early_snapshots: BTreeMap<u64, Arc<Snapshot>>,
    /// By stream, while the term does not run.
    early_posted: BTreeMap<u32, u64>,
    malformed: u64,
    activated: bool,
    floor: u64,
    entry: Entry,
    successor: Option<Term>,
    ends: Option<Start>,
}

/// How the term comes into force.
#[derive(Debug, Default)]
struct Entry {
    /// Another term is in force: the key is offered, not activated.
    follows: bool,
    key: Option<NewKey>,
    offer_at: u64,
    /// The rotation to this term.
    begins: Option<Start>,
}

impl core::fmt::Debug for Oracle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Oracle(member {}, running {})", self.setup.me, self.running.is_some())
    }
}

impl Oracle {
    /// Starts, or continues from everything that was ever persisted (`journal`, any order).
    #[must_use]
    pub fn new(mut setup: Setup, journal: Journal, now: u64) -> Self {
        setup.streams = setup.streams.into_iter().take(limits::STREAMS_MAX).collect();
        let timing = Timing {
            view_timeout_ms: setup.book.conduct.view_timeout_ms,
            transmit_stage_ms: setup.book.conduct.transmit_stage_ms,
        };
        let key = setup.key.clone();
        let bootstrap = Bootstrap::new(setup.term.clone(), setup.me, key, setup.dkg_seed, timing, &journal, now);
        Self {
            setup,
            bootstrap,
            running: None,
            journal,
            early_snapshots: BTreeMap::new(),
            early_posted: BTreeMap::new(),
            malformed: 0,
            activated: false,
            floor: 0,
            entry: Entry::default(),
            successor: None,
            ends: None,
        }
    }

    /// Takes what happened at `now` (unix ms, never going back) and says what to do, in order.
    pub fn step(&mut self, now: u64, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        let mut touched = Touched::All;
        match input {
            Input::Tick => {}
            Input::Message { from, bytes } => touched = self.on_message(now, from, &bytes, &mut out),
            Input::Overheard { term, from, bytes } => {
                if let (Some(running), Ok(message)) = (&mut self.running, Message::decode(&bytes)) {
                    running.on_overheard(now, (term, from), &message, &mut out);
                }
            }
            Input::Direct { from, bytes } => match wire::decode::<Direct>(&bytes, limits::MESSAGE_BYTES_MAX) {
                Ok(message) => out.extend(self.bootstrap.step(now, &Event::Direct { from, message: &message })),
                Err(_) => self.malformed = self.malformed.saturating_add(1),
            },
            Input::Observed { stream, epoch, seen } => {
                touched = Touched::One(stream);
                if let Some(Running { beacon, answers, streams, .. }) = self.running.as_deref_mut()
                    && let Some(stream) = streams.get_mut(&stream)
                {
                    let mut step = Step { beacon, answers, now, out: &mut out };
                    stream.with(epoch, &mut step, |round, ctx| round.on_observed(ctx, seen));
                }
            }
            Input::Snapshot { epoch, snapshot } => self.on_snapshot(epoch, snapshot),
            Input::Content(contents) => {
                if let Some(running) = &mut self.running {
                    running.streams.values_mut().for_each(|stream| stream.on_content(&contents));
                }
            }
            Input::Activated { genesis_ms } => self.setup.term.genesis_ms = Some(genesis_ms),
            Input::PendingKeys { batch, keys } => {
                out.extend(self.bootstrap.step(now, &Event::PendingKeys { batch, keys: &keys }));
            }
            Input::Posted { stream, epoch } => self.on_posted(stream, epoch),
            Input::Floor { from_epoch } => self.on_floor(from_epoch),
            Input::ShareRoots(roots) => {
                out.extend(self.bootstrap.step(now, &Event::ShareRoots(&roots)));
            }
            Input::Refresh { number, entropy } => {
                out.extend(self.bootstrap.step(now, &Event::Refresh { number, entropy: &entropy }));
            }
            Input::Follows => self.entry.follows = true,
            Input::Begins(start) => self.entry.begins = Some(*start),
            Input::Successor { term } => self.successor = Some(*term),
            Input::Ends(start) => self.ends = Some(*start),
        }
        self.advance(now, touched, &mut out);
        self.offer_key(now, &mut out);
        out
    }

    fn on_floor(&mut self, from_epoch: u64) {
        self.floor = from_epoch;
        if let Some(running) = &mut self.running {
            running.set_floor(from_epoch);
        }
    }

    fn on_posted(&mut self, stream: u32, epoch: u64) {
        let posted = match &mut self.running {
            None if self.setup.streams.contains(&stream) => self.early_posted.entry(stream).or_insert(epoch),
            None => return,
            Some(running) => match running.streams.get_mut(&stream) {
                Some(stream) => stream.succession.posted.get_or_insert(epoch),
                None => return,
            },
        };
        *posted = epoch.max(*posted);
    }

    /// A term that follows another cannot activate itself: the old key must name its key first.
    fn offer_key(&mut self, now: u64, out: &mut Vec<Effect>) {
        if !self.entry.follows {
            return;
        }
        let number = self.setup.term.scope.term;
        out.retain(|effect| match effect {
            Effect::Transmit { what: what @ Transmission::Activate { .. }, .. } => {
                self.entry.key = NewKey::of(number, what);
                false
            }
            _ => true,
        });
        if self.entry.begins.is_some() || now < self.entry.offer_at {
            return;
        }
        if let Some(key) = &self.entry.key {
            self.entry.offer_at = now.saturating_add(self.setup.book.conduct.view_timeout_ms.saturating_mul(2).max(1));
            out.push(Effect::Broadcast(Message::NewKey(key.clone()).encode()));
        }
    }

    fn on_message(&mut self, now: u64, from: u32, bytes: &[u8], out: &mut Vec<Effect>) -> Touched {
        let Ok(message) = Message::decode(bytes) else {
            self.malformed = self.malformed.saturating_add(1);
            return Touched::All;
        };
        let of_report = instance_of(&message).is_some_and(|instance| instance.kind() == Some(Kind::Report));
        let of_rotation = instance_of(&message).is_some_and(|instance| instance.kind() == Some(Kind::Rotation));
        let of_terms = of_rotation || matches!(message, Message::NewKey(_) | Message::Checkpoint(_));
        let of_beacon = matches!(message, Message::BeaconPartial(..) | Message::Beacon(..));
        if !of_report && !of_beacon && !of_terms {
            out.extend(self.bootstrap.step(now, &Event::Message(Heard { from, message: &message })));
        } else if let Some(running) = &mut self.running {
            return running.on_message(now, from, &message, bytes.len(), out);
        }
        Touched::All
    }

    fn on_snapshot(&mut self, epoch: u64, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        match &mut self.running {
            Some(running) => running.add_snapshot(epoch, &snapshot),
            None => {
                self.early_snapshots.insert(epoch, snapshot);
                if self.early_snapshots.len() > EARLY_SNAPSHOTS_MAX {
                    self.early_snapshots.pop_first();
                }
            }
        }
    }

    fn advance(&mut self, now: u64, touched: Touched, out: &mut Vec<Effect>) {
        if self.setup.term.genesis_ms.is_some() && !self.activated {
            self.activated = true;
            out.extend(self.bootstrap.step(now, &Event::Activated));
        }
        if self.bootstrap.next_wakeup().is_some_and(|at| at <= now) {
            out.extend(self.bootstrap.step(now, &Event::Tick));
        }
        let mut touched = touched;
        if self.running.is_none() && self.activated {
            self.begin();
            touched = Touched::All;
        }
        self.follow_keys(now, out);
        if let Some(running) = &mut self.running {
            if let Some(successor) = self.successor.take() {
                running.succeed(now, successor, out);
            }
            if let Some(ends) = self.ends.take() {
                running.end(&ends);
            }
            running.advance(now, touched, out);
        }
    }

    /// Refreshed shares: hands the keys to whoever signs, and destroys old shares once nothing needs them.
    fn follow_keys(&mut self, now: u64, out: &mut Vec<Effect>) {
        let Some(epoch) = self.setup.term.epoch_at(now) else { return };
        self.bootstrap.enter_epoch(epoch);
        let Some(running) = &mut self.running else { return };
        if let Some(keys) = self.bootstrap.keyring().filter(|keys| keys.first_change(&running.desk.keys).is_some()) {
            running.set_keys(keys);
        }
        // Nothing before the first epoch that is not certified here is signed any more.
        out.extend(self.bootstrap.retire(running.settled().min(epoch)));
    }

    /// The term is active and the key is here: epochs can run.
    fn begin(&mut self) {
        let Some(keys) = self.bootstrap.keyring() else { return };
        let setup = &self.setup;
        let beacon = Beacon::with_keys(setup.term.clone(), keys.clone(), setup.me);
        let desk = Desk {
            term: setup.term.clone(),
            addresses: setup.term.addresses(),
            me: setup.me,
            key: setup.key.clone(),
            book: setup.book.clone(),
            stream: 0,
            behaviour: setup.behaviour,
            keys,
            floor: self.floor,
        };
        let journal = core::mem::take(&mut self.journal);
        let mut running = Running::new(desk, beacon, &setup.streams, journal, self.entry.begins.clone());
        for (number, epoch) in core::mem::take(&mut self.early_posted) {
            running.streams.entry(number).and_modify(|stream| stream.succession.posted = Some(epoch));
        }
        for (epoch, snapshot) in core::mem::take(&mut self.early_snapshots) {
            running.add_snapshot(epoch, &snapshot);
        }
        self.running = Some(Box::new(running));
    }

    /// When to call [`Oracle::step`] with [`Input::Tick`] at the latest; `None` while only other inputs matter.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<u64> {
        let running = self.running.as_ref().and_then(|running| running.next_wakeup());
        let offers = self.entry.key.is_some() && self.entry.begins.is_none();
        let offer = offers.then_some(self.entry.offer_at);
        running.into_iter().chain(self.bootstrap.next_wakeup()).chain(offer).min()
    }

    /// Bytes of observations' content held in memory, by stream; empty before the start.
    #[must_use]
    pub fn held_bytes(&self) -> BTreeMap<u32, usize> {
        let streams = self.running.iter().flat_map(|running| &running.streams);
        streams.map(|(number, stream)| (*number, stream.held_bytes())).collect()
    }

    /// Records of the journal held in memory.
    #[must_use]
    pub fn journal_records(&self) -> usize {
        self.running.as_ref().map_or(self.journal.len(), |running| running.journal_records())
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn status(&self, now: u64) -> Status {
        let running = self.running.as_deref();
        let progress = self.bootstrap.progress();
        let handing = running.and_then(|running| running.handing.as_ref());
        let streams = running.iter().flat_map(|running| &running.streams);
        Status {
            phase: if running.is_some() { "running" } else { progress.phase.name() },
            bootstrap: progress,
            epoch: self.setup.term.epoch_at(now),
            slot: self.setup.term.slot_at(now),
            streams: streams.map(|(number, stream)| (*number, stream.status())).collect(),
            first_epoch: self.entry.begins.as_ref().filter(|_| running.is_some()).map_or(0, |start| start.from_epoch),
            until_epoch: running.and_then(|running| Some(running.ends.as_ref()?.from_epoch)),
            successor: handing.map(handing::Handing::to),
            successor_key: handing.is_some_and(handing::Handing::has_key),
            planned_epoch: handing.and_then(handing::Handing::planned),
            malformed: self.malformed,
            unserved: running.map_or(0, |running| running.unserved),
        }
    }
}

/// What a message is about, when it says so.
fn instance_of(message: &Message) -> Option<InstanceId> {
    Some(match message {
        Message::Observation(statement, _) | Message::Vote(statement) => statement.instance,
        Message::Proposal(proposal) => proposal.statement.instance,
        Message::RoundChange(change) => change.statement.instance,
        Message::Decided(decided) => decided.commits.first()?.instance,
        Message::Partial(partial) => partial.statement.instance,
        Message::Certified(certified) => certified.instance,
        Message::Status(instance) => *instance,
        _ => return None,
    })
}
