//! The content of a report proposal: S and the beacons of the slots that are not void. docs/protocol.md §7.
//! Leaves out: when to propose (`oracle`) and what it leads to (`report::compute`).

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::slots;
use crate::effect::Bodies;
use crate::limits;
use crate::policy::Book;
use crate::term::Term;
use crate::wire::{self, Bytes, Statement, WireError};

/// The format that this version reads and writes.
const EPOCH_SET_VERSION: u32 = 2;

/// What a leader of a report instance proposes; the proposed *value* is the digest of the header that F makes of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct EpochSet {
    /// Format, 2.
    #[n(0)]
    pub version: u32,
    /// S: observation statements, ascending by member.
    #[n(1)]
    pub observations: Vec<Statement>,
    /// (slot, certificate) of exactly the slots that are not void, ascending.
    #[n(2)]
    pub beacons: Vec<(u64, Bytes<48>)>,
}

impl EpochSet {
    /// Puts a proposal together: `observations` in any order (one per member), their bodies, and whatever certificates
    /// are at hand; those of void slots and other epochs are left out.
    ///
    /// # Errors
    /// The slots that are not void and whose certificate is not at hand: fetch them, or propose another S.
    pub fn assemble(
        term: &Term,
        book: &Book,
        epoch: u64,
        mut observations: Vec<Statement>,
        bodies: &Bodies,
        certificates: &BTreeMap<u64, [u8; 48]>,
    ) -> Result<Self, Vec<u64>> {
        observations.sort_unstable_by_key(|statement| statement.member);
        let seen = observations.iter().filter_map(|statement| bodies.get(&statement.member));
        let void = slots::void_slots(term, book, epoch, seen);
        let wanted = slots::beacon_range(term, book, epoch).filter(|slot| !void.contains_key(slot));
        let (mut beacons, mut lacking) = (Vec::new(), Vec::new());
        for slot in wanted {
            match certificates.get(&slot) {
                Some(certificate) => beacons.push((slot, Bytes::from(*certificate))),
                None => lacking.push(slot),
            }
        }
        if lacking.is_empty() { Ok(Self { version: EPOCH_SET_VERSION, observations, beacons }) } else { Err(lacking) }
    }

    /// Deterministic bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Strict decoding. What F needs beyond the form, F checks.
    ///
    /// # Errors
    /// Bytes that are not the canonical encoding of this version, or with beacons out of order.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let set: Self = wire::decode(bytes, limits::MESSAGE_BYTES_MAX)?;
        if set.version != EPOCH_SET_VERSION {
            return Err(WireError::Malformed(format!("version {} is not known here", set.version)));
        }
        let slots = set.beacons.iter().zip(set.beacons.iter().skip(1));
        if !slots.clone().all(|((one, _), (next, _))| one < next) {
            return Err(WireError::Malformed("beacons are not ascending".into()));
        }
        Ok(set)
    }

    /// The certificates by slot, as [`super::EpochInput::beacons`] wants them.
    #[must_use]
    pub fn beacon_map(&self) -> BTreeMap<u64, [u8; 48]> {
        self.beacons.iter().map(|(slot, certificate)| (*slot, **certificate)).collect()
    }
}
