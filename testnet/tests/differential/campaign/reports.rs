//! Reports with any counters at all, and claims of them, good and spoiled. Leaves out: what they pay (`crate::model`).

use alloy::primitives::{B256, keccak256};

use super::{Attempt, Campaign, Case, RING, Report, account};
use crate::committee::Told;
use crate::model::{Counters, Terms};
use crate::tree::tree;
use crate::world::{ClaimItem, EPOCH, Escrow, Leaf, TIMEOUT, WINDOW, policy};

impl Campaign {
    /// A report of the next epoch or one after it, with any counters at all for every lease there ever was.
    pub(super) fn post(&mut self) {
        let last = self.reports.last().map_or(0, |report| report.epoch + 1);
        let skip = if self.dice.one_in(8) { 20 } else { 2 };
        let reached = (self.now() - self.world.start_of(0)) / EPOCH;
        let epoch = last.max(reached.saturating_sub(1)) + self.dice.up_to(skip);
        let over = self.world.start_of(epoch + 1);
        if over > self.now() {
            self.world.chain.pass_to(over);
        }
        let mut leaves: Vec<Leaf> = (0..self.cases.len()).map(|case| self.leaf(case, over)).collect();
        leaves.push(Leaf { lease: 1 << 40, ..self.blank() });
        let (leaves_root, paths) = tree(&leaves);
        let told = self.told(epoch, leaves_root, leaves.len() as u32);
        let expected = self.may_post(&told);
        let taken = self.world.committee.post(&mut self.world.chain, &told);
        assert_eq!(taken.is_ok(), expected, "a report of epoch {epoch} by term {}: {:?}", told.term, taken.err());
        let Ok(head) = taken else { return };
        self.tally.resumed += u64::from(self.freeze.is_some());
        let base = self.freeze.take().map_or(self.head, |(_, base)| base);
        self.head = head;
        self.reports.push(Report { epoch, active_at: self.now() + WINDOW, disabled: false, base, leaves, paths });
        self.tally.posted += 1;
        // An older report is refused, whatever it says.
        if self.dice.one_in(4) {
            let older = Told { epoch: epoch.saturating_sub(1), ..told };
            assert!(self.world.committee.post(&mut self.world.chain, &older).is_err(), "an older epoch was taken");
        }
    }

    pub(super) fn blank(&self) -> Leaf {
        Leaf {
            escrow: self.world.escrow,
            lease: 0,
            units: 0,
            goodSeconds: 0,
            badSeconds: 0,
            creditSeconds: 0,
            adjustment: 0,
            through: 0,
            evidenceRoot: keccak256("evidence"),
            policyHash: policy(),
        }
    }

    pub(super) fn leaf(&mut self, case: usize, over: u64) -> Leaf {
        if self.dice.one_in(3)
            && let Some(silent) = self.silent_leaf(case, over)
        {
            return silent;
        }
        let Terms { start, end, units_per_second, .. } = self.cases[case].lease.terms;
        let through = match self.dice.up_to(5) {
            0 => over + self.dice.up_to(200),
            1 => over.saturating_sub(self.dice.up_to(400)),
            2 => end,
            _ => over.min(end),
        };
        let elapsed = through.clamp(start, end) - start;
        let units = match self.dice.up_to(7) {
            0 => u128::MAX,
            1 => 0,
            _ => u128::from(self.dice.up_to(elapsed)) * units_per_second,
        };
        let credit = if self.dice.one_in(3) { self.dice.up_to(2 * elapsed) } else { 0 };
        let adjustment = if self.dice.one_in(4) { u128::from(self.dice.up_to(60)) } else { 0 };
        let bad = if self.dice.one_in(2) { 0 } else { self.dice.up_to(elapsed) };
        let (lease, blank) = (self.cases[case].id, self.blank());
        let judged = Leaf { goodSeconds: elapsed - bad, badSeconds: bad, ..blank };
        Leaf { lease, units, creditSeconds: credit, adjustment, through, ..judged }
    }

    /// What the last report said of a lease, and nothing but bad seconds since: about as many as the escrow calls silence.
    fn silent_leaf(&mut self, case: usize, over: u64) -> Option<Leaf> {
        let Case { id, lease, .. } = &self.cases[case];
        let (id, end) = (*id, lease.terms.end);
        let last = self.reports.last()?.leaves.iter().find(|leaf| leaf.lease == id)?.clone();
        let more = [TIMEOUT - 1, TIMEOUT, TIMEOUT + self.dice.up_to(50)][self.dice.pick(3)];
        Some(Leaf { badSeconds: last.badSeconds + more, through: over.min(end), ..last })
    }

    /// Whether the hub proves leaves of this report now.
    pub(super) fn proves(&self, report: usize) -> bool {
        let Report { epoch, active_at, disabled, .. } = self.reports[report];
        let overwritten = self.reports.iter().any(|other| other.epoch > epoch && other.epoch % RING == epoch % RING);
        active_at <= self.now() && !overwritten && !disabled
    }

    /// Whether no report that proves anything now is newer.
    pub(super) fn is_newest(&self, epoch: u64) -> bool {
        !(0..self.reports.len()).any(|i| self.reports[i].epoch > epoch && self.proves(i))
    }

    /// Places of the reports that have a leaf of a lease.
    fn reports_of(&self, case: usize) -> Vec<usize> {
        let id = self.cases[case].id;
        (0..self.reports.len()).filter(|i| self.reports[*i].leaves.iter().any(|leaf| leaf.lease == id)).collect()
    }

    /// A claim of a lease from some report, now and then with something wrong in it.
    pub(super) fn attempt(&mut self, case: usize) -> Option<Attempt> {
        let with = self.reports_of(case);
        let recent = with.len().saturating_sub(4);
        let place = if self.dice.one_in(3) { self.dice.pick(with.len()) } else { recent + self.dice.pick(4) };
        self.attempt_of(case, *with.get(place)?)
    }

    /// The same, mostly from the newest report that proves anything.
    pub(super) fn newest_attempt(&mut self, case: usize) -> Option<Attempt> {
        let newest = self.reports_of(case).into_iter().rfind(|report| self.proves(*report));
        match newest {
            Some(report) if !self.dice.one_in(4) => self.attempt_of(case, report),
            _ => self.attempt(case),
        }
    }

    /// The same, mostly from the report before that one.
    pub(super) fn attempt_before_newest(&mut self, case: usize) -> Option<Attempt> {
        let older = self.reports_of(case).into_iter().filter(|report| self.proves(*report)).nth_back(1);
        match older {
            Some(report) if !self.dice.one_in(4) => self.attempt_of(case, report),
            _ => self.attempt(case),
        }
    }

    fn attempt_of(&mut self, case: usize, report: usize) -> Option<Attempt> {
        let id = self.cases[case].id;
        let Report { epoch, leaves, paths, .. } = &self.reports[report];
        let place = leaves.iter().position(|leaf| leaf.lease == id)?;
        let mut item = ClaimItem { lease: id, epoch: *epoch, leaf: leaves[place].clone(), proof: paths[place].clone() };
        let spoiled = self.dice.one_in(5);
        if spoiled {
            match self.dice.up_to(4) {
                0 => item.leaf.units ^= 1,
                1 => item.proof.push(B256::ZERO),
                2 => item.epoch += RING,
                3 => item.leaf.policyHash = keccak256("another policy"),
                _ => item.leaf.through += 1,
            }
        }
        let proven = !spoiled && self.proves(report);
        Some(Attempt { case, item, proven })
    }

    /// Writes a proven leaf into the history; returns what it earns.
    pub(super) fn prove(&mut self, attempt: &Attempt) -> u128 {
        let Leaf { units, adjustment, creditSeconds, through, .. } = attempt.item.leaf;
        let units = if self.slip { units.saturating_add(1) } else { units };
        let counters = Counters { units, adjustment, credit_seconds: creditSeconds, through };
        let now = self.now();
        let paid = self.cases[attempt.case].lease.prove(now, counters);
        if paid > 0 {
            self.tally.paying_claims += 1;
        } else {
            self.tally.idle_claims += 1;
        }
        paid
    }

    pub(super) fn claim(&mut self) {
        let Some(case) = self.any_case() else { return };
        let Some(attempt) = self.attempt(case) else { return };
        let ClaimItem { lease, epoch, leaf, proof } = attempt.item.clone();
        let call = Escrow::claimCall { lease, epoch, leaf, proof };
        let taken = self.world.chain.call(account(0xaa, 0), self.world.escrow, &call);
        let expected = self.is_open(case) && attempt.proven;
        assert_eq!(taken.is_ok(), expected, "claim of lease {lease}, epoch {epoch}: {:?}", taken.err());
        if let Ok(done) = taken {
            let earned = self.prove(&attempt);
            let paid: u128 = done.returned.to();
            assert!(paid == earned, "claim of lease {lease}: {paid} is not what the calculation says, {earned}");
        } else {
            self.tally.refused += 1;
        }
    }

    pub(super) fn claim_batch(&mut self) {
        let mut attempts = Vec::new();
        for _ in 0..self.dice.up_to(6) {
            let Some(case) = self.any_case() else { return };
            attempts.extend(self.attempt(case));
        }
        let items = attempts.iter().map(|attempt| attempt.item.clone()).collect();
        let call = Escrow::claimBatchCall { items };
        let done = self.world.chain.call(account(0xaa, 0), self.world.escrow, &call).unwrap();
        let skipped = done.events::<Escrow::ClaimSkipped>().len();
        let mut unproven = 0;
        for attempt in &attempts {
            if self.is_open(attempt.case) && attempt.proven {
                self.prove(attempt);
            } else {
                unproven += 1;
            }
        }
        assert!(skipped >= unproven, "{skipped} of a batch were passed over, at least {unproven} are not proven");
    }
}
