//! Shared vectors, both ways. `contracts/test/vectors/rust.json` is written here and replayed by forge (VectorsRust.t.sol);
//! `forge.json` is written by forge (VectorsForge.t.sol) and replayed here: EIP-712 digests of every type, Merkle roots and
//! proofs, certificates, members' signatures. Drift on either side fails. `PLUMBLINE_BLESS=1` writes ours anew.
//! Leaves out: what the values mean; they are random.

// Tests: a panic is the failure, and fields are named as the signed types name them.
#![allow(clippy::unwrap_used, non_snake_case)]

use std::path::PathBuf;

use aggregator::{GroupKey, Signature, deal_for_tests};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolStruct, SolValue};
use oracle_core::bootstrap::list_hash;
use oracle_core::merkle;
use oracle_core::policy::book_leaf;
use oracle_core::typed::{
    Activation, Header, KeyActivation, KeyConfirmation, Leaf, MemberKey, MemberStatement, Rotation, Scope,
    recover_signer,
};
use serde_json::{Value, json};

/// Cases of each type.
const CASES: u64 = 4;
/// Sizes of the trees: nothing, one, pairs, odd last nodes on one level and on several.
const SIZES: [usize; 9] = [0, 1, 2, 3, 4, 5, 7, 8, 13];

/// Random words by counting: the same on every machine.
struct Words(u64);

impl Words {
    fn word(&mut self) -> B256 {
        self.0 += 1;
        keccak256(self.0.to_be_bytes())
    }

    fn number(&mut self) -> u64 {
        // Every length from one byte to eight, so that small and large numbers both occur.
        let word = self.word();
        u64::from_be_bytes(word[..8].try_into().unwrap()) >> (8 * (u64::from(word[31]) % 8))
    }

    fn leaf(&mut self, lease: u64) -> Leaf {
        Leaf {
            escrow: Address::from_word(self.word()),
            lease,
            units: u128::from(self.number()) << 40,
            goodSeconds: self.number(),
            badSeconds: self.number(),
            creditSeconds: self.number(),
            adjustment: self.number().into(),
            through: self.number(),
            evidenceRoot: self.word(),
            policyHash: self.word(),
        }
    }

    fn header(&mut self) -> Header {
        Header {
            committee: self.number(),
            term: self.number(),
            configDigest: self.word(),
            stream: self.number() as u32,
            epoch: self.number(),
            periodStart: self.number(),
            periodEnd: self.number(),
            snapshotBlock: self.number(),
            snapshotHash: self.word(),
            leafCount: self.number() as u32,
            leavesRoot: self.word(),
            stateRoot: self.word(),
            observationsHash: self.word(),
            policyHash: self.word(),
            previousHeader: self.word(),
            participation: U256::from_be_bytes(self.word().0),
        }
    }

    fn rotation(&mut self) -> Rotation {
        Rotation {
            committee: self.number(),
            term: self.number(),
            configDigest: self.word(),
            newTerm: self.number(),
            newConfigDigest: self.word(),
            newGroupKeyHash: self.word(),
            fromEpoch: self.number(),
            baseHeader: self.word(),
        }
    }
}

fn scope() -> Scope {
    let (config_digest, registry) = (B256::ZERO, Address::repeat_byte(0x11));
    Scope { chain_id: 31_337, registry, committee: 1, term: 1, config_digest }
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", ::hex::encode(bytes))
}

/// One signed value: its ABI words, its digest, and the test group's certificate over that.
fn signed<T: SolStruct + SolValue>(value: &T) -> Value {
    let digest = scope().digest(value);
    let (sharing, shares) = deal_for_tests(4, 7);
    let partials: Vec<_> = shares.iter().take(3).map(|share| share.sign(&digest.0)).collect();
    let certificate = sharing.recover(&digest.0, &partials).unwrap();
    json!({
        "type": T::NAME, "abi": hex(SolValue::abi_encode(value)), "digest": hex(digest),
        "certificate": hex(certificate.to_onchain()),
    })
}

fn typed(words: &mut Words) -> Vec<Value> {
    let mut all = Vec::new();
    for _ in 0..CASES {
        all.push(signed(&words.header()));
        all.push(signed(&words.rotation()));
        let (committee, term, configDigest) = (words.number(), words.number(), words.word());
        let (groupKeyHash, shareRoot) = (words.word(), words.word());
        all.push(signed(&KeyConfirmation { committee, term, configDigest, groupKeyHash, shareRoot }));
        all.push(signed(&Activation { committee, term, configDigest, groupKeyHash, shareRoot }));
        let (batch, listHash) = (words.number(), words.word());
        all.push(signed(&KeyActivation { committee, term, configDigest, batch, listHash }));
        let phase = words.number() as u8;
        let (instance, view, value) = (words.word(), words.number() as u32, words.word());
        all.push(signed(&MemberStatement { instance, phase, view, value }));
    }
    all
}

fn tree(words: &mut Words, size: usize) -> Value {
    let leaves: Vec<Leaf> = (1..).take(size).map(|lease| words.leaf(lease)).collect();
    let proofs = (0..size).map(|index| merkle::leaf_proof(&leaves, index).unwrap());
    let proofs: Vec<Vec<String>> = proofs.map(|proof| proof.iter().map(hex).collect()).collect();
    json!({
        "leaves": leaves.iter().map(|leaf| hex(SolValue::abi_encode(leaf))).collect::<Vec<_>>(),
        "root": hex(merkle::leaves_root(&leaves)), "proofs": proofs,
    })
}

fn members(words: &mut Words) -> Vec<Value> {
    let members = (1u8..=3).map(|i| {
        let (key, digest) = (MemberKey::from_bytes(&[i; 32]).unwrap(), words.word());
        json!({ "signer": hex(key.address()), "digest": hex(digest), "signature": hex(key.sign(&digest)) })
    });
    members.collect()
}

fn ours() -> Value {
    let mut words = Words(0);
    let (sharing, _) = deal_for_tests(4, 7);
    let keys: Vec<(u64, [u8; 32])> = (1..=3).map(|token| (token, words.word().0)).collect();
    let of = |keys: &[(u64, [u8; 32])]| {
        let (tokens, prints): (Vec<u64>, Vec<String>) = keys.iter().map(|(token, print)| (*token, hex(print))).unzip();
        json!({ "tokenIds": tokens, "thumbprints": prints, "hash": hex(list_hash(keys)) })
    };
    json!({
        "about": "By oracle-core and aggregator (oracle-node/core/tests/contracts_vectors.rs); replayed by VectorsRust.t.sol. \
                  Random values; the group is a test dealer's.",
        "chainId": scope().chain_id, "registry": hex(scope().registry), "groupKey": hex(sharing.group.to_eip2537()),
        "typed": typed(&mut words),
        "trees": SIZES.map(|size| tree(&mut words, size)),
        "members": members(&mut words),
        "list": of(&keys),
    })
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../contracts/test/vectors").join(name)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test may read the environment; the core may not")]
fn the_contracts_replay_what_is_written_here() {
    let fresh = format!("{}\n", serde_json::to_string_pretty(&ours()).unwrap());
    let path = file("rust.json");
    if std::env::var("PLUMBLINE_BLESS").is_ok() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == fresh, "{} differs; PLUMBLINE_BLESS=1 rewrites it", path.display());
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is not hex text"));
    ::hex::decode(text.strip_prefix("0x").unwrap()).unwrap()
}

fn word(value: &Value) -> B256 {
    B256::from_slice(&bytes(value))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().filter(|list| !list.is_empty()).unwrap_or_else(|| panic!("{value} is not a list with entries"))
}

fn digest_of<T: SolStruct + SolValue + From<<T::SolType as alloy_sol_types::SolType>::RustType>>(
    scope: &Scope,
    abi: &[u8],
) -> B256 {
    let value = <T as SolValue>::abi_decode(abi).unwrap();
    assert_eq!(SolValue::abi_encode(&value), abi, "the words are canonical");
    scope.digest(&value)
}

#[test]
fn what_the_contracts_wrote_holds_here() {
    let text = std::fs::read_to_string(file("forge.json")).unwrap();
    let theirs: Value = serde_json::from_str(&text).unwrap();
    let registry = Address::from_slice(&bytes(&theirs["registry"]));
    let scope = Scope { chain_id: theirs["chainId"].as_u64().unwrap(), registry, ..scope() };
    let key = GroupKey::from_eip2537(bytes(&theirs["groupKey"]).as_slice().try_into().unwrap()).unwrap();
    for case in list(&theirs["typed"]) {
        let abi = bytes(&case["abi"]);
        let digest = match case["type"].as_str().unwrap() {
            "Header" => digest_of::<Header>(&scope, &abi),
            "Rotation" => digest_of::<Rotation>(&scope, &abi),
            "KeyConfirmation" => digest_of::<KeyConfirmation>(&scope, &abi),
            "Activation" => digest_of::<Activation>(&scope, &abi),
            "KeyActivation" => digest_of::<KeyActivation>(&scope, &abi),
            "MemberStatement" => digest_of::<MemberStatement>(&scope, &abi),
            other => panic!("forge.json knows a type that Rust does not: {other}"),
        };
        assert_eq!(digest, word(&case["digest"]), "{}", case["type"]);
        let certificate = Signature::from_onchain(bytes(&case["certificate"]).as_slice().try_into().unwrap()).unwrap();
        assert!(key.verify(&digest.0, &certificate).is_ok(), "certificate over {}", case["type"]);
    }
    for case in list(&theirs["members"]) {
        let signature: [u8; 65] = bytes(&case["signature"]).try_into().unwrap();
        let signer = recover_signer(&word(&case["digest"]), &signature);
        assert_eq!(signer, Some(Address::from_slice(&bytes(&case["signer"]))));
    }
}

#[test]
fn the_contracts_trees_lists_and_configs_are_ours() {
    let text = std::fs::read_to_string(file("forge.json")).unwrap();
    let theirs: Value = serde_json::from_str(&text).unwrap();
    for case in list(&theirs["trees"]) {
        let leaves: Vec<Leaf> =
            list(&case["leaves"]).iter().map(|leaf| <Leaf as SolValue>::abi_decode(&bytes(leaf)).unwrap()).collect();
        let root = word(&case["root"]);
        assert_eq!(merkle::leaves_root(&leaves), root, "{} leaves", leaves.len());
        for (index, proof) in list(&case["proofs"]).iter().enumerate() {
            let proof: Vec<B256> = proof.as_array().unwrap().iter().map(word).collect();
            assert_eq!(merkle::leaf_proof(&leaves, index), Some(proof), "leaf {index} of {}", leaves.len());
        }
    }
    for case in list(&theirs["books"]) {
        let documents = list(&case["documents"]).iter().zip(list(&case["classes"]));
        let leaf = |(hash, classes): (&Value, &Value)| book_leaf(&word(hash), &U256::from_be_bytes(word(classes).0));
        let leaves: Vec<B256> = documents.map(leaf).collect();
        assert_eq!(merkle::keccak_root(&leaves), word(&case["root"]), "{} documents", leaves.len());
        for (index, proof) in list(&case["proofs"]).iter().enumerate() {
            let proof: Vec<B256> = proof.as_array().unwrap().iter().map(word).collect();
            assert_eq!(merkle::keccak_proof(&leaves, index), Some(proof), "document {index} of {}", leaves.len());
        }
    }
    let keys: Vec<(u64, [u8; 32])> = list(&theirs["list"]["thumbprints"])
        .iter()
        .zip(list(&theirs["list"]["tokenIds"]))
        .map(|(print, token)| (token.as_u64().unwrap(), word(print).0))
        .collect();
    assert_eq!(list_hash(&keys), word(&theirs["list"]["hash"]));
    // The words of the encoding are forge's; that they hash to the digest is docs/protocol.md §6.
    assert_eq!(keccak256(bytes(&theirs["config"]["abi"])), word(&theirs["config"]["digest"]));
    let bases = list(&theirs["base"]["headers"]).iter().zip(0u32..).map(|(header, stream)| (stream, word(header)));
    assert_eq!(oracle_core::handover::base_root(&bases.collect::<Vec<_>>()), word(&theirs["base"]["root"]));
}
