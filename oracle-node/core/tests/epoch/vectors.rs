//! Golden bytes that others read (the contracts' tests among them), and the generated page of reasons.
//! `PLUMBLINE_BLESS=1` writes them anew.

use std::path::PathBuf;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolValue;
use oracle_core::reason::Reason;
use oracle_core::typed::{Header, Kind, Leaf, MemberKey, MemberStatement, Phase, Scope, recover_signer};
use oracle_core::{merkle, typed};
use serde_json::{Value, json};

fn scope() -> Scope {
    Scope {
        chain_id: 31_337,
        registry: Address::repeat_byte(0x11),
        committee: 1,
        term: 2,
        config_digest: B256::repeat_byte(0x55),
    }
}

fn header(leaves: &[Leaf]) -> Header {
    Header {
        committee: 1,
        term: 2,
        configDigest: B256::repeat_byte(0x55),
        stream: 3,
        epoch: 4,
        periodStart: 1_700_000_060,
        periodEnd: 1_700_000_075,
        snapshotBlock: 77,
        snapshotHash: B256::repeat_byte(0x66),
        leafCount: u32::try_from(leaves.len()).unwrap(),
        leavesRoot: merkle::leaves_root(leaves),
        stateRoot: B256::repeat_byte(0x77),
        observationsHash: B256::repeat_byte(0x88),
        policyHash: B256::repeat_byte(0x99),
        previousHeader: B256::repeat_byte(0xaa),
        participation: U256::from(0b1011),
    }
}

fn leaf(lease: u64) -> Leaf {
    Leaf {
        escrow: Address::repeat_byte(0x44),
        lease,
        units: 1_000 * u128::from(lease),
        goodSeconds: 1_000 * lease,
        badSeconds: 10 * lease,
        creditSeconds: 5 * lease,
        adjustment: u128::from(lease),
        through: 1_700_000_075,
        evidenceRoot: B256::repeat_byte(0xbb),
        policyHash: B256::repeat_byte(0x99),
    }
}

fn vectors() -> Value {
    let scope = scope();
    let leaves: Vec<Leaf> = (1..=5).map(leaf).collect();
    let header = header(&leaves);
    let key = MemberKey::from_bytes(&[7; 32]).unwrap();
    let instance = scope.instance(Kind::Report, 3, 4);
    let value = scope.digest(&header);
    let statement = MemberStatement { instance, phase: Phase::Commit as u8, view: 1, value };
    let digest = scope.digest(&statement);
    let proofs = leaves.iter().enumerate().map(|(index, leaf)| {
        let proof: Vec<String> = merkle::leaf_proof(&leaves, index).unwrap().iter().map(hex).collect();
        json!({ "lease": leaf.lease, "abi": hex(leaf.abi_encode()), "hash": hex(merkle::leaf_hash(leaf)), "proof": proof })
    });
    json!({
        "scope": {
            "chainId": scope.chain_id, "registry": hex(scope.registry), "committee": scope.committee, "term": scope.term,
            "configDigest": hex(scope.config_digest),
        },
        "header": { "abi": hex(header.abi_encode()), "digest": hex(value) },
        "leaves": proofs.collect::<Vec<_>>(),
        "leavesRoot": hex(merkle::leaves_root(&leaves)),
        "leafTypehash": hex(alloy_primitives::keccak256(merkle::LEAF_TYPE)),
        "instance": { "kind": 1, "stream": 3, "epoch": 4, "hash": hex(instance) },
        "statement": {
            "phase": statement.phase, "view": statement.view, "value": hex(statement.value), "digest": hex(digest),
            "signer": hex(key.address()), "signature": hex(key.sign(&digest)),
        },
        "roundChange": {
            "none": hex(typed::round_change_value(0, B256::ZERO)), "view2": hex(typed::round_change_value(2, value)),
        },
        "shareRoot": { "n": 4, "testDealerSeed": 7, "root": hex(merkle::share_root(&aggregator::deal_for_tests(4, 7).0)) },
    })
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", ::hex::encode(bytes))
}

/// Compares with the file, or writes it when blessed.
#[expect(clippy::disallowed_methods, reason = "a test may read the environment; the core may not")]
fn golden(path: &str, fresh: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var("PLUMBLINE_BLESS").is_ok() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, fresh).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == fresh, "{} differs; PLUMBLINE_BLESS=1 rewrites it", path.display());
}

#[test]
fn typed_bytes_are_the_golden_ones() {
    golden("tests/vectors/typed.json", &format!("{}\n", serde_json::to_string_pretty(&vectors()).unwrap()));
}

#[test]
fn golden_proofs_verify_and_the_statement_recovers() {
    let leaves: Vec<Leaf> = (1..=5).map(leaf).collect();
    let root = merkle::leaves_root(&leaves);
    for (index, leaf) in leaves.iter().enumerate() {
        let proof = merkle::leaf_proof(&leaves, index).unwrap();
        assert!(merkle::keccak_verify(&root, &merkle::leaf_hash(leaf), &proof));
    }
    let key = MemberKey::from_bytes(&[7; 32]).unwrap();
    let digest = B256::repeat_byte(1);
    assert_eq!(recover_signer(&digest, &key.sign(&digest)), Some(key.address()));
}

/// The KEC(KEC(leaf)) of the share tree is over `abi.encode(uint32, bytes)` as the aggregator spells it out.
#[test]
fn share_leaves_are_solidity_parameters() {
    let (sharing, _) = aggregator::deal_for_tests(4, 7);
    let leaves: Vec<B256> = (0..4)
        .map(|index| {
            let once = alloy_primitives::keccak256(sharing.share_leaf(index).unwrap());
            alloy_primitives::keccak256(once)
        })
        .collect();
    assert_eq!(merkle::keccak_root(&leaves), merkle::share_root(&sharing));
}

#[test]
fn the_page_of_reasons_is_current() {
    let mut page = String::from(
        "# Reasons\n\nWhy something did not count. Codes never change meaning. Written by a test of `oracle-core` from \
         `reason.rs` (`PLUMBLINE_BLESS=1`).\n\n| code | name | meaning | unit of measured and limit |\n|---|---|---|---|\n",
    );
    for reason in Reason::all() {
        let unit = if reason.unit().is_empty() { "–" } else { reason.unit() };
        page.push_str(&format!("| {} | `{}` | {} | {unit} |\n", reason.code(), reason.name(), reason.sentence()));
    }
    golden("../../docs/reasons.md", &page);
}
