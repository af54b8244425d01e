//! How a committee signs: threshold BLS over a 32-byte digest, and key generation without a dealer.
//!
//! BLS12-381 in the *MinSig* arrangement: signatures in G1, keys in G2, hash-to-curve of RFC 9380 under [`DST`].
//! A [`Share`] makes a [`Partial`]; threshold-many partials [`recover`](Sharing::recover) the one [`Signature`]
//! of the group (the *certificate*), which anyone verifies under the [`GroupKey`] and any EVM chain verifies with the
//! precompiles of EIP-2537. Shares come from a [`dkg::Ceremony`] in which no member ever holds the group secret.
//!
//! Left out on purpose: what the 32 bytes mean, when a member may sign (the sign-once journal), Keccak trees, transport,
//! and storage. This crate has no clock, no IO and (without the feature `shared-checks` of simulations) no global state.
#![forbid(unsafe_code)]

pub mod dkg;
mod error;
mod key;
mod lagrange;
mod seat;
mod share;
#[cfg(feature = "shared-checks")]
pub mod shared_checks;
mod sharing;
mod signature;
pub mod tally;
#[cfg(feature = "test-dealer")]
mod test_dealer;

pub use error::Error;
pub use key::{GroupKey, PublicShare};
pub use share::{Partial, Share};
pub use sharing::Sharing;
pub use signature::Signature;
#[cfg(feature = "test-dealer")]
pub use test_dealer::deal_for_tests;

/// Domain separation tag of every partial and every certificate (draft-irtf-cfrg-bls-signature, proof-of-possession
/// scheme, signatures in G1).
pub const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

/// Largest committee: a report names its participants in one 256-bit word.
pub const MAX_MEMBERS: u32 = 256;

/// Number of faulty members *f* that a committee of `n` tolerates: the largest f with n ≥ 3f + 1 (0 for n = 0).
#[must_use]
pub const fn faults(n: u32) -> u32 {
    n.saturating_sub(1) / 3
}

/// Quorum q = n − f: how many members must vote before the committee acts.
///
/// Numerically the BLS *threshold* t (how many partials recover a certificate) is the same n − f, so that two quorums
/// always share an honest member and t partials always exist; the two words are still never used for one another.
#[must_use]
pub const fn quorum(n: u32) -> u32 {
    n - faults(n)
}
