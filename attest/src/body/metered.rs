//! A record that a meter signed by itself: the device passes on what the meter said, and names the meter's key. The record
//! stands in the message where it fits; a longer one is named by digest and length and travels as content. Only the form is
//! checked here: the record's signature, its meaning and whose meter it is are the appraisal's.

use crate::{
    DecodeError, EncodeError,
    cbor::{Reader, Writer},
    field::Field,
    hash::sha256,
};

/// The longest record that stands in a message, in bytes: what is left beside the widest numbers.
pub const MAX_RECORD: usize = 838;
/// The longest record that a message may name by its digest, in bytes.
pub const MAX_FOREIGN: u32 = 65_536;

/// The format of a record, from 1; a number above those named here is one of a later version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct RecordFormat(pub u8);

impl RecordFormat {
    /// Open Charge Metering Format: `OCMF|payload|signature`, byte for byte as the meter gave it.
    pub const OCMF: Self = Self(1);
    /// The signed meter data of OCPP's SignedMeterValue, decoded from its base64.
    pub const OCPP: Self = Self(2);
}

impl<'a> Field<'a> for RecordFormat {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.0 == 0 { Err(EncodeError::Bounds) } else { self.0.write(out) }
    }

    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match u8::read(input)? {
            0 => Err(DecodeError::Bounds),
            number => Ok(Self(number)),
        }
    }
}

/// The record, or what names it. A record that fits is never named by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record<'a> {
    /// Its bytes, 1 to [`MAX_RECORD`].
    Whole(&'a [u8]),
    /// SHA-256 and length of one that is longer.
    Digest {
        /// SHA-256 of its bytes.
        digest: [u8; 32],
        /// Their number, above [`MAX_RECORD`] and at most [`MAX_FOREIGN`].
        length: u32,
    },
}

impl<'a> Record<'a> {
    /// The form that this record takes in a message.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        if bytes.len() <= MAX_RECORD {
            return Self::Whole(bytes);
        }
        Self::Digest { digest: sha256(&[bytes]), length: u32::try_from(bytes.len()).unwrap_or(u32::MAX) }
    }

    /// Whether these bytes are the record.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        *self == Record::of(bytes)
    }

    const fn is_bounded(&self) -> bool {
        match self {
            Self::Whole(bytes) => !bytes.is_empty() && bytes.len() <= MAX_RECORD,
            Self::Digest { length, .. } => *length > MAX_RECORD as u32 && *length <= MAX_FOREIGN,
        }
    }
}

/// A meter's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeteredBody<'a> {
    /// The lease whose energy it counts.
    pub lease: u64,
    /// How the record is read.
    pub format: RecordFormat,
    /// [`meter_key_thumbprint`] of the key that signed it.
    pub meter: [u8; 32],
    /// The record.
    pub record: Record<'a>,
}

impl<'a> Field<'a> for MeteredBody<'a> {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        if !self.record.is_bounded() {
            return Err(EncodeError::Bounds);
        }
        out.array(if matches!(self.record, Record::Whole(_)) { 4 } else { 5 })?;
        out.uint(self.lease)?;
        self.format.write(out)?;
        out.bytes(&self.meter)?;
        match self.record {
            Record::Whole(bytes) => out.bytes(bytes),
            Record::Digest { digest, length } => {
                out.bytes(&digest)?;
                out.uint(length.into())
            }
        }
    }

    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let fields = input.array()?;
        if !matches!(fields, 4 | 5) {
            return Err(DecodeError::Bounds);
        }
        let (lease, format, meter) = (Field::read(input)?, Field::read(input)?, Field::read(input)?);
        let record = if fields == 4 {
            Record::Whole(input.bytes()?)
        } else {
            Record::Digest { digest: input.array_of()?, length: Field::read(input)? }
        };
        if record.is_bounded() { Ok(Self { lease, format, meter, record }) } else { Err(DecodeError::Bounds) }
    }
}

/// The curve of a meter's key, by its COSE number (RFC 9053 §7.1, RFC 8812 §3.1, ISO/IEC 18013-5 for the last two).
/// Curves without one, such as those of 192 bits, have no thumbprint here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum MeterCurve {
    /// NIST P-256 (secp256r1).
    P256 = 1,
    /// NIST P-384 (secp384r1).
    P384 = 2,
    /// secp256k1.
    Secp256k1 = 8,
    /// brainpoolP256r1.
    BrainpoolP256r1 = 256,
    /// brainpoolP384r1.
    BrainpoolP384r1 = 258,
}

impl MeterCurve {
    /// Every curve, ascending by number.
    pub const ALL: [Self; 5] = [Self::P256, Self::P384, Self::Secp256k1, Self::BrainpoolP256r1, Self::BrainpoolP384r1];

    /// Its COSE number.
    #[must_use]
    pub const fn as_u16(self) -> u16 {
        self as u16
    }

    /// The curve of this number, if there is one.
    #[must_use]
    pub fn from_u16(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.as_u16() == number)
    }

    /// The bytes of one coordinate.
    #[must_use]
    pub const fn coordinate_len(self) -> usize {
        match self {
            Self::P256 | Self::Secp256k1 | Self::BrainpoolP256r1 => 32,
            Self::P384 | Self::BrainpoolP384r1 => 48,
        }
    }
}

/// The RFC 9679 thumbprint of a meter's key: SHA-256 of its deterministic COSE_Key `{1: 2, -1: curve, -2: x, -3: y}`. For
/// P-256 it is what [`PublicKey::thumbprint`](crate::PublicKey::thumbprint) gives. `point` is x then y, big-endian, each as
/// long as the curve's field; `None` for another length. Whether it is a point of the curve is not checked.
#[must_use]
pub fn meter_key_thumbprint(curve: MeterCurve, point: &[u8]) -> Option<[u8; 32]> {
    let len = curve.coordinate_len();
    let (x, y) = point.split_at_checked(len).filter(|(_, y)| y.len() == len)?;
    let mut head = [0; 16];
    let mut e = Writer::new(&mut head);
    e.map(4).ok()?;
    for (label, value) in [(1, 2), (-1, curve.as_u16().into())] {
        e.int(label).ok()?;
        e.int(value).ok()?;
    }
    e.int(-2).ok()?;
    let head_len = e.position();
    let length = [0x58, u8::try_from(len).ok()?];
    Some(sha256(&[head.get(..head_len)?, &length, x, &[0x22], &length, y]))
}
