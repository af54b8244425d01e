//! The heaviest chain: out of stretches of time that one register counted, those that can all be true together and come to
//! the most. The result depends on no order, a stretch more that can be true beside them never makes it lighter, and a
//! stretch less never heavier. Leaves out: whether a stretch is worth anything by itself (`windows`, `ocmf::session`).

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::class::Fault;
use crate::class::energy::reason::fault;
use crate::reason::Reason;

/// A stretch `[start, end)` over which a register went from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    /// Start, in whatever unit of time all links have.
    pub(crate) start: u64,
    /// End, not below the start.
    pub(crate) end: u64,
    /// The register at the start.
    pub(crate) first: i128,
    /// The register at the end, not below the start's.
    pub(crate) last: i128,
    /// What it comes to.
    pub(crate) weight: u64,
}

impl Link {
    /// Whether another link may come after this one: later in time, on a register that has not fallen.
    #[must_use]
    pub(crate) const fn precedes(&self, next: &Self) -> bool {
        self.end <= next.start && self.last <= next.first
    }

    /// Why this link and another cannot both count.
    #[must_use]
    pub(crate) fn conflict(&self, other: &Self) -> Option<Fault> {
        if self.precedes(other) || other.precedes(self) {
            return None;
        }
        let (earlier, later) = if self <= other { (self, other) } else { (other, self) };
        if earlier.end > later.start {
            return Some(fault(Reason::ENERGY_OVERLAP, self.start, other.end));
        }
        let at_least = |value: i128| i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX });
        Some(Fault { reason: Reason::REGISTER_FELL, measured: at_least(later.first), limit: at_least(earlier.last) })
    }
}

/// The sum and the length of the best chain that ends with a link, and that link. Between equal sums the longer chain wins,
/// so that nothing is left out that could stand; then the earlier link.
type Best = Option<(u128, usize, Reverse<usize>)>;

/// Greatest values over prefixes, by rank (a Fenwick tree).
struct Prefixes(Vec<Best>);

impl Prefixes {
    /// The greatest value among the first `count` ranks.
    fn greatest(&self, mut count: usize) -> Best {
        let mut best = None;
        while count > 0 {
            best = best.max(self.0.get(count.saturating_sub(1)).copied().flatten());
            count &= count.saturating_sub(1);
        }
        best
    }

    fn raise(&mut self, rank: usize, value: Best) {
        let mut count = rank.saturating_add(1);
        while let Some(cell) = self.0.get_mut(count.saturating_sub(1)) {
            *cell = (*cell).max(value);
            count = count.saturating_add(count & count.wrapping_neg());
        }
    }
}

/// Places of the links of the heaviest chain, ascending in time. `links` must be sorted.
#[must_use]
pub(crate) fn heaviest(links: &[Link]) -> Vec<usize> {
    let mut registers: Vec<i128> = links.iter().map(|link| link.last).collect();
    registers.sort_unstable();
    registers.dedup();
    let up_to = |value: i128| registers.partition_point(|known| *known <= value);
    let mut prefixes = Prefixes(vec![None; registers.len()]);
    let mut ended: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let (mut sums, mut before): (Vec<(u128, usize)>, Vec<Option<usize>>) = (vec![], vec![]);
    for (place, link) in links.iter().enumerate() {
        while let Some(Reverse((_, other))) = ended.peek().copied().filter(|Reverse((end, _))| *end <= link.start) {
            ended.pop();
            if let (Some(done), Some(sum)) = (links.get(other), sums.get(other)) {
                prefixes.raise(up_to(done.last).saturating_sub(1), Some((sum.0, sum.1, Reverse(other))));
            }
        }
        let best = prefixes.greatest(up_to(link.first));
        let (sum, length) = best.map_or((0, 0), |(sum, length, _)| (sum, length));
        sums.push((sum.saturating_add(link.weight.into()), length.saturating_add(1)));
        before.push(best.map(|(.., Reverse(place))| place));
        ended.push(Reverse((link.end, place)));
    }
    let last = sums.iter().enumerate().map(|(place, sum)| (*sum, Reverse(place))).max();
    let mut next = last.map(|(_, Reverse(place))| place);
    let mut chain = Vec::new();
    while let Some(place) = next {
        chain.push(place);
        next = before.get(place).copied().flatten();
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn links() -> impl Strategy<Value = Vec<Link>> {
        let one = (0u64..30, 0u64..8, 0i128..30, 0i128..8, 0u64..50);
        let one = one.prop_map(|(start, length, first, advance, weight)| Link {
            start,
            end: start + length,
            first,
            last: first + advance,
            weight,
        });
        proptest::collection::btree_set(one, 0..9).prop_map(|set| set.into_iter().collect())
    }

    fn weight(links: &[Link]) -> u128 {
        heaviest(links).into_iter().map(|place| u128::from(links[place].weight)).sum()
    }

    /// By trying every subset.
    fn by_trying(links: &[Link]) -> u128 {
        let chained = |subset: &[Link]| subset.iter().zip(subset.iter().skip(1)).all(|(one, next)| one.precedes(next));
        let subsets = (0u32..1 << links.len()).map(|bits| -> Vec<Link> {
            links.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1).map(|(_, link)| *link).collect()
        });
        let weights = subsets
            .filter(|subset| chained(subset))
            .map(|subset| subset.iter().map(|link| u128::from(link.weight)).sum());
        weights.max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn no_chain_is_heavier(links in links()) {
            let chain = heaviest(&links);
            prop_assert!(chain.iter().zip(chain.iter().skip(1)).all(|(one, next)| links[*one].precedes(&links[*next])));
            prop_assert_eq!(weight(&links), by_trying(&links));
            for (place, link) in links.iter().enumerate().filter(|(place, _)| !chain.contains(place)) {
                prop_assert!(chain.iter().any(|one| links[*one].conflict(link).is_some()), "{}", place);
            }
        }

        #[test]
        fn a_link_less_never_weighs_more(links in links()) {
            for place in 0..links.len() {
                let mut fewer = links.clone();
                fewer.remove(place);
                prop_assert!(weight(&fewer) <= weight(&links));
            }
        }
    }
}
