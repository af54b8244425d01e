//! From what a node's store holds to its buckets of one epoch: which items are marks, in time or late, which runs of
//! sequence numbers are held, which forks exist. docs/protocol.md §9. Leaves out: reading the store, the body.

use std::collections::{BTreeMap, BTreeSet};

use attest::{Class, EvidenceId};

use crate::class;
use crate::limits;
use crate::observation::{Bucket, Fork, MARK_IN_TIME, MARK_LATE, Mark};
use crate::policy::Policy;
use crate::term::{Term, UnixMillis};
use crate::wire::Hash;

/// Devices of one body. A body over [`limits::BLOB_BYTES_MAX`] would be refused by every member, and with it the epoch; so
/// many entries and the rest of a body stay below it. Devices with higher tokens, registered later, are left out.
pub const DEVICES_MAX: usize = 20_000;
/// Runs of sequence numbers in one bucket: with the largest marks and forks they stay below the same bound.
pub const RUNS_PER_DEVICE_MAX: usize = 16_384;

/// One stored message, as the store's arrival index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Device token id.
    pub device: u64,
    /// Class.
    pub class: Class,
    /// Boot count.
    pub boot: u32,
    /// Sequence number.
    pub seq: u64,
    /// Evidence id.
    pub id: EvidenceId,
    /// Slot it is about, as [`crate::ingest::Accepted::slot`].
    pub slot: u64,
    /// When this node first held it, by its own clock, directly or by gossip.
    pub arrival_ms: UnixMillis,
}

/// The arrivals that [`buckets`] must be given for an epoch: after the first and up to and with the second, unix ms.
/// Epoch 0 looks back without end: a device may boot and commit before the committee starts. `None` before genesis.
#[must_use]
pub fn window(term: &Term, policy: &Policy, epoch: u64) -> Option<(UnixMillis, UnixMillis)> {
    let (start, end) = (term.epoch_start(epoch)?, term.epoch_start(epoch.checked_add(1)?)?);
    let earliest_answer = start.saturating_sub(class::longest_lag_ms(policy));
    let from = two_epochs_from(term, epoch)?.min(earliest_answer);
    Some((from, end.saturating_add(policy.observe_delay_ms)))
}

/// Start of the span (two epochs) in which boots, commitments and forks are looked for.
fn two_epochs_from(term: &Term, epoch: u64) -> Option<UnixMillis> {
    epoch.checked_sub(1).map_or(Some(0), |before| term.epoch_start(before))
}

/// Builds the buckets of an epoch. The order of `items` does not matter; items outside the epoch's spans are passed over.
/// `classes` gives the class of work of every registered device; items of others are passed over. Empty before genesis.
/// At most [`DEVICES_MAX`] devices, those with the lowest tokens, and at most [`RUNS_PER_DEVICE_MAX`] runs for each.
#[must_use]
pub fn buckets(
    term: &Term,
    policy: &Policy,
    classes: &BTreeMap<u64, u8>,
    epoch: u64,
    items: &[Held],
) -> BTreeMap<u64, Bucket> {
    let Some(spans) = Spans::of(term, policy, epoch) else { return BTreeMap::new() };
    let mut by_device: BTreeMap<u64, Vec<&Held>> = BTreeMap::new();
    for item in items.iter().filter(|item| classes.contains_key(&item.device)) {
        by_device.entry(item.device).or_default().push(item);
    }
    let mut buckets = BTreeMap::new();
    for (device, held) in by_device {
        let lag = classes.get(&device).and_then(|number| class::by_number(*number)).map(|class| class.lag_ms(policy));
        let due = lag.map_or(0..0, |lag| term.slots_due(epoch, lag));
        let bucket = Bucket {
            device,
            held: runs(held.iter().filter(|item| spans.counts_as_held(item))),
            marks: marks(held.iter().filter_map(|item| spans.mark(item, &due))),
            forks: forks(held.iter().filter(|item| spans.recent(item))),
        };
        if !(bucket.held.is_empty() && bucket.marks.is_empty() && bucket.forks.is_empty()) {
            buckets.insert(device, bucket);
        }
        if buckets.len() >= DEVICES_MAX {
            break;
        }
    }
    buckets
}

/// The spans of one epoch, all open at their start and closed at their end.
struct Spans<'a> {
    term: &'a Term,
    policy: &'a Policy,
    recent_from: UnixMillis,
    start: UnixMillis,
    end: UnixMillis,
    first: bool,
}

impl<'a> Spans<'a> {
    fn of(term: &'a Term, policy: &'a Policy, epoch: u64) -> Option<Self> {
        let (start, end) = (term.epoch_start(epoch)?, term.epoch_start(epoch.checked_add(1)?)?);
        Some(Self { term, policy, recent_from: two_epochs_from(term, epoch)?, start, end, first: epoch == 0 })
    }

    /// Arrived in (start(e−1), end(e)].
    fn recent(&self, item: &Held) -> bool {
        (self.first || item.arrival_ms > self.recent_from) && item.arrival_ms <= self.end
    }

    /// Data that arrived in (start(e), end(e)].
    fn counts_as_held(&self, item: &Held) -> bool {
        matches!(item.class, Class::Telemetry | Class::Heartbeat)
            && item.arrival_ms > self.start
            && item.arrival_ms <= self.end
    }

    fn mark(&self, item: &Held, due: &core::ops::Range<u64>) -> Option<Mark> {
        let slot_start = self.term.slot_start(item.slot);
        let by = |allowed: u64| slot_start.is_some_and(|at| item.arrival_ms <= at.saturating_add(allowed));
        let (deadline, gossip) = (self.policy.answer_deadline_ms, self.policy.gossip_allowance_ms);
        let in_time = match item.class {
            Class::Answer | Class::Witness if due.contains(&item.slot) => by(deadline.saturating_add(gossip)),
            Class::Reveal if due.contains(&item.slot) => by(deadline.saturating_mul(2).saturating_add(gossip)),
            Class::Commitment if self.recent(item) => slot_start.is_some_and(|at| item.arrival_ms < at),
            Class::Boot if self.recent(item) => true,
            _ => return None,
        };
        Some(Mark {
            class: item.class as u8,
            slot: item.slot,
            boot: item.boot,
            seq: item.seq,
            id: Hash::from(item.id),
            mark: if in_time { MARK_IN_TIME } else { MARK_LATE },
        })
    }
}

/// Ascending and unique by item; held twice, the better mark counts. At most [`limits::MARKS_PER_DEVICE_MAX`].
fn marks(found: impl Iterator<Item = Mark>) -> Vec<Mark> {
    let mut marks: Vec<Mark> = found.collect();
    marks.sort_unstable();
    // In time sorts before late.
    marks.dedup_by(|later, earlier| {
        (later.class, later.slot, later.boot, later.seq, later.id)
            == (earlier.class, earlier.slot, earlier.boot, earlier.seq, earlier.id)
    });
    marks.truncate(limits::MARKS_PER_DEVICE_MAX);
    marks
}

/// Runs of consecutive sequence numbers per boot.
fn runs<'a>(items: impl Iterator<Item = &'a &'a Held>) -> Vec<(u32, u64, u64)> {
    let numbers: BTreeSet<(u32, u64)> = items.map(|item| (item.boot, item.seq)).collect();
    let mut runs: Vec<(u32, u64, u64)> = Vec::new();
    for (boot, seq) in numbers {
        let full = runs.len() >= RUNS_PER_DEVICE_MAX;
        match runs.last_mut() {
            Some((of, _, last)) if *of == boot && last.checked_add(1) == Some(seq) => *last = seq,
            _ if full => break,
            _ => runs.push((boot, seq, seq)),
        }
    }
    runs
}

/// Pairs of different messages with one (boot, seq): each id with the next larger one.
fn forks<'a>(items: impl Iterator<Item = &'a &'a Held>) -> Vec<Fork> {
    let mut by_number: BTreeMap<(u32, u64), BTreeMap<EvidenceId, u8>> = BTreeMap::new();
    for item in items {
        by_number.entry((item.boot, item.seq)).or_default().insert(item.id, item.class as u8);
    }
    let mut forks = Vec::new();
    for ((boot, seq), ids) in by_number {
        let pairs = ids.iter().zip(ids.iter().skip(1));
        forks.extend(pairs.map(|((first, class), (second, other))| Fork {
            boot,
            seq,
            first: (*class, Hash::from(*first)),
            second: (*other, Hash::from(*second)),
        }));
    }
    forks.truncate(limits::FORKS_PER_DEVICE_MAX);
    forks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{Body, LATENESS_MISSING};
    use crate::wire;

    fn held(device: u64, class: Class, seq: u64) -> Held {
        Held { device, class, boot: u32::MAX, seq, id: [0xff; 32], slot: u64::MAX, arrival_ms: 1 }
    }

    fn collected(items: &[Held]) -> BTreeMap<u64, Bucket> {
        let scope = crate::typed::Scope {
            chain_id: 1,
            registry: alloy_primitives::Address::ZERO,
            committee: 1,
            term: 1,
            config_digest: alloy_primitives::B256::ZERO,
        };
        let policy_hash = alloy_primitives::B256::ZERO;
        let term =
            Term { scope, members: vec![], policy_hash, epoch_ms: 3_600_000, slot_ms: 1_000, genesis_ms: Some(0) };
        let classes = items.iter().map(|item| (item.device, 2)).collect();
        buckets(&term, &crate::report::tests::policy(), &classes, 0, items)
    }

    #[test]
    fn no_crowd_of_devices_makes_a_body_that_nobody_takes() {
        let crowd: Vec<Held> = (0..25_000).map(|n| held(u64::MAX - n, Class::Boot, 0)).collect();
        let buckets = collected(&crowd);
        assert_eq!(buckets.keys().next(), Some(&(u64::MAX - 24_999)));
        let listed = buckets.iter().map(|(device, bucket)| (*device, bucket.hash().into()));
        let lateness = vec![LATENESS_MISSING; 3_700];
        let body =
            Body { epoch: u64::MAX, buckets: listed.collect(), first_slot: u64::MAX, lateness, ..Body::default() };
        assert!(wire::encode(&body).len() <= limits::BLOB_BYTES_MAX);
    }

    #[test]
    fn no_chatter_of_a_device_makes_a_bucket_that_nobody_reads() {
        let top = u64::MAX - 200_000;
        let odd = (0..50_000).map(|n| held(7, Class::Heartbeat, top + 2 * n));
        let marks = (0..50_000).map(|n| held(7, Class::Boot, top + n));
        let forks = (0..50_000).map(|n| Held { id: [0xfe; 32], ..held(7, Class::Heartbeat, top + 2 * n) });
        let all: Vec<Held> = odd.chain(marks).chain(forks).collect();
        let bytes = collected(&all).values().map(wire::encode::<Bucket>).next().map(|bytes| bytes.len());
        assert!(
            bytes.is_some_and(|bytes| bytes > limits::BLOB_BYTES_MAX / 2 && bytes <= limits::BLOB_BYTES_MAX),
            "{bytes:?}"
        );
    }
}
