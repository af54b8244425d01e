//! What the reference lets pass, shown, and our refusal of each.

use aggregator::{Error, GroupKey, Partial, Share, Sharing, Signature, quorum};
use differential::{big_endian, hashed_to_g2, polynomial};
use threshold_crypto::ff::Field as _;
use threshold_crypto::poly::Poly;
use threshold_crypto::{Fr, PublicKey, SecretKeySet, Signature as TheirSignature, SignatureShare};

const MESSAGE: [u8; 32] = [7; 32];
const DST_G2: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";
const N: u32 = 4;

fn committee(seed: u64) -> (Sharing, Vec<Share>) {
    let poly = polynomial(quorum(N), seed);
    let share = |i: u32, x: u32| Share::from_bytes(i, &big_endian(&poly.evaluate(u64::from(x)))).expect("a scalar");
    let shares: Vec<Share> = (0..N).map(|i| share(i, Sharing::point(i))).collect();
    let keys = shares.iter().map(Share::public_share).collect();
    (Sharing::new(share(0, 0).public_share(), keys).expect("one polynomial"), shares)
}

#[test]
fn a_repeated_index() {
    // The reference combines to a wrong signature and calls it good.
    let set = SecretKeySet::from(polynomial(quorum(N), 1));
    let hash = hashed_to_g2(&MESSAGE, DST_G2).expect("a point");
    let theirs: Vec<SignatureShare> = (0..3u64).map(|i| set.secret_key_share(i).sign_g2(hash)).collect();
    let repeated = [(0u64, &theirs[0]), (0, &theirs[0]), (1, &theirs[1])];
    let combined = set.public_keys().combine_signatures(repeated).expect("no complaint");
    assert!(!set.public_keys().public_key().verify_g2(&combined, hash));

    let (sharing, shares) = committee(1);
    let partials: Vec<Partial> = [0, 0, 1].map(|i: usize| shares[i].sign(&MESSAGE)).to_vec();
    assert_eq!(sharing.recover(&MESSAGE, &partials), Err(Error::Duplicate(0)));
    assert_eq!(sharing.culprits(&MESSAGE, &partials), Err(Error::Duplicate(0)));
    // Also when enough good ones are there beside it, and when the two differ.
    let mut more: Vec<Partial> = shares.iter().map(|share| share.sign(&MESSAGE)).collect();
    more.push(Partial { index: 3, ..shares[0].sign(&MESSAGE) });
    assert_eq!(sharing.recover(&MESSAGE, &more), Err(Error::Duplicate(3)));
}

#[test]
fn infinity() {
    let mut key = [0; 48];
    let mut signature = [0; 96];
    (key[0], signature[0]) = (0xc0, 0xc0);
    // The reference decodes both points at infinity, and the pair verifies every message.
    let their_key = PublicKey::from_bytes(key).expect("no complaint");
    let their_signature = TheirSignature::from_bytes(signature).expect("no complaint");
    assert!(their_key.verify(&their_signature, b"anything"));
    assert!(their_key.verify(&their_signature, b"anything else"));

    // Ours are the other way round: signatures of 48 bytes, keys of 96.
    assert_eq!(Signature::from_bytes(&key), Err(Error::Infinity));
    assert_eq!(GroupKey::from_bytes(&signature), Err(Error::Infinity));
    assert_eq!(GroupKey::from_eip2537(&[0; 256]), Err(Error::Infinity));
    assert!(Signature::from_onchain(&[0; 96]).is_err());
}

#[test]
fn an_index_of_minus_one() {
    // The reference's "share −1" is the polynomial at 0: the master secret itself.
    let poly = polynomial(quorum(N), 2);
    let master = big_endian(&poly.evaluate(0u64));
    let set = SecretKeySet::from(poly);
    let leaked = set.secret_key_share(-1i32).public_key_share().to_bytes();
    assert_eq!(leaked, set.public_keys().public_key().to_bytes());
    assert_eq!(leaked, blst::min_pk::SecretKey::from_bytes(&master).expect("a scalar").sk_to_pk().to_bytes());

    // Ours are unsigned, the point never wraps to 0, and no member has such an index.
    assert_eq!(Sharing::point(u32::MAX), u32::MAX);
    let (sharing, shares) = committee(2);
    for index in [N, u32::MAX] {
        assert_eq!(sharing.public_share(index), Err(Error::Index { index, n: N }));
        let mut partials: Vec<Partial> = shares.iter().take(2).map(|share| share.sign(&MESSAGE)).collect();
        // A signature by the master key itself, in the name of such a member.
        let stolen = Share::from_bytes(index, &master).expect("a scalar").sign(&MESSAGE);
        partials.push(stolen);
        assert_eq!(sharing.recover(&MESSAGE, &partials), Err(Error::Index { index, n: N }));
    }
}

#[test]
fn a_scalar_out_of_range() {
    const ORDER: [u8; 32] = [
        0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1, 0xd8, 0x05, 0x53, 0xbd,
        0xa4, 0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01,
    ];
    let mut below = ORDER;
    below[31] = 0;
    // The order is the reference's: −1 is the largest scalar.
    let mut minus_one = Fr::one();
    minus_one.negate();
    assert_eq!(big_endian(&minus_one), below);
    assert!(Share::from_bytes(0, &below).is_ok());
    for refused in [[0; 32], ORDER, [0xff; 32]] {
        assert!(matches!(Share::from_bytes(0, &refused), Err(Error::Scalar)));
    }
}

#[test]
fn points_on_a_polynomial_of_lower_degree() {
    // The reference panics when a sample already lies on the polynomial through the ones before it.
    let samples = [(1u64, 5u64), (2, 5), (3, 5)];
    let quiet = std::panic::catch_unwind(|| Poly::interpolate(samples).degree());
    assert!(quiet.is_err());

    // A sharing of a constant polynomial is such a case: equal keys everywhere, and ours recovers from it.
    let mut secret = [0; 32];
    secret[31] = 5;
    let shares: Vec<Share> = (0..N).map(|i| Share::from_bytes(i, &secret).expect("a scalar")).collect();
    let keys = shares.iter().map(Share::public_share).collect();
    let sharing = Sharing::new(shares[0].public_share(), keys).expect("degree 0 is below t");
    let partials: Vec<Partial> = shares.iter().map(|share| share.sign(&MESSAGE)).collect();
    assert_eq!(sharing.recover(&MESSAGE, &partials), Ok(partials[0].signature));
}
