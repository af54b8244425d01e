//! The API over a real store and socket: what is there is shown, what is not is explained.

use std::path::Path;

use alloy::sol_types::SolValue as _;
use alloy::transports::http::reqwest;
use oracle_core::state::State;
use oracle_core::typed::{Header, Leaf};
use oracle_core::wire::{Bytes, Hash};
use tokio::task::JoinHandle;

use super::*;
use crate::config::Config;
use crate::keys::{PublicKeys, Secret};
use crate::metrics::Metrics;
use crate::receipts::ReceiptLog;
use crate::store::{Evidence, StoredReport, StoredVerdict};
use crate::testing::{Dir, store as open};

fn leaf(lease: u64) -> Leaf {
    let zero = Default::default();
    Leaf {
        escrow: Default::default(),
        lease,
        units: 7,
        goodSeconds: 7,
        badSeconds: 1,
        creditSeconds: 0,
        adjustment: 0,
        through: 60,
        evidenceRoot: zero,
        policyHash: zero,
    }
}

fn report(epoch: u64) -> StoredReport {
    let leaves = [leaf(1), leaf(2), leaf(3)];
    let mut header = Header::abi_decode(&[0; 512]).expect("zeros are a header");
    (header.epoch, header.leafCount) = (epoch, 3);
    header.leavesRoot = oracle_core::merkle::leaves_root(&leaves);
    StoredReport {
        stream: 0,
        epoch,
        digest: Hash::from([5; 32]),
        header: header.abi_encode().into(),
        certificate: Bytes::from([0; 48]),
        leaves: leaves.iter().map(|leaf| leaf.abi_encode().into()).collect(),
        verdicts: vec![StoredVerdict {
            lease: 2,
            at: 11,
            outcome: 2,
            reason: Reason::NO_ANSWER.code(),
            units: 0,
            measured: 0,
            limit: 2,
        }],
        void_slots: vec![3],
        state: State::default(),
    }
}

use oracle_core::reason::Reason;

async fn serve(store: Store) -> (String, JoinHandle<std::io::Result<()>>) {
    let text = include_str!("../../config.example.toml");
    let config = Config::parse(text, Path::new(".")).expect("example");
    let blank = String::new;
    let identity = PublicKeys {
        address: blank(),
        peer_key: blank(),
        dkg_key: blank(),
        receipt_key: "0xab".into(),
        peer_id: blank(),
    };
    let board = Board::new(&config, identity, Arc::new(store), Metrics::new().expect("metrics"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let router = router(Arc::new(board));
    (format!("http://{address}"), tokio::spawn(async move { axum::serve(listener, router).await }))
}

async fn ask(base: &str, path: &str) -> (u16, Value) {
    let response = reqwest::get(format!("{base}{path}")).await.expect("answer");
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.expect("body")).unwrap_or_default())
}

#[tokio::test]
async fn reports_proofs_and_evidence_are_shown() {
    let dir = Dir::new("http");
    let store = open(&dir);
    store.put_report(&report(4), b"bundle").expect("written");
    let item = Evidence {
        id: Hash::from([6; 32]),
        class: 4,
        device: 9,
        boot: 1,
        seq: 2,
        slot: 5,
        arrival_ms: 8,
        bytes: vec![1].into(),
    };
    let batch = ReceiptLog::new(&Secret::new([1; 32]), (0, [0; 32])).seal(std::slice::from_ref(&item));
    store.put_evidence(std::slice::from_ref(&item), &batch).expect("written");
    let (base, _task) = serve(store).await;

    assert_eq!(ask(&base, "/health").await, (200, json!({ "ok": true, "phase": "waiting" })));
    let (_, epochs) = ask(&base, "/v1/epochs").await;
    assert_eq!(epochs["epochs"][0]["epoch"], 4);
    let (_, shown) = ask(&base, "/v1/reports/4").await;
    assert_eq!((&shown["leaves"][2]["lease"], &shown["leaves"][0]["units"]), (&json!(3), &json!("7")));

    let (_, proof) = ask(&base, "/v1/reports/4/proof/2").await;
    let root = serde_json::from_value(proof["leaves_root"].clone()).expect("root");
    let path: Vec<alloy::primitives::B256> = serde_json::from_value(proof["proof"].clone()).expect("path");
    let hash = oracle_core::merkle::leaf_hash(&leaf(2));
    assert!(oracle_core::merkle::keccak_verify(&root, &hash, &path) && !path.is_empty());

    let (_, verdicts) = ask(&base, "/v1/reports/4/verdicts").await;
    let verdict = &verdicts["verdicts"][0];
    assert_eq!((&verdict["reason"], &verdict["margin"]), (&json!("NO_ANSWER"), &json!(2)));
    let id = hex::encode([6; 32]);
    assert_eq!(ask(&base, &format!("/v1/evidence/{id}")).await.1["class"], "answer");
    let (_, receipt) = ask(&base, &format!("/v1/receipts/0x{id}")).await;
    assert_eq!((&receipt["index"], &receipt["leaf"]["arrival_ms"]), (&json!(0), &json!(8)));
    let bundle = reqwest::get(format!("{base}/v1/archive/4")).await.expect("answer").bytes().await.expect("body");
    assert_eq!(&bundle[..], b"bundle");
}

#[tokio::test]
async fn what_is_not_there_is_explained() {
    let dir = Dir::new("http-missing");
    let (base, _task) = serve(open(&dir)).await;
    for (path, status) in [
        ("/v1/reports/9", 404),
        ("/v1/reports/9/proof/1", 404),
        ("/v1/archive/9", 404),
        ("/v1/evidence/xyz", 400),
        ("/v1/committee", 404),
        ("/v1/nothing", 404),
    ] {
        let (found, body) = ask(&base, path).await;
        assert_eq!(found, status, "{path}");
        assert!(body["error"]["what"].is_string() && body["error"]["do"].is_string(), "{path}: {body}");
    }
    let metrics = reqwest::get(format!("{base}/metrics")).await.expect("answer").text().await.expect("text");
    assert!(metrics.contains("oracle_evidence_stored_total 0"));
}
