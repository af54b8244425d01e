//! Which committee key a device believes as terms change. A device that trusts one term's group key follows signed rotations
//! to the next (docs/protocol.md §§6, 11), without trusting the broker or the node that brings them.
//! Leaves out: the pairing check (the caller's, behind [`CheckCertificate`](crate::CheckCertificate)) and storage.
//!
//! ```text
//! current ── its certificate over Rotation ──► next        beacons: slot < first slot of next → current's, else next's
//!                     next's certificate over Rotation ──► next becomes current, and so on
//! ```
//!
//! What a key signs proves that it was in force. A key that no signature has proven yet is replaced by that of a later
//! rotation: an attempt that came too late for the chain gives way to the next. (Should the chain take the first of two after
//! all, a device that was given the second as well is without beacons until the second's epoch.)

mod keys;
mod statement;

pub use keys::{Followed, TERM_KEYS_LEN, TermKey, TermKeys};
pub use statement::{MAX_ROTATIONS, ROTATION_LEN, ROTATIONS_HEAD, Rotation, Rotations};

use crate::{Network, network_id};

/// Bytes of a group key.
pub const GROUP_KEY_LEN: usize = 256;
/// A group key as the registry's `TermActivated` gives it: EIP-2537, four field elements of 64 bytes (x.c0, x.c1, y.c0, y.c1).
pub type GroupKey = [u8; GROUP_KEY_LEN];

/// The committee that a device belongs to; none of it changes with its terms (the registry refuses other timing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// CommitteeRegistry.
    pub registry: [u8; 20],
    /// The committee.
    pub committee: u64,
    /// Length of an epoch, ms.
    pub epoch_ms: u64,
    /// Length of a slot, ms.
    pub slot_ms: u64,
}

impl Home {
    /// The network id of chain and registry.
    #[must_use]
    pub fn network(&self) -> Network {
        network_id(self.chain_id, &self.registry)
    }

    /// The first slot that starts within an epoch or after it: the first whose beacon is a term's that begins there.
    #[must_use]
    pub fn first_slot_of(&self, epoch: u64) -> u64 {
        epoch.saturating_mul(self.epoch_ms).div_ceil(self.slot_ms.max(1))
    }
}

/// Why a payload of rotations leads no further. What was followed before the fault stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    /// Not the bytes of docs/protocol.md §11.
    #[error("not a payload of rotations")]
    Form,
    /// Another network's or committee's.
    #[error("rotations of another network or committee")]
    Elsewhere,
    /// The old key did not sign this.
    #[error("the rotation from term {term} is not signed by that term's key")]
    Forged {
        /// The term whose key should have signed.
        term: u64,
    },
    /// The key of a term that is proven, or of the same first epoch, is to be replaced by another.
    #[error("a second rotation from term {term} contradicts the one that is known")]
    Conflict {
        /// The term whose key signed both.
        term: u64,
    },
    /// Unsigned: governance rotated (or a broker says so). Only the device's maker or owner can give it the new key
    /// ([`TermKeys::trust`]), by a way that the device believes.
    #[error(
        "term {new_term} is said to follow term {term} by governance, unsigned: the device needs its new key from its maker"
    )]
    Governance {
        /// The term known here.
        term: u64,
        /// The term that follows it.
        new_term: u64,
    },
    /// The payload begins after the newest term known here: more rotations were missed than nodes keep. As
    /// [`TermError::Governance`], the maker or owner has to give the key.
    #[error(
        "the oldest rotation kept is from term {oldest}, the newest term known here is {known}: the device needs its new key from its maker"
    )]
    Behind {
        /// Newest term known here.
        known: u64,
        /// Term that the oldest rotation starts from.
        oldest: u64,
    },
}
