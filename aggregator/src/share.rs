//! One member's secret share and the partial it makes. Sealing the share at rest is the node's task.

use core::fmt;

use blst::min_sig;
use zeroize::Zeroizing;

use crate::{DST, Error, PublicShare, Signature};

/// A member's secret share. Printing it shows only the index; the scalar is wiped when it is dropped.
#[derive(Clone)]
pub struct Share {
    /// Member index, from 0; the evaluation point of the share is `index + 1`.
    pub index: u32,
    secret: min_sig::SecretKey,
}

impl Share {
    /// Reads a share from its secret: 32 bytes, big-endian.
    ///
    /// # Errors
    /// [`Error::Scalar`] if the scalar is zero or not below the group order.
    pub fn from_bytes(index: u32, secret: &[u8; 32]) -> Result<Self, Error> {
        let secret = min_sig::SecretKey::from_bytes(secret).map_err(|_| Error::Scalar)?;
        Ok(Self { index, secret })
    }

    /// The secret itself, 32 bytes big-endian, wiped when dropped. For sealing to disk only.
    #[must_use]
    pub fn to_bytes_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// The public share that belongs to this secret.
    #[must_use]
    pub fn public_share(&self) -> PublicShare {
        crate::GroupKey(self.secret.sk_to_pk())
    }

    /// Signs a 32-byte digest under [`DST`].
    ///
    /// Whoever calls this has already made durable that no other digest will be signed for the same instance.
    #[must_use]
    pub fn sign(&self, message: &[u8; 32]) -> Partial {
        Partial { index: self.index, signature: Signature(self.secret.sign(message, DST, &[])) }
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("index", &self.index).finish_non_exhaustive()
    }
}

/// One member's signature over a digest; not verified by existing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Member index, from 0.
    pub index: u32,
    /// The signature under that member's share.
    pub signature: Signature,
}
