//! The readings of a record, each complete: a field that is left out repeats the reading before it in the same record.
//! Leaves out: what a sequence of readings is worth (`session`).

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::error::{OcmfError, Section};
use super::json::{self, Object};
use super::time::Time;
use super::{READINGS_MAX, TEXT_BYTES_MAX};
use crate::class::energy::decimal::Decimal;

/// TX: why the meter was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// B: a session begins.
    Begin,
    /// C: while charging.
    Charging,
    /// X: from here on energy or time is unusable, as the error flags say.
    Exception,
    /// E, L, R, A, P: it ends: plainly, locally, remotely, by an error, by a power failure.
    End,
    /// S: no charging for now.
    Suspended,
    /// T: the tariff changes.
    Tariff,
    /// Absent: outside of any session.
    None,
}

/// RU: the unit of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unit<'a> {
    /// Watt hours, times ten to this power: 0 for Wh, 3 for kWh.
    WattHour(i32),
    /// Another.
    Other(Cow<'a, str>),
}

/// EF: what a reading may no longer be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// E: energy.
    pub(crate) energy: bool,
    /// t: time.
    pub(crate) time: bool,
}

impl Flags {
    /// Neither is set.
    #[must_use]
    pub(crate) const fn is_empty(self) -> bool {
        !self.energy && !self.time
    }
}

/// One reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading<'a> {
    /// TM.
    pub(crate) time: Time,
    /// TX.
    pub(crate) kind: Kind,
    /// RV, as written; absent when the reading only tells of an error.
    pub(crate) value: Option<Decimal>,
    /// RU.
    pub(crate) unit: Option<Unit<'a>>,
    /// RI: the register's OBIS code, as written.
    pub(crate) register: Option<Cow<'a, str>>,
    /// EF.
    pub(crate) flags: Flags,
    /// ST: the meter's state, one letter of the format's table 10; G is good.
    pub(crate) state: char,
}

impl Reading<'_> {
    /// The value in watt hours, if it is an energy.
    #[must_use]
    pub(crate) fn watt_hours(&self) -> Option<Decimal> {
        match (&self.unit, self.value) {
            (Some(Unit::WattHour(power)), Some(value)) => value.shifted(*power),
            _ => None,
        }
    }
}

/// All readings of a payload.
pub(super) fn all<'a>(payload: &Object<'a>) -> Result<Vec<Reading<'a>>, OcmfError> {
    let items = json::array(payload.required("RD")?, "RD")?;
    if items.is_empty() || items.len() > READINGS_MAX {
        return Err(OcmfError::Readings { count: items.len() });
    }
    let mut readings: Vec<Reading<'a>> = Vec::with_capacity(items.len());
    for item in items {
        let reading = one(&Object::parse(item.get(), Section::Reading)?, readings.last())?;
        readings.push(reading);
    }
    Ok(readings)
}

fn one<'a>(fields: &Object<'a>, before: Option<&Reading<'a>>) -> Result<Reading<'a>, OcmfError> {
    let time = match (fields.text("TM")?, before) {
        (Some(text), _) => Time::parse(&text)?,
        (None, before) => before.map(|before| before.time).ok_or(OcmfError::Missing { key: "TM" })?,
    };
    let state = match (fields.text("ST")?, before) {
        (Some(text), _) => state(&text)?,
        (None, before) => before.map(|before| before.state).ok_or(OcmfError::Missing { key: "ST" })?,
    };
    let kind = match fields.text("TX")? {
        Some(text) => kind(&text)?,
        None => before.map_or(Kind::None, |before| before.kind),
    };
    let value = match fields.get("RV") {
        Some(value) => Some(number(value)?),
        None => before.and_then(|before| before.value),
    };
    let unit = match fields.text("RU")? {
        Some(text) => Some(unit(text)),
        None => before.and_then(|before| before.unit.clone()),
    };
    let register = match fields.text("RI")? {
        Some(text) => Some(text),
        None => before.and_then(|before| before.register.clone()),
    };
    let flags = match fields.text("EF")? {
        Some(text) => flags(&text)?,
        None => before.map(|before| before.flags).unwrap_or_default(),
    };
    Ok(Reading { time, kind, value, unit, register, flags, state })
}

/// A number as JSON writes it, or such a number in quotes with spaces around it.
fn number(value: &RawValue) -> Result<Decimal, OcmfError> {
    let written = value.get();
    let quoted = written.starts_with('"').then(|| json::long_text(value, "RV", TEXT_BYTES_MAX)).transpose()?;
    let digits = quoted.as_deref().map_or(written, |text| text.trim_matches(' '));
    Decimal::parse(digits).ok_or_else(|| OcmfError::BadNumber { text: written.chars().take(64).collect() })
}

fn kind(text: &str) -> Result<Kind, OcmfError> {
    Ok(match text {
        "B" => Kind::Begin,
        "C" => Kind::Charging,
        "X" => Kind::Exception,
        "E" | "L" | "R" | "A" | "P" => Kind::End,
        "S" => Kind::Suspended,
        "T" => Kind::Tariff,
        _ => return Err(OcmfError::BadCode { key: "TX", text: text.to_owned() }),
    })
}

fn unit(text: Cow<'_, str>) -> Unit<'_> {
    match text.as_ref() {
        "Wh" => Unit::WattHour(0),
        "kWh" => Unit::WattHour(3),
        _ => Unit::Other(text),
    }
}

/// Some of `E` and `t`, each once.
fn flags(text: &str) -> Result<Flags, OcmfError> {
    let mut flags = Flags::default();
    for letter in text.chars() {
        let flag = match letter {
            'E' => &mut flags.energy,
            't' => &mut flags.time,
            _ => return Err(OcmfError::BadCode { key: "EF", text: text.to_owned() }),
        };
        *flag = true;
    }
    Ok(flags)
}

fn state(text: &str) -> Result<char, OcmfError> {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) if "NGTDRMXIOSEF".contains(letter) => Ok(letter),
        _ => Err(OcmfError::BadCode { key: "ST", text: text.to_owned() }),
    }
}
