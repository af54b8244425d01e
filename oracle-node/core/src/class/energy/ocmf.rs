//! OCMF: a charging record that a calibrated meter signed, `OCMF|payload JSON|signature JSON`, read and verified exactly
//! as it was sent. Source: the Open Charge Metering Format 1.4.1.
//!
//! [`Record::parse`] reads, [`key::check`] checks that the registered meter signed,
//! and [`session::judge`] decides what a session's records are worth.
//! Leaves out: who the customer is, tariffs, cable losses, and every other format of signed meter values.

pub(crate) mod error;
mod json;
pub(crate) mod key;
pub(crate) mod obis;
pub(crate) mod reading;
pub(crate) mod session;
pub(crate) mod time;

mod der;

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use error::{OcmfError, Section};
use json::Object;
pub(crate) use reading::Reading;

/// Longest record, bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 8_192;
/// Most readings of a record.
pub(crate) const READINGS_MAX: usize = 64;
/// Most keys of one JSON object.
pub(crate) const KEYS_MAX: usize = 64;
/// Longest text that is read, bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 256;
/// Deepest nesting of a section.
pub(crate) const NESTING_MAX: usize = 8;
/// Most digits of a page number: more than any meter counts to, and all of them fit into 64 bits.
const PAGE_DIGITS_MAX: usize = 18;

/// A record as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// What signed.
    pub(crate) serials: Serials<'a>,
    /// PG: where the record stands among all of its meter.
    pub(crate) page: Page,
    /// RD: the readings, each with the fields that it repeats from the one before. Never empty.
    pub(crate) readings: Vec<Reading<'a>>,
    /// The signature section.
    pub(crate) signature: Signature,
    payload: &'a str,
}

/// What signed a record; what is absent is `None`, what is empty is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Serials<'a> {
    /// GS: gateway serial number.
    pub(crate) gateway: Option<Cow<'a, str>>,
    /// MS: meter serial number.
    pub(crate) meter: Option<Cow<'a, str>>,
}

/// Which counter of a meter numbered a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Context {
    /// T: records of charging transactions.
    Transaction,
    /// F: records outside of them.
    Fiscal,
}

/// A record's number. Each context counts by itself, one up with every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Page {
    /// The counter.
    pub(crate) context: Context,
    /// Its value.
    pub(crate) number: u64,
}

/// The hash that a signature is over; SA names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// SHA-256, also when SA is absent.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// The signature section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    /// SA's last part. The curve that SA names is not read: it is the registered key's.
    pub(crate) hash: Hash,
    /// SD: the signature's bytes, DER or r‖s.
    pub(crate) bytes: Vec<u8>,
}

impl<'a> Record<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// What is wrong with it. The signature is not looked at.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, OcmfError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(OcmfError::TooLong { bytes: bytes.len() });
        }
        let text = core::str::from_utf8(bytes).map_err(|e| OcmfError::NotUtf8 { at: e.valid_up_to() })?;
        let sections = text.strip_prefix("OCMF|").ok_or(OcmfError::NotOcmf)?;
        let (payload, signature) = sections.split_once('|').ok_or(OcmfError::Sections { count: 2 })?;
        if signature.contains('|') {
            return Err(OcmfError::Sections { count: text.split('|').count() });
        }
        let fields = Object::parse(payload, Section::Payload)?;
        Ok(Self {
            serials: Serials { gateway: fields.text("GS")?, meter: fields.text("MS")? },
            page: page(&fields.required_text("PG")?)?,
            readings: reading::all(&fields)?,
            signature: Signature::parse(&Object::parse(signature, Section::Signature)?)?,
            payload,
        })
    }

    /// The bytes that the signature is over.
    #[must_use]
    pub(crate) const fn payload(&self) -> &'a [u8] {
        self.payload.as_bytes()
    }

    /// SHA-256 of the payload. Two records are the same when this is: ECDSA gives many signatures for one payload.
    #[must_use]
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.payload()).into()
    }
}

/// `T` or `F` and a number without leading zeros.
fn page(text: &str) -> Result<Page, OcmfError> {
    let bad = || OcmfError::BadPage { text: text.to_owned() };
    let mut letters = text.chars();
    let context = match letters.next() {
        Some('T') => Context::Transaction,
        Some('F') => Context::Fiscal,
        _ => return Err(bad()),
    };
    let digits = letters.as_str();
    let plain = (1..=PAGE_DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (digits.len() > 1 && digits.starts_with('0')) {
        return Err(bad());
    }
    Ok(Page { context, number: digits.parse().map_err(|_| bad())? })
}

impl Signature {
    fn parse(fields: &Object<'_>) -> Result<Self, OcmfError> {
        let hash = match fields.text("SA")? {
            None => Hash::Sha256,
            Some(name) => Hash::of(&name).ok_or_else(|| OcmfError::Algorithm { text: name.into_owned() })?,
        };
        if let Some(form) = fields.text("SM")?.filter(|form| form != "application/x-der") {
            return Err(OcmfError::SignatureForm { text: form.into_owned() });
        }
        let data = json::long_text(fields.required("SD")?, "SD", key::SIGNATURE_TEXT_MAX)?;
        let bytes = match fields.text("SE")?.as_deref() {
            None | Some("hex") => hex::decode(data.as_bytes()).ok(),
            Some("base64") => base64(&data),
            Some(other) => return Err(OcmfError::SignatureEncoding { text: other.to_owned() }),
        };
        bytes.map(|bytes| Self { hash, bytes }).ok_or(OcmfError::SignatureBytes { characters: data.len() })
    }
}

/// Padded standard base64. The crate is base64ct: small, without features here, already beneath the signature crates,
/// and strict (no white space, no stray bits), so that a signature has one text.
fn base64(text: &str) -> Option<Vec<u8>> {
    use base64ct::{Base64, Encoding};
    let mut buffer = [0u8; key::SIGNATURE_TEXT_MAX];
    Base64::decode(text, &mut buffer).ok().map(<[u8]>::to_vec)
}

impl Hash {
    /// The hash part of `ECDSA-<curve>-<hash>`.
    fn of(algorithm: &str) -> Option<Self> {
        let rest = algorithm.strip_prefix("ECDSA-")?;
        match rest.split_once('-')?.1 {
            "SHA256" | "SHA-256" => Some(Self::Sha256),
            "SHA384" | "SHA-384" => Some(Self::Sha384),
            "SHA512" | "SHA-512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
