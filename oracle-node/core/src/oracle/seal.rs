//! After the decision: sign once, gather partials, recover the certificate. docs/adr/0001.
//! Leaves out: deciding (`qbft`), and what the digest says (`report`).

use std::collections::{BTreeMap, BTreeSet};

use aggregator::Signature;
use alloy_primitives::B256;

use super::desk::Ctx;
use super::journal::{self, CERTIFIED, SIGN};
use crate::effect::{Effect, Journal};
use crate::fault::FaultProof;
use crate::keyring::Span;
use crate::partials::Partials;
use crate::typed::{Kind, Phase};
use crate::wire::{Bytes, Certified, Hash, InstanceId, Message, SignedPartial, Statement};

/// The certificate of one instance, in the making.
#[derive(Debug)]
pub(super) struct Seal {
    instance: InstanceId,
    own: Option<SignedPartial>,
    digest: Option<B256>,
    partials: Partials,
    /// The keys that the partials are of.
    signed_in: Option<Span>,
    /// By member, what it said before the decision.
    said: BTreeMap<u32, SignedPartial>,
    certified: Option<Certified>,
    /// What came before the decision, by peer.
    early: BTreeMap<u32, Certified>,
    /// When to ask for the decision again at the earliest.
    ask_at: u64,
    /// Peers that handed over a certificate of the digest that does not verify: no further one of theirs is looked at.
    liars: BTreeSet<u32>,
    /// Members that are known to have signed two digests.
    accused: BTreeSet<u32>,
    handed_over: bool,
    resend_at: u64,
    helped_at: Option<u64>,
}

impl Seal {
    /// Takes back what was signed and certified.
    pub(super) fn restore(instance: InstanceId, scope: &crate::typed::Scope, journal: &Journal) -> Self {
        let certified: Option<Certified> = journal::load(journal, CERTIFIED, scope, instance);
        Self {
            instance,
            own: journal::load(journal, SIGN, scope, instance),
            digest: None,
            partials: Partials::default(),
            signed_in: None,
            said: BTreeMap::new(),
            handed_over: certified.is_some(),
            certified,
            early: BTreeMap::new(),
            ask_at: 0,
            liars: BTreeSet::new(),
            accused: BTreeSet::new(),
            resend_at: u64::MAX,
            helped_at: None,
        }
    }

    /// The certificate, once known to belong to the decision.
    pub(super) const fn certified(&self) -> Option<&Certified> {
        self.certified.as_ref()
    }

    /// The certificate, the first time it is asked for.
    pub(super) fn take_news(&mut self) -> Option<Certified> {
        let news = self.certified.clone().filter(|_| !self.handed_over);
        self.handed_over |= news.is_some();
        news
    }

    /// Releases this member's partial over a decided digest, if no other digest was ever signed for the instance.
    pub(super) fn sign(&mut self, ctx: &mut Ctx<'_>, digest: B256) {
        if self.digest.is_some() {
            return;
        }
        self.digest = Some(digest);
        match &self.own {
            Some(own) if own.statement.value() != digest => {
                let text = format!("another digest than {digest} was signed for epoch {}", self.instance.epoch);
                ctx.note("sign_once_refused", format!("{text}; this member signs nothing"));
            }
            None if !ctx.desk.may_speak(self.instance.epoch) => {}
            _ => self.sign_own(ctx, digest),
        }
        self.resend_at = ctx.now.saturating_add(ctx.desk.book.conduct.view_timeout_ms);
        for early in self.said.clone().into_values() {
            self.take(ctx, &early);
        }
        for (from, early) in core::mem::take(&mut self.early) {
            self.on_certified(ctx, from, &early);
        }
        self.recover(ctx);
    }

    /// The keys that count for the instance: a report's by its epoch, others' by the clock.
    fn span<'a>(&self, ctx: &Ctx<'a>) -> &'a Span {
        let by_clock = || ctx.desk.term.epoch_at(ctx.now).unwrap_or(0);
        let report = self.instance.kind() == Some(Kind::Report);
        ctx.desk.keys.at(if report { self.instance.epoch } else { by_clock() })
    }

    /// Signs with the share that counts, and says so. The statement over the digest is made once, for ever; only the
    /// partial beside it follows a refresh of the share. Without a share there is nothing to say.
    fn sign_own(&mut self, ctx: &mut Ctx<'_>, digest: B256) {
        let (desk, span) = (ctx.desk, self.span(ctx));
        self.signed_in = Some(span.clone());
        let Some(share) = &span.share else { return };
        let scope = &desk.term.scope;
        let signed = share.sign(&digest.0);
        let partial = Bytes::from(signed.signature.to_bytes());
        let statement = self.own.as_ref().map(|own| own.statement.clone());
        let statement = statement
            .unwrap_or_else(|| Statement::sign(scope, &desk.key, desk.me, self.instance, Phase::Partial, 0, digest));
        let own = SignedPartial { statement, partial };
        if self.own.as_ref() != Some(&own) {
            ctx.out.push(Effect::Persist(journal::record(SIGN, scope, self.instance, &own)));
        }
        self.partials.set_own(signed);
        ctx.out.push(Effect::Broadcast(Message::Partial(own.clone()).encode()));
        self.own = Some(own);
    }

    /// Begins again when a refresh put other shares in force meanwhile: partials of two sharings never add up.
    fn follow_keys(&mut self, ctx: &mut Ctx<'_>) {
        let Some(digest) = self.digest.filter(|_| self.certified.is_none()) else { return };
        if self.signed_in.as_ref().is_none_or(|before| before.same_as(self.span(ctx))) {
            return;
        }
        self.partials = Partials::default();
        self.signed_in = Some(self.span(ctx).clone());
        match &self.own {
            Some(own) if own.statement.value() != digest => {}
            None if !ctx.desk.may_speak(self.instance.epoch) => {}
            _ => self.sign_own(ctx, digest),
        }
    }

    /// Takes a member's partial, from its own hands (`from`) only; one that comes before the decision waits.
    pub(super) fn on_partial(&mut self, ctx: &mut Ctx<'_>, from: u32, signed: &SignedPartial) {
        let statement = &signed.statement;
        let fits =
            statement.instance == self.instance && statement.phase() == Some(Phase::Partial) && statement.view == 0;
        if !fits || statement.member == ctx.desk.me || statement.member != from {
            return;
        }
        if self.certified.is_some() {
            return self.help(ctx);
        }
        let accused = self.accused.contains(&statement.member);
        if accused || !statement.is_authentic(&ctx.desk.term.scope, &ctx.desk.addresses) {
            return;
        }
        let first = self.said.get(&from).filter(|first| first.statement.value != statement.value);
        if let Some(first) = first {
            let proof = FaultProof { a: first.statement.clone(), b: statement.clone() };
            self.accused.insert(from);
            return ctx.accuse(&proof);
        }
        self.said.insert(from, signed.clone());
        if self.digest.is_some() {
            self.take(ctx, signed);
            self.recover(ctx);
        }
    }

    fn take(&mut self, ctx: &mut Ctx<'_>, signed: &SignedPartial) {
        let Some(digest) = self.digest.filter(|digest| *digest == signed.statement.value()) else { return };
        let sharing = &self.span(ctx).sharing;
        let refused = self.partials.add(sharing, &digest.0, signed.statement.member, &signed.partial);
        if let Some(member) = refused {
            self.blame(ctx, &[member]);
        }
    }

    fn blame(&self, ctx: &mut Ctx<'_>, members: &[u32]) {
        let text = format!("wrong partials for epoch {} of members {members:?}", self.instance.epoch);
        ctx.note("bad_partial", text);
    }

    fn recover(&mut self, ctx: &mut Ctx<'_>) {
        self.follow_keys(ctx);
        let Some(digest) = self.digest.filter(|_| self.certified.is_none()) else { return };
        let (certificate, culprits) = self.partials.recover(&self.span(ctx).sharing, &digest.0);
        if !culprits.is_empty() {
            self.blame(ctx, &culprits);
        }
        if let Some(certificate) = certificate {
            let certified = self.certificate_of(digest, &certificate);
            ctx.out.push(Effect::Broadcast(Message::Certified(certified.clone()).encode()));
            self.certified = Some(certified);
            self.helped_at = Some(ctx.now);
        }
    }

    fn certificate_of(&self, digest: B256, certificate: &Signature) -> Certified {
        let digest = Hash::from(digest.0);
        Certified { instance: self.instance, digest, certificate: Bytes::from(certificate.to_bytes()) }
    }

    /// Takes a certificate that peer `from` hands over. `true` when it is time to ask what was decided: others say it was.
    ///
    /// Nothing shows what a digest is of before it is known here: a certificate of another epoch verifies under any name. So
    /// what comes before the decision is only kept, the newest of each peer, and another digest is no concern of this instance.
    pub(super) fn on_certified(&mut self, ctx: &mut Ctx<'_>, from: u32, certified: &Certified) -> bool {
        if self.certified.is_some() || certified.instance != self.instance {
            return false;
        }
        let Some(digest) = self.digest else {
            self.early.insert(from, certified.clone());
            let rested = ctx.now >= self.ask_at;
            self.ask_at =
                if rested { ctx.now.saturating_add(ctx.desk.book.conduct.view_timeout_ms / 2) } else { self.ask_at };
            return rested;
        };
        if digest.0 != *certified.digest || self.liars.contains(&from) {
            return false;
        }
        let signature = Signature::from_bytes(&certified.certificate);
        if signature.is_ok_and(|signature| ctx.desk.keys.group().verify(&digest.0, &signature).is_ok()) {
            self.certified = Some(certified.clone());
            self.helped_at = Some(ctx.now);
        } else {
            self.liars.insert(from);
        }
        false
    }

    /// Sends the certificate to whoever still lacks it, at most every half view timeout.
    pub(super) fn help(&mut self, ctx: &mut Ctx<'_>) {
        let pause = ctx.desk.book.conduct.view_timeout_ms / 2;
        let rested = self.helped_at.is_none_or(|at| ctx.now >= at.saturating_add(pause));
        if let Some(certified) = self.certified.as_ref().filter(|_| rested) {
            ctx.out.push(Effect::Broadcast(Message::Certified(certified.clone()).encode()));
            self.helped_at = Some(ctx.now);
        }
    }

    /// Says its own partial again while there is no certificate.
    pub(super) fn on_tick(&mut self, ctx: &mut Ctx<'_>) {
        if ctx.now < self.resend_at || self.certified.is_some() {
            return;
        }
        self.resend_at = ctx.now.saturating_add(ctx.desk.book.conduct.view_timeout_ms.max(1));
        self.follow_keys(ctx);
        let own = self.own.as_ref().filter(|own| Some(own.statement.value()) == self.digest);
        if let Some(own) = own {
            ctx.out.push(Effect::Broadcast(Message::Partial(own.clone()).encode()));
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<u64> {
        (self.digest.is_some() && self.certified.is_none()).then_some(self.resend_at)
    }
}
