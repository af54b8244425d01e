//! A decided epoch, kept so that members that slept can be told.

use crate::effect::Effect;
use crate::wire::{Certified, Decided, Message};

/// A decision and its certificate.
#[derive(Clone, Debug)]
pub(super) struct Past {
    decided: Decided,
    pub(super) certified: Option<Certified>,
    answered_at: Option<u64>,
}

impl Past {
    pub(super) const fn new(decided: Decided, certified: Option<Certified>) -> Self {
        Self { decided, certified, answered_at: None }
    }

    /// Whether the last answer is `pause` ms ago.
    pub(super) fn is_rested(&self, now: u64, pause: u64) -> bool {
        self.answered_at.is_none_or(|at| now >= at.saturating_add(pause))
    }

    /// Broadcasts both.
    pub(super) fn answer(&mut self, now: u64, out: &mut Vec<Effect>) {
        self.answered_at = Some(now);
        out.push(Effect::Broadcast(Message::Decided(self.decided.clone()).encode()));
        if let Some(certified) = &self.certified {
            out.push(Effect::Broadcast(Message::Certified(certified.clone()).encode()));
        }
    }
}
