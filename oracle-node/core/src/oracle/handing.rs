//! The old term's side of a rotation: a kind-4 instance decides the plan, the old key signs it once, the chain gets it.
//!
//! A plan that the chain can no longer take in time (its first epoch is too near) is followed by another attempt, an
//! instance of its own. Two plans may so be certified; the registry takes the first that comes and refuses the other, since
//! this term is then no longer the one in force. Leaves out: what a plan and a key must be (`handover`).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;

use super::desk::Ctx;
use super::seal::Seal;
use crate::effect::{Effect, Journal, Transmission};
use crate::handover::{self, NewKey, Plan};
use crate::qbft::{Action, Qbft};
use crate::term::Term;
use crate::typed::Kind;
use crate::wire::{Hash, InstanceId, Message};

/// Attempts at one rotation: more would need a clock that runs backwards or a chain that takes nothing.
const ATTEMPTS_MAX: u32 = 1_024;
/// Proposed plans that wait for bases that are not decided here yet.
const QUESTIONS_MAX: usize = 8;

/// What the streams' histories look like to this member now.
#[derive(Clone, Debug, Default)]
pub(super) struct Bases {
    /// Of every stream that has one the last decided header, ascending.
    latest: Vec<(u32, Hash)>,
    /// Of every stream served here the headers that may have been the last when a plan was proposed, the latest included;
    /// zeros before the first.
    recent: BTreeMap<u32, Vec<Hash>>,
}

impl Bases {
    /// Adds what a stream knows of itself ([`super::stream::Stream::bases`]).
    pub(super) fn add(&mut self, stream: u32, latest: Hash, recent: Vec<Hash>) {
        if *latest != [0; 32] {
            self.latest.push((stream, latest));
        }
        self.recent.insert(stream, recent);
    }

    /// Whether a plan names for every stream a header that was decided here. A stream without one is at its beginning.
    fn hold(&self, plan: &Plan) -> bool {
        let named = |stream: &u32| plan.bases.iter().find(|(of, _)| of == stream).map_or([0; 32].into(), |(_, h)| *h);
        self.recent.iter().all(|(stream, recent)| recent.contains(&named(stream)))
    }
}

/// A rotation to one later term.
#[derive(Debug)]
pub(super) struct Handing {
    successor: Term,
    /// Streams that are handed over: a plan that names another one is refused.
    streams: BTreeSet<u32>,
    key: Option<NewKey>,
    attempt: u32,
    instance: InstanceId,
    qbft: Qbft,
    started: bool,
    seal: Seal,
    questions: BTreeMap<B256, Plan>,
    decided: Option<(B256, Plan)>,
    transmitted: bool,
    journal: Journal,
}

impl Handing {
    /// Begins, or continues from the journal.
    pub(super) fn new(ctx: &Ctx<'_>, successor: Term, streams: BTreeSet<u32>, journal: &Journal) -> Self {
        let journal = journal.clone();
        let (instance, qbft, seal) = attempt(ctx, &successor, 0, &journal);
        Self {
            successor,
            streams,
            key: None,
            attempt: 0,
            instance,
            qbft,
            started: false,
            seal,
            questions: BTreeMap::new(),
            decided: None,
            transmitted: false,
            journal,
        }
    }

    /// The term it hands over to.
    pub(super) const fn to(&self) -> u64 {
        self.successor.scope.term
    }

    /// First epoch of the plan that was decided last.
    pub(super) fn planned(&self) -> Option<u64> {
        self.decided.as_ref().map(|(_, plan)| plan.from_epoch)
    }

    /// Whether the successor's key is known here.
    pub(super) const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Takes the successor's key, if it is one.
    pub(super) fn on_key(&mut self, ctx: &mut Ctx<'_>, key: &NewKey) {
        if self.key.is_some() || key.term != self.to() {
            return;
        }
        match key.check(&self.successor) {
            Ok(()) => self.key = Some(key.clone()),
            Err(why) => ctx.note("new_key_refused", format!("a key for term {}: {why}", key.term)),
        }
    }

    /// Messages of a kind-4 instance.
    pub(super) fn on_message(&mut self, ctx: &mut Ctx<'_>, from: u32, message: &Message) {
        match message {
            Message::Partial(signed) => self.seal.on_partial(ctx, from, signed),
            Message::Certified(certified) if self.seal.on_certified(ctx, from, certified) => {
                ctx.out.push(Effect::Broadcast(Message::Status(self.instance).encode()));
            }
            Message::Certified(_) => {}
            _ if super::instance_of(message) == Some(self.instance) => {
                self.start(ctx);
                let actions = self.qbft.on_message(ctx.now, from, message);
                self.act(ctx, actions);
            }
            _ => {}
        }
    }

    fn start(&mut self, ctx: &mut Ctx<'_>) {
        if !core::mem::replace(&mut self.started, true) {
            let actions = self.qbft.start(ctx.now);
            self.act(ctx, actions);
        }
    }

    fn act(&mut self, ctx: &mut Ctx<'_>, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Persist(record) => ctx.out.push(Effect::Persist(record)),
                Action::Broadcast(message) => ctx.out.push(Effect::Broadcast(message.encode())),
                Action::Validate { view, value, content, .. } => self.judge(ctx, view, value, &content),
                Action::Decided { value, content } => {
                    self.questions.clear();
                    self.decided = Plan::decode(&content).ok().map(|plan| (value, plan));
                }
                Action::Fault(proof) => ctx.accuse(&proof),
            }
        }
    }

    /// A plan is sound whatever the time, or not; whether its bases are ours shows when this member has decided as much.
    fn judge(&mut self, ctx: &mut Ctx<'_>, view: u32, value: B256, content: &[u8]) {
        let plan = Plan::decode(content).ok().filter(|plan| self.is_sound(ctx, value, plan));
        match plan {
            // A quorum has decided already: only the question is left whether this is what it decided.
            Some(plan) if view > 0 => {
                if self.questions.len() >= QUESTIONS_MAX {
                    self.questions.pop_first();
                }
                self.questions.insert(value, plan);
            }
            plan => self.verdict(ctx, value, plan.is_some()),
        }
    }

    fn is_sound(&mut self, ctx: &mut Ctx<'_>, value: B256, plan: &Plan) -> bool {
        let rotation = plan.rotation(&ctx.desk.term.scope, &self.successor.scope);
        let ours = plan.bases.iter().all(|(stream, _)| self.streams.contains(stream));
        if !ours || ctx.desk.term.scope.digest(&rotation) != value {
            return false;
        }
        if self.key.is_none() {
            self.on_key(ctx, &plan.key);
        }
        // One key per term: its members consent once. Signatures may be others'.
        let same = self.key.as_ref().is_some_and(|key| key.group_key == plan.key.group_key);
        same && plan.key.check(&self.successor).is_ok()
    }

    fn verdict(&mut self, ctx: &mut Ctx<'_>, value: B256, valid: bool) {
        let actions = self.qbft.verdict(ctx.now, value, valid);
        self.act(ctx, actions);
    }

    /// Does what time, the history and what is held allow.
    pub(super) fn advance(&mut self, ctx: &mut Ctx<'_>, bases: &Bases) {
        self.try_again(ctx);
        if self.key.is_some() {
            self.start(ctx);
        }
        if self.qbft.next_wakeup().is_some_and(|at| at <= ctx.now) {
            let actions = self.qbft.on_tick(ctx.now);
            self.act(ctx, actions);
        }
        self.propose(ctx, bases);
        self.answer(ctx, bases);
        if let Some((digest, _)) = self.decided {
            self.seal.sign(ctx, digest);
        }
        self.seal.on_tick(ctx);
        self.transmit(ctx);
    }

    /// The plan of this attempt came too late for the chain: the next one is made.
    fn try_again(&mut self, ctx: &mut Ctx<'_>) {
        let Some((_, plan)) = &self.decided else { return };
        let desk = ctx.desk;
        let start = desk.term.epoch_start(plan.from_epoch).unwrap_or(u64::MAX);
        // One lag before the start it would be final, had the chain taken it two lags before the start at the latest.
        let missed = ctx.now.saturating_add(desk.book.conduct.snapshot_lag_ms) >= start;
        if !missed || self.attempt >= ATTEMPTS_MAX {
            return;
        }
        let text = format!("the rotation to term {} from epoch {} was not taken in time", self.to(), plan.from_epoch);
        ctx.note("rotation_missed", text);
        self.attempt = self.attempt.saturating_add(1);
        (self.instance, self.qbft, self.seal) = attempt(ctx, &self.successor, self.attempt, &self.journal);
        (self.started, self.transmitted, self.decided) = (false, false, None);
        self.questions.clear();
    }

    fn propose(&mut self, ctx: &mut Ctx<'_>, bases: &Bases) {
        let Some(key) = self.key.clone().filter(|_| self.qbft.wants_candidate()) else { return };
        let desk = ctx.desk;
        let conduct = &desk.book.conduct;
        let first = handover::first_epoch(&desk.term, conduct.snapshot_lag_ms, conduct.view_timeout_ms, ctx.now);
        let Some(from_epoch) = first else { return };
        let plan = Plan { version: 2, from_epoch, bases: bases.latest.clone(), key };
        let value = desk.term.scope.digest(&plan.rotation(&desk.term.scope, &self.successor.scope));
        let actions = self.qbft.set_candidate(ctx.now, value, plan.encode());
        self.act(ctx, actions);
    }

    /// Judges the plans whose bases are decided here, too.
    fn answer(&mut self, ctx: &mut Ctx<'_>, bases: &Bases) {
        let conduct = &ctx.desk.book.conduct;
        let (lag, timeout) = (conduct.snapshot_lag_ms, conduct.view_timeout_ms);
        let ready = |plan: &Plan| {
            bases.hold(plan) && handover::is_near_enough(&ctx.desk.term, lag, timeout, ctx.now, plan.from_epoch)
        };
        let values: Vec<B256> =
            self.questions.iter().filter(|(_, plan)| ready(plan)).map(|(value, _)| *value).collect();
        for value in values {
            self.questions.remove(&value);
            self.verdict(ctx, value, true);
        }
    }

    fn transmit(&mut self, ctx: &mut Ctx<'_>) {
        let Some((digest, plan)) = self.decided.as_ref().filter(|_| !self.transmitted) else { return };
        let certified = self.seal.certified().filter(|certified| *certified.digest == digest.0);
        let Some(certificate) = certified.and_then(|c| aggregator::Signature::from_bytes(&c.certificate).ok()) else {
            return;
        };
        let desk = ctx.desk;
        let rotation = plan.rotation(&desk.term.scope, &self.successor.scope);
        let turn = u64::from(desk.me).saturating_mul(desk.book.conduct.transmit_stage_ms);
        let what = Transmission::Rotate {
            rotation: Box::new(rotation),
            certificate: certificate.to_onchain().to_vec(),
            key: Box::new(plan.key.clone()),
        };
        ctx.out.push(Effect::Transmit { not_before: ctx.now.saturating_add(turn), what });
        self.transmitted = true;
    }

    pub(super) fn next_wakeup(&self, lag_ms: u64, term: &Term) -> Option<u64> {
        let missed = self.decided.as_ref().and_then(|(_, plan)| term.epoch_start(plan.from_epoch));
        let missed = missed.map(|start| start.saturating_sub(lag_ms)).filter(|_| self.attempt < ATTEMPTS_MAX);
        [self.qbft.next_wakeup(), self.seal.next_wakeup(), missed].into_iter().flatten().min()
    }
}

/// The instance of one attempt; stream = attempt, epoch = the new term.
fn attempt(ctx: &Ctx<'_>, successor: &Term, attempt: u32, journal: &Journal) -> (InstanceId, Qbft, Seal) {
    let instance = InstanceId::new(Kind::Rotation, attempt, successor.scope.term);
    // Who leads one attempt first, and proposes a plan that the chain cannot take, does not lead the next one first.
    let n = ctx.desk.term.n();
    let first = attempt.checked_rem(n).unwrap_or(0);
    let config = ctx.desk.agreement_on(instance, (first..n).chain(0..first).collect());
    let qbft = Qbft::restore(config, ctx.desk.key.clone(), journal);
    (instance, qbft, Seal::restore(instance, &ctx.desk.term.scope, journal))
}
