//! From a digest and a signature to the address that signed: the check that a node makes most often.
//! Leaves out: whether that address is a member's (`wire::Statement`).

use alloy_primitives::{Address, B256};
use k256::ecdsa::{Signature, VerifyingKey};
use k256::elliptic_curve::ops::{LinearCombination, Reduce};
use k256::elliptic_curve::point::DecompressPoint;
use k256::elliptic_curve::subtle::Choice;
use k256::{AffinePoint, ProjectivePoint, Scalar, U256};

/// Who signed `digest`, or `None` for a bad or malleable (high s) signature, or a v other than 27 and 28: whatever counts
/// here must count on chain too, or a member could sign what nobody can hold against it.
#[must_use]
pub fn recover_signer(digest: &B256, signature: &[u8; 65]) -> Option<Address> {
    #[cfg(feature = "shared-checks")]
    return crate::shared_checks::signer(digest, signature, || recover(digest, signature));
    #[cfg(not(feature = "shared-checks"))]
    recover(digest, signature)
}

fn recover(digest: &B256, signature: &[u8; 65]) -> Option<Address> {
    let [rs @ .., v] = signature;
    let odd = match v {
        27 => 0,
        28 => 1,
        _ => return None,
    };
    let signature = Signature::from_slice(rs).ok().filter(|signature| signature.normalize_s().is_none())?;
    public_key(digest, &signature, Choice::from(odd)).map(|key| Address::from_public_key(&key))
}

/// SEC 1 §4.1.6: Q = r⁻¹(sR − zG), where R is the point whose x is r. That the signature then verifies under Q follows
/// from the equation, so the second multiplication that libraries spend on it is left out; and as r is below the group
/// order, x = r + order (v 29 and 30) cannot be meant.
fn public_key(digest: &B256, signature: &Signature, odd: Choice) -> Option<VerifyingKey> {
    let (r, s) = signature.split_scalars();
    let nonce = Option::<AffinePoint>::from(AffinePoint::decompress(&r.to_bytes(), odd))?;
    let z = <Scalar as Reduce<U256>>::reduce_bytes(&digest.0.into());
    let inverse = Option::<Scalar>::from(r.invert())?;
    let (of_generator, of_nonce) = (-(inverse * z), inverse * *s);
    let key = ProjectivePoint::lincomb(&ProjectivePoint::GENERATOR, &of_generator, &nonce.into(), &of_nonce);
    // Infinity, which nobody's key is, is refused here.
    VerifyingKey::from_affine(key.to_affine()).ok()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;
    use k256::elliptic_curve::point::AffineCoordinates;

    use super::*;
    use crate::typed::MemberKey;

    /// What the library says, which verifies once more.
    fn by_the_library(digest: &B256, signature: &[u8; 65]) -> Option<Address> {
        let [.., v] = signature;
        let parsed = alloy_primitives::Signature::from_raw_array(signature).ok()?;
        let sound = matches!(v, 27 | 28) && parsed.normalize_s().is_none();
        parsed.recover_address_from_prehash(digest).ok().filter(|_| sound)
    }

    #[test]
    fn says_what_the_library_says() {
        let order = k256::Scalar::ZERO - k256::Scalar::ONE;
        let edges =
            [[0; 32], [0xff; 32], order.to_bytes().into(), B256::with_last_byte(1).0, B256::with_last_byte(5).0];
        let mut signers = 0;
        for round in 0..64u8 {
            let (digest, Some(key)) = (keccak256([round]), MemberKey::from_bytes(&[round + 1; 32])) else {
                unreachable!("a scalar below the order")
            };
            let good = key.sign(&digest);
            assert_eq!(recover_signer(&digest, &good), Some(key.address()));
            let mut cases = vec![good];
            for (place, edge) in edges.iter().flat_map(|edge| [(0, edge), (32, edge)]) {
                let mut other = good;
                other[place..place + 32].copy_from_slice(edge);
                cases.push(other);
            }
            for place in [0, 7, 31, 32, 40, 63, 64] {
                let mut other = good;
                other[place] ^= 1 << (round % 8);
                cases.push(other);
            }
            for case in cases {
                assert_eq!(recover(&digest, &case), by_the_library(&digest, &case), "{case:02x?}");
                signers += usize::from(recover(&digest, &case).is_some());
            }
        }
        assert!(signers > 200, "{signers}: wrong signatures too give keys, those of nobody");
    }

    #[test]
    fn the_key_at_infinity_is_nobodys() {
        // sR = zG: with R = G, whose x is below the order, and s = z.
        let r: [u8; 32] = AffinePoint::GENERATOR.x().into();
        for odd in [27, 28] {
            let z = B256::with_last_byte(9);
            let mut signature = [0; 65];
            signature[..32].copy_from_slice(&r);
            signature[32..64].copy_from_slice(z.as_slice());
            signature[64] = odd;
            let found = recover(&z, &signature);
            assert_eq!(found, by_the_library(&z, &signature), "v = {odd}");
            assert_eq!(found.is_none(), odd == 27, "the generator's y is even");
        }
    }
}
