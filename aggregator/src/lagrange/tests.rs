//! Interpolation against key generations that others ran: drand's (gaps between the indices) and Obol's.

use blst::{MultiPoint as _, min_sig};

use super::{SCALAR_BITS, Scalar, at_zero, interpolate, little_endian, one_polynomial};

#[path = "../../tests/support/mod.rs"]
mod support;
use support::{hex_of, json, list};

/// Their keys are in G1, where our signatures are: interpolation does not care what a point means.
fn point(value: &serde_json::Value) -> min_sig::Signature {
    min_sig::Signature::sig_validate(&hex_of(value), true).expect("a G1 point")
}

#[test]
fn drand_groups_interpolate_across_index_gaps() {
    let Some(groups) = json("bls/drand-dkg-groups.json") else { return };
    for group in list(&groups["groups"]) {
        let coefficients: Vec<_> = list(&group["PublicKey"]["Coefficients"]).iter().map(point).collect();
        let threshold = group["Threshold"].as_u64().expect("a number") as usize;
        assert_eq!(coefficients.len(), threshold);
        let xs: Vec<u32> =
            list(&group["Nodes"]).iter().map(|node| node["Index"].as_u64().expect("a number") as u32 + 1).collect();
        let share = |x: &u32| {
            let powers: Vec<Scalar> = (0..threshold as u32)
                .scan(Scalar::from_u64(1), |power, _| {
                    let now = power.clone();
                    *power *= &Scalar::from_u64(u64::from(*x));
                    Some(now)
                })
                .collect();
            coefficients.mult(&little_endian(&powers), SCALAR_BITS).to_signature()
        };
        let shares: Vec<_> = xs.iter().map(share).collect();
        for start in 0..=xs.len() - threshold {
            let window = start..start + threshold;
            let key = interpolate(&xs[window.clone()], &shares[window.clone()]);
            assert_eq!(key.as_ref(), Some(&coefficients[0]));
            let short = start..start + threshold - 1;
            assert_ne!(interpolate(&xs[short.clone()], &shares[short]).as_ref(), Some(&coefficients[0]));
        }
    }
}

#[test]
fn obol_cluster_interpolates_from_any_three() {
    let Some(cluster) = json("bls/obol-threshold.json") else { return };
    for item in list(&cluster["items"]) {
        let group = point(&item["distributed_public_key"]);
        let shares: Vec<_> = list(&item["public_shares"]).iter().map(point).collect();
        for left_out in 0..4usize {
            let kept: Vec<usize> = (0..4).filter(|i| *i != left_out).collect();
            let xs: Vec<u32> = kept.iter().map(|i| *i as u32 + 1).collect();
            let points: Vec<_> = kept.iter().map(|i| shares[*i]).collect();
            assert_eq!(interpolate(&xs, &points), Some(group));
            assert_ne!(interpolate(&xs[..2], &points[..2]), Some(group));
        }
    }
}

#[test]
fn weights_sum_to_one_and_bad_points_are_refused() {
    for xs in [vec![1], vec![2, 1], vec![7, 3, 250], (1..=256).collect(), vec![u32::MAX, 1, 9]] {
        let weights = at_zero(&xs).expect("distinct points");
        let sum = weights.iter().fold(Scalar::from_u64(0), |sum, weight| sum + weight);
        assert_eq!(sum, Scalar::from_u64(1), "{xs:?}");
        // Σ λᵢ·xᵢ is the value at 0 of the polynomial x: zero, unless one point is too few for a line.
        let line = weights
            .iter()
            .zip(&xs)
            .fold(Scalar::from_u64(0), |sum, (weight, x)| sum + &(weight.clone() * &Scalar::from_u64(u64::from(*x))));
        assert_eq!(line == Scalar::from_u64(0), xs.len() > 1, "{xs:?}");
    }
    assert!(at_zero(&[]).is_none());
    assert!(at_zero(&[0, 1]).is_none());
    assert!(at_zero(&[1, 2, 1]).is_none());
    assert!(interpolate(&[1, 2], &[]).is_none());
}

#[test]
fn degree_test_tells_degrees_apart() {
    let polynomial: Vec<Scalar> = (1..=3).map(|i| Scalar::map(b"test", &[i])).collect();
    let keys: Vec<min_sig::PublicKey> = (0..6)
        .map(|x| {
            use commonware_codec::Encode as _;
            let bytes = super::horner(&polynomial, x).encode();
            min_sig::SecretKey::from_bytes(&bytes).expect("a scalar").sk_to_pk()
        })
        .collect();
    let seed = [7; 32];
    assert!(one_polynomial(&keys, 3, &seed));
    assert!(one_polynomial(&keys, 4, &seed));
    assert!(!one_polynomial(&keys, 2, &seed));
    let mut swapped = keys.clone();
    swapped.swap(1, 2);
    assert!(!one_polynomial(&swapped, 3, &seed));
    assert!(!one_polynomial(&keys, 0, &seed));
    assert!(!one_polynomial(&keys, 6, &seed));
    assert!(!one_polynomial(&[], 1, &seed));
}
