//! Keys, proofs and labels: tight files, proofs that verify and nothing else, codes that read back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

const OWNER: &str = "0x2222222222222222222222222222222222222222";

fn flags(alg: Algorithm, key_file: Option<PathBuf>) -> Flags {
    Flags {
        alg,
        chain: 31_337,
        registry: "0x1111111111111111111111111111111111111111".into(),
        owner: OWNER.into(),
        network_registry: Some("3333333333333333333333333333333333333333".into()),
        key_file,
        public_key: None,
        proof: None,
        json: true,
    }
}

/// A folder of its own, removed afterwards.
fn scratch(name: &str, test: impl FnOnce(&Path)) {
    let dir = std::env::temp_dir().join(format!("attest-provision-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    test(&dir);
    std::fs::remove_dir_all(&dir).expect("removed");
}

fn write(path: &Path, content: &[u8], mode: u32) {
    std::fs::write(path, content).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
}

#[test]
fn a_key_is_made_once_with_mode_600_and_used_again() {
    scratch("made", |dir| {
        for alg in [Algorithm::Ed25519, Algorithm::P256] {
            let file = dir.join(format!("{alg:?}"));
            let first = proven(&flags(alg, Some(file.clone()))).expect("made");
            assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
            let again = proven(&flags(alg, Some(file.clone()))).expect("used again");
            assert_eq!((again.key, again.proof), (first.key, first.proof));
            // The same secret as raw bytes is the same key.
            let raw = hex::decode(std::fs::read_to_string(&file).expect("read").trim()).expect("hex");
            let other = dir.join(format!("{alg:?}.raw"));
            write(&other, &raw, 0o600);
            assert_eq!(proven(&flags(alg, Some(other))).expect("imported").key, first.key);
        }
    });
}

#[test]
fn a_key_file_that_cannot_be_trusted_is_refused() {
    scratch("refused", |dir| {
        let file = dir.join("k");
        let refused = |content: &[u8], mode, expected: &str| {
            write(&file, content, mode);
            let said = format!("{:#}", proven(&flags(Algorithm::P256, Some(file.clone()))).expect_err(expected));
            assert!(said.contains(expected), "{expected:?} not in {said:?}");
            assert_eq!(std::fs::read(&file).expect("read"), content, "never overwritten");
        };
        refused(&[7; 32], 0o644, "chmod 600");
        refused(&[7; 31], 0o600, "holds 31 bytes");
        refused(b"not a key", 0o600, "32 bytes or 64 hex digits");
        refused(b"", 0o600, "holds 0 bytes");
    });
}

#[test]
fn a_secure_elements_proof_is_checked_before_anything_is_printed() {
    scratch("element", |dir| {
        for alg in [Algorithm::Ed25519, Algorithm::P256] {
            let made = proven(&flags(alg, Some(dir.join(format!("{alg:?}"))))).expect("made");
            let external = |proof: &[u8; 64]| Flags {
                public_key: Some(hex::encode(made.key.bytes())),
                proof: Some(hex::encode(proof)),
                ..flags(alg, None)
            };
            assert_eq!(proven(&external(&made.proof)).expect("verifies").key, made.key);
            let mut wrong = made.proof;
            wrong[40] ^= 1;
            assert!(proven(&external(&wrong)).expect_err("wrong").to_string().contains("do not ship"));
            // A proof for one owner is none for another.
            let stolen = Flags { owner: OWNER.replace('2', "4"), ..external(&made.proof) };
            assert!(proven(&stolen).is_err());
            let said = run(Command::Statement(external(&made.proof))).expect("a statement");
            assert!(said.starts_with("sign th"), "{said}");
        }
        let none = proven(&flags(Algorithm::P256, None)).expect_err("no key").to_string();
        assert!(none.contains("--key-file is missing"), "{none}");
        let short = Flags { owner: "0x22".into(), ..flags(Algorithm::P256, None) };
        assert!(format!("{:#}", proven(&short).expect_err("short")).contains("--owner: 20 bytes of hex"));
    });
}

#[test]
fn the_printed_call_and_json_say_the_same_and_replacing_names_the_token() {
    scratch("call", |dir| {
        let label = proven(&flags(Algorithm::P256, Some(dir.join("k")))).expect("made");
        let key = hex::encode(label.key.bytes());
        assert!(label.json()["call"].as_str().is_some_and(|call| call.starts_with("register(") && call.contains(&key)));
        assert_eq!(label.json()["network"], hex::encode(attest::network_id(31_337, &[0x33; 20])));
        let text = run(Command::Replace {
            token: 7,
            flags: Flags { json: false, ..flags(Algorithm::P256, Some(dir.join("k"))) },
        });
        let text = text.expect("printed");
        assert!(text.contains(&format!("rotateKey(uint256,uint8,bytes,bytes) 7 2 0x{key} 0x")), "{text}");
        assert!(text.contains("lease        goes on") && text.contains("revoke"), "{text}");
    });
}

#[test]
fn the_code_on_the_terminal_reads_back() {
    scratch("code", |dir| {
        for alg in [Algorithm::Ed25519, Algorithm::P256] {
            let label = proven(&flags(alg, Some(dir.join(format!("{alg:?}"))))).expect("made");
            let drawn = label.code().expect("drawn");
            assert!(drawn.lines().all(|line| line.chars().count() <= 100), "wider than a terminal");
            // Two modules to a character, light where a glyph fills; eight pixels a module for the reader.
            let rows: Vec<Vec<bool>> = drawn
                .lines()
                .flat_map(|line| {
                    let light = |full: [char; 2]| line.chars().map(|c| full.contains(&c)).collect::<Vec<bool>>();
                    [light(['\u{2588}', '\u{2580}']), light(['\u{2588}', '\u{2584}'])]
                })
                .collect();
            let (width, height) = (rows[0].len() * 8, rows.len() * 8);
            let dark = |x: usize, y: usize| !rows[y / 8].get(x / 8).copied().unwrap_or(true);
            let mut image =
                rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| if dark(x, y) { 0 } else { 255 });
            let grids = image.detect_grids();
            let (_, content) = grids.first().expect("a code").decode().expect("readable");
            assert_eq!(content, label.uri());
        }
    });
}
