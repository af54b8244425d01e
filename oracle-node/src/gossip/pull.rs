//! Which member to ask for which content next: one holder after the other, each answer checked against its id.
//! Bad bytes under an id blame the member, never the id. Pure. Leaves out: sending (`swarm`), signatures (`intake`).

use std::collections::{BTreeMap, VecDeque};

use oracle_core::limits::PULL_ITEMS_MAX;
use oracle_core::wire::{Hash, Pulled};

/// Ids wanted at most; more are not asked for (the core asks again for what it still lacks).
const WANTED_MAX: usize = 65_536;
/// Times the whole list of holders is tried.
const ROUNDS: u8 = 3;

/// One piece of content on its way.
#[derive(Debug)]
struct Want {
    /// Whom to ask, next first.
    holders: VecDeque<u32>,
    /// Asks left.
    asks_left: usize,
    /// Asked and not answered yet.
    asked: bool,
}

/// What one answer brought.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Content that fits its id, with the other members that said to hold it.
    pub good: Vec<(Pulled, Vec<u32>)>,
    /// Items that nobody asked this member for, or whose bytes do not fit.
    pub bad: usize,
}

/// All content on its way.
#[derive(Debug, Default)]
pub(super) struct Puller {
    wanted: BTreeMap<[u8; 32], Want>,
}

impl Puller {
    /// Wants more content; ids already on their way learn of more holders.
    pub(super) fn want(&mut self, ids: &[[u8; 32]], holders: &[u32], me: u32) {
        for id in ids {
            if self.wanted.len() >= WANTED_MAX && !self.wanted.contains_key(id) {
                continue;
            }
            let fresh = || Want { holders: VecDeque::new(), asks_left: 0, asked: false };
            let want = self.wanted.entry(*id).or_insert_with(fresh);
            for holder in holders.iter().filter(|holder| **holder != me) {
                if !want.holders.contains(holder) {
                    want.holders.push_back(*holder);
                    want.asks_left = want.asks_left.saturating_add(usize::from(ROUNDS));
                }
            }
        }
        self.wanted.retain(|_, want| want.asks_left > 0 || want.asked);
    }

    /// Requests to send now: (member, ids), bounded per request. Members for whom `reachable` is false are passed over.
    pub(super) fn requests(&mut self, reachable: impl Fn(u32) -> bool) -> Vec<(u32, Vec<[u8; 32]>)> {
        let mut by_member: BTreeMap<u32, Vec<[u8; 32]>> = BTreeMap::new();
        for (id, want) in self.wanted.iter_mut().filter(|(_, want)| !want.asked && want.asks_left > 0) {
            let Some(place) = want.holders.iter().position(|holder| reachable(*holder)) else { continue };
            want.holders.rotate_left(place);
            let Some(holder) = want.holders.pop_front() else { continue };
            want.holders.push_back(holder);
            want.asks_left -= 1;
            want.asked = true;
            by_member.entry(holder).or_default().push(*id);
        }
        let split = |(member, ids): (u32, Vec<[u8; 32]>)| {
            ids.chunks(PULL_ITEMS_MAX).map(|chunk| (member, chunk.to_vec())).collect::<Vec<_>>()
        };
        by_member.into_iter().flat_map(split).collect()
    }

    /// A member answered (or, with no items, failed to): what fits is given out, the rest is asked for elsewhere.
    pub(super) fn answered(
        &mut self,
        from: u32,
        asked: &[[u8; 32]],
        items: Vec<Pulled>,
        fits: impl Fn(&Pulled) -> bool,
    ) -> Answer {
        let mut answer = Answer::default();
        for item in items {
            if !asked.contains(&item.id) || !fits(&item) {
                answer.bad = answer.bad.saturating_add(1);
            } else if let Some(want) = self.wanted.remove(&*item.id) {
                let others = want.holders.into_iter().filter(|holder| *holder != from).collect();
                answer.good.push((item, others));
            }
        }
        for id in asked {
            if let Some(want) = self.wanted.get_mut(id) {
                want.asked = false;
            }
        }
        self.wanted.retain(|_, want| want.asks_left > 0 || want.asked);
        answer
    }
}

/// Ids as the wire carries them.
pub(super) fn hashes(ids: &[[u8; 32]]) -> Vec<Hash> {
    ids.iter().map(|id| Hash::from(*id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulled(id: u8, byte: u8) -> Pulled {
        Pulled { id: Hash::from([id; 32]), class: 0, bytes: vec![byte].into() }
    }

    #[test]
    fn bad_bytes_send_the_question_to_another_holder() {
        let mut puller = Puller::default();
        let fits = |item: &Pulled| item.bytes.first() == item.id.first();
        puller.want(&[[1; 32], [2; 32]], &[0, 3, 5], 0);
        assert_eq!(puller.requests(|_| true), [(3, vec![[1; 32], [2; 32]])]);
        assert!(puller.requests(|_| true).is_empty(), "asked once at a time");
        let answer = puller.answered(3, &[[1; 32], [2; 32]], vec![pulled(1, 9), pulled(2, 2), pulled(7, 7)], fits);
        assert_eq!((answer.good.len(), answer.bad), (1, 2));
        assert_eq!(answer.good[0].1, [5]);
        assert_eq!(puller.requests(|_| true), [(5, vec![[1; 32]])]);
    }

    #[test]
    fn nobody_is_asked_for_ever() {
        let mut puller = Puller::default();
        puller.want(&[[1; 32]], &[1, 2], 0);
        let mut asked = 0;
        while let Some((member, ids)) = puller.requests(|_| true).pop() {
            asked += 1;
            puller.answered(member, &ids, vec![], |_| true);
        }
        assert_eq!(asked, 6);
        assert!(puller.wanted.is_empty());
    }
}
