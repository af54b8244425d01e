//! Replays the fuzz seeds on stable: the same properties as the fuzz targets (fuzz/src/properties.rs), over the same
//! files, plus every truncation and single flipped bit of the smaller ones.

#[path = "../fuzz/src/properties.rs"]
#[allow(unreachable_pub, reason = "a module of the fuzz package")]
mod properties;

use std::{env, fs, path::PathBuf};

use attest::{Class, Endorsement, MAX_ENDORSEMENT, Queue, Signed, Signer, SoftEd25519, Tier, topic_up};
use serde_json::Value;

/// The seeds of a target by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the seeds are part of the crate")
        .map(|entry| entry.expect("readable"))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("readable")))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{target}: only {} seeds", files.len());
    files
}

fn replay(target: &str, property: fn(&[u8])) {
    for (_, bytes) in seeds(target) {
        property(&bytes);
        if bytes.len() > 300 {
            continue;
        }
        for end in 0..bytes.len() {
            property(&bytes[..end]);
        }
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            property(&other);
        }
    }
}

#[test]
fn decode_holds_over_the_seeds() {
    replay("decode", properties::decode_any);
}

#[test]
fn claims_hold_over_the_seeds() {
    replay("claims", properties::claims_any);
}

#[test]
fn verify_holds_over_the_seeds() {
    // Signatures cost too much for every bit: the files alone, and every class.
    for (_, mut bytes) in seeds("verify") {
        for class in Class::ALL.map(Class::as_u8) {
            bytes[0] = class;
            properties::verify_any(&bytes);
        }
    }
}

/// Every seed: the pinned messages, so that fuzzing starts from every class, and one of each other thing that is read.
fn expected() -> Vec<(&'static str, String, Vec<u8>)> {
    let vectors = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/evidence.json");
    let pinned: Value = serde_json::from_str(&fs::read_to_string(vectors).expect("pinned")).expect("json");
    let mut out = Vec::new();
    let mut queued = vec![0; 1000];
    let mut queue = Queue::new(&mut queued);
    for (n, message) in pinned["messages"].as_array().into_iter().flatten().enumerate() {
        let hex = |field: &str| hex::decode(message[field].as_str().expect("hex")).expect("hex");
        let class = u8::try_from(message["class"].as_u64().expect("a class")).expect("small");
        let (envelope, payload, id) = (hex("envelope"), hex("payload"), hex("id"));
        let (class_of, id) = (Class::from_u8(class).expect("known"), id.try_into().expect("32 bytes"));
        let _full = queue.push(&Signed { class: class_of, bytes: &envelope, id, seq: 0 });
        let name = format!("pinned-{n:02}");
        out.push(("claims", name.clone(), [vec![class], payload].concat()));
        out.push(("verify", name.clone(), [vec![class], envelope.clone()].concat()));
        out.push(("decode", name, envelope));
    }
    out.push(("decode", "queue".to_owned(), queued));
    // One receipt of member 1: its path has one step.
    let (b32, b64) = ([&[0x58, 0x20][..], &[3; 32]].concat(), [&[0x58, 0x40][..], &[4; 64]].concat());
    let receipt =
        [&[0x86, 1, 0][..], &b32, &[2], &b64, &[0x81, 0x84], &b32, &[5, 0, 0x81, 0x82], &b32, &[0xf5]].concat();
    assert!(attest::Receipts::decode(&receipt).is_ok());
    out.push(("decode", "receipts".to_owned(), receipt));
    out.push(("decode", "beacon".to_owned(), [&4u64.to_be_bytes()[..], &[0xc0; 48]].concat()));
    out.push(("decode", "topic".to_owned(), topic_up(Class::Answer, &[0xab; 8]).as_bytes().to_vec()));
    let maker = SoftEd25519::from_seed([9; 32]);
    let made = Endorsement::issue(&maker, &maker.public_key(), Tier::SecureElement, [0xf1; 32], "M3", 5);
    let mut room = [0; MAX_ENDORSEMENT];
    let len = made.expect("issues").encode(&mut room).expect("encodes");
    out.push(("decode", "endorsement".to_owned(), room[..len].to_vec()));
    out
}

#[test]
fn the_seeds_are_these() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let expected = expected();
    if env::var_os("PLUMBLINE_BLESS").is_some() {
        for (target, name, bytes) in &expected {
            fs::write(folder.join(target).join(name), bytes).expect("written");
        }
    }
    for (target, name, bytes) in expected {
        let found = fs::read(folder.join(target).join(&name)).unwrap_or_default();
        assert_eq!(found, bytes, "{target}/{name}: run with PLUMBLINE_BLESS=1");
    }
}
