//! Which statements are authentic, each checked once, and who contradicted himself.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};

use crate::fault::FaultProof;
use crate::typed::{Phase, Scope, round_change_value};
use crate::wire::{InstanceId, PreparedProof, RoundChange, Statement};

/// (member, phase, view): one value is allowed for each.
type Step = (u32, u8, u32);

/// The statements seen in one instance.
#[derive(Debug)]
pub(super) struct Book {
    scope: Scope,
    members: Vec<Address>,
    instance: InstanceId,
    first: BTreeMap<Step, Statement>,
    second: BTreeMap<Step, Statement>,
    faults: Vec<FaultProof>,
}

impl Book {
    pub(super) const fn new(scope: Scope, members: Vec<Address>, instance: InstanceId) -> Self {
        Self { scope, members, instance, first: BTreeMap::new(), second: BTreeMap::new(), faults: Vec::new() }
    }

    /// Enters a statement that this member made itself.
    pub(super) fn note_own(&mut self, statement: &Statement) {
        self.first.entry(step(statement)).or_insert_with(|| statement.clone());
    }

    /// Whether the statement is about this instance, in `phase`, and signed by the member it names. Records faults.
    pub(super) fn accepts(&mut self, statement: &Statement, phase: Phase) -> bool {
        if statement.instance != self.instance || statement.phase() != Some(phase) {
            return false;
        }
        let step = step(statement);
        if self.first.get(&step) == Some(statement) || self.second.get(&step) == Some(statement) {
            return true;
        }
        if !statement.is_authentic(&self.scope, &self.members) {
            return false;
        }
        match self.first.get(&step) {
            None => {
                self.first.insert(step, statement.clone());
            }
            Some(first) if first.value != statement.value && !self.second.contains_key(&step) => {
                self.faults.push(FaultProof { a: first.clone(), b: statement.clone() });
                self.second.insert(step, statement.clone());
            }
            Some(_) => {}
        }
        true
    }

    /// Whether `quorum` distinct members (and no more statements than members) said `value` in this view and phase.
    pub(super) fn accepts_quorum(&mut self, statements: &[Statement], phase: Phase, quorum: usize) -> bool {
        let Some(head) = statements.first() else { return false };
        if statements.len() < quorum || statements.len() > self.members.len() {
            return false;
        }
        let (view, value) = (head.view, head.value);
        let members: BTreeSet<u32> = statements.iter().map(|s| s.member).collect();
        members.len() == statements.len()
            && statements.iter().all(|s| s.view == view && s.value == value)
            && statements.iter().all(|s| self.accepts(s, phase))
    }

    /// Whether a round change is signed, says what its proof proves, and its proof is a quorum of an earlier view.
    pub(super) fn accepts_round_change(&mut self, change: &RoundChange, quorum: usize) -> bool {
        let (view, value) = prepared_of(change);
        if change.statement.view < 2 || change.statement.value() != round_change_value(view, value) {
            return false;
        }
        if !self.accepts(&change.statement, Phase::RoundChange) {
            return false;
        }
        let Some(proof) = &change.prepared else { return change.content.is_none() };
        proof.view >= 1 && proof.view < change.statement.view && self.accepts_proof(proof, quorum)
    }

    fn accepts_proof(&mut self, proof: &PreparedProof, quorum: usize) -> bool {
        let agrees = |s: &Statement| s.view == proof.view && s.value == proof.value;
        proof.prepares.first().is_some_and(agrees) && self.accepts_quorum(&proof.prepares, Phase::Prepare, quorum)
    }

    /// Faults found since the last call.
    pub(super) fn take_faults(&mut self) -> Vec<FaultProof> {
        core::mem::take(&mut self.faults)
    }

    /// Forgets statements of views below `view`.
    pub(super) fn prune(&mut self, view: u32) {
        self.first.retain(|step, _| step.2 >= view);
        self.second.retain(|step, _| step.2 >= view);
    }
}

/// (prepared view, prepared value) of a round change, zeros when none.
pub(super) fn prepared_of(change: &RoundChange) -> (u32, B256) {
    change.prepared.as_ref().map_or((0, B256::ZERO), |proof| (proof.view, B256::from(*proof.value)))
}

const fn step(statement: &Statement) -> Step {
    (statement.member, statement.phase, statement.view)
}
