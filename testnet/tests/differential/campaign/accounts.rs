//! Who may withdraw what, and the comparison after each step. Leaves out: the sums of one lease (`crate::model`).

use alloy::primitives::Address;
use alloy::signers::local::PrivateKeySigner;
use testnet::contracts::LeaseEscrow;

use super::{Campaign, PEOPLE, account};
use crate::model::{Earned, Ending};
use crate::world::{COMMITTEE, Escrow, TIMEOUT, TREASURY};

impl Campaign {
    pub(super) fn everyone(&self) -> Vec<Address> {
        let lessees = (0..PEOPLE).map(|i| account(0x1e, i));
        let payees = (0..PEOPLE).map(|i| account(0x9a, i));
        lessees.chain(payees).chain(self.lessors.iter().map(PrivateKeySigner::address)).collect()
    }

    pub(super) fn withdraw(&mut self) {
        let everyone = self.everyone();
        let who = everyone[self.dice.pick(everyone.len())];
        self.withdraw_of(who);
        if self.dice.one_in(3) {
            self.withdraw_fees();
        }
    }

    pub(super) fn withdraw_of(&mut self, who: Address) {
        let owed = self.owed(who);
        let before = self.world.balance(who);
        let call = LeaseEscrow::withdrawCall { token: self.world.dollar };
        let taken = self.world.chain.call(who, self.world.escrow, &call);
        assert_eq!(taken.is_ok(), owed > 0, "withdrawal of {who}");
        assert_eq!(self.world.balance(who) - before, owed, "coins that reached {who}");
        *self.withdrawn.entry(who).or_default() += owed;
        self.tally.withdrawn += u64::from(owed > 0);
    }

    pub(super) fn withdraw_fees(&mut self) {
        let owed = self.fees_owed();
        let call = LeaseEscrow::withdrawFeesCall { committee: COMMITTEE, token: self.world.dollar };
        let taken = self.world.chain.call(account(0xaa, 0), self.world.escrow, &call);
        assert_eq!(taken.is_ok(), owed > 0, "withdrawal of fees");
        self.fees_withdrawn += owed;
        assert_eq!(self.world.balance(TREASURY), self.fees_withdrawn, "the treasury");
    }

    /// What an account may withdraw, by the calculation.
    pub(super) fn owed(&self, who: Address) -> u128 {
        let mut sum = 0;
        for case in &self.cases {
            let shares = case.lease.shares();
            let parties = [
                (case.payee, shares.payee),
                (case.lessee, shares.lessee),
                (self.lessors[case.lessor].address(), shares.lessor),
            ];
            sum += parties.iter().filter(|(party, _)| *party == who).map(|(_, share)| share).sum::<u128>();
        }
        sum - self.withdrawn.get(&who).copied().unwrap_or_default()
    }

    pub(super) fn fees_owed(&self) -> u128 {
        self.cases.iter().map(|case| case.lease.shares().committee).sum::<u128>() - self.fees_withdrawn
    }

    /// Everything that can be read, against the calculation.
    pub(super) fn compare(&mut self, when: &str) {
        let (escrow, token) = (self.world.escrow, self.world.dollar);
        for place in 0..self.cases.len() {
            let id = self.cases[place].id;
            let info = self.world.chain.ask(escrow, &LeaseEscrow::leaseInfoCall { lease: id });
            let told = Earned {
                deposited: info.deposited.to(),
                through: info.through,
                paid: info.paid.to(),
                credit: info.credit.to(),
                fee: info.fee.to(),
            };
            let earned = self.cases[place].lease.earned();
            assert!(told == earned, "{when}: lease {id}: {told:?} is not what the calculation says, {earned:?}");
            assert_eq!(info.state, if self.is_open(place) { 1 } else { 2 }, "{when}: state of lease {id}");
        }
        for who in self.everyone() {
            let told: u128 = self.world.chain.ask(escrow, &LeaseEscrow::claimableCall { token, account: who }).to();
            assert!(
                told == self.owed(who),
                "{when}: {told} of {who} is not what the calculation says, {}",
                self.owed(who)
            );
        }
        let fees: u128 = self.world.chain.ask(escrow, &Escrow::feesCall { token, committee: COMMITTEE }).to();
        assert!(
            fees == self.fees_owed(),
            "{when}: {fees} of fees is not what the calculation says, {}",
            self.fees_owed()
        );
        let owed = self.everyone().iter().map(|who| self.owed(*who)).sum::<u128>() + self.fees_owed();
        let inside: u128 = self.cases.iter().map(|case| case.lease.left()).sum();
        assert_eq!(self.world.balance(escrow), owed + inside, "{when}: every coin of the escrow is somebody's");
    }

    pub(super) fn end_everything(&mut self) {
        let last = self.cases.iter().map(|case| case.lease.terms.end).max().unwrap_or_default() + TIMEOUT;
        let until = last.max(self.now());
        self.world.chain.pass_to(until);
        for case in 0..self.cases.len() {
            if self.is_open(case) {
                let call = Escrow::closeAfterTimeoutCall { lease: self.cases[case].id };
                self.world.chain.call(account(0xaa, 0), self.world.escrow, &call).unwrap();
                self.finish(case, Ending::Served { unserved: 0, judged: None });
            }
        }
        for who in self.everyone() {
            self.withdraw_of(who);
        }
        self.withdraw_fees();
    }
}
