//! What the channels of telemetry are called and measured in, in SenML's terms (RFC 8428): said once per boot, so that a
//! reading stays three integers. A reading's SenML record is name, unit and mantissa · 10^exponent of its channel.

use core::{fmt, str};

use crate::{
    DecodeError, EncodeError, List,
    cbor::{Reader, Writer},
    field::{Field, tuple},
    list::{Row, row},
};

tuple! {
    /// One channel.
    pub struct ChannelName {
        /// The channel, as in [`Reading`](crate::Reading).
        pub channel: u64,
        /// The unit.
        pub unit: Unit,
        /// The name.
        pub name: Name,
    }
    check |_| true
}

impl row::Codec for ChannelName {
    const MAX: usize = 20;

    fn precedes(&self, next: &Self) -> bool {
        self.channel < next.channel
    }
}
impl Row for ChannelName {}

/// Names of channels, at most 20, strictly ascending by channel.
pub type ChannelNames<'a> = List<'a, ChannelName>;

/// A unit: its number in [`Unit::symbols`], from 1. 0 is no unit; a number above the table is one of a later version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Unit(pub u16);

/// The SenML units registry, in the order of RFC 8428 §12.1, then RFC 8798 §§2 and 3. Appended to, never reordered.
const SYMBOLS: &[&str] = &[
    "m", "kg", "g", "s", "A", "K", "cd", "mol", "Hz", "rad", "sr", "N", "Pa", "J", "W", "C", "V", "F", "Ohm", "S",
    "Wb", "T", "H", "Cel", "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m3", "l", "m/s", "m/s2", "m3/s", "l/s", "W/m2",
    "cd/m2", "bit", "bit/s", "lat", "lon", "pH", "dB", "dBW", "Bspl", "count", "/", "%", "%RH", "%EL", "EL", "1/s",
    "1/min", "beat/min", "beats", "S/m", "B", "VA", "VAs", "var", "vars", "J/m", "kg/m3", "deg", "ms", "min", "h",
    "MHz", "kW", "kVA", "kvar", "Ah", "Wh", "kWh", "varh", "kvarh", "kVAh", "Wh/km", "KiB", "GB", "Mbit/s", "B/s",
    "MB/s", "mV", "mA", "dBm", "ug/m3", "mm/h", "m/h", "ppm", "/100", "/1000", "hPa", "mm", "cm", "km", "km/h",
];

impl Unit {
    /// The symbols, unit 1 first.
    #[must_use]
    pub const fn symbols() -> &'static [&'static str] {
        SYMBOLS
    }

    /// Its symbol in SenML; `None` for no unit and for one of a later version.
    #[must_use]
    pub fn symbol(self) -> Option<&'static str> {
        SYMBOLS.get(usize::from(self.0).checked_sub(1)?).copied()
    }

    /// The unit of a symbol, if the registry has it.
    #[must_use]
    pub fn of(symbol: &str) -> Option<Self> {
        let place = SYMBOLS.iter().position(|known| *known == symbol)?;
        u16::try_from(place + 1).ok().map(Self)
    }
}

impl<'a> Field<'a> for Unit {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        self.0.write(out)
    }

    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        u16::read(input).map(Self)
    }
}

/// A SenML name of 1 to 24 characters: letters, digits and `- : . / _`, the first a letter or digit (RFC 8428 §4.5.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Name {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl Name {
    /// The longest name, in bytes.
    pub const MAX: usize = 24;

    /// A name, if its characters and length are allowed.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        let (first, len) = (name.bytes().next()?, u8::try_from(name.len()).ok()?);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-:./_".contains(&byte);
        if !first.is_ascii_alphanumeric() || !name.bytes().all(allowed) {
            return None;
        }
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self { bytes, len })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.bytes.get(..usize::from(self.len)).unwrap_or_default()).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'a> Field<'a> for Name {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        // The bytes may come from C: what is written must be a name.
        let checked = Self::new(self.as_str()).filter(|name| name.len == self.len).ok_or(EncodeError::Bounds)?;
        out.text(checked.as_str())
    }

    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Self::new(input.text()?).ok_or(DecodeError::Bounds)
    }
}
