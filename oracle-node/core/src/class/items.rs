//! The items of an epoch as the classes see them: who said what about which slot, and how many members held it until when.
//! Leaves out: how they were counted and verified (`report`).

use std::collections::BTreeMap;

use attest::{Claims, EvidenceId};
use smallvec::SmallVec;

/// How many members held an item, by the deadline that their marks name; ascending by deadline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count(SmallVec<[(u32, u32); 2]>);

impl Count {
    /// So many members more name this deadline ([`crate::observation::Mark::by`]).
    pub(crate) fn add(&mut self, by: u32, members: u32) {
        match self.0.binary_search_by_key(&by, |(by, _)| *by) {
            Ok(place) => {
                if let Some((_, count)) = self.0.get_mut(place) {
                    *count = count.saturating_add(members);
                }
            }
            Err(place) => self.0.insert(place, (by, members)),
        }
    }

    /// Members that held it by a deadline.
    #[must_use]
    pub fn until(&self, deadline: u32) -> u32 {
        let in_time = self.0.iter().take_while(|(by, _)| *by <= deadline);
        in_time.fold(0, |sum: u32, (_, members)| sum.saturating_add(*members))
    }

    /// Members that named exactly this mark.
    #[must_use]
    pub fn exactly(&self, by: u32) -> u32 {
        self.0.iter().find(|(of, _)| *of == by).map_or(0, |(_, members)| *members)
    }

    /// Members that held it at all.
    #[must_use]
    pub fn listed(&self) -> u32 {
        self.until(u32::MAX)
    }
}

/// One item with its counts.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    /// Boot count.
    pub boot: u32,
    /// Sequence number.
    pub seq: u64,
    /// Evidence id.
    pub id: EvidenceId,
    /// Members that held it, by when.
    pub held: Count,
    /// Whether another message with the same boot and sequence exists.
    pub forked: bool,
    /// Its message class and payload; `None` while nobody needed it, or when the evidence is not what its listing claims.
    pub(crate) said: Option<(attest::Class, &'a [u8])>,
}

impl<'a> Item<'a> {
    /// What it says, whether it counts or not; `None` while nobody needed it, or when it is not what its listing claims.
    #[must_use]
    pub fn claims(&self) -> Option<Claims<'a>> {
        let (class, payload) = self.said?;
        Claims::decode(class, payload).ok()
    }

    /// What it says, if it counts: held by the deadline by more than f members, not forked, verified.
    #[must_use]
    pub fn counts(&self, deadline: u32, faults: u32) -> Option<Claims<'a>> {
        if self.held.until(deadline) > faults && !self.forked { self.claims() } else { None }
    }
}

/// Items by device, message class and slot; within one place ascending by (boot, seq, id).
#[derive(Clone, Debug, Default)]
pub struct Items<'a> {
    by_place: BTreeMap<(u64, u8, u64), Vec<Item<'a>>>,
}

impl<'a> Items<'a> {
    /// Adds an item; within one place they must come ascending.
    pub(crate) fn push(&mut self, device: u64, message: u8, slot: u64, item: Item<'a>) {
        self.by_place.entry((device, message, slot)).or_default().push(item);
    }

    /// Items of a device, message class and slot.
    #[must_use]
    pub fn of(&self, device: u64, message: attest::Class, slot: u64) -> &[Item<'a>] {
        self.by_place.get(&(device, message as u8, slot)).map_or(&[], Vec::as_slice)
    }

    /// All items of a device of one message class, ascending by slot (or the second they claim): (slot, items).
    pub fn all_of(&self, device: u64, message: attest::Class) -> impl Iterator<Item = (u64, &[Item<'a>])> {
        let message = message as u8;
        let all = self.by_place.range((device, message, 0)..=(device, message, u64::MAX));
        all.map(|((_, _, slot), items)| (*slot, items.as_slice()))
    }

    /// All items of one message class: (device, slot, items).
    pub fn all(&self, message: attest::Class) -> impl Iterator<Item = (u64, u64, &[Item<'a>])> {
        let wanted = message as u8;
        let all = self.by_place.iter().filter(move |((_, message, _), _)| *message == wanted);
        all.map(|((device, _, slot), items)| (*device, *slot, items.as_slice()))
    }
}
