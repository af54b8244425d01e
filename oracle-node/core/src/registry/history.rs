//! Snapshots by epoch: the state at the last finalized block whose timestamp is at most start(e) − L, known once a
//! later finalized block exists. The node and the auditor feed the same blocks and get the same snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Block, Contracts, RawLog, Registry, Snapshot};
use crate::handover::Start;
use crate::term::Term;

/// A fold that remembers the snapshots of a committee's epochs, whichever term they belong to.
#[derive(Clone, Debug)]
pub struct History {
    registry: Registry,
    chain_id: u64,
    committee: u64,
    term: u64,
    lag_ms: u64,
    /// Blocks before the term's genesis is known: an early epoch's snapshot may lie among them.
    early: Vec<(Block, Vec<RawLog>)>,
    /// First epoch that has no snapshot yet.
    next: u64,
    /// Epochs below this are not kept.
    floor: u64,
    /// By the first epoch that each holds for; it holds until the next one's, the last until `next`.
    snapshots: BTreeMap<u64, Arc<Snapshot>>,
}

impl History {
    /// Before any block. Feed it every finalized block from the registry's first on, in order; blocks without logs of
    /// our contracts matter too, for their time. `lag_ms` is the policy's snapshot lag L.
    #[must_use]
    pub fn new(contracts: Contracts, chain_id: u64, committee: u64, term: u64, lag_ms: u64) -> Self {
        Self {
            registry: Registry::new(contracts),
            chain_id,
            committee,
            term,
            lag_ms,
            early: Vec::new(),
            next: 0,
            floor: 0,
            snapshots: BTreeMap::new(),
        }
    }

    /// Keeps no snapshots of epochs below this: they are over.
    pub fn skip_before(&mut self, epoch: u64) {
        self.floor = self.floor.max(epoch);
        let kept = self.snapshots.split_off(&self.floor);
        let before = core::mem::replace(&mut self.snapshots, kept);
        // The last one before may hold for the floor, too.
        if let Some((_, snapshot)) = before.into_iter().next_back().filter(|_| self.floor < self.next) {
            self.snapshots.entry(self.floor).or_insert(snapshot);
        }
    }

    /// Applies the next finalized block; gives the epochs whose snapshots became known by it.
    pub fn apply(&mut self, block: Block, logs: &[RawLog]) -> core::ops::Range<u64> {
        let from = self.next;
        if let Some(term) = self.clock() {
            self.fix(&term, block.timestamp);
            self.registry.apply(block, logs);
            return from..self.next;
        }
        let ours = logs.iter().filter(|log| self.registry.contracts().contains(&log.address)).cloned();
        self.early.push((block, ours.collect()));
        self.registry.apply(block, logs);
        if let Some(term) = self.clock() {
            self.fix_early(&term);
        }
        from..self.next
    }

    /// Fixes the snapshots of all epochs whose cut-off lies before `timestamp` as the registry stands: one entry for them
    /// all, however far the block's time has leapt.
    fn fix(&mut self, term: &Term, timestamp: u64) {
        let later_than = timestamp.saturating_mul(1_000);
        let past = later_than.saturating_add(self.lag_ms).saturating_sub(term.genesis_ms.unwrap_or(u64::MAX));
        // An epoch's start less L is never below zero: a block at time zero fixes nothing.
        let until = if later_than == 0 || term.epoch_ms == 0 { 0 } else { past.div_ceil(term.epoch_ms) };
        if until <= self.next {
            return;
        }
        if until > self.floor {
            self.snapshots.insert(self.next.max(self.floor), Arc::new(self.registry.snapshot()));
        }
        self.next = until;
    }

    /// Folds the early blocks again, now that genesis is known and with it every cut-off.
    fn fix_early(&mut self, term: &Term) {
        let early = core::mem::take(&mut self.early);
        let again = Registry::new(*self.registry.contracts());
        let now = core::mem::replace(&mut self.registry, again);
        for (block, logs) in &early {
            self.fix(term, block.timestamp);
            self.registry.apply(*block, logs);
        }
        self.registry = now;
    }

    /// The fold as of the last block.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The term, once configured.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        self.registry.term(self.chain_id, self.committee, self.term)
    }

    /// The committee's genesis and epoch length, which all its terms share: those of whichever is in force.
    fn clock(&self) -> Option<Term> {
        let active = self.registry.active_term(self.committee)?;
        self.registry.term(self.chain_id, self.committee, active).filter(|term| term.genesis_ms.is_some())
    }

    /// The term in force in an epoch; `None` before the first activation.
    #[must_use]
    pub fn term_of(&self, epoch: u64) -> Option<Term> {
        let term = self.registry.term_in_force(self.committee, epoch)?;
        self.registry.term(self.chain_id, self.committee, term)
    }

    /// How the term in force in an epoch began, if that is the term's first epoch and it followed another.
    #[must_use]
    pub fn start_at(&self, epoch: u64) -> Option<Start> {
        let term = self.registry.term_in_force(self.committee, epoch)?;
        let start = self.registry.start(self.chain_id, self.committee, term)?;
        (start.from_epoch == epoch).then_some(start)
    }

    /// The snapshot of an epoch, once known and unless skipped.
    #[must_use]
    pub fn snapshot(&self, epoch: u64) -> Option<&Snapshot> {
        self.shared(epoch).map(Arc::as_ref)
    }

    fn shared(&self, epoch: u64) -> Option<&Arc<Snapshot>> {
        let known = epoch >= self.floor && epoch < self.next;
        self.snapshots.range(..=epoch).next_back().filter(|_| known).map(|(_, snapshot)| snapshot)
    }

    /// Takes the snapshot of an epoch out, once known; those of earlier epochs are dropped.
    pub fn take_snapshot(&mut self, epoch: u64) -> Option<Snapshot> {
        let snapshot = Arc::clone(self.shared(epoch)?);
        self.skip_before(epoch.saturating_add(1));
        Some(Arc::unwrap_or_clone(snapshot))
    }

    /// First epoch whose snapshot is not known yet.
    #[must_use]
    pub const fn next_epoch(&self) -> u64 {
        self.next
    }
}
