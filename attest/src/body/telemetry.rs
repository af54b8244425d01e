//! Telemetry: readings of one instant or several under one signature. A sample says how long before the message's iat it
//! was taken; a message without iat counts from the moment of its signature, which nodes know only by its arrival. What
//! channels mean is the device class's or [`ChannelName`](crate::ChannelName)'s.

use core::fmt;

use crate::{
    Class, DecodeError, EncodeError, Reading, Readings, Said,
    cbor::{Reader, Writer, head_len},
    class::said,
    field::{Field, tuple},
    list::row::Codec as _,
};

/// The most samples of a message.
pub const MAX_SAMPLES: usize = 32;

tuple! {
    /// What was read at one instant.
    pub struct Sample<'a> {
        /// Milliseconds before the message's iat.
        pub age_ms: u32,
        /// The readings, at least one, strictly ascending by channel.
        pub readings: Readings<'a>,
    }
    check |sample| !sample.readings.is_empty()
}

/// Samples of a message, oldest first: 1 to [`MAX_SAMPLES`] with at most 64 readings in all, strictly descending by age.
/// From samples, or from the readings of one instant (age 0); bounds and order are checked when it is encoded. Two are equal
/// when their samples are.
#[derive(Clone, Copy)]
pub struct Samples<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Given(&'a [Sample<'a>]),
    Now(Readings<'a>),
    Received { samples: &'a [u8], count: usize },
}

impl<'a> Samples<'a> {
    /// The number of samples.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Given(samples) => samples.len(),
            Source::Now(_) => 1,
            Source::Received { count, .. } => count,
        }
    }

    /// Whether there are none; never of a received message.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples, oldest first.
    #[must_use]
    pub fn iter(&self) -> SampleIter<'a> {
        let (given, now, received) = match self.0 {
            Source::Given(samples) => (samples, None, (&[][..], 0)),
            Source::Now(readings) => (&[][..], Some(Sample { age_ms: 0, readings }), (&[][..], 0)),
            Source::Received { samples, count } => (&[][..], None, (samples, count)),
        };
        SampleIter { given: given.iter(), now, bytes: Reader::new(received.0), left: received.1 }
    }
}

impl<'a> Field<'a> for Samples<'a> {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self.0 {
            Source::Given(samples) => write_samples(samples, out),
            Source::Now(readings) => write_samples(&[Sample { age_ms: 0, readings }], out),
            // Already the one canonical encoding.
            Source::Received { samples, count } => {
                out.array(count as u64)?;
                out.raw(samples)
            }
        }
    }

    /// Reads and checks every sample, so that iterating cannot fail later.
    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = usize::try_from(input.array()?).map_err(|_| DecodeError::Bounds)?;
        if count == 0 || count > MAX_SAMPLES {
            return Err(DecodeError::Bounds);
        }
        let start = input.position();
        let (mut readings, mut last) = (0, None);
        for _ in 0..count {
            let sample = Sample::read(input)?;
            readings += sample.readings.len();
            if readings > Readings::MAX {
                return Err(DecodeError::Bounds);
            }
            if last.is_some_and(|older| older <= sample.age_ms) {
                return Err(DecodeError::Order);
            }
            last = Some(sample.age_ms);
        }
        let samples = input.since(start).ok_or(DecodeError::Truncated)?;
        Ok(Self(Source::Received { samples, count }))
    }
}

fn write_samples(samples: &[Sample<'_>], out: &mut Writer<'_>) -> Result<(), EncodeError> {
    let readings = samples.iter().fold(0usize, |sum, sample| sum.saturating_add(sample.readings.len()));
    if samples.is_empty() || samples.len() > MAX_SAMPLES || readings > Readings::MAX {
        return Err(EncodeError::Bounds);
    }
    out.array(samples.len() as u64)?;
    let mut last = None;
    for sample in samples {
        if last.is_some_and(|older| older <= sample.age_ms) {
            return Err(EncodeError::Order);
        }
        sample.write(out)?;
        last = Some(sample.age_ms);
    }
    Ok(())
}

impl<'a> From<&'a [Sample<'a>]> for Samples<'a> {
    fn from(samples: &'a [Sample<'a>]) -> Self {
        Self(Source::Given(samples))
    }
}

impl<'a, const N: usize> From<&'a [Sample<'a>; N]> for Samples<'a> {
    fn from(samples: &'a [Sample<'a>; N]) -> Self {
        Self(Source::Given(samples))
    }
}

impl<'a> From<Readings<'a>> for Samples<'a> {
    fn from(readings: Readings<'a>) -> Self {
        Self(Source::Now(readings))
    }
}

impl<'a> From<&'a [Reading]> for Samples<'a> {
    fn from(readings: &'a [Reading]) -> Self {
        Readings::from_slice(readings).into()
    }
}

impl<'a, const N: usize> From<&'a [Reading; N]> for Samples<'a> {
    fn from(readings: &'a [Reading; N]) -> Self {
        Readings::from_slice(readings).into()
    }
}

/// Readings of one instant, age 0: what `Samples` from them says, with less code, for firmware.
impl said::Write for Readings<'_> {
    fn class(&self) -> Class {
        Class::Telemetry
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.is_empty() {
            return Err(EncodeError::Bounds);
        }
        // A list of one sample, which is a pair.
        out.raw(&[0x81, 0x82, 0])?;
        Field::write(self, out)
    }
}
impl Said for Readings<'_> {}

impl PartialEq for Samples<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Samples<'_> {}

impl fmt::Debug for Samples<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for Samples<'a> {
    type Item = Sample<'a>;
    type IntoIter = SampleIter<'a>;

    fn into_iter(self) -> SampleIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Samples<'a> {
    type Item = Sample<'a>;
    type IntoIter = SampleIter<'a>;

    fn into_iter(self) -> SampleIter<'a> {
        self.iter()
    }
}

/// The samples of a message, oldest first.
#[derive(Clone)]
pub struct SampleIter<'a> {
    given: core::slice::Iter<'a, Sample<'a>>,
    now: Option<Sample<'a>>,
    bytes: Reader<'a>,
    left: usize,
}

impl<'a> Iterator for SampleIter<'a> {
    type Item = Sample<'a>;

    fn next(&mut self) -> Option<Sample<'a>> {
        if let Some(sample) = self.given.next().copied().or_else(|| self.now.take()) {
            return Some(sample);
        }
        self.left = self.left.checked_sub(1)?;
        // `Samples::read` has read these very bytes, so this is never an error.
        Sample::read(&mut self.bytes).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.given.len() + usize::from(self.now.is_some()) + self.left;
        (len, Some(len))
    }
}

impl ExactSizeIterator for SampleIter<'_> {}

impl fmt::Debug for SampleIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// A reading and when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct TimedReading {
    /// The device's own count of milliseconds, which may wrap.
    pub at_ms: u32,
    /// The reading.
    pub reading: Reading,
}

impl TimedReading {
    /// What an array of them may begin with.
    pub const NONE: Self = Self { at_ms: 0, reading: Reading { channel: 0, exponent: 0, mantissa: 0 } };
}

/// The body of telemetry from readings in the order in which they were taken, for firmware: neighbours of one time make a
/// sample, the oldest at most 2^32 - 1 ms before `now_ms`. Bounds and order are checked when it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken<'a> {
    /// The readings, oldest first, those of one time ascending by channel.
    pub readings: &'a [TimedReading],
    /// The count of milliseconds at the message's iat.
    pub now_ms: u32,
}

impl said::Write for Taken<'_> {
    fn class(&self) -> Class {
        Class::Telemetry
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        let changes = self.readings.windows(2).filter(|pair| matches!(pair, [a, b] if a.at_ms != b.at_ms)).count();
        if self.readings.is_empty() || self.readings.len() > Readings::MAX || changes >= MAX_SAMPLES {
            return Err(EncodeError::Bounds);
        }
        out.array(changes as u64 + 1)?;
        let mut left = self.readings;
        let mut older = None;
        while let Some(first) = left.first() {
            let age_ms = self.now_ms.wrapping_sub(first.at_ms);
            if older.is_some_and(|older| older <= age_ms) {
                return Err(EncodeError::Order);
            }
            let count = left.iter().take_while(|row| row.at_ms == first.at_ms).count();
            let (sample, rest) = left.split_at_checked(count).unwrap_or((left, &[]));
            write_taken(age_ms, sample, out)?;
            (older, left) = (Some(age_ms), rest);
        }
        Ok(())
    }
}
impl Said for Taken<'_> {}

fn write_taken(age_ms: u32, sample: &[TimedReading], out: &mut Writer<'_>) -> Result<(), EncodeError> {
    out.array(2)?;
    out.uint(age_ms.into())?;
    out.array(sample.len() as u64)?;
    let mut last: Option<&Reading> = None;
    for TimedReading { reading, .. } in sample {
        if last.is_some_and(|last| !last.precedes(reading)) {
            return Err(EncodeError::Order);
        }
        reading.write(out)?;
        last = Some(reading);
    }
    Ok(())
}

/// Collects samples for one message in the caller's memory, and takes no more than fits into it.
#[derive(Debug)]
pub struct Recorder<'m> {
    memory: &'m mut [TimedReading],
    len: usize,
    samples: usize,
    room: usize,
}

/// What a body has beside the widest other claims.
const ROOM: usize = 887;
/// The list's own head.
const LIST: usize = 2;
/// A sample's heads and its longest age.
const SAMPLE: usize = 1 + 5 + 2;

impl<'m> Recorder<'m> {
    /// An empty recorder over this memory, of which it uses at most 64 rows.
    #[must_use]
    pub const fn new(memory: &'m mut [TimedReading]) -> Self {
        Self { memory, len: 0, samples: 0, room: ROOM - LIST }
    }

    /// Takes the readings of one instant, `at_ms` by the device's own count of milliseconds (it may wrap). On an error
    /// nothing was taken.
    ///
    /// # Errors
    /// [`EncodeError::Buffer`] when they do not fit any more: send what there is, clear, and take them again. No readings,
    /// channels that do not ascend, or a time that is not after the last one.
    pub fn take(&mut self, at_ms: u32, readings: &[Reading]) -> Result<(), EncodeError> {
        if readings.is_empty() {
            return Err(EncodeError::Bounds);
        }
        let ascends = readings.windows(2).all(|pair| matches!(pair, [a, b] if a.precedes(b)));
        let last = self.len.checked_sub(1).and_then(|at| self.memory.get(at));
        let is_later = last.is_none_or(|last| matches!(at_ms.wrapping_sub(last.at_ms), 1..=0x7fff_ffff));
        if !ascends || !is_later {
            return Err(EncodeError::Order);
        }
        let size = readings.iter().fold(SAMPLE, |sum, reading| sum.saturating_add(size(reading)));
        let end = self.len + readings.len();
        let room = self.room.checked_sub(size).ok_or(EncodeError::Buffer)?;
        if self.samples >= MAX_SAMPLES || end > Readings::MAX {
            return Err(EncodeError::Buffer);
        }
        let rows = self.memory.get_mut(self.len..end).ok_or(EncodeError::Buffer)?;
        for (row, reading) in rows.iter_mut().zip(readings) {
            *row = TimedReading { at_ms, reading: *reading };
        }
        (self.len, self.samples, self.room) = (end, self.samples + 1, room);
        Ok(())
    }

    /// The body of a message over what was taken, `now_ms` being the count of milliseconds at its iat. Nothing is dropped.
    #[must_use]
    pub fn taken(&self, now_ms: u32) -> Taken<'_> {
        Taken { readings: self.memory.get(..self.len).unwrap_or_default(), now_ms }
    }

    /// Whether nothing was taken.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets what was taken, once it is said.
    pub const fn clear(&mut self) {
        (self.len, self.samples, self.room) = (0, 0, ROOM - LIST);
    }
}

/// The encoded bytes of a reading.
fn size(reading: &Reading) -> usize {
    let int = |value: i64| if value < 0 { !value } else { value }.unsigned_abs();
    1 + head_len(reading.channel) + head_len(int(reading.exponent.into())) + head_len(int(reading.mantissa))
}
