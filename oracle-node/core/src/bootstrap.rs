//! How a term comes to be: key generation without a dealer, confirmation, activation, and the devices' Ed25519 keys.
//! docs/protocol.md §7 "Bootstrap". Leaves out: the ceremony's mathematics (`aggregator::dkg`), agreement (`qbft`),
//! sealing of secrets at rest (the node: see [`is_secret`]), and every epoch (`oracle`).
//!
//! ```text
//! deal ─ acknowledge ─ log ─(kind 2 decides the logs)─ conclude ─ partials ─ confirmation ─ activation signatures ─ chain
//! ```
//!
//! *One silent member stops the ceremony, on purpose.* A log that is signed while an acknowledgement is missing publishes
//! that member's share, and `aggregator` refuses a key of which any share was published. So a log is only signed when all
//! n have acknowledged; until then [`Progress::waiting_for`] names who is missing, and deals are sent again for ever.

mod batch;
mod confirm;
mod dealing;
mod device_keys;
mod journal;
mod refresh;
mod sign_once;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use aggregator::{Share, Sharing};
use alloy_primitives::{Address, B256};

use crate::effect::{Effect, Entropy, Record};
use crate::keyring::{Keyring, Span};
use crate::qbft;
use crate::term::Term;
use crate::typed::{Kind, MemberKey};
use crate::wire::{Direct, InstanceId, Message};

use confirm::{Confirmation, Early};
use dealing::Generation;
use device_keys::DeviceKeys;
use refresh::Refresher;
use sign_once::SignOnce;

pub use device_keys::{KEYS_PER_BATCH_MAX, PendingKey, list_hash};
pub use journal::{is_secret, missing_dealing_seed};
pub use refresh::RefreshProgress;

/// Wait between two repetitions of something not yet acknowledged, ms.
const RESEND_MS: u64 = 500;
/// Repetitions after which the wait becomes four times as long.
const RESENDS_QUICK: u32 = 40;
/// How long the last of the committee is waited for, once n−f are there, ms (logs and confirmation partials).
const GRACE_MS: u64 = 10_000;

/// A broadcast of another member.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// Who handed it over; signatures in it may be others'.
    pub from: u32,
    /// What it says.
    pub message: &'a Message,
}

/// Something that happens to a bootstrap.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Time passed; wanted at [`Bootstrap::next_wakeup`].
    Tick,
    /// A broadcast of another member. Of interest: kinds 2, 3, 5 and 6, `DkgLog`, `Activation`, `Sharing`; the rest is
    /// ignored.
    Message(Heard<'a>),
    /// A message for this member alone, over the channel that authenticated `from`.
    Direct {
        /// The authenticated sender.
        from: u32,
        /// The message; deals and acknowledgements are of interest.
        message: &'a Direct,
    },
    /// The registry activated the term.
    Activated,
    /// See [`crate::effect::Input::ShareRoots`].
    ShareRoots(&'a [(B256, u64)]),
    /// See [`crate::effect::Input::Refresh`].
    Refresh {
        /// 0: the next.
        number: u64,
        /// The own dealings follow from it.
        entropy: &'a Entropy,
    },
    /// Device keys that wait on chain, whose claims this node has verified; see [`crate::effect::Input::PendingKeys`].
    PendingKeys {
        /// First batch number that the chain has not used.
        batch: u64,
        /// (token id, thumbprint), ascending.
        keys: &'a [PendingKey],
    },
}

/// Where a bootstrap stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Deals go out, acknowledgements come in; needs all n members.
    Dealing,
    /// The own log is out; the others' are awaited.
    Logs,
    /// The set of logs is being decided.
    Deciding,
    /// The key exists; its confirmation certificate is being made.
    Confirming,
    /// Activation signatures are gathered and the chain is awaited.
    Activating,
    /// The term is active; a batch of device keys is being certified.
    ActivatingKeys,
    /// The term is active and nothing waits.
    Done,
}

impl Phase {
    /// A stable lower-case name, for logs, metrics and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dealing => "dealing",
            Self::Logs => "logs",
            Self::Deciding => "deciding",
            Self::Confirming => "confirming",
            Self::Activating => "activating",
            Self::ActivatingKeys => "activating_keys",
            Self::Done => "done",
        }
    }
}

/// Counts for the status page; each is out of n and includes this member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// Valid deals held.
    pub deals: u32,
    /// Acknowledgements of this member's deal.
    pub acks: u32,
    /// Dealer logs held.
    pub logs: u32,
    /// View of the agreement on the logs, from 1.
    pub view: u32,
    /// Verified partials of the confirmation.
    pub partials: u32,
    /// Valid activation signatures.
    pub activations: u32,
    /// Members that this phase waits for, ascending.
    pub waiting_for: Vec<u32>,
    /// The batch of device keys being certified.
    pub batch: Option<u64>,
    /// The refresh of the shares.
    pub refresh: RefreshProgress,
}

/// Times out of the policy, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `Policy::view_timeout_ms`.
    pub view_timeout_ms: u64,
    /// `Policy::transmit_stage_ms`.
    pub transmit_stage_ms: u64,
}

/// What every part needs to know.
struct Context {
    term: Term,
    addresses: Vec<Address>,
    me: u32,
    key: Arc<MemberKey>,
    timing: Timing,
    /// (member, code) of notes made before: each is made once.
    noted: BTreeSet<(u32, &'static str)>,
}

/// One member's side of a bootstrap.
pub struct Bootstrap {
    context: Context,
    generation: Generation,
    early: Early,
    confirmation: Option<Confirmation>,
    device_keys: DeviceKeys,
    refresher: Refresher,
    /// The shares that device keys are signed with.
    in_use: Option<Span>,
    sign_once: SignOnce,
    activated: bool,
}

impl Bootstrap {
    /// Begins, or continues from what was persisted. `term.genesis_ms` is not looked at; `dkg_seed` is the Ed25519 seed of
    /// the member's registered DKG key, from which the own dealings follow too. Nothing is sent before the first step.
    #[must_use]
    pub fn new(
        term: Term,
        me: u32,
        key: Arc<MemberKey>,
        dkg_seed: [u8; 32],
        timing: Timing,
        journal: &[Record],
        now: u64,
    ) -> Self {
        let addresses = term.addresses();
        let context = Context { term, addresses, me, key, timing, noted: BTreeSet::new() };
        let keys = journal::load_keys(&context.term, me, journal);
        // Once a sharing is known the key exists, even if this member's share of it was lost, or erased by a refresh.
        let concluded = journal::load_sharing(&context.term, journal).is_some();
        let mut sign_once = SignOnce::from_journal(journal);
        let generation = Generation::new(&context, dkg_seed, journal, concluded, now);
        let device_keys = DeviceKeys::new(&context, keys.clone(), journal);
        let refresher = Refresher::new(&context, dkg_seed, journal, now);
        let confirmation = keys.map(|keys| Confirmation::new(&context, keys, &mut sign_once, journal, now));
        Self {
            context,
            generation,
            early: Early::default(),
            confirmation,
            device_keys,
            refresher,
            in_use: None,
            sign_once,
            activated: false,
        }
    }

    /// Takes an event and says what to do, in order.
    pub fn step(&mut self, now: u64, event: &Event<'_>) -> Vec<Effect> {
        let mut out = Vec::new();
        let context = &mut self.context;
        if let Err(why) = context.term.check() {
            let text = format!("the registry configured {why}; this member does nothing in this term");
            context.note(context.me, "term_refused", text, &mut out);
            return out;
        }
        match event {
            Event::Tick => {}
            Event::Message(heard) => self.on_message(now, *heard, &mut out),
            Event::Direct { from, message: message @ (Direct::RefreshDeal(..) | Direct::RefreshAck(..)) } => {
                self.refresher.on_direct(context, *from, message, &mut out);
            }
            Event::Direct { from, message } => self.generation.on_direct(context, *from, message, &mut out),
            Event::Activated => self.activated = true,
            Event::ShareRoots(roots) => self.refresher.set_roots(roots),
            Event::Refresh { number, entropy } => self.refresher.ask(context, now, *number, entropy, &mut out),
            Event::PendingKeys { batch, keys } => self.device_keys.on_pending(context, now, *batch, keys, &mut out),
        }
        self.advance(now, &mut out);
        out
    }

    fn on_message(&mut self, now: u64, heard: Heard<'_>, out: &mut Vec<Effect>) {
        let (context, message) = (&mut self.context, heard.message);
        self.refresher.on_message(context, now, heard, out);
        match message {
            Message::DkgLog(log) => self.generation.on_log(context, log),
            Message::Activation(member, signature) => match &mut self.confirmation {
                Some(confirmation) => confirmation.on_activation(context, *member, signature),
                None => self.early.keep_activation(context, *member, signature),
            },
            _ => {}
        }
        let Some(instance) = instance_of(message) else { return };
        match (instance.kind(), &mut self.confirmation) {
            (Some(Kind::Dkg), _) if instance == DKG => self.generation.on_message(context, now, heard, out),
            (Some(Kind::Confirmation), _) if instance != CONFIRMATION => {} // of a refresh
            (Some(Kind::Confirmation), Some(confirmation)) => confirmation.on_message(context, now, message, out),
            (Some(Kind::Confirmation), None) => self.early.keep_partial(context, message),
            (Some(Kind::KeyActivation), _) => {
                self.device_keys.on_message(context, &mut self.sign_once, now, instance, heard, out);
            }
            _ => {}
        }
    }

    /// Does what time or the last event made possible.
    fn advance(&mut self, now: u64, out: &mut Vec<Effect>) {
        let context = &mut self.context;
        if let Some(keys) = self.generation.advance(context, now, self.activated, out) {
            out.extend(journal::save_keys(&context.term, &keys));
            let mut confirmation = Confirmation::new(context, keys.clone(), &mut self.sign_once, &[], now);
            core::mem::take(&mut self.early).hand_over(context, now, &mut confirmation, out);
            self.confirmation = Some(confirmation);
            self.refresher.add_first(&keys);
            self.device_keys.set_keys(Some(keys));
        }
        if let Some(confirmation) = self.confirmation.as_mut().filter(|_| !self.activated) {
            confirmation.advance(context, now, out);
        }
        self.refresher.advance(context, &mut self.sign_once, now, out);
        self.device_keys.advance(context, &mut self.sign_once, now, self.activated, out);
    }

    /// The clock is in this epoch: device keys are signed with the share that counts in it.
    pub fn enter_epoch(&mut self, epoch: u64) {
        let Some(ring) = self.refresher.keyring() else { return };
        let span = ring.at(epoch);
        if !self.in_use.replace(span.clone()).is_some_and(|before| before.same_as(span)) {
            self.device_keys.set_keys(span.share.clone().map(|share| (span.sharing.clone(), share)));
        }
    }

    /// Everything before this epoch is certified: older shares are destroyed, if a refresh has replaced them.
    pub fn retire(&mut self, epoch: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        self.refresher.retire(&self.context, epoch, &mut out);
        out
    }

    /// The keys by epoch; `None` before there is one.
    #[must_use]
    pub fn keyring(&self) -> Option<Keyring> {
        self.context.term.check().ok()?;
        let of_chain = self.refresher.keyring();
        of_chain.or_else(|| self.keys().map(|(sharing, share)| Keyring::new(sharing, Some(share))))
    }

    /// When a [`Event::Tick`] is wanted; `None` while only events can change anything.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<u64> {
        if self.context.noted.contains(&(self.context.me, "term_refused")) {
            return None;
        }
        let confirmation = self.confirmation.as_ref().filter(|_| !self.activated).map(Confirmation::next_wakeup);
        let generation = self.generation.next_wakeup(self.activated);
        let times = [generation, confirmation, self.refresher.next_wakeup(), self.device_keys.next_wakeup()];
        times.into_iter().flatten().min()
    }

    /// The key that the term began with and this member's share, once the key generation has ended here.
    #[must_use]
    pub fn keys(&self) -> Option<(Arc<Sharing>, Arc<Share>)> {
        self.confirmation.as_ref().filter(|_| self.context.term.check().is_ok()).map(Confirmation::keys)
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match &self.confirmation {
            None if self.activated && self.refresher.keyring().is_some() => Phase::Done,
            None => self.generation.phase(),
            Some(_) if self.activated && self.device_keys.busy().is_some() => Phase::ActivatingKeys,
            Some(_) if self.activated => Phase::Done,
            Some(confirmation) if confirmation.is_certified() => Phase::Activating,
            Some(_) => Phase::Confirming,
        }
    }

    /// Where it stands, in numbers.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let phase = self.phase();
        let confirmation = self.confirmation.as_ref();
        let waiting_for = match (phase, confirmation) {
            (Phase::Confirming | Phase::Activating, Some(confirmation)) => confirmation.waiting_for(),
            _ => self.generation.waiting_for(phase, self.context.term.n()),
        };
        Progress {
            phase,
            deals: self.generation.deals(),
            acks: self.generation.acks(),
            logs: self.generation.logs(),
            view: self.generation.view(),
            partials: confirmation.map_or(0, Confirmation::partials),
            activations: confirmation.map_or(0, Confirmation::activations),
            waiting_for,
            batch: self.device_keys.busy().filter(|_| self.activated),
            refresh: self.refresher.progress(self.context.term.n()),
        }
    }
}

/// The instance that decides the logs.
const DKG: InstanceId = InstanceId::new(Kind::Dkg, 0, 0);
/// The instance of the confirmation.
const CONFIRMATION: InstanceId = InstanceId::new(Kind::Confirmation, 0, 0);

/// What a message is about, when it says so.
fn instance_of(message: &Message) -> Option<InstanceId> {
    Some(match message {
        Message::Proposal(proposal) => proposal.statement.instance,
        Message::Vote(statement) => statement.instance,
        Message::RoundChange(change) => change.statement.instance,
        Message::Decided(decided) => decided.commits.first()?.instance,
        Message::Partial(partial) => partial.statement.instance,
        Message::Certified(certified) => certified.instance,
        Message::Status(instance) => *instance,
        _ => return None,
    })
}

impl Context {
    /// An agreement whose view v is led by member (number + v − 1) mod n: a member that leads one first, and stalls it, does
    /// not lead the next one first.
    fn qbft(&self, instance: InstanceId) -> qbft::Config {
        let n = self.term.n();
        let first = u32::try_from(instance.epoch.checked_rem(u64::from(n)).unwrap_or(0)).unwrap_or(0);
        qbft::Config {
            scope: self.term.scope,
            members: self.addresses.clone(),
            instance,
            me: self.me,
            leaders: (first..n).chain(0..first).collect(),
            base_timeout_ms: self.timing.view_timeout_ms,
        }
    }

    /// This member's turn to transmit, unix ms.
    fn turn(&self, now: u64) -> u64 {
        now.saturating_add(u64::from(self.me).saturating_mul(self.timing.transmit_stage_ms))
    }

    /// n−f as a length.
    fn quorum(&self) -> usize {
        usize::try_from(self.term.quorum()).unwrap_or(usize::MAX)
    }

    /// A note about a member, made once per member and code.
    fn note(&mut self, member: u32, code: &'static str, text: String, out: &mut Vec<Effect>) {
        if self.noted.insert((member, code)) {
            out.push(Effect::Note { code, text });
        }
    }
}

/// A clock for repetitions: quick at first, then slower.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    at: u64,
    count: u32,
}

impl Repeat {
    /// Due at once.
    const fn new(now: u64) -> Self {
        Self { at: now, count: 0 }
    }

    /// Whether it is time; sets the next time.
    fn is_due(&mut self, now: u64) -> bool {
        let due = now >= self.at;
        if due {
            let wait = if self.count < RESENDS_QUICK { RESEND_MS } else { RESEND_MS * 4 };
            self.count = self.count.saturating_add(1);
            self.at = now.saturating_add(wait);
        }
        due
    }
}

/// A broadcast.
fn broadcast(message: &Message) -> Effect {
    Effect::Broadcast(message.encode())
}
