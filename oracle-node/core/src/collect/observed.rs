//! Whom an observation of a stream is about, and how much an author may list of them.
//! Leaves out: what is listed of them (`collect`).

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::DEVICES_MAX;
use crate::limits;
use crate::observation::Bucket;
use crate::policy::Book;
use crate::registry::{DeviceRecord, LeaseRecord, Snapshot};
use crate::term::Term;

/// Tag of the draw of witnesses (docs/protocol.md §9).
const WITNESS_DRAW: &[u8] = b"plumbline/witness-draw/v1";

/// The devices that an observation of this stream is about, with their class of work: those whose lease here is judged
/// (by lease), then the other active devices that a class has take part, as witnesses; at most [`DEVICES_MAX`]. F reads no buckets of
/// others, so that nobody who merely registers devices can make observations grow.
///
/// Where not all witnesses have room, those with a lease that has not ended (anywhere) come first, and among equals the
/// lowest SHA-256 of tag, snapshot block hash and token: whoever registers devices by the thousand gets no more than his
/// share of the places, and other ones in every epoch.
#[must_use]
pub fn observed_devices(snapshot: &Snapshot, term: &Term, book: &Book, stream: u32) -> BTreeMap<u64, u8> {
    let ours = |lease: &&LeaseRecord| lease.stream == stream && is_observed(lease, snapshot, term, book);
    let leased = snapshot.leases.values().filter(ours).map(|lease| (lease.device, lease.class));
    let mut observed = BTreeMap::new();
    for (device, class) in leased {
        if observed.len() >= DEVICES_MAX {
            break;
        }
        observed.insert(device, class);
    }
    let parties = snapshot.devices.iter().filter(|(_, record)| is_party(record, book));
    let others = parties.filter(|(device, _)| !observed.contains_key(device));
    let mut others: Vec<u64> = others.map(|(device, _)| *device).collect();
    let room = DEVICES_MAX.saturating_sub(observed.len());
    if others.len() > room {
        draw(snapshot, &mut others, room);
    }
    let class = |device: &u64| snapshot.devices.get(device).map_or(0, |record| record.class);
    observed.extend(others.into_iter().map(|device| (device, class(&device))));
    observed
}

/// Keeps so many devices: first those with a lease that has not ended, then by the draw of this snapshot.
fn draw(snapshot: &Snapshot, devices: &mut Vec<u64>, room: usize) {
    let open = snapshot.leases.values().filter(|lease| lease.end > snapshot.block.timestamp);
    let leased: BTreeSet<u64> = open.map(|lease| lease.device).collect();
    devices.sort_by_cached_key(|device| {
        let hash = Sha256::new().chain_update(WITNESS_DRAW).chain_update(snapshot.block.hash);
        let place: [u8; 32] = hash.chain_update(device.to_be_bytes()).finalize().into();
        (!leased.contains(device), place)
    });
    devices.truncate(room);
}

/// All buckets of one author together in one epoch of a stream, encoded bytes; [`super::buckets`] stays within it, and F refuses an
/// S with an author above it. Never more than the observed devices need when each sends what the conduct document keeps, in this epoch
/// and the one before.
///
/// The streams of a committee share [`limits::AUTHOR_BYTES_MAX`] by their observed devices, so that an author's sum over all
/// of them does not grow with their number; only where so many devices would have less than
/// [`limits::DEVICE_BYTES_MIN`] each do they get that. What one author can make others keep in all streams is thus at most
/// [`limits::AUTHOR_BYTES_MAX`] + observed devices of all streams · [`limits::DEVICE_BYTES_MIN`].
#[must_use]
pub fn author_bytes(snapshot: &Snapshot, term: &Term, book: &Book, stream: u32) -> usize {
    let messages = usize::try_from(book.conduct.messages_per_device).unwrap_or(usize::MAX).saturating_mul(2);
    let bucket = Bucket::bytes_of(messages).min(limits::BLOB_BYTES_MAX);
    let here = observed_devices(snapshot, term, book, stream).len();
    let all = observed_of_all_streams(snapshot, term, book);
    // A stream without a lease observes witnesses and judges nothing: it has no part in what the others share.
    // In 64 bits on every machine: F must not differ between them.
    let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let (everywhere, place) = (all.values().sum(), all.get(&stream).map_or(0, |_| here));
    let share = wide(limits::AUTHOR_BYTES_MAX).saturating_mul(wide(place)).checked_div(wide(everywhere)).unwrap_or(0);
    let share = usize::try_from(share).unwrap_or(usize::MAX);
    let least = here.saturating_mul(limits::DEVICE_BYTES_MIN);
    here.saturating_mul(bucket).min(share.max(least)).min(limits::AUTHOR_BYTES_MAX)
}

/// How many devices each stream with a judged lease observes: as many as [`observed_devices`] gives.
pub(super) fn observed_of_all_streams(snapshot: &Snapshot, term: &Term, book: &Book) -> BTreeMap<u32, usize> {
    let parties: BTreeSet<u64> =
        snapshot.devices.iter().filter(|(_, record)| is_party(record, book)).map(|(device, _)| *device).collect();
    let mut others: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for lease in snapshot.leases.values().filter(|lease| is_observed(lease, snapshot, term, book)) {
        let leased = others.entry(lease.stream).or_default();
        leased.extend((!parties.contains(&lease.device)).then_some(lease.device));
    }
    let observed = |leased: BTreeSet<u64>| leased.len().saturating_add(parties.len()).min(DEVICES_MAX);
    others.into_iter().map(|(stream, leased)| (stream, observed(leased))).collect()
}

/// Whether a lease of this committee, under a policy of its book, is of an active device of its class.
fn is_observed(lease: &LeaseRecord, snapshot: &Snapshot, term: &Term, book: &Book) -> bool {
    let device = snapshot.devices.get(&lease.device).filter(|record| record.active);
    let policy = book.policy(&lease.policy_hash).filter(|policy| policy.shadow_of.is_none());
    lease.committee == term.scope.committee
        && device.is_some_and(|record| record.class == lease.class)
        && policy.is_some_and(|policy| policy.classes.contains_key(&lease.class))
}

/// Whether a device takes part without a lease, under any policy.
fn is_party(record: &DeviceRecord, book: &Book) -> bool {
    record.active && book.of_class(record.class).any(|one| one.rules.party(record))
}
