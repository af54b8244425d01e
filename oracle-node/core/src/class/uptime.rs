//! Uptime: a challenge is passed by a signed answer that names it, held in time. docs/protocol.md §5.
//! Leaves out: how often devices are challenged (the policy) and what the bounds make of it (`report`).

use super::{Case, Challenge, Class, Fault, Judge, Judgement, Said};
use crate::policy::Policy;
use crate::reason::Reason;

/// Class 1.
pub(super) struct Uptime;

impl Class for Uptime {
    fn number(&self) -> u8 {
        1
    }

    fn name(&self) -> &'static str {
        "uptime"
    }

    fn lag_ms(&self, policy: &Policy) -> u64 {
        policy.answer_deadline_ms.saturating_add(policy.gossip_allowance_ms)
    }

    fn wants(&self, kind: attest::Class, here: bool, _anywhere: bool) -> bool {
        kind == attest::Class::Answer && here
    }

    fn open<'a>(&self, case: &Case<'a>) -> Box<dyn Judge + 'a> {
        Box::new(Answers { case: *case })
    }
}

struct Answers<'a> {
    case: Case<'a>,
}

impl Judge for Answers<'_> {
    fn judge(&self, challenge: &Challenge) -> Judgement {
        let answers = self.case.items.of(challenge.device, attest::Class::Answer, challenge.slot);
        let mut wrong = None;
        for item in answers {
            match item.counts(self.case.faults) {
                Some(Said::Answer(lease, nonce)) if *lease == challenge.lease => {
                    if *nonce == challenge.draw {
                        return Judgement { fault: None, evidence: vec![item.id] };
                    }
                    wrong = wrong.or(Some(item.id));
                }
                _ => {}
            }
        }
        if let Some(id) = wrong {
            return Judgement { fault: Some(Fault::plain(Reason::WrongNonce)), evidence: vec![id] };
        }
        // A device with several leases answers each; those for other leases say nothing about this one.
        let about_this = answers.iter().filter(|item| match &item.said {
            Some(Said::Answer(lease, _)) => *lease == challenge.lease,
            _ => true,
        });
        Judgement { fault: Some(self.case.absence(about_this, Reason::NoAnswer)), evidence: vec![] }
    }
}
