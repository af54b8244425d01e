//! The golden file `vectors/bls.json`, which the contracts and the JavaScript library read: made from a fixed key and
//! compared value for value (the order of JSON keys means nothing). `PLUMBLINE_BLESS=1` writes it anew.

use aggregator::{DST, GroupKey, Share, Sharing, Signature, deal_for_tests};
use serde_json::{Value, json};

mod support;
use support::{array, hex_of, list};

const SEED: u64 = 20_260;
const N: u32 = 4;

fn hex(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn key(key: &GroupKey) -> Value {
    json!({ "compressed": hex(&key.to_bytes()), "eip2537": hex(&key.to_eip2537()) })
}

fn signature(signature: &Signature) -> Value {
    json!({ "compressed": hex(&signature.to_bytes()), "onchain": hex(&signature.to_onchain()) })
}

fn case(sharing: &Sharing, shares: &[Share], message: [u8; 32]) -> Value {
    let partials: Vec<_> = shares.iter().map(|share| share.sign(&message)).collect();
    let certificate = sharing.recover(&message, &partials).expect("all partials");
    let partials: Vec<Value> = partials
        .iter()
        .map(|partial| {
            let mut value = signature(&partial.signature);
            value["index"] = partial.index.into();
            value
        })
        .collect();
    json!({ "message": hex(&message), "partials": partials, "certificate": signature(&certificate) })
}

fn golden() -> Value {
    let (sharing, shares) = deal_for_tests(N, SEED);
    let members: Vec<Value> = shares
        .iter()
        .map(|share| {
            let mut value = key(&share.public_share());
            value["index"] = share.index.into();
            value["secret"] = hex(&*share.to_bytes_secret()).into();
            value["leaf"] = hex(&sharing.share_leaf(share.index).expect("a member")).into();
            value
        })
        .collect();
    let counting: [u8; 32] = core::array::from_fn(|i| i as u8);
    let messages = [[0; 32], counting, [0xff; 32]];
    json!({
        "about": "Test key of a trusted dealer: never use it. compressed = ZCash format; eip2537 = x.c0 x.c1 y.c0 y.c1 of \
                  64 bytes each; onchain = x y of 48 bytes each; leaf = abi.encode(uint32 index, bytes eip2537)",
        "dst": core::str::from_utf8(DST).expect("ASCII"),
        "n": sharing.n,
        "threshold": sharing.threshold,
        "groupKey": key(&sharing.group),
        "members": members,
        "sharing": hex(&sharing.encode()),
        "cases": messages.map(|message| case(&sharing, &shares, message)),
    })
}

#[test]
fn the_golden_file_is_what_the_code_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/bls.json");
    let made = golden();
    if std::env::var("PLUMBLINE_BLESS").is_ok_and(|value| value == "1") {
        let text = serde_json::to_string_pretty(&made).expect("JSON");
        std::fs::write(path, text + "\n").expect("the golden file can be written");
    }
    let kept = std::fs::read_to_string(path).expect("the golden file is part of the repository");
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    assert!(kept == made, "bls.json differs from what the code makes; PLUMBLINE_BLESS=1 rewrites it, as a new version");
}

/// Reads the file as a stranger would, with blst alone.
#[test]
fn the_golden_file_verifies_with_blst_alone() {
    let text = include_str!("vectors/bls.json");
    let file: Value = serde_json::from_str(text).expect("JSON");
    let dst = file["dst"].as_str().expect("text").as_bytes();
    let verify = |key: &Value, message: &[u8], signature: &Value| {
        let key = blst::min_sig::PublicKey::key_validate(&hex_of(&key["compressed"])).expect("a key");
        let short = blst::min_sig::Signature::sig_validate(&hex_of(&signature["compressed"]), true).expect("a point");
        let long = blst::min_sig::Signature::deserialize(&hex_of(&signature["onchain"])).expect("a point");
        assert_eq!(short, long);
        short.verify(true, message, dst, &[], &key, true) == blst::BLST_ERROR::BLST_SUCCESS
    };
    assert_eq!(list(&file["cases"]).len(), 3);
    for case in list(&file["cases"]) {
        let message = hex_of(&case["message"]);
        assert!(verify(&file["groupKey"], &message, &case["certificate"]));
        assert!(!verify(&file["groupKey"], &[1; 32], &case["certificate"]));
        for (member, partial) in list(&file["members"]).iter().zip(list(&case["partials"])) {
            assert_eq!(member["index"], partial["index"]);
            assert!(verify(member, &message, partial));
        }
    }
    let sharing = Sharing::decode(&hex_of(&file["sharing"])).expect("a sharing");
    assert_eq!(sharing.group.to_eip2537(), array::<256>(&file["groupKey"]["eip2537"]));
}
