//! What a device is told carries its own proof.

use alloy::sol_types::SolValue as _;
use oracle_core::merkle::sha_verify;
use oracle_core::report::Outcome;
use oracle_core::report::StateTag;
use oracle_core::state::{LeaseState, State};
use oracle_core::typed::{Header, Kind};
use oracle_core::wire::InstanceId;

use super::*;

fn report(previous: u8) -> CertifiedReport {
    let lease = |lease, device, start| LeaseState { lease, device, start, ..LeaseState::default() };
    let leases = vec![lease(1, 7, 10), lease(2, 8, 10), lease(3, 7, 20)];
    let before = State { version: 1, next_epoch: 5, previous_header: Hash::from([1; 32]), leases, ..State::default() };
    let mut header = Header::abi_decode(&[0; 512]).expect("zeros are a header");
    header.previousHeader = [previous; 32].into();
    header.stateRoot = state_root(&before).into();
    // As carried on, the state names the new header.
    let state = State { previous_header: Hash::from([9; 32]), ..before };
    let outcome = Outcome {
        header: header.clone(),
        leaves: vec![],
        verdicts: vec![],
        state,
        void_slots: vec![],
        content: vec![],
    };
    let instance = InstanceId::new(Kind::Report, 0, 4);
    CertifiedReport { instance, header, certificate: [2; 48], outcome, bundle: vec![] }
}

#[test]
fn access_proves_the_latest_lease_of_each_device() {
    let report = report(1);
    let access = access(&report);
    assert_eq!(access.keys().copied().collect::<Vec<_>>(), [7, 8]);
    for (device, (_, access)) in &access {
        let proof: Vec<ShaStep> =
            access.proof.iter().map(|(sibling, left)| ShaStep { sibling: **sibling, left: *left }).collect();
        assert!(sha_verify(&report.header.stateRoot.0, &sha_leaf(&access.leaf), &proof), "device {device}");
        let state: LeaseState =
            wire::decode(StateTag::Lease.strip(&access.leaf).expect("a lease"), 1_024).expect("leaf");
        assert_eq!((state.device, state.lease), (*device, if *device == 7 { 3 } else { 2 }));
        let decoded: Access = wire::decode(&encode(access), 4_096).expect("canonical");
        assert_eq!(&decoded, access);
    }
}

#[test]
fn a_state_that_does_not_fit_its_header_gives_no_access() {
    assert!(access(&report(3)).is_empty());
}

#[test]
fn a_beacon_is_56_bytes() {
    let payload = beacon(258, &[7; 48]);
    assert_eq!((payload.len(), &payload[..8]), (56, &[0, 0, 0, 0, 0, 0, 1, 2][..]));
}
