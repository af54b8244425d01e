//! Readings and receptions: short lists that are either a slice of the attester's or the received bytes, read in place.

use core::{fmt, marker::PhantomData};

use minicbor::encode::Write as _;

use crate::{
    DecodeError, EncodeError,
    cbor::{Reader, Writer, no_room},
};

/// One reading: `mantissa · 10^exponent` on a channel whose meaning the device class defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Reading {
    /// The channel.
    pub channel: u64,
    /// The decimal exponent.
    pub exponent: i8,
    /// The integer that is scaled.
    pub mantissa: i64,
}

/// One reception: what a device heard of another's coverage transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Reception {
    /// The lease of the transmitter.
    pub lease: u64,
    /// The payload that was heard.
    pub payload: [u8; 16],
    /// Received power in 0.01 dBm.
    pub rssi: i32,
    /// Signal to noise in 0.01 dB.
    pub snr: i32,
}

/// Readings of a telemetry message, at most 32.
pub type Readings<'a> = List<'a, Reading>;
/// Receptions of a reveal, at most 16, strictly ascending by lease.
pub type Receptions<'a> = List<'a, Reception>;

mod row {
    use super::{DecodeError, EncodeError, Reader, Writer};

    /// How a row is written and read; private, so that no other type can be a row.
    pub(crate) trait Codec: Sized {
        const MAX: usize;
        /// Whether `next` may follow `self`.
        fn precedes(&self, next: &Self) -> bool;
        fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError>;
        fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError>;
    }
}

/// A row of a [`List`]: [`Reading`] or [`Reception`].
#[expect(private_bounds, reason = "sealed")]
pub trait Row: row::Codec + Copy + PartialEq + fmt::Debug {}
impl Row for Reading {}
impl Row for Reception {}

impl row::Codec for Reading {
    const MAX: usize = 32;

    fn precedes(&self, _: &Self) -> bool {
        true
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.array(3)
            .and_then(|e| e.u64(self.channel)?.i64(self.exponent.into())?.i64(self.mantissa))
            .map_err(no_room)?;
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.tuple(3)?;
        let channel = input.uint()?;
        let exponent = i8::try_from(input.int()?).map_err(|_| DecodeError::Bounds)?;
        Ok(Self { channel, exponent, mantissa: input.int()? })
    }
}

impl row::Codec for Reception {
    const MAX: usize = 16;

    fn precedes(&self, next: &Self) -> bool {
        self.lease < next.lease
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.array(4)
            .and_then(|e| e.u64(self.lease)?.bytes(&self.payload)?.i64(self.rssi.into())?.i64(self.snr.into()))
            .map_err(no_room)?;
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.tuple(4)?;
        let lease = input.uint()?;
        let payload = input.array_of()?;
        let rssi = i32::try_from(input.int()?).map_err(|_| DecodeError::Bounds)?;
        let snr = i32::try_from(input.int()?).map_err(|_| DecodeError::Bounds)?;
        Ok(Self { lease, payload, rssi, snr })
    }
}

/// A list of rows, borrowed: from a slice (`List::from(&rows)`), or checked bytes of a received message.
/// Bounds and order of a slice are checked when it is encoded. Two lists are equal when their rows are.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Source<'a, T>);

#[derive(Clone, Copy)]
enum Source<'a, T> {
    Rows(&'a [T]),
    Received { rows: &'a [u8], count: usize },
}

impl<'a, T: Row> List<'a, T> {
    /// The most rows a list may have.
    pub const MAX: usize = <T as row::Codec>::MAX;

    /// A list over the caller's rows.
    #[must_use]
    pub const fn from_slice(rows: &'a [T]) -> Self {
        Self(Source::Rows(rows))
    }

    /// The number of rows.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Rows(rows) => rows.len(),
            Source::Received { count, .. } => count,
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, in order, by value.
    #[must_use]
    pub fn iter(&self) -> ListIter<'a, T> {
        match self.0 {
            Source::Rows(rows) => ListIter { rows: rows.iter(), bytes: Reader::new(&[]), left: 0, row: PhantomData },
            Source::Received { rows, count } => {
                ListIter { rows: [].iter(), bytes: Reader::new(rows), left: count, row: PhantomData }
            }
        }
    }

    /// Checks number and order, then writes an array.
    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.len() > Self::MAX {
            return Err(EncodeError::Bounds);
        }
        out.array(self.len() as u64).map_err(no_room)?;
        match self.0 {
            Source::Rows(rows) => {
                let mut last: Option<&T> = None;
                for row in rows {
                    if last.is_some_and(|last| !last.precedes(row)) {
                        return Err(EncodeError::Order);
                    }
                    row.write(out)?;
                    last = Some(row);
                }
                Ok(())
            }
            // Already the one canonical encoding; so a device that only speaks carries no decoder.
            Source::Received { rows, .. } => out.writer_mut().write_all(rows).map_err(|_| EncodeError::Buffer),
        }
    }

    /// Reads an array and checks every row, so that iterating cannot fail later. `whole` is the reader's input.
    pub(crate) fn read(input: &mut Reader<'a>, whole: &'a [u8]) -> Result<Self, DecodeError> {
        let count = usize::try_from(input.array()?).map_err(|_| DecodeError::Bounds)?;
        if count > Self::MAX {
            return Err(DecodeError::Bounds);
        }
        let start = input.position();
        let mut last = None;
        for _ in 0..count {
            let row = T::read(input)?;
            if last.is_some_and(|last: T| !last.precedes(&row)) {
                return Err(DecodeError::Order);
            }
            last = Some(row);
        }
        let rows = whole.get(start..input.position()).ok_or(DecodeError::Truncated)?;
        Ok(Self(Source::Received { rows, count }))
    }
}

impl<'a, T: Row> From<&'a [T]> for List<'a, T> {
    fn from(rows: &'a [T]) -> Self {
        Self::from_slice(rows)
    }
}

impl<'a, T: Row, const N: usize> From<&'a [T; N]> for List<'a, T> {
    fn from(rows: &'a [T; N]) -> Self {
        Self::from_slice(rows)
    }
}

impl<T: Row> Default for List<'_, T> {
    fn default() -> Self {
        Self::from_slice(&[])
    }
}

impl<T: Row> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Row + Eq> Eq for List<'_, T> {}

impl<T: Row> fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Row> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Row> IntoIterator for &List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

/// The rows of a [`List`], by value.
#[derive(Clone)]
pub struct ListIter<'a, T> {
    rows: core::slice::Iter<'a, T>,
    bytes: Reader<'a>,
    left: usize,
    row: PhantomData<T>,
}

impl<T: Row> Iterator for ListIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if let Some(row) = self.rows.next() {
            return Some(*row);
        }
        self.left = self.left.checked_sub(1)?;
        // `List::read` has read these very bytes, so this is never an error.
        T::read(&mut self.bytes).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.rows.len() + self.left;
        (len, Some(len))
    }
}

impl<T: Row> ExactSizeIterator for ListIter<'_, T> {}

impl<T: Row> fmt::Debug for ListIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
