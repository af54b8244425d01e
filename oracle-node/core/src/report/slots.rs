//! The beacon slots of an epoch: which are void, and the seeds of the others. docs/protocol.md §§4, 9.
//! Leaves out: making beacons (`beacon`).

use std::collections::{BTreeMap, BTreeSet};

use aggregator::Signature;
use sha2::{Digest, Sha256};

use super::{EpochInput, ReportError, beacon_fact, invalid};
use crate::observation::{Body, LATENESS_MISSING};
use crate::policy::Book;
use crate::term::Term;
use crate::typed::Scope;

/// The slots in which a challenge of any class in the book is due in this epoch; observations give a lateness for each of
/// them. Where nothing is challenged, those whose beacon may be late by the allowance for gossip: they still seed the order
/// of leaders.
#[must_use]
pub fn beacon_range(term: &Term, book: &Book, epoch: u64) -> core::ops::Range<u64> {
    let gossip = book.conduct.gossip_allowance_ms;
    let (longest, shortest) = book.lags_ms().unwrap_or((gossip, gossip));
    term.slots_due(epoch, longest).start..term.slots_due(epoch, shortest).end
}

/// The void slots among [`beacon_range`] with their median lateness in ms: those whose upper median over the bodies
/// exceeds the bound of the conduct document. A body that says nothing of a slot counts as never having had its beacon.
#[must_use]
pub fn void_slots<'a>(
    term: &Term,
    book: &Book,
    epoch: u64,
    bodies: impl Iterator<Item = &'a Body>,
) -> BTreeMap<u64, u32> {
    let bodies: Vec<&Body> = bodies.collect();
    #[cfg(feature = "planted-faults")]
    let bodies = bodies.get(..crate::planted::median_of(bodies.len(), term.f())).unwrap_or_default().to_vec();
    let medians = beacon_range(term, book, epoch).map(|slot| (slot, median(&bodies, slot)));
    medians.filter(|(_, median)| u64::from(*median) > book.conduct.void_bound_ms).collect()
}

fn median(bodies: &[&Body], slot: u64) -> u32 {
    let lateness = |body: &&Body| {
        let place = slot.checked_sub(body.first_slot).and_then(|i| usize::try_from(i).ok());
        place.and_then(|place| body.lateness.get(place)).copied().unwrap_or(LATENESS_MISSING)
    };
    let mut all: Vec<u32> = bodies.iter().map(lateness).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or(LATENESS_MISSING)
}

/// What a beacon's certificate signs.
#[must_use]
pub fn beacon_message(scope: &Scope, slot: u64) -> [u8; 32] {
    Sha256::new_with_prefix(b"plumbline/beacon/v1")
        .chain_update(scope.network())
        .chain_update(scope.committee.to_be_bytes())
        .chain_update(scope.term.to_be_bytes())
        .chain_update(slot.to_be_bytes())
        .finalize()
        .into()
}

/// The epoch's slots, judged.
pub(super) struct Slots {
    /// Void slots with their median lateness.
    pub(super) void: BTreeMap<u64, u32>,
    /// Seeds of all others.
    pub(super) seeds: BTreeMap<u64, [u8; 32]>,
}

impl Slots {
    /// Decides the void slots and verifies the certificates: exactly those of the other slots must be there.
    pub(super) fn of(input: &EpochInput<'_>, verified: &BTreeSet<[u8; 32]>) -> Result<Self, ReportError> {
        let seen = input.observations.iter().filter_map(|statement| input.bodies.get(&statement.member));
        let void = void_slots(input.term, input.book, input.epoch, seen);
        let mut seeds = BTreeMap::new();
        for slot in beacon_range(input.term, input.book, input.epoch) {
            match (void.contains_key(&slot), input.beacons.get(&slot)) {
                (true, None) => {}
                (true, Some(_)) => return invalid(format!("slot {slot} is void but its beacon is in the proposal")),
                (false, None) => return invalid(format!("the beacon of slot {slot} is not in the proposal")),
                (false, Some(certificate)) => {
                    verify(input, verified, slot, certificate)?;
                    seeds.insert(slot, attest::challenge::seed(certificate));
                }
            }
        }
        if seeds.len() != input.beacons.len() {
            return invalid("the proposal holds beacons of other epochs");
        }
        Ok(Self { void, seeds })
    }
}

fn verify(
    input: &EpochInput<'_>,
    verified: &BTreeSet<[u8; 32]>,
    slot: u64,
    certificate: &[u8; 48],
) -> Result<(), ReportError> {
    if verified.contains(&beacon_fact(slot, certificate)) {
        return Ok(());
    }
    let message = beacon_message(&input.term.scope, slot);
    let signature = Signature::from_bytes(certificate);
    let good = signature.is_ok_and(|signature| input.sharing.group.verify(&message, &signature).is_ok());
    if good { Ok(()) } else { invalid(format!("the beacon of slot {slot} does not verify")) }
}
