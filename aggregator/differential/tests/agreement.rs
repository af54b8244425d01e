//! One polynomial, two libraries: keys, partials and certificates must be the same bytes.

use aggregator::{DST, GroupKey, Partial, Share, Sharing, faults, quorum};
use differential::{big_endian, g1, g2, hashed_to_g2, interpolate_g1, key_in_g2, multiply_g1, polynomial, verifies};
use threshold_crypto::poly::Poly;
use threshold_crypto::{G1Affine, SecretKeySet, SignatureShare};

const MESSAGE: [u8; 32] = *b"the digest of some report header";
/// The suite of RFC 9380 with signatures in G2.
const DST_G2: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";

fn secret(poly: &Poly, x: u32) -> [u8; 32] {
    big_endian(&poly.evaluate(u64::from(x)))
}

/// The committee of a polynomial of the reference, through our public functions only.
fn ours(poly: &Poly, n: u32) -> (Sharing, Vec<Share>) {
    let group = Share::from_bytes(0, &secret(poly, 0)).expect("a scalar").public_share();
    let shares: Vec<Share> =
        (0..n).map(|i| Share::from_bytes(i, &secret(poly, Sharing::point(i))).expect("a scalar")).collect();
    let sharing = Sharing::new(group, shares.iter().map(Share::public_share).collect());
    (sharing.expect("the reference's shares lie on one polynomial"), shares)
}

/// The message hashed to G1, as our partials sign it.
fn hashed() -> G1Affine {
    let mut one = [0; 32];
    one[31] = 1;
    g1(&Share::from_bytes(0, &one).expect("one").sign(&MESSAGE).signature.to_bytes()).expect("a point")
}

#[test]
fn keys_partials_and_certificate_in_our_arrangement() {
    for (n, seed) in [(1, 1), (4, 2), (5, 3), (7, 4), (10, 5)] {
        let poly = polynomial(quorum(n), seed);
        let (sharing, shares) = ours(&poly, n);
        assert_eq!(sharing.group.to_bytes().to_vec(), key_in_g2(&poly.evaluate(0u64)), "group key, n = {n}");
        let mut partials = Vec::new();
        for share in &shares {
            let value = poly.evaluate(u64::from(Sharing::point(share.index)));
            assert_eq!(share.public_share().to_bytes().to_vec(), key_in_g2(&value), "public share, n = {n}");
            let partial = share.sign(&MESSAGE);
            assert_eq!(partial.signature.to_bytes().to_vec(), multiply_g1(&hashed(), &value), "partial, n = {n}");
            partials.push(partial);
        }
        let certificate = sharing.recover(&MESSAGE, &partials).expect("recovers").to_bytes();
        assert_eq!(certificate.to_vec(), multiply_g1(&hashed(), &poly.evaluate(0u64)), "certificate, n = {n}");
        let key = g2(&sharing.group.to_bytes()).expect("a key");
        assert!(verifies(hashed(), key, g1(&certificate).expect("a point")), "pairing, n = {n}");
        let share = g1(&partials[0].signature.to_bytes()).expect("a point");
        assert_eq!(verifies(hashed(), key, share), n == 1, "one partial is no certificate, n = {n}");
    }
}

#[test]
fn every_quorum_of_seven_interpolates_to_the_same_certificate() {
    let (n, t) = (7u32, quorum(7));
    let poly = polynomial(t, 11);
    let (sharing, shares) = ours(&poly, n);
    let all: Vec<Partial> = shares.iter().map(|share| share.sign(&MESSAGE)).collect();
    let mut sets = 0;
    for chosen in (0..1u32 << n).filter(|chosen| chosen.count_ones() == t) {
        let mut partials: Vec<Partial> = all.iter().filter(|p| chosen >> p.index & 1 == 1).copied().collect();
        partials.reverse(); // any order
        let points: Vec<(u32, G1Affine)> =
            partials.iter().map(|p| (Sharing::point(p.index), g1(&p.signature.to_bytes()).expect("a point"))).collect();
        let certificate = sharing.recover(&MESSAGE, &partials).expect("recovers");
        assert_eq!(certificate.to_bytes().to_vec(), interpolate_g1(&points), "members {chosen:#b}");
        sets += 1;
    }
    assert_eq!((sets, faults(n)), (21, 2));
}

#[test]
fn sixty_seven_of_a_hundred() {
    let poly = polynomial(quorum(100), 100);
    let (sharing, shares) = ours(&poly, 100);
    // The last 67, so that the first t by index are not the set.
    let partials: Vec<Partial> = shares.iter().skip(33).map(|share| share.sign(&MESSAGE)).collect();
    let certificate = sharing.recover(&MESSAGE, &partials).expect("recovers").to_bytes();
    assert_eq!(certificate.to_vec(), multiply_g1(&hashed(), &poly.evaluate(0u64)));
    let key = g2(&sharing.group.to_bytes()).expect("a key");
    assert!(verifies(hashed(), key, g1(&certificate).expect("a point")));
}

#[test]
fn shares_of_another_degree_are_no_sharing() {
    let (n, t) = (4, quorum(4));
    for threshold in [t + 1, t + 2] {
        let poly = polynomial(threshold, 12);
        let key = |x| -> GroupKey { Share::from_bytes(0, &secret(&poly, x)).expect("a scalar").public_share() };
        assert!(Sharing::new(key(0), (1..=n).map(key).collect()).is_err(), "degree {threshold} − 1");
    }
}

/// The arrangement that `threshold_crypto` was made for (keys in G1), given points hashed by RFC 9380: then its shares,
/// its partials and its combination are those of any standard library.
#[test]
fn the_reference_agrees_with_blst_in_its_own_arrangement() {
    let (n, t) = (7u32, quorum(7));
    let poly = polynomial(t, 13);
    let master = blst::min_pk::SecretKey::from_bytes(&secret(&poly, 0)).expect("a scalar");
    let members: Vec<blst::min_pk::SecretKey> =
        (1..=n).map(|x| blst::min_pk::SecretKey::from_bytes(&secret(&poly, x)).expect("a scalar")).collect();
    let set = SecretKeySet::from(poly);
    let hash = hashed_to_g2(&MESSAGE, DST_G2).expect("a point");
    let mut partials: Vec<(u64, SignatureShare)> = Vec::new();
    for (i, member) in (0u64..).zip(&members) {
        let share = set.secret_key_share(i);
        assert_eq!(share.public_key_share().to_bytes(), member.sk_to_pk().to_bytes(), "public share {i}");
        let partial = share.sign_g2(hash);
        assert_eq!(partial.to_bytes(), member.sign(&MESSAGE, DST_G2, &[]).to_bytes(), "partial {i}");
        partials.push((i, partial));
    }
    let public = set.public_keys();
    assert_eq!(public.public_key().to_bytes(), master.sk_to_pk().to_bytes());
    let combined = public.combine_signatures(partials.iter().skip(2).map(|(i, p)| (*i, p))).expect("combines");
    assert_eq!(combined.to_bytes(), master.sign(&MESSAGE, DST_G2, &[]).to_bytes());
    assert!(public.public_key().verify_g2(&combined, hash));
    // Without the standard's point it hashes in its own way: the reason why it is not in the shipped graph.
    assert!(!public.public_key().verify(&combined, MESSAGE));
    assert_ne!(DST, DST_G2);
}
