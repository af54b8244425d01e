//! The doppelganger guard: what a member may still say when it may have forgotten what it said. docs/operate.md.
//!
//! A member forgets when its store is put back from a copy, or lost, or when its keys are moved to another machine. A vote
//! that contradicts a forgotten one costs the bond. So such a member first only listens, for one whole epoch at least:
//!
//! - A statement of its own about an epoch that ended *after* this process began can only come from another process with
//!   the same key: [`Finding::Doppelganger`]. Nothing may be signed until that one is stopped.
//! - A statement about an earlier epoch is one that was forgotten; it raises the floor.
//! - Silence proves nothing: the network may keep a twin's messages from its twin. So it must have seen reports of such epochs
//!   certified, and none of them may rest on an observation of its own.
//! - Afterwards it may speak of epochs that had not ended when it began, and that it never heard itself speak of.
//!
//! A restart with an intact journal does not wait, but goes on listening: a doppelganger is noticed there, too.
//! Leaves out: how a forgotten store is noticed (the node's mark), and silence itself (`Input::Floor`, `Qbft::silence`).

mod journaled;

use alloy_primitives::Address;
use minicbor::{Decode, Encode};

pub use journaled::{JOURNALED, journaled};

use crate::limits::REFRESH_AHEAD_S;
use crate::term::Term;
use crate::typed::{Kind, Scope};
use crate::wire::{InstanceId, Message, PreparedProof, Proposal, RoundChange, Statement};

/// Epochs with certified reports without this member that a listening one must have seen: a leader may leave out one observation.
pub const ABSENT_REPORTS: u64 = 2;

/// Different statements in this member's name that are looked at in one message: an honest one holds one for each view that
/// it tells of. Each costs a look into the store and a signature check, and a forger could put 36,000 into a message.
const LOOKS_MAX: usize = 32;

/// What may be said about instances of one term; everything else may have been said and forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Floor {
    /// First epoch whose report may be spoken of.
    #[n(0)]
    pub reports: u64,
    /// First batch of device keys that may be spoken of.
    #[n(1)]
    pub batches: u64,
    /// Whether what happens once in a term (key generation, confirmation, hand-over) must be left to the others.
    #[n(2)]
    pub once_said: bool,
    /// First refresh of the shares that may be spoken of. A refresh is numbered by the time of its first ask, so a number
    /// above the time at which listening began cannot have been spoken of before.
    #[n(3)]
    pub refreshes: u64,
}

impl Floor {
    /// Nothing at all may be said.
    pub const SILENT: Self = Self { reports: u64::MAX, batches: u64::MAX, once_said: true, refreshes: u64::MAX };

    /// Whether something new may be said about an instance of the term.
    #[must_use]
    pub const fn allows(&self, instance: &InstanceId) -> bool {
        match instance.kind() {
            Some(Kind::Report) => instance.epoch >= self.reports,
            Some(Kind::KeyActivation) => instance.epoch >= self.batches,
            Some(Kind::Dkg | Kind::Confirmation | Kind::Refresh) if instance.epoch > 0 => {
                instance.epoch >= self.refreshes
            }
            _ => !self.once_said,
        }
    }
}

/// What a message revealed about this member itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Another process signs with this member's key, now.
    Doppelganger(InstanceId),
    /// This member said something that its store does not know.
    Forgotten(InstanceId),
}

/// The guard of one member in one term.
#[derive(Clone, Debug)]
pub struct Guard {
    scope: Scope,
    addresses: Vec<Address>,
    me: u32,
    started_ms: u64,
    observe_delay_ms: u64,
    /// Since when it only listens; `None` = its memory is whole.
    listening: Option<u64>,
    floor: Floor,
    /// Highest epoch that this member was heard to speak of and has forgotten, plus one.
    forgotten: u64,
    /// Epochs that ended while it listened and have a certified report without an observation of its own.
    absent: u64,
    /// The last of them: the reports of several streams prove no more than one, for one leader may leave it out of all.
    absent_in: Option<u64>,
}

impl Guard {
    /// A guard of a process that began at `now` (unix ms). `floor` is what an earlier listening left in force; with
    /// `forgotten` this one only listens at first. `observe_delay_ms` is the policy's δ.
    #[must_use]
    pub fn new(term: &Term, me: u32, observe_delay_ms: u64, floor: Floor, forgotten: bool, now: u64) -> Self {
        Self {
            scope: term.scope,
            addresses: term.addresses(),
            me,
            started_ms: now,
            observe_delay_ms,
            listening: forgotten.then_some(now),
            floor,
            forgotten: 0,
            absent: 0,
            absent_in: None,
        }
    }

    /// What may be said now.
    #[must_use]
    pub const fn floor(&self) -> Floor {
        if self.listening.is_some() { Floor::SILENT } else { self.floor }
    }

    /// When listening ends at the earliest: at the moment when the first epoch that began after the start is observed.
    /// `None` when it does not only listen, or while the term's genesis is not known.
    #[must_use]
    pub fn listens_until(&self, term: &Term) -> Option<u64> {
        let since = self.listening?;
        let genesis = term.genesis_ms?;
        let began = term.epoch_at(since.max(genesis)).unwrap_or(0);
        Some(self.observed_at(term, began.saturating_add(1)))
    }

    /// Ends the listening when it is time; gives the floor that is then in force, once. `posted` is the last epoch on the
    /// chain and `next_batch` the first batch of device keys that the chain has not used.
    pub fn settle(&mut self, term: &Term, posted: Option<u64>, next_batch: u64, now: u64) -> Option<Floor> {
        let due = self.absent >= ABSENT_REPORTS && self.listens_until(term).is_some_and(|until| now >= until);
        let since = self.listening.filter(|_| due)?;
        // An epoch that had not ended at the start cannot have been spoken of before it.
        let unended = term.epoch_at(since.max(term.genesis_ms.unwrap_or(0))).map_or(0, |epoch| epoch.saturating_add(1));
        let reports = unended.max(self.forgotten).max(posted.map_or(0, |epoch| epoch.saturating_add(1)));
        let refreshes = since.div_ceil(1_000).saturating_add(REFRESH_AHEAD_S).saturating_add(1);
        self.floor = Floor { reports, batches: next_batch.saturating_add(1), once_said: true, refreshes };
        self.listening = None;
        Some(self.floor)
    }

    /// Looks for this member's own signature in a message. `remembers` says whether the store knows a statement.
    pub fn hear(
        &mut self,
        term: &Term,
        message: &Message,
        now: u64,
        mut remembers: impl FnMut(&Statement) -> bool,
    ) -> Option<Finding> {
        let mut own: Vec<&Statement> = Vec::new();
        statements(message, &mut |statement| {
            if statement.member == self.me && own.len() < LOOKS_MAX && !own.contains(&statement) {
                own.push(statement);
            }
        });
        let unknown = |s: &&Statement| !remembers(s) && s.is_authentic(&self.scope, &self.addresses);
        let worst = own.into_iter().filter(unknown).map(|s| s.instance).max_by_key(|instance| instance.epoch)?;
        Some(self.spoke(term, worst, now))
    }

    /// A report was certified that rests on no observation of this member.
    pub fn absent(&mut self, term: &Term, epoch: u64) {
        let later = self.absent_in.is_none_or(|last| epoch > last);
        if later && self.listening.is_some_and(|since| self.observed_at(term, epoch) > since) {
            self.absent_in = Some(epoch);
            self.absent = self.absent.saturating_add(1);
        }
    }

    /// This member is known to have spoken about an instance, and its store does not know that.
    pub fn spoke(&mut self, term: &Term, instance: InstanceId, now: u64) -> Finding {
        let report = instance.kind() == Some(Kind::Report);
        if report && self.observed_at(term, instance.epoch) > self.started_ms {
            return Finding::Doppelganger(instance);
        }
        if report {
            self.forgotten = self.forgotten.max(instance.epoch.saturating_add(1));
        }
        if !self.floor().allows(&instance) {
            return Finding::Forgotten(instance);
        }
        (self.listening, self.absent, self.absent_in) = (Some(now), 0, None);
        Finding::Forgotten(instance)
    }

    /// When an honest member can first speak of an epoch, unix ms.
    fn observed_at(&self, term: &Term, epoch: u64) -> u64 {
        let end = epoch.checked_add(1).and_then(|next| term.epoch_start(next));
        end.and_then(|end| end.checked_add(self.observe_delay_ms)).unwrap_or(u64::MAX)
    }
}

/// Every statement that a message carries, at whatever depth.
fn statements<'m>(message: &'m Message, take: &mut dyn FnMut(&'m Statement)) {
    let prepared = |proof: &'m Option<PreparedProof>, take: &mut dyn FnMut(&'m Statement)| {
        proof.iter().flat_map(|proof| &proof.prepares).for_each(take);
    };
    let change = |change: &'m RoundChange, take: &mut dyn FnMut(&'m Statement)| {
        take(&change.statement);
        prepared(&change.prepared, take);
    };
    match message {
        Message::Observation(statement, _) | Message::Vote(statement) => take(statement),
        Message::Proposal(Proposal { statement, justification, .. }) => {
            take(statement);
            justification.iter().for_each(|one| change(one, take));
        }
        Message::RoundChange(one) => change(one, take),
        Message::Decided(decided) => decided.commits.iter().for_each(take),
        Message::Partial(partial) => take(&partial.statement),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
