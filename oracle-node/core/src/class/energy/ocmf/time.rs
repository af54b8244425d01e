//! The times of a record: local time with milliseconds, offset and the state of the clock, to unix milliseconds.
//! Leaves out: leap seconds (a second 60 is refused) and years before 1970.

use super::error::OcmfError;

/// How far a meter vouches for its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// U: never set.
    Unknown,
    /// I: set, but nobody vouches for it.
    Informative,
    /// S: synchronised.
    Synchronised,
    /// R: an informative time plus a duration that was measured as the law asks.
    Relative,
}

/// A time and what it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    /// Unix milliseconds.
    pub(crate) unix_ms: u64,
    /// Offset of the local time, minutes east of UTC.
    pub(crate) offset_min: i16,
    /// The clock.
    pub(crate) clock: Clock,
}

/// Largest offset, minutes.
const OFFSET_MIN_MAX: i64 = 14 * 60;

impl Time {
    /// Reads `2018-07-24T13:22:04,000+0200 S`.
    ///
    /// # Errors
    /// When it is not exactly of this form, or no such day or time exists.
    pub(crate) fn parse(text: &str) -> Result<Self, OcmfError> {
        fields(text).ok_or_else(|| OcmfError::BadTime { text: text.to_owned() })
    }

    /// Whole unix seconds, rounded down.
    #[must_use]
    pub(crate) const fn unix_s(self) -> u64 {
        self.unix_ms / 1_000
    }
}

fn fields(text: &str) -> Option<Time> {
    let bytes: &[u8; 30] = text.as_bytes().try_into().ok()?;
    let fixed = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b','), (28, b' ')];
    if fixed.iter().any(|(at, byte)| bytes.get(*at) != Some(byte)) {
        return None;
    }
    let part = |from: usize, to: usize| number(bytes.get(from..to)?);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second, ms) = (part(11, 13)?, part(14, 16)?, part(17, 19)?, part(20, 23)?);
    let east = match bytes.get(23)? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (offset_hours, offset_minutes) = (part(24, 26)?, part(26, 28)?);
    let clock = match bytes.get(29)? {
        b'U' => Clock::Unknown,
        b'I' => Clock::Informative,
        b'S' => Clock::Synchronised,
        b'R' => Clock::Relative,
        _ => return None,
    };
    let offset = east * (offset_hours * 60 + offset_minutes);
    let real = hour < 24 && minute < 60 && second < 60 && offset_minutes < 60 && offset.abs() <= OFFSET_MIN_MAX;
    if !real {
        return None;
    }
    let minutes = (days(year, month, day)? * 24 + hour) * 60 + minute - offset;
    let unix_ms = u64::try_from((minutes * 60 + second) * 1_000 + ms).ok()?;
    Some(Time { unix_ms, offset_min: i16::try_from(offset).ok()?, clock })
}

/// A number of at most four digits.
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(*byte) - 48))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, or `None` when there is no such day.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) || year < 1 {
        return None;
    }
    // A year that begins in March ends with the day that some years have and others do not.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before = year * 365 + year / 4 - year / 100 + year / 400;
    Some(before + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_milliseconds() {
        let cases = [
            ("1970-01-01T00:00:00,000+0000 S", 0, 0, Clock::Synchronised),
            ("1970-01-01T01:01:49,000+0100 U", 109_000, 60, Clock::Unknown),
            ("2018-07-24T13:22:04,000+0200 S", 1_532_431_324_000, 120, Clock::Synchronised),
            ("2000-02-29T23:59:59,999-0330 R", 951_881_399_999, -210, Clock::Relative),
            ("2024-03-01T00:00:00,001+0000 I", 1_709_251_200_001, 0, Clock::Informative),
            ("9999-12-31T23:59:59,999+0000 S", 253_402_300_799_999, 0, Clock::Synchronised),
        ];
        for (text, unix_ms, offset_min, clock) in cases {
            assert_eq!(Time::parse(text).unwrap(), Time { unix_ms, offset_min, clock }, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let wrong = [
            "",
            "2018-07-24T13:22:04,000+0200",
            "2018-07-24T13:22:04,000+0200 X",
            "2018-07-24T13:22:04.000+0200 S",
            "2018-02-29T13:22:04,000+0200 S",
            "1900-02-29T13:22:04,000+0200 S",
            "2018-13-01T13:22:04,000+0200 S",
            "2018-00-01T13:22:04,000+0200 S",
            "2018-07-00T13:22:04,000+0200 S",
            "2018-07-24T24:00:00,000+0200 S",
            "2018-07-24T13:60:04,000+0200 S",
            "2018-07-24T13:22:60,000+0200 S",
            "2018-07-24T13:22:04,000+0260 S",
            "2018-07-24T13:22:04,000+1500 S",
            "2018-07-24T13:22:04,000Z0000 S",
            "1969-12-31T23:59:59,999+0000 S",
            "2018-07-24 13:22:04,000+0200 S",
            "2018-07-24T13:22:04,00a+0200 S",
            "0000-07-24T13:22:04,000+0200 S",
        ];
        for text in wrong {
            assert!(Time::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_day_of_five_centuries_follows_the_one_before() {
        let mut expected = days(1_900, 1, 1).unwrap();
        for year in 1_900..2_400 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(found) = days(year, month, day) {
                        assert_eq!(found, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(days(1_970, 1, 1), Some(0));
    }
}
