//! The items of an epoch as the judges see them: who said what about which slot, and how many members held it.
//! Leaves out: how they were counted and verified (`report`).

use std::collections::BTreeMap;

use attest::{EvidenceId, Reception};

/// What verified evidence says, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A boot, with the place it opens.
    Boot(Option<attest::Location>),
    /// A coverage chain commitment: first slot, length, anchor.
    Commitment(u64, u32, [u8; 32]),
    /// An answer: lease and nonce.
    Answer(u64, [u8; 32]),
    /// A witness commitment.
    Witness([u8; 32]),
    /// A reveal.
    Reveal(Reveal),
    /// A maker's certificate.
    Endorsement(Vec<u8>),
    /// A class that bears on nothing.
    Other,
}

/// A reveal's contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reveal {
    /// The slot's secret, if the device was challenged.
    pub secret: Option<[u8; 32]>,
    /// Salt of the witness commitment.
    pub salt: [u8; 16],
    /// What it heard, ascending by lease.
    pub receptions: Vec<Reception>,
}

/// One item with its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Boot count.
    pub boot: u32,
    /// Sequence number.
    pub seq: u64,
    /// Evidence id.
    pub id: EvidenceId,
    /// Members that held it in time.
    pub in_time: u32,
    /// Members that held it at all.
    pub listed: u32,
    /// Whether another message with the same boot and sequence exists.
    pub forked: bool,
    /// What it says; `None` while nobody needed it, or when the evidence is not what its listing claims.
    pub said: Option<Said>,
}

/// Items by device, kind and slot; within one place ascending by (boot, seq, id).
#[derive(Clone, Debug, Default)]
pub struct Items {
    by_place: BTreeMap<(u64, u8, u64), Vec<Item>>,
}

impl Items {
    /// Adds an item; within one place they must come ascending.
    pub fn push(&mut self, device: u64, kind: u8, slot: u64, item: Item) {
        self.by_place.entry((device, kind, slot)).or_default().push(item);
    }

    /// Items of a device, kind and slot.
    #[must_use]
    pub fn of(&self, device: u64, kind: attest::Class, slot: u64) -> &[Item] {
        self.by_place.get(&(device, kind as u8, slot)).map_or(&[], Vec::as_slice)
    }

    /// All items of one kind: (device, slot, items).
    pub fn all(&self, kind: attest::Class) -> impl Iterator<Item = (u64, u64, &[Item])> {
        let wanted = kind as u8;
        self.by_place
            .iter()
            .filter(move |((_, kind, _), _)| *kind == wanted)
            .map(|((device, _, slot), items)| (*device, *slot, items.as_slice()))
    }
}

impl Item {
    /// What it says, if it counts: held in time by more than f members, not forked, verified.
    #[must_use]
    pub fn counts(&self, faults: u32) -> Option<&Said> {
        if self.in_time > faults && !self.forked { self.said.as_ref() } else { None }
    }
}
