//! Our group operations done a second time by `threshold_crypto` and the pure Rust `pairing` beneath it, which share no
//! code with blst. The tests of this crate compare the two byte for byte.
//!
//! Leaves out hashing to the curve: `threshold_crypto` hashes in a way of its own (not RFC 9380), so points hashed by
//! blst are given to both sides; RFC 9380's own vectors check that hash in `aggregator`. Not for any shipped binary:
//! this arithmetic is slow, not constant-time, and rests on crates with open advisories.
#![forbid(unsafe_code)]

use sha2::{Digest as _, Sha256};
use threshold_crypto::ff::{Field as _, PrimeField as _};
use threshold_crypto::group::{CurveAffine as _, CurveProjective as _, EncodedPoint};
use threshold_crypto::pairing::Engine as _;
use threshold_crypto::pairing::bls12_381::{G1Compressed, G2Compressed};
use threshold_crypto::poly::Poly;
use threshold_crypto::{Fr, FrRepr, G1, G1Affine, G2, G2Affine, IntoFr as _, PEngine};

/// A point that the reference does not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPoint;

/// A polynomial with `threshold` coefficients below the group order, the same for the same seed.
#[must_use]
pub fn polynomial(threshold: u32, seed: u64) -> Poly {
    Poly::from((0..threshold).map(|k| scalar(seed, k)).collect::<Vec<Fr>>())
}

fn scalar(seed: u64, k: u32) -> Fr {
    let digest: [u8; 32] =
        Sha256::new().chain_update(seed.to_be_bytes()).chain_update(k.to_be_bytes()).finalize().into();
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(digest.as_chunks().0) {
        *limb = u64::from_be_bytes(*bytes);
    }
    limbs[3] &= u64::MAX >> 2; // below 2^254, so below the group order
    Fr::from_repr(FrRepr(limbs)).unwrap_or_else(|_| Fr::one())
}

/// A scalar as everybody else writes it: 32 bytes, big-endian.
#[must_use]
pub fn big_endian(scalar: &Fr) -> [u8; 32] {
    let mut out = [0; 32];
    for (bytes, limb) in out.as_chunks_mut().0.iter_mut().zip(scalar.into_repr().0.iter().rev()) {
        *bytes = limb.to_be_bytes();
    }
    out
}

/// Decodes a compressed point of G1, checking curve and subgroup.
///
/// # Errors
/// [`NotAPoint`].
pub fn g1(bytes: &[u8; 48]) -> Result<G1Affine, NotAPoint> {
    point::<G1Compressed>(bytes)
}

/// Decodes a compressed point of G2, checking curve and subgroup.
///
/// # Errors
/// [`NotAPoint`].
pub fn g2(bytes: &[u8; 96]) -> Result<G2Affine, NotAPoint> {
    point::<G2Compressed>(bytes)
}

fn point<E: EncodedPoint>(bytes: &[u8]) -> Result<E::Affine, NotAPoint> {
    let mut encoded = E::empty();
    encoded.as_mut().copy_from_slice(bytes);
    encoded.into_affine().map_err(|_| NotAPoint)
}

/// The public key of a secret scalar where keys are in G2, compressed.
#[must_use]
pub fn key_in_g2(secret: &Fr) -> Vec<u8> {
    compressed_g2(G2Affine::one().mul(secret.into_repr()))
}

/// `scalar · point`, compressed: a signature in G1 once `point` is the hashed message.
#[must_use]
pub fn multiply_g1(point: &G1Affine, scalar: &Fr) -> Vec<u8> {
    compressed_g1(point.mul(scalar.into_repr()))
}

/// The value at 0 of the polynomial through these points of G1, compressed.
#[must_use]
pub fn interpolate_g1(points: &[(u32, G1Affine)]) -> Vec<u8> {
    let xs: Vec<u32> = points.iter().map(|(x, _)| *x).collect();
    let mut sum = G1::zero();
    for (i, (_, point)) in points.iter().enumerate() {
        sum.add_assign(&point.mul(weight(&xs, i).into_repr()));
    }
    compressed_g1(sum)
}

/// The Lagrange weight of the i-th of these distinct evaluation points at 0, term by term in the reference's field:
/// the product of xⱼ / (xⱼ − xᵢ). (Its own `Poly::interpolate` panics where a sample lies on the polynomial so far.)
#[must_use]
pub fn weight(xs: &[u32], i: usize) -> Fr {
    let mut weight = Fr::one();
    for (j, x) in xs.iter().enumerate().filter(|(j, _)| *j != i) {
        let mut difference = u64::from(*x).into_fr();
        weight.mul_assign(&difference);
        difference.sub_assign(&u64::from(xs[i]).into_fr());
        debug_assert!(!difference.is_zero(), "point {j} is repeated");
        weight.mul_assign(&difference.inverse().unwrap_or_else(Fr::zero));
    }
    weight
}

/// Whether e(`signature`, generator) = e(`hashed`, `key`): verification by the reference's pairing.
#[must_use]
pub fn verifies(hashed: G1Affine, key: G2Affine, signature: G1Affine) -> bool {
    PEngine::pairing(signature, G2Affine::one()) == PEngine::pairing(hashed, key)
}

/// A message hashed to G2 by RFC 9380 under `dst`, as the reference takes it. Signing with the secret 1 does just that.
///
/// # Errors
/// [`NotAPoint`] if the two libraries do not even agree on what a point is.
pub fn hashed_to_g2(message: &[u8], dst: &[u8]) -> Result<G2Affine, NotAPoint> {
    let one = blst::min_pk::SecretKey::from_bytes(&big_endian(&Fr::one())).map_err(|_| NotAPoint)?;
    g2(&one.sign(message, dst, &[]).to_bytes())
}

fn compressed_g1(point: G1) -> Vec<u8> {
    point.into_affine().into_compressed().as_ref().to_vec()
}

fn compressed_g2(point: G2) -> Vec<u8> {
    point.into_affine().into_compressed().as_ref().to_vec()
}
