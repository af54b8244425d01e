//! Interpolation over the scalar field: the weights that turn partials into a certificate, and a check that public
//! shares and group key lie on one polynomial. Evaluation points are small public integers, so nothing here is secret.

use blst::{MultiPoint as _, min_sig};
use commonware_codec::Encode as _;
use commonware_cryptography::bls12381::primitives::group::Scalar;
use commonware_math::algebra::{Additive as _, Field as _, Ring as _};

/// Bits of a scalar of the group.
const SCALAR_BITS: usize = 255;

/// Signature at x = 0 of the polynomial through `signatures` at the evaluation points `xs`.
///
/// The caller passes as many points as signatures, at least one, distinct and not 0; `None` otherwise.
pub(crate) fn interpolate(xs: &[u32], signatures: &[min_sig::Signature]) -> Option<min_sig::Signature> {
    if xs.len() != signatures.len() {
        return None;
    }
    let weights = at_zero(xs)?;
    Some(signatures.mult(&little_endian(&weights), SCALAR_BITS).to_signature())
}

/// Whether `keys[i]` is the value at x = i (so `keys[0]` is the group key) of one polynomial of degree < `threshold`.
///
/// Multiplies with a random word of the dual code (SCRAPE's test): the sum vanishes for such keys and, but for a chance
/// of 1 in the group order, for no others. The word is drawn from `seed`, which must commit to all the keys.
pub(crate) fn one_polynomial(keys: &[min_sig::PublicKey], threshold: u32, seed: &[u8; 32]) -> bool {
    let count = keys.len();
    let (Ok(points), Ok(threshold)) = (u32::try_from(count), usize::try_from(threshold)) else {
        return false;
    };
    if threshold == 0 || threshold >= count {
        return false;
    }
    let xs: Vec<u32> = (0..points).collect();
    let Some(duals) = denominators(&xs) else { return false };
    let word: Vec<Scalar> = (0..count - threshold)
        .map(|k| Scalar::map(b"plumbline/sharing/v1", &[seed.as_slice(), &k.to_be_bytes()].concat()))
        .collect();
    let weights: Vec<Scalar> = xs.iter().zip(duals).map(|(x, dual)| horner(&word, *x) * &dual).collect();
    let sum: blst::blst_p2 = keys.mult(&little_endian(&weights), SCALAR_BITS).into();
    sum == blst::blst_p2::default()
}

/// Coefficients, constant first, of the polynomial whose value at x = i is `values[i]`. `None` if there is none.
pub(crate) fn coefficients(values: &[min_sig::PublicKey]) -> Option<Vec<min_sig::PublicKey>> {
    let xs: Vec<u32> = (0..u32::try_from(values.len()).ok()?).collect();
    let inverses = denominators(&xs).filter(|_| !xs.is_empty())?;
    // Row i: the coefficients of Π_{j≠i} (x − j) / Π_{j≠i} (i − j), by dividing Π (x − j) by (x − i).
    let whole = xs.iter().fold(vec![Scalar::one()], |product, x| times_root(&product, *x));
    let rows: Vec<Vec<Scalar>> = xs
        .iter()
        .zip(inverses)
        .map(|(x, inverse)| without_root(&whole, *x).into_iter().map(|c| c * &inverse).collect())
        .collect();
    let coefficient = |k: usize| -> Option<min_sig::PublicKey> {
        let weights: Option<Vec<Scalar>> = rows.iter().map(|row| row.get(k).cloned()).collect();
        Some(values.mult(&little_endian(&weights?), SCALAR_BITS).to_public_key())
    };
    (0..values.len()).map(coefficient).collect()
}

/// The polynomial times (x − root); constant first.
fn times_root(polynomial: &[Scalar], root: u32) -> Vec<Scalar> {
    let root = Scalar::from_u64(u64::from(root));
    let shifted = core::iter::once(Scalar::zero()).chain(polynomial.iter().cloned());
    let scaled = polynomial.iter().cloned().map(|c| -(c * &root)).chain([Scalar::zero()]);
    shifted.zip(scaled).map(|(a, b)| a + &b).collect()
}

/// The polynomial divided by (x − root), which divides it; constant first.
fn without_root(polynomial: &[Scalar], root: u32) -> Vec<Scalar> {
    let root = Scalar::from_u64(u64::from(root));
    let mut carry = Scalar::zero();
    let mut quotient: Vec<Scalar> = polynomial
        .iter()
        .skip(1)
        .rev()
        .map(|c| {
            carry = carry.clone() * &root + c;
            carry.clone()
        })
        .collect();
    quotient.reverse();
    quotient
}

/// Lagrange weights at 0: λᵢ = Π_{j≠i} xⱼ / (xⱼ − xᵢ). `None` if a point is 0 or repeated, or there is none.
fn at_zero(xs: &[u32]) -> Option<Vec<Scalar>> {
    if xs.is_empty() || xs.contains(&0) {
        return None;
    }
    let all = product(xs.iter().map(|x| u64::from(*x)));
    let weighted = differences(xs)?.into_iter().zip(xs).map(|(d, x)| d * &Scalar::from_u64(u64::from(*x))).collect();
    // differences() multiplies (xᵢ − xⱼ): each of the n − 1 factors has the other sign.
    let flip = xs.len().is_multiple_of(2);
    Some(invert_all(weighted).into_iter().map(|w| if flip { -(w * &all) } else { w * &all }).collect())
}

/// 1 / Π_{j≠i} (xᵢ − xⱼ) for every i. `None` if two points are equal.
fn denominators(xs: &[u32]) -> Option<Vec<Scalar>> {
    differences(xs).map(invert_all)
}

/// Π_{j≠i} (xᵢ − xⱼ) for every i. `None` if two points are equal.
fn differences(xs: &[u32]) -> Option<Vec<Scalar>> {
    xs.iter()
        .enumerate()
        .map(|(i, xi)| {
            let others = || xs.iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, xj)| xj);
            if others().any(|xj| xj == xi) {
                return None;
            }
            let size = product(others().map(|xj| u64::from(xi.abs_diff(*xj))));
            let negative = others().filter(|xj| *xj > xi).count() % 2 == 1;
            Some(if negative { -size } else { size })
        })
        .collect()
}

/// Product of small factors, gathered into machine words first: field multiplications are what costs.
fn product(factors: impl Iterator<Item = u64>) -> Scalar {
    let (total, word) = factors.fold((Scalar::one(), 1u64), |(total, word), factor| match word.checked_mul(factor) {
        Some(word) => (total, word),
        None => (total * &Scalar::from_u64(word), factor),
    });
    total * &Scalar::from_u64(word)
}

/// Inverts all values (none zero) with a single field inversion.
fn invert_all(values: Vec<Scalar>) -> Vec<Scalar> {
    let mut running = Scalar::one();
    let mut before = Vec::with_capacity(values.len());
    for value in &values {
        before.push(running.clone());
        running *= value;
    }
    let mut inverse = running.inv();
    let mut out = Vec::with_capacity(values.len());
    for (value, prefix) in values.iter().zip(before).rev() {
        out.push(prefix * &inverse);
        inverse *= value;
    }
    out.reverse();
    out
}

/// Value at `x` of the polynomial with these coefficients, constant first.
pub(crate) fn horner(coefficients: &[Scalar], x: u32) -> Scalar {
    let x = Scalar::from_u64(u64::from(x));
    coefficients.iter().rev().fold(Scalar::zero(), |value, c| value * &x + c)
}

/// Scalars as blst's multi-scalar multiplication takes them: 32 bytes each, little-endian, one after the other.
fn little_endian(scalars: &[Scalar]) -> Vec<u8> {
    scalars
        .iter()
        .flat_map(|scalar| {
            let mut bytes = scalar.encode().to_vec();
            bytes.reverse();
            bytes
        })
        .collect()
}

#[cfg(test)]
mod tests;
