//! Properties of recovery, of the sharing's encoding, and of the tally.

use aggregator::tally::{Outcome, Tally};
use aggregator::{DST, Error, GroupKey, Partial, Share, Sharing, deal_for_tests, faults, quorum};
use proptest::prelude::*;

const MESSAGE: [u8; 32] = [0x5a; 32];
const OTHER: [u8; 32] = [0xa5; 32];

fn partials(shares: &[Share]) -> Vec<Partial> {
    shares.iter().map(|share| share.sign(&MESSAGE)).collect()
}

#[test]
fn committee_numbers() {
    for (n, f, q) in [(1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 1, 3), (6, 1, 5), (7, 2, 5), (31, 10, 21), (100, 33, 67)] {
        assert_eq!((faults(n), quorum(n)), (f, q));
    }
    assert_eq!((faults(0), quorum(0)), (0, 0));
    for n in 1..=256 {
        assert!(n > 3 * faults(n) && n <= 3 * faults(n) + 3);
        assert!(2 * quorum(n) > n + faults(n), "two quorums of {n} may share no honest member");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_threshold_of_n_gives_the_same_certificate(
        (n, seed, order) in (1u32..12, any::<u64>()).prop_flat_map(|(n, seed)| {
            let order: Vec<usize> = (0..n as usize).collect();
            (Just(n), Just(seed), Just(order).prop_shuffle())
        }),
    ) {
        let (sharing, shares) = deal_for_tests(n, seed);
        let all = partials(&shares);
        let shuffled: Vec<Partial> = order.iter().map(|i| all[*i]).collect();
        let t = sharing.threshold as usize;
        let certificate = sharing.recover(&MESSAGE, &all).expect("all of them");
        prop_assert_eq!(sharing.recover(&MESSAGE, &shuffled[..t]), Ok(certificate));
        prop_assert_eq!(sharing.group.verify(&MESSAGE, &certificate), Ok(()));
        prop_assert_eq!(sharing.group.verify(&OTHER, &certificate), Err(Error::Signature));
        let short = sharing.recover(&MESSAGE, &shuffled[..t - 1]);
        prop_assert_eq!(short, Err(Error::TooFew { have: sharing.threshold - 1, need: sharing.threshold }));
    }

    #[test]
    fn every_wrong_partial_is_named(n in 4u32..11, seed: u64, wrong in any::<u16>()) {
        let (sharing, shares) = deal_for_tests(n, seed);
        let wrong: Vec<u32> = (0..n).filter(|i| wrong >> i & 1 == 1).collect();
        let given: Vec<Partial> =
            shares.iter().map(|s| s.sign(if wrong.contains(&s.index) { &OTHER } else { &MESSAGE })).collect();
        prop_assert_eq!(sharing.culprits(&MESSAGE, &given), Ok(wrong.clone()));
        let recovered = sharing.recover(&MESSAGE, &given);
        if wrong.len() as u32 <= faults(n) {
            let certificate = recovered.expect("enough good ones");
            prop_assert_eq!(sharing.group.verify(&MESSAGE, &certificate), Ok(()));
        } else {
            let error = recovered.expect_err("too few good ones");
            prop_assert_eq!(error.culprits(), wrong);
        }
    }

    #[test]
    fn a_changed_byte_never_decodes_to_another_sharing(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (sharing, _) = deal_for_tests(4, 9);
        let mut bytes = sharing.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Sharing::decode(&bytes).is_err());
    }
}

#[test]
fn threshold_minus_one_interpolates_to_something_else() {
    // Recover with a smaller threshold than the polynomial has: the gate is the verification, not the count.
    let (mut sharing, shares) = deal_for_tests(4, 1);
    sharing.threshold -= 1;
    let result = sharing.recover(&MESSAGE, &partials(&shares[..2]));
    assert_eq!(result, Err(Error::Signature));
}

#[test]
fn duplicates_strangers_and_mixtures_are_refused() {
    let (sharing, shares) = deal_for_tests(4, 2);
    let all = partials(&shares);
    assert_eq!(sharing.recover(&MESSAGE, &[all[0], all[1], all[0]]), Err(Error::Duplicate(0)));
    let stranger = Partial { index: 4, signature: all[0].signature };
    assert_eq!(sharing.recover(&MESSAGE, &[all[0], all[1], stranger]), Err(Error::Index { index: 4, n: 4 }));
    let wrapped = Partial { index: u32::MAX, signature: all[0].signature };
    assert_eq!(sharing.recover(&MESSAGE, &[all[0], all[1], wrapped]), Err(Error::Index { index: u32::MAX, n: 4 }));
    assert_eq!(sharing.recover(&MESSAGE, &[]), Err(Error::TooFew { have: 0, need: 3 }));
    // A partial of one member under another's name.
    let swapped = Partial { index: 2, signature: all[3].signature };
    let error = sharing.recover(&MESSAGE, &[all[0], all[1], swapped]).expect_err("two good ones are too few");
    assert_eq!(error, Error::Culprits(vec![2]));
    // Shares of two keys do not mix.
    let (_, others) = deal_for_tests(4, 3);
    let mixed = [all[0], all[1], others[2].sign(&MESSAGE)];
    assert_eq!(sharing.recover(&MESSAGE, &mixed), Err(Error::Culprits(vec![2])));
}

#[test]
fn a_large_committee_finds_its_one_culprit() {
    let (sharing, shares) = deal_for_tests(100, 4);
    assert_eq!(sharing.threshold, 67);
    let mut all = partials(&shares);
    all[41] = Partial { index: 41, ..shares[41].sign(&OTHER) };
    assert_eq!(sharing.culprits(&MESSAGE, &all), Ok(vec![41]));
    let certificate = sharing.recover(&MESSAGE, &all).expect("99 good ones");
    all.remove(41);
    assert_eq!(sharing.recover(&MESSAGE, &all[32..]), Ok(certificate), "the last 67 of the good ones");
    assert_eq!(Sharing::decode(&sharing.encode()), Ok(sharing));
}

#[test]
fn the_certificate_is_plain_blst_min_sig() {
    let (sharing, shares) = deal_for_tests(7, 5);
    let certificate = sharing.recover(&MESSAGE, &partials(&shares)).expect("all of them");
    let key = blst::min_sig::PublicKey::key_validate(&sharing.group.to_bytes()).expect("a key");
    let signature = blst::min_sig::Signature::sig_validate(&certificate.to_bytes(), true).expect("a signature");
    let tag = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    assert_eq!(DST, tag);
    assert_eq!(signature.verify(true, &MESSAGE, tag, &[], &key, true), blst::BLST_ERROR::BLST_SUCCESS);
}

#[test]
fn sharing_decode_is_strict() {
    let (sharing, _) = deal_for_tests(4, 6);
    let bytes = sharing.encode();
    assert_eq!(Sharing::decode(&bytes), Ok(sharing.clone()));
    assert!(Sharing::decode(&[]).is_err());
    assert!(Sharing::decode(&bytes[..bytes.len() - 1]).is_err());
    let canonical = Err(Error::Sharing("not the canonical encoding"));
    assert_eq!(Sharing::decode(&[bytes.as_slice(), &[0]].concat()), canonical);
    // The same array with a longer head: 98 05 instead of 85.
    assert_eq!(Sharing::decode(&[&[0x98, 5], &bytes[1..]].concat()), canonical);
    let mut version = bytes.clone();
    version[1] = 2;
    assert_eq!(Sharing::decode(&version), Err(Error::Sharing("unknown version")));
    let misfit = Error::Sharing("public shares do not belong to the group key");
    let mut swapped = sharing.public_shares.clone();
    swapped.swap(0, 1);
    assert_eq!(Sharing::new(sharing.group, swapped), Err(misfit.clone()));
    let (other, _) = deal_for_tests(4, 7);
    assert_eq!(Sharing::new(other.group, sharing.public_shares.clone()), Err(misfit));
    assert!(Sharing::new(sharing.group, Vec::new()).is_err());
    assert!(Sharing::new(sharing.group, vec![sharing.group; 257]).is_err());
}

#[test]
fn share_leaf_is_the_abi_encoding() {
    let (sharing, _) = deal_for_tests(4, 8);
    let leaf = sharing.share_leaf(3).expect("member 3");
    assert_eq!(leaf.len(), 352);
    let word = |at: usize| leaf[32 * at..32 * (at + 1)].to_vec();
    let number = |value: u16| [[0; 30].as_slice(), &value.to_be_bytes()].concat();
    assert_eq!((word(0), word(1), word(2)), (number(3), number(64), number(256)));
    assert_eq!(leaf[96..], sharing.public_shares[3].to_eip2537());
    assert_eq!(sharing.share_leaf(4), Err(Error::Index { index: 4, n: 4 }));
}

#[test]
fn a_share_survives_storage_and_hides_in_logs() {
    let (sharing, shares) = deal_for_tests(4, 10);
    let again = Share::from_bytes(2, &shares[2].to_bytes_secret()).expect("its own bytes");
    assert_eq!(again.public_share(), sharing.public_shares[2]);
    assert_eq!(again.sign(&MESSAGE), shares[2].sign(&MESSAGE));
    let shown = format!("{again:?}");
    assert_eq!(shown, "Share { index: 2, .. }");
    assert_eq!(GroupKey::from_bytes(&sharing.group.to_bytes()), Ok(sharing.group));
}

#[test]
fn tally_counts_first_partials_and_recovers_once() {
    let (sharing, shares) = deal_for_tests(4, 11);
    let mut tally = Tally::new();
    assert!(tally.is_empty());
    assert_eq!(tally.add(shares[0].sign(&MESSAGE)), Outcome::New);
    assert_eq!(tally.add(shares[0].sign(&MESSAGE)), Outcome::Duplicate);
    assert_eq!(tally.add(shares[0].sign(&OTHER)), Outcome::Conflict);
    assert_eq!(tally.add(shares[1].sign(&MESSAGE)), Outcome::New);
    assert_eq!(tally.len(), 2);
    assert_eq!(tally.try_recover(&sharing, &MESSAGE), None);
    // Member 2 is wrong: the attempt fails by name, once, and the tally goes on.
    assert_eq!(tally.add(shares[2].sign(&OTHER)), Outcome::New);
    assert_eq!(tally.try_recover(&sharing, &MESSAGE), Some(Err(Error::Culprits(vec![2]))));
    assert_eq!(tally.try_recover(&sharing, &MESSAGE), None);
    assert_eq!((tally.culprits(), tally.len()), (vec![2], 2));
    assert_eq!(tally.add(shares[2].sign(&MESSAGE)), Outcome::Conflict);
    assert_eq!(tally.add(shares[3].sign(&MESSAGE)), Outcome::New);
    let certificate = tally.try_recover(&sharing, &MESSAGE).expect("enough").expect("good");
    assert_eq!(sharing.group.verify(&MESSAGE, &certificate), Ok(()));
    assert_eq!(tally.certificate(), Some(&certificate));
    assert_eq!(tally.try_recover(&sharing, &MESSAGE), Some(Ok(certificate)));
}

#[test]
fn tally_recovers_past_a_culprit_in_one_go() {
    let (sharing, shares) = deal_for_tests(4, 12);
    let mut tally = Tally::new();
    tally.add(shares[0].sign(&OTHER));
    for share in &shares[1..] {
        tally.add(share.sign(&MESSAGE));
    }
    let certificate = tally.try_recover(&sharing, &MESSAGE).expect("enough").expect("three good ones");
    assert_eq!(tally.culprits(), [0]);
    assert_eq!(sharing.recover(&MESSAGE, &partials(&shares)), Ok(certificate));
}

#[test]
fn tally_does_not_choke_on_a_stranger() {
    let (sharing, shares) = deal_for_tests(4, 13);
    let mut tally = Tally::new();
    for share in &shares[..2] {
        tally.add(share.sign(&MESSAGE));
    }
    tally.add(Partial { index: 9, signature: shares[2].sign(&MESSAGE).signature });
    assert_eq!(tally.try_recover(&sharing, &MESSAGE), None, "a stranger does not count");
    tally.add(shares[3].sign(&MESSAGE));
    assert!(tally.try_recover(&sharing, &MESSAGE).expect("enough").is_ok());
}
