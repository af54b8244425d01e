//! A trusted dealer, for tests only (feature `test-dealer`): whoever runs it knows the group secret.
//! Same seed, same keys, on every machine and version: golden files are made with it.

use commonware_codec::Encode as _;
use commonware_cryptography::bls12381::primitives::group::Scalar;

use crate::{Error, GroupKey, MAX_MEMBERS, Share, Sharing, lagrange, quorum};

/// Deals a key to `n` members from a seed.
///
/// # Panics
/// If `n` is 0 or above [`MAX_MEMBERS`]: this is test code.
#[must_use]
pub fn deal_for_tests(n: u32, seed: u64) -> (Sharing, Vec<Share>) {
    assert!((1..=MAX_MEMBERS).contains(&n), "1 to {MAX_MEMBERS} members, not {n}");
    match deal(n, seed) {
        Ok(dealt) => dealt,
        Err(error) => panic!("the test dealer failed: {error}"),
    }
}

fn deal(n: u32, seed: u64) -> Result<(Sharing, Vec<Share>), Error> {
    let polynomial: Vec<Scalar> = (0..quorum(n))
        .map(|k| Scalar::map(b"plumbline/test-dealer/v1", &[seed.to_be_bytes().as_slice(), &k.to_be_bytes()].concat()))
        .collect();
    let at = |x: u32| {
        let value = lagrange::horner(&polynomial, x).encode();
        <[u8; 32]>::try_from(&*value).map_err(|_| Error::Scalar)
    };
    let group: GroupKey = Share::from_bytes(0, &at(0)?)?.public_share();
    let shares = (0..n).map(|i| Share::from_bytes(i, &at(Sharing::point(i))?)).collect::<Result<Vec<_>, _>>()?;
    let sharing = Sharing::new(group, shares.iter().map(Share::public_share).collect())?;
    Ok((sharing, shares))
}
