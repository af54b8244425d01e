//! Encrypted key files: web3 secret storage version 3 for the chain key, EIP-2335 (version 4) for every other secret.
//! Both derive a key from a password (scrypt or PBKDF2), encrypt 32 bytes with AES-128-CTR and check the result; they
//! differ in the check (Keccak-256, SHA-256), in how the password is read, and in their JSON.
//! Written from the two specifications, since the crate for version 3 neither writes private files nor knows version 4.
//! Leaves out: where files and passwords come from (`keys`).

use std::fmt;

use alloy::primitives::keccak256;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::keys::Secret;

/// Longest key file, bytes.
pub const FILE_BYTES_MAX: usize = 16_384;
/// Most memory that a file may ask scrypt to use: 128 · n · r bytes.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;
/// Most parallel lanes of scrypt, and rounds of PBKDF2, that a file may ask for.
const LANES_MAX: u32 = 16;
const ROUNDS_MAX: u32 = 10_000_000;
/// Bytes that the derived key must have: the first 16 encrypt, the next 16 check.
const DERIVED_BYTES: usize = 32;

/// Why a key file does not give its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// Not the JSON of a known version.
    #[error("not a key file of web3 version 3 or EIP-2335 version 4: {0}")]
    Malformed(String),
    /// It asks for a derivation that is unknown, or costlier than any honest one.
    #[error("the key derivation is not one that is used here: {0}")]
    Derivation(String),
    /// The password does not open it, or the file was changed.
    #[error("the password does not open it (or the file is damaged)")]
    Password,
}

/// Which of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Web3 secret storage, version 3: secp256k1 keys, read by every wallet.
    Web3,
    /// EIP-2335, version 4: BLS shares, seeds, symmetric keys.
    Eip2335,
}

/// How much work opening a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// scrypt n = 2^18, r = 8: about half a second and 256 MiB, as both specifications use it.
    Standard,
    /// scrypt n = 2^12: for tests and testnets, whose passwords are no secret.
    Light,
}

/// What of a key file is readable without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Which format.
    pub format: Format,
    /// Address (web3) or public key (EIP-2335), hex as found; empty when left out.
    pub public: String,
    /// EIP-2335's free text.
    pub description: String,
    /// What is beside it: for a share, what it is a share of.
    pub extra: Value,
}

/// A parsed key file, still closed.
pub struct Keystore {
    /// What is readable.
    pub label: Label,
    derivation: Derivation,
    iv: [u8; 16],
    cipher: Vec<u8>,
    check: [u8; 32],
}

impl fmt::Debug for Keystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keystore({:?}, {})", self.label, self.derivation)
    }
}

#[derive(Clone, Debug)]
enum Derivation {
    Scrypt { log_n: u8, r: u32, p: u32, salt: Vec<u8> },
    Pbkdf2 { rounds: u32, salt: Vec<u8> },
}

impl fmt::Display for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scrypt { log_n, r, p, .. } => write!(f, "scrypt n=2^{log_n} r={r} p={p}"),
            Self::Pbkdf2 { rounds, .. } => write!(f, "pbkdf2-hmac-sha256 c={rounds}"),
        }
    }
}

impl Derivation {
    fn key(&self, password: &[u8]) -> Result<Zeroizing<[u8; DERIVED_BYTES]>, KeystoreError> {
        let mut key = Zeroizing::new([0; DERIVED_BYTES]);
        match self {
            Self::Scrypt { log_n, r, p, salt } => {
                let refused = |e: &dyn fmt::Display| KeystoreError::Derivation(format!("{self}: {e}"));
                let params = scrypt::Params::new(*log_n, *r, *p).map_err(|e| refused(&e))?;
                scrypt::scrypt(password, salt, &params, key.as_mut_slice()).map_err(|e| refused(&e))?;
            }
            Self::Pbkdf2 { rounds, salt } => {
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, *rounds, key.as_mut_slice());
            }
        }
        Ok(key)
    }

    /// From a version 4 or version 3 object of parameters.
    fn parse(function: &str, params: &Value) -> Result<Self, KeystoreError> {
        let number = |name: &str| params[name].as_u64().ok_or_else(|| malformed(&format!("kdf parameter {name}")));
        let salt = bytes(&params["salt"], "salt")?;
        if number("dklen")? != DERIVED_BYTES as u64 || salt.len() > 256 {
            return Err(KeystoreError::Derivation("dklen must be 32 and the salt at most 256 bytes".into()));
        }
        let small = |name: &str| u32::try_from(number(name)?).map_err(|_| malformed(name));
        match function {
            "scrypt" => {
                let (n, r, p) = (number("n")?, small("r")?, small("p")?);
                let room = n.checked_mul(128).and_then(|bytes| bytes.checked_mul(r.into()));
                if !n.is_power_of_two() || n < 2 || p > LANES_MAX || room.is_none_or(|room| room > SCRYPT_BYTES_MAX) {
                    return Err(KeystoreError::Derivation(format!("scrypt n={n} r={r} p={p}")));
                }
                // A power of two below 2^64 has at most 63 zeros.
                let log_n = u8::try_from(n.trailing_zeros()).unwrap_or(u8::MAX);
                Ok(Self::Scrypt { log_n, r, p, salt })
            }
            "pbkdf2" => match (params["prf"].as_str(), small("c")?) {
                (Some("hmac-sha256"), rounds @ 1..=ROUNDS_MAX) => Ok(Self::Pbkdf2 { rounds, salt }),
                (prf, rounds) => Err(KeystoreError::Derivation(format!("pbkdf2 with {prf:?}, c={rounds}"))),
            },
            other => Err(KeystoreError::Derivation(other.chars().take(40).collect())),
        }
    }
}

impl Keystore {
    /// Reads a key file's JSON.
    ///
    /// # Errors
    /// Not one of the two formats, or a derivation nobody sane asks for.
    pub fn parse(text: &str) -> Result<Self, KeystoreError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(malformed("longer than 16 KiB"));
        }
        let file: Value = serde_json::from_str(text).map_err(|e| malformed(&e.to_string()))?;
        match file["version"].as_u64() {
            Some(3) => Self::parse_web3(&file),
            Some(4) => Self::parse_2335(&file),
            _ => Err(malformed("version is neither 3 nor 4")),
        }
    }

    fn parse_web3(file: &Value) -> Result<Self, KeystoreError> {
        // Old wallets wrote the section's name with a capital.
        let crypto = [&file["crypto"], &file["Crypto"]].into_iter().find(|section| section.is_object());
        let crypto = crypto.ok_or_else(|| malformed("crypto is missing"))?;
        if crypto["cipher"] != "aes-128-ctr" {
            return Err(malformed("cipher is not aes-128-ctr"));
        }
        Ok(Self {
            label: label(Format::Web3, &file["address"], &Value::Null, Value::Null),
            derivation: Derivation::parse(text(&crypto["kdf"], "kdf")?, &crypto["kdfparams"])?,
            iv: array(&crypto["cipherparams"]["iv"], "iv")?,
            cipher: secret_sized(&crypto["ciphertext"])?,
            check: array(&crypto["mac"], "mac")?,
        })
    }

    fn parse_2335(file: &Value) -> Result<Self, KeystoreError> {
        let crypto = &file["crypto"];
        let (kdf, checksum, cipher) = (&crypto["kdf"], &crypto["checksum"], &crypto["cipher"]);
        if cipher["function"] != "aes-128-ctr" || checksum["function"] != "sha256" {
            return Err(malformed("cipher is not aes-128-ctr, or checksum not sha256"));
        }
        Ok(Self {
            label: label(Format::Eip2335, &file["pubkey"], &file["description"], file["plumbline"].clone()),
            derivation: Derivation::parse(text(&kdf["function"], "kdf")?, &kdf["params"])?,
            iv: array(&cipher["params"]["iv"], "iv")?,
            cipher: secret_sized(&cipher["message"])?,
            check: array(&checksum["message"], "checksum")?,
        })
    }

    /// The derivation in words.
    #[must_use]
    pub fn derivation(&self) -> String {
        self.derivation.to_string()
    }

    /// Opens it.
    ///
    /// # Errors
    /// A wrong password, or a file that was changed.
    pub fn open(&self, password: &str) -> Result<Secret, KeystoreError> {
        let key = self.derivation.key(&password_bytes(self.label.format, password))?;
        let (encrypt, check) = key.split_at(16);
        if checked(self.label.format, check, &self.cipher) != self.check {
            return Err(KeystoreError::Password);
        }
        let mut secret = Zeroizing::new([0; 32]);
        // `secret_sized` has seen to the length.
        secret.iter_mut().zip(&self.cipher).for_each(|(byte, from)| *byte = *from);
        crypt(encrypt, &self.iv, secret.as_mut_slice())?;
        Ok(Secret::new(*secret))
    }
}

/// Closes a secret under a password: the text of a key file. `extra` is stored beside an EIP-2335 key (null = nothing).
///
/// # Errors
/// Only if this machine cannot derive a key at the given cost.
pub fn close(secret: &Secret, password: &str, label: &Label, cost: Cost) -> Result<String, KeystoreError> {
    let log_n = match cost {
        Cost::Standard => 18,
        Cost::Light => 12,
    };
    let salt: [u8; 32] = rand::random();
    let derivation = Derivation::Scrypt { log_n, r: 8, p: 1, salt: salt.to_vec() };
    let iv: [u8; 16] = rand::random();
    let key = derivation.key(&password_bytes(label.format, password))?;
    let (encrypt, check) = key.split_at(16);
    let mut cipher = *secret.expose();
    crypt(encrypt, &iv, &mut cipher)?;
    let check = hex::encode(checked(label.format, check, &cipher));
    let params = json!({ "dklen": DERIVED_BYTES, "n": 1u64 << log_n, "r": 8, "p": 1, "salt": hex::encode(salt) });
    let (iv, cipher) = (hex::encode(iv), hex::encode(cipher));
    let mut file = match label.format {
        Format::Web3 => json!({
            "version": 3, "id": uuid(), "address": label.public.trim_start_matches("0x").to_lowercase(),
            "crypto": {
                "kdf": "scrypt", "kdfparams": params, "cipher": "aes-128-ctr", "cipherparams": { "iv": iv },
                "ciphertext": cipher, "mac": check,
            },
        }),
        Format::Eip2335 => json!({
            "version": 4, "uuid": uuid(), "description": label.description, "path": "",
            "pubkey": label.public.trim_start_matches("0x"),
            "crypto": {
                "kdf": { "function": "scrypt", "params": params, "message": "" },
                "checksum": { "function": "sha256", "params": {}, "message": check },
                "cipher": { "function": "aes-128-ctr", "params": { "iv": iv }, "message": cipher },
            },
        }),
    };
    if label.format == Format::Eip2335 && !label.extra.is_null() {
        file["plumbline"] = label.extra.clone();
    }
    Ok(format!("{file:#}\n"))
}

/// EIP-2335 takes passwords in NFKD without control characters; version 3 takes the bytes as they are.
fn password_bytes(format: Format, password: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match format {
        Format::Web3 => password.as_bytes().to_vec(),
        Format::Eip2335 => password.nfkd().filter(|c| !c.is_control()).collect::<String>().into_bytes(),
    })
}

/// What shows that the right key was derived: a hash over the second half of it and the ciphertext.
fn checked(format: Format, half: &[u8], cipher: &[u8]) -> [u8; 32] {
    match format {
        Format::Web3 => keccak256([half, cipher].concat()).0,
        Format::Eip2335 => Sha256::new().chain_update(half).chain_update(cipher).finalize().into(),
    }
}

fn crypt(key: &[u8], iv: &[u8; 16], data: &mut [u8]) -> Result<(), KeystoreError> {
    type Aes128Ctr = ctr::Ctr128BE<aes::Aes128>;
    let mut stream = Aes128Ctr::new_from_slices(key, iv).map_err(|_| malformed("key or iv length"))?;
    stream.apply_keystream(data);
    Ok(())
}

/// A random name (RFC 9562, version 4).
fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    parts.join("-")
}

fn label(format: Format, public: &Value, description: &Value, extra: Value) -> Label {
    let owned = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Label { format, public: owned(public), description: owned(description), extra }
}

fn malformed(what: &str) -> KeystoreError {
    KeystoreError::Malformed(what.to_owned())
}

fn text<'v>(value: &'v Value, what: &str) -> Result<&'v str, KeystoreError> {
    value.as_str().ok_or_else(|| malformed(what))
}

fn bytes(value: &Value, what: &str) -> Result<Vec<u8>, KeystoreError> {
    let digits = text(value, what)?;
    hex::decode(digits.trim_start_matches("0x")).map_err(|_| malformed(&format!("{what} is not hex")))
}

fn array<const N: usize>(value: &Value, what: &str) -> Result<[u8; N], KeystoreError> {
    bytes(value, what)?.try_into().map_err(|_| malformed(&format!("{what} is not {N} bytes")))
}

/// Every secret here has 32 bytes.
fn secret_sized(value: &Value) -> Result<Vec<u8>, KeystoreError> {
    Ok(array::<32>(value, "ciphertext of 32 bytes")?.to_vec())
}

#[cfg(test)]
mod tests;
