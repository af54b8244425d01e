//! What is kept from epoch to epoch, in a bounded number of bytes. Of a device: which signed records its meter's pages were,
//! and the lease each was bound to when it was first seen ([`PageBook`]). Of a lease: where counting stands ([`LeaseFold`]).
//! Leaves out: judging; a book takes records whose signatures were verified.

use std::collections::{BTreeMap, BTreeSet};

use crate::class::Fault;
use crate::class::energy::decimal::Decimal;
use crate::class::energy::reason::{fault, held};
use crate::limits::FOLD_BYTES_MAX;
use crate::reason::Reason;

/// Pages that a book remembers.
pub(crate) const PAGES_MAX: usize = 56;
/// Sessions that a lease remembers, so that evidence listed in two epochs counts in one.
pub(crate) const COUNTED_MAX: usize = 64;
/// The encodings' version.
const VERSION: u8 = 1;
/// Bytes of one page.
const ENTRY_BYTES: usize = 8 + 16 + 8 + 1;
const _: () = assert!(PageBook::BYTES_MAX <= FOLD_BYTES_MAX && LeaseFold::BYTES_MAX <= FOLD_BYTES_MAX);

/// One page of a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// First half of the digest of the record.
    digest: [u8; 16],
    lease: u64,
    /// Two different records have this number.
    forked: bool,
}

/// A page as it was presented: number, digest of the signed bytes, lease.
pub(crate) type Shown = (u64, [u8; 32], u64);

/// The newest pages of a device's meter, whatever lease they were presented under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageBook {
    /// First half of the thumbprint of the meter's key.
    meter: [u8; 16],
    /// The lowest page that is still taken; those below are too old.
    from: u64,
    pages: BTreeMap<u64, Entry>,
}

impl PageBook {
    /// An empty book of the meter of this key's thumbprint.
    pub(crate) fn of(meter: &[u8; 32]) -> Self {
        Self { meter: half(meter), ..Self::default() }
    }

    /// Whether it is the book of this meter.
    pub(crate) fn is_of(&self, meter: &[u8; 32]) -> bool {
        self.meter == half(meter)
    }

    /// Whether it has no page.
    pub(crate) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Takes the pages of an epoch, in any order. The first to present a record keeps it; within one epoch the lease with
    /// the lowest number does. A second record of one page makes it a fork.
    pub(crate) fn take(&mut self, shown: impl IntoIterator<Item = Shown>) {
        let shown: BTreeSet<Shown> = shown.into_iter().collect();
        for (page, digest, lease) in shown {
            if page < self.from {
                continue;
            }
            let digest = half(&digest);
            let entry = self.pages.entry(page).or_insert(Entry { digest, lease, forked: false });
            entry.forked |= entry.digest != digest;
        }
        while self.pages.len() > PAGES_MAX {
            if let Some((page, _)) = self.pages.pop_first() {
                self.from = self.from.max(page.saturating_add(1));
            }
        }
    }

    /// Whether a record may count under a lease.
    ///
    /// # Errors
    /// [`Reason::PAGE_SEEN`] when its page is not, or no longer, in the book; [`Reason::PAGE_FORK`];
    /// [`Reason::RECORD_REPLAYED`] when it was bound to another lease.
    pub(crate) fn bound(&self, page: u64, digest: &[u8; 32], lease: u64) -> Result<(), Fault> {
        let old = fault(Reason::PAGE_SEEN, page, self.from);
        let entry = self.pages.get(&page).ok_or(old)?;
        held(!entry.forked && entry.digest == half(digest), fault(Reason::PAGE_FORK, page, page))?;
        held(entry.lease == lease, fault(Reason::RECORD_REPLAYED, page, page))
    }

    /// The page that was due before this one but never presented, if there is one.
    #[must_use]
    pub(crate) fn missing_before(&self, page: u64) -> Option<u64> {
        let before = self.pages.range(..page).next_back().map(|(before, _)| *before);
        let due = before.map_or(self.from, |before| before.saturating_add(1));
        (due < page && due > 0).then_some(due)
    }

    /// Its bytes: version, half of the meter's thumbprint, lowest page taken, then page, half digest, lease and fork flag of
    /// each entry; integers big-endian.
    #[must_use]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.meter);
        bytes.extend(self.from.to_be_bytes());
        for (page, entry) in &self.pages {
            bytes.extend(page.to_be_bytes());
            bytes.extend(entry.digest);
            bytes.extend(entry.lease.to_be_bytes());
            bytes.push(entry.forked.into());
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; nothing at all is an empty book, and `None` is for anything else.
    #[must_use]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut rest = versioned(bytes)?;
        let (meter, from) = (take(&mut rest)?, u64::from_be_bytes(take(&mut rest)?));
        let mut pages = BTreeMap::new();
        while !rest.is_empty() {
            let page = u64::from_be_bytes(take(&mut rest)?);
            let (digest, lease) = (take(&mut rest)?, u64::from_be_bytes(take(&mut rest)?));
            let forked = flag(&mut rest)?;
            let ascending = pages.last_key_value().is_none_or(|(before, _)| *before < page);
            if !ascending || page < from || pages.len() >= PAGES_MAX {
                return None;
            }
            pages.insert(page, Entry { digest, lease, forked });
        }
        Some(Self { meter, from, pages })
    }

    /// Longest encoding, bytes.
    pub(crate) const BYTES_MAX: usize = 1 + 16 + 8 + PAGES_MAX * ENTRY_BYTES;
}

/// Where the sessions of a lease stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionsAt {
    /// End of the last session counted, unix ms.
    pub(crate) end_ms: u64,
    /// The register then, Wh.
    pub(crate) value: Option<Decimal>,
    /// First bytes of the SHA-256 of the register's code.
    pub(crate) register: [u8; 8],
    /// First pages of the sessions counted last.
    pub(crate) counted: BTreeSet<u64>,
}

/// Where the windows of a lease stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowsAt {
    /// End of the last window counted, unix seconds.
    pub(crate) end: u64,
    /// The register then, in its own unit.
    pub(crate) last: u64,
    /// The register's number: windows of another one are not the lease's.
    pub(crate) register: u64,
    /// The register's unit.
    pub(crate) exponent: i8,
}

/// Where counting stands for one lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaseFold {
    /// Sessions of its signed meter.
    pub(crate) sessions: SessionsAt,
    /// Its device's own windows; `None` before the first that counted.
    pub(crate) windows: Option<WindowsAt>,
}

impl SessionsAt {
    /// Remembers a session by its first page, and forgets the lowest beyond [`COUNTED_MAX`].
    pub(crate) fn remember(&mut self, page: u64) {
        self.counted.insert(page);
        while self.counted.len() > COUNTED_MAX {
            self.counted.pop_first();
        }
    }
}

impl LeaseFold {
    /// Longest encoding, bytes.
    pub(crate) const BYTES_MAX: usize = 1 + 8 + 1 + 16 + 4 + 8 + 1 + 8 + 8 + 8 + 1 + COUNTED_MAX * 8;

    /// Its bytes: version; end, whether there is a value, mantissa, exponent, register; whether there are windows, end, last,
    /// register, exponent; then the counted pages. Integers big-endian; what is not there is zero.
    #[must_use]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let sessions = &self.sessions;
        let mut bytes = vec![VERSION];
        bytes.extend(sessions.end_ms.to_be_bytes());
        bytes.push(sessions.value.is_some().into());
        let (mantissa, exponent) = sessions.value.unwrap_or(Decimal::ZERO).parts();
        bytes.extend(mantissa.to_be_bytes());
        bytes.extend(exponent.to_be_bytes());
        bytes.extend(sessions.register);
        bytes.push(self.windows.is_some().into());
        let windows = self.windows.unwrap_or(WindowsAt { end: 0, last: 0, register: 0, exponent: 0 });
        for number in [windows.end, windows.last, windows.register] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(windows.exponent.to_be_bytes());
        bytes.extend(sessions.counted.iter().flat_map(|page| page.to_be_bytes()));
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote; nothing at all is a lease at its beginning, and `None` is for anything else.
    #[must_use]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut rest = versioned(bytes)?;
        let end_ms = u64::from_be_bytes(take(&mut rest)?);
        let valued = flag(&mut rest)?;
        let value = Decimal::new(i128::from_be_bytes(take(&mut rest)?), i32::from_be_bytes(take(&mut rest)?));
        let register = take(&mut rest)?;
        let windowed = flag(&mut rest)?;
        let mut number = || take(&mut rest).map(u64::from_be_bytes);
        let (end, last, window_register) = (number()?, number()?, number()?);
        let exponent = i8::from_be_bytes(take(&mut rest)?);
        let mut counted = BTreeSet::new();
        while !rest.is_empty() {
            counted.insert(u64::from_be_bytes(take(&mut rest)?));
        }
        let windows = windowed.then_some(WindowsAt { end, last, register: window_register, exponent });
        let sessions = SessionsAt { end_ms, value: valued.then_some(value), register, counted };
        let fold = Self { sessions, windows };
        // One encoding for one fold: repeated or unsorted pages, and numbers where there should be none, are refused.
        (bytes.len() <= Self::BYTES_MAX && fold.to_bytes() == bytes).then_some(fold)
    }
}

fn half(digest: &[u8; 32]) -> [u8; 16] {
    digest.first_chunk().copied().unwrap_or_default()
}

fn versioned(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(&[VERSION])
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

fn flag(rest: &mut &[u8]) -> Option<bool> {
    match take(rest)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
