//! The hash chains that a coverage device has committed to, carried from epoch to epoch.
//! Leaves out: whether a secret opens one (`judge`).

use attest::Body;
use minicbor::{Decode, Encode};

use crate::class::Said;
use crate::wire::{self, Hash};

/// Chains of one device that are kept: the newest.
const CHAINS_MAX: usize = 4;

/// A committed hash chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub(super) struct Chain {
    /// First slot.
    #[n(0)]
    pub(super) first_slot: u64,
    /// Slots spanned.
    #[n(1)]
    pub(super) length: u32,
    /// Anchor.
    #[n(2)]
    pub(super) anchor: Hash,
}

impl Chain {
    /// Whether it has a secret for a slot.
    pub(super) fn covers(&self, slot: u64) -> bool {
        slot.checked_sub(self.first_slot).is_some_and(|steps| steps < u64::from(self.length))
    }
}

/// What a fold holds: chains ascending by (first slot, length, anchor).
pub(super) fn read(fold: &[u8]) -> Vec<Chain> {
    minicbor::decode(fold).unwrap_or_default()
}

/// Adds this epoch's commitments; drops chains whose last slot was due before it. Empty when none is left.
pub(super) fn fold(before: &[u8], said: &Said<'_>) -> Vec<u8> {
    let mut chains = read(before);
    for (_, commitments) in said.items.all_of(said.device, attest::Class::Commitment) {
        for claims in commitments.iter().filter_map(|item| item.counts(0, said.faults)) {
            let Body::Commitment(made) = claims.body else { continue };
            add(&mut chains, Chain { first_slot: made.first_slot, length: made.length, anchor: made.anchor.into() });
        }
    }
    chains.retain(|chain| chain.first_slot.saturating_add(u64::from(chain.length)) > said.first_slot);
    if chains.is_empty() { Vec::new() } else { wire::encode(&chains) }
}

/// Keeps chains ascending, each once, the newest few.
fn add(chains: &mut Vec<Chain>, chain: Chain) {
    if let Err(place) = chains.binary_search(&chain) {
        chains.insert(place, chain);
    }
    let surplus = chains.len().saturating_sub(CHAINS_MAX);
    chains.drain(..surplus);
}
