//! Leases: opened, funded, and ended in every way there is. Leaves out: leaves and proofs (`reports`).

use alloy::primitives::{Address, U256};
use testnet::contracts::offer::{Offer, OfferBounds, OfferTerms, acceptance, tiers};

use super::{Attempt, CLASS, Campaign, Case, DEVICES, PEOPLE, account};
use crate::model::{Ending, LEVELS, Lease, Terms};
use crate::world::{self, COMMITTEE, ClaimItem, Escrow, GRACE, STREAM, TIMEOUT, classes, policy};

/// Good and bad seconds of a final leaf.
fn judged(attempt: &Attempt) -> Option<(u64, u64)> {
    Some((attempt.item.leaf.goodSeconds, attempt.item.leaf.badSeconds))
}

impl Campaign {
    pub(super) fn terms(&mut self) -> Terms {
        let now = self.now();
        let start = if self.dice.one_in(2) { now } else { now + self.dice.up_to(150) };
        let longest = if self.dice.one_in(3) { 2 * TIMEOUT } else { 400 };
        // A few leases are worth more than 64 bits can hold.
        let price = if self.dice.one_in(6) { 1 << 66 } else { 1 + u128::from(self.dice.up_to(1_000)) };
        Terms {
            price,
            units_per_second: 1 + u128::from(self.dice.up_to(4)),
            bond: u128::from(self.dice.up_to(5_000)) * if price > 1 << 60 { 1 << 60 } else { 1 },
            fee_bp: u128::from(self.dice.up_to(2_000)),
            min_fee: u128::from(self.dice.up_to(60)),
            start,
            end: start + 30 + self.dice.up_to(longest),
        }
    }

    pub(super) fn open(&mut self) {
        let now = self.now();
        let token = self.dice.pick(DEVICES);
        let leased = |case: &Case| case.token == token && case.lease.ending.is_none() && case.lease.terms.end > now;
        if self.cases.iter().any(leased) {
            return;
        }
        let terms = self.terms();
        let lessor = token % PEOPLE;
        let (lessee, payee) = (account(0x1e, self.dice.pick(PEOPLE)), account(0x9a, self.dice.pick(PEOPLE)));
        let whole = terms.price * terms.units_per_second * u128::from(terms.end - terms.start);
        let least = terms.min_fee.max(terms.bond).max(1);
        let any = whole / 100 * u128::from(self.dice.up_to(130));
        let deposit = if self.dice.one_in(10) { any } else { any.max(least) };
        // Only a bond can pay for a cancelling lessor.
        let fits = deposit >= least && (terms.start <= now || terms.bond >= terms.min_fee);
        self.nonce += 1;
        let leased = OfferTerms {
            tokenId: self.tokens[token],
            lessor: self.lessors[lessor].address(),
            payee,
            lessee: Address::ZERO,
            token: self.world.dollar,
            class: CLASS,
            committee: COMMITTEE,
            stream: STREAM,
            policyHash: policy(),
            price: U256::from(terms.price).to(),
            maxUnitsPerHour: U256::from(terms.units_per_second * 3_600).to(),
            creditPerHour: U256::from(terms.price * 3_600).to(),
            tiers: tiers(&LEVELS),
            bond: U256::from(terms.bond).to(),
            ..OfferTerms::default()
        };
        let bounds = OfferBounds {
            feeBp: terms.fee_bp as u16,
            minFee: U256::from(terms.min_fee).to(),
            start: terms.start,
            end: terms.end,
            nonce: self.nonce,
            expiry: now + 10,
            ..OfferBounds::default()
        };
        let offer = Offer { terms: leased, bounds };
        let escrow = self.world.escrow;
        let digest = self.world.chain.ask(escrow, &offer.digest());
        let signature = world::sign(&self.lessors[lessor], &digest);
        let call = offer.open(signature, acceptance(U256::from(deposit), classes(), vec![]));
        let taken = self.world.chain.call(lessee, escrow, &call);
        assert_eq!(taken.is_ok(), fits && !self.paused, "open with {deposit} on {terms:?}: {:?}", taken.as_ref().err());
        self.tally.paused_out += u64::from(fits && self.paused);
        let Ok(done) = taken else { return };
        let id = done.returned;
        self.cases.push(Case { id, token, lessor, lessee, payee, notice: None, lease: Lease::open(terms, deposit) });
        self.tally.opened += 1;
    }

    pub(super) fn wait(&mut self) {
        let until = self.now() + 1 + self.dice.up_to(250);
        self.world.chain.pass_to(until);
    }

    pub(super) fn collect(&mut self) {
        let Some(case) = self.any_case() else { return };
        let call = Escrow::collectCall { lease: self.cases[case].id };
        let taken = self.world.chain.call(account(0xaa, 0), self.world.escrow, &call);
        assert_eq!(taken.is_ok(), self.is_open(case), "collect");
        if taken.is_ok() {
            self.cases[case].lease.collect();
        }
    }

    pub(super) fn top_up(&mut self) {
        let Some(case) = self.any_case() else { return };
        let amount = u128::from(self.dice.up_to(3_000));
        let call = Escrow::topUpCall { lease: self.cases[case].id, amount: U256::from(amount).to() };
        let taken = self.world.chain.call(self.cases[case].lessee, self.world.escrow, &call);
        assert_eq!(taken.is_ok(), self.is_open(case) && !self.paused, "top up");
        if taken.is_ok() {
            self.cases[case].lease.fund(amount);
        }
    }

    /// Whether a leaf of an epoch is the last word on what was served until `moment`.
    pub(super) fn is_final(&self, attempt: &Attempt, moment: u64) -> bool {
        let covered = moment + GRACE;
        let Attempt { item, .. } = attempt;
        let ends = self.world.start_of(item.epoch + 1) >= covered;
        let begins = self.world.start_of(item.epoch) >= covered;
        ends && (item.leaf.through >= moment || begins)
    }

    pub(super) fn close(&mut self) {
        let Some(case) = self.any_case() else { return };
        let Some(attempt) = self.attempt(case) else { return };
        let end = self.cases[case].lease.terms.end;
        let expected = self.is_open(case) && attempt.proven && self.is_final(&attempt, end);
        let ClaimItem { lease, epoch, leaf, proof } = attempt.item.clone();
        let call = Escrow::closeCall { lease, epoch, leaf, proof };
        let taken = self.world.chain.call(account(0xaa, 0), self.world.escrow, &call);
        assert_eq!(taken.is_ok(), expected, "close of lease {lease} with epoch {epoch}: {:?}", taken.err());
        if expected {
            self.prove(&attempt);
            self.finish(case, Ending::Served { unserved: 0, judged: judged(&attempt) });
        } else {
            self.tally.refused += 1;
        }
    }

    pub(super) fn close_late(&mut self) {
        let Some(case) = self.any_case() else { return };
        let expected = self.is_open(case) && self.now() >= self.cases[case].lease.terms.end + TIMEOUT;
        let call = Escrow::closeAfterTimeoutCall { lease: self.cases[case].id };
        let taken = self.world.chain.call(account(0xaa, 0), self.world.escrow, &call);
        assert_eq!(taken.is_ok(), expected, "close after the timeout");
        if expected {
            self.finish(case, Ending::Served { unserved: 0, judged: None });
        }
    }

    pub(super) fn cancel(&mut self) {
        let Some(case) = self.any_case() else { return };
        let by_lessee = self.dice.one_in(2);
        let Case { id, lessor, lessee, .. } = self.cases[case];
        let by = if by_lessee { lessee } else { self.lessors[lessor].address() };
        let expected = self.is_open(case) && self.now() < self.cases[case].lease.terms.start;
        let taken = self.world.chain.call(by, self.world.escrow, &Escrow::cancelCall { lease: id });
        assert_eq!(taken.is_ok(), expected, "cancel");
        if expected {
            self.finish(case, Ending::Cancelled { by_lessee });
        }
    }

    /// The lessor gives notice; or, when it has, somebody tries to end the lease by it.
    pub(super) fn leave(&mut self) {
        let under_notice = (0..self.cases.len()).rfind(|i| self.is_open(*i) && self.cases[*i].notice.is_some());
        let Some(case) = under_notice.or_else(|| self.any_case()) else { return };
        let (now, Terms { start, end, .. }) = (self.now(), self.cases[case].lease.terms);
        let Case { id, lessor, lessee, notice, .. } = self.cases[case];
        let Some(given) = notice else {
            let from = now.max(start);
            let call = Escrow::giveNoticeCall { lease: id };
            let taken = self.world.chain.call(self.lessors[lessor].address(), self.world.escrow, &call);
            assert_eq!(taken.is_ok(), self.is_open(case) && from + TIMEOUT < end, "notice");
            self.cases[case].notice = taken.is_ok().then_some(from);
            return;
        };
        let Some(attempt) = self.newest_attempt(case) else { return };
        let (by, moment) = if self.dice.one_in(2) { (lessee, given) } else { (account(0xaa, 0), given + TIMEOUT) };
        let last_word = self.is_final(&attempt, moment) && self.is_newest(attempt.item.epoch);
        let expected = self.is_open(case) && attempt.proven && last_word;
        let ClaimItem { lease, epoch, leaf, proof } = attempt.item.clone();
        let call = Escrow::leaveLeaseCall { lease, epoch, leaf, proof };
        let taken = self.world.chain.call(by, self.world.escrow, &call);
        assert_eq!(taken.is_ok(), expected, "leave lease {lease}: {:?}", taken.err());
        if expected {
            self.prove(&attempt);
            let unserved = self.cases[case].lease.unserved(given + TIMEOUT);
            self.finish(case, Ending::Served { unserved, judged: judged(&attempt) });
            self.tally.left += 1;
        }
    }

    /// The lessee, or a stranger, shows two leaves with nothing but bad seconds between them.
    pub(super) fn close_silent(&mut self) {
        let Some(case) = self.any_case() else { return };
        let (Some(first), Some(last)) = (self.attempt_before_newest(case), self.newest_attempt(case)) else { return };
        let Case { id, lessee, .. } = self.cases[case];
        let by_lessee = !self.dice.one_in(6);
        let (a, b) = (&first.item.leaf, &last.item.leaf);
        let silent = a.goodSeconds == b.goodSeconds && a.units == b.units && b.badSeconds >= a.badSeconds + TIMEOUT;
        let shown = first.proven && last.proven && silent && self.is_newest(last.item.epoch);
        let expected = self.is_open(case) && by_lessee && shown;
        let call = Escrow::closeSilentCall { lease: id, first: first.item.clone(), last: last.item.clone() };
        let by = if by_lessee { lessee } else { account(0xaa, 0) };
        let taken = self.world.chain.call(by, self.world.escrow, &call);
        assert_eq!(taken.is_ok(), expected, "close lease {id} for silence: {:?}", taken.err());
        if expected {
            self.prove(&last);
            self.finish(case, Ending::Served { unserved: 0, judged: judged(&last) });
            self.tally.silent += 1;
        }
    }

    /// A stream without a report for so long lets everyone go.
    pub(super) fn close_stalled(&mut self) {
        let Some(case) = self.any_case() else { return };
        let silent = self.reports.last().map_or(0, |report| self.world.start_of(report.epoch + 1));
        let from = silent.max(self.cases[case].lease.terms.start) + TIMEOUT;
        let expected = self.is_open(case) && self.now() >= from;
        let call = Escrow::closeStalledCall { lease: self.cases[case].id };
        let taken = self.world.chain.call(account(0xaa, 0), self.world.escrow, &call);
        assert_eq!(taken.is_ok(), expected, "close for a stalled stream");
        if expected {
            self.finish(case, Ending::Served { unserved: 0, judged: None });
        }
    }
}
