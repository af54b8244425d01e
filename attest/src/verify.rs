//! The signature of one message or statement. The curve comes from the registered key, never from the message; Ed25519
//! by ZIP-215 rules, P-256 with either s. Whether the claims are true is not asked here.

use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes, batch::Item};
use sha2::{Digest, Sha256};

use crate::{Class, Envelope, EvidenceId, Network, PublicKey, envelope::Structure};

/// Why a message does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The message names another algorithm than its key has.
    #[error("algorithm does not match the key")]
    Alg,
    /// The message names another key id than its key has.
    #[error("key id does not match the key")]
    Kid,
    /// The registered key is no point of its curve.
    #[error("malformed key")]
    Key,
    /// The signature does not fit message, class, network and key.
    #[error("bad signature")]
    Signature,
}

/// Verifies one message under a registered key and returns its id.
///
/// # Errors
/// An algorithm or key id other than the key's, a malformed key, or a bad signature.
pub fn verify(env: &Envelope<'_>, class: Class, network: &Network, key: &PublicKey) -> Result<EvidenceId, VerifyError> {
    match check(env, class, network, key)? {
        Checked::Done(id) => Ok(id),
        Checked::Ed25519(pending) => pending.verify(),
    }
}

/// A message after everything but the Ed25519 equation.
#[expect(clippy::large_enum_variant, reason = "lives for one call; a box would cost every message an allocation")]
pub(crate) enum Checked {
    /// Verified (P-256).
    Done(EvidenceId),
    /// Waits for the Ed25519 equation, alone or in a batch.
    Ed25519(Pending),
}

/// One Ed25519 signature with its challenge scalar.
#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) id: EvidenceId,
    pub(crate) key: [u8; 32],
    pub(crate) signature: [u8; 64],
    pub(crate) item: Item,
}

impl Pending {
    pub(crate) fn new(key: [u8; 32], signature: &[u8; 64], message: &[u8]) -> Self {
        let item = Item::from((VerificationKeyBytes::from(key), Signature::from_bytes(signature), message));
        Self { id: Sha256::digest(message).into(), key, signature: *signature, item }
    }

    /// The single ZIP-215 check.
    pub(crate) fn verify(&self) -> Result<EvidenceId, VerifyError> {
        VerificationKey::try_from(self.key).map_err(|_| VerifyError::Key)?;
        self.item.clone().verify_single().map_err(|_| VerifyError::Signature)?;
        Ok(self.id)
    }
}

pub(crate) fn check(
    env: &Envelope<'_>,
    class: Class,
    network: &Network,
    key: &PublicKey,
) -> Result<Checked, VerifyError> {
    if env.alg != key.alg() {
        return Err(VerifyError::Alg);
    }
    if env.kid != key.kid() {
        return Err(VerifyError::Kid);
    }
    let structure = Structure::of(class, network, env);
    let message = structure.bytes();
    match key {
        PublicKey::Ed25519(key) => Ok(Checked::Ed25519(Pending::new(*key, env.signature, message))),
        PublicKey::P256(key) => {
            let id: EvidenceId = Sha256::digest(message).into();
            verify_p256(key, &id, env.signature)?;
            Ok(Checked::Done(id))
        }
    }
}

/// Whether `signature` is one of `key` over `statement` (docs/protocol.md §3); false for a malformed key too.
#[must_use]
pub fn verify_statement(key: &PublicKey, statement: &[u8], signature: &[u8; 64]) -> bool {
    match key {
        PublicKey::Ed25519(key) => Pending::new(*key, signature, statement).verify().is_ok(),
        PublicKey::P256(key) => verify_p256(key, &Sha256::digest(statement).into(), signature).is_ok(),
    }
}

pub(crate) fn verify_p256(key: &[u8; 64], digest: &[u8; 32], signature: &[u8; 64]) -> Result<(), VerifyError> {
    use p256::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier};
    let mut point = [0x04; 65];
    point[1..].copy_from_slice(key);
    let key = VerifyingKey::from_sec1_bytes(&point).map_err(|_| VerifyError::Key)?;
    let signature = Signature::from_slice(signature).map_err(|_| VerifyError::Signature)?;
    key.verify_prehash(digest, &signature).map_err(|_| VerifyError::Signature)
}
