//! One slot until there is a certificate, and what is known of it afterwards. Knows no clock and no network.

use crate::observation::LATENESS_MISSING;
use crate::partials::Partials;

/// What is known of a slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) partials: Partials,
    certificate: Option<[u8; 48]>,
    lateness: u32,
    repeats: u32,
    repeat_at: Option<u64>,
    answered_at: Option<u64>,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            partials: Partials::default(),
            certificate: None,
            lateness: LATENESS_MISSING,
            repeats: 0,
            repeat_at: None,
            answered_at: None,
        }
    }
}

impl Slot {
    /// A slot that is finished.
    pub(super) fn certified(certificate: [u8; 48], lateness: u32) -> Self {
        Self { certificate: Some(certificate), lateness, ..Self::default() }
    }

    pub(super) const fn certificate(&self) -> Option<[u8; 48]> {
        self.certificate
    }

    pub(super) const fn lateness(&self) -> u32 {
        self.lateness
    }

    /// When the own partial is to be sent again.
    pub(super) const fn repeat_at(&self) -> Option<u64> {
        self.repeat_at
    }

    /// The own partial leaves for the first time.
    pub(super) const fn released(&mut self, repeat_at: u64) {
        self.repeat_at = Some(repeat_at);
    }

    /// Notes one repetition; waits twice as long each time.
    pub(super) fn repeated(&mut self, now: u64, base_ms: u64, most: u32) {
        self.repeats = self.repeats.saturating_add(1);
        let wait = base_ms.saturating_mul(1 << self.repeats.min(16));
        self.repeat_at = (self.repeats < most).then(|| now.saturating_add(wait));
    }

    /// Whether enough time has passed since the last answer about this slot; notes the answer.
    pub(super) fn may_answer(&mut self, now: u64, least_ms: u64) -> bool {
        let may = self.answered_at.is_none_or(|at| now >= at.saturating_add(least_ms));
        if may {
            self.answered_at = Some(now);
        }
        may
    }

    /// Lets go of partials: the slot is too old.
    pub(super) fn forget_partials(&mut self) {
        self.partials = Partials::default();
        self.repeat_at = None;
    }
}
