//! Plans: one form, and a base over every stream.

use super::*;

fn plan(bases: Vec<(u32, Hash)>) -> Plan {
    let key = NewKey {
        term: 2,
        group_key: vec![1; 256].into(),
        share_root: [2; 32].into(),
        confirmation: [3; 96].into(),
        signatures: vec![(0, [4; 65].into())],
    };
    Plan { version: 2, from_epoch: 9, bases, key }
}

#[test]
fn a_plan_lists_each_stream_once_ascending_and_none_without_a_header() {
    let header = |byte: u8| Hash::from([byte; 32]);
    let good = plan(vec![(0, header(1)), (4, header(2)), (u32::MAX, header(1))]);
    assert_eq!(Plan::decode(&good.encode()), Ok(good.clone()));
    assert_eq!(Plan::decode(&plan(vec![]).encode()), Ok(plan(vec![])), "no stream has a header yet");
    let crowd = |count: u32| plan((0..count).map(|stream| (stream, header(1))).collect());
    assert!(Plan::decode(&crowd(64).encode()).is_ok());
    let bad = [
        Plan { version: 1, ..good.clone() },
        plan(vec![(4, header(2)), (0, header(1))]),
        plan(vec![(4, header(2)), (4, header(1))]),
        plan(vec![(4, header(0))]),
        crowd(65),
    ];
    for plan in bad {
        assert!(Plan::decode(&plan.encode()).is_err(), "{:?}", plan.bases);
    }
}

#[test]
fn the_base_is_another_one_if_any_stream_stands_elsewhere() {
    let root = |bases: &[(u32, u8)]| {
        let bases: Vec<(u32, B256)> = bases.iter().map(|(stream, byte)| (*stream, B256::repeat_byte(*byte))).collect();
        base_root(&bases)
    };
    assert_eq!(root(&[]), B256::ZERO);
    let alone = keccak256(keccak256((5u32, B256::repeat_byte(1)).abi_encode()));
    assert_eq!(root(&[(5, 1)]), alone, "a tree of one leaf is what one stream had before");
    let roots = [root(&[(0, 1), (1, 2)]), root(&[(0, 1), (1, 3)]), root(&[(0, 1), (2, 2)]), root(&[(0, 1)])];
    assert!(roots.iter().enumerate().all(|(place, root)| roots.iter().skip(place + 1).all(|other| other != root)));
}
