//! From what a node's store holds to its buckets of one epoch: which items are marks, in time or late, which runs of
//! sequence numbers are held, which forks exist. docs/protocol.md §9. Leaves out: reading the store, the body.

use std::collections::{BTreeMap, BTreeSet};

use attest::{Class, EvidenceId};
use sha2::{Digest as _, Sha256};

use crate::class;
use crate::limits;
use crate::observation::{Bucket, Fork, MARK_IN_TIME, MARK_LATE, Mark};
use crate::policy::Policy;
use crate::registry::{DeviceRecord, LeaseRecord, Snapshot};
use crate::term::{Term, UnixMillis};
use crate::wire::Hash;

/// Devices of one body. A body over [`limits::BLOB_BYTES_MAX`] would be refused by every member, and with it the epoch; so
/// many entries and the rest of a body stay below it.
pub const DEVICES_MAX: usize = 20_000;
/// Runs of sequence numbers in one bucket: with the largest marks and forks they stay below the same bound.
pub const RUNS_PER_DEVICE_MAX: usize = 16_384;

/// Tag of the draw of witnesses (docs/protocol.md §9).
const WITNESS_DRAW: &[u8] = b"plumbline/witness-draw/v1";

/// An entry of a body, a slot's lateness and the rest of a body, encoded, at most.
const ENTRY_BYTES: usize = 44;
const LATENESS_BYTES: usize = 5;
const REST_BYTES: usize = 128;
/// A class's later deadline adds slots to a body: [`crate::policy::DURATION_MS_MAX`] in slots of a second.
const LATER_SLOTS_MAX: usize = 3_600;
const _: () = assert!(
    DEVICES_MAX * ENTRY_BYTES + (limits::SLOTS_PER_EPOCH_MAX as usize + LATER_SLOTS_MAX) * LATENESS_BYTES + REST_BYTES
        <= limits::BLOB_BYTES_MAX
);
const _: () = assert!(limits::LEASES_PER_STREAM_MAX <= DEVICES_MAX);

/// The devices that an observation of this stream is about, with their class of work: those whose lease here is judged
/// (by lease), then the other active coverage devices, which may witness; at most [`DEVICES_MAX`]. F reads no buckets of
/// others, so that nobody who merely registers devices can make observations grow.
///
/// Where not all witnesses have room, those with a lease that has not ended (anywhere) come first, and among equals the
/// lowest SHA-256 of tag, snapshot block hash and token: whoever registers devices by the thousand gets no more than his
/// share of the places, and other ones in every epoch.
#[must_use]
pub fn observed_devices(snapshot: &Snapshot, term: &Term, stream: u32) -> BTreeMap<u64, u8> {
    let ours = |lease: &&LeaseRecord| lease.stream == stream && is_judged(lease, snapshot, term);
    let leased = snapshot.leases.values().filter(ours).map(|lease| (lease.device, lease.class));
    let mut observed = BTreeMap::new();
    for (device, class) in leased {
        if observed.len() >= DEVICES_MAX {
            break;
        }
        observed.insert(device, class);
    }
    let may_witness = |record: &DeviceRecord| record.active && record.class == class::COVERAGE;
    let others =
        snapshot.devices.iter().filter(|(device, record)| may_witness(record) && !observed.contains_key(device));
    let mut others: Vec<u64> = others.map(|(device, _)| *device).collect();
    let room = DEVICES_MAX.saturating_sub(observed.len());
    if others.len() > room {
        draw(snapshot, &mut others, room);
    }
    observed.extend(others.into_iter().map(|device| (device, class::COVERAGE)));
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

/// All buckets of one author together in one epoch of a stream, encoded bytes; [`buckets`] stays within it, and F refuses an
/// S with an author above it. Never more than the observed devices need when each sends what the policy keeps, in this epoch
/// and the one before.
///
/// The streams of a committee share [`limits::AUTHOR_BYTES_MAX`] by their observed devices, so that an author's sum over all
/// of them does not grow with their number; only where so many devices would have less than
/// [`limits::DEVICE_BYTES_MIN`] each do they get that. What one author can make others keep in all streams is thus at most
/// [`limits::AUTHOR_BYTES_MAX`] + observed devices of all streams · [`limits::DEVICE_BYTES_MIN`].
#[must_use]
pub fn author_bytes(snapshot: &Snapshot, term: &Term, policy: &Policy, stream: u32) -> usize {
    let messages = usize::try_from(policy.messages_per_device).unwrap_or(usize::MAX).saturating_mul(2);
    let bucket = Bucket::bytes_of(messages).min(limits::BLOB_BYTES_MAX);
    let here = observed_devices(snapshot, term, stream).len();
    let all = observed_of_all_streams(snapshot, term);
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
fn observed_of_all_streams(snapshot: &Snapshot, term: &Term) -> BTreeMap<u32, usize> {
    let witnesses = snapshot.devices.values().filter(|record| record.active && record.class == class::COVERAGE).count();
    let mut others: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for lease in snapshot.leases.values().filter(|lease| is_judged(lease, snapshot, term)) {
        let leased = others.entry(lease.stream).or_default();
        leased.extend((lease.class != class::COVERAGE).then_some(lease.device));
    }
    let observed = |leased: BTreeSet<u64>| leased.len().saturating_add(witnesses).min(DEVICES_MAX);
    others.into_iter().map(|(stream, leased)| (stream, observed(leased))).collect()
}

/// Whether a lease of this committee and policy is of an active device of its class.
fn is_judged(lease: &LeaseRecord, snapshot: &Snapshot, term: &Term) -> bool {
    let device = snapshot.devices.get(&lease.device).filter(|record| record.active);
    lease.committee == term.scope.committee
        && lease.policy_hash == term.policy_hash
        && device.is_some_and(|record| record.class == lease.class)
        && class::by_number(lease.class).is_some()
}

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

/// When an epoch is observed: its end and δ. `None` before genesis.
#[must_use]
pub fn observation_time(term: &Term, policy: &Policy, epoch: u64) -> Option<UnixMillis> {
    term.epoch_start(epoch.checked_add(1)?)?.checked_add(policy.observe_delay_ms)
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
/// `classes` are the [`observed_devices`] of the epoch's snapshot; items of others are passed over. Empty before genesis.
/// At most [`DEVICES_MAX`] devices, those with the lowest tokens, at most [`RUNS_PER_DEVICE_MAX`] runs for each, and at
/// most `budget` bytes altogether ([`author_bytes`]): beyond that the largest buckets are cut, to one size.
#[must_use]
pub fn buckets(
    term: &Term,
    policy: &Policy,
    classes: &BTreeMap<u64, u8>,
    budget: usize,
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
    fit(&mut buckets, budget);
    buckets
}

/// Shares `bytes` among buckets: one that needs no more than an equal share of what the smaller ones leave keeps all.
fn fit(buckets: &mut BTreeMap<u64, Bucket>, bytes: usize) {
    let mut sizes: Vec<usize> = buckets.values().map(Bucket::bytes_at_most).collect();
    sizes.sort_unstable();
    let (mut left, mut sharers) = (bytes, sizes.len());
    for size in sizes {
        let share = left.checked_div(sharers).unwrap_or(0);
        if size > share {
            return buckets.values_mut().for_each(|bucket| bucket.cut(share));
        }
        left = left.saturating_sub(size);
        sharers = sharers.saturating_sub(1);
    }
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
            Class::Endorsement if self.recent(item) && !self.policy.endorsements.is_empty() => true,
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

    fn collected_term() -> Term {
        let scope = crate::typed::Scope {
            chain_id: 1,
            registry: alloy_primitives::Address::ZERO,
            committee: 1,
            term: 1,
            config_digest: alloy_primitives::B256::ZERO,
        };
        let policy_hash = alloy_primitives::B256::ZERO;
        Term { scope, members: vec![], policy_hash, epoch_ms: 3_600_000, slot_ms: 1_000, genesis_ms: Some(0) }
    }

    fn collected(items: &[Held]) -> BTreeMap<u64, Bucket> {
        let term = collected_term();
        let classes = items.iter().map(|item| (item.device, 2)).collect();
        let policy = Policy { messages_per_device: u32::MAX, ..crate::report::tests::policy() };
        buckets(&term, &policy, &classes, limits::AUTHOR_BYTES_MAX, 0, items)
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

    /// So many streams of so many leased devices each, besides witnesses that have no lease.
    fn crowded(streams: u32, devices: u64, witnesses: u64) -> (Snapshot, Term, Policy) {
        let policy = Policy { messages_per_device: 1_000, ..crate::report::tests::policy() };
        let mut term = collected_term();
        term.policy_hash = alloy_primitives::B256::repeat_byte(3);
        let zero = alloy_primitives::Address::ZERO;
        let device = |class| crate::registry::DeviceRecord {
            owner: zero,
            key: attest::PublicKey::Ed25519([1; 32]),
            active: true,
            proof: [0; 64],
            location: [0; 32],
            class,
        };
        let block = crate::registry::Block { number: 1, hash: alloy_primitives::B256::ZERO, timestamp: 0 };
        let mut snapshot = Snapshot { block, devices: BTreeMap::new(), leases: BTreeMap::new() };
        for number in 0..u64::from(streams) * devices {
            let stream = u32::try_from(number / devices).unwrap_or_default();
            snapshot.devices.insert(number, device(1));
            let lease = LeaseRecord {
                device: number,
                lessee: zero,
                lessor: zero,
                class: 1,
                committee: 1,
                stream,
                policy_hash: term.policy_hash,
                start: 0,
                end: 1,
            };
            snapshot.leases.insert(number, lease);
        }
        snapshot.devices.extend((0..witnesses).map(|number| (1 << 40 | number, device(class::COVERAGE))));
        (snapshot, term, policy)
    }

    #[test]
    fn an_authors_sum_over_all_streams_does_not_grow_with_their_number() {
        let sum = |streams: u32, devices: u64, witnesses: u64| -> usize {
            let (snapshot, term, policy) = crowded(streams, devices, witnesses);
            let counted: BTreeMap<u32, usize> = observed_of_all_streams(&snapshot, &term);
            // Two streams more are served than have leases.
            let served = 0..streams + 2;
            for stream in served.clone() {
                let observed = observed_devices(&snapshot, &term, stream).len();
                assert_eq!(counted.get(&stream).copied().unwrap_or(observed), observed, "stream {stream}");
                let bytes = author_bytes(&snapshot, &term, &policy, stream);
                assert!(bytes >= observed * limits::DEVICE_BYTES_MIN.min(Bucket::bytes_of(2_000)), "stream {stream}");
            }
            served.map(|stream| author_bytes(&snapshot, &term, &policy, stream)).sum()
        };
        let one = sum(1, 600, 0);
        assert_eq!(one, limits::AUTHOR_BYTES_MAX, "one stream has it all");
        assert_eq!(sum(1, 10, 0), 10 * Bucket::bytes_of(2_000), "and no more than its devices need");
        assert!(sum(16, 600, 0) <= one, "16 streams have no more than one");
        let (many, devices) = (sum(64, 600, 50), 64 * 650 + 2 * 50);
        assert!(many <= one.max(devices * limits::DEVICE_BYTES_MIN) + one / 64, "{many} bytes of {devices} devices");
        assert!(many < 3 * one, "{many}: without the shared bound it would be 64 times {one}");
    }

    #[test]
    fn whoever_registers_witnesses_by_the_thousand_keeps_nobody_elses_out() {
        // The squatter's 20,000 have the lowest tokens of those without a lease here; the honest came later.
        let (mut snapshot, term, _) = crowded(2, 1_000, DEVICES_MAX as u64);
        let squatting: BTreeSet<u64> = snapshot.devices.range(1 << 40..).map(|(device, _)| *device).collect();
        let witness = snapshot.devices[&(1 << 40)].clone();
        let elsewhere: Vec<u64> = (0..500).map(|n| 1 << 41 | n).collect();
        let unleased: Vec<u64> = (0..1_000).map(|n| 1 << 42 | n).collect();
        let lease = snapshot.leases[&0].clone();
        for device in elsewhere.iter().chain(&unleased) {
            snapshot.devices.insert(*device, witness.clone());
        }
        for device in &elsewhere {
            let here = LeaseRecord { device: *device, class: class::COVERAGE, committee: 9, ..lease.clone() };
            snapshot.leases.insert(*device, here);
        }
        // Leases that ended, and that nobody closes, are no stake.
        for device in squatting.iter().take(5_000) {
            snapshot.leases.insert(*device, LeaseRecord { device: *device, committee: 9, end: 0, ..lease.clone() });
        }
        let mut seen = BTreeSet::new();
        for number in 1..=12 {
            snapshot.block.hash = alloy_primitives::B256::repeat_byte(number);
            let observed = observed_devices(&snapshot, &term, 0);
            assert_eq!(observed.len(), DEVICES_MAX);
            assert!((0..1_000).all(|device| observed.get(&device) == Some(&1)), "its own leases come first");
            assert!(elsewhere.iter().all(|device| observed.get(device) == Some(&class::COVERAGE)), "then other leases");
            let drawn = unleased.iter().filter(|device| observed.contains_key(device));
            seen.extend(drawn.copied());
            // 18,500 places for 21,000 without a lease.
            let part = unleased.iter().filter(|device| observed.contains_key(device)).count();
            assert!((800..960).contains(&part), "{part} of 1,000 in draw {number}");
        }
        assert_eq!(seen.len(), unleased.len(), "everybody's turn comes");
    }
}
