//! Exact decimals: an integer and a power of ten, digits kept as they were written. Leaves out: rounding. A result that
//! would need it, or more digits than there are bits, is `None`.

#[cfg(test)]
use core::cmp::Ordering;
use core::fmt;

/// Most digits of a number, before and after its point together.
pub(crate) const DIGITS_MAX: usize = 30;
/// Largest power of ten, up or down, that a text may name.
pub(crate) const EXPONENT_MAX: i32 = 30;

/// `mantissa · 10^exponent`. Two are equal when they were written alike: 1.0 and 1.00 differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    mantissa: i128,
    exponent: i32,
}

impl Decimal {
    /// Nothing, in whole units.
    pub(crate) const ZERO: Self = Self { mantissa: 0, exponent: 0 };

    /// `mantissa · 10^exponent`.
    #[must_use]
    pub(crate) const fn new(mantissa: i128, exponent: i32) -> Self {
        Self { mantissa, exponent }
    }

    /// The integer and its power of ten.
    #[must_use]
    pub(crate) const fn parts(self) -> (i128, i32) {
        (self.mantissa, self.exponent)
    }

    /// Reads a number as JSON writes it (RFC 8259 §6). `None` when it is not one, or exceeds [`DIGITS_MAX`] or
    /// [`EXPONENT_MAX`].
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (digits, power) = match text.split_once(['e', 'E']) {
            Some((digits, power)) => (digits, parse_power(power)?),
            None => (text, 0),
        };
        let (whole, part) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(both) => both,
            None => (digits, ""),
        };
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        let all_digits = whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit());
        let count = whole.len().checked_add(part.len())?;
        if whole.is_empty() || leading_zero || !all_digits || count > DIGITS_MAX {
            return None;
        }
        let digit = |sum: i128, byte: u8| sum.checked_mul(10)?.checked_add(i128::from(byte.checked_sub(b'0')?));
        let magnitude = whole.bytes().chain(part.bytes()).try_fold(0, digit)?;
        let exponent = power.checked_sub(i32::try_from(part.len()).ok()?)?;
        let mantissa = if negative { magnitude.checked_neg()? } else { magnitude };
        (exponent.abs() <= EXPONENT_MAX).then_some(Self { mantissa, exponent })
    }

    /// The same digits, `by` powers of ten up: kWh become Wh with 3.
    #[must_use]
    pub(crate) fn shifted(self, by: i32) -> Option<Self> {
        Some(Self { mantissa: self.mantissa, exponent: self.exponent.checked_add(by)? })
    }

    /// How many units of `10^exponent` it is, or `None` when that is not a whole number or does not fit.
    #[must_use]
    pub(crate) fn units_of(self, exponent: i32) -> Option<i128> {
        let up = self.exponent.checked_sub(exponent)?;
        if self.mantissa == 0 {
            return Some(0);
        }
        let factor = 10i128.checked_pow(up.unsigned_abs())?;
        if up >= 0 {
            return self.mantissa.checked_mul(factor);
        }
        (self.mantissa.checked_rem(factor)? == 0).then(|| self.mantissa.checked_div(factor))?
    }

    /// The sum, to the last digit of either.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        let exponent = self.exponent.min(other.exponent);
        let mantissa = self.units_of(exponent)?.checked_add(other.units_of(exponent)?)?;
        Some(Self { mantissa, exponent })
    }

    /// The difference, to the last digit of either.
    #[must_use]
    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self { mantissa: other.mantissa.checked_neg()?, exponent: other.exponent })
    }

    /// Which value is larger.
    #[cfg(test)]
    pub(crate) fn order(self, other: Self) -> Option<Ordering> {
        Some(self.minus(other)?.mantissa.cmp(&0))
    }
}

/// A power of ten: a sign and one or two digits.
fn parse_power(text: &str) -> Option<i32> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let plain = (1..=2).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let power: i32 = plain.then(|| digits.parse().ok())??;
    if negative { power.checked_neg() } else { Some(power) }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs();
        let places = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(0);
        if self.exponent >= 0 {
            let zeros = if digits == 0 { 0 } else { places };
            return write!(f, "{sign}{digits}{:0<zeros$}", "");
        }
        let padded = format!("{digits:0>width$}", width = places.saturating_add(1));
        let (whole, part) = padded.split_at(padded.len().saturating_sub(places));
        write!(f, "{sign}{whole}.{part}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_kept() {
        for text in ["0", "0.00", "9.038", "-2.7098", "62500.2031", "1234.56", "29532.7716712783588713", "-0.5"] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Decimal::parse("1.50e3").unwrap().parts(), (150, 1));
        assert_eq!(Decimal::parse("1.50e3").unwrap().to_string(), "1500");
        assert_eq!(Decimal::parse("2E-2").unwrap().to_string(), "0.02");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let wrong = [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "01",
            "+1",
            "1e",
            "1e+",
            "1e100",
            "1e31",
            "0x1",
            "1 ",
            " 1",
            "1,5",
            "1.2.3",
            "NaN",
            "1e-31",
            "１",
            "--1",
            "1e1.0",
            "1234567890123456789012345678901",
        ];
        for text in wrong {
            assert_eq!(Decimal::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn units_are_exact_or_refused() {
        let energy = Decimal::parse("0.2597").unwrap().shifted(3).unwrap();
        assert_eq!(energy.units_of(-1), Some(2_597));
        assert_eq!(energy.units_of(-3), Some(259_700));
        assert_eq!(energy.units_of(0), None);
        assert_eq!(Decimal::parse("0.000").unwrap().units_of(3), Some(0));
        assert_eq!(Decimal::new(i128::MAX, 30).units_of(-30), None);
        assert_eq!(Decimal::new(0, i32::MAX).units_of(i32::MIN), None);
    }

    proptest::proptest! {
        #[test]
        fn sums_are_those_of_integers(a in -1_000_000_000i64..1_000_000_000, b in -1_000_000_000i64..1_000_000_000, e in -9i32..9, f in -9i32..9) {
            let [x, y] = [(a, e), (b, f)].map(|(n, e)| Decimal::new(n.into(), e));
            let least = e.min(f);
            let expected = i128::from(a) * 10i128.pow((e - least).unsigned_abs()) + i128::from(b) * 10i128.pow((f - least).unsigned_abs());
            proptest::prop_assert_eq!(x.plus(y).unwrap().parts(), (expected, least));
            proptest::prop_assert_eq!(x.plus(y).unwrap().minus(y).unwrap().order(x), Some(Ordering::Equal));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            if let Some(value) = Decimal::parse(&text) {
                let again = Decimal::parse(&value.to_string());
                proptest::prop_assert!(again.is_none_or(|again| again.order(value) == Some(Ordering::Equal)));
            }
        }

        #[test]
        fn any_number_text_is_read_back(text in "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,9})?") {
            let value = Decimal::parse(&text).unwrap();
            let back = value.to_string();
            proptest::prop_assert!(back == text || text.starts_with('-') && value.parts().0 == 0, "{}", back);
        }
    }
}
