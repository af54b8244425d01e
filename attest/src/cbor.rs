//! The strict layer over minicbor: only definite lengths, only shortest forms, only integers, byte strings and text
//! (RFC 8949 §4.2.1). Knows nothing of claims.

use minicbor::{Decoder, decode::Error};

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

    /// The bytes consumed since `start`.
    pub(crate) fn since(&self, start: usize) -> Option<&'a [u8]> {
        self.0.input().get(start..self.0.position())
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

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        self.0.bool().map_err(|e| refusal(&e))
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

/// Writes into a caller's slice, in shortest forms. One small head function for all kinds of item: an encoder for every
/// type, inlined at every field, would cost a microcontroller a kilobyte of flash.
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

type Written = Result<(), EncodeError>;

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

impl<'a> Writer<'a> {
    pub(crate) const fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// The bytes written so far.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn uint(&mut self, value: u64) -> Written {
        self.head(UINT, value)
    }

    #[inline(never)]
    pub(crate) fn int(&mut self, value: i64) -> Written {
        // CBOR counts a negative number n as -1 - n, which is !n in two's complement.
        let (major, value) = if value < 0 { (NEGATIVE, !value) } else { (UINT, value) };
        self.head(major, value.unsigned_abs())
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> Written {
        self.string(BYTES, value)
    }

    pub(crate) fn text(&mut self, value: &str) -> Written {
        self.string(TEXT, value.as_bytes())
    }

    /// The head of an array.
    pub(crate) fn array(&mut self, len: u64) -> Written {
        self.head(ARRAY, len)
    }

    /// The head of a map.
    pub(crate) fn map(&mut self, pairs: u64) -> Written {
        self.head(MAP, pairs)
    }

    /// Bytes that are canonical CBOR already.
    #[inline(never)]
    pub(crate) fn raw(&mut self, encoded: &[u8]) -> Written {
        let room = self.out.get_mut(self.at..).and_then(|rest| rest.get_mut(..encoded.len()));
        room.ok_or(EncodeError::Buffer)?.copy_from_slice(encoded);
        self.at += encoded.len();
        Ok(())
    }

    #[inline(never)]
    fn string(&mut self, major: u8, value: &[u8]) -> Written {
        self.head(major, value.len() as u64)?;
        self.raw(value)
    }

    #[inline(never)]
    fn head(&mut self, major: u8, value: u64) -> Written {
        let [.., e, f, g, h] = value.to_be_bytes();
        let major = major << 5;
        match head_len(value) {
            1 => self.raw(&[major | h]),
            2 => self.raw(&[major | 24, h]),
            3 => self.raw(&[major | 25, g, h]),
            5 => self.raw(&[major | 26, e, f, g, h]),
            _ => {
                self.raw(&[major | 27])?;
                self.raw(&value.to_be_bytes())
            }
        }
    }
}
