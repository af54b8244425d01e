//! Coverage: a challenged radio transmits what nobody could know before the slot, others commit to having heard it before it
//! is revealed, and physics bounds what they say. docs/protocol.md §§5, 9.
//! Leaves out: the power-slope test and discounts for witnesses of one owner, which need more beacons than one epoch has.

mod chains;
mod judge;
mod physics;
mod radio;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::radio::Radio;
use super::service::{self, Service};
use super::{Account, Appraisal, Case, Class, Finding, Kind, Need, Rules, Said, Timing};
use crate::policy::DURATION_MS_MAX;
use crate::reason::{Reason, reasons};
use crate::registry::{DeviceRecord, LeaseRecord};
use crate::term::Term;

reasons! { REASONS;
    NO_REVEAL = 20, "members", "Too few members hold any reveal of the challenged transmitter.";
    NOT_COMMITTED = 21, "", "No hash-chain commitment of the transmitter covers the slot.";
    BAD_SECRET = 22, "", "The revealed secret does not open the committed hash chain.";
    TOO_FEW_WITNESSES = 23, "witnesses", "Fewer valid witnesses than the policy asks for.";
    FALSE_WITNESS = 26, "lease", "The device reported receiving something that the named lease's transmitter never sent.";
    TOO_NEAR = 27, "m", "The witness stands nearer to the transmitter than the policy allows.";
    TOO_FAR = 28, "m", "The witness stands farther from the transmitter than the policy allows.";
    RSSI_ABOVE_FREE_SPACE = 29, "0.01 dBm", "The reported signal is stronger than free space and the transmit power allow.";
    RSSI_BELOW_FLOOR = 30, "0.01 dBm", "The reported signal is weaker than the receiver could decode.";
    SNR_TOO_LOW = 31, "0.01 dB", "The reported signal-to-noise ratio is lower than the receiver could decode.";
    NOT_WITNESSED = 32, "", "The reveal does not open the witness commitment sent before the deadline.";
}

/// Class 2.
pub(super) struct Coverage;

/// Its section of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    service: Service,
    radio: Radio,
}

/// The class under one policy.
#[derive(Debug)]
struct Beaconing {
    service: Service,
    radio: Radio,
    /// 2D: until when a slot's secret and receptions are revealed, ms after its start.
    reveal_ms: u32,
    kinds: [Kind; 4],
}

impl Class for Coverage {
    fn number(&self) -> u8 {
        2
    }

    fn name(&self) -> &'static str {
        "coverage"
    }

    fn unit(&self) -> &'static str {
        "coverage-second"
    }

    fn reasons(&self) -> &'static [Reason] {
        REASONS
    }

    fn kept(&self, fold: &[u8]) -> Vec<(&'static str, u64)> {
        service::kept(fold)
    }

    fn rules(&self, section: &serde_json::Value) -> Result<Arc<dyn Rules>, String> {
        let Section { service, radio } = Section::deserialize(section).map_err(|e| e.to_string())?;
        service.check()?;
        radio.check()?;
        let reveal_ms = service.deadline_ms.saturating_mul(2);
        if u64::from(reveal_ms) > DURATION_MS_MAX {
            return Err(format!(
                "service.deadline_ms {} is above {}: reveals have twice as long",
                service.deadline_ms,
                DURATION_MS_MAX / 2
            ));
        }
        let kind = |message, timing, need| Kind { message, timing, need };
        let kinds = [
            kind(attest::Class::Boot, Timing::Whenever, Need::Always),
            kind(attest::Class::Commitment, Timing::Before, Need::Always),
            kind(attest::Class::Witness, Timing::After(service.deadline_ms), Need::AnyChallenged),
            kind(attest::Class::Reveal, Timing::After(reveal_ms), Need::AnyChallenged),
        ];
        Ok(Arc::new(Beaconing { service, radio, reveal_ms, kinds }))
    }

    fn fold(&self, before: &[u8], said: &Said<'_>) -> Vec<u8> {
        chains::fold(before, said)
    }
}

impl Rules for Beaconing {
    fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Every device of the class may witness, leased or not.
    fn party(&self, _device: &DeviceRecord) -> bool {
        true
    }

    fn draw(&self, seed: &[u8; 32], device: u64, lease: u64) -> Option<[u8; 32]> {
        self.service.draw(seed, device, lease)
    }

    fn chance(&self) -> u64 {
        self.service.challenge_p
    }

    fn open(&self, term: &Term, lease: &LeaseRecord) -> Vec<u8> {
        self.service.open(term, lease)
    }

    fn appraise(&self, case: &Case<'_>) -> Appraisal {
        let slots = judge::Slots::of(self, case);
        let findings = case.challenges.iter().map(|challenge| slots.judge(challenge)).collect();
        Appraisal { findings, penalties: slots.penalties(), ..Appraisal::default() }
    }

    fn score(&self, seconds: u64, findings: &[Finding], account: &mut Account) {
        self.service.score(seconds, findings, account);
    }
}
