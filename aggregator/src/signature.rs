//! Signatures in G1: partials and certificates, in the two encodings of the outside world.
//! Decoding checks curve, subgroup and infinity, so a `Signature` that exists needs no further check.

use core::fmt;

use blst::min_sig;

use crate::Error;

/// A signature in G1, known to be in the prime-order subgroup and (when decoded) not infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub(crate) min_sig::Signature);

impl Signature {
    /// Decodes 48 compressed bytes (ZCash / draft-irtf-cfrg-bls-signature format).
    ///
    /// # Errors
    /// [`Error::Point`], [`Error::Infinity`] or [`Error::Subgroup`].
    pub fn from_bytes(bytes: &[u8; 48]) -> Result<Self, Error> {
        let decode = || Ok(Self(min_sig::Signature::sig_validate(bytes, true)?));
        #[cfg(feature = "shared-checks")]
        return crate::shared_checks::signature(bytes, decode);
        #[cfg(not(feature = "shared-checks"))]
        decode()
    }

    /// The 48 compressed bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 48] {
        self.0.to_bytes()
    }

    /// The 96 bytes that a contract takes: x ‖ y, 48 bytes each, big-endian.
    #[must_use]
    pub fn to_onchain(&self) -> [u8; 96] {
        self.0.serialize()
    }

    /// Decodes the 96 bytes that a contract takes.
    ///
    /// # Errors
    /// [`Error::Point`], [`Error::Infinity`] or [`Error::Subgroup`].
    pub fn from_onchain(bytes: &[u8; 96]) -> Result<Self, Error> {
        let signature = min_sig::Signature::deserialize(bytes)?;
        signature.validate(true)?;
        Ok(Self(signature))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        write_hex(f, &self.to_bytes())?;
        f.write_str(")")
    }
}

/// Writes bytes as lower-case hex.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
