//! The published vectors of both formats open; whatever is changed, missing or absurd is refused.
//! Vectors: EIP-2335 "Test Cases"; web3 secret storage definition, "Test Vectors" (ethereum.org developer documentation).

use super::*;

const SALT_2335: &str = "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3";
const SECRET_2335: &str = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
const PASSWORD_2335: &str = "𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑";
const PUBLIC_2335: &str =
    "9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07";
const SECRET_WEB3: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

fn eip_2335(kdf: &Value, checksum: &str, cipher: &str) -> Value {
    let iv = "264daa3f303d7259501c93d997d84fe6";
    json!({
        "crypto": {
            "kdf": kdf,
            "checksum": { "function": "sha256", "params": {}, "message": checksum },
            "cipher": { "function": "aes-128-ctr", "params": { "iv": iv }, "message": cipher },
        },
        "description": "This is a test keystore", "pubkey": PUBLIC_2335,
        "path": "m/12381/60/3141592653/589793238", "uuid": "1d85ae20-35c5-4611-98e8-aa14a633906f", "version": 4
    })
}

fn eip_2335_scrypt() -> Value {
    let params = json!({ "dklen": 32, "n": 262_144, "p": 1, "r": 8, "salt": SALT_2335 });
    eip_2335(
        &json!({ "function": "scrypt", "params": params, "message": "" }),
        "d2217fe5f3e9a1e34581ef8a78f7c9928e436d36dacc5e846690a5581e8ea484",
        "06ae90d55fe0a6e9c5c3bc5b170827b2e5cce3929ed3f116c2811e6366dfe20f",
    )
}

fn eip_2335_pbkdf2() -> Value {
    let params = json!({ "dklen": 32, "c": 262_144, "prf": "hmac-sha256", "salt": SALT_2335 });
    eip_2335(
        &json!({ "function": "pbkdf2", "params": params, "message": "" }),
        "8a9f5d9912ed7e75ea794bc5a89bca5f193721d30868ade6f73043c6ea6febf1",
        "cee03fde2af33149775b7223e7845e4fb2c8ae1792e5f99fe9ecf474cc8c16ad",
    )
}

fn web3_pbkdf2() -> Value {
    json!({
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "6087dab2f9fdbbfaddc31a909735c1e6" },
            "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262_144, "dklen": 32, "prf": "hmac-sha256",
                "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3
    })
}

fn web3_scrypt() -> Value {
    json!({
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "83dbcc02d8ccb40e466191a123791e0e" },
            "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32, "n": 262_144, "r": 1, "p": 8,
                "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"
            },
            "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3
    })
}

fn opened(file: &Value, password: &str) -> Result<String, KeystoreError> {
    Ok(hex::encode(Keystore::parse(&file.to_string())?.open(password)?.expose()))
}

#[test]
fn the_published_vectors_open() {
    for file in [eip_2335_scrypt(), eip_2335_pbkdf2()] {
        assert_eq!(opened(&file, PASSWORD_2335).as_deref(), Ok(SECRET_2335));
        // As EIP-2335 writes it out: NFKD turns the letters into plain ones.
        assert_eq!(opened(&file, "testpassword\u{7f}🔑\n").as_deref(), Ok(SECRET_2335));
        assert_eq!(Keystore::parse(&file.to_string()).expect("vector").label.public, PUBLIC_2335);
    }
    for file in [web3_pbkdf2(), web3_scrypt()] {
        assert_eq!(opened(&file, "testpassword").as_deref(), Ok(SECRET_WEB3));
        assert_eq!(opened(&file, "testpassword\n"), Err(KeystoreError::Password), "version 3 takes the bytes as given");
    }
}

#[test]
fn what_is_closed_opens_and_shows_nothing() {
    let secret = Secret::new([0x5a; 32]);
    for format in [Format::Web3, Format::Eip2335] {
        let label = Label { format, public: "0xAB".into(), description: "one".into(), extra: json!({ "term": 1 }) };
        let [one, two] = [0, 1].map(|_| close(&secret, "correct horse", &label, Cost::Light).expect("closed"));
        assert_ne!(one, two, "salt, iv and name are new each time");
        assert!(!one.contains("5a5a5a5a"));
        let store = Keystore::parse(&one).expect("parsed");
        assert_eq!(store.open("correct horse").expect("opens").expose(), secret.expose());
        assert_eq!(store.open("correct hors").err(), Some(KeystoreError::Password));
        assert!(!format!("{store:?}").contains("cipher"));
        let kept = (store.label.extra["term"].as_u64(), store.label.public.to_lowercase());
        assert_eq!(kept, (Some(1).filter(|_| format == Format::Eip2335), "ab".into()));
    }
}

#[test]
fn a_changed_file_is_refused() {
    let label =
        Label { format: Format::Eip2335, public: String::new(), description: String::new(), extra: Value::Null };
    for format in [Format::Web3, Format::Eip2335] {
        let label = Label { format, ..label.clone() };
        let closed = close(&Secret::new([1; 32]), "p", &label, Cost::Light).expect("closed");
        let file: Value = serde_json::from_str(&closed).expect("json");
        let places: &[&str] = match format {
            Format::Web3 => &["/crypto/ciphertext", "/crypto/mac", "/crypto/kdfparams/salt"],
            Format::Eip2335 => &["/crypto/cipher/message", "/crypto/checksum/message", "/crypto/kdf/params/salt"],
        };
        for place in places {
            let mut changed = file.clone();
            let digits = changed.pointer_mut(place).expect("there");
            let first = if digits.as_str().is_some_and(|d| d.starts_with('0')) { "1" } else { "0" };
            *digits = json!(format!("{first}{}", &digits.as_str().expect("hex")[1..]));
            assert_eq!(opened(&changed, "p"), Err(KeystoreError::Password), "{place}");
            let mut short = file.clone();
            *short.pointer_mut(place).expect("there") = json!("00zz");
            assert!(matches!(opened(&short, "p"), Err(KeystoreError::Malformed(_))), "{place}");
        }
    }
}

#[test]
fn absurd_files_are_refused_before_any_work() {
    let with = |place: &str, value: Value| {
        let mut file = eip_2335_scrypt();
        *file.pointer_mut(place).expect("there") = value;
        Keystore::parse(&file.to_string()).map(|_| ())
    };
    let derivation = |refused: Result<(), KeystoreError>| matches!(refused, Err(KeystoreError::Derivation(_)));
    // 128 · 2^21 · 8 bytes are 2 GiB.
    for n in [0u64, 1, 3, 262_143, 1 << 21, 1 << 63] {
        assert!(derivation(with("/crypto/kdf/params/n", json!(n))), "n = {n}");
    }
    assert!(derivation(with("/crypto/kdf/params/p", json!(1_000))));
    assert!(derivation(with("/crypto/kdf/params/r", json!(4_000_000_000u64))));
    assert!(derivation(with("/crypto/kdf/params/dklen", json!(64))));
    assert!(derivation(with("/crypto/kdf/function", json!("md5"))));
    for (place, value) in [
        ("/version", json!(5)),
        ("/crypto/cipher/function", json!("none")),
        ("/crypto/checksum/function", json!("crc32")),
        ("/crypto/cipher/params/iv", json!("00")),
        ("/crypto/cipher/message", json!("0011")),
        ("/crypto/kdf/params/n", json!(-1)),
        ("/crypto/kdf", json!([])),
    ] {
        assert!(with(place, value).is_err(), "{place}");
    }
    let mut slow = eip_2335_pbkdf2();
    slow["crypto"]["kdf"]["params"]["c"] = json!(4_000_000_000u64);
    assert!(derivation(Keystore::parse(&slow.to_string()).map(|_| ())));
    for text in ["", "{", "[]", "0x12", &" ".repeat(FILE_BYTES_MAX + 1)] {
        assert!(matches!(Keystore::parse(text), Err(KeystoreError::Malformed(_))));
    }
}
