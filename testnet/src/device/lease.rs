//! What a device knows of its leases: the nodes' retained hints, and which slots a hash chain must cover.
//! Leaves out: whether a hint is true. The chain decides that; a wrong hint makes a device answer too often or in vain.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use minicbor::Decoder;
use minicbor::data::Type;
use serde::{Deserialize, Serialize};

use super::config::Clock;

/// Most leases that one hint may carry.
pub const MAX_HINTS: u64 = 64;
/// Longest hash chain of one commitment, slots.
pub const MAX_CHAIN: u64 = attest::MAX_CHAIN as u64;
/// Slots between now and the first slot of a new chain: its commitment must arrive before that slot.
pub const AHEAD: u64 = 3;
/// A chain is followed by the next when fewer than so many slots are left of it.
pub const RENEW: u64 = 60;

/// One lease, as a node hinted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Device token id.
    pub token: u64,
    /// Lease id.
    pub lease: u64,
    /// Class of proof.
    pub class: u8,
    /// Unix seconds.
    pub start: u64,
    /// Unix seconds, not included.
    pub end: u64,
    /// Draw threshold of its policy.
    pub challenge_p: u64,
}

impl Lease {
    /// Whether a slot that starts at `ms` belongs to it.
    #[must_use]
    pub const fn covers(&self, ms: u64) -> bool {
        self.start.saturating_mul(1_000) <= ms && ms < self.end.saturating_mul(1_000)
    }
}

/// Decodes a hint: `[token, lease, class, start, end, challenge_p]`, or an array of such arrays.
///
/// # Errors
/// When it is neither, or has more than [`MAX_HINTS`].
pub fn hints(payload: &[u8]) -> Result<Vec<Lease>> {
    let mut input = Decoder::new(payload);
    let count = input.array()?.context("a hint of no definite length")?;
    let many = count == 0 || input.datatype()? == Type::Array;
    if !many {
        return Ok(vec![fields(count, &mut input)?]);
    }
    anyhow::ensure!(count <= MAX_HINTS, "{count} leases in one hint");
    (0..count)
        .map(|_| {
            let count = input.array()?.context("a lease of no definite length")?;
            fields(count, &mut input)
        })
        .collect()
}

fn fields(count: u64, input: &mut Decoder<'_>) -> Result<Lease> {
    anyhow::ensure!(count == 6, "a lease of {count} fields where 6 belong");
    Ok(Lease {
        token: input.u64()?,
        lease: input.u64()?,
        class: input.u8()?,
        start: input.u64()?,
        end: input.u64()?,
        challenge_p: input.u64()?,
    })
}

/// The leases of one device.
#[derive(Clone, Debug, Default)]
pub struct Book(BTreeMap<u64, Lease>);

impl Book {
    /// Takes a hint; gives the lease as now known if that is news. Hints that differ are joined to the widest, since an
    /// answer too many costs nothing and an answer too few costs the lessor.
    pub fn learn(&mut self, hint: Lease) -> Option<Lease> {
        let known = self.0.get(&hint.lease).copied();
        let joined = known.map_or(hint, |known| Lease {
            start: known.start.min(hint.start),
            end: known.end.max(hint.end),
            challenge_p: known.challenge_p.max(hint.challenge_p),
            ..known
        });
        (known != Some(joined)).then(|| {
            self.0.insert(joined.lease, joined);
            joined
        })
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.0.values()
    }
}

/// One hash chain: the slots `first_slot` to `first_slot + length - 1` of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// Lease.
    pub lease: u64,
    /// First slot that has a secret.
    pub first_slot: u64,
    /// Number of slots, 1 to 4,096.
    pub length: u32,
}

impl Chain {
    /// The first slot after it.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first_slot.saturating_add(u64::from(self.length))
    }

    /// Whether it has a secret for `slot`.
    #[must_use]
    pub fn covers(&self, slot: u64) -> bool {
        self.first_slot <= slot && slot < self.end()
    }
}

/// The chain to commit to now, if any: from a slot safely in the future, after the chains that exist (which end before
/// `covered`), to the lease's end or the longest length.
#[must_use]
pub fn plan(clock: &Clock, lease: &Lease, now: u64, covered: u64) -> Option<Chain> {
    let soon = clock.slot_from(now.saturating_add(AHEAD.saturating_mul(clock.slot_ms)));
    let first_slot = clock.slot_from(lease.start.saturating_mul(1_000)).max(soon).max(covered);
    let last = clock.slot_from(lease.end.saturating_mul(1_000));
    if first_slot >= last || covered > soon.saturating_add(RENEW) {
        return None;
    }
    let length = u32::try_from((last - first_slot).min(MAX_CHAIN)).ok()?;
    Some(Chain { lease: lease.lease, first_slot, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock { genesis_ms: 1_000_000, slot_ms: 1_000, epoch_ms: 15_000 };
    const LEASE: Lease = Lease { token: 6, lease: 1, class: 2, start: 1_000, end: 1_060, challenge_p: u64::MAX };

    fn encoded(leases: &[Lease], single: bool) -> Vec<u8> {
        let mut out = minicbor::Encoder::new(Vec::new());
        if !single {
            out.array(leases.len() as u64).unwrap();
        }
        for l in leases {
            out.array(6).unwrap().u64(l.token).unwrap().u64(l.lease).unwrap().u8(l.class).unwrap();
            out.u64(l.start).unwrap().u64(l.end).unwrap().u64(l.challenge_p).unwrap();
        }
        out.into_writer()
    }

    #[test]
    fn one_hint_and_several_are_read_and_others_refused() {
        let second = Lease { lease: 2, ..LEASE };
        assert_eq!(hints(&encoded(&[LEASE], true)).unwrap(), [LEASE]);
        assert_eq!(hints(&encoded(&[LEASE, second], false)).unwrap(), [LEASE, second]);
        assert_eq!(hints(&encoded(&[], false)).unwrap(), []);
        assert!(hints(&encoded(&[LEASE; 65], false)).is_err());
        assert!(hints(&[0x81, 0x01]).is_err());
        assert!(hints(b"").is_err());
    }

    #[test]
    fn differing_hints_join_to_the_widest() {
        let mut book = Book::default();
        assert_eq!(book.learn(LEASE), Some(LEASE));
        assert_eq!(book.learn(LEASE), None);
        let joined = book.learn(Lease { end: 1_090, challenge_p: 1, ..LEASE }).unwrap();
        assert_eq!((joined.end, joined.challenge_p), (1_090, u64::MAX));
        assert_eq!(book.learn(Lease { end: 1_000, ..LEASE }), None);
    }

    #[test]
    fn a_chain_starts_in_the_future_and_covers_the_lease() {
        let chain = |now, covered| plan(&CLOCK, &LEASE, now, covered).map(|c| (c.first_slot, c.length));
        assert_eq!(chain(990_000, 0), Some((0, 60)));
        assert_eq!(chain(998_500, 0), Some((2, 58)));
        assert_eq!(chain(1_010_000, 0), Some((13, 47)));
        assert_eq!(chain(1_010_000, 60), None, "covered to the end");
        assert_eq!(chain(1_057_000, 0), None, "too late");
        let long = Lease { end: 1_000 + 10_000, ..LEASE };
        let first = plan(&CLOCK, &long, 990_000, 0).unwrap();
        assert_eq!((first.first_slot, first.length), (0, 4_096));
        assert_eq!(plan(&CLOCK, &long, 990_000, first.end()), None, "not yet");
        let near_the_end = CLOCK.start(4_050);
        assert_eq!(plan(&CLOCK, &long, near_the_end, first.end()).unwrap().first_slot, 4_096);
    }

    #[test]
    fn a_lease_begins_with_its_first_second_and_not_its_last() {
        assert!(LEASE.covers(1_000_000) && LEASE.covers(1_059_999));
        assert!(!LEASE.covers(999_999) && !LEASE.covers(1_060_000));
    }
}
