//! Who takes part in a refresh: a kind-6 instance decides it, so that all dealers deal to the same members.
//! A member takes part whose operator asked for it; n − f of them are needed, the others are absent.
//! Leaves out: the dealing itself (`dealing`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alloy_primitives::B256;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

use super::super::confirm::note_fault;
use super::super::{Context, GRACE_MS, Heard, broadcast};
use crate::effect::{Effect, Record};
use crate::limits;
use crate::qbft::{Action, Qbft};
use crate::typed::{Kind, Phase};
use crate::wire::{self, Hash, InstanceId, Message, Statement};

/// The content of a kind-6 instance.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Content {
    /// Root of the sharing that is refreshed.
    #[n(0)]
    base: Hash,
    /// What members asked, ascending by member.
    #[n(1)]
    asks: Vec<Statement>,
}

/// Who takes part, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decided {
    /// Digest of the content: names the session.
    pub(super) value: B256,
    /// Root of the sharing that is refreshed.
    pub(super) base: B256,
    /// Members that take part.
    pub(super) present: BTreeSet<u32>,
}

/// The agreement.
pub(super) struct Roster {
    instance: InstanceId,
    qbft: Qbft,
    decided: Option<Decided>,
    enough_since: Option<u64>,
    has_candidate: bool,
}

/// What a member signs that asks for a refresh: an observation without a body.
pub(super) fn asked_value() -> B256 {
    digest(&[])
}

/// The instance of a refresh's roster.
pub(super) const fn instance(number: u64) -> InstanceId {
    InstanceId::new(Kind::Refresh, 0, number)
}

/// Whether a member really asks for the refresh that its statement names.
pub(super) fn is_ask(context: &Context, said: &Statement) -> bool {
    said.instance == instance(said.instance.epoch)
        && said.instance.epoch > 0
        && said.phase == Phase::Observation as u8
        && said.view == 0
        && said.value() == asked_value()
        && said.is_authentic(&context.term.scope, &context.addresses)
}

impl Roster {
    pub(super) fn new(context: &Context, number: u64, journal: &[Record]) -> Self {
        let instance = instance(number);
        let qbft = Qbft::restore(context.qbft(instance), context.key.clone(), journal);
        let decided = qbft.decided().and_then(|(value, content)| read(context, instance, value, content));
        Self { instance, qbft, decided, enough_since: None, has_candidate: false }
    }

    pub(super) const fn decided(&self) -> Option<&Decided> {
        self.decided.as_ref()
    }

    /// Proposes everybody who asked, without `suspects` if enough remain: once all have asked, or some time after n − f.
    pub(super) fn propose(
        &mut self,
        context: &mut Context,
        now: u64,
        base: B256,
        asks: &BTreeMap<u32, Statement>,
        suspects: &[u32],
        out: &mut Vec<Effect>,
    ) {
        if self.has_candidate || self.decided.is_some() {
            return;
        }
        let trusted: Vec<&Statement> = asks.values().filter(|ask| !suspects.contains(&ask.member)).collect();
        let chosen = if trusted.len() >= context.quorum() { trusted } else { asks.values().collect() };
        if chosen.len() < context.quorum() {
            self.enough_since = None;
            return;
        }
        let since = *self.enough_since.get_or_insert(now);
        let all = u32::try_from(asks.len()).is_ok_and(|asks| asks >= context.term.n());
        if !all && now < since.saturating_add(GRACE_MS) {
            return;
        }
        self.has_candidate = true;
        let content = wire::encode(&Content { base: base.0.into(), asks: chosen.into_iter().cloned().collect() });
        let mut actions = self.qbft.set_candidate(now, digest(&content), content);
        actions.extend(self.qbft.start(now));
        self.carry_out(context, now, base, actions, out);
    }

    /// A message of the agreement. A proposal of others begins it here, too.
    pub(super) fn on_message(
        &mut self,
        context: &mut Context,
        now: u64,
        base: B256,
        heard: Heard<'_>,
        out: &mut Vec<Effect>,
    ) {
        let mut actions = Vec::new();
        if let Message::Proposal(proposal) = heard.message {
            let known = read(context, self.instance, proposal.statement.value(), &proposal.content);
            if known.is_some_and(|roster| roster.base == base) && !self.has_candidate {
                actions.extend(self.qbft.start(now));
            }
        }
        actions.extend(self.qbft.on_message(now, heard.from, heard.message));
        self.carry_out(context, now, base, actions, out);
    }

    pub(super) fn on_tick(&mut self, context: &mut Context, now: u64, base: B256, out: &mut Vec<Effect>) {
        let actions = self.qbft.on_tick(now);
        self.carry_out(context, now, base, actions, out);
    }

    fn carry_out(&mut self, context: &mut Context, now: u64, base: B256, actions: Vec<Action>, out: &mut Vec<Effect>) {
        let mut queue = VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            match action {
                Action::Persist(record) => out.push(Effect::Persist(record)),
                Action::Broadcast(message) => out.push(broadcast(&message)),
                Action::Validate { view, value, content, .. } => {
                    let roster = read(context, self.instance, value, &content);
                    // What a quorum decided stands, whatever this node's view of the chain.
                    let valid = roster.is_some_and(|roster| view == 0 || roster.base == base);
                    queue.extend(self.qbft.verdict(now, value, valid));
                }
                Action::Decided { value, content } => self.decided = read(context, self.instance, value, &content),
                Action::Fault(proof) => note_fault(&proof, out),
            }
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<u64> {
        let waits = !self.has_candidate && self.decided.is_none();
        let grace = self.enough_since.filter(|_| waits).map(|since| since.saturating_add(GRACE_MS));
        [grace, self.qbft.next_wakeup()].into_iter().flatten().min()
    }
}

/// A roster from content: its digest, n − f true asks for this refresh, ascending by member.
fn read(context: &Context, instance: InstanceId, value: B256, bytes: &[u8]) -> Option<Decided> {
    if digest(bytes) != value {
        return None;
    }
    let content: Content = wire::decode(bytes, limits::BLOB_BYTES_MAX).ok()?;
    let ascending = content.asks.is_sorted_by(|a, b| a.member < b.member);
    let enough = content.asks.len() >= context.quorum();
    let named = content.asks.iter().all(|ask| ask.instance == instance);
    let sound = ascending && enough && named && content.asks.iter().all(|ask| is_ask(context, ask));
    let present = content.asks.iter().map(|ask| ask.member).collect();
    sound.then(|| Decided { value, base: B256::from(*content.base), present })
}

fn digest(content: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(content)))
}
