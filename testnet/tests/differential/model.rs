//! What every lease must pay, by an accountant who keeps the whole history and no running totals: each sum is worked out anew
//! from what was put in, what was proven and when. Written from contracts/README.md and docs/integrate.md, not from the
//! contracts. Leaves out: proofs and certificates (`world` knows which leaves are proven).

use alloy::primitives::U256;

/// A leaf's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Units, gross.
    pub(crate) units: u128,
    /// Taken back of them.
    pub(crate) adjustment: u128,
    /// Seconds to be credited.
    pub(crate) credit_seconds: u64,
    /// Judged up to then, unix seconds.
    pub(crate) through: u64,
}

/// What lessor and lessee agreed on. Amounts in base units, times in unix seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) price: u128,
    pub(crate) units_per_second: u128,
    pub(crate) bond: u128,
    pub(crate) fee_bp: u128,
    pub(crate) min_fee: u128,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Service levels of the policy: below this uptime (basis points), this part of the pay (basis points) is credited.
pub(crate) const LEVELS: [(u16, u16); 3] = [(9_900, 500), (9_000, 2_000), (5_000, 10_000)];

/// Something that happened to a lease.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Funded(u128),
    Proven { at: u64, counters: Counters },
}

/// How a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With or without a final leaf; the lessor left these seconds of it unserved. `judged`: the final leaf's good and bad
    /// seconds.
    Served { unserved: u64, judged: Option<(u64, u64)> },
    /// Before its start, by one of the parties.
    Cancelled { by_lessee: bool },
}

/// Who gets what of a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) payee: u128,
    pub(crate) lessee: u128,
    pub(crate) lessor: u128,
    pub(crate) committee: u128,
}

/// What a lease has earned so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Earned {
    pub(crate) deposited: u128,
    pub(crate) through: u64,
    pub(crate) paid: u128,
    pub(crate) credit: u128,
    pub(crate) fee: u128,
}

/// One lease's history.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) terms: Terms,
    history: Vec<Entry>,
    /// How much of the history had been written when the accounts were last brought up to date.
    collected: usize,
    pub(crate) ending: Option<Ending>,
}

impl Lease {
    pub(crate) fn open(terms: Terms, deposit: u128) -> Self {
        Self { terms, history: vec![Entry::Funded(deposit)], collected: 0, ending: None }
    }

    pub(crate) fn fund(&mut self, amount: u128) {
        self.history.push(Entry::Funded(amount));
    }

    /// A proven leaf was brought; returns what it newly earns the lessor's side.
    pub(crate) fn prove(&mut self, at: u64, counters: Counters) -> u128 {
        let before = self.earned().paid;
        self.history.push(Entry::Proven { at, counters });
        self.earned().paid - before
    }

    pub(crate) fn collect(&mut self) {
        self.collected = self.history.len();
    }

    pub(crate) fn finish(&mut self, ending: Ending) {
        self.ending = Some(ending);
    }

    /// Seconds that a lessor who leaves at a moment does not serve: what neither the notice nor a report covers. Whoever is
    /// not paid any more owes none.
    pub(crate) fn unserved(&self, leaves_at: u64) -> u64 {
        let Earned { deposited, paid, through, .. } = self.earned();
        if paid >= deposited { 0 } else { self.terms.end - leaves_at.max(through) }
    }

    pub(crate) fn earned(&self) -> Earned {
        let mut earned = self.earned_by(self.history.len());
        if let Some(Ending::Served { judged: Some((good, bad)), .. }) = self.ending {
            earned.credit = earned.credit.max(self.level(earned.paid, good, bad));
        }
        earned
    }

    /// What the final leaf's uptime credits: the dearest level that it falls short of, rounded up, out of the bond.
    fn level(&self, paid: u128, good: u64, bad: u64) -> u128 {
        let (good, judged) = (u128::from(good), u128::from(good) + u128::from(bad));
        let missed = LEVELS.iter().filter(|(below, _)| good * 10_000 < u128::from(*below) * judged);
        let part = missed.map(|(_, part)| *part).max().unwrap_or_default();
        let credit = (U256::from(paid) * U256::from(part)).div_ceil(U256::from(10_000u64));
        small(credit).min(self.terms.bond)
    }

    /// What the first `count` entries add up to. A leaf counts iff none before it reached further in time.
    fn earned_by(&self, count: usize) -> Earned {
        let history = self.history.get(..count).unwrap_or_default();
        let mut counting: Vec<(u128, u64, Counters)> = Vec::new();
        let (mut deposited, mut reached) = (0, self.terms.start);
        for entry in history {
            match *entry {
                Entry::Funded(amount) => deposited += amount,
                Entry::Proven { at, counters } => {
                    let moment = counters.through.min(self.terms.end).min(at);
                    if moment >= reached {
                        reached = moment;
                        counting.push((deposited, moment, counters));
                    }
                }
            }
        }
        let paid = counting.iter().map(|(funds, moment, one)| self.worth(one, *moment).min(U256::from(*funds)));
        let paid = small(paid.max().unwrap_or_default());
        let credited = counting.iter().map(|(_, moment, one)| one.credit_seconds.min(moment - self.terms.start));
        let credit = u128::from(credited.max().unwrap_or_default()) * self.terms.price;
        Earned { deposited, through: reached, paid, credit: credit.min(self.terms.bond), fee: self.fee(paid) }
    }

    /// What a leaf proves, in money: net units, as far as the device could deliver them in that time, at the price.
    fn worth(&self, counters: &Counters, moment: u64) -> U256 {
        let net = U256::from(counters.units).saturating_sub(U256::from(counters.adjustment));
        let most = U256::from(self.terms.units_per_second) * U256::from(moment - self.terms.start);
        net.min(most) * U256::from(self.terms.price)
    }

    /// The committee's part of a pay: its hundredths of a percent, whole base units only, or the least fee, or all there is.
    fn fee(&self, paid: u128) -> u128 {
        let part = small(U256::from(paid) * U256::from(self.terms.fee_bp) / U256::from(10_000u64));
        part.max(self.terms.min_fee).min(paid)
    }

    /// What has been put to everyone's account, to be withdrawn or withdrawn already.
    pub(crate) fn shares(&self) -> Shares {
        let Terms { bond, min_fee, .. } = self.terms;
        let Some(ending) = self.ending else {
            let so_far = self.earned_by(self.collected);
            return Shares { payee: so_far.paid - so_far.fee, lessee: so_far.credit, lessor: 0, committee: so_far.fee };
        };
        let earned = self.earned();
        match ending {
            Ending::Cancelled { by_lessee: true } => {
                Shares { payee: 0, lessee: earned.deposited - min_fee, lessor: bond, committee: min_fee }
            }
            Ending::Cancelled { by_lessee: false } => {
                let fine = min_fee.min(bond);
                Shares { payee: 0, lessee: earned.deposited, lessor: bond - fine, committee: fine }
            }
            Ending::Served { unserved, .. } => {
                let length = u128::from(self.terms.end - self.terms.start);
                let returned = bond - earned.credit;
                let penalty = small((U256::from(returned) * U256::from(unserved)).div_ceil(U256::from(length)));
                // A lease that proved too little for the least fee pays the rest of it out of what goes back.
                let committee = earned.fee.max(min_fee);
                let payee = earned.paid - earned.fee;
                Shares {
                    payee,
                    lessee: earned.deposited - payee - committee + earned.credit + penalty,
                    lessor: returned - penalty,
                    committee,
                }
            }
        }
    }

    /// What is left of the lease's money after its shares.
    pub(crate) fn left(&self) -> u128 {
        let Shares { payee, lessee, lessor, committee } = self.shares();
        self.earned().deposited + self.terms.bond - payee - lessee - lessor - committee
    }
}

fn small(amount: U256) -> u128 {
    u128::try_from(amount).expect("an amount above 2^128")
}
