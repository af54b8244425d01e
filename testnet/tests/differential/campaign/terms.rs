//! Whose report is taken: terms that hand over, and streams that are frozen and go on. Written from contracts/README.md.
//! Leaves out: what reports say (`reports`).

use alloy::primitives::{B256, keccak256};

use super::{Campaign, Report};
use crate::committee::{LAG, Told};
use crate::world::{EPOCH, Escrow, OWNER};

/// Epochs after its end in which a term's last reports are taken.
const OVERLAP: u64 = 64;
/// Bytes of a header's digest that the hub keeps.
const PREFIX: usize = 22;

impl Campaign {
    /// The term in force in an epoch.
    fn term_of(&self, epoch: u64) -> u64 {
        self.terms.iter().filter(|from| **from <= epoch).count() as u64
    }

    /// A header for an epoch: mostly by the right term, on the right base.
    pub(super) fn told(&mut self, epoch: u64, leaves_root: B256, leaf_count: u32) -> Told {
        let any = self.dice.one_in(6);
        let term = if any { 1 + self.dice.pick(self.terms.len()) as u64 } else { self.term_of(epoch) };
        let previous = match self.freeze {
            Some((_, base)) if !self.dice.one_in(6) => base,
            Some(_) => keccak256("not the base"),
            None => self.head,
        };
        Told { epoch, term, leaves_root, leaf_count, previous }
    }

    /// Whether the hub must take a header of an epoch that is over and newer than all posted.
    pub(super) fn may_post(&mut self, told: &Told) -> bool {
        let resumes =
            self.freeze.is_none_or(|(term, base)| told.term > term && told.previous[..PREFIX] == base[..PREFIX]);
        let next = self.terms.get(told.term as usize);
        let ended = next.is_some_and(|from| self.now() >= self.world.start_of(from + OVERLAP));
        let in_force = told.term == self.term_of(told.epoch) && !ended;
        self.tally.wrong_term += u64::from(!in_force);
        resumes && in_force
    }

    /// The term activated last hands over some epochs from now, sometimes too soon.
    pub(super) fn rotate(&mut self) {
        let reached = (self.now() - self.world.start_of(0)) / EPOCH;
        let from = reached + self.dice.up_to(4);
        let last = self.terms.last().copied().unwrap_or_default();
        let expected = from > last && self.world.start_of(from) > self.now() + 2 * LAG;
        let taken = self.world.committee.rotate(&mut self.world.chain, from);
        assert_eq!(taken.is_ok(), expected, "a new term from epoch {from}: {:?}", taken.err());
        if expected {
            self.terms.push(from);
            self.tally.rotations += 1;
        }
    }

    /// The guardian voids a root and every later one; the stream waits for another term.
    pub(super) fn disable(&mut self) {
        let recent = self.reports.len().saturating_sub(3);
        let place = recent + self.dice.pick(3);
        let Some(Report { epoch, active_at, disabled, base, .. }) = self.reports.get(place) else { return };
        let (epoch, base, expected) = (*epoch, *base, *active_at > self.now() && !disabled);
        let taken = self.world.committee.disable(&mut self.world.chain, epoch);
        assert_eq!(taken.is_ok(), expected, "disabling epoch {epoch}");
        if !expected {
            return;
        }
        let last = self.reports.last().map_or(0, |report| report.epoch);
        self.freeze = Some((self.term_of(last), base));
        self.reports.iter_mut().filter(|report| report.epoch >= epoch).for_each(|report| report.disabled = true);
        self.tally.frozen += 1;
    }

    /// Governance stops new leases and top-ups, or lets them go on: mostly the latter.
    pub(super) fn pause_or_go_on(&mut self) {
        if !self.paused && !self.dice.one_in(3) {
            return;
        }
        let escrow = self.world.escrow;
        let done = if self.paused {
            self.world.chain.call(OWNER, escrow, &Escrow::unpauseCall {}).map(drop)
        } else {
            self.world.chain.call(OWNER, escrow, &Escrow::pauseCall {}).map(drop)
        };
        done.unwrap();
        self.paused = !self.paused;
        self.tally.pauses += u64::from(self.paused);
    }
}
