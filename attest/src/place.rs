//! A device's place and its salted commitment (docs/protocol.md §3). Distances and cells are left to the verifier.

use crate::hash::sha256;

const LOCATION_TAG: &[u8] = b"plumbline/location/v1";

/// A place on the earth with the salt that hides it in its commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Latitude in 1e-7 degrees, -900,000,000 to 900,000,000.
    pub lat: i32,
    /// Longitude in 1e-7 degrees, -1,800,000,000 to 1,800,000,000.
    pub lon: i32,
    /// Random, fresh for each commitment.
    pub salt: [u8; 16],
}

impl Location {
    /// Whether both coordinates are angles that exist.
    #[must_use]
    pub const fn is_on_earth(&self) -> bool {
        self.lat.unsigned_abs() <= 900_000_000 && self.lon.unsigned_abs() <= 1_800_000_000
    }
}

/// The commitment to a place that is registered on chain.
#[must_use]
pub fn location_commitment(location: &Location) -> [u8; 32] {
    sha256(&[LOCATION_TAG, &location.lat.to_be_bytes(), &location.lon.to_be_bytes(), &location.salt])
}
