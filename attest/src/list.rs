//! Readings and receptions: short lists that are either a slice of the attester's or the received bytes, read in place.

use core::{fmt, marker::PhantomData};

use crate::{
    DecodeError, EncodeError,
    cbor::{Reader, Writer},
    field::{Field, tuple},
};

tuple! {
    /// One reading: `mantissa · 10^exponent` on a channel whose meaning the device class or
    /// [`ChannelName`](crate::ChannelName) defines.
    pub struct Reading {
        /// The channel.
        pub channel: u64,
        /// The decimal exponent.
        pub exponent: i8,
        /// The integer that is scaled.
        pub mantissa: i64,
    }
    check |_| true
}

tuple! {
    /// One reception: what a device heard of another's coverage transmission.
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
    check |_| true
}

/// Readings of one instant, at most 64, strictly ascending by channel.
pub type Readings<'a> = List<'a, Reading>;
/// Receptions of a reveal, at most 16, strictly ascending by lease.
pub type Receptions<'a> = List<'a, Reception>;

pub(crate) mod row {
    use crate::field::Field;

    /// What a list needs to know of its rows beyond their layout.
    pub(crate) trait Codec: for<'a> Field<'a> {
        /// The most rows of a list.
        const MAX: usize;
        /// Whether `next` may follow.
        fn precedes(&self, next: &Self) -> bool;
    }
}

/// A row of a [`List`]: [`Reading`], [`Reception`] and those of the bodies.
#[expect(private_bounds, reason = "sealed")]
pub trait Row: row::Codec + Copy + PartialEq + fmt::Debug {}
impl Row for Reading {}
impl Row for Reception {}

impl row::Codec for Reading {
    const MAX: usize = 64;

    fn precedes(&self, next: &Self) -> bool {
        self.channel < next.channel
    }
}

impl row::Codec for Reception {
    const MAX: usize = 16;

    fn precedes(&self, next: &Self) -> bool {
        self.lease < next.lease
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
}

impl<'a, T: Row> Field<'a> for List<'a, T> {
    /// Checks number and order, then writes an array.
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.len() > Self::MAX {
            return Err(EncodeError::Bounds);
        }
        out.array(self.len() as u64)?;
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
            Source::Received { rows, .. } => out.raw(rows),
        }
    }

    /// Reads an array and checks every row, so that iterating cannot fail later.
    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
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
        let rows = input.since(start).ok_or(DecodeError::Truncated)?;
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
