//! A position fix of a satellite receiver with what it saw, so that an appraisal can hold it against sky and motion.
//! A moving device's claim; the place of a fixed one is opened by its boot message.

use crate::{
    List,
    field::tuple,
    list::{Row, row},
};

tuple! {
    /// A satellite in view.
    pub struct Satellite {
        /// 1,000 · system (0 GPS, 1 SBAS, 2 Galileo, 3 BeiDou, 5 QZSS, 6 GLONASS) + number.
        pub id: u32,
        /// Elevation in degrees, -90 to 90.
        pub elevation: i8,
        /// Azimuth in degrees, 0 to 359.
        pub azimuth: u16,
        /// Carrier to noise density in 0.1 dB-Hz.
        pub cn0: u16,
    }
    check |seen| seen.elevation.unsigned_abs() <= 90 && seen.azimuth < 360
}

impl row::Codec for Satellite {
    const MAX: usize = 32;

    fn precedes(&self, next: &Self) -> bool {
        self.id < next.id
    }
}
impl Row for Satellite {}

/// Satellites of a fix, at most 32, strictly ascending by id.
pub type Satellites<'a> = List<'a, Satellite>;

tuple! {
    /// A fix.
    pub struct FixBody<'a> {
        /// The receiver's time, unix milliseconds.
        pub at_ms: u64,
        /// Latitude in 1e-7 degrees, -900,000,000 to 900,000,000.
        pub lat: i32,
        /// Longitude in 1e-7 degrees, -1,800,000,000 to 1,800,000,000.
        pub lon: i32,
        /// Height above the ellipsoid in centimetres.
        pub height_cm: i32,
        /// Horizontal dilution of precision in hundredths.
        pub hdop: u16,
        /// What was in view.
        pub satellites: Satellites<'a>,
    }
    check |fix| fix.lat.unsigned_abs() <= 900_000_000 && fix.lon.unsigned_abs() <= 1_800_000_000
}
