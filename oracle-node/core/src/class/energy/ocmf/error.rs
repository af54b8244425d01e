//! What can be wrong with a signed record, each with what was found, and the stable reason that a report gives for it.
//! Leaves out: what a well-formed, well-signed record is worth (`session`).

use super::key::Curve;
use super::{KEYS_MAX, NESTING_MAX, READINGS_MAX, RECORD_BYTES_MAX};
use crate::class::Fault;
use crate::class::energy::reason::fault;
use crate::reason::Reason;

/// A JSON section of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    /// What is signed.
    Payload,
    /// One reading within it.
    Reading,
    /// The signature.
    Signature,
}

impl core::fmt::Display for Section {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Payload => "payload",
            Self::Reading => "reading",
            Self::Signature => "signature",
        })
    }
}

/// Why a record is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OcmfError {
    /// Longer than [`RECORD_BYTES_MAX`].
    #[error("{bytes} bytes are more than {RECORD_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// Bytes that still were.
        at: usize,
    },
    /// Does not begin with `OCMF|`.
    #[error("does not begin with OCMF|")]
    NotOcmf,
    /// Not three sections.
    #[error("{count} sections instead of 3")]
    Sections {
        /// Sections found.
        count: usize,
    },
    /// A section is not one JSON object.
    #[error("the {section} is not one JSON object (column {column})")]
    Json {
        /// Which.
        section: Section,
        /// Where the reader stopped.
        column: usize,
    },
    /// An object nests deeper than [`NESTING_MAX`].
    #[error("the {section} nests deeper than {NESTING_MAX}")]
    TooDeep {
        /// Which.
        section: Section,
    },
    /// An object has more keys than [`KEYS_MAX`].
    #[error("the {section} has {count} keys, more than {KEYS_MAX}")]
    TooManyKeys {
        /// Which.
        section: Section,
        /// Keys found.
        count: usize,
    },
    /// A key stands twice in one object.
    #[error("the {section} has the key {key} twice")]
    DuplicateKey {
        /// Which.
        section: Section,
        /// The key, shortened to 32 characters.
        key: String,
    },
    /// A key that must be there is not.
    #[error("{key} is missing")]
    Missing {
        /// Which.
        key: &'static str,
    },
    /// A value has another type than the format says.
    #[error("{key} is not {expected}")]
    WrongType {
        /// Whose.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A text is longer than is read.
    #[error("{key} has {bytes} bytes")]
    TextTooLong {
        /// Whose.
        key: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// PG is not T or F and a number.
    #[error("{text:?} is not a page number")]
    BadPage {
        /// What it is.
        text: String,
    },
    /// More readings than [`READINGS_MAX`], or none.
    #[error("{count} readings: 1 to {READINGS_MAX} are taken")]
    Readings {
        /// How many.
        count: usize,
    },
    /// TM is not a time as the format writes it.
    #[error("{text:?} is not a time with milliseconds, offset and status")]
    BadTime {
        /// What it is.
        text: String,
    },
    /// RV is not a decimal number of bounded length.
    #[error("{text:?} is not a decimal number that is taken")]
    BadNumber {
        /// What it is, shortened to 64 bytes.
        text: String,
    },
    /// A coded field has a value that the format does not know.
    #[error("{key} has no code {text:?}")]
    BadCode {
        /// Which field.
        key: &'static str,
        /// What it is.
        text: String,
    },
    /// SA is not `ECDSA-<curve>-<hash>` with a hash that is taken.
    #[error("no signature algorithm {text:?} is taken")]
    Algorithm {
        /// What it is.
        text: String,
    },
    /// SE is neither hex nor base64.
    #[error("no signature encoding {text:?}")]
    SignatureEncoding {
        /// What it is.
        text: String,
    },
    /// SM is not application/x-der.
    #[error("no signature form {text:?}")]
    SignatureForm {
        /// What it is.
        text: String,
    },
    /// SD cannot be decoded, or is neither DER nor r‖s of the key's curve.
    #[error("the signature's {characters} characters or bytes are no signature of the key's curve")]
    SignatureBytes {
        /// Its length.
        characters: usize,
    },
    /// The key's curve is none that the policy allows.
    #[error("the policy does not allow the meter key's curve, {curve}")]
    CurveNotAllowed {
        /// Which.
        curve: Curve,
        /// Bits of the largest curve that it allows.
        largest: u16,
    },
    /// The signature verifies under no key of the registered thumbprint.
    #[error("the signature is not that of the registered key")]
    Signature,
}

impl OcmfError {
    /// The stable reason, with what was measured and its limit.
    #[must_use]
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::TooLong { bytes } => fault(Reason::RECORD_TOO_LONG, *bytes, RECORD_BYTES_MAX),
            Self::CurveNotAllowed { curve, largest } => fault(Reason::CURVE_NOT_ALLOWED, curve.bits(), *largest),
            Self::Signature | Self::SignatureBytes { .. } => Fault::plain(Reason::METER_SIGNATURE),
            _ => Fault::plain(Reason::RECORD_MALFORMED),
        }
    }
}
