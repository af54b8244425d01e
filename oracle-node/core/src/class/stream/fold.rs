//! What one lease carries from epoch to epoch: at most 2 KiB, opaque to everybody else.
//! CBOR arrays in one canonical form; times are ages before the end of the epoch. Leaves out: where it is kept.

use minicbor::{Decode, Encode};

use super::digits::Digits;
use super::line::CarriedLine;
use super::policy::CHANNELS_MAX;
use super::sequence::{BOOTS_MAX, BootSeen};
use super::steady::CarriedSteady;
use super::sunlit::Daylight;
use crate::limits::FOLD_BYTES_MAX;

/// Format of these bytes.
pub(super) const FOLD_VERSION: u32 = 1;
/// Windows whose marks are carried.
pub(super) const TRAIL_MAX: usize = 48;

/// What is carried of one channel, in the order of the policy's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct CarriedChannel {
    /// Last reading that entered the patterns: age in ms, value.
    #[n(0)]
    pub(super) last: Option<(u32, i64)>,
    /// Run of equal values.
    #[n(1)]
    pub(super) steady: Option<CarriedSteady>,
    /// Run of samples on one line.
    #[n(2)]
    pub(super) line: Option<CarriedLine>,
    /// Last digits.
    #[n(3)]
    pub(super) digits: Digits,
    /// The day's curve, of a channel that needs the sun.
    #[n(4)]
    pub(super) daylight: Option<Daylight>,
}

/// A window as others can compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Mark {
    /// First 4 bytes of SHA-256 over the rounded values.
    #[n(0)]
    pub(super) hash: u32,
    /// When its readings were held, ms after the window's start, capped.
    #[n(1)]
    pub(super) held_ms: u32,
}

/// Consecutive windows of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Trail {
    /// Number of the first window: its start in unix ms ÷ the window's length.
    #[n(0)]
    pub(super) first: u64,
    /// A mark each; `None` where a compared channel has no accepted reading.
    #[n(1)]
    pub(super) marks: Vec<Option<Mark>>,
}

/// All that a lease carries.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Fold {
    /// [`FOLD_VERSION`].
    #[n(0)]
    pub(super) version: u32,
    /// End of the epoch it was made in, unix ms; ages count back from it.
    #[n(1)]
    pub(super) end_ms: u64,
    /// Boots and their numbers, ascending, at most [`BOOTS_MAX`].
    #[n(2)]
    pub(super) boots: Vec<BootSeen>,
    /// Channels in the order of the policy; another number of them than the policy has is as none.
    #[n(3)]
    pub(super) channels: Vec<CarriedChannel>,
    /// The last windows, at most [`TRAIL_MAX`].
    #[n(4)]
    pub(super) trail: Trail,
    /// What the lease has come to.
    #[n(5)]
    pub(super) tally: Tally,
}

/// What a lease has come to, over its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Tally {
    /// Seconds that could be judged.
    #[n(0)]
    pub(super) elapsed_s: u64,
    /// Seconds of paid windows.
    #[n(1)]
    pub(super) good_s: u64,
    /// Seconds of windows with data that were not paid.
    #[n(2)]
    pub(super) refused_s: u64,
    /// Seconds of windows without data, or without enough of it.
    #[n(3)]
    pub(super) missing_s: u64,
    /// Accepted readings of paid windows.
    #[n(4)]
    pub(super) units: u64,
}

impl Default for Fold {
    fn default() -> Self {
        Self {
            version: FOLD_VERSION,
            end_ms: 0,
            boots: vec![],
            channels: vec![],
            trail: Trail::default(),
            tally: Tally::default(),
        }
    }
}

impl Fold {
    /// The bytes.
    #[must_use]
    pub(super) fn encode(&self) -> Vec<u8> {
        // A `Vec` takes every byte: encoding cannot fail.
        minicbor::to_vec(self).unwrap_or_default()
    }

    /// Reads the bytes; no bytes are the fold of a lease's first epoch.
    ///
    /// # Errors
    /// A sentence: too long, not CBOR of this form, another version, more entries than allowed, or not the canonical form.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if bytes.len() > FOLD_BYTES_MAX {
            return Err(format!("stream fold: {} bytes, at most {FOLD_BYTES_MAX}", bytes.len()));
        }
        let fold: Self = minicbor::decode(bytes).map_err(|e| format!("stream fold: {e}"))?;
        if fold.version != FOLD_VERSION {
            return Err(format!("stream fold: version {} is not known here ({FOLD_VERSION} is)", fold.version));
        }
        let marks = fold.trail.marks.len();
        if fold.boots.len() > BOOTS_MAX || fold.channels.len() > CHANNELS_MAX || marks > TRAIL_MAX {
            return Err("stream fold: more boots, channels or windows than allowed".into());
        }
        if !fold.boots.is_sorted_by(|one, next| one.boot < next.boot) {
            return Err("stream fold: boots do not ascend".into());
        }
        if fold.encode() == bytes { Ok(fold) } else { Err("stream fold: not in its canonical form".into()) }
    }
}

/// Age of an instant at the end of the epoch, ms; 49 days at most.
pub(super) fn age(at_ms: u64, end_ms: u64) -> u32 {
    u32::try_from(end_ms.saturating_sub(at_ms)).unwrap_or(u32::MAX)
}

/// The instant of an age.
pub(super) fn instant(age_ms: u32, end_ms: u64) -> u64 {
    end_ms.saturating_sub(age_ms.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn largest() -> Fold {
        let line = CarriedLine {
            age_ms: u32::MAX,
            value: i64::MIN,
            low: (i64::MIN, u32::MAX),
            high: (i64::MAX, u32::MAX),
            samples: u32::MAX,
        };
        let channel = CarriedChannel {
            last: Some((u32::MAX, i64::MIN)),
            steady: Some(CarriedSteady { age_ms: u32::MAX, low: i64::MIN, high: i64::MAX }),
            line: Some(line),
            digits: Digits { mask: 0x3ff, changes: 1_000, suspect: true },
            daylight: None,
        };
        let day = Daylight { day: u32::MAX, sum: u64::MAX, moment: i64::MIN, shifted_s: i32::MIN };
        let mut channels = vec![channel; CHANNELS_MAX];
        channels.iter_mut().take(super::super::policy::SUNLIT_MAX).for_each(|c| c.daylight = Some(day));
        let boots =
            [1, u64::MAX].map(|boot| BootSeen { boot, next: u64::MAX, near: u64::MAX, far: u64::MAX, base: u64::MAX });
        let marks = vec![Some(Mark { hash: u32::MAX, held_ms: u32::MAX }); TRAIL_MAX];
        let trail = Trail { first: u64::MAX, marks };
        let most = u64::MAX;
        let tally = Tally { elapsed_s: most, good_s: most, refused_s: most, missing_s: most, units: most };
        Fold { version: 1, end_ms: u64::MAX, boots: boots.to_vec(), channels, trail, tally }
    }

    #[test]
    fn the_largest_fold_fits_and_comes_back() {
        let bytes = largest().encode();
        println!("largest fold: {} bytes of {FOLD_BYTES_MAX}", bytes.len());
        assert!(bytes.len() <= FOLD_BYTES_MAX);
        assert_eq!(Fold::decode(&bytes), Ok(largest()));
        assert_eq!(Fold::decode(&[]), Ok(Fold::default()));
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        let bytes = largest().encode();
        assert!(Fold::decode(&[bytes.clone(), vec![0]].concat()).is_err());
        assert!(Fold::decode(&bytes[..bytes.len() - 1]).is_err());
        let later = Fold { version: 2, ..Fold::default() };
        assert!(Fold::decode(&later.encode()).is_err());
        let mut many = Fold::default();
        many.trail.marks = vec![None; TRAIL_MAX + 1];
        assert!(Fold::decode(&many.encode()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            if let Ok(fold) = Fold::decode(&bytes) {
                proptest::prop_assert!(bytes.is_empty() || fold.encode() == bytes);
            }
        }
    }
}
