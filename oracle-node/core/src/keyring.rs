//! One member's keys of one term over time: a refresh gives every member a new share of the same group key, and from one
//! epoch on only the new shares count. Partials of two sharings never add up and do not say which they belong to, so the
//! sharing is chosen by epoch alone, the same for everybody. docs/protocol.md §7 "Refresh".
//! Leaves out: how shares are refreshed (`bootstrap`), and when old ones are erased (`oracle`).

use std::collections::BTreeMap;
use std::sync::Arc;

use aggregator::{GroupKey, Share, Sharing};

/// The keys from one epoch on.
#[derive(Clone, Debug)]
pub struct Span {
    /// First epoch, by its number in the committee's clock.
    pub from_epoch: u64,
    /// The public shares; those of the span before while these are not known here.
    pub sharing: Arc<Sharing>,
    /// This member's share; `None` when it took no part in the refresh, or lost it.
    pub share: Option<Arc<Share>>,
}

/// The spans of a term, in order.
#[derive(Clone, Debug)]
pub struct Keyring {
    first: Span,
    later: BTreeMap<u64, Span>,
}

impl Keyring {
    /// The keys of a term whose shares were never refreshed.
    #[must_use]
    pub const fn new(sharing: Arc<Sharing>, share: Option<Arc<Share>>) -> Self {
        Self { first: Span { from_epoch: 0, sharing, share }, later: BTreeMap::new() }
    }

    /// Spans in the order in which the chain took them; of two from one epoch the later counts. `None` without any.
    #[must_use]
    pub fn from_spans(spans: impl IntoIterator<Item = Span>) -> Option<Self> {
        let mut spans = spans.into_iter();
        let known = spans.next()?;
        // Before the first sharing that is known here: its group key still verifies, but no share counts.
        let share = known.share.clone().filter(|_| known.from_epoch == 0);
        let first = Span { from_epoch: 0, sharing: Arc::clone(&known.sharing), share };
        let later: Vec<Span> = [known].into_iter().filter(|span| span.from_epoch > 0).chain(spans).collect();
        Some(later.into_iter().fold(Self { first, later: BTreeMap::new() }, |mut ring, span| {
            ring.later.insert(span.from_epoch, span);
            ring
        }))
    }

    /// The keys that count in an epoch.
    #[must_use]
    pub fn at(&self, epoch: u64) -> &Span {
        self.later.range(..=epoch).next_back().map_or(&self.first, |(_, span)| span)
    }

    /// The newest keys.
    #[must_use]
    pub fn latest(&self) -> &Span {
        self.at(u64::MAX)
    }

    /// The group key, the same in all spans.
    #[must_use]
    pub fn group(&self) -> &GroupKey {
        &self.first.sharing.group
    }

    /// Number of members.
    #[must_use]
    pub fn n(&self) -> u32 {
        self.first.sharing.n
    }

    /// First epochs of the spans that count, ascending.
    #[must_use]
    pub fn starts(&self) -> Vec<u64> {
        core::iter::once(self.first.from_epoch).chain(self.later.keys().copied()).collect()
    }

    /// The first epoch in which two rings have different sharings or shares; `None` when they are the same.
    #[must_use]
    pub fn first_change(&self, other: &Self) -> Option<u64> {
        let starts = self.starts().into_iter().chain(other.starts());
        starts.filter(|epoch| !self.at(*epoch).same_as(other.at(*epoch))).min()
    }
}

impl Span {
    /// Whether partials of the two may meet: the same sharing from the same epoch on, with a share or without.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let same_sharing =
            Arc::ptr_eq(&self.sharing, &other.sharing) || self.sharing.public_shares == other.sharing.public_shares;
        self.from_epoch == other.from_epoch && same_sharing && self.share.is_some() == other.share.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_span_that_has_begun_counts() {
        let sharing = |seed| Arc::new(aggregator::deal_for_tests(4, seed).0);
        let span = |from_epoch, seed| Span { from_epoch, sharing: sharing(seed), share: None };
        let ring = Keyring::from_spans([span(0, 1), span(5, 2), span(9, 3), span(9, 4)]).expect("spans");
        for (epoch, seed) in [(0, 1), (4, 1), (5, 2), (8, 2), (9, 4), (u64::MAX, 4)] {
            assert_eq!(ring.at(epoch).sharing, sharing(seed), "epoch {epoch}");
        }
        assert!(Keyring::from_spans([]).is_none());
        assert_eq!(ring.starts(), [0, 5, 9]);
        assert_eq!(ring.first_change(&ring.clone()), None);
        assert_eq!(ring.first_change(&Keyring::new(sharing(1), None)), Some(5));
        let learnt = Keyring::from_spans([span(0, 1), span(5, 7), span(9, 4)]).expect("spans");
        assert_eq!(learnt.first_change(&ring), Some(5), "the same epochs, another sharing");
    }
}
