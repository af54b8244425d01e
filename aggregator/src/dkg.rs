//! Key generation without a dealer: every member deals, every member checks, nobody ever holds the group secret.
//!
//! The ceremony itself is `commonware_cryptography`'s (joint Feldman with acknowledgements and a log per dealer), hidden
//! behind our own types and narrowed by gates: see [`Ceremony::conclude`]. The steps of one member:
//!
//! 1. [`Ceremony::deal`]: send every other member his deal;
//! 2. [`Ceremony::receive_deal`] for every deal that arrives: send the returned acknowledgement back;
//! 3. [`Ceremony::receive_ack`] until [`Ceremony::acks`] equals the number of members, or until the time is up;
//! 4. [`Ceremony::finish_dealing`]: publish the signed log;
//! 5. [`Ceremony::check_log`] for every log that arrives; the committee agrees on *one set* of logs (outside this crate);
//! 6. [`Ceremony::conclude`] with exactly that set, the same for everybody.
//!
//! *Deals must travel over an authenticated and encrypted channel*: a deal carries a secret share and no signature.
//! Acknowledgements and logs are signed and may travel anywhere.
//!
//! *Restart.* A ceremony made again with the same arguments deals the same polynomial and accepts the same messages: feed
//! it the stored deals and acknowledgements again. A deal must be durable before its acknowledgement leaves.
//!
//! *Refresh.* [`Ceremony::refresh`] runs the same steps from the sharing in force: same members, same group key, new shares
//! that do not combine with the old ones. It takes n − f members that still have their share; up to f others may be away,
//! and a member that lost its share receives a new one. It is no revocation: n − f *old* shares still sign.
//!
//! Left out: changes of membership (a new key is generated), transport, timers, agreement on the logs, sealing of shares.

mod ceremony;
mod gates;
mod refresh;
#[cfg(test)]
mod tests;

pub use ceremony::Ceremony;
pub use refresh::Basis;

use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::{Signer as _, ed25519};

/// Bytes in front of the session in the namespace of every ceremony signature.
const NAMESPACE: &[u8] = b"plumbline/dkg/v1";
/// Version byte in front of every message.
const VERSION: u8 = 1;

/// A member's secret key for ceremonies (ed25519). Its public half is registered as the member's DKG key.
#[derive(Clone)]
pub struct DkgIdentity {
    key: ed25519::PrivateKey,
}

impl DkgIdentity {
    /// The identity that belongs to a 32-byte ed25519 seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = zeroize::Zeroizing::new(seed);
        match ed25519::PrivateKey::decode(Copying(seed.as_slice())) {
            Ok(key) => Self { key },
            // Every 32 bytes are an ed25519 seed.
            Err(error) => unreachable!("32 bytes refused as an ed25519 seed: {error}"),
        }
    }

    /// The public key, 32 bytes.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(&self.key.public_key());
        out
    }
}

impl core::fmt::Debug for DkgIdentity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DkgIdentity(")?;
        crate::signature::write_hex(f, &self.public())?;
        f.write_str(")")
    }
}

/// Why a ceremony, or a message of one, was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DkgError {
    /// No members, more than [`crate::MAX_MEMBERS`], a repeated key, or bytes that are no ed25519 key.
    #[error("member list refused: {0}")]
    Members(&'static str),
    /// The identity given is not one of the members.
    #[error("own key is not in the member list")]
    NotMember,
    /// A message from, or about, a member index that does not exist or is our own.
    #[error("no other member has index {0}")]
    Peer(u32),
    /// The bytes are not a message of this kind and version.
    #[error("not a {0}")]
    Encoding(&'static str),
    /// A deal whose share does not fit its commitment, or whose commitment has the wrong degree.
    #[error("deal of member {0} does not verify")]
    Deal(u32),
    /// A second, different deal from the same dealer. The first one stands.
    #[error("member {0} dealt twice")]
    Equivocation(u32),
    /// An acknowledgement that does not verify for our deal.
    #[error("acknowledgement of member {0} does not verify")]
    Ack(u32),
    /// Dealing has already been finished.
    #[error("the dealer log is already signed")]
    Finished,
    /// A log that was not signed by a member for this ceremony.
    #[error("log is not signed by a member of this ceremony")]
    Log,
    /// The agreed set holds two logs of one dealer.
    #[error("two logs of member {0}")]
    DuplicateLog(u32),
    /// Fewer than n − f logs, or fewer than n − f valid ones.
    #[error("{have} usable logs, {need} needed; faulty dealers: {faulty:?}")]
    TooFewLogs {
        /// Usable logs in the set.
        have: u32,
        /// n − f.
        need: u32,
        /// Dealers whose logs prove a fault.
        faulty: Vec<u32>,
    },
    /// Too few logs are free of revealed shares. The members named did not acknowledge a deal (or a dealer says so):
    /// leave them out and run again.
    #[error("shares of members {0:?} were revealed")]
    Revealed(Vec<u32>),
    /// The log of this dealer says that we acknowledged his deal, but we do not hold it (lost after a restart).
    #[error("an acknowledged deal is missing here")]
    MissingDeal,
    /// A refresh cannot begin from this: sharing, share and absent members do not belong together.
    #[error("cannot refresh: {0}")]
    Basis(&'static str),
    /// The result does not have threshold n − f, or our share does not fit it.
    #[error("gate failed: {0}")]
    Gate(&'static str),
    /// The ceremony library refused for a reason that valid input cannot cause.
    #[error("ceremony failed: {0}")]
    Library(String),
}
