//! The client, and the commands that use it, against a node that answers what the test says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;

use attest::{Body, Claims, Signer};
use sdk::client::{Client, ClientError};
use serde_json::json;

use crate::support::{Dir, archived, hexed, report_json, trust};

/// Answers these paths with these bodies and status 200, everything else with a node's 404, until the test ends.
fn node(answers: Vec<(String, Vec<u8>)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answers: BTreeMap<String, Vec<u8>> = answers.into_iter().collect();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap_or_default();
            let lost =
                json!({"error":{"code":"not_found","what":"nothing\u{1b}[31m here","do":"look elsewhere"}}).to_string();
            let (status, body) = answers.get(path).map_or(("404 Not Found", lost.as_bytes()), |body| ("200 OK", body));
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len()).unwrap();
            stream.write_all(body).unwrap();
        }
    });
    base
}

fn plumbline(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_plumbline")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_report_is_fetched_and_verified_under_the_chains_key() {
    let (world, bundles) = archived(1, &[0]);
    let report = report_json(&world, &bundles[0]).to_string().into_bytes();
    let base = node(vec![
        ("/v1/reports/0".into(), report.clone()),
        ("/v1/reports/5".into(), report),
        ("/v1/archive/0".into(), bundles[0].clone()),
    ]);
    let client = Client::new(&base).unwrap();
    assert_eq!(client.report(0).unwrap().header.epoch, 0);
    assert!(matches!(client.report(5), Err(ClientError::Odd { .. })), "another epoch's report");
    assert_eq!(client.archive(0).unwrap(), bundles[0]);
    let refused = client.report(1).unwrap_err().to_string();
    assert!(refused.ends_with("/v1/reports/1: 404: nothing[31m here; look elsewhere"), "{refused}");
    let key = hexed(&trust(&world).group.to_eip2537());
    let registry = world.history.registry().contracts().registry.to_string();
    let arguments = |registry: &str| {
        let words = ["verify-report", "--node", &base, "--epoch", "0", "--chain-id", "31337", "--group-key", &key];
        plumbline(&[&words[..], &["--registry", registry, "--lease", "101"]].concat())
    };
    let (code, said, complained) = arguments(&registry);
    assert_eq!((code, complained.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("6 leaves give the certified root") && said.contains("lease 101: "), "{said}");
    let (code, _, complained) = arguments(&format!("0x{}", "12".repeat(20)));
    assert!(code == Some(1) && complained.contains("epoch 0: the certificate does not verify"), "{complained}");
    let dir = Dir::new("fetched");
    let out = dir.path().join("archive");
    let (code, _, complained) =
        plumbline(&["fetch", "archive", "--to", "1", "--node", &base, "--out", out.to_str().unwrap()]);
    assert!(code == Some(2) && complained.contains("/v1/archive/1: 404"), "{complained}");
    assert_eq!(std::fs::read(out.join("epoch-000000.bundle")).unwrap(), bundles[0]);
}

#[test]
fn evidence_must_hash_to_its_id() {
    let key = attest::SoftEd25519::from_seed([7; 32]);
    let (network, mut space) = ([1; 8], [0; attest::MAX_MESSAGE]);
    let claims = Claims {
        iat: None,
        nonce: Some([2; 32]),
        boot: 1,
        seq: 0,
        prev: [0; 16],
        body: Body::Answer(attest::AnswerBody { lease: 1, slot: 2 }),
    };
    let signed = attest::seal(&key, &network, &claims, &mut space).unwrap();
    assert_eq!(key.public_key().bytes().len(), 32);
    let body = json!({"class":"answer","device":9,"arrival_ms":8,"bytes":hexed(signed.bytes)}).to_string().into_bytes();
    let other = [3; 32];
    let path = |id: &[u8; 32]| format!("/v1/evidence/{}", hex::encode(id));
    let client = Client::new(&node(vec![(path(&signed.id), body.clone()), (path(&other), body)])).unwrap();
    let found = client.evidence(&signed.id, &network).unwrap();
    assert_eq!((found.bytes.as_slice(), found.device), (signed.bytes, 9));
    assert!(matches!(client.evidence(&other, &network), Err(ClientError::Odd { .. })));
    assert!(matches!(client.evidence(&signed.id, &[2; 8]), Err(ClientError::Odd { .. })));
}

#[test]
fn a_lease_is_explained_in_words() {
    let lease = json!({
        "lease": 3, "chain": null, "last_epoch": 4, "proof": null,
        "state": {
            "device": 7, "class": 1, "class_name": "uptime", "unit": "second", "start": 100, "end": 160, "through": 160,
            "units": "50", "good": 50, "bad": 2, "credit": 1, "kept": {"challenged": 60, "passed": 57}, "evidence_root": "0x",
            "reasons": [{"code": 11, "reason": "LATE", "why": "?", "count": 3}],
        },
        "last_verdicts": [
            {"lease": 3, "at": 70, "outcome": "passed", "code": 0, "measured": 0, "limit": 0},
            {"lease": 3, "at": 71, "outcome": "failed", "code": 11, "measured": 1, "limit": 2},
        ],
    });
    let fresh = json!({"lease": 4, "chain": {}, "state": null, "last_epoch": null, "last_verdicts": [], "proof": null});
    let base = node(vec![
        ("/v1/leases/3".into(), lease.to_string().into_bytes()),
        ("/v1/leases/4".into(), fresh.to_string().into_bytes()),
    ]);
    let (code, said, _) = plumbline(&["explain", "--lease", "3", "--node", &base]);
    assert_eq!(code, Some(0));
    for part in [
        "challenged         60",
        "units              50, each a proven second, paid",
        "2 s, of which 1 s",
        "3 × LATE: ",
        "at 71: failed, LATE: ",
        "Measured 1 members, the limit is 2.",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("at 70"), "{said}");
    let (_, said, _) = plumbline(&["explain", "--lease", "4", "--node", &base]);
    assert!(said.contains("no certified report holds it yet"), "{said}");
    let (code, _, complained) = plumbline(&["explain", "--lease", "5", "--node", &base]);
    assert!(code == Some(2) && complained.contains("404"), "{complained}");
}

#[test]
fn an_address_that_is_no_node_is_explained() {
    for odd in ["https://example.org", "127.0.0.1:8080", "http://"] {
        assert!(matches!(Client::new(odd), Err(ClientError::Address(_))), "{odd}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = Client::new(&format!("http://{closed}/")).unwrap();
    assert!(matches!(client.status(), Err(ClientError::Unreachable { .. })));
}
