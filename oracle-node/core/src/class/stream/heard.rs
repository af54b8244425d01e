//! What members held of a device: its readings by message, the numbers of its other messages, and what came before its time.
//! Leaves out: counting who held what (`report`), and what the readings show (`gates`, `channel`).

use attest::{Body, Class as Message, EvidenceId};

use super::policy::StreamPolicy;
use super::reading::{Arrival, Number, Reading};
use crate::class::{Case, Item};
use crate::observation::{BY_ALWAYS, BY_EARLY};

/// What is listed of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Readings of telemetry that counts.
    pub(super) readings: Vec<Reading>,
    /// The message of each of them.
    pub(super) ids: Vec<EvidenceId>,
    /// Messages of other kinds: claimed time in unix ms, number.
    pub(super) others: Vec<(u64, Number)>,
    /// Times claimed by telemetry that more than f members held before them, unix ms.
    pub(super) early_ms: Vec<u64>,
}

impl Heard {
    /// Forked messages and those that claim no time are left out.
    pub(super) fn of(case: &Case<'_>, policy: &StreamPolicy, device: u64) -> Self {
        let mut heard = Self::default();
        for (claimed_s, items) in case.items.all_of(device, Message::Telemetry) {
            for item in items.iter().filter(|item| claimed_s > 0 && !item.forked) {
                heard.telemetry(case.faults, policy, claimed_s.saturating_mul(1_000), item);
            }
        }
        for message in [Message::Heartbeat, Message::Channels] {
            for (claimed_s, items) in case.items.all_of(device, message) {
                let counting = items.iter().filter(|item| item.held.listed() > case.faults);
                heard.others.extend(counting.map(|item| (claimed_s.saturating_mul(1_000), number(item))));
            }
        }
        for message in [Message::Boot, Message::Endorsement] {
            let items = case.items.all_of(device, message).flat_map(|(_, items)| items);
            let claimed = items.filter_map(|item| Some((item.counts(BY_ALWAYS, case.faults)?.iat?, number(item))));
            heard.others.extend(claimed.map(|(claimed_s, number)| (claimed_s.saturating_mul(1_000), number)));
        }
        heard
    }

    fn telemetry(&mut self, faults: u32, policy: &StreamPolicy, sent_ms: u64, item: &Item<'_>) {
        if item.held.until(policy.late_ms) <= faults {
            let early = item.held.exactly(BY_EARLY) > faults;
            return self.early_ms.extend(early.then_some(sent_ms));
        }
        let arrival = if item.held.until(policy.fresh_ms) > faults { Arrival::Fresh } else { Arrival::Late };
        let Some(Body::Telemetry(samples)) = item.claims().map(|said| said.body) else { return };
        let Number { boot, seq } = number(item);
        for sample in samples {
            let at_ms = sent_ms.saturating_sub(sample.age_ms.into());
            for one in sample.readings {
                let (channel, mantissa, exponent) = (one.channel, one.mantissa, one.exponent);
                // Marks name deadlines and no arrival: when it was held, nobody says.
                let held_ms = 0;
                self.readings.push(Reading {
                    at_ms,
                    sent_ms,
                    held_ms,
                    channel,
                    mantissa,
                    exponent,
                    boot,
                    seq,
                    arrival,
                });
                self.ids.push(item.id);
            }
        }
    }
}

fn number(item: &Item<'_>) -> Number {
    Number { boot: item.boot.into(), seq: item.seq }
}
