//! What a new policy would have paid: archived epochs judged again with every lease under it, from the same evidence.
//! Leaves out: printing (`cli`), and the audit of what was signed (`audit`).
//!
//! An archive says which of the book's deadlines each message met, not when it came. So a new policy may only use deadlines
//! that the book has already, and challenge no more often: nobody asked the devices for more.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::B256;
use oracle_core::archive::{self, Bundle};
use oracle_core::class::Rules;
use oracle_core::policy::{Book, Policy};
use oracle_core::registry::{History, Snapshot};
use oracle_core::report::{Outcome, Verdict};
use oracle_core::state::{LeaseState, State};

use crate::audit::file_name;

/// A lease by both policies, as of the last epoch judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Lease id.
    pub lease: u64,
    /// As it was judged; `None` when it was not.
    pub now: Option<LeaseState>,
    /// As the new policy judges it; `None` when that has no section for its class.
    pub then: Option<LeaseState>,
    /// Challenges and windows that ended differently: (epoch, as it was, by the new policy).
    pub differing: Vec<(u64, Option<Verdict>, Option<Verdict>)>,
}

impl Compared {
    /// Whether the lessor or the lessee would get something else.
    #[must_use]
    pub fn pay_differs(&self) -> bool {
        let pay = |state: &Option<LeaseState>| state.as_ref().map_or((0, 0), |one| (one.units(), one.credit));
        pay(&self.now) != pay(&self.then)
    }
}

/// A new policy beside a book.
#[derive(Debug)]
pub struct Simulation {
    book: Book,
    hash: B256,
}

impl Simulation {
    /// Adds the policy document to the book, whose text is given, and checks that an archive can tell what it asks.
    ///
    /// # Errors
    /// A sentence: a document that is none, or one that asks for what an archive does not say.
    pub fn new(book: &[u8], policy: &[u8]) -> Result<Self, String> {
        let old = Book::parse(book)?;
        let policy = policy.trim_ascii();
        let parsed = Policy::parse(policy)?;
        if parsed.shadow_of.is_some() {
            return Err("the new policy is a shadow; give it without shadow_of".to_owned());
        }
        for (number, new) in &parsed.classes {
            let known: Vec<&dyn Rules> = old.of_class(*number).map(|one| &*one.rules).collect();
            tellable(new.class.name(), &*new.rules, &known)?;
        }
        let hash = Policy::hash(policy);
        let book = match old.policy(&hash) {
            Some(_) => old,
            None => Book::parse(&[book, b"\n", policy].concat())?,
        };
        Ok(Self { book, hash })
    }

    /// How much older than an epoch its snapshot is, ms: what folding the chain log needs.
    #[must_use]
    pub const fn snapshot_lag_ms(&self) -> u64 {
        self.book.conduct.snapshot_lag_ms
    }

    /// Judges the archived epochs again, in order, from the first given; each must be there.
    ///
    /// # Errors
    /// A sentence naming the epoch and what is wrong with it.
    pub fn run(
        &self,
        folder: &Path,
        history: &History,
        epochs: impl Iterator<Item = u64>,
    ) -> Result<Vec<Compared>, String> {
        let mut leases: BTreeMap<u64, Compared> = BTreeMap::new();
        let mut states: Option<(State, State)> = None;
        for epoch in epochs {
            let refused = |why: &dyn core::fmt::Display| format!("epoch {epoch}: {why}");
            let bytes = std::fs::read(folder.join(file_name(epoch))).map_err(|e| refused(&e))?;
            let bundle = Bundle::decode(&bytes).map_err(|e| refused(&e))?;
            let snapshot = history.snapshot(epoch).ok_or_else(|| refused(&"no snapshot in the chain log"))?;
            let (now, then) = states.take().unwrap_or_else(|| (bundle.state.clone(), beginning(&bundle.state)));
            let judge = |snapshot: &Snapshot, state: &State| {
                archive::rejudge(&bundle, history, &self.book, snapshot, state).map_err(|e| refused(&e))
            };
            let as_it_was = judge(snapshot, &now)?;
            let by_the_new = judge(&self.under(snapshot), &then)?;
            compare(epoch, &as_it_was, &by_the_new, &mut leases);
            states = Some((as_it_was.state, by_the_new.state));
        }
        Ok(leases.into_values().collect())
    }

    /// The snapshot with every lease under the new policy.
    fn under(&self, snapshot: &Snapshot) -> Snapshot {
        let mut changed = snapshot.clone();
        changed.leases.values_mut().for_each(|lease| lease.policy_hash = self.hash);
        changed
    }
}

/// Whether an archive made under `known` tells what `new` asks.
fn tellable(class: &str, new: &dyn Rules, known: &[&dyn Rules]) -> Result<(), String> {
    for kind in new.kinds() {
        let deadlines: Vec<u32> = kind.deadlines().collect();
        let has = |rules: &&dyn Rules| {
            rules.kinds().iter().any(|old| old.message == kind.message && old.deadlines().eq(deadlines.iter().copied()))
        };
        if !known.iter().any(has) {
            let what = kind.message.name();
            return Err(format!(
                "classes.{class}: deadlines of {deadlines:?} ms for {what} messages are in no policy of the book; an archive does not say when a message came"
            ));
        }
    }
    let most = known.iter().map(|rules| rules.chance()).max().unwrap_or_default();
    if new.chance() > most {
        return Err(format!(
            "classes.{class}: challenges are drawn more often than by any policy of the book; no device was asked for them"
        ));
    }
    Ok(())
}

/// A state in which no lease was judged yet: what devices had shown is kept, what leases had come to is not.
fn beginning(state: &State) -> State {
    State { leases: Vec::new(), shadows: Vec::new(), ..state.clone() }
}

fn compare(epoch: u64, now: &Outcome, then: &Outcome, leases: &mut BTreeMap<u64, Compared>) {
    for (outcome, is_new) in [(now, false), (then, true)] {
        for state in &outcome.state.leases {
            let blank = Compared { lease: state.lease, now: None, then: None, differing: Vec::new() };
            let one = leases.entry(state.lease).or_insert(blank);
            let place = if is_new { &mut one.then } else { &mut one.now };
            *place = Some(state.clone());
        }
    }
    let ended = |outcome: &Outcome| -> BTreeMap<(u64, u64), Verdict> {
        outcome.verdicts.iter().map(|verdict| ((verdict.lease, verdict.at), verdict.clone())).collect()
    };
    let (before, after) = (ended(now), ended(then));
    let keys: std::collections::BTreeSet<&(u64, u64)> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let (old, new) = (before.get(key), after.get(key));
        let told = |one: Option<&Verdict>| one.map(|verdict| (verdict.outcome, verdict.reason, verdict.units));
        if told(old) != told(new)
            && let Some(lease) = leases.get_mut(&key.0)
        {
            lease.differing.push((epoch, old.cloned(), new.cloned()));
        }
    }
}
