//! One report: what holds, and what of it may not be altered.

use oracle_core::merkle;
use sdk::report::{Proof, Report};
use sdk::verify::{self, VerifyError};
use serde_json::json;

use crate::support::{World, archived, leaf_json, leaves, report_json, trust};

fn reported() -> (World, Report) {
    let (world, bundles) = archived(1, &[0]);
    let text = serde_json::to_vec(&report_json(&world, &bundles[0])).unwrap();
    let report = Report::from_json(&text).unwrap();
    (world, report)
}

#[test]
fn a_certified_report_verifies_and_nothing_altered_does() {
    let (world, report) = reported();
    let trust = trust(&world);
    let digest = verify::certificate(&trust, &report.header, &report.certificate).unwrap();
    assert_eq!(digest, world.history.registry().posted()[&(1, 0, 0)].digest);
    let mut header = report.header.clone();
    header.leafCount += 1;
    assert_eq!(verify::certificate(&trust, &header, &report.certificate), Err(VerifyError::Certificate));
    assert_eq!(verify::certificate(&trust, &report.header, &[0xc0; 48]), Err(VerifyError::Certificate));
    let mut elsewhere = trust.clone();
    elsewhere.chain_id += 1;
    assert_eq!(verify::certificate(&elsewhere, &report.header, &report.certificate), Err(VerifyError::Certificate));
    header.term = 2;
    let other = VerifyError::OtherCommittee { committee: 1, term: 2 };
    assert_eq!(verify::certificate(&trust, &header, &report.certificate), Err(other));
}

#[test]
fn leaves_are_all_there_in_order_and_unaltered() {
    let (_, report) = reported();
    assert_eq!(verify::leaves(&report.header, &report.leaves), Ok(()));
    let bent = |change: &dyn Fn(&mut Vec<_>)| {
        let mut leaves = report.leaves.clone();
        change(&mut leaves);
        verify::leaves(&report.header, &leaves)
    };
    assert_eq!(bent(&|leaves| leaves[0].units += 1), Err(VerifyError::Leaves));
    assert_eq!(bent(&|leaves| leaves.truncate(5)), Err(VerifyError::Leaves));
    // Sorted pairs give the same root either way round: the order must be checked.
    assert_eq!(bent(&|leaves| leaves.swap(0, 1)), Err(VerifyError::Leaves));
}

#[test]
fn a_proof_holds_for_its_own_lease_alone() {
    let (world, report) = reported();
    let all = leaves(&world);
    let path: Vec<String> = merkle::leaf_proof(&all, 2).unwrap().iter().map(ToString::to_string).collect();
    let text = json!({ "lease": 103, "epoch": 0, "leaf": leaf_json(&all[2]), "proof": path }).to_string();
    let proof = Proof::from_json(text.as_bytes()).unwrap();
    assert_eq!((proof.epoch, proof.leaf.lease), (0, 103));
    assert_eq!(verify::inclusion(&report.header, &proof.leaf, &proof.path), Ok(()));
    assert_eq!(verify::inclusion(&report.header, &all[1], &proof.path), Err(VerifyError::Inclusion(102)));
    assert_eq!(verify::inclusion(&report.header, &proof.leaf, &proof.path[1..]), Err(VerifyError::Inclusion(103)));
}

#[test]
fn keys_are_read_in_both_encodings_and_faults_are_named() {
    let (world, _) = reported();
    let group = trust(&world).group;
    assert!(verify::group_key(&group.to_eip2537()).unwrap() == group);
    assert!(verify::group_key(&group.to_bytes()).unwrap() == group);
    assert_eq!(verify::group_key(&[0; 3]).err(), Some(VerifyError::Key("3 bytes are neither 256 nor 96".into())));
    assert!(verify::group_key(&[0; 256]).is_err(), "infinity");
}

#[test]
fn odd_json_is_explained() {
    let (world, bundles) = archived(1, &[]);
    let good = report_json(&world, &bundles[0]);
    let said = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut bent = good.clone();
        change(&mut bent);
        Report::from_json(bent.to_string().as_bytes()).unwrap_err()
    };
    assert_eq!(said(&|json| json["certificate"] = json!("0x00")), "certificate: 1 bytes where 48 belong");
    assert_eq!(said(&|json| json["leaves"][0]["units"] = json!("-1")), "units: \"-1\" is not a number");
    assert!(said(&|json| json["header_abi"] = json!("0x00")).starts_with("not a header"));
    assert!(said(&|json| drop(json.as_object_mut().unwrap().remove("leaves"))).contains("leaves"));
}
