//! What boot, answers to uptime challenges and coverage's messages carry (docs/protocol.md §2). The other classes have a
//! file each below. Nothing here judges whether a claim is true.

mod bandwidth;
mod channels;
mod compute;
mod energy;
mod fix;
mod hello;
mod maker;
mod metered;
mod storage;
mod telemetry;

pub use bandwidth::{Arrived, BandwidthBody, Tallies, Tally, arrived, losses_digest, tags_digest};
pub use channels::{ChannelName, ChannelNames, Name, Unit};
pub use compute::{MAX_MATRIX, OpeningBody, WorkBody};
pub use energy::{MeterBody, MeterWindow, MeterWindows};
pub use fix::{FixBody, Satellite, Satellites};
pub use hello::HelloBody;
pub use maker::EndorsementBody;
pub use metered::{MAX_FOREIGN, MAX_RECORD, MeterCurve, MeteredBody, Record, RecordFormat, meter_key_thumbprint};
pub use storage::{MAX_LEAF_AND_PATH, PossessionBody};
pub use telemetry::{MAX_SAMPLES, Recorder, Sample, SampleIter, Samples, Taken, TimedReading};

use crate::{
    Challenge, DecodeError, EncodeError, Location, Receptions,
    cbor::{Reader, Writer},
    field::{Field, tuple},
};

/// The longest hash chain that a commitment may announce, in slots.
pub const MAX_CHAIN: u32 = 4096;

tuple! {
    /// The body of a boot message.
    pub struct BootBody {
        /// Random, fresh in every boot.
        pub seed: [u8; 16],
        /// SHA-256 of the running firmware.
        pub firmware: [u8; 32],
        /// The opened place, if the device has one.
        pub location: Option<Location>,
    }
    check |_| true
}

tuple! {
    /// The lease and slot of the uptime challenge that is answered.
    pub struct AnswerBody {
        /// The challenged lease.
        pub lease: u64,
        /// The slot of the draw.
        pub slot: u64,
    }
    check |_| true
}

tuple! {
    /// The anchor of a hash chain for the slots `first_slot` to `first_slot + length - 1`.
    pub struct CommitmentBody {
        /// The lease whose coverage challenges the chain answers.
        pub lease: u64,
        /// The first slot that has a secret.
        pub first_slot: u64,
        /// The number of slots, at most [`MAX_CHAIN`].
        pub length: u32,
        /// The end of the chain.
        pub anchor: [u8; 32],
    }
    check |body| body.length <= MAX_CHAIN
}

tuple! {
    /// A commitment to the receptions of a slot.
    pub struct WitnessBody {
        /// The slot in which something was heard.
        pub slot: u64,
        /// [`witness_commitment`](crate::challenge::witness_commitment) over the receptions.
        pub commitment: [u8; 32],
    }
    check |_| true
}

tuple! {
    /// The opening of a slot.
    pub struct RevealBody<'a> {
        /// The slot that is opened.
        pub slot: u64,
        /// The device's own chain secret, if it was challenged in the slot.
        pub secret: Option<[u8; 32]>,
        /// The salt of the witness commitment.
        pub salt: [u8; 16],
        /// What was heard, at most 16, strictly ascending by lease.
        pub receptions: Receptions<'a>,
    }
    check |_| true
}

/// The answer to an uptime challenge says nothing more.
impl From<&Challenge> for AnswerBody {
    fn from(challenge: &Challenge) -> Self {
        Self { lease: challenge.lease, slot: challenge.slot }
    }
}

/// A place that may be missing: then an empty array.
impl<'a> Field<'a> for Option<Location> {
    fn write(&self, e: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            None => e.array(0),
            Some(place) if !place.is_on_earth() => Err(EncodeError::Bounds),
            Some(place) => {
                e.array(3)?;
                e.int(place.lat.into())?;
                e.int(place.lon.into())?;
                e.bytes(&place.salt)
            }
        }
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match r.array()? {
            0 => Ok(None),
            3 => {
                let place = Location { lat: Field::read(r)?, lon: Field::read(r)?, salt: r.array_of()? };
                if place.is_on_earth() { Ok(Some(place)) } else { Err(DecodeError::Bounds) }
            }
            _ => Err(DecodeError::Bounds),
        }
    }
}
