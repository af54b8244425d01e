//! Where a refresh stands, in words and numbers. Leaves out: what happens (`refresh`).

use super::super::confirm::Confirmation;
use super::super::dealing::Generation;
use super::super::{Context, Phase};
use super::{Attempt, Refresher};
use crate::effect::Effect;

/// How long a share may be missing before the operator is told, in view timeouts: meanwhile a ceremony may still give it.
const SHARELESS_VIEWS: u64 = 10;

/// Where a refresh stands, for the status page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefreshProgress {
    /// The refresh under way here, by its number.
    pub number: Option<u64>,
    /// Its phase: `asked`, or the name of a [`Phase`]; `idle` without one, `done` once the chain has the new root.
    pub phase: &'static str,
    /// The number that an operator's ask gets.
    pub next: u64,
    /// Members that asked for it (while it is under way) or for the next one, ascending.
    pub asked: Vec<u32>,
    /// Members that take no part in it, ascending; known once that is decided.
    pub absent: Vec<u32>,
    /// Acknowledgements of this member's deal, stand-ins of absent members included.
    pub acks: u32,
    /// Dealer logs held.
    pub logs: u32,
    /// Verified partials under the new shares.
    pub partials: u32,
    /// Valid activation signatures.
    pub activations: u32,
    /// Members that it waits for, ascending.
    pub waiting_for: Vec<u32>,
    /// Refreshes that the chain has taken.
    pub refreshed: u64,
    /// First epoch of the newest shares.
    pub from_epoch: u64,
    /// Whether this member has its share of the newest sharing.
    pub has_share: bool,
    /// How the last refresh that ended here without success ended.
    pub failure: Option<String>,
}

impl Refresher {
    pub(in crate::bootstrap) fn progress(&self, n: u32) -> RefreshProgress {
        let attempt = self.attempt.as_ref();
        let number = attempt.map(|attempt| attempt.number);
        let about = number.unwrap_or_else(|| self.next());
        let asked = self.asks.iter().filter(|(_, ask)| ask.instance.epoch == about).map(|(member, _)| *member);
        let generation = attempt.and_then(|attempt| attempt.generation.as_ref());
        let confirmation = attempt.and_then(|attempt| attempt.confirmation.as_ref());
        let decided = attempt.and_then(|attempt| attempt.roster.decided());
        RefreshProgress {
            number,
            phase: attempt.map_or("idle", |attempt| phase(attempt)),
            next: self.next(),
            asked: asked.collect(),
            absent: decided.map(|d| (0..n).filter(|i| !d.present.contains(i)).collect()).unwrap_or_default(),
            acks: generation.map_or(0, Generation::acks),
            logs: generation.map_or(0, Generation::logs),
            partials: confirmation.map_or(0, Confirmation::partials),
            activations: confirmation.map_or(0, Confirmation::activations),
            waiting_for: attempt.filter(|a| !a.done).map(|a| waiting_for(a, n)).unwrap_or_default(),
            refreshed: u64::try_from(self.roots.len().saturating_sub(1)).unwrap_or(u64::MAX),
            from_epoch: self.roots.last().map_or(0, |(_, from_epoch)| *from_epoch),
            has_share: self.has_share(),
            failure: self.failure.clone(),
        }
    }

    /// Whether this member has its share of the newest sharing.
    fn has_share(&self) -> bool {
        self.vault.get(&self.base()).is_some_and(|held| held.share.is_some())
    }

    /// Tells the operator, once for each sharing, that this member has no share of the one in force.
    pub(super) fn tell_shareless(&mut self, context: &Context, now: u64, out: &mut Vec<Effect>) {
        let Some((root, from_epoch)) = self.roots.last().copied().filter(|_| !self.has_share()) else {
            self.shareless = None;
            return;
        };
        let at = now.saturating_add(context.timing.view_timeout_ms.saturating_mul(SHARELESS_VIEWS));
        let known = self.shareless.filter(|(known, _)| *known == root);
        let (_, at) = known.unwrap_or((root, Some(at)));
        let due = at.is_some_and(|at| now >= at);
        self.shareless = Some((root, at.filter(|_| !due)));
        if due {
            let text = format!(
                "the shares in force since epoch {from_epoch} were made without this member, or it has lost its own: it observes and votes, but signs \
                 nothing, and the committee tolerates one fault fewer, until the members' next refresh gives it one (oracle-node reshare)"
            );
            out.push(Effect::Note { code: "share_missing", text });
        }
    }
}

fn phase(attempt: &Attempt) -> &'static str {
    match (&attempt.generation, &attempt.confirmation) {
        _ if attempt.done => "done",
        (_, Some(confirmation)) if confirmation.is_certified() => Phase::Activating.name(),
        (_, Some(_)) => Phase::Confirming.name(),
        (Some(generation), None) => generation.phase().name(),
        (None, None) => "asked",
    }
}

pub(super) fn waiting_for(attempt: &Attempt, n: u32) -> Vec<u32> {
    match (&attempt.generation, &attempt.confirmation) {
        (_, Some(confirmation)) => confirmation.waiting_for(),
        (Some(generation), None) => generation.waiting_for(generation.phase(), n),
        (None, None) => Vec::new(),
    }
}
