//! Which member to ask for which content next: one holder after the other, each answer checked against its id.
//! Bad bytes under an id blame the member, never the id. Pure. Leaves out: sending (`swarm`), signatures (`intake`).

use std::collections::{BTreeMap, VecDeque};

use oracle_core::limits::PULL_ITEMS_MAX;
use oracle_core::wire::{Hash, Pulled};

/// Ids wanted at most; more are not asked for (the core asks again for what it still lacks).
const WANTED_MAX: usize = 65_536;
/// Ids that one member offers and nobody has asked for, open at a time: whoever offers what does not exist uses up its own.
const OFFERS_MAX: usize = 2_048;
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
    /// Who offered it first, while nobody here needs it.
    offered_by: Option<u32>,
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
    /// By member, how many of them are its offers.
    offers: BTreeMap<u32, usize>,
}

impl Puller {
    /// Wants more content; ids already on their way learn of more holders.
    pub(super) fn want(&mut self, ids: &[[u8; 32]], holders: &[u32], me: u32) {
        for id in ids {
            let needed = self.wanted.len().saturating_sub(self.offers.values().sum());
            if needed >= WANTED_MAX && !self.wanted.contains_key(id) {
                continue;
            }
            self.add(*id, None, holders.iter().filter(|holder| **holder != me));
        }
        self.sweep();
    }

    /// Takes what a member says to hold, as far as its room goes.
    pub(super) fn offer(&mut self, ids: &[[u8; 32]], holder: u32) {
        for id in ids {
            let room = self.offers.get(&holder).is_none_or(|open| *open < OFFERS_MAX);
            if room || self.wanted.contains_key(id) {
                self.add(*id, Some(holder), [&holder]);
            }
        }
    }

    fn add<'h>(&mut self, id: [u8; 32], offered_by: Option<u32>, holders: impl IntoIterator<Item = &'h u32>) {
        let fresh = !self.wanted.contains_key(&id);
        let none = || Want { holders: VecDeque::new(), asks_left: 0, asked: false, offered_by };
        let want = self.wanted.entry(id).or_insert_with(none);
        if offered_by.is_none() {
            release(&mut self.offers, want.offered_by.take());
        } else if let Some(member) = offered_by.filter(|_| fresh) {
            *self.offers.entry(member).or_default() += 1;
        }
        for holder in holders {
            if !want.holders.contains(holder) {
                want.holders.push_back(*holder);
                want.asks_left = want.asks_left.saturating_add(usize::from(ROUNDS));
            }
        }
    }

    /// Drops what nobody is left to be asked for.
    fn sweep(&mut self) {
        let offers = &mut self.offers;
        self.wanted.retain(|_, want| {
            let open = want.asks_left > 0 || want.asked;
            if !open {
                release(offers, want.offered_by);
            }
            open
        });
    }

    /// Requests to send now: (member, ids), bounded per request. Members for whom `reachable` is false are passed over; what
    /// none but them holds is dropped: the core asks again for what it still lacks.
    pub(super) fn requests(&mut self, reachable: impl Fn(u32) -> bool) -> Vec<(u32, Vec<[u8; 32]>)> {
        let mut by_member: BTreeMap<u32, Vec<[u8; 32]>> = BTreeMap::new();
        for (id, want) in self.wanted.iter_mut().filter(|(_, want)| !want.asked && want.asks_left > 0) {
            let Some(place) = want.holders.iter().position(|holder| reachable(*holder)) else {
                want.asks_left = 0;
                continue;
            };
            want.holders.rotate_left(place);
            let Some(holder) = want.holders.pop_front() else { continue };
            want.holders.push_back(holder);
            want.asks_left -= 1;
            want.asked = true;
            by_member.entry(holder).or_default().push(*id);
        }
        self.sweep();
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
                release(&mut self.offers, want.offered_by);
                let others = want.holders.into_iter().filter(|holder| *holder != from).collect();
                answer.good.push((item, others));
            }
        }
        for id in asked {
            if let Some(want) = self.wanted.get_mut(id) {
                want.asked = false;
            }
        }
        self.sweep();
        answer
    }
}

/// One offer of this member less.
fn release(offers: &mut BTreeMap<u32, usize>, member: Option<u32>) {
    if let Some(open) = member.and_then(|member| offers.get_mut(&member)) {
        *open = open.saturating_sub(1);
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
    fn what_one_member_offers_leaves_room_for_what_the_core_wants() {
        let mut puller = Puller::default();
        // 128 messages "Have" of member 3, which is then gone: nothing that it offers exists.
        let invented = |n: u32| [[0xff; 28].as_slice(), &n.to_be_bytes()].concat().try_into().expect("32 bytes");
        let offers: Vec<[u8; 32]> = (0..65_536).map(invented).collect();
        offers.chunks(PULL_ITEMS_MAX).for_each(|ids| puller.offer(ids, 3));
        let asked: usize = puller.requests(|_| true).iter().map(|(_, ids)| ids.len()).sum();
        assert_eq!(asked, OFFERS_MAX, "while it says nothing");
        puller.want(&[[1; 32]], &[5], 0);
        assert_eq!(puller.requests(|_| true), [(5, vec![[1; 32]])]);
        // An offer that is needed is asked of others, too, and makes room for another; of the rest nothing is left.
        puller.want(&offers[..1], &[5], 0);
        puller.answered(3, &offers, vec![], |_| true);
        assert!(puller.requests(|member| member != 3).iter().all(|(member, ids)| *member == 5 && ids.len() == 1));
        assert!(puller.wanted.len() <= 2 && puller.offers.values().all(|open| *open == 0), "{:?}", puller.offers);
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
