//! One stream, epoch after epoch: which rounds are open, who is told what about old ones, and how a member that was away
//! catches up. Streams of one term share its keys and its beacon, and nothing else: one that stands still holds up no other.
//! Leaves out: what happens within one epoch (`round`), and what belongs to the term (`running`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ahead::Ahead;
use super::desk::{Ctx, Desk, Step};
use super::journal::{self, CERTIFIED, STATE};
use super::past::Past;
use super::round::Round;
use super::status::StreamStatus;
use super::succession::Succession;
use crate::effect::{Content, Effect, Journal};
use crate::handover::Start;
use crate::keyring::Keyring;
use crate::limits::{EPOCHS_AHEAD_MAX, SNAPSHOTS_AHEAD_MAX};
use crate::qbft::Qbft;
use crate::registry::Snapshot;
use crate::state::State;
use crate::wire::{InstanceId, Message};

/// Longest pause between two questions of a member that is behind, ms.
const ASK_MAX_MS: u64 = 30_000;
/// Epochs restored from the journal, and kept for members that are behind (the size of the contract's ring of roots).
pub(super) const PAST_MAX: u64 = 64;
/// Decided epochs that wait for their certificate at the most; an older one is given up (others have certified it).
pub(super) const UNSEALED_MAX: u64 = 16;

/// One stream of an activated term.
#[derive(Debug)]
pub(super) struct Stream {
    /// The term's facts, with this stream's number.
    pub(super) desk: Desk,
    /// Σ before each epoch that is still of interest; the last is that of the epoch decided next.
    pub(super) states: BTreeMap<u64, State>,
    pub(super) snapshots: BTreeMap<u64, Arc<Snapshot>>,
    /// First epoch whose snapshot has not been told yet: they are told in order.
    told_until: u64,
    pub(super) rounds: BTreeMap<u64, Round>,
    pub(super) succession: Succession,
    pub(super) past: BTreeMap<u64, Past>,
    pub(super) ahead: Ahead,
    /// What the process found on disk, until the rounds it is about have been opened.
    pub(super) journal: Arc<Journal>,
    /// The last epoch that the journal of the process's start may speak of.
    pub(super) restored_until: u64,
    /// Highest epoch that others speak of.
    seen: u64,
    ask_at: u64,
    ask_pause: u64,
    pub(super) last_certified: Option<u64>,
    pub(super) void_slots: Vec<u64>,
}

impl Stream {
    /// `start` of a term that was rotated to; the committee's first term begins at epoch 0 with the empty state.
    /// `ahead_bytes` is what one peer may have kept here of one epoch that is not reached.
    pub(super) fn new(desk: Desk, journal: &Arc<Journal>, start: Option<Start>, ahead_bytes: usize) -> Self {
        let mut states = journal::states(journal, &desk);
        if start.is_none() {
            // Σ before epoch 0 is the empty one, and is never written.
            states.entry(0).or_default();
        }
        let ask_pause = desk.book.conduct.view_timeout_ms;
        let mut stream = Self {
            desk,
            states,
            snapshots: BTreeMap::new(),
            told_until: 0,
            rounds: BTreeMap::new(),
            succession: Succession::new(start.as_ref()),
            past: BTreeMap::new(),
            ahead: Ahead::new(ahead_bytes),
            journal: Arc::default(),
            restored_until: 0,
            seen: 0,
            ask_at: 0,
            ask_pause,
            last_certified: None,
            void_slots: Vec::new(),
        };
        let (next, first) = (stream.next_epoch(), stream.succession.first);
        stream.restored_until = next.saturating_add(EPOCHS_AHEAD_MAX);
        let open = next..stream.restored_until.saturating_add(1);
        stream.keep_records(journal, stream.past_epochs().chain(open.clone()).chain([first]));
        stream.restore();
        stream.settle_in(start);
        // What is restored now is in its place: only the rounds that are opened later come back to the journal.
        let unsealed: Vec<u64> = stream.rounds.keys().copied().collect();
        stream.keep_records(journal, unsealed.into_iter().chain(open));
        stream
    }

    /// Keeps of the journal what is about these epochs, and nothing else.
    fn keep_records(&mut self, journal: &Journal, epochs: impl Iterator<Item = u64>) {
        let instances = epochs.map(|epoch| self.desk.instance(epoch));
        self.journal = Arc::new(journal::of_instances(journal, &self.desk.term.scope, instances));
    }

    /// Bytes of the content held for all rounds.
    pub(super) fn held_bytes(&self) -> usize {
        self.rounds.values().map(Round::held_bytes).fold(0, usize::saturating_add)
    }

    /// What the process found on disk.
    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Takes the keys by epoch, after a refresh.
    pub(super) fn set_keys(&mut self, keys: Keyring) {
        self.desk.keys = keys;
    }

    /// First epoch that is not certified here.
    pub(super) fn settled(&self) -> u64 {
        let open = self.rounds.iter().find(|(_, round)| round.seal.certified().is_none()).map(|(epoch, _)| *epoch);
        open.unwrap_or_else(|| self.next_epoch()).min(self.next_epoch())
    }

    /// Whether Σ before the first epoch is not known.
    pub(super) fn is_lost(&self) -> bool {
        self.states.is_empty()
    }

    /// Takes Σ before an epoch: that of the first one.
    pub(super) fn begin_from(&mut self, epoch: u64, state: State) {
        self.states.insert(epoch, state);
    }

    /// Σ after an epoch, while it is kept.
    pub(super) fn state_after(&self, epoch: u64) -> Option<&State> {
        self.states.get(&epoch.checked_add(1)?)
    }

    /// Every Σ that is kept, ascending.
    pub(super) fn known_states(&self) -> impl Iterator<Item = &State> {
        self.states.values()
    }

    /// Epochs that may have been decided and are remembered.
    pub(super) fn past_epochs(&self) -> core::ops::Range<u64> {
        let next = self.next_epoch();
        next.saturating_sub(PAST_MAX).max(self.succession.first)..next
    }

    /// Forgets rounds that are another term's.
    pub(super) fn drop_rounds_from(&mut self, epoch: u64) {
        drop(self.rounds.split_off(&epoch));
        self.seen = self.seen.min(epoch.saturating_sub(1));
    }

    /// Decisions of the journal: kept to answer with, and to be sealed where no certificate is known yet.
    fn restore(&mut self) {
        for epoch in self.past_epochs() {
            let config = self.desk.agreement(epoch, (0..self.desk.term.n()).collect());
            let Some(decided) = Qbft::restore(config, self.desk.key.clone(), &self.journal).decided_proof() else {
                continue;
            };
            let instance = self.desk.instance(epoch);
            let certified = journal::load(&self.journal, CERTIFIED, &self.desk.term.scope, instance);
            if certified.is_some() {
                self.last_certified = Some(epoch);
            } else if self.states.contains_key(&epoch) {
                self.rounds.insert(epoch, Round::new(&self.desk, epoch, &self.journal));
            }
            self.past.insert(epoch, Past::new(decided, certified));
        }
    }

    /// The epoch that is decided next.
    pub(super) fn next_epoch(&self) -> u64 {
        self.states.last_key_value().map_or(self.succession.first, |(epoch, _)| *epoch)
    }

    /// Whether others are known to be ahead.
    pub(super) fn behind(&self) -> bool {
        self.seen > self.next_epoch()
    }

    pub(super) fn add_snapshot(&mut self, epoch: u64, snapshot: Arc<Snapshot>) {
        let next = self.next_epoch();
        self.told_until = self.told_until.max(epoch.saturating_add(1));
        if epoch.saturating_add(UNSEALED_MAX) >= next && epoch <= next.saturating_add(SNAPSHOTS_AHEAD_MAX) {
            self.snapshots.insert(epoch, snapshot);
        }
    }

    /// The epoch decided next, if its snapshot was told and could not be kept: the stream stood still for long.
    fn lacking(&self) -> Option<u64> {
        let next = self.next_epoch();
        let told = next < self.told_until && next < self.succession.until();
        (told && !self.snapshots.contains_key(&next)).then_some(next)
    }

    /// From which epoch on this member may sign anything new.
    pub(super) fn set_floor(&mut self, from_epoch: u64) {
        self.desk.floor = from_epoch;
        for (epoch, round) in &mut self.rounds {
            round.qbft.iter_mut().for_each(|qbft| qbft.silence(*epoch < from_epoch));
        }
    }

    /// Takes content that a round or the beginning waits for.
    pub(super) fn on_content(&mut self, contents: &[Content]) {
        self.rounds.values_mut().for_each(|round| round.on_content(contents));
        self.succession.inherit.iter_mut().for_each(|inherit| inherit.on_content(contents));
    }

    /// Does something with one round.
    pub(super) fn with(&mut self, epoch: u64, step: &mut Step<'_>, act: impl FnOnce(&mut Round, &mut Ctx<'_>)) {
        let Self { desk, states, snapshots, rounds, .. } = self;
        let Some(round) = rounds.get_mut(&epoch) else { return };
        let snapshot = snapshots.get(&epoch).map(|snapshot| &**snapshot);
        act(round, &mut Ctx { state: states.get(&epoch), snapshot, ..step.ctx(desk) });
    }

    /// A message about an instance of this stream, from the hands of `from`; `bytes` is its length.
    pub(super) fn on_message(
        &mut self,
        step: &mut Step<'_>,
        from: u32,
        instance: InstanceId,
        message: &Message,
        bytes: usize,
    ) {
        if instance != self.desk.instance(instance.epoch) {
            return;
        }
        let (epoch, next) = (instance.epoch, self.next_epoch());
        if epoch < self.succession.first || epoch >= self.succession.until() {
            return;
        }
        // Nobody can honestly speak of an epoch that has not ended, a clock's error aside.
        if self.desk.opens_at(epoch) <= step.now.saturating_add(self.desk.term.epoch_ms) {
            self.seen = self.seen.max(epoch);
        }
        if epoch > next.saturating_add(EPOCHS_AHEAD_MAX) {
            return;
        }
        match message {
            Message::Observation(statement, body) => {
                self.with(epoch, step, |round, ctx| round.on_observation(ctx, statement, body));
            }
            Message::Partial(signed) => self.with(epoch, step, |round, ctx| round.seal.on_partial(ctx, from, signed)),
            Message::Certified(certified) => {
                self.with(epoch, step, |round, ctx| {
                    // Certified elsewhere and undecided here: this member is behind.
                    if round.seal.on_certified(ctx, from, certified) {
                        ctx.out.push(Effect::Broadcast(Message::Status(instance).encode()));
                    }
                });
            }
            _ if epoch > next => self.ahead.keep(epoch, from, message, bytes),
            Message::Status(_) | Message::RoundChange(_) if epoch < next => {}
            _ => self.with(epoch, step, |round, ctx| round.on_agreement(ctx, from, message)),
        }
        if epoch < next {
            self.answer(step, from, epoch, message);
        }
        if epoch == self.succession.first && matches!(message, Message::Status(_)) {
            self.answer_origin(step);
        }
    }

    /// Tells a member that asks about a decided epoch, or shows that it missed its end, what became of it.
    fn answer(&mut self, step: &mut Step<'_>, from: u32, epoch: u64, message: &Message) {
        let forgotten = !self.rounds.contains_key(&epoch);
        let asks = match message {
            Message::Status(_) | Message::RoundChange(_) => true,
            // While its round is here, the round answers.
            Message::Partial(_) => forgotten,
            _ => false,
        };
        let pause = self.desk.book.conduct.view_timeout_ms / 2;
        let Some(past) = self.past.get_mut(&epoch).filter(|_| asks) else { return };
        if past.is_rested(step.now, pause) && step.answers.may_answer(step.now, from) {
            past.answer(step.now, step.out);
        }
    }

    /// Lets every round do what it can, in order; a decision opens the next epoch.
    pub(super) fn advance(&mut self, step: &mut Step<'_>) {
        self.inherit(step);
        loop {
            let next = self.next_epoch();
            self.open_rounds(next, step);
            let epochs: Vec<u64> = self.rounds.keys().copied().collect();
            for epoch in epochs {
                self.with(epoch, step, |round, ctx| round.advance(ctx));
                self.certify(epoch, step);
            }
            if !self.conclude(next, step) {
                break;
            }
        }
        self.leave(step);
        self.ask(step);
    }

    fn open_rounds(&mut self, next: u64, step: &mut Step<'_>) {
        for epoch in next..next.saturating_add(EPOCHS_AHEAD_MAX + 1).min(self.succession.until()) {
            let (desk, journal) = (&self.desk, &self.journal);
            self.rounds.entry(epoch).or_insert_with(|| Round::new(desk, epoch, journal));
        }
        let journal = Arc::clone(&self.journal);
        for epoch in self.rounds.keys().copied().filter(|epoch| *epoch <= next).collect::<Vec<_>>() {
            self.with(epoch, step, |round, ctx| round.open(ctx, &journal));
        }
    }

    /// Moves on when the next epoch is decided and its result known. `true` when it did.
    fn conclude(&mut self, epoch: u64, step: &mut Step<'_>) -> bool {
        let Some(round) = self.rounds.get(&epoch) else { return false };
        let (Some(done), Some(decided)) = (round.outcome(), round.decided_proof()) else { return false };
        let next = done.outcome.state.next_epoch;
        let state = done.outcome.state.clone();
        self.void_slots.clone_from(&done.outcome.void_slots);
        let record = journal::record(STATE, &self.desk.term.scope, self.desk.instance(next), &state);
        step.out.push(Effect::Persist(record));
        self.past.insert(epoch, Past::new(decided, round.seal.certified().cloned()));
        self.succession.decided.insert(epoch, state.previous_header);
        self.states.insert(next, state);
        self.ask_pause = self.desk.book.conduct.view_timeout_ms;
        self.ask_at = step.now;
        self.prune(step.out);
        let early = self.ahead.take(next);
        self.open_rounds(next, step);
        if self.behind() {
            let wait = self.desk.book.conduct.view_timeout_ms.saturating_mul(2);
            let later = step.now.saturating_add(wait);
            self.with(next, step, |round, _| round.observe_at = round.opens_at.max(later));
        }
        for (from, message) in early {
            self.with(next, step, |round, ctx| round.on_agreement(ctx, from, &message));
        }
        true
    }

    /// Hands a new certificate over: archive, chain, and the record that it is done.
    fn certify(&mut self, epoch: u64, step: &mut Step<'_>) {
        let Some(round) = self.rounds.get_mut(&epoch) else { return };
        if round.outcome().is_none() {
            return;
        }
        let Some(certified) = round.seal.take_news() else { return };
        self.last_certified = self.last_certified.max(Some(epoch));
        if let Some(past) = self.past.get_mut(&epoch) {
            past.certified = Some(certified.clone());
        }
        let header = self.rounds.get(&epoch).and_then(Round::outcome).map(|done| done.outcome.header.clone());
        if let Some(header) = header {
            self.keep_head(&header, certified.certificate, step.out);
        }
        self.with(epoch, step, |round, ctx| super::publish::publish(round, ctx, &certified));
    }

    /// Where it stands.
    pub(super) fn status(&self) -> StreamStatus {
        let next_epoch = self.next_epoch();
        let round = self.rounds.get(&next_epoch);
        StreamStatus {
            next_epoch,
            view: round.and_then(|round| round.qbft.as_ref()).map_or(0, Qbft::view),
            heard: round.map(|round| round.statements.keys().copied().collect()).unwrap_or_default(),
            wanted: round.map_or(0, |round| u64::try_from(round.waiting().len()).unwrap_or(u64::MAX)),
            last_decided: next_epoch.checked_sub(1),
            last_certified: self.last_certified,
            last_posted: self.succession.posted,
            void_slots: self.void_slots.clone(),
            behind: self.behind(),
            inheriting: self.succession.inherit.is_some(),
            lacking: self.lacking(),
        }
    }

    /// Asks for the next decision while others are known to be ahead.
    fn ask(&mut self, step: &mut Step<'_>) {
        let next = self.next_epoch();
        let now = step.now;
        if !self.behind() || now < self.ask_at || now < self.desk.opens_at(next) {
            return;
        }
        step.out.push(Effect::Broadcast(Message::Status(self.desk.instance(next)).encode()));
        self.ask_at = now.saturating_add(self.ask_pause.max(1));
        self.ask_pause = self.ask_pause.saturating_mul(2).min(ASK_MAX_MS);
    }

    pub(super) fn next_wakeup(&self) -> Option<u64> {
        let ask = self.behind().then(|| self.ask_at.max(self.desk.opens_at(self.next_epoch())));
        let rounds = self.rounds.values().filter_map(Round::next_wakeup);
        rounds.chain(ask).chain(self.succession_wakeup()).min()
    }
}

#[cfg(test)]
mod tests;
