//! Software signers for devices without a secure element, simulators and tests. Secrets are wiped on drop and never
//! printed; making and storing the seed is the caller's.

use core::fmt;

use zeroize::Zeroize;

use crate::{PublicKey, SignError, Signer, ToBeSigned};

/// An Ed25519 key in memory.
#[cfg(feature = "soft-ed25519")]
pub struct SoftEd25519 {
    key: ed25519_zebra::SigningKey,
    public: [u8; 32],
}

#[cfg(feature = "soft-ed25519")]
impl SoftEd25519 {
    /// The key of an RFC 8032 seed.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = ed25519_zebra::SigningKey::from(seed);
        seed.zeroize();
        let public = ed25519_zebra::VerificationKeyBytes::from(&key).into();
        Self { key, public }
    }
}

#[cfg(feature = "soft-ed25519")]
impl Signer for SoftEd25519 {
    fn public_key(&self) -> PublicKey {
        PublicKey::Ed25519(self.public)
    }

    fn sign(&self, tbs: ToBeSigned<'_>) -> Result<[u8; 64], SignError> {
        Ok(self.key.sign(tbs.message()).to_bytes())
    }
}

#[cfg(feature = "soft-ed25519")]
impl Drop for SoftEd25519 {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

#[cfg(feature = "soft-ed25519")]
impl fmt::Debug for SoftEd25519 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftEd25519").finish_non_exhaustive()
    }
}

/// A P-256 key in memory (wiped on drop by `p256` itself). Signatures are deterministic (RFC 6979).
#[cfg(feature = "soft-p256")]
pub struct SoftP256 {
    key: p256::ecdsa::SigningKey,
    public: [u8; 64],
}

#[cfg(feature = "soft-p256")]
impl SoftP256 {
    /// The key whose scalar is the seed, big-endian. A seed that is no scalar (zero, or not below the group order:
    /// one in 2^32) is hashed with SHA-256 until it is.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        use sha2::Digest;
        let key = loop {
            match p256::ecdsa::SigningKey::from_slice(&seed) {
                Ok(key) => break key,
                Err(_) => seed = sha2::Sha256::digest(seed).into(),
            }
        };
        seed.zeroize();
        let point = key.verifying_key().to_sec1_point(false);
        let mut public = [0; 64];
        for (slot, byte) in public.iter_mut().zip(point.as_bytes().iter().skip(1)) {
            *slot = *byte;
        }
        Self { key, public }
    }

    /// Signs a SHA-256 digest, as a secure element does; r‖s.
    ///
    /// # Errors
    /// Never with a key made here; the curve library's interface can refuse.
    pub fn sign_prehashed(&self, digest: &[u8; 32]) -> Result<[u8; 64], SignError> {
        use p256::ecdsa::{Signature, signature::hazmat::PrehashSigner};
        let signature: Signature = self.key.sign_prehash(digest).map_err(|_| SignError::Refused)?;
        Ok(signature.to_bytes().into())
    }
}

#[cfg(feature = "soft-p256")]
impl Signer for SoftP256 {
    fn public_key(&self) -> PublicKey {
        PublicKey::P256(self.public)
    }

    fn sign(&self, tbs: ToBeSigned<'_>) -> Result<[u8; 64], SignError> {
        self.sign_prehashed(&tbs.digest())
    }
}

#[cfg(feature = "soft-p256")]
impl fmt::Debug for SoftP256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftP256").finish_non_exhaustive()
    }
}
