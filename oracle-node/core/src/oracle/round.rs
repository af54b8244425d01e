//! One epoch as this member lives it: observe, gather observations, agree, seal.
//! Leaves out: computing F over what was gathered (`reckon`), the order of epochs (`running`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::B256;
use minicbor::bytes::ByteVec;

use super::behaviour::falsify;
use super::budget::Observed;
use super::desk::{Ctx, Desk};
use super::journal::{self, OBSERVATION, Own};
use super::pull::Pulls;
use super::reckon::{Reckoned, Task};
use super::seal::Seal;
use crate::collect;
use crate::effect::{Blobs, Bodies, Content, Effect, Journal, Seen};
use crate::fault::FaultProof;
use crate::limits;
use crate::observation::{Body, blob_hash};
use crate::qbft::{Action, Qbft};
use crate::report::{self, statement_fact};
use crate::typed::Phase;
use crate::wire::{self, Hash, InstanceId, Message, Statement};

/// One epoch in progress, or decided not long ago.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) epoch: u64,
    pub(super) instance: InstanceId,
    /// End of the epoch and δ, unix ms.
    pub(super) opens_at: u64,
    /// When to ask for the own buckets; later than `opens_at` while others may have decided already.
    pub(super) observe_at: u64,
    asked: bool,
    has_snapshot: bool,
    pub(super) own: Option<Own>,
    resend_at: u64,
    /// What [`report::compute_trusting`] need not check again.
    pub(super) verified: BTreeSet<[u8; 32]>,
    pub(super) statements: BTreeMap<u32, Statement>,
    pub(super) bodies: Bodies,
    pub(super) blobs: Blobs,
    pub(super) qbft: Option<Qbft>,
    started: bool,
    pub(super) draft: Option<Task>,
    pub(super) drafted: bool,
    /// When a draft may be begun (again).
    pub(super) draft_at: Option<u64>,
    pub(super) excluded: BTreeSet<u32>,
    /// Times that somebody was left out of a draft.
    pub(super) exclusions: usize,
    /// Bodies whose author lists more than it may (`budget`).
    pub(super) overdrawn: BTreeSet<[u8; 32]>,
    /// Bytes fetched since the authors' budgets were looked at.
    pub(super) fetched_bytes: usize,
    /// What observations are about, once the chain's view of the epoch is known.
    pub(super) observed: Option<Arc<Observed>>,
    /// Members of which two observations were seen.
    pub(super) twofaced: BTreeSet<u32>,
    /// What is pulled before anything waits for it.
    pub(super) pulls: Pulls,
    pub(super) questions: BTreeMap<B256, Task>,
    pub(super) fetch_at: u64,
    pub(super) results: BTreeMap<B256, Reckoned>,
    pub(super) decided: Option<B256>,
    /// Whether only what the decided S names is left.
    pub(super) settled: bool,
    pub(super) seal: Seal,
    /// Journal keys written by the agreement, for deletion.
    pub(super) keys: BTreeSet<Vec<u8>>,
}

impl Round {
    pub(super) fn new(desk: &Desk, epoch: u64, journal: &Journal) -> Self {
        let instance = desk.instance(epoch);
        let scope = &desk.term.scope;
        let prefix = crate::qbft::journal_prefix(scope, instance).unwrap_or_default();
        let keys = journal.iter().filter(|r| r.key.starts_with(&prefix) && !r.value.is_empty());
        let opens_at = desk.opens_at(epoch);
        let mut round = Self {
            epoch,
            instance,
            opens_at,
            observe_at: opens_at,
            asked: false,
            has_snapshot: false,
            own: None,
            resend_at: 0,
            verified: BTreeSet::new(),
            statements: BTreeMap::new(),
            bodies: Bodies::new(),
            blobs: Blobs::new(),
            qbft: None,
            started: false,
            draft: None,
            drafted: false,
            draft_at: None,
            excluded: BTreeSet::new(),
            exclusions: 0,
            overdrawn: BTreeSet::new(),
            fetched_bytes: 0,
            observed: None,
            twofaced: BTreeSet::new(),
            pulls: Pulls::default(),
            questions: BTreeMap::new(),
            fetch_at: u64::MAX,
            results: BTreeMap::new(),
            decided: None,
            settled: false,
            seal: Seal::restore(instance, scope, journal),
            keys: keys.map(|r| r.key.clone()).collect(),
        };
        if let Some(own) = journal::load::<Own>(journal, OBSERVATION, scope, instance) {
            round.adopt(own);
        }
        round
    }

    /// The own observation, from now on or from the journal.
    fn adopt(&mut self, own: Own) {
        self.asked = true;
        if let Ok(body) = wire::decode::<Body>(&own.body, limits::BLOB_BYTES_MAX) {
            self.keep(own.statement.clone(), body, own.body.to_vec());
        }
        self.own = Some(own);
    }

    fn keep(&mut self, statement: Statement, body: Body, bytes: Vec<u8>) {
        let id = *statement.value;
        self.blobs.insert(id, Content { id, class: 0, bytes });
        self.verified.insert(statement_fact(&statement));
        self.bodies.insert(statement.member, body);
        self.statements.insert(statement.member, statement);
    }

    /// Σ of the epoch before is known: the leaders are, and agreement can begin.
    pub(super) fn open(&mut self, ctx: &mut Ctx<'_>, journal: &Journal) {
        let Some(state) = ctx.state else { return };
        if self.qbft.is_none() {
            let config = ctx.desk.agreement(self.epoch, ctx.desk.leaders(state, self.epoch));
            let mut qbft = Qbft::restore(config, ctx.desk.key.clone(), journal);
            qbft.silence(!ctx.desk.may_speak(self.epoch));
            self.qbft = Some(qbft);
        }
    }

    /// The store's answer to [`Effect::Observe`]: signed once, durable before audible.
    pub(super) fn on_observed(&mut self, ctx: &mut Ctx<'_>, seen: Seen) {
        if self.own.is_some() || ctx.now < self.opens_at || !ctx.desk.may_speak(self.epoch) {
            return;
        }
        let desk = ctx.desk;
        let slots = report::beacon_range(&desk.term, &desk.book, self.epoch);
        let (first_slot, mut lateness) = (slots.start, ctx.beacon.lateness(slots));
        let Seen { mut buckets, receipts_root, measurements } = seen;
        let held = buckets.values();
        let marked = held.clone().flat_map(|b| b.marks.iter().map(|mark| *mark.id));
        let forked = held.clone().flat_map(|b| b.forks.iter().flat_map(|fork| [*fork.first.1, *fork.second.1]));
        self.verified.extend(marked.chain(forked));
        if desk.behaviour.lies_in(self.epoch) {
            falsify(&mut buckets, &mut lateness);
        }
        let contents: Vec<Content> = buckets.values().map(|bucket| blob(wire::encode(bucket))).collect();
        let listed = buckets.keys().zip(&contents).map(|(device, content)| (*device, Hash::from(content.id))).collect();
        let (epoch, receipts_root) = (self.epoch, receipts_root.into());
        let body = Body { epoch, buckets: listed, first_slot, lateness, receipts_root, measurements };
        let bytes = wire::encode(&body);
        let (scope, instance, value) = (&desk.term.scope, self.instance, B256::from(blob_hash(&bytes)));
        let statement = Statement::sign(scope, &desk.key, desk.me, instance, Phase::Observation, 0, value);
        let own = Own { statement, body: ByteVec::from(bytes.clone()) };
        self.blobs.extend(contents.iter().map(|content| (content.id, content.clone())));
        // What it lists is stored first: whoever died between the two would repeat an observation that nobody can read.
        let contents = contents.into_iter().chain([blob(bytes)]).collect();
        ctx.out.push(Effect::Lend { stream: desk.stream, epoch: self.epoch, contents });
        ctx.out.push(Effect::Persist(journal::record(OBSERVATION, scope, instance, &own)));
        self.adopt(own);
        self.say_observation(ctx);
    }

    /// Broadcasts the own observation (again).
    pub(super) fn say_observation(&mut self, ctx: &mut Ctx<'_>) {
        if let Some(own) = &self.own {
            let message = Message::Observation(own.statement.clone(), own.body.clone());
            ctx.out.push(Effect::Broadcast(message.encode()));
            self.resend_at = ctx.now.saturating_add(ctx.desk.book.conduct.view_timeout_ms.max(1));
        }
    }

    /// Takes a member's observation: the first authentic one with a well-formed body.
    pub(super) fn on_observation(&mut self, ctx: &mut Ctx<'_>, statement: &Statement, bytes: &[u8]) {
        let fits = statement.instance == self.instance
            && statement.phase() == Some(Phase::Observation)
            && statement.view == 0
            && statement.member != ctx.desk.me;
        let known = self.statements.get(&statement.member);
        let old = known == Some(statement) || self.twofaced.contains(&statement.member);
        if !fits || old || bytes.len() > limits::BLOB_BYTES_MAX {
            return;
        }
        if !statement.is_authentic(&ctx.desk.term.scope, &ctx.desk.addresses) {
            return;
        }
        if let Some(first) = known {
            if first.value != statement.value {
                self.twofaced.insert(statement.member);
                ctx.accuse(&FaultProof { a: first.clone(), b: statement.clone() });
            }
            return;
        }
        if self.settled {
            // For the record only (`archive::Bundle::disagreement`).
            self.statements.insert(statement.member, statement.clone());
            return;
        }
        // Anybody may have put other bytes beside the statement: they are no fault of its author.
        let body = wire::decode::<Body>(bytes, limits::BLOB_BYTES_MAX).ok();
        let Some(body) = body.filter(|_| blob_hash(bytes) == *statement.value) else { return };
        if report::check_body(&body, self.epoch) && self.is_to_the_point(ctx, &body) {
            self.keep(statement.clone(), body, bytes.to_vec());
        }
    }

    /// A message of the agreement.
    pub(super) fn on_agreement(&mut self, ctx: &mut Ctx<'_>, from: u32, message: &Message) {
        if let Some(qbft) = &mut self.qbft {
            let actions = qbft.on_message(ctx.now, from, message);
            self.act(ctx, actions);
        }
    }

    /// Carries out what the agreement asks for.
    pub(super) fn act(&mut self, ctx: &mut Ctx<'_>, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Persist(record) => {
                    self.keys.insert(record.key.clone());
                    ctx.out.push(Effect::Persist(record));
                }
                Action::Broadcast(message) => ctx.out.push(Effect::Broadcast(message.encode())),
                Action::Validate { value, content, .. } => self.ask(ctx, value, &content),
                Action::Decided { value, content } => {
                    self.decided = Some(value);
                    if !self.results.contains_key(&value) {
                        self.ask(ctx, value, &content);
                    }
                }
                Action::Fault(proof) => ctx.accuse(&proof),
            }
        }
    }

    /// Does everything that time and what is held allow.
    pub(super) fn advance(&mut self, ctx: &mut Ctx<'_>) {
        if ctx.now >= self.opens_at {
            self.start(ctx);
        }
        if self.qbft.as_ref().and_then(Qbft::next_wakeup).is_some_and(|at| at <= ctx.now) {
            let actions = self.qbft.as_mut().map(|qbft| qbft.on_tick(ctx.now));
            self.act(ctx, actions.unwrap_or_default());
        }
        self.observe(ctx);
        if self.resends() && ctx.now >= self.resend_at {
            self.say_observation(ctx);
        }
        self.pull_ahead(ctx);
        self.check_budgets(ctx);
        self.draft(ctx);
        self.answer(ctx);
        self.refetch(ctx);
        if let Some(digest) = self.decided.filter(|value| self.results.contains_key(value)) {
            self.settle(ctx, digest);
            self.seal.sign(ctx, digest);
        }
        self.seal.on_tick(ctx);
    }

    /// Asks for the own buckets, of the devices that the snapshot says it is about.
    fn observe(&mut self, ctx: &mut Ctx<'_>) {
        self.has_snapshot = ctx.snapshot.is_some();
        let due = self.decided.is_none() && !self.asked && ctx.now >= self.observe_at;
        if let Some(snapshot) = ctx.snapshot.filter(|_| due) {
            self.asked = true;
            let devices = collect::observed_devices(snapshot, &ctx.desk.term, &ctx.desk.book, ctx.desk.stream);
            let budget = collect::author_bytes(snapshot, &ctx.desk.term, &ctx.desk.book, ctx.desk.stream);
            ctx.out.push(Effect::Observe { stream: ctx.desk.stream, epoch: self.epoch, devices, budget });
        }
    }

    fn start(&mut self, ctx: &mut Ctx<'_>) {
        if self.started {
            return;
        }
        if let Some(qbft) = &mut self.qbft {
            self.started = true;
            let actions = qbft.start(ctx.now);
            self.act(ctx, actions);
        }
    }

    /// Whether the own observation may still be missing somewhere.
    const fn resends(&self) -> bool {
        self.own.is_some() && self.started && self.decided.is_none()
    }

    /// The decided result, once it was recomputed here.
    pub(super) fn outcome(&self) -> Option<&Reckoned> {
        self.results.get(&self.decided?)
    }

    /// The bytes of the decision with its proof.
    pub(super) fn decided_proof(&self) -> Option<wire::Decided> {
        self.qbft.as_ref().and_then(Qbft::decided_proof)
    }

    pub(super) fn next_wakeup(&self) -> Option<u64> {
        let undecided = self.decided.is_none();
        let times = [
            self.qbft.as_ref().filter(|_| !self.started).map(|_| self.opens_at),
            self.qbft.as_ref().and_then(Qbft::next_wakeup),
            (undecided && !self.asked && self.has_snapshot).then_some(self.observe_at),
            self.resends().then_some(self.resend_at),
            self.draft_at.filter(|_| !self.drafted && self.qbft.as_ref().is_some_and(Qbft::wants_candidate)),
            (!self.waiting().is_empty()).then_some(self.fetch_at),
            self.seal.next_wakeup(),
        ];
        times.into_iter().flatten().min()
    }
}

/// Content under its own hash.
fn blob(bytes: Vec<u8>) -> Content {
    Content { id: blob_hash(&bytes), class: 0, bytes }
}
