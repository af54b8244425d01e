//! One oracle: from key generation to certified reports, epoch after epoch. DESIGN.md §§3, 9, 11.
//!
//! [`Oracle::step`] takes what happened and says what to do; nothing else ever changes an oracle. Effects run in order,
//! and an [`Effect::Persist`] is durable before any effect behind it: durable before audible.
//!
//! ```text
//! bootstrap ─(key, genesis)─ running: beacon │ round e: observe ─ gather ─ agree ─ sign once ─ certify ─ transmit
//!                                            └ round e+1 opens when e is decided
//! ```
//!
//! Leaves out: sockets, disks, the chain and the clock (`oracle-node`); what a report says (`report`).

mod ahead;
mod behaviour;
mod budget;
mod desk;
mod journal;
mod past;
mod publish;
mod reckon;
mod round;
mod running;
mod seal;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::beacon::Beacon;
use crate::bootstrap::{Bootstrap, Event, Timing};
use crate::effect::{Effect, Input, Journal};
use crate::limits;
use crate::policy::Policy;
use crate::registry::Snapshot;
use crate::term::Term;
use crate::typed::{Kind, MemberKey};
use crate::wire::{self, Direct, InstanceId, Message};

use desk::Desk;
use running::Running;

pub use behaviour::Behaviour;
pub use status::Status;

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
    /// The policy; the caller has checked that its hash is `term.policy_hash`.
    pub policy: Policy,
    /// The stream that is reported.
    pub stream: u32,
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
    early_snapshots: BTreeMap<u64, Snapshot>,
    last_posted: Option<u64>,
    malformed: u64,
    activated: bool,
}

impl core::fmt::Debug for Oracle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Oracle(member {}, running {})", self.setup.me, self.running.is_some())
    }
}

impl Oracle {
    /// Starts, or continues from everything that was ever persisted (`journal`, any order).
    #[must_use]
    pub fn new(setup: Setup, journal: Journal, now: u64) -> Self {
        let timing =
            Timing { view_timeout_ms: setup.policy.view_timeout_ms, transmit_stage_ms: setup.policy.transmit_stage_ms };
        let key = setup.key.clone();
        let bootstrap = Bootstrap::new(setup.term.clone(), setup.me, key, setup.dkg_seed, timing, &journal, now);
        Self {
            setup,
            bootstrap,
            running: None,
            journal,
            early_snapshots: BTreeMap::new(),
            last_posted: None,
            malformed: 0,
            activated: false,
        }
    }

    /// Takes what happened at `now` (unix ms, never going back) and says what to do, in order.
    pub fn step(&mut self, now: u64, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Tick => {}
            Input::Message { from, bytes } => self.on_message(now, from, &bytes, &mut out),
            Input::Direct { from, bytes } => match wire::decode::<Direct>(&bytes, limits::MESSAGE_BYTES_MAX) {
                Ok(message) => out.extend(self.bootstrap.step(now, &Event::Direct { from, message: &message })),
                Err(_) => self.malformed = self.malformed.saturating_add(1),
            },
            Input::Observed { epoch, buckets, receipts_root } => {
                if let Some(running) = &mut self.running {
                    running.with(epoch, now, &mut out, |round, ctx| round.on_observed(ctx, buckets, receipts_root));
                }
            }
            Input::Snapshot { epoch, snapshot } => self.on_snapshot(epoch, snapshot),
            Input::Content(contents) => {
                if let Some(running) = &mut self.running {
                    running.rounds.values_mut().for_each(|round| round.on_content(&contents));
                }
            }
            Input::Activated { genesis_ms } => self.setup.term.genesis_ms = Some(genesis_ms),
            Input::PendingKeys { batch, keys } => {
                out.extend(self.bootstrap.step(now, &Event::PendingKeys { batch, keys: &keys }));
            }
            Input::Posted { epoch } => self.last_posted = self.last_posted.max(Some(epoch)),
        }
        self.advance(now, &mut out);
        out
    }

    fn on_message(&mut self, now: u64, from: u32, bytes: &[u8], out: &mut Vec<Effect>) {
        let Ok(message) = Message::decode(bytes) else {
            self.malformed = self.malformed.saturating_add(1);
            return;
        };
        let of_report = instance_of(&message).is_some_and(|instance| instance.kind() == Some(Kind::Report));
        let of_beacon = matches!(message, Message::BeaconPartial(..) | Message::Beacon(..));
        if !of_report && !of_beacon {
            out.extend(self.bootstrap.step(now, &Event::Message(&message)));
        } else if let Some(running) = &mut self.running {
            running.on_message(now, from, &message, bytes.len(), out);
        }
    }

    fn on_snapshot(&mut self, epoch: u64, snapshot: Snapshot) {
        match &mut self.running {
            Some(running) => running.add_snapshot(epoch, snapshot),
            None => {
                self.early_snapshots.insert(epoch, snapshot);
                if self.early_snapshots.len() > EARLY_SNAPSHOTS_MAX {
                    self.early_snapshots.pop_first();
                }
            }
        }
    }

    fn advance(&mut self, now: u64, out: &mut Vec<Effect>) {
        if self.setup.term.genesis_ms.is_some() && !self.activated {
            self.activated = true;
            out.extend(self.bootstrap.step(now, &Event::Activated));
        }
        if self.bootstrap.next_wakeup().is_some_and(|at| at <= now) {
            out.extend(self.bootstrap.step(now, &Event::Tick));
        }
        if self.running.is_none() && self.activated {
            self.begin();
        }
        if let Some(running) = &mut self.running {
            running.advance(now, out);
        }
    }

    /// The term is active and the key is here: epochs can run.
    fn begin(&mut self) {
        let Some((sharing, share)) = self.bootstrap.keys() else { return };
        let setup = &self.setup;
        let beacon = Beacon::new(setup.term.clone(), sharing.clone(), share.clone(), setup.me);
        let desk = Desk {
            term: setup.term.clone(),
            addresses: setup.term.addresses(),
            me: setup.me,
            key: setup.key.clone(),
            policy: setup.policy.clone(),
            stream: setup.stream,
            behaviour: setup.behaviour,
            sharing,
            share,
        };
        let mut running = Running::new(desk, beacon, &core::mem::take(&mut self.journal));
        for (epoch, snapshot) in core::mem::take(&mut self.early_snapshots) {
            running.add_snapshot(epoch, snapshot);
        }
        self.running = Some(Box::new(running));
    }

    /// When to call [`Oracle::step`] with [`Input::Tick`] at the latest; `None` while only other inputs matter.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<u64> {
        let running = self.running.as_ref().and_then(|running| running.next_wakeup());
        running.into_iter().chain(self.bootstrap.next_wakeup()).min()
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn status(&self, now: u64) -> Status {
        let running = self.running.as_deref();
        let next_epoch = running.map(Running::next_epoch);
        let round = next_epoch.and_then(|epoch| running?.rounds.get(&epoch));
        let progress = self.bootstrap.progress();
        Status {
            phase: if running.is_some() { "running" } else { progress.phase.name() },
            bootstrap: progress,
            epoch: self.setup.term.epoch_at(now),
            slot: self.setup.term.slot_at(now),
            next_epoch,
            view: round.and_then(|round| round.qbft.as_ref()).map_or(0, crate::qbft::Qbft::view),
            heard: round.map(|round| round.statements.keys().copied().collect()).unwrap_or_default(),
            wanted: round.map_or(0, |round| u64::try_from(round.waiting().len()).unwrap_or(u64::MAX)),
            last_decided: next_epoch.and_then(|epoch| epoch.checked_sub(1)),
            last_certified: running.and_then(|running| running.last_certified),
            last_posted: self.last_posted,
            void_slots: running.map(|running| running.void_slots.clone()).unwrap_or_default(),
            behind: running.is_some_and(Running::behind),
            malformed: self.malformed,
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
