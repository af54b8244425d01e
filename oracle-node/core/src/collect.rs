//! From what a node's store holds to its buckets of one epoch: which items are marks and what deadlines they met, which runs
//! of sequence numbers are held, which forks exist. docs/protocol.md §9.
//! Leaves out: whom an observation is about (`observed`), reading the store, the body.

use std::collections::{BTreeMap, BTreeSet};

use attest::{Class as Message, EvidenceId};

mod observed;
#[cfg(test)]
mod tests;

pub use observed::{author_bytes, observed_devices};

use crate::class::{EARLY_MS, InForce, Kind, Timing};
use crate::limits;
use crate::observation::{BY_ALWAYS, BY_EARLY, BY_NEVER, Bucket, Fork, Mark};
use crate::policy::{Book, Conduct};
use crate::term::{Term, UnixMillis};
use crate::wire::Hash;

/// Devices of one body. A body over [`limits::BLOB_BYTES_MAX`] would be refused by every member, and with it the epoch; so
/// many entries and the rest of a body stay below it.
pub const DEVICES_MAX: usize = 20_000;
/// Runs of sequence numbers in one bucket: with the largest marks and forks they stay below the same bound.
pub const RUNS_PER_DEVICE_MAX: usize = 16_384;

/// An entry of a body, a slot's lateness, what a measurement has beside its value, and the rest of a body, encoded, at most.
const ENTRY_BYTES: usize = 44;
const LATENESS_BYTES: usize = 5;
const MEASUREMENT_BYTES: usize = limits::MEASUREMENT_BYTES_MAX + 26;
const REST_BYTES: usize = 128;
/// A class's later deadline adds slots to a body: [`crate::policy::DURATION_MS_MAX`] in slots of a second.
const LATER_SLOTS_MAX: usize = 3_600;
const _: () = assert!(
    DEVICES_MAX * ENTRY_BYTES
        + (limits::SLOTS_PER_EPOCH_MAX as usize + LATER_SLOTS_MAX) * LATENESS_BYTES
        + limits::MEASUREMENTS_MAX * MEASUREMENT_BYTES
        + REST_BYTES
        <= limits::BLOB_BYTES_MAX
);
const _: () = assert!(limits::LEASES_PER_STREAM_MAX <= DEVICES_MAX);

/// One stored message, as the store's arrival index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Device token id.
    pub device: u64,
    /// Class.
    pub class: Message,
    /// Boot count.
    pub boot: u32,
    /// Sequence number.
    pub seq: u64,
    /// Evidence id.
    pub id: EvidenceId,
    /// Where it stands in time, as [`crate::ingest::Accepted::slot`].
    pub slot: u64,
    /// When this node first held it, by its own clock, directly or by gossip.
    pub arrival_ms: UnixMillis,
}

/// When an epoch is observed: its end and δ. `None` before genesis.
#[must_use]
pub fn observation_time(term: &Term, conduct: &Conduct, epoch: u64) -> Option<UnixMillis> {
    term.epoch_start(epoch.checked_add(1)?)?.checked_add(conduct.observe_delay_ms)
}

/// The arrivals that [`buckets`] must be given for an epoch: after the first and up to and with the second, unix ms.
/// Epoch 0 looks back without end: a device may boot and commit before the committee starts. `None` before genesis.
#[must_use]
pub fn window(term: &Term, book: &Book, epoch: u64) -> Option<(UnixMillis, UnixMillis)> {
    let (start, end) = (term.epoch_start(epoch)?, term.epoch_start(epoch.checked_add(1)?)?);
    let earliest_answer = start.saturating_sub(book.lags_ms().map_or(0, |(longest, _)| longest));
    let from = two_epochs_from(term, epoch)?.min(earliest_answer);
    Some((from, end.saturating_add(book.conduct.observe_delay_ms)))
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
    book: &Book,
    classes: &BTreeMap<u64, u8>,
    budget: usize,
    epoch: u64,
    items: &[Held],
) -> BTreeMap<u64, Bucket> {
    let Some(spans) = Spans::of(term, book, epoch) else { return BTreeMap::new() };
    let mut by_device: BTreeMap<u64, Vec<&Held>> = BTreeMap::new();
    for item in items.iter().filter(|item| classes.contains_key(&item.device)) {
        by_device.entry(item.device).or_default().push(item);
    }
    let mut read: BTreeMap<u8, Reads<'_>> = BTreeMap::new();
    let mut buckets = BTreeMap::new();
    for (device, held) in by_device {
        let class = classes.get(&device).copied().unwrap_or_default();
        let reads = read.entry(class).or_insert_with(|| Reads::of(term, book, class, epoch));
        let bucket = Bucket {
            device,
            held: runs(held.iter().filter(|item| spans.within(item) && !reads.reads(item.class))),
            marks: marks(held.iter().filter_map(|item| reads.mark(&spans, item))),
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
    gossip_ms: u64,
    recent_from: UnixMillis,
    start: UnixMillis,
    end: UnixMillis,
    first: bool,
}

impl<'a> Spans<'a> {
    fn of(term: &'a Term, book: &Book, epoch: u64) -> Option<Self> {
        let (start, end) = (term.epoch_start(epoch)?, term.epoch_start(epoch.checked_add(1)?)?);
        let (gossip_ms, recent_from) = (book.conduct.gossip_allowance_ms, two_epochs_from(term, epoch)?);
        Some(Self { term, gossip_ms, recent_from, start, end, first: epoch == 0 })
    }

    /// Arrived in (start(e−1), end(e)].
    fn recent(&self, item: &Held) -> bool {
        (self.first || item.arrival_ms > self.recent_from) && item.arrival_ms <= self.end
    }

    /// Arrived in (start(e), end(e)].
    fn within(&self, item: &Held) -> bool {
        item.arrival_ms > self.start && item.arrival_ms <= self.end
    }
}

/// What is read of a class's devices in an epoch, under any policy of the book.
struct Reads<'a> {
    /// Kinds with the slots due under their policy (none without challenges).
    kinds: Vec<(&'a Kind, core::ops::Range<u64>)>,
    /// Whether some policy asks for endorsements.
    endorsements: bool,
}

impl<'a> Reads<'a> {
    fn of(term: &Term, book: &'a Book, class: u8, epoch: u64) -> Self {
        let due = |one: &InForce| match one.lag_ms(book.conduct.gossip_allowance_ms) {
            Some(lag) => term.slots_due(epoch, lag),
            None => 0..0,
        };
        let kinds = book.of_class(class).flat_map(|one| one.rules.kinds().iter().map(move |kind| (kind, due(one))));
        let endorsements = book.policies().any(|(_, policy)| !policy.endorsements.is_empty());
        Self { kinds: kinds.collect(), endorsements }
    }

    /// Whether anything reads messages of this kind: what is about the device itself is never counted for the record.
    fn reads(&self, message: Message) -> bool {
        let common = matches!(message, Message::Boot | Message::Endorsement);
        common || self.kinds.iter().any(|(kind, _)| kind.message == message)
    }

    /// What an item is listed as in this epoch, if it is.
    fn mark(&self, spans: &Spans<'_>, item: &Held) -> Option<Mark> {
        let endorsement = item.class == Message::Endorsement && self.endorsements && spans.recent(item);
        let asked = self.kinds.iter().filter(|(kind, _)| kind.message == item.class);
        let met = asked.filter_map(|(kind, due)| met(spans, item, kind, due));
        let by = met.chain(endorsement.then_some(BY_ALWAYS)).min()?;
        let (class, slot, boot, seq, id) = (item.class as u8, item.slot, item.boot, item.seq, Hash::from(item.id));
        Some(Mark { class, slot, boot, seq, id, by })
    }
}

/// The deadline of a kind that an item met; `None` when it is not to be listed in this epoch.
fn met(spans: &Spans<'_>, item: &Held, kind: &Kind, due: &core::ops::Range<u64>) -> Option<u32> {
    let since = |from: Option<UnixMillis>, deadline: u32| {
        let until = from.map(|at| at.saturating_add(u64::from(deadline)).saturating_add(spans.gossip_ms));
        until.is_some_and(|until| item.arrival_ms <= until)
    };
    let listed = match kind.timing {
        Timing::After(_) => due.contains(&item.slot),
        Timing::Before | Timing::Whenever | Timing::Claimed { .. } => spans.recent(item),
    };
    if !listed {
        return None;
    }
    Some(match kind.timing {
        Timing::Whenever => BY_ALWAYS,
        Timing::Before => {
            let slot = spans.term.slot_start(item.slot);
            if slot.is_some_and(|at| item.arrival_ms < at) { BY_ALWAYS } else { BY_NEVER }
        }
        Timing::After(deadline) => {
            if since(spans.term.slot_start(item.slot), deadline) {
                deadline
            } else {
                BY_NEVER
            }
        }
        Timing::Claimed { .. } => {
            let claimed = item.slot.saturating_mul(1_000);
            let early = item.arrival_ms.saturating_add(EARLY_MS) < claimed;
            let met = kind.deadlines().find(|deadline| since(Some(claimed), *deadline));
            if early { BY_EARLY } else { met.unwrap_or(BY_NEVER) }
        }
    })
}

/// Ascending and unique by item; held twice, the earlier deadline counts. At most [`limits::MARKS_PER_DEVICE_MAX`].
fn marks(found: impl Iterator<Item = Mark>) -> Vec<Mark> {
    let mut marks: Vec<Mark> = found.collect();
    marks.sort_unstable();
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
