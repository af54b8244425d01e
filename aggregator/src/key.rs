//! Public keys in G2: the group's and each member's public share, in the three encodings of the outside world.
//! Keys are checked once, when decoded; everything after that relies on it.

use core::fmt;

use blst::min_sig;

use crate::{DST, Error, Signature};

/// Bytes of one base field element.
const FP: usize = 48;
/// Bytes of one base field element in EIP-2537: left-padded with zeros.
const PADDED: usize = 64;

/// A public key in G2, known to be in the prime-order subgroup and not infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GroupKey(pub(crate) min_sig::PublicKey);

/// A member's public share: the public key of his [`crate::Share`]. Same group, checks and encodings as the group key.
pub type PublicShare = GroupKey;

impl GroupKey {
    /// Decodes 96 compressed bytes (ZCash / draft-irtf-cfrg-bls-signature format).
    ///
    /// # Errors
    /// [`Error::Point`], [`Error::Infinity`] or [`Error::Subgroup`].
    pub fn from_bytes(bytes: &[u8; 96]) -> Result<Self, Error> {
        Ok(Self(min_sig::PublicKey::key_validate(bytes)?))
    }

    /// The 96 compressed bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 96] {
        self.0.to_bytes()
    }

    /// The 256 bytes of EIP-2537 (as kept on chain): x.c0, x.c1, y.c0, y.c1, each 64 bytes big-endian.
    #[must_use]
    pub fn to_eip2537(&self) -> [u8; 256] {
        // blst (ZCash order) writes c1 before c0.
        let [x1, x0, y1, y0] = quarters(&self.0.serialize());
        let mut out = [0; 256];
        for (slot, fp) in out.chunks_exact_mut(PADDED).zip([x0, x1, y0, y1]) {
            slot[PADDED - FP..].copy_from_slice(&fp);
        }
        out
    }

    /// Decodes the 256 bytes of EIP-2537.
    ///
    /// # Errors
    /// [`Error::Point`], [`Error::Infinity`] or [`Error::Subgroup`].
    pub fn from_eip2537(bytes: &[u8; 256]) -> Result<Self, Error> {
        let mut fps = [[0; FP]; 4];
        for (fp, padded) in fps.iter_mut().zip(bytes.chunks_exact(PADDED)) {
            let (zeros, value) = padded.split_at(PADDED - FP);
            if zeros.iter().any(|byte| *byte != 0) {
                return Err(Error::Point);
            }
            fp.copy_from_slice(value);
        }
        let [x0, x1, y0, y1] = fps;
        let serialized = [x1, x0, y1, y0].concat();
        if serialized.iter().all(|byte| *byte == 0) {
            return Err(Error::Infinity); // EIP-2537 writes infinity as zeros
        }
        let key = min_sig::PublicKey::deserialize(&serialized)?;
        key.validate()?;
        Ok(Self(key))
    }

    /// Verifies a certificate, or a partial if this is a public share, over a 32-byte digest under [`DST`].
    ///
    /// # Errors
    /// [`Error::Signature`] if it does not verify.
    pub fn verify(&self, message: &[u8; 32], signature: &Signature) -> Result<(), Error> {
        let verify = || self.verify_bytes(message, signature, DST);
        #[cfg(feature = "shared-checks")]
        return crate::shared_checks::verdict(self, message, signature, verify);
        #[cfg(not(feature = "shared-checks"))]
        verify()
    }

    /// Verifies over any message and under any domain separation tag: for other networks' beacons, never for our own.
    ///
    /// # Errors
    /// [`Error::Signature`] if it does not verify.
    pub fn verify_bytes(&self, message: &[u8], signature: &Signature, dst: &[u8]) -> Result<(), Error> {
        // Key and signature were checked for subgroup and infinity when they were decoded.
        match signature.0.verify(false, message, dst, &[], &self.0, false) {
            blst::BLST_ERROR::BLST_SUCCESS => Ok(()),
            _ => Err(Error::Signature),
        }
    }
}

/// Splits the 192 bytes of an uncompressed G2 point into its four field elements.
fn quarters(serialized: &[u8; 4 * FP]) -> [[u8; FP]; 4] {
    let mut out = [[0; FP]; 4];
    for (fp, bytes) in out.iter_mut().zip(serialized.chunks_exact(FP)) {
        fp.copy_from_slice(bytes);
    }
    out
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupKey(")?;
        crate::signature::write_hex(f, &self.to_bytes())?;
        f.write_str(")")
    }
}
