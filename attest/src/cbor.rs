//! The strict layer over minicbor: only definite lengths, only shortest forms, only integers, byte strings and text
//! (RFC 8949 §4.2.1). Knows nothing of claims.

use minicbor::{
    Decoder, Encoder,
    decode::Error,
    encode::write::{Cursor, EndOfSlice},
};

use crate::{DecodeError, EncodeError};

/// Reads canonical CBOR and refuses everything else.
#[derive(Clone)]
pub(crate) struct Reader<'a>(Decoder<'a>);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(Decoder::new(bytes))
    }

    /// The bytes consumed so far.
    pub(crate) fn position(&self) -> usize {
        self.0.position()
    }

    /// Refuses bytes that follow.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.0.position() == self.0.input().len() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    pub(crate) fn uint(&mut self) -> Result<u64, DecodeError> {
        let start = self.0.position();
        let value = self.0.u64().map_err(|e| refusal(&e))?;
        self.head(start, 0, value)?;
        Ok(value)
    }

    pub(crate) fn int(&mut self) -> Result<i64, DecodeError> {
        let start = self.0.position();
        let value = self.0.i64().map_err(|e| refusal(&e))?;
        // CBOR counts a negative number n as -1 - n, which is !n in two's complement.
        self.head(start, 0, if value < 0 { !value } else { value }.unsigned_abs())?;
        Ok(value)
    }

    /// A byte string of any length.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let start = self.0.position();
        let value = self.0.bytes().map_err(|e| refusal(&e))?;
        self.head(start, value.len(), value.len() as u64)?;
        Ok(value)
    }

    /// A byte string of exactly `N` bytes.
    pub(crate) fn array_of<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.bytes()?.try_into().map_err(|_| DecodeError::Bounds)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.0.position();
        let value = self.0.str().map_err(|e| refusal(&e))?;
        self.head(start, value.len(), value.len() as u64)?;
        Ok(value)
    }

    /// The length of an array that is definite.
    pub(crate) fn array(&mut self) -> Result<u64, DecodeError> {
        let start = self.0.position();
        let len = self.0.array().map_err(|e| refusal(&e))?.ok_or(DecodeError::Type)?;
        self.head(start, 0, len)?;
        Ok(len)
    }

    /// The head of an array of exactly `len` items.
    pub(crate) fn tuple(&mut self, len: u64) -> Result<(), DecodeError> {
        if self.array()? == len { Ok(()) } else { Err(DecodeError::Bounds) }
    }

    /// The number of pairs of a map that is definite.
    pub(crate) fn map(&mut self) -> Result<u64, DecodeError> {
        let start = self.0.position();
        let len = self.0.map().map_err(|e| refusal(&e))?.ok_or(DecodeError::Type)?;
        self.head(start, 0, len)?;
        Ok(len)
    }

    /// Checks that the head read since `start`, without its `content` bytes, was the shortest for `value`.
    fn head(&self, start: usize, content: usize, value: u64) -> Result<(), DecodeError> {
        let read = self.0.position().saturating_sub(start).saturating_sub(content);
        if read == head_len(value) { Ok(()) } else { Err(DecodeError::NotShortest) }
    }
}

/// The bytes of the shortest head for this value or length.
pub(crate) const fn head_len(value: u64) -> usize {
    match value {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

fn refusal(error: &Error) -> DecodeError {
    if error.is_end_of_input() { DecodeError::Truncated } else { DecodeError::Type }
}

/// Writes into a caller's slice.
pub(crate) type Writer<'a> = Encoder<Cursor<&'a mut [u8]>>;

pub(crate) fn writer(out: &mut [u8]) -> Writer<'_> {
    Encoder::new(Cursor::new(out))
}

/// The one way in which writing into a slice fails.
pub(crate) fn no_room(_: minicbor::encode::Error<EndOfSlice>) -> EncodeError {
    EncodeError::Buffer
}
