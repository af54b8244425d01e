//! Refreshing the members' shares: same members, same group key, new shares that do not combine with the old ones.
//! docs/protocol.md §7 "Refresh", docs/reshare.md. It makes shares stolen over a long time worthless, and gives a member
//! that lost its share a new one. It revokes nothing by itself: n − f old shares sign until they are erased.
//!
//! ```text
//! ask (operators) ─(kind 6 decides who takes part)─ deal ─ acknowledge ─ log ─(kind 2 decides the logs)─ conclude
//!   ─ partials under the new shares ─ confirmation (kind 3) ─ activation signatures ─ chain ─ from one epoch on ─ erase
//! ```
//!
//! f members that are away do not stop it. One that takes part and then falls silent does, for this number: a log is only
//! signed when everybody present has acknowledged, or shares would be published. Such a refresh ends by itself, names who
//! was missing, and the next number goes without them. Until the chain has the new root nothing changes.
//! Leaves out: when to refresh (the operators), which share counts when (`keyring`), the erasing itself (the node).

mod progress;
mod roster;
mod vault;

use std::collections::BTreeMap;
use std::sync::Arc;

use aggregator::dkg::{Basis, Ceremony, DkgError};
use alloy_primitives::B256;
use minicbor::bytes::ByteVec;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::confirm::{Confirmation, Early};
use super::dealing::{self, Generation};
use super::sign_once::SignOnce;
use super::{Context, Heard, Repeat, broadcast, instance_of, journal};
use crate::effect::{Effect, Entropy, Record};
use crate::keyring::Keyring;
use crate::limits::REFRESH_AHEAD_S;
use crate::merkle;
use crate::qbft::journal_prefix;
use crate::typed::{Kind, Phase as Step};
use crate::wire::{Direct, InstanceId, Message, Statement};

pub use progress::RefreshProgress;
use progress::waiting_for;
use roster::Roster;
use vault::Vault;

/// Time from the ask to giving up, in view timeouts.
const PATIENCE_VIEWS: u64 = 300;
/// How long an ask is one to join, s; later a new number is begun.
const ASK_LIFE_S: u64 = 900;
/// Least time between two answers to members that lack the public shares, ms.
const ANSWER_MS: u64 = 500;

/// One refresh, from the ask on.
struct Attempt {
    number: u64,
    seed: Zeroizing<[u8; 32]>,
    deadline: u64,
    ask: Statement,
    roster: Roster,
    generation: Option<Generation>,
    early: Early,
    confirmation: Option<Confirmation>,
    repeat: Repeat,
    /// The chain has its root.
    done: bool,
}

/// One member's side of all refreshes of a term.
pub(super) struct Refresher {
    dkg_seed: Zeroizing<[u8; 32]>,
    /// What the chain took, in order: root, first epoch.
    roots: Vec<(B256, u64)>,
    vault: Vault,
    /// Highest number that this member ever asked for.
    used: u64,
    /// The newest ask of every member.
    asks: BTreeMap<u32, Statement>,
    attempt: Option<Attempt>,
    /// Members that an earlier refresh of this process waited for in vain.
    suspects: Vec<u32>,
    failure: Option<String>,
    /// Latest time seen, unix ms.
    clock: u64,
    /// What the process found on disk about refreshes.
    journal: Vec<Record>,
    lacks: Repeat,
    /// Root of the newest sharing while there is no share of it here, and when the operator is told; `None` = was told.
    shareless: Option<(B256, Option<u64>)>,
    answered_at: Option<u64>,
}

impl Refresher {
    pub(super) fn new(context: &Context, dkg_seed: [u8; 32], journal: &[Record], now: u64) -> Self {
        let used = journal::get(journal, &journal::asked_key(&context.term));
        let used = used.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
        let mut this = Self {
            dkg_seed: Zeroizing::new(dkg_seed),
            roots: Vec::new(),
            vault: Vault::load(context, journal),
            used,
            asks: BTreeMap::new(),
            attempt: None,
            suspects: Vec::new(),
            failure: None,
            clock: now,
            journal: records_of(context, used, journal),
            lacks: Repeat::new(now),
            shareless: None,
            answered_at: None,
        };
        let seed = journal::get(journal, &journal::seed_key(&context.term, used));
        if let Some(seed) = seed.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).filter(|_| used > 0) {
            this.begin(context, used, Zeroizing::new(seed), now);
        }
        this
    }

    /// The operator's ask. What follows from it is durable before anybody hears of it.
    pub(super) fn ask(
        &mut self,
        context: &mut Context,
        now: u64,
        number: u64,
        entropy: &Entropy,
        out: &mut Vec<Effect>,
    ) {
        self.clock = self.clock.max(now);
        let number = if number == 0 { self.next() } else { number };
        let refused = if self.roots.is_empty() {
            Some("the term is not active, or the chain is not followed yet".to_owned())
        } else if number <= self.used {
            Some(format!("number {number} is used up; the next one is {}", self.next()))
        } else if number > (now / 1_000).saturating_add(REFRESH_AHEAD_S) {
            Some(format!("number {number} lies in the future: numbers are unix seconds, now {}", now / 1_000))
        } else {
            None
        };
        if let Some(why) = refused {
            return out.push(Effect::Note { code: "refresh_refused", text: format!("no refresh is asked for: {why}") });
        }
        self.give_up(context, "another one was asked for", out);
        self.failure = None;
        self.replace(context, now, number, entropy.0.clone(), out);
    }

    /// Begins number `number` in the place of whatever was before.
    fn replace(&mut self, context: &Context, now: u64, number: u64, seed: Zeroizing<[u8; 32]>, out: &mut Vec<Effect>) {
        self.erase_attempt(context, out);
        self.used = number;
        let term = &context.term;
        let kept = Record { key: journal::seed_key(term, number), value: seed.to_vec() };
        let used = Record { key: journal::asked_key(term), value: number.to_be_bytes().to_vec() };
        out.extend([Effect::Persist(kept), Effect::Persist(used)]);
        self.begin(context, number, seed, now);
    }

    /// The number that f+1 others ask for, if it is above the own one and that is not decided: a member that was away does
    /// not know how many there were. One honest operator at least stands behind it.
    fn outrun(&self, context: &Context, attempt: &Attempt) -> Option<u64> {
        let mut above: Vec<u64> =
            self.asks.values().map(|ask| ask.instance.epoch).filter(|number| *number > attempt.number).collect();
        above.sort_unstable_by(|a, b| b.cmp(a));
        let place = usize::try_from(context.term.f()).ok()?;
        above.get(place).copied().filter(|_| attempt.roster.decided().is_none())
    }

    fn begin(&mut self, context: &Context, number: u64, seed: Zeroizing<[u8; 32]>, now: u64) {
        let (scope, me) = (&context.term.scope, context.me);
        let instance = roster::instance(number);
        let ask = Statement::sign(scope, &context.key, me, instance, Step::Observation, 0, roster::asked_value());
        self.asks.insert(me, ask.clone());
        self.attempt = Some(Attempt {
            number,
            seed,
            deadline: now.saturating_add(context.timing.view_timeout_ms.saturating_mul(PATIENCE_VIEWS)),
            ask,
            roster: Roster::new(context, number, &self.journal),
            generation: None,
            early: Early::default(),
            confirmation: None,
            repeat: Repeat::new(now),
            done: false,
        });
    }

    /// What the chain has taken.
    pub(super) fn set_roots(&mut self, roots: &[(B256, u64)]) {
        self.roots = roots.to_vec();
        if let Some(attempt) = &mut self.attempt {
            let root = attempt.confirmation.as_ref().map(Confirmation::share_root);
            attempt.done |= self.roots.iter().any(|(known, _)| Some(*known) == root);
        }
    }

    /// The key that the term began with, once it exists here.
    pub(super) fn add_first(&mut self, keys: &journal::Keys) {
        self.vault.put(Arc::clone(&keys.0), Some(Arc::clone(&keys.1)));
    }

    pub(super) fn on_direct(&mut self, context: &mut Context, from: u32, message: &Direct, out: &mut Vec<Effect>) {
        let (Direct::RefreshDeal(number, _) | Direct::RefreshAck(number, _)) = message else { return };
        let attempt = self.attempt.as_mut().filter(|attempt| attempt.number == *number);
        if let Some(generation) = attempt.and_then(|attempt| attempt.generation.as_mut()) {
            generation.on_direct(context, from, message, out);
        }
    }

    /// Broadcasts: asks, the agreements of the refresh under way, and public shares.
    pub(super) fn on_message(&mut self, context: &mut Context, now: u64, heard: Heard<'_>, out: &mut Vec<Effect>) {
        match heard.message {
            Message::Observation(said, _) => self.on_ask(context, now, said, out),
            Message::Sharing(bytes) => self.on_sharing(context, bytes, out),
            Message::Status(asked) if *asked == roster::instance(0) => self.answer(now, out),
            Message::DkgLog(log) => {
                if let Some(generation) = self.attempt.as_mut().and_then(|attempt| attempt.generation.as_mut()) {
                    generation.on_log(context, log);
                }
            }
            Message::Activation(member, signature) => match self.attempt.as_mut() {
                Some(Attempt { confirmation: Some(confirmation), .. }) => {
                    confirmation.on_activation(context, *member, signature);
                }
                Some(attempt) => attempt.early.keep_activation(context, *member, signature),
                None => {}
            },
            _ => self.on_agreement(context, now, heard, out),
        }
    }

    fn on_agreement(&mut self, context: &mut Context, now: u64, heard: Heard<'_>, out: &mut Vec<Effect>) {
        let message = heard.message;
        let Some(instance) = instance_of(message) else { return };
        let base = self.base();
        let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.number == instance.epoch) else { return };
        let named = |kind| instance == InstanceId::new(kind, 0, attempt.number);
        if named(Kind::Refresh) {
            attempt.roster.on_message(context, now, base, heard, out);
        } else if named(Kind::Dkg) {
            if let Some(generation) = &mut attempt.generation {
                generation.on_message(context, now, heard, out);
            }
        } else if named(Kind::Confirmation) {
            match &mut attempt.confirmation {
                Some(confirmation) => confirmation.on_message(context, now, message, out),
                None => attempt.early.keep_partial(context, message),
            }
        }
    }

    /// A member's newest ask is kept. Whoever asks for a number that is decided here is told so.
    fn on_ask(&mut self, context: &Context, now: u64, said: &Statement, out: &mut Vec<Effect>) {
        let number = said.instance.epoch;
        let newer = self.asks.get(&said.member).is_none_or(|known| known.instance.epoch < number);
        let near = number <= (now / 1_000).saturating_add(REFRESH_AHEAD_S);
        if said.member != context.me && newer && near && roster::is_ask(context, said) {
            self.asks.insert(said.member, said.clone());
            if let Some(attempt) = self.attempt.as_ref().filter(|attempt| attempt.number == number) {
                let rested = self.answered_at.is_none_or(|at| now >= at.saturating_add(ANSWER_MS));
                if rested {
                    self.answered_at = Some(now);
                    out.push(broadcast(&ask_message(&attempt.ask)));
                }
            }
        }
    }

    /// Public shares that the chain has the root of and that are lacking here.
    fn on_sharing(&mut self, context: &Context, bytes: &[u8], out: &mut Vec<Effect>) {
        if self.lacking().is_none() || self.roots.is_empty() {
            return;
        }
        let Ok(sharing) = aggregator::Sharing::decode(bytes) else { return };
        let root = merkle::share_root(&sharing);
        let wanted = sharing.n == context.term.n() && self.roots.iter().any(|(known, _)| *known == root);
        if wanted && self.vault.get(&root).is_none() {
            self.vault.save(context, &Arc::new(sharing), None, out);
        }
    }

    fn answer(&mut self, now: u64, out: &mut Vec<Effect>) {
        let rested = self.answered_at.is_none_or(|at| now >= at.saturating_add(ANSWER_MS));
        if let Some(held) = self.vault.get(&self.base()).filter(|_| rested) {
            self.answered_at = Some(now);
            out.push(broadcast(&Message::Sharing(ByteVec::from(held.sharing.encode()))));
        }
    }

    /// Goes on as far as possible.
    pub(super) fn advance(&mut self, context: &mut Context, sign_once: &mut SignOnce, now: u64, out: &mut Vec<Effect>) {
        self.clock = self.clock.max(now);
        if self.lacking().is_some() && self.lacks.is_due(now) {
            out.push(broadcast(&Message::Status(roster::instance(0))));
        }
        self.tell_shareless(context, now, out);
        let Some(attempt) = self.attempt.as_ref().filter(|attempt| !attempt.done && !self.roots.is_empty()) else {
            return;
        };
        if now >= attempt.deadline {
            return self.give_up(context, "it took too long", out);
        }
        if let Some(number) = self.outrun(context, attempt) {
            let seed = attempt.seed.clone();
            return self.replace(context, now, number, seed, out);
        }
        let number = attempt.number;
        let excluded = attempt.roster.decided().is_some_and(|decided| !decided.present.contains(&context.me));
        if excluded {
            self.give_up(context, "it was decided to go on without this member", out);
            return self.erase_attempt(context, out);
        }
        self.agree(context, now, number, out);
        self.deal(context, now, out);
        self.confirm(context, sign_once, now, out);
    }

    /// Asks, and decides who takes part.
    fn agree(&mut self, context: &mut Context, now: u64, number: u64, out: &mut Vec<Effect>) {
        let base = self.base();
        let Some(attempt) = &mut self.attempt else { return };
        let asks: BTreeMap<u32, Statement> = self
            .asks
            .iter()
            .filter(|(_, ask)| ask.instance.epoch == number)
            .map(|(member, ask)| (*member, ask.clone()))
            .collect();
        attempt.roster.propose(context, now, base, &asks, &self.suspects, out);
        attempt.roster.on_tick(context, now, base, out);
        if attempt.generation.is_none() && attempt.repeat.is_due(now) {
            out.push(broadcast(&ask_message(&attempt.ask)));
            out.push(broadcast(&Message::Status(roster::instance(number))));
        }
    }

    /// Deals once it is decided who takes part, and gives the new key when it exists.
    fn deal(&mut self, context: &mut Context, now: u64, out: &mut Vec<Effect>) {
        let Some(attempt) = &mut self.attempt else { return };
        let Some(decided) = attempt.roster.decided().cloned() else { return };
        if attempt.generation.is_none() {
            // Without the public shares there is nothing to check deals against: they are asked for meanwhile.
            let Some(held) = self.vault.get(&decided.base) else { return };
            let ceremony = ceremony(context, *self.dkg_seed, attempt, &decided, held);
            let present = u32::try_from(decided.present.len()).unwrap_or(u32::MAX);
            let journal = &self.journal;
            attempt.generation = Some(Generation::refresh(context, attempt.number, ceremony, present, journal, now));
        }
        let Some(generation) = &mut attempt.generation else { return };
        if let Some((sharing, share)) = generation.advance(context, now, false, out) {
            self.vault.save(context, &sharing, Some(&share), out);
        }
    }

    fn confirm(&mut self, context: &mut Context, sign_once: &mut SignOnce, now: u64, out: &mut Vec<Effect>) {
        let Some(attempt) = &mut self.attempt else { return };
        let key = attempt.generation.as_ref().and_then(Generation::key).filter(|_| attempt.confirmation.is_none());
        if let (Some(keys), Some(decided)) = (key, attempt.roster.decided()) {
            let who = (attempt.number, decided.present.clone());
            let mut confirmation = Confirmation::of(context, who, keys, sign_once, &self.journal, now);
            core::mem::take(&mut attempt.early).hand_over(context, now, &mut confirmation, out);
            let root = confirmation.share_root();
            attempt.done = self.roots.iter().any(|(known, _)| *known == root);
            attempt.confirmation = Some(confirmation);
        }
        if let Some(confirmation) = attempt.confirmation.as_mut().filter(|_| !attempt.done) {
            confirmation.advance(context, now, out);
        }
    }

    /// Ends the refresh under way without success. Its result, if there is one, is kept: the chain may still take it.
    fn give_up(&mut self, context: &mut Context, why: &str, out: &mut Vec<Effect>) {
        let Some(attempt) = self.attempt.as_ref().filter(|attempt| !attempt.done) else { return };
        let missing = waiting_for(attempt, context.term.n());
        let text =
            format!("refresh {} has ended without success: {why}; waited for members {missing:?}", attempt.number);
        if attempt.generation.is_some() {
            self.suspect(context, &missing);
        }
        out.push(Effect::Note { code: "refresh_failed", text: text.clone() });
        self.failure = Some(text);
        self.erase_attempt(context, out);
    }

    /// Leaves the f members that were waited for last out of the next one. Had it waited for more than f, that tells nothing
    /// of any of them.
    fn suspect(&mut self, context: &Context, missing: &[u32]) {
        let faults = context.term.n().saturating_sub(context.term.quorum());
        let faults = usize::try_from(faults).unwrap_or(usize::MAX);
        let others: Vec<u32> = missing.iter().copied().filter(|member| *member != context.me).collect();
        if others.len() > faults {
            return;
        }
        self.suspects.retain(|member| !others.contains(member));
        self.suspects.extend(others);
        let known = self.suspects.len().saturating_sub(faults);
        self.suspects.drain(..known);
    }

    /// Drops the refresh under way, or done, with its seed and its deals.
    fn erase_attempt(&mut self, context: &Context, out: &mut Vec<Effect>) {
        let Some(attempt) = self.attempt.take() else { return };
        let deals = (0..context.term.n()).map(|dealer| journal::deal_key(&context.term, attempt.number, dealer));
        let secrets = deals.chain([journal::seed_key(&context.term, attempt.number)]).collect();
        self.journal.clear();
        out.push(Effect::Erase(secrets));
    }

    /// Nothing from before `epoch` is signed any more: destroys the shares that counted before the ones in use then, and
    /// what they could be computed from again. A result that the chain has not taken is kept: it may still take it.
    pub(super) fn retire(&mut self, context: &Context, epoch: u64, out: &mut Vec<Effect>) {
        let in_use = self.roots.iter().rposition(|(_, from_epoch)| *from_epoch <= epoch);
        let Some(in_use) = in_use.filter(|place| *place > 0) else { return };
        let old: Vec<B256> = self.roots.iter().take(in_use).map(|(root, _)| *root).collect();
        let mut secrets = self.vault.forget(context, &old);
        if !secrets.is_empty() {
            let dealers = 0..context.term.n();
            secrets.extend(dealers.map(|dealer| journal::deal_key(&context.term, 0, dealer)));
            secrets.push(journal::seed_key(&context.term, 0));
            let text = format!("the shares in use before epoch {epoch} are erased");
            out.extend([Effect::Erase(secrets), Effect::Note { code: "shares_erased", text }]);
        }
        if self.attempt.as_ref().is_some_and(|attempt| attempt.done) {
            self.erase_attempt(context, out);
        }
    }

    /// The keys by epoch; `None` while none is known or the chain is not followed.
    pub(super) fn keyring(&self) -> Option<Keyring> {
        self.vault.keyring(&self.roots)
    }

    /// Root of the sharing that a refresh would begin from.
    fn base(&self) -> B256 {
        self.roots.last().map_or(B256::ZERO, |(root, _)| *root)
    }

    /// The newest root whose public shares are not known here.
    fn lacking(&self) -> Option<B256> {
        self.roots.last().map(|(root, _)| *root).filter(|root| self.vault.get(root).is_none())
    }

    /// The number that others wait for, if the ask is fresh; else the time: a number that nobody can have used, even if
    /// this member has forgotten everything.
    fn next(&self) -> u64 {
        let asked = self.asks.values().map(|ask| ask.instance.epoch).max().unwrap_or(0);
        let time = self.clock / 1_000;
        let fresh = asked.saturating_add(ASK_LIFE_S) >= time;
        if asked > self.used && fresh { asked } else { self.used.saturating_add(1).max(time) }
    }

    pub(super) fn next_wakeup(&self) -> Option<u64> {
        let lacks = self.lacking().map(|_| self.lacks.at);
        let attempt = self.attempt.as_ref().filter(|attempt| !attempt.done && !self.roots.is_empty());
        let of_attempt = attempt.map(|attempt| {
            let repeat = attempt.generation.is_none().then_some(attempt.repeat.at);
            let generation = attempt.generation.as_ref().and_then(|generation| generation.next_wakeup(false));
            let confirmation = attempt.confirmation.as_ref().map(Confirmation::next_wakeup);
            let times = [repeat, attempt.roster.next_wakeup(), generation, confirmation, Some(attempt.deadline)];
            times.into_iter().flatten().min().unwrap_or(attempt.deadline)
        });
        let shareless = self.shareless.and_then(|(_, at)| at);
        [lacks, of_attempt, shareless].into_iter().flatten().min()
    }
}

/// The ceremony of a refresh. Its session is named by what was decided: the members present and the sharing.
fn ceremony(
    context: &Context,
    dkg_seed: [u8; 32],
    attempt: &Attempt,
    decided: &roster::Decided,
    held: &vault::Held,
) -> Result<Ceremony, DkgError> {
    let (members, identity) = dealing::dkg_keys(context, dkg_seed)?;
    let instance = InstanceId::new(Kind::Dkg, 0, attempt.number).hash(&context.term.scope).unwrap_or_default();
    let session = Sha256::new_with_prefix(instance).chain_update(decided.value).finalize().into();
    let absent = (0..context.term.n()).filter(|member| !decided.present.contains(member)).collect();
    let basis = Basis { sharing: &held.sharing, share: held.share.as_deref(), absent: &absent };
    Ceremony::refresh(session, &members, identity, dealing::dealings_seed(attempt.seed.as_slice()), &basis)
}

fn ask_message(ask: &Statement) -> Message {
    Message::Observation(ask.clone(), ByteVec::from(Vec::new()))
}

/// What an ask says.
#[cfg(test)]
pub(super) fn asked_value_for_tests() -> B256 {
    roster::asked_value()
}

/// What a restarted process needs of the journal: the agreements, deals and confirmation of one refresh.
fn records_of(context: &Context, number: u64, journal: &[Record]) -> Vec<Record> {
    let kinds = [Kind::Refresh, Kind::Dkg].map(|kind| InstanceId::new(kind, 0, number));
    let mut prefixes: Vec<Vec<u8>> =
        kinds.into_iter().filter_map(|instance| journal_prefix(&context.term.scope, instance)).collect();
    prefixes.extend((0..context.term.n()).map(|dealer| journal::deal_key(&context.term, number, dealer)));
    prefixes.push(journal::confirmation_key(&context.term, number));
    let ours = |record: &&Record| prefixes.iter().any(|prefix| record.key.starts_with(prefix));
    journal.iter().filter(ours).filter(|_| number > 0).cloned().collect()
}
