//! From the devices' diaries to what each lease must be paid: the parts that every kind's own reading of a diary (`kind`,
//! `deeds.rs` there) leans on. Own code throughout; the core's verdicts are not looked at. Leaves out: the sums (`expect`).

use std::collections::{BTreeMap, BTreeSet};

use crate::device::Clock;
use crate::device::diary::Entry;
use crate::expect::{self, Deeds, Expected, Lease, Slot, Slots, draw, due_in, is_drawn};
use crate::fleet::Unit;
use crate::kind::KINDS;

/// A device with its lease and its diary.
#[derive(Clone, Debug)]
pub struct Book<'a> {
    /// The device.
    pub unit: &'a Unit,
    /// Its lease.
    pub lease: Lease,
    /// Its diary, in order.
    pub entries: Vec<Entry>,
}

/// What everybody can know: the network's time and its beacons.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The network's time.
    pub clock: Clock,
    /// Beacons and void slots, from the archive.
    pub slots: Slots,
    /// The last epoch that counts.
    pub last_epoch: u64,
}

/// What came out of a diary.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// What the lease must be paid.
    pub expected: Expected,
    /// What that rests on, where a class counts slots.
    pub deeds: Deeds,
    /// Losses and delays that no planned fault explains, each a sentence naming device and slot.
    pub unexplained: Vec<String>,
    /// Ids of evidence that a broker took (PUBACK), forked pairs included.
    pub taken: BTreeSet<String>,
    /// Ids of evidence for which the device holds receipts of f+1 members.
    pub acknowledged: BTreeSet<String>,
}

/// Reads every diary, each kind its own; in the order of `books`.
#[must_use]
pub fn accounts(books: &[Book<'_>], facts: &Facts) -> Vec<Account> {
    let mut by_lease = BTreeMap::new();
    for kind in KINDS {
        let own: Vec<&Book<'_>> = books.iter().filter(|book| book.unit.plan.kind.name() == kind.name()).collect();
        by_lease.extend(own.iter().map(|book| book.lease.lease).zip(kind.accounts(&own, facts)));
    }
    let each = books.iter().map(|book| {
        let mut account = by_lease.remove(&book.lease.lease).unwrap_or_default();
        for entry in &book.entries {
            match entry {
                Entry::Acked { id, .. } => drop(account.taken.insert(id.clone())),
                Entry::Acknowledged { id, .. } => drop(account.acknowledged.insert(id.clone())),
                _ => {}
            }
        }
        account
    });
    each.collect()
}

/// What became of one challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Met.
    Met,
    /// Met in time for the committee, but later than an honest device should be: how late.
    Late(String),
    /// Not met, and nobody planned that: why.
    Lost(String),
    /// Not met, by bad luck or as planned.
    Spared,
}

/// The account of a lease that is paid by the second for the challenges that it met. `lies`: slots in which its device
/// provably lied about others.
pub fn weigh(book: &Book<'_>, facts: &Facts, lies: BTreeSet<u64>, mut judge: impl FnMut(u64) -> Verdict) -> Account {
    let mut account = Account { deeds: Deeds { lies, ..Deeds::default() }, ..Account::default() };
    for slot in challenged(&book.lease, facts) {
        let verdict = judge(slot);
        if matches!(verdict, Verdict::Met | Verdict::Late(_)) {
            account.deeds.met.insert(slot);
        }
        if let Verdict::Late(what) | Verdict::Lost(what) = verdict {
            account.unexplained.push(format!("{} slot {slot}: {what}", book.unit.plan.name));
        }
    }
    account.expected = expect::follow(&facts.clock, &book.lease, &facts.slots, &account.deeds, facts.last_epoch);
    account
}

/// Slots in which the lease is challenged, by the beacons.
#[must_use]
pub fn challenged(lease: &Lease, facts: &Facts) -> BTreeSet<u64> {
    let Facts { clock, slots, .. } = facts;
    let within = |slot: u64| {
        let at = clock.start(slot);
        at >= lease.start * 1000 && at < lease.end * 1000
    };
    let drawn = |slot: &Slot| {
        slot.seed.is_some_and(|seed| is_drawn(&draw(&seed, lease.device, lease.lease), lease.rules.challenge_p))
    };
    let here = |epoch: u64, slot: u64| due_in(clock, lease.lag_ms, slot) == epoch;
    let asked = slots
        .iter()
        .filter(|((epoch, number), slot)| here(*epoch, *number) && within(*number) && !slot.void && drawn(slot));
    asked.map(|((_, number), _)| *number).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    //! Diaries written by hand, for the tests of every kind.

    use super::*;
    use crate::fleet::Plan;
    use crate::kind::{Adversary, Kind};

    pub(crate) const CLOCK: Clock = Clock { genesis_ms: 1_000_000, slot_ms: 1_000, epoch_ms: 15_000 };

    /// A device with lease `token + 10`.
    pub(crate) fn unit(
        kind: &'static dyn Kind,
        token: u64,
        alg: u8,
        offset: Option<(f64, f64)>,
        adversary: Option<Adversary>,
    ) -> Unit {
        let mut unit = Unit::new(Plan { name: "one", kind, model: "", alg, offset, adversary });
        (unit.token, unit.lease) = (token, token + 10);
        unit
    }

    /// The lease of a minute, in which every slot is challenged.
    pub(crate) fn lease(unit: &Unit) -> Lease {
        let mut lease = Lease::of(unit, 1_000, 1_060);
        lease.rules.challenge_p = u64::MAX;
        lease
    }

    /// So many slots, none of them void.
    pub(crate) fn facts(count: u64) -> Facts {
        let lags = || KINDS.iter().map(|kind| kind.lag_ms());
        let each = (0..count).flat_map(|slot| lags().map(move |lag| (due_in(&CLOCK, lag, slot), slot)));
        let slots = each.map(|key| (key, Slot { seed: Some([key.1 as u8; 32]), void: false })).collect();
        Facts { clock: CLOCK, slots, last_epoch: 4 }
    }

    /// A message sent so long after its slot's start, ms.
    pub(crate) fn sent(slot: u64, after: u64, class: &str, seq: u64, lease: Option<u64>, fork: bool) -> Entry {
        Entry::Sent {
            at_ms: CLOCK.start(slot) + after,
            class: class.into(),
            id: format!("{class}{slot}{seq}{fork}"),
            boot: 1,
            seq,
            slot: Some(slot),
            lease,
            fork,
        }
    }

    #[test]
    fn accounts_come_in_the_order_of_the_books_and_count_messages() {
        let books: Vec<Unit> =
            KINDS.into_iter().rev().zip(1..).map(|(kind, token)| unit(kind, token, 1, None, None)).collect();
        let noted = |token: u64| vec![Entry::Acked { at_ms: 0, id: format!("{token}"), broker: 0 }];
        let books: Vec<Book<'_>> =
            books.iter().map(|unit| Book { unit, lease: lease(unit), entries: noted(unit.token) }).collect();
        let accounts = accounts(&books, &facts(4));
        for (book, account) in books.iter().zip(&accounts) {
            assert_eq!(account.taken.first(), Some(&book.unit.token.to_string()));
            assert_eq!((account.expected.challenged, account.acknowledged.len()), (4, 0));
        }
        assert_eq!(accounts.len(), KINDS.len());
    }
}
