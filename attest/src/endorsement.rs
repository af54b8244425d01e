//! An endorsement: a maker's signed statement about one device key. The registry may store its bytes; whether a maker is
//! trusted and what a tier is worth is the appraisal's.
//!
//! Certificate: deterministic CBOR `[[1, device bstr32, tier uint, firmware bstr32, model text, issued uint, maker
//! bstr32], signature bstr64]`; device and maker are key thumbprints. Signed: `"plumbline/endorsement/v1" ‖ the inner
//! array's bytes`, Ed25519 over it, P-256 over its SHA-256 (as in docs/protocol.md §3).

use crate::{
    DecodeError, EncodeError, PublicKey, SealError, Signer, ToBeSigned,
    cbor::{Reader, Writer},
};

/// The longest certificate, in bytes.
pub const MAX_ENDORSEMENT: usize = 224;
/// The longest model name, in bytes of UTF-8.
pub const MAX_MODEL: usize = 32;

const TAG: &[u8; 24] = b"plumbline/endorsement/v1";
const VERSION: u64 = 1;

/// How well a device keeps its key and its firmware, by the maker's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Tier {
    /// The key is in the firmware's reach.
    Software = 1,
    /// The key is in a secure element and cannot be copied.
    SecureElement = 2,
    /// A secure element, and the boot chain is measured into it.
    MeasuredBoot = 3,
}

impl Tier {
    /// The number in the certificate, 1 to 3.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// The tier of this number, if there is one.
    #[must_use]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Software),
            2 => Some(Self::SecureElement),
            3 => Some(Self::MeasuredBoot),
            _ => None,
        }
    }
}

/// A maker's statement about a device key, with its signature. Decoding does not verify it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endorsement<'a> {
    /// The device key's thumbprint.
    pub device: [u8; 32],
    /// What the maker says of key and boot.
    pub tier: Tier,
    /// SHA-256 of the firmware it left the factory with.
    pub firmware: [u8; 32],
    /// The model, 1 to [`MAX_MODEL`] bytes.
    pub model: &'a str,
    /// When it was issued, unix seconds.
    pub issued: u64,
    /// The maker key's thumbprint.
    pub maker: [u8; 32],
    /// The maker's signature.
    pub signature: [u8; 64],
}

/// Why an endorsement does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementError {
    /// It speaks of another device key.
    #[error("endorses another device")]
    Device,
    /// It names another maker key.
    #[error("endorsed by another maker")]
    Maker,
    /// The signature is not the maker's over this statement.
    #[error("bad signature")]
    Signature,
}

impl<'a> Endorsement<'a> {
    /// Makes an endorsement with the maker's key.
    ///
    /// # Errors
    /// A model name that is empty or too long, or a signer that gives no signature.
    pub fn issue<S: Signer>(
        maker: &S,
        device: &PublicKey,
        tier: Tier,
        firmware: [u8; 32],
        model: &'a str,
        issued: u64,
    ) -> Result<Self, SealError> {
        let (device, maker_thumbprint) = (device.thumbprint(), maker.public_key().thumbprint());
        let signature = [0; 64];
        let mut made = Self { device, tier, firmware, model, issued, maker: maker_thumbprint, signature };
        let mut room = [0; MAX_ENDORSEMENT];
        made.signature = maker.sign(ToBeSigned::new(made.statement(&mut room)?))?;
        Ok(made)
    }

    /// Writes the certificate and returns its length; [`MAX_ENDORSEMENT`] bytes always suffice.
    ///
    /// # Errors
    /// A buffer that is too small, or a model name that is empty or too long.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let (head, rest) = out.split_first_mut().ok_or(EncodeError::Buffer)?;
        *head = 0x82;
        let body = self.write_body(rest)?;
        let rest = rest.get_mut(body..).ok_or(EncodeError::Buffer)?;
        let mut e = Writer::new(rest);
        e.bytes(&self.signature)?;
        Ok(1 + body + e.position())
    }

    /// Reads a certificate: the one canonical encoding and nothing else.
    ///
    /// # Errors
    /// Any deviation, by kind.
    pub fn decode(certificate: &'a [u8]) -> Result<Self, DecodeError> {
        if certificate.len() > MAX_ENDORSEMENT {
            return Err(DecodeError::TooLong);
        }
        let mut r = Reader::new(certificate);
        r.tuple(2)?;
        r.tuple(7)?;
        if r.uint()? != VERSION {
            return Err(DecodeError::Bounds);
        }
        let device = r.array_of()?;
        let tier = u8::try_from(r.uint()?).ok().and_then(Tier::from_u8).ok_or(DecodeError::Bounds)?;
        let firmware = r.array_of()?;
        let model = r.text()?;
        if !fits(model) {
            return Err(DecodeError::Bounds);
        }
        let (issued, maker) = (r.uint()?, r.array_of()?);
        let signature = r.array_of()?;
        r.end()?;
        Ok(Self { device, tier, firmware, model, issued, maker, signature })
    }

    /// Whether it is `maker`'s statement about `device`.
    ///
    /// # Errors
    /// Another device, another maker, or a bad signature.
    #[cfg(feature = "verify")]
    pub fn verify(&self, maker: &PublicKey, device: &PublicKey) -> Result<(), EndorsementError> {
        if self.device != device.thumbprint() {
            return Err(EndorsementError::Device);
        }
        if self.maker != maker.thumbprint() {
            return Err(EndorsementError::Maker);
        }
        let mut room = [0; MAX_ENDORSEMENT];
        let statement = self.statement(&mut room).map_err(|_| EndorsementError::Signature)?;
        if crate::verify_statement(maker, statement, &self.signature) {
            Ok(())
        } else {
            Err(EndorsementError::Signature)
        }
    }

    /// The bytes that the maker signs.
    fn statement<'r>(&self, room: &'r mut [u8; MAX_ENDORSEMENT]) -> Result<&'r [u8], EncodeError> {
        let (tag, rest) = room.split_at_mut(TAG.len());
        tag.copy_from_slice(TAG);
        let len = TAG.len() + self.write_body(rest)?;
        room.get(..len).ok_or(EncodeError::Buffer)
    }

    fn write_body(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        if !fits(self.model) {
            return Err(EncodeError::Bounds);
        }
        let mut e = Writer::new(out);
        e.array(7)?;
        e.uint(VERSION)?;
        e.bytes(&self.device)?;
        e.uint(self.tier.as_u8().into())?;
        e.bytes(&self.firmware)?;
        e.text(self.model)?;
        e.uint(self.issued)?;
        e.bytes(&self.maker)?;
        Ok(e.position())
    }
}

const fn fits(model: &str) -> bool {
    !model.is_empty() && model.len() <= MAX_MODEL
}
