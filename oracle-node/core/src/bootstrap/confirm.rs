//! Key confirmation (every share proves itself in one certificate) and the members' activation signatures.
//! Leaves out: how the key came to be (`dealing`) and the transaction itself (the node).

use std::collections::{BTreeMap, BTreeSet};

use aggregator::{Partial, Signature};
use alloy_primitives::{B256, keccak256};

use super::journal::{self, Keys};
use super::sign_once::SignOnce;
use super::{Context, GRACE_MS, Repeat, broadcast};
use crate::effect::{Effect, Record, Transmission};
use crate::fault::FaultProof;
use crate::merkle;
use crate::typed::{Activation, KeyConfirmation, Kind, Phase, recover_signer};
use crate::wire::{self, Bytes, Certified, Hash, InstanceId, Message, SignedPartial};

/// Least time between two answers to members that ask, ms.
const ANSWER_MS: u64 = 250;
/// Longest `confirmation/` record.
const RECORD_BYTES_MAX: usize = 256;

/// What other members sent before the key existed here; at most one of each per member.
#[derive(Debug, Default)]
pub(super) struct Early {
    partials: BTreeMap<u32, Message>,
    activations: BTreeMap<u32, [u8; 65]>,
}

impl Early {
    pub(super) fn keep_partial(&mut self, context: &Context, message: &Message) {
        if let Message::Partial(partial) = message
            && partial.statement.is_authentic(&context.term.scope, &context.addresses)
        {
            self.partials.insert(partial.statement.member, message.clone());
        }
    }

    /// Cannot be checked yet; a made-up one costs nothing but a repetition.
    pub(super) fn keep_activation(&mut self, context: &Context, member: u32, signature: &[u8; 65]) {
        if member < context.term.n() {
            self.activations.insert(member, *signature);
        }
    }

    pub(super) fn hand_over(self, context: &mut Context, now: u64, to: &mut Confirmation, out: &mut Vec<Effect>) {
        for message in self.partials.values() {
            to.on_message(context, now, message, out);
        }
        for (member, signature) in &self.activations {
            to.on_activation(context, *member, signature);
        }
    }
}

/// A key on its way to the chain.
pub(super) struct Confirmation {
    /// 0, or the number of the refresh.
    number: u64,
    instance: InstanceId,
    /// Members that take part.
    present: BTreeSet<u32>,
    keys: Keys,
    share_root: B256,
    digest: B256,
    activation_digest: B256,
    /// Own partial and its record while that is not yet written; `None` if the sign-once journal forbids it.
    own: Option<SignedPartial>,
    unwritten: Option<Record>,
    partials: BTreeMap<u32, Partial>,
    enough_since: Option<u64>,
    certificate: Option<Signature>,
    signatures: BTreeMap<u32, [u8; 65]>,
    transmitted: bool,
    repeat: Repeat,
    answered_at: Option<u64>,
}

impl Confirmation {
    pub(super) fn new(context: &Context, keys: Keys, sign_once: &mut SignOnce, journal: &[Record], now: u64) -> Self {
        Self::of(context, (0, (0..context.term.n()).collect()), keys, sign_once, journal, now)
    }

    /// The confirmation of a refresh's key, by its number, among those present; number 0 is the term's first key.
    pub(super) fn of(
        context: &Context,
        (number, present): (u64, BTreeSet<u32>),
        keys: Keys,
        sign_once: &mut SignOnce,
        journal: &[Record],
        now: u64,
    ) -> Self {
        let instance = InstanceId::new(Kind::Confirmation, 0, number);
        let scope = &context.term.scope;
        let (committee, term, config_digest) = (scope.committee, scope.term, scope.config_digest);
        let group_key_hash = keccak256(keys.0.group.to_eip2537());
        let share_root = merkle::share_root(&keys.0);
        let digest = scope.digest(&KeyConfirmation {
            committee,
            term,
            configDigest: config_digest,
            groupKeyHash: group_key_hash,
            shareRoot: share_root,
        });
        let activation_digest = scope.digest(&Activation {
            committee,
            term,
            configDigest: config_digest,
            groupKeyHash: group_key_hash,
            shareRoot: share_root,
        });
        let signed = sign_once.sign(context, &keys.1, instance, digest);
        let (own, unwritten) = signed.map_or((None, None), |signed| (Some(signed.partial), signed.record));
        let mut this = Self {
            number,
            instance,
            present,
            share_root,
            digest,
            activation_digest,
            own,
            unwritten,
            partials: BTreeMap::new(),
            enough_since: None,
            certificate: None,
            signatures: BTreeMap::new(),
            transmitted: false,
            repeat: Repeat::new(now),
            answered_at: None,
            keys,
        };
        if this.own.is_some() {
            this.partials.insert(context.me, this.keys.1.sign(&digest.0));
        }
        let kept = journal::get(journal, &journal::confirmation_key(&context.term, number));
        let kept = kept.and_then(|bytes| wire::decode::<Certified>(bytes, RECORD_BYTES_MAX).ok());
        if let Some(certificate) = kept.and_then(|certified| this.verified(&certified)) {
            this.certificate = Some(certificate);
            this.signatures.insert(context.me, context.key.sign(&activation_digest));
        }
        this
    }

    /// Kind-3 traffic: partials, the certificate, and questions.
    pub(super) fn on_message(&mut self, context: &mut Context, now: u64, message: &Message, out: &mut Vec<Effect>) {
        match message {
            Message::Partial(partial) => {
                self.on_partial(context, partial, out);
                if self.certificate.is_some() {
                    self.answer(now, out);
                }
            }
            Message::Certified(certified) if self.certificate.is_none() => {
                if let Some(certificate) = self.verified(certified) {
                    self.accept(context, certificate, out);
                }
            }
            Message::Status(_) => self.answer(now, out),
            _ => {}
        }
    }

    fn on_partial(&mut self, context: &mut Context, signed: &SignedPartial, out: &mut Vec<Effect>) {
        let statement = &signed.statement;
        let member = statement.member;
        let named =
            statement.instance == self.instance && statement.phase == Phase::Partial as u8 && statement.view == 0;
        if !named
            || self.partials.contains_key(&member)
            || !statement.is_authentic(&context.term.scope, &context.addresses)
        {
            return;
        }
        if statement.value() != self.digest {
            let text = format!("member {member} confirms another key than this node has concluded");
            return context.note(member, "confirmation_differs", text, out);
        }
        let partial = Signature::from_bytes(&signed.partial).map(|signature| Partial { index: member, signature });
        match partial.and_then(|partial| self.keys.0.verify_partial(&self.digest.0, &partial).map(|()| partial)) {
            Ok(partial) => {
                self.partials.insert(member, partial);
            }
            Err(error) => {
                let text = format!("the confirmation partial of member {member}, or what a relay made of it: {error}");
                context.note(member, "confirmation_bad_partial", text, out);
            }
        }
    }

    /// A member's signature over the activation; anything that is not exactly that changes nothing.
    pub(super) fn on_activation(&mut self, context: &Context, member: u32, signature: &[u8; 65]) {
        let expected = usize::try_from(member).ok().and_then(|index| context.addresses.get(index));
        if expected.is_some()
            && !self.signatures.contains_key(&member)
            && recover_signer(&self.activation_digest, signature).as_ref() == expected
        {
            self.signatures.insert(member, *signature);
        }
    }

    /// Goes on as far as possible.
    pub(super) fn advance(&mut self, context: &mut Context, now: u64, out: &mut Vec<Effect>) {
        out.extend(self.unwritten.take().map(Effect::Persist));
        if self.own.is_none() {
            let text =
                "the journal holds a partial over another key confirmation of this term; none was made over this one";
            context.note(context.me, "sign_once_refused", text.into(), out);
        }
        self.recover(context, now, out);
        if self.repeat.is_due(now) {
            self.say(out);
        }
        let quorum = context.quorum();
        if let Some(certificate) = self.certificate.filter(|_| !self.transmitted && self.signatures.len() >= quorum) {
            self.transmitted = true;
            let share_root = self.share_root;
            let signatures = self.signatures.iter().take(quorum).map(|(member, bytes)| (*member, *bytes)).collect();
            let what = match self.number {
                0 => Transmission::Activate {
                    group_key: self.keys.0.group.to_eip2537().to_vec(),
                    share_root,
                    confirmation: certificate.to_onchain().to_vec(),
                    signatures,
                },
                _ => Transmission::RefreshShares { share_root, signatures },
            };
            out.push(Effect::Transmit { not_before: context.turn(now), what });
        }
    }

    /// The certificate: from the partials of all, or of n−f after a wait for the rest.
    fn recover(&mut self, context: &mut Context, now: u64, out: &mut Vec<Effect>) {
        let sharing = &self.keys.0;
        let have = u32::try_from(self.partials.len()).unwrap_or(u32::MAX);
        if self.certificate.is_some() || have < sharing.threshold {
            return;
        }
        let since = *self.enough_since.get_or_insert(now);
        let all = self.present.iter().all(|member| self.partials.contains_key(member));
        if !all && now < since.saturating_add(GRACE_MS) {
            return;
        }
        let partials: Vec<Partial> = self.partials.values().copied().collect();
        match sharing.recover(&self.digest.0, &partials) {
            Ok(certificate) => {
                let missing = self.missing();
                if !missing.is_empty() {
                    let text = format!(
                        "the key is confirmed without members {missing:?}; their shares are not proven to work"
                    );
                    out.push(Effect::Note { code: "confirmation_incomplete", text });
                }
                self.accept(context, certificate, out);
                out.push(broadcast(&self.certified(&certificate)));
            }
            Err(error) => {
                self.enough_since = Some(now); // no partial was wrong when it came: wait before trying again
                let text = format!("the confirmation cannot be recovered: {error}");
                context.note(context.me, "confirmation_failed", text, out);
            }
        }
    }

    /// Keeps the verified certificate and consents to the key.
    fn accept(&mut self, context: &Context, certificate: Signature, out: &mut Vec<Effect>) {
        self.certificate = Some(certificate);
        if let Message::Certified(certified) = self.certified(&certificate) {
            let key = journal::confirmation_key(&context.term, self.number);
            out.push(Effect::Persist(Record { key, value: wire::encode(&certified) }));
        }
        let signature = context.key.sign(&self.activation_digest);
        self.signatures.insert(context.me, signature);
        out.push(broadcast(&Message::Activation(context.me, Bytes::from(signature))));
    }

    fn certified(&self, certificate: &Signature) -> Message {
        let certificate = Bytes::from(certificate.to_bytes());
        Message::Certified(Certified { instance: self.instance, digest: Hash::from(self.digest.0), certificate })
    }

    fn verified(&self, certified: &Certified) -> Option<Signature> {
        let same = certified.instance == self.instance && *certified.digest == self.digest.0;
        let signature = Signature::from_bytes(&certified.certificate).ok().filter(|_| same)?;
        self.keys.0.group.verify(&self.digest.0, &signature).ok().map(|()| signature)
    }

    /// Everything of this member's that another may lack.
    fn say(&self, out: &mut Vec<Effect>) {
        match &self.certificate {
            Some(certificate) => out.push(broadcast(&self.certified(certificate))),
            None => out.extend(self.own.clone().map(|own| broadcast(&Message::Partial(own)))),
        }
        let me = self.keys.1.index;
        out.extend(self.signatures.get(&me).map(|own| broadcast(&Message::Activation(me, Bytes::from(*own)))));
    }

    fn answer(&mut self, now: u64, out: &mut Vec<Effect>) {
        let rested = self.answered_at.is_none_or(|at| now >= at.saturating_add(ANSWER_MS));
        // What is not durable yet is not said.
        if rested && self.unwritten.is_none() {
            self.answered_at = Some(now);
            self.say(out);
        }
    }

    pub(super) fn next_wakeup(&self) -> u64 {
        let grace =
            self.enough_since.filter(|_| self.certificate.is_none()).map(|since| since.saturating_add(GRACE_MS));
        grace.map_or(self.repeat.at, |grace| grace.min(self.repeat.at))
    }

    pub(super) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    pub(super) const fn is_certified(&self) -> bool {
        self.certificate.is_some()
    }

    pub(super) fn partials(&self) -> u32 {
        u32::try_from(self.partials.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn activations(&self) -> u32 {
        u32::try_from(self.signatures.len()).unwrap_or(u32::MAX)
    }

    fn missing(&self) -> Vec<u32> {
        self.present.iter().copied().filter(|member| !self.partials.contains_key(member)).collect()
    }

    pub(super) const fn share_root(&self) -> B256 {
        self.share_root
    }

    /// Whose partial (before the certificate) or activation signature (after it) is missing.
    pub(super) fn waiting_for(&self) -> Vec<u32> {
        let silent = |member: &u32| !self.signatures.contains_key(member);
        match self.certificate {
            None => self.missing(),
            Some(_) => self.present.iter().copied().filter(silent).collect(),
        }
    }
}

/// Tells the operator, and keeps the proof.
pub(super) fn note_fault(proof: &FaultProof, out: &mut Vec<Effect>) {
    let (member, instance) = (proof.a.member, proof.a.instance);
    let key = [b"fault/".as_slice(), &merkle::sha_leaf(&wire::encode(proof))].concat();
    out.push(Effect::Persist(Record { key, value: wire::encode(proof) }));
    let text = format!(
        "member {member} signed two different statements about {instance:?}, phase {}, view {}",
        proof.a.phase, proof.a.view
    );
    out.push(Effect::Note { code: "fault_proof", text });
}
