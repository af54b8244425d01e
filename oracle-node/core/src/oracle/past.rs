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

    /// Broadcasts both, at most once per `pause` ms.
    pub(super) fn answer(&mut self, now: u64, pause: u64, out: &mut Vec<Effect>) {
        if self.answered_at.is_some_and(|at| now < at.saturating_add(pause)) {
            return;
        }
        self.answered_at = Some(now);
        out.push(Effect::Broadcast(Message::Decided(self.decided.clone()).encode()));
        if let Some(certified) = &self.certified {
            out.push(Effect::Broadcast(Message::Certified(certified.clone()).encode()));
        }
    }
}
