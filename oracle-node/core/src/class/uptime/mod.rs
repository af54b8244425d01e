//! Uptime: a challenge is passed by a signed answer that names it, held in time. docs/protocol.md §5.
//! Leaves out: how often devices are challenged and what the bounds make of it (`service`).

use std::sync::Arc;

use attest::Body;
use serde::{Deserialize, Serialize};

use super::service::{self, Service};
use super::{Account, Appraisal, Case, Challenge, Class, Fault, Finding, Kind, Need, Proof, Rules, Timing};
use crate::reason::Reason;
use crate::registry::LeaseRecord;
use crate::term::Term;

/// Class 1.
pub(super) struct Uptime;

/// Its section of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    service: Service,
}

/// The class under one policy.
#[derive(Debug)]
struct Answers {
    service: Service,
    kinds: [Kind; 1],
}

impl Class for Uptime {
    fn number(&self) -> u8 {
        1
    }

    fn name(&self) -> &'static str {
        "uptime"
    }

    fn unit(&self) -> &'static str {
        "second"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[]
    }

    fn kept(&self, fold: &[u8]) -> Vec<(&'static str, u64)> {
        service::kept(fold)
    }

    fn rules(&self, section: &serde_json::Value) -> Result<Arc<dyn Rules>, String> {
        let Section { service } = Section::deserialize(section).map_err(|e| e.to_string())?;
        service.check()?;
        let timing = Timing::After(service.deadline_ms);
        let kinds = [Kind { message: attest::Class::Answer, timing, need: Need::Challenged }];
        Ok(Arc::new(Answers { service, kinds }))
    }
}

impl Rules for Answers {
    fn kinds(&self) -> &[Kind] {
        &self.kinds
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
        let findings = case.challenges.iter().map(|challenge| self.judge(case, challenge)).collect();
        Appraisal { findings, ..Appraisal::default() }
    }

    fn score(&self, seconds: u64, findings: &[Finding], account: &mut Account) {
        self.service.score(seconds, findings, account);
    }
}

impl Answers {
    fn judge(&self, case: &Case<'_>, challenge: &Challenge) -> Finding {
        let found = |result, evidence| Finding { lease: challenge.lease, at: challenge.slot, result, evidence };
        let answers = case.items.of(challenge.device, attest::Class::Answer, challenge.slot);
        let (mut wrong, mut about_this) = (None, Vec::new());
        for item in answers {
            let claims = item.claims();
            let elsewhere =
                matches!(claims.map(|said| said.body), Some(Body::Answer(said)) if said.lease != challenge.lease);
            // A device with several leases answers each; those for other leases say nothing about this one.
            if elsewhere {
                continue;
            }
            about_this.push(item);
            let Some(claims) = item.counts(self.service.deadline_ms, case.faults) else { continue };
            if claims.nonce == Some(challenge.draw) {
                return found(Ok(Proof::default()), vec![item.id]);
            }
            wrong = wrong.or(Some(item.id));
        }
        if let Some(id) = wrong {
            return found(Err(Fault::plain(Reason::WRONG_NONCE)), vec![id]);
        }
        found(Err(case.absence(about_this.into_iter(), self.service.deadline_ms, Reason::NO_ANSWER)), vec![])
    }
}

#[cfg(test)]
mod tests;
