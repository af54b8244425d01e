//! Single-shot QBFT: how the members decide one value for one instance, whatever f of them do. docs/protocol.md §7.
//!
//! Generic over the content: the application proposes bytes, and judges other members' bytes when asked.
//! Leaves out: what the content means, and signing the decided value with the group key (`oracle`, `bootstrap`).
//!
//! Actions come in an order that must be kept: an [`Action::Persist`] protects whatever is broadcast after it.
//!
//! ```text
//! proposal ─ validate ─ prepare ─(n−f)─ commit ─(n−f)─ decided
//!     ▲  timeout, or f+1 round changes above: a round change carries the highest prepared value,
//!     └─ which the next leader must propose again
//! ```

mod book;
mod flow;
mod journal;
mod pool;
mod round;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use minicbor::bytes::ByteVec;

use crate::effect::Record;
use crate::fault::FaultProof;
use crate::typed::{MemberKey, Phase, Scope};
use crate::wire::{Decided, Hash, InstanceId, Message, PreparedProof, Proposal, RoundChange, Statement};

use book::Book;
use pool::Pool;

pub(crate) use journal::{PREFIX, instance_of};
pub use journal::{decided_key, journal_prefix};

/// One instance of agreement, as this member sees it.
#[derive(Clone, Debug)]
pub struct Config {
    /// What every signature binds.
    pub scope: Scope,
    /// The members' addresses in order.
    pub members: Vec<Address>,
    /// What is decided.
    pub instance: InstanceId,
    /// This member's index.
    pub me: u32,
    /// Members in the order in which they lead: view v is led by `leaders[(v − 1) mod len]`.
    pub leaders: Vec<u32>,
    /// Time before the first view change, ms; doubles per view.
    pub base_timeout_ms: u64,
}

/// What the caller must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make durable before anything after it.
    Persist(Record),
    /// Send to every other member.
    Broadcast(Message),
    /// Judge this content and answer with [`Qbft::verdict`], now or later. A new request for the same value replaces the
    /// older one: the answer is about the latest content.
    Validate {
        /// The view that waits for the verdict; 0 when a quorum has decided the value already, and only the question is
        /// left whether this content is what `value` names.
        view: u32,
        /// The digest that the content must have.
        value: B256,
        /// The bytes to judge.
        content: Vec<u8>,
        /// The member that leads the view (who proposed, or this member itself on behalf of an earlier view).
        leader: u32,
    },
    /// The instance is decided; comes once (again after a restart, from [`Qbft::start`]).
    Decided {
        /// The digest.
        value: B256,
        /// Its content, found valid by this member.
        content: Vec<u8>,
    },
    /// A member signed two things that must not both exist.
    Fault(FaultProof),
}

/// A quorum of commits of one view and value.
#[derive(Clone, Debug)]
struct Quorum {
    value: B256,
    commits: Vec<Statement>,
}

/// The highest value this member saw prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prepared {
    proof: PreparedProof,
    content: Vec<u8>,
}

/// One decision in progress (or made).
#[derive(Debug)]
pub struct Qbft {
    config: Config,
    key: Arc<MemberKey>,
    rules: Rules,
    book: Book,
    pool: Pool,
    started: bool,
    /// Says nothing new: see [`Qbft::silence`].
    silent: bool,
    view: u32,
    deadline: u64,
    resend_at: u64,
    candidate: Option<(B256, Vec<u8>)>,
    prepared: Option<Prepared>,
    /// Justified proposals by view, their content moved to the pool.
    proposals: BTreeMap<u32, Proposal>,
    /// First vote of each member by (view, phase).
    votes: BTreeMap<(u32, u8), BTreeMap<u32, Statement>>,
    /// Valid round changes by view and member, their content moved to the pool.
    round_changes: BTreeMap<u32, BTreeMap<u32, RoundChange>>,
    /// Highest view that each member is known to want.
    wanted_views: BTreeMap<u32, u32>,
    /// Everything this member has signed, by (phase, view): one value each, for ever.
    mine: BTreeMap<(u8, u32), Statement>,
    my_proposal: Option<Proposal>,
    my_round_change: Option<RoundChange>,
    quorum: Option<Quorum>,
    decided: Option<(B256, Decided)>,
    decided_at: u64,
    helped_at: Option<u64>,
}

/// Deliberate faults of the protocol, so that tests can show that the simulation would find them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Count n/2+1 votes as a quorum, not n−f.
    pub majority_quorum: bool,
    /// Propose whatever one likes after a view change, and accept it.
    pub forget_prepared: bool,
    /// Accept a proposal of a later view whatever stands beside it as its reason.
    pub trust_proposals: bool,
    /// Hand a value over for signing once it is prepared, before it is decided.
    pub sign_prepared: bool,
}

impl Qbft {
    /// A fresh instance; nothing happens before [`Qbft::start`].
    #[must_use]
    pub fn new(config: Config, key: Arc<MemberKey>) -> Self {
        let book = Book::new(config.scope, config.members.clone(), config.instance);
        Self {
            config,
            key,
            rules: Rules::default(),
            book,
            pool: Pool::default(),
            started: false,
            silent: false,
            view: 1,
            deadline: 0,
            resend_at: 0,
            candidate: None,
            prepared: None,
            proposals: BTreeMap::new(),
            votes: BTreeMap::new(),
            round_changes: BTreeMap::new(),
            wanted_views: BTreeMap::new(),
            mine: BTreeMap::new(),
            my_proposal: None,
            my_round_change: None,
            quorum: None,
            decided: None,
            decided_at: 0,
            helped_at: None,
        }
    }

    /// Continues an instance from what was persisted: never contradicts an earlier vote, whenever the process died.
    ///
    /// `records` may be the whole journal; those of other instances are ignored.
    #[must_use]
    pub fn restore(config: Config, key: Arc<MemberKey>, records: &[Record]) -> Self {
        let mut qbft = Self::new(config, key);
        qbft.load(records);
        qbft
    }

    /// Plants protocol faults, for tests of the tests.
    #[cfg(feature = "planted-faults")]
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Says nothing that was not said before, while `silent`: this member may have spoken about the instance and forgotten
    /// it (a store restored from a copy, a key in a second process). It follows the decision all the same.
    pub const fn silence(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// Starts the clock of the current view. After a restore, sends again what was last said.
    pub fn start(&mut self, now: u64) -> Vec<Action> {
        let mut out = Vec::new();
        if self.started {
            return out;
        }
        self.started = true;
        if let Some((value, decided)) = &self.decided {
            out.push(Action::Decided { value: *value, content: decided.content.to_vec() });
            return out;
        }
        self.arm(now);
        self.resend(&mut out);
        self.progress(now, &mut out);
        out
    }

    /// Sets what this member proposes when it leads a view and no prepared value binds it. Later calls replace it.
    pub fn set_candidate(&mut self, now: u64, value: B256, content: Vec<u8>) -> Vec<Action> {
        let mut out = Vec::new();
        self.pool.trust(value, content.clone());
        self.candidate = Some((value, content));
        self.progress(now, &mut out);
        out
    }

    /// Takes a message that member `from` handed over, whoever signed what is in it. Anything that is not authentic, not of
    /// this instance, out of bounds or already known changes nothing.
    pub fn on_message(&mut self, now: u64, from: u32, message: &Message) -> Vec<Action> {
        let mut out = Vec::new();
        if self.decided.is_some() {
            self.help(now, message, &mut out);
            return out;
        }
        match message {
            Message::Proposal(proposal) => self.on_proposal(from, proposal, &mut out),
            Message::Vote(statement) => self.on_vote(statement, &mut out),
            Message::RoundChange(change) => self.on_round_change(from, change, &mut out),
            Message::Decided(decided) => self.on_decided(from, decided, &mut out),
            Message::Status(instance) if *instance == self.config.instance && self.may_help(now) => {
                self.helped_at = Some(now);
                self.resend(&mut out);
            }
            _ => return out,
        }
        self.progress(now, &mut out);
        out
    }

    /// The application's answer to the latest [`Action::Validate`] of `value`.
    pub fn verdict(&mut self, now: u64, value: B256, valid: bool) -> Vec<Action> {
        let mut out = Vec::new();
        self.pool.judge(value, valid);
        self.progress(now, &mut out);
        out
    }

    /// Lets time pass: leaves a view that took too long, sends again what may have been lost.
    pub fn on_tick(&mut self, now: u64) -> Vec<Action> {
        let mut out = Vec::new();
        if !self.started || self.decided.is_some() {
            return out;
        }
        if now >= self.deadline {
            let next = self.view.saturating_add(1);
            self.change_round(now, next, &mut out);
        } else if now >= self.resend_at {
            self.resend_at = now.saturating_add(self.config.base_timeout_ms.max(1));
            self.resend(&mut out);
            self.pool.rotate();
        }
        self.progress(now, &mut out);
        out
    }

    /// When to call [`Qbft::on_tick`] next; `None` before the start and after the decision.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<u64> {
        (self.started && self.decided.is_none()).then(|| self.deadline.min(self.resend_at))
    }

    /// The decision: digest and content.
    #[must_use]
    pub fn decided(&self) -> Option<(B256, &[u8])> {
        self.decided.as_ref().map(|(value, decided)| (*value, decided.content.as_slice()))
    }

    /// The decision with the commits that prove it, for members that slept.
    #[must_use]
    pub fn decided_proof(&self) -> Option<Decided> {
        self.decided.as_ref().map(|(_, decided)| decided.clone())
    }

    /// The current view, from 1.
    #[must_use]
    pub const fn view(&self) -> u32 {
        self.view
    }

    /// Whether this member leads the current view and has not proposed yet: a candidate is wanted.
    #[must_use]
    pub fn wants_candidate(&self) -> bool {
        self.started
            && !self.silent
            && self.decided.is_none()
            && self.leader(self.view) == Some(self.config.me)
            && !self.mine.contains_key(&(Phase::Proposal as u8, self.view))
    }

    /// n−f, the number of votes that no other set of votes can miss.
    fn quorum_size(&self) -> usize {
        let n = u32::try_from(self.config.members.len()).unwrap_or(u32::MAX);
        let quorum = usize::try_from(aggregator::quorum(n)).unwrap_or(usize::MAX);
        if self.rules.majority_quorum { self.config.members.len() / 2 + 1 } else { quorum }
    }

    /// f.
    fn faults(&self) -> usize {
        let n = u32::try_from(self.config.members.len()).unwrap_or(u32::MAX);
        usize::try_from(aggregator::faults(n)).unwrap_or(usize::MAX)
    }

    /// Who leads `view`; `None` for view 0 or an empty list.
    pub(crate) fn leader(&self, view: u32) -> Option<u32> {
        let turn = usize::try_from(view.checked_sub(1)?).ok()?;
        let place = turn.checked_rem(self.config.leaders.len())?;
        self.config.leaders.get(place).copied()
    }

    /// Signs once: the statement made before if it said the same, `None` if it said something else or is silenced.
    fn sign(&mut self, phase: Phase, view: u32, value: B256) -> Option<Statement> {
        if let Some(made) = self.mine.get(&(phase as u8, view)) {
            return (made.value() == value).then(|| made.clone());
        }
        if self.silent {
            return None;
        }
        let config = &self.config;
        let statement = Statement::sign(&config.scope, &self.key, config.me, config.instance, phase, view, value);
        self.mine.insert((phase as u8, view), statement.clone());
        self.book.note_own(&statement);
        Some(statement)
    }
}

/// A digest as the wire carries it.
fn wire_hash(value: B256) -> Hash {
    Hash::from(value.0)
}

/// Content as the wire carries it.
fn wire_content(content: &[u8]) -> ByteVec {
    ByteVec::from(content.to_vec())
}
