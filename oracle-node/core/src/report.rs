//! F: (Σ, snapshot, policy book, S) → (report, Σ'). The one function that nodes vote on and auditors replay.
//! docs/protocol.md §9. Leaves out: what a class makes of its evidence (`class`), agreement (`qbft`).

use std::collections::{BTreeMap, BTreeSet};

mod epoch_set;
mod evidence;
mod facts;
mod header;
mod judging;
mod ledger;
mod slots;
mod tally;

pub use epoch_set::EpochSet;
pub use facts::Facts;
pub use header::{StateTag, header_digest, observations_hash, state_leaves, state_root};
pub use slots::{beacon_message, beacon_range, void_slots};
pub use tally::{check_body, listers, overdrawn};

use crate::effect::{Blobs, Bodies};
use crate::observation::blob_hash;
use crate::policy::Book;
use crate::registry::Snapshot;
use crate::state::{STATE_VERSION, State};
use crate::term::Term;
use crate::typed::{Header, Kind, Leaf, Phase};
use crate::wire::{self, InstanceId, Statement};

/// Everything that F reads.
#[derive(Clone, Copy, Debug)]
pub struct EpochInput<'a> {
    /// The term.
    pub term: &'a Term,
    /// The policy book; its root is `term.book_root`.
    pub book: &'a Book,
    /// Stream.
    pub stream: u32,
    /// Epoch; must be `state.next_epoch`.
    pub epoch: u64,
    /// Σ of the epoch before.
    pub state: &'a State,
    /// The chain as of the snapshot block.
    pub snapshot: &'a Snapshot,
    /// S: at least n−f observation statements, ascending by member, authentic.
    pub observations: &'a [Statement],
    /// Their bodies, by member.
    pub bodies: &'a Bodies,
    /// Beacon certificates by slot (48 bytes), one for every slot that is not void.
    pub beacons: &'a BTreeMap<u64, [u8; 48]>,
    /// The committee's public keys.
    pub sharing: &'a aggregator::Sharing,
    /// Buckets and evidence by id.
    pub blobs: &'a Blobs,
}

/// How one challenge or window ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Lease.
    pub lease: u64,
    /// The challenge's slot, or the start of the window in unix seconds.
    pub at: u64,
    /// 0 void, 1 passed, 2 failed.
    pub outcome: u8,
    /// Stable code (`reason`), 0 when passed.
    pub reason: u16,
    /// Units that it proved.
    pub units: u64,
    /// What was measured, in the reason's unit.
    pub measured: i64,
    /// The limit it was held against.
    pub limit: i64,
}

/// What F says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The header to sign.
    pub header: Header,
    /// Leaves, ascending by lease.
    pub leaves: Vec<Leaf>,
    /// One per challenge due or window closed in the epoch, ascending by (lease, at).
    pub verdicts: Vec<Verdict>,
    /// Σ'.
    pub state: State,
    /// Void slots of the epoch.
    pub void_slots: Vec<u64>,
    /// Hashes and ids of all content that was read, ascending: what a prepare vote promises to serve, what the archive holds.
    pub content: Vec<[u8; 32]>,
}

/// Why F cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// These hashes and ids must be fetched first.
    #[error("{} pieces of content are missing", .0.len())]
    Missing(Vec<[u8; 32]>),
    /// The input breaks a rule; the proposer is at fault.
    #[error("invalid input: {0}")]
    Invalid(String),
}

/// Computes the report of an epoch, trusting nothing: statements, beacons, hashes, evidence are all verified.
///
/// # Errors
/// Missing content (fetch and call again) or an input that breaks a rule. Evidence with the right id and a bad signature
/// counts as missing: an id is never blamed for bytes that somebody spoiled.
pub fn compute(input: &EpochInput<'_>) -> Result<Outcome, ReportError> {
    compute_trusting(input, &BTreeSet::new())
}

/// As [`compute`], but skips the signature checks of what this node has verified before: evidence by its id, beacons by
/// [`beacon_fact`], statements by [`statement_fact`]. The outcome is the same whatever the set holds, if it is true.
///
/// # Errors
/// As [`compute`].
pub fn compute_trusting(input: &EpochInput<'_>, verified: &BTreeSet<[u8; 32]>) -> Result<Outcome, ReportError> {
    check(input, verified)?;
    let tally = tally::Tally::of(input)?;
    let slots = slots::Slots::of(input, verified)?;
    let mut ledger = ledger::Ledger::open(input, &slots);
    let evidence = evidence::resolve(input, verified, &tally, &ledger)?;
    let facts = Facts::of(input, &tally, &evidence.items);
    judging::judge(input, &evidence.items, &facts, &mut ledger);
    let content: BTreeSet<[u8; 32]> = tally.blobs.into_iter().chain(evidence.used).collect();
    Ok(header::conclude(input, &slots, ledger.close(), facts, content.into_iter().collect()))
}

/// What [`compute_trusting`] looks up to skip a beacon's check.
#[must_use]
pub fn beacon_fact(slot: u64, certificate: &[u8; 48]) -> [u8; 32] {
    blob_hash(&[slot.to_be_bytes().as_slice(), certificate].concat())
}

/// What [`compute_trusting`] looks up to skip a statement's check.
#[must_use]
pub fn statement_fact(statement: &Statement) -> [u8; 32] {
    blob_hash(&wire::encode(statement))
}

fn invalid<T>(what: impl Into<String>) -> Result<T, ReportError> {
    Err(ReportError::Invalid(what.into()))
}

/// The rules of S and of the term; docs/protocol.md §9.
fn check(input: &EpochInput<'_>, verified: &BTreeSet<[u8; 32]>) -> Result<(), ReportError> {
    let (term, state) = (input.term, input.state);
    if term.genesis_ms.is_none() {
        return invalid("the term is not activated");
    }
    if term.slot_ms == 0 || term.slot_ms % 1_000 != 0 || term.epoch_ms < term.slot_ms {
        return invalid(format!("slots of {} ms are not whole seconds within an epoch", term.slot_ms));
    }
    if state.version != STATE_VERSION || state.next_epoch != input.epoch {
        return invalid(format!("state is for epoch {}, not {}", state.next_epoch, input.epoch));
    }
    check_observations(term, input.stream, input.epoch, input.observations, verified)
}

/// The rules of S's statements: enough of them, ascending by member, authentic, about this epoch. `verified` as in
/// [`compute_trusting`].
///
/// # Errors
/// [`ReportError::Invalid`] with the rule that is broken.
pub fn check_observations(
    term: &Term,
    stream: u32,
    epoch: u64,
    observations: &[Statement],
    verified: &BTreeSet<[u8; 32]>,
) -> Result<(), ReportError> {
    let ascending = observations.iter().zip(observations.iter().skip(1));
    if !ascending.clone().all(|(one, next)| one.member < next.member) {
        return invalid("observations are not ascending by member");
    }
    let count = u32::try_from(observations.len()).unwrap_or(u32::MAX);
    if count < term.quorum() || count > term.n() {
        return invalid(format!("{count} observations, {} to {} are allowed", term.quorum(), term.n()));
    }
    let (instance, addresses) = (InstanceId::new(Kind::Report, stream, epoch), term.addresses());
    for statement in observations {
        let observation = statement.phase == Phase::Observation as u8 && statement.view == 0;
        if !observation || statement.instance != instance {
            return invalid(format!("statement of member {} is no observation of this epoch", statement.member));
        }
        if !verified.contains(&statement_fact(statement)) && !statement.is_authentic(&term.scope, &addresses) {
            return invalid(format!("observation of member {} is not authentic", statement.member));
        }
    }
    Ok(())
}
