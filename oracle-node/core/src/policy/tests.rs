//! Tests of documents and books: what is refused, by what sentence; roots and proofs.

use alloy_primitives::keccak256;
use serde_json::{Value, json};

use super::*;

/// The demo's conduct.
pub(crate) fn conduct() -> Value {
    json!({"version": 2, "document": "conduct", "gossip_allowance_ms": 1_000, "observe_delay_ms": 500, "void_bound_ms": 700,
        "snapshot_lag_ms": 4_000, "late_epochs": 1, "view_timeout_ms": 1_000, "transmit_stage_ms": 500,
        "messages_per_device": 1_000})
}

/// A policy of two classes, with numbers as the demo's.
pub(crate) fn policy() -> Value {
    let service = json!({"deadline_ms": 2_000, "challenge_p": "16602069666338596449", "z_squared_millionths": 2_706_025,
        "credit_bp": 5_000});
    let radio = json!({"eirp_cdbm": 1_600, "gain_rx_cdb": 300, "margin_cdb": 0, "frequency_khz": 868_100,
        "bandwidth_khz": 125, "spreading_factor": 12, "receiver_slack_cdb": 500, "location_slack_m": 0,
        "min_distance_m": 300, "max_distance_m": 800_000, "min_witnesses": 1});
    json!({"version": 2, "document": "policy", "classes": {"uptime": {"service": service.clone()},
        "coverage": {"service": service, "radio": radio}}})
}

/// A book of these documents.
pub(crate) fn book(documents: &[Value]) -> Book {
    Book::parse(&text(documents)).unwrap()
}

/// The book of the two documents above.
pub(crate) fn standard() -> Book {
    book(&[conduct(), policy()])
}

fn text(documents: &[Value]) -> Vec<u8> {
    documents.iter().map(|document| format!("{document}\n")).collect::<String>().into_bytes()
}

/// A document with one value changed, by its path of keys.
fn with(mut document: Value, path: &str, value: Value) -> Value {
    *document.pointer_mut(path).unwrap() = value;
    document
}

#[test]
fn nonsense_is_refused_by_name() {
    let refused =
        |path: &str, value: Value| Policy::parse(with(policy(), path, value).to_string().as_bytes()).unwrap_err();
    let cases = [
        ("/version", json!(1), "version 1 is not known here (2 is)"),
        ("/classes", json!({}), "classes has no section: nothing could be judged"),
        ("/classes", json!({"upkeep": {}}), "classes.upkeep is no class that this version knows"),
        ("/classes/uptime", json!({}), "classes.uptime: missing field `service`"),
        ("/classes/uptime/service/deadline_ms", json!(3_600_001), "service.deadline_ms 3600001 is above 3600000"),
        ("/classes/uptime/service/credit_bp", json!(10_001), "service.credit_bp 10001 is above 10000"),
        ("/classes/uptime/service/challenge_p", json!(5), "invalid type: integer `5`, expected a string"),
        ("/classes/coverage/service/deadline_ms", json!(3_000_000), "service.deadline_ms 3000000 is above 1800000"),
    ];
    for (path, value, sentence) in cases {
        let why = refused(path, value);
        assert!(why.contains(sentence), "{path}: {why}");
    }
    let unknown = policy().to_string().replacen("\"classes\"", "\"rates\":1,\"classes\"", 1);
    assert!(Policy::parse(unknown.as_bytes()).unwrap_err().contains("unknown field `rates`"));
    let conduct = with(conduct(), "/view_timeout_ms", json!(0));
    assert!(Conduct::parse(conduct.to_string().as_bytes()).unwrap_err().ends_with("view_timeout_ms must be above 0"));
}

#[test]
fn a_class_is_in_force_where_the_policy_has_its_section() {
    let whole = Policy::parse(policy().to_string().as_bytes()).unwrap();
    assert_eq!(whole.classes.keys().copied().collect::<Vec<u8>>(), [1, 2]);
    assert_eq!(whole.open_classes(), U256::from(0b110u64));
    let mut one = policy();
    one["classes"].as_object_mut().unwrap().remove("coverage");
    let one = Policy::parse(one.to_string().as_bytes()).unwrap();
    assert_eq!(one.classes.keys().copied().collect::<Vec<u8>>(), [1]);
    assert_ne!(one, whole);
}

#[test]
fn a_book_is_named_by_its_root_and_proves_its_policies() {
    let (plain, strict) = (policy(), with(policy(), "/classes/uptime/service/deadline_ms", json!(1_000)));
    let book = Book::parse(&text(&[conduct(), plain.clone(), strict.clone()])).unwrap();
    // The order of lines and empty lines are nothing.
    let again = [text(std::slice::from_ref(&strict)), b"\n".to_vec(), text(&[plain.clone(), conduct()])].concat();
    assert_eq!(Book::parse(&again).unwrap().root(), book.root());
    for document in [&plain, &strict] {
        let hash = Policy::hash(document.to_string().as_bytes());
        let proof = book.proof(&hash).unwrap();
        let mut node = keccak256(keccak256(alloy_sol_types::SolValue::abi_encode(&(hash, proof.classes))));
        for sibling in &proof.path {
            let mut pair = [node, *sibling];
            pair.sort_unstable();
            node = keccak256(pair.concat());
        }
        assert_eq!((node, proof.classes), (book.root(), U256::from(0b110u64)));
    }
    assert_eq!(book.proof(&B256::ZERO), None);
    let mut shadow = with(policy(), "/classes/uptime/service/credit_bp", json!(1));
    shadow["shadow_of"] = json!(Policy::hash(plain.to_string().as_bytes()).to_string());
    let shadowed = Book::parse(&text(&[conduct(), plain.clone(), shadow.clone()])).unwrap();
    let hash = Policy::hash(shadow.to_string().as_bytes());
    assert_eq!(shadowed.proof(&hash).unwrap().classes, U256::ZERO, "nobody opens a lease under a shadow");
    let refused = [
        (text(std::slice::from_ref(&plain)), "no conduct document"),
        (text(&[conduct()]), "no policy that a lease can be opened under"),
        (text(&[conduct(), plain.clone(), plain.clone()]), "line 3 of the book: the same document again"),
        (text(&[conduct(), conduct()]), "line 2 of the book: a second conduct document"),
        (text(&[conduct(), shadow, strict]), "which is no policy of the book"),
        (b"{\"document\":\"poem\"}".to_vec(), "line 1 of the book: policy document: "),
    ];
    for (text, sentence) in refused {
        let why = Book::parse(&text).unwrap_err();
        assert!(why.contains(sentence), "{why}");
    }
}
