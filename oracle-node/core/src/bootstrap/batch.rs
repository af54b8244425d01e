//! One batch of device keys: agreement on the list, partials over its digest, the certificate.
//! Leaves out: which batch is due, and restarts (`device_keys`).

use std::collections::{BTreeMap, VecDeque};

use aggregator::Signature;
use alloy_primitives::B256;

use super::confirm::note_fault;
use super::device_keys::{PendingKey, digest, pack, unpack};
use super::journal::Keys;
use super::sign_once::SignOnce;
use super::{Context, Heard, Repeat, broadcast};
use crate::effect::{Effect, Record, Transmission};
use crate::partials::Partials;
use crate::qbft::{Action, Qbft};
use crate::typed::{Kind, Phase};
use crate::wire::{Bytes, Certified, Hash, InstanceId, Message, SignedPartial};

/// Proposed lists that wait for this node's own view of the chain.
const AWAITING_MAX: usize = 8;
/// Least time between two answers to members that ask, ms.
const ANSWER_MS: u64 = 250;

/// One kind-5 instance.
pub(super) struct Batch {
    number: u64,
    instance: InstanceId,
    qbft: Qbft,
    candidate: Vec<PendingKey>,
    /// Sound lists whose keys this node does not all know as pending: judged again when it learns more.
    awaiting: BTreeMap<B256, Vec<PendingKey>>,
    decided: Option<(B256, Vec<PendingKey>)>,
    own: Option<SignedPartial>,
    refused: bool,
    /// Authentic partials not yet looked at, by member (the decision may not be known here).
    incoming: BTreeMap<u32, SignedPartial>,
    partials: Partials,
    /// A certificate from a peer, not yet verified.
    offered: Option<[u8; 48]>,
    certificate: Option<[u8; 48]>,
    repeat: Repeat,
    answered_at: Option<u64>,
}

impl Batch {
    pub(super) fn new(context: &Context, number: u64, journal: &[Record], now: u64) -> Self {
        let instance = InstanceId::new(Kind::KeyActivation, 0, number);
        let qbft = Qbft::restore(context.qbft(instance), context.key.clone(), journal);
        let scope = &context.term.scope;
        let decided = qbft.decided().and_then(|(value, content)| Some((value, unpack(scope, number, value, content)?)));
        Self {
            number,
            instance,
            qbft,
            candidate: Vec::new(),
            awaiting: BTreeMap::new(),
            decided,
            own: None,
            refused: false,
            incoming: BTreeMap::new(),
            partials: Partials::default(),
            offered: None,
            certificate: None,
            repeat: Repeat::new(now),
            answered_at: None,
        }
    }

    /// Sets what this member would propose, and begins.
    pub(super) fn propose(
        &mut self,
        context: &mut Context,
        now: u64,
        keys: &[PendingKey],
        pending: &[PendingKey],
        out: &mut Vec<Effect>,
    ) {
        if self.decided.is_some() || self.candidate == keys {
            return;
        }
        self.candidate = keys.to_vec();
        let value = digest(&context.term.scope, self.number, keys);
        let mut actions = self.qbft.set_candidate(now, value, pack(keys));
        actions.extend(self.qbft.start(now));
        self.carry_out(context, now, actions, pending, out);
    }

    /// Judges again what waited for news from the chain.
    pub(super) fn recheck(&mut self, context: &mut Context, now: u64, pending: &[PendingKey], out: &mut Vec<Effect>) {
        let (known, unknown) =
            core::mem::take(&mut self.awaiting).into_iter().partition(|(_, keys)| contains(pending, keys));
        self.awaiting = unknown;
        let known: BTreeMap<B256, Vec<PendingKey>> = known;
        for value in known.into_keys() {
            let actions = self.qbft.verdict(now, value, true);
            self.carry_out(context, now, actions, pending, out);
        }
    }

    pub(super) fn on_message(
        &mut self,
        context: &mut Context,
        now: u64,
        heard: Heard<'_>,
        pending: &[PendingKey],
        out: &mut Vec<Effect>,
    ) {
        let message = heard.message;
        match message {
            // The statement does not cover the partial: only its author may hand it over.
            Message::Partial(partial) if partial.statement.member == heard.from => {
                self.on_partial(context, now, partial, out);
            }
            Message::Certified(certified) => self.on_certified(certified),
            _ => {}
        }
        if matches!(message, Message::Status(_)) {
            self.answer(now, out);
        }
        let actions = self.qbft.on_message(now, heard.from, message);
        self.carry_out(context, now, actions, pending, out);
    }

    pub(super) fn on_tick(&mut self, context: &mut Context, now: u64, pending: &[PendingKey], out: &mut Vec<Effect>) {
        let actions = self.qbft.on_tick(now);
        self.carry_out(context, now, actions, pending, out);
        if self.certificate.is_none() && self.repeat.is_due(now) {
            match &self.own {
                Some(own) => out.push(broadcast(&Message::Partial(own.clone()))),
                None if self.repeat.count.is_multiple_of(4) => out.push(broadcast(&Message::Status(self.instance))),
                None => {}
            }
        }
    }

    fn carry_out(
        &mut self,
        context: &mut Context,
        now: u64,
        actions: Vec<Action>,
        pending: &[PendingKey],
        out: &mut Vec<Effect>,
    ) {
        let mut queue = VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            match action {
                Action::Persist(record) => out.push(Effect::Persist(record)),
                Action::Broadcast(message) => out.push(broadcast(&message)),
                Action::Validate { view, value, content, .. } => {
                    let keys = unpack(&context.term.scope, self.number, value, &content);
                    match keys {
                        Some(keys) if view > 0 && !contains(pending, &keys) => {
                            if self.awaiting.len() < AWAITING_MAX || self.awaiting.contains_key(&value) {
                                self.awaiting.insert(value, keys);
                            }
                        }
                        keys => queue.extend(self.qbft.verdict(now, value, keys.is_some())),
                    }
                }
                Action::Decided { value, content } => {
                    self.awaiting.clear();
                    let keys = unpack(&context.term.scope, self.number, value, &content);
                    self.decided = keys.map(|keys| (value, keys));
                }
                Action::Fault(proof) => note_fault(&proof, out),
            }
        }
    }

    /// Keeps an authentic partial; somebody who still sends one after the end is told the certificate.
    fn on_partial(&mut self, context: &Context, now: u64, partial: &SignedPartial, out: &mut Vec<Effect>) {
        let statement = &partial.statement;
        let named =
            statement.instance == self.instance && statement.phase == Phase::Partial as u8 && statement.view == 0;
        if !named || statement.member == context.me || !statement.is_authentic(&context.term.scope, &context.addresses)
        {
            return;
        }
        self.incoming.insert(statement.member, partial.clone());
        if self.certificate.is_some() {
            self.answer(now, out);
        }
    }

    fn on_certified(&mut self, certified: &Certified) {
        let same = self.decided.as_ref().is_some_and(|(value, _)| *certified.digest == value.0);
        if self.certificate.is_none() && same {
            self.offered = Some(*certified.certificate);
        }
    }

    /// After the decision: signs it once, and makes the certificate as soon as there are enough partials.
    pub(super) fn settle(
        &mut self,
        context: &mut Context,
        keys: &Keys,
        sign_once: &mut SignOnce,
        now: u64,
        out: &mut Vec<Effect>,
    ) {
        let Some((digest, _)) = self.decided else { return };
        if self.own.is_none() && !self.refused {
            self.sign(context, keys, sign_once, digest, out);
        }
        if self.certificate.is_some() {
            return;
        }
        let sharing = &keys.0;
        let mut refused = Vec::new();
        for (member, signed) in core::mem::take(&mut self.incoming) {
            if signed.statement.value() == digest {
                refused.extend(self.partials.add(sharing, &digest.0, member, &signed.partial));
            }
        }
        let offered = self.offered.take().and_then(|bytes| Signature::from_bytes(&bytes).ok());
        let offered = offered.filter(|certificate| sharing.group.verify(&digest.0, certificate).is_ok());
        if let Some(certificate) = offered {
            return self.certify(context, certificate, now, out);
        }
        let (recovered, culprits) = self.partials.recover(sharing, &digest.0);
        refused.extend(culprits);
        for member in refused {
            let text =
                format!("a key activation partial of member {member}, or what a relay made of it, does not verify");
            context.note(member, "key_activation_bad_partial", text, out);
        }
        if let Some(certificate) = recovered {
            self.certify(context, certificate, now, out);
            self.say(out);
        }
    }

    fn sign(
        &mut self,
        context: &mut Context,
        keys: &Keys,
        sign_once: &mut SignOnce,
        digest: B256,
        out: &mut Vec<Effect>,
    ) {
        let Some(signed) = sign_once.sign(context, &keys.1, self.instance, digest) else {
            self.refused = true;
            let text = format!(
                "the journal holds a partial over another list for batch {}; none was made over this one",
                self.number
            );
            return context.note(context.me, "sign_once_refused", text, out);
        };
        out.extend(signed.record.map(Effect::Persist));
        out.push(broadcast(&Message::Partial(signed.partial.clone())));
        self.partials.set_own(keys.1.sign(&digest.0));
        self.own = Some(signed.partial);
    }

    fn certify(&mut self, context: &Context, certificate: Signature, now: u64, out: &mut Vec<Effect>) {
        let Some((_, keys)) = &self.decided else { return };
        self.certificate = Some(certificate.to_bytes());
        let what = Transmission::ActivateKeys {
            batch: self.number,
            keys: keys.clone(),
            certificate: certificate.to_onchain().to_vec(),
        };
        out.push(Effect::Transmit { not_before: context.turn(now), what });
    }

    /// The shares were refreshed: signs again with the new one.
    pub(super) fn forget_partials(&mut self) {
        (self.own, self.partials) = (None, Partials::default());
    }

    /// What this member has of the end: the certificate, or its partial.
    fn say(&self, out: &mut Vec<Effect>) {
        let certified = self.certificate.zip(self.decided.as_ref()).map(|(certificate, (digest, _))| {
            let (digest, certificate) = (Hash::from(digest.0), Bytes::from(certificate));
            Message::Certified(Certified { instance: self.instance, digest, certificate })
        });
        let said = certified.or_else(|| self.own.clone().map(Message::Partial));
        out.extend(said.map(|message| broadcast(&message)));
    }

    fn answer(&mut self, now: u64, out: &mut Vec<Effect>) {
        if self.answered_at.is_none_or(|at| now >= at.saturating_add(ANSWER_MS)) {
            self.answered_at = Some(now);
            self.say(out);
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<u64> {
        let repeat = self.certificate.is_none().then_some(self.repeat.at);
        [repeat, self.qbft.next_wakeup()].into_iter().flatten().min()
    }
}

/// Whether every key of a list is among the pending ones.
fn contains(pending: &[PendingKey], keys: &[PendingKey]) -> bool {
    keys.iter().all(|key| pending.binary_search(key).is_ok())
}
