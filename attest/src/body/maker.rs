//! A message that brings a maker's [`Endorsement`](crate::Endorsement) of the device's key. Its signature and its worth
//! are the appraisal's.

use crate::{
    DecodeError, EncodeError, Endorsement, MAX_ENDORSEMENT,
    cbor::{Reader, Writer},
    field::Field,
};

/// The certificate, well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndorsementBody<'a> {
    certificate: &'a [u8],
}

impl<'a> EndorsementBody<'a> {
    /// Takes a certificate as the maker gave it.
    ///
    /// # Errors
    /// Bytes that are no endorsement.
    pub fn new(certificate: &'a [u8]) -> Result<Self, DecodeError> {
        Endorsement::decode(certificate).map(|_| Self { certificate })
    }

    /// Takes a certificate unread, for firmware that carries no decoder; nodes refuse what is no endorsement.
    #[must_use]
    pub const fn unread(certificate: &'a [u8]) -> Self {
        Self { certificate }
    }

    /// The certificate's bytes.
    #[must_use]
    pub const fn certificate(&self) -> &'a [u8] {
        self.certificate
    }
}

impl<'a> Field<'a> for EndorsementBody<'a> {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.certificate.len() > MAX_ENDORSEMENT {
            return Err(EncodeError::Bounds);
        }
        out.array(1)?;
        out.bytes(self.certificate)
    }

    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        input.tuple(1)?;
        // A certificate's own faults are faults of a value: the message itself is whole.
        Self::new(input.bytes()?).map_err(|_| DecodeError::Bounds)
    }
}
