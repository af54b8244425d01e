//! Whether a record is signed by the registered meter. The chain knows a meter by its key's thumbprint and a record carries
//! no key, so the keys under which the signature verifies are computed from it (SEC 1 §4.1.6): the registered one is among
//! them, or the record is not its. The curve is the registered key's, never the one that the record names: a record must
//! not choose by what it is judged. Leaves out: which meter is registered.

use attest::{MeterCurve, meter_key_thumbprint};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::der;
use super::error::OcmfError;
use super::{Hash, Record};

/// Longest text of a signature that is read: two 384-bit numbers in DER and hex are at most 210 characters.
pub(super) const SIGNATURE_TEXT_MAX: usize = 256;

/// The curves that the format names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Curve {
    /// NIST P-256, the format's default.
    Secp256r1,
    /// The curve of Bitcoin.
    Secp256k1,
    /// NIST P-384.
    Secp384r1,
    /// Known by name only: 96 bits of security.
    Secp192r1,
    /// Known by name only: 96 bits of security.
    Secp192k1,
    /// Known by name only.
    BrainpoolP256r1,
    /// Known by name only.
    BrainpoolP384r1,
}

/// Name, bits.
const CURVES: [(Curve, &str, u16); 7] = [
    (Curve::Secp256r1, "secp256r1", 256),
    (Curve::Secp256k1, "secp256k1", 256),
    (Curve::Secp384r1, "secp384r1", 384),
    (Curve::Secp192r1, "secp192r1", 192),
    (Curve::Secp192k1, "secp192k1", 192),
    (Curve::BrainpoolP256r1, "brainpoolP256r1", 256),
    (Curve::BrainpoolP384r1, "brainpoolP384r1", 384),
];

impl Curve {
    /// The curves that this code can verify under; a policy allows some of them.
    pub(crate) const VERIFIABLE: [Self; 3] = [Self::Secp256r1, Self::Secp256k1, Self::Secp384r1];

    /// Its name in a policy and in a sentence.
    pub(crate) fn name(self) -> &'static str {
        CURVES.iter().find(|(curve, ..)| *curve == self).map_or("", |(_, name, _)| name)
    }

    /// The curve of a name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        CURVES.iter().find(|(_, known, _)| *known == name).map(|(curve, ..)| *curve)
    }

    /// Bits of a private key.
    pub(crate) fn bits(self) -> u16 {
        CURVES.iter().find(|(curve, ..)| *curve == self).map_or(0, |(.., bits)| *bits)
    }
}

impl core::fmt::Display for Curve {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// Checks that a record is signed under the key of this thumbprint. Both forms of s are taken: the format asks for neither,
/// and meters make both.
///
/// # Errors
/// When the signature verifies under no key of this thumbprint, or the key's curve is not among `allowed`.
pub(crate) fn check(record: &Record<'_>, registered: &[u8; 32], allowed: &[Curve]) -> Result<(), OcmfError> {
    let payload = record.payload();
    let digest = match record.signature.hash {
        Hash::Sha256 => Sha256::digest(payload).to_vec(),
        Hash::Sha384 => Sha384::digest(payload).to_vec(),
        Hash::Sha512 => Sha512::digest(payload).to_vec(),
    };
    let bytes = &record.signature.bytes;
    let signed = |curve: &&Curve| match curve {
        Curve::Secp256r1 => fixed(bytes).is_some_and(|signature| p256(registered, &digest, &signature)),
        Curve::Secp256k1 => fixed(bytes).is_some_and(|signature| k256(registered, &digest, &signature)),
        Curve::Secp384r1 => fixed(bytes).is_some_and(|signature| p384(registered, &digest, &signature)),
        _ => false,
    };
    let curve = *Curve::VERIFIABLE.iter().find(signed).ok_or(OcmfError::Signature)?;
    if !allowed.contains(&curve) {
        let largest = allowed.iter().map(|curve| curve.bits()).max().unwrap_or(0);
        return Err(OcmfError::CurveNotAllowed { curve, largest });
    }
    Ok(())
}

/// r‖s from DER or from itself. DER comes first: 64 random bytes are a DER signature with a chance below 2^-40.
fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    match der::signature(bytes, &mut out) {
        Some(()) => Some(out),
        None => bytes.try_into().ok(),
    }
}

/// Whether an uncompressed point (SEC 1 §2.3.3) is the registered key.
fn is_registered(registered: &[u8; 32], curve: MeterCurve, point: &[u8]) -> bool {
    let thumbprint = point.strip_prefix(&[4]).and_then(|point| meter_key_thumbprint(curve, point));
    thumbprint.as_ref() == Some(registered)
}

fn p256(registered: &[u8; 32], digest: &[u8], signature: &[u8; 64]) -> bool {
    use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
    use p256::ecdsa::{RecoveryId, Signature, VerifyingKey};
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    let ids = (0..=RecoveryId::MAX).filter_map(RecoveryId::from_byte);
    let mut keys = ids.filter_map(|id| VerifyingKey::recover_from_prehash(digest, &signature, id).ok());
    let ours = |key: &VerifyingKey| is_registered(registered, MeterCurve::P256, key.to_sec1_point(false).as_bytes());
    keys.find(ours).is_some_and(|key| key.verify_prehash(digest, &signature).is_ok())
}

fn p384(registered: &[u8; 32], digest: &[u8], signature: &[u8; 96]) -> bool {
    use p256::ecdsa::RecoveryId;
    use p384::ecdsa::signature::hazmat::PrehashVerifier as _;
    use p384::ecdsa::{Signature, VerifyingKey};
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    let ids = (0..=RecoveryId::MAX).filter_map(RecoveryId::from_byte);
    let mut keys = ids.filter_map(|id| VerifyingKey::recover_from_prehash(digest, &signature, id).ok());
    let ours = |key: &VerifyingKey| is_registered(registered, MeterCurve::P384, key.to_sec1_point(false).as_bytes());
    keys.find(ours).is_some_and(|key| key.verify_prehash(digest, &signature).is_ok())
}

fn k256(registered: &[u8; 32], digest: &[u8], signature: &[u8; 64]) -> bool {
    use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    // This crate takes the lower s only, and verifies while it recovers.
    let signature = signature.normalize_s().unwrap_or(signature);
    let ids = (0..=RecoveryId::MAX).filter_map(RecoveryId::from_byte);
    let mut keys = ids.filter_map(|id| VerifyingKey::recover_from_prehash(digest, &signature, id).ok());
    let print = |key: &VerifyingKey| key.to_encoded_point(false);
    keys.any(|key| is_registered(registered, MeterCurve::Secp256k1, print(&key).as_bytes()))
}
