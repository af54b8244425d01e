//! When an honest member releases its BLS partial, and what must never follow from it.
//! A partial carries no view, so partials of different views add up.

use crate::state::{A, B, HONEST, Model, State, Value};

/// The threshold t = n − f.
const THRESHOLD: u32 = 3;

/// What a member waits for before it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Its own first vote for the value.
    Voted,
    /// A quorum of prepares.
    Prepared,
    /// A quorum of commits: the rule of this project.
    Decided,
}

/// A signing rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// What a member waits for.
    pub(crate) moment: Moment,
    /// Whether a journal keeps it from signing a second value.
    pub(crate) once: bool,
}

/// What a state allows under a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Harm {
    /// Certificates on both values.
    pub(crate) two_certificates: bool,
    /// Two honest members signed different values: with a journal, liveness may be gone.
    pub(crate) split: bool,
}

impl Rule {
    /// The worst that the adversary can have in this state.
    pub(crate) fn harm(self, model: &Model, state: &State) -> Harm {
        let signed = self.signed(model, state);
        if !self.once {
            return judge(signed);
        }
        // With a journal, a member that may sign either value signs one of them, as the adversary likes.
        let mut worst = Harm::default();
        for picks in 0..1u32 << HONEST {
            let mut kept = signed;
            for (i, bits) in kept.iter_mut().enumerate().filter(|(_, bits)| **bits == A | B) {
                *bits = if picks >> i & 1 == 0 { A } else { B };
            }
            let harm = judge(kept);
            worst.two_certificates |= harm.two_certificates;
            worst.split |= harm.split;
            if !signed.contains(&(A | B)) {
                break;
            }
        }
        worst
    }

    /// Per honest member the values (as bits) that it has signed or may sign now.
    fn signed(self, model: &Model, state: &State) -> [Value; HONEST] {
        if self.moment == Moment::Decided {
            let bits = [A, B].into_iter().filter(|v| model.decided(state, *v)).fold(0, |bits, v| bits | v);
            return [bits; HONEST];
        }
        state.0.map(|member| {
            let said = (1..=model.views).map(|view| match self.moment {
                Moment::Voted => member.prepare(view),
                _ => member.commit(view),
            });
            let mut said = said.filter(|value| *value != 0);
            if self.once { said.next().unwrap_or(0) } else { said.fold(0, |bits, value| bits | value) }
        })
    }
}

fn judge(signed: [Value; HONEST]) -> Harm {
    // The liar signs everything.
    let partials = |value| 1 + signed.iter().map(|bits| u32::from(bits & value != 0)).sum::<u32>();
    Harm {
        two_certificates: partials(A) >= THRESHOLD && partials(B) >= THRESHOLD,
        split: signed.iter().fold(0, |all, bits| all | bits) == A | B,
    }
}
