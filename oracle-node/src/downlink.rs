//! Payloads that a node publishes to devices: the beacon, lease hints, access, receipts and rotations. docs: oracle-node/README.md.
//! Hints are unsigned and only say where to look; access and receipts carry their own proof. Leaves out: sending (`mqtt`).

mod terms;

use std::collections::{BTreeMap, BTreeSet};

use alloy::sol_types::SolValue as _;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oracle_core::effect::CertifiedReport;
use oracle_core::merkle::{ShaStep, sha_leaf, sha_proof};
use oracle_core::registry::Registry;
use oracle_core::report::{state_leaves, state_root};
use oracle_core::wire::{self, Bytes, Hash};

use crate::books::Books;
use crate::receipts;
use crate::store::{Evidence, ReceiptBatch};
pub use terms::{Teller, rotations};

/// One lease as hinted to its device.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LeaseHint {
    /// Device token id.
    #[n(0)]
    pub token: u64,
    /// Lease.
    #[n(1)]
    pub lease: u64,
    /// Class of work.
    #[n(2)]
    pub class: u8,
    /// Unix seconds.
    #[n(3)]
    pub start: u64,
    /// Unix seconds.
    #[n(4)]
    pub end: u64,
    /// Part of slots with a challenge, of 2^64, by the lease's policy; 0 where nothing is challenged.
    #[n(5)]
    pub challenge_p: u64,
}

/// A certified word on who may use a device: what `userOf` said at the report's snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Access {
    /// ABI encoding of the report header.
    #[n(0)]
    pub header: ByteVec,
    /// Its certificate, 48 bytes.
    #[n(1)]
    pub certificate: Bytes<48>,
    /// A leaf of the header's state root: the tag of leases, then CBOR of the lease's state.
    #[n(2)]
    pub leaf: ByteVec,
    /// Path from the leaf to the state root: (sibling, whether it stands on the left).
    #[n(3)]
    pub proof: Vec<(Hash, bool)>,
}

/// A device's receipts out of one batch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Receipts {
    /// The member that gives them.
    #[n(0)]
    pub member: u32,
    /// Batch number.
    #[n(1)]
    pub batch: u64,
    /// Chained root before the batch.
    #[n(2)]
    pub previous: Hash,
    /// Leaves in the batch.
    #[n(3)]
    pub count: u32,
    /// Ed25519 signature of the chained root with the batch.
    #[n(4)]
    pub signature: Bytes<64>,
    /// (evidence id, arrival ms, verdict, path).
    #[n(5)]
    pub items: Vec<ReceiptItem>,
}

/// One receipted message: id, arrival (unix ms), verdict, path to the batch's tree root.
pub type ReceiptItem = (Hash, u64, u8, Vec<(Hash, bool)>);

/// Beacon broadcast: slot and certificate, 56 bytes.
#[must_use]
pub fn beacon(slot: u64, certificate: &[u8; 48]) -> Vec<u8> {
    [slot.to_be_bytes().as_slice(), certificate].concat()
}

/// Lease hints by device: every open lease of this committee in these streams. Devices without one get an empty list.
#[must_use]
pub fn lease_hints(
    registry: &Registry,
    committee: u64,
    streams: &BTreeSet<u32>,
    books: &Books,
) -> BTreeMap<u64, Vec<LeaseHint>> {
    let mut hints: BTreeMap<u64, Vec<LeaseHint>> =
        registry.devices().keys().map(|token| (*token, Vec::new())).collect();
    for (lease, record) in registry.leases() {
        if record.committee == committee && streams.contains(&record.stream) {
            let (token, class, start, end) = (record.device, record.class, record.start, record.end);
            let challenge_p = books.chance(registry, *lease);
            let hint = LeaseHint { token, lease: *lease, class, start, end, challenge_p };
            hints.entry(record.device).or_default().push(hint);
        }
    }
    hints
}

/// Access by device: of each device the lease of the stream that started last, with its start. Empty when the state does not fit the header.
#[must_use]
pub fn access(report: &CertifiedReport) -> BTreeMap<u64, (u64, Access)> {
    let mut state = report.outcome.state.clone();
    // The tree was built before the header had a digest to carry on.
    state.previous_header = Hash::from(report.header.previousHeader.0);
    if state_root(&state) != report.header.stateRoot.0 {
        return BTreeMap::new();
    }
    let leaves = state_leaves(&state);
    let hashes: Vec<[u8; 32]> = leaves.iter().map(|leaf| sha_leaf(leaf)).collect();
    let header: ByteVec = report.header.abi_encode().into();
    let mut latest: BTreeMap<u64, (u64, Access)> = BTreeMap::new();
    // Leaf 0 is the head; the leases follow in the state's order.
    for (place, lease) in (1usize..).zip(&state.leases) {
        let Some(leaf) = leaves.get(place) else { continue };
        if latest.get(&lease.device).is_some_and(|(start, _)| *start > lease.start) {
            continue;
        }
        let access = Access {
            header: header.clone(),
            certificate: Bytes::from(report.certificate),
            leaf: leaf.clone().into(),
            proof: steps(&sha_proof(&hashes, place).unwrap_or_default()),
        };
        latest.insert(lease.device, (lease.start, access));
    }
    latest
}

/// Receipts by device out of one durable batch.
#[must_use]
pub fn receipts(member: u32, items: &[Evidence], batch: &ReceiptBatch) -> BTreeMap<u64, Receipts> {
    let mut by_device: BTreeMap<u64, Receipts> = BTreeMap::new();
    for ((place, item), leaf) in items.iter().enumerate().zip(&batch.leaves) {
        let fresh = || Receipts {
            member,
            batch: batch.batch,
            previous: batch.previous,
            count: u32::try_from(batch.leaves.len()).unwrap_or(u32::MAX),
            signature: batch.signature,
            items: Vec::new(),
        };
        let path = steps(&receipts::path(batch, place));
        by_device.entry(item.device).or_insert_with(fresh).items.push((leaf.id, leaf.arrival_ms, leaf.verdict, path));
    }
    by_device
}

/// The receipt of one message of an earlier batch, for a device that has missed it; `None` when the place is not there.
#[must_use]
pub fn receipt_again(member: u32, batch: &ReceiptBatch, place: usize) -> Option<Receipts> {
    let leaf = batch.leaves.get(place)?;
    Some(Receipts {
        member,
        batch: batch.batch,
        previous: batch.previous,
        count: u32::try_from(batch.leaves.len()).unwrap_or(u32::MAX),
        signature: batch.signature,
        items: vec![(leaf.id, leaf.arrival_ms, leaf.verdict, steps(&receipts::path(batch, place)))],
    })
}

/// A path as it travels.
#[must_use]
pub fn steps(proof: &[ShaStep]) -> Vec<(Hash, bool)> {
    proof.iter().map(|step| (Hash::from(step.sibling), step.left)).collect()
}

/// Encodes any payload of this file.
#[must_use]
pub fn encode<T: Encode<()>>(payload: &T) -> Vec<u8> {
    wire::encode(payload)
}

#[cfg(test)]
mod tests;
