//! Counting what S lists: how many members held each item, in time or at all; forks; messages for the record.
//! Leaves out: whether the listed evidence is what it claims (`evidence`).

use std::collections::{BTreeMap, BTreeSet};

use super::{EpochInput, ReportError, invalid};
use crate::class::Count;
use crate::effect::{Blobs, Bodies};
use crate::observation::{Body, Bucket, Fork, Measurement, blob_hash};
use crate::{collect, limits, wire};

/// An item as observations list it: class, slot, boot, sequence, evidence id.
pub(super) type Listing = (u8, u64, u32, u64, [u8; 32]);

/// What S lists of one device.
#[derive(Clone, Debug, Default)]
pub(super) struct Listed {
    pub(super) items: BTreeMap<Listing, Count>,
    pub(super) forks: BTreeSet<Fork>,
    pub(super) messages: u64,
}

/// What S lists of all observed devices.
pub(super) struct Tally {
    pub(super) devices: BTreeMap<u64, Listed>,
    /// Hashes of the buckets that were read.
    pub(super) blobs: BTreeSet<[u8; 32]>,
}

/// Whether a body has the form that F takes: of this epoch, devices and measurements ascending, nothing over its bound. A member checks
/// every body when it receives it; F refuses an S that holds a bad one, so a leader leaves it out.
#[must_use]
pub fn check_body(body: &Body, epoch: u64) -> bool {
    let devices = body.buckets.iter().zip(body.buckets.iter().skip(1));
    body.epoch == epoch
        && devices.clone().all(|((one, _), (next, _))| one < next)
        && are_well_formed(&body.measurements)
}

/// Ascending by (class, lease, slot), each once, within bounds.
fn are_well_formed(measurements: &[Measurement]) -> bool {
    let pairs = measurements.iter().zip(measurements.iter().skip(1));
    let key = |one: &Measurement| (one.class, one.lease, one.slot);
    measurements.len() <= limits::MEASUREMENTS_MAX
        && measurements.iter().all(|one| one.value.len() <= limits::MEASUREMENT_BYTES_MAX)
        && pairs.clone().all(|(one, next)| key(one) < key(next))
}

/// The members among the authors of `bodies` whose listings need any of `ids`: whom to ask, and whom to leave out of S
/// when nobody has them. Reads the buckets that `blobs` holds; a bucket that is itself missing names its lister.
#[must_use]
pub fn listers(bodies: &Bodies, blobs: &Blobs, ids: &BTreeSet<[u8; 32]>) -> BTreeSet<u32> {
    let needs = |body: &Body| {
        ids.contains(&body.hash())
            || body.buckets.iter().any(|(device, hash)| {
                let lists = |bucket: Bucket| {
                    bucket.marks.iter().any(|mark| ids.contains(&*mark.id))
                        || bucket.forks.iter().any(|fork| ids.contains(&*fork.first.1) || ids.contains(&*fork.second.1))
                };
                ids.contains(&**hash) || read(blobs, *device, hash).ok().flatten().is_some_and(lists)
            })
    };
    bodies.iter().filter(|(_, body)| needs(body)).map(|(member, _)| *member).collect()
}

impl Tally {
    /// Reads every bucket of every observed device.
    pub(super) fn of(input: &EpochInput<'_>) -> Result<Self, ReportError> {
        let observed = collect::observed_devices(input.snapshot, input.term, input.book, input.stream);
        let by_device = buckets_by_device(input, &observed)?;
        let mut sizes: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        let mut missing = BTreeSet::new();
        let mut tally = Self { devices: BTreeMap::new(), blobs: BTreeSet::new() };
        for (device, hashes) in &by_device {
            let mut read_ones: Vec<(u32, Bucket)> = Vec::new();
            for (hash, members) in hashes {
                match read(input.blobs, *device, hash) {
                    // A malformed bucket is its author's loss: it lists nothing.
                    Ok(bucket) => {
                        sizes.insert(*hash, input.blobs.get(hash).map_or(0, |content| content.bytes.len()));
                        read_ones.extend(bucket.map(|bucket| (*members, bucket)));
                    }
                    Err(Absent) => drop(missing.insert(*hash)),
                }
                tally.blobs.insert(*hash);
            }
            tally.devices.insert(*device, listed(&read_ones, input.term.f()));
        }
        // More content only adds to a sum: who is over without the missing pieces is over with them.
        let budget = collect::author_bytes(input.snapshot, input.term, input.book, input.stream);
        let size = |hash: &[u8; 32]| sizes.get(hash).copied().unwrap_or(0);
        let authors = input.observations.iter().filter_map(|s| Some((s.member, input.bodies.get(&s.member)?)));
        if let Some(member) = over(authors, |device| observed.contains_key(device), budget, size).first() {
            return invalid(format!("the buckets of member {member} are above the {budget} bytes of an author"));
        }
        if missing.is_empty() { Ok(tally) } else { Err(ReportError::Missing(missing.into_iter().collect())) }
    }
}

/// The authors among `bodies` whose buckets of observed devices, as far as `blobs` holds them, are together above
/// `budget` ([`collect::author_bytes`]): an S with one of them is invalid. The blobs must be those of their hashes.
#[must_use]
pub fn overdrawn(observed: &BTreeSet<u64>, budget: usize, bodies: &Bodies, blobs: &Blobs) -> BTreeSet<u32> {
    let size = |hash: &[u8; 32]| blobs.get(hash).filter(|blob| blob.class == 0).map_or(0, |blob| blob.bytes.len());
    let authors = bodies.iter().map(|(member, body)| (*member, body));
    over(authors, |device| observed.contains(device), budget, size)
}

/// Authors whose buckets of observed devices are together above the budget.
fn over<'a>(
    authors: impl Iterator<Item = (u32, &'a Body)>,
    observed: impl Fn(&u64) -> bool,
    budget: usize,
    size: impl Fn(&[u8; 32]) -> usize,
) -> BTreeSet<u32> {
    let listed = |body: &Body| {
        let buckets = body.buckets.iter().filter(|(device, _)| observed(device));
        buckets.fold(0usize, |sum, (_, hash)| sum.saturating_add(size(hash)))
    };
    authors.filter(|(_, body)| listed(body) > budget).map(|(member, _)| member).collect()
}

/// Per observed device: the bucket hashes that bodies give, and how many give each.
fn buckets_by_device(
    input: &EpochInput<'_>,
    observed: &BTreeMap<u64, u8>,
) -> Result<BTreeMap<u64, BTreeMap<[u8; 32], u32>>, ReportError> {
    let absent = input.observations.iter().filter(|s| !input.bodies.contains_key(&s.member));
    let absent: Vec<[u8; 32]> = absent.map(|statement| *statement.value).collect();
    if !absent.is_empty() {
        return Err(ReportError::Missing(absent));
    }
    let mut by_device: BTreeMap<u64, BTreeMap<[u8; 32], u32>> = BTreeMap::new();
    for statement in input.observations {
        let Some(body) = input.bodies.get(&statement.member) else { continue };
        if body.hash() != *statement.value || !check_body(body, input.epoch) {
            return invalid(format!("body of member {} is not the one it signed, or malformed", statement.member));
        }
        for (device, hash) in body.buckets.iter().filter(|(device, _)| observed.contains_key(device)) {
            let members = by_device.entry(*device).or_default().entry(**hash).or_default();
            *members = members.saturating_add(1);
        }
    }
    Ok(by_device)
}

/// The bytes of a hash are not there (or are not of that hash).
struct Absent;

/// A bucket by its hash; `None` when its bytes are no well-formed bucket of that device.
fn read(blobs: &Blobs, device: u64, hash: &[u8; 32]) -> Result<Option<Bucket>, Absent> {
    let content = blobs.get(hash).filter(|content| content.class == 0).ok_or(Absent)?;
    if blob_hash(&content.bytes) != *hash {
        return Err(Absent);
    }
    let bucket = wire::decode::<Bucket>(&content.bytes, limits::BLOB_BYTES_MAX).ok();
    Ok(bucket.filter(|bucket| bucket.device == device && well_formed(bucket)))
}

/// Ascending, unique, within bounds.
fn well_formed(bucket: &Bucket) -> bool {
    let marks = bucket.marks.iter().zip(bucket.marks.iter().skip(1));
    let forks = bucket.forks.iter().zip(bucket.forks.iter().skip(1));
    let held = bucket.held.iter().zip(bucket.held.iter().skip(1));
    let key = |mark: &crate::observation::Mark| (mark.class, mark.slot, mark.boot, mark.seq, mark.id);
    bucket.marks.len() <= limits::MARKS_PER_DEVICE_MAX
        && bucket.forks.len() <= limits::FORKS_PER_DEVICE_MAX
        && marks.clone().all(|(one, next)| key(one) < key(next))
        && forks.clone().all(|(one, next)| one < next)
        && bucket.forks.iter().all(|fork| fork.first.1 < fork.second.1)
        && bucket.held.iter().all(|(_, first, last)| first <= last)
        && held.clone().all(|((boot, _, last), (next, first, _))| {
            boot < next || (boot == next && last.checked_add(1).is_some_and(|after| after < *first))
        })
}

/// Counts the buckets of one device, each held by so many members.
fn listed(buckets: &[(u32, Bucket)], faults: u32) -> Listed {
    let mut listed = Listed::default();
    for (members, bucket) in buckets {
        for mark in &bucket.marks {
            let listing = (mark.class, mark.slot, mark.boot, mark.seq, *mark.id);
            let count = listed.items.entry(listing).or_default();
            count.add(mark.by, *members);
        }
        listed.forks.extend(bucket.forks.iter().cloned());
    }
    listed.messages = messages(buckets, faults);
    listed
}

/// Messages that more than f members held: a sweep over the ends of all runs.
fn messages(buckets: &[(u32, Bucket)], faults: u32) -> u64 {
    let mut steps: BTreeMap<(u32, u128), i64> = BTreeMap::new();
    for (members, bucket) in buckets {
        for (boot, first, last) in &bucket.held {
            *steps.entry((*boot, u128::from(*first))).or_default() += i64::from(*members);
            *steps.entry((*boot, u128::from(*last) + 1)).or_default() -= i64::from(*members);
        }
    }
    let (mut cover, mut since, mut total) = (0i64, 0u128, 0u64);
    for ((_, at), step) in steps {
        if cover > i64::from(faults) {
            total = total.saturating_add(u64::try_from(at.saturating_sub(since)).unwrap_or(u64::MAX));
        }
        cover = cover.saturating_add(step);
        since = at;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(held: &[(u32, u64, u64)]) -> Bucket {
        Bucket { device: 1, held: held.to_vec(), ..Bucket::default() }
    }

    #[test]
    fn messages_count_where_enough_members_overlap() {
        let buckets = [(1, bucket(&[(0, 0, 9), (1, 5, 5)])), (1, bucket(&[(0, 5, 20)])), (1, bucket(&[(1, 0, 5)]))];
        // With f = 1 two members are needed: 5..=9 of boot 0 and 5 of boot 1.
        assert_eq!(messages(&buckets, 1), 6);
        assert_eq!(messages(&buckets, 0), 21 + 6);
        assert_eq!(messages(&[(3, bucket(&[(0, 0, u64::MAX)]))], 1), u64::MAX);
    }

    #[test]
    fn runs_that_touch_or_overlap_are_malformed() {
        assert!(well_formed(&bucket(&[(0, 0, 1), (0, 3, 3), (1, 0, 0)])));
        assert!(!well_formed(&bucket(&[(0, 0, 1), (0, 2, 3)])));
        assert!(!well_formed(&bucket(&[(0, 3, 1)])));
        assert!(!well_formed(&bucket(&[(1, 0, 0), (0, 0, 0)])));
    }
}
