//! Visits every reachable state once, and tells how it came to a bad one.
//!
//! Every step says exactly one thing more, so the states after k steps and those after k + 1 never meet: a level is sorted
//! and stripped of repeats by itself, and no table of visited states is needed.

use crate::rules::{Harm, Rule};
use crate::state::{Model, State, Step};

/// What an exploration found for one rule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Finding {
    /// States that allow two certificates.
    pub(crate) two_certificates: usize,
    /// States in which honest members signed different values.
    pub(crate) split: usize,
    /// The first state with two certificates, and its level.
    first: Option<(usize, State)>,
}

/// Everything reachable within a bound, level by level (each sorted).
pub(crate) struct Explored {
    model: Model,
    levels: Vec<Vec<State>>,
    findings: Vec<Finding>,
}

impl Explored {
    /// Explores to the end.
    pub(crate) fn new(model: Model, rules: &[Rule]) -> Self {
        let mut explored = Self { model, levels: Vec::new(), findings: vec![Finding::default(); rules.len()] };
        let mut level = vec![State::START];
        while !level.is_empty() {
            for (rule, finding) in rules.iter().zip(&mut explored.findings) {
                for state in &level {
                    finding.note(explored.levels.len(), state, rule.harm(&model, state));
                }
            }
            let mut next = Vec::new();
            for state in &level {
                model.steps(state, |_, successor| next.push(successor.canonical()));
                // Repeats are dropped early, so that a level never takes much more room than its states.
                if next.len() >= 1 << 24 {
                    next.sort_unstable();
                    next.dedup();
                }
            }
            next.sort_unstable();
            next.dedup();
            explored.levels.push(core::mem::replace(&mut level, next));
        }
        explored
    }

    /// Distinct states, symmetric ones counted once.
    pub(crate) fn states(&self) -> usize {
        self.levels.iter().map(Vec::len).sum()
    }

    /// What was found for the rule given at this place.
    pub(crate) fn finding(&self, rule: usize) -> &Finding {
        &self.findings[rule]
    }

    /// Whether any state has this property.
    pub(crate) fn any(&self, holds: impl Fn(&State) -> bool) -> bool {
        self.levels.iter().flatten().any(holds)
    }

    /// The steps to the first state with two certificates, one per line; names of members and values may change places
    /// between lines, since symmetric states are one.
    pub(crate) fn trace(&self, rule: usize) -> Vec<String> {
        let Some((level, mut state)) = self.findings[rule].first else { return Vec::new() };
        let mut lines = Vec::new();
        for earlier in self.levels[..level].iter().rev() {
            let (before, step) = self.origin(earlier, state).expect("every state but the first has an origin");
            lines.push(format!("{step:?} -> {:?}", state.0));
            state = before;
        }
        lines.reverse();
        lines
    }

    fn origin(&self, earlier: &[State], state: State) -> Option<(State, Step)> {
        earlier.iter().find_map(|before| {
            let mut found = None;
            self.model.steps(before, |step, successor| {
                if found.is_none() && successor.canonical() == state {
                    found = Some((*before, step));
                }
            });
            found
        })
    }
}

impl Finding {
    fn note(&mut self, level: usize, state: &State, harm: Harm) {
        self.two_certificates += usize::from(harm.two_certificates);
        self.split += usize::from(harm.split);
        if harm.two_certificates && self.first.is_none() {
            self.first = Some((level, *state));
        }
    }
}
