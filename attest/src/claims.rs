//! The claims of a message: the CWT map and the body of each class, in their one canonical encoding
//! (docs/protocol.md §2). Nothing here looks at signatures, and nothing judges whether a claim is true.

use crate::{
    Class, DecodeError, EncodeError, Location, Readings, Receptions,
    cbor::{Reader, Writer, no_room, writer},
};

/// The profile that a boot message names.
pub const EAT_PROFILE: &str = "tag:plumbline.invalid,2026:boot-1";
/// The longest hash chain that a commitment may announce, in slots.
pub const MAX_CHAIN: u32 = 4096;

const IAT: i64 = 6;
const NONCE: i64 = 10;
const PROFILE: i64 = 265;
const BOOTCOUNT: i64 = 267;
const PLUMBLINE: i64 = -70_001;

/// What one message claims. Lists are borrowed from the caller or from the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims<'a> {
    /// When the device says it spoke, unix seconds; `None` for a device without a clock.
    pub iat: Option<u64>,
    /// The draw that an answer answers; exactly for [`Body::Answer`].
    pub nonce: Option<[u8; 32]>,
    /// The boot count.
    pub boot: u32,
    /// From 0 in every boot, up by one with each message.
    pub seq: u64,
    /// The first 16 bytes of the previous message's evidence id in this boot; zeros for `seq` 0.
    /// Checked when chains are scored, not here.
    pub prev: [u8; 16],
    /// What the class carries.
    pub body: Body<'a>,
}

/// What a class carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Readings of the device's channels, at most 32.
    Telemetry(Readings<'a>),
    /// Nothing.
    Heartbeat,
    /// Firmware and place of this boot.
    Boot(BootBody),
    /// The lease and slot of the challenge that is answered.
    Answer {
        /// The challenged lease.
        lease: u64,
        /// The slot of the draw.
        slot: u64,
    },
    /// The anchor of a hash chain for the slots `first_slot` to `first_slot + length - 1`.
    Commitment {
        /// The lease whose coverage challenges the chain answers.
        lease: u64,
        /// The first slot that has a secret.
        first_slot: u64,
        /// The number of slots, at most [`MAX_CHAIN`].
        length: u32,
        /// The end of the chain.
        anchor: [u8; 32],
    },
    /// A commitment to the receptions of a slot.
    Witness {
        /// The slot in which something was heard.
        slot: u64,
        /// [`witness_commitment`](crate::challenge::witness_commitment) over the receptions.
        commitment: [u8; 32],
    },
    /// The opening of a slot.
    Reveal(RevealBody<'a>),
}

/// The body of a boot message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootBody {
    /// Random, fresh in every boot.
    pub seed: [u8; 16],
    /// SHA-256 of the running firmware.
    pub firmware: [u8; 32],
    /// The opened place, if the device has one.
    pub location: Option<Location>,
}

/// The body of a reveal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Body<'_> {
    /// The class of messages with this body.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Telemetry(_) => Class::Telemetry,
            Self::Heartbeat => Class::Heartbeat,
            Self::Boot(_) => Class::Boot,
            Self::Answer { .. } => Class::Answer,
            Self::Commitment { .. } => Class::Commitment,
            Self::Witness { .. } => Class::Witness,
            Self::Reveal(_) => Class::Reveal,
        }
    }
}

impl<'a> Claims<'a> {
    /// The class of the message.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.body.class()
    }

    /// Writes the canonical payload into `out` and returns its length.
    ///
    /// # Errors
    /// A buffer that is too small, a nonce where the class has none (or the reverse), a number or list over its bound.
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, EncodeError> {
        let boot = matches!(self.body, Body::Boot(_));
        if self.nonce.is_some() != matches!(self.body, Body::Answer { .. }) {
            return Err(EncodeError::Class);
        }
        let mut e = writer(out);
        let pairs = 2 + u64::from(self.iat.is_some()) + u64::from(self.nonce.is_some()) + u64::from(boot);
        e.map(pairs).map_err(no_room)?;
        if let Some(iat) = self.iat {
            e.i64(IAT).and_then(|e| e.u64(iat)).map_err(no_room)?;
        }
        if let Some(nonce) = &self.nonce {
            e.i64(NONCE).and_then(|e| e.bytes(nonce)).map_err(no_room)?;
        }
        if boot {
            e.i64(PROFILE).and_then(|e| e.str(EAT_PROFILE)).map_err(no_room)?;
        }
        e.i64(BOOTCOUNT).and_then(|e| e.u64(self.boot.into())).map_err(no_room)?;
        e.i64(PLUMBLINE).and_then(|e| e.array(3)?.u64(self.seq)?.bytes(&self.prev)).map_err(no_room)?;
        self.body.write(&mut e)?;
        Ok(e.writer().position())
    }

    /// Reads the payload of a message of `class`: one canonical encoding and nothing else.
    ///
    /// # Errors
    /// Any deviation from docs/protocol.md §2, by kind.
    pub fn decode(class: Class, payload: &'a [u8]) -> Result<Self, DecodeError> {
        if payload.len() > crate::MAX_MESSAGE {
            return Err(DecodeError::TooLong);
        }
        let mut r = Reader::new(payload);
        let mut keys = Keys::open(&mut r)?;
        let iat = if keys.next_is(&mut r, IAT)? { Some(r.uint()?) } else { None };
        let nonce = if keys.next_is(&mut r, NONCE)? { Some(r.array_of()?) } else { None };
        let boot_profile = keys.next_is(&mut r, PROFILE)?;
        if boot_profile && r.text()? != EAT_PROFILE {
            return Err(DecodeError::Bounds);
        }
        if nonce.is_some() != (class == Class::Answer) || boot_profile != (class == Class::Boot) {
            return Err(DecodeError::Class);
        }
        keys.require(&mut r, BOOTCOUNT)?;
        let boot = u32::try_from(r.uint()?).map_err(|_| DecodeError::Bounds)?;
        keys.require(&mut r, PLUMBLINE)?;
        r.tuple(3)?;
        let seq = r.uint()?;
        let prev = r.array_of()?;
        let body = Body::read(class, &mut r, payload)?;
        keys.close()?;
        r.end()?;
        Ok(Self { iat, nonce, boot, seq, prev, body })
    }
}

/// Walks the keys of the claims map in their order; a key read ahead of its turn waits.
struct Keys {
    left: u64,
    ahead: Option<i64>,
}

impl Keys {
    fn open(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { left: r.map()?, ahead: None })
    }

    fn next_is(&mut self, r: &mut Reader<'_>, key: i64) -> Result<bool, DecodeError> {
        if self.ahead.is_none() && self.left > 0 {
            self.ahead = Some(r.int()?);
            self.left -= 1;
        }
        let found = self.ahead == Some(key);
        if found {
            self.ahead = None;
        }
        Ok(found)
    }

    fn require(&mut self, r: &mut Reader<'_>, key: i64) -> Result<(), DecodeError> {
        if self.next_is(r, key)? {
            return Ok(());
        }
        // Nothing left: the class lacks a claim. Otherwise: a key that is unknown, repeated or out of order.
        Err(if self.ahead.is_none() { DecodeError::Class } else { DecodeError::Key })
    }

    fn close(&self) -> Result<(), DecodeError> {
        if self.left == 0 { Ok(()) } else { Err(DecodeError::Key) }
    }
}

impl<'a> Body<'a> {
    fn write(&self, e: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Self::Telemetry(readings) => return readings.write(e),
            Self::Heartbeat => e.array(0),
            Self::Boot(body) => return body.write(e),
            Self::Answer { lease, slot } => e.array(2).and_then(|e| e.u64(*lease)?.u64(*slot)),
            Self::Commitment { lease, first_slot, length, anchor } => {
                if *length > MAX_CHAIN {
                    return Err(EncodeError::Bounds);
                }
                e.array(4).and_then(|e| e.u64(*lease)?.u64(*first_slot)?.u64((*length).into())?.bytes(anchor))
            }
            Self::Witness { slot, commitment } => e.array(2).and_then(|e| e.u64(*slot)?.bytes(commitment)),
            Self::Reveal(body) => return body.write(e),
        }
        .map_err(no_room)?;
        Ok(())
    }

    fn read(class: Class, r: &mut Reader<'a>, whole: &'a [u8]) -> Result<Self, DecodeError> {
        Ok(match class {
            Class::Telemetry => Self::Telemetry(Readings::read(r, whole)?),
            Class::Heartbeat => {
                r.tuple(0)?;
                Self::Heartbeat
            }
            Class::Boot => Self::Boot(BootBody::read(r)?),
            Class::Answer => {
                r.tuple(2)?;
                Self::Answer { lease: r.uint()?, slot: r.uint()? }
            }
            Class::Commitment => {
                r.tuple(4)?;
                let (lease, first_slot) = (r.uint()?, r.uint()?);
                let length = u32::try_from(r.uint()?).ok().filter(|length| *length <= MAX_CHAIN);
                Self::Commitment {
                    lease,
                    first_slot,
                    length: length.ok_or(DecodeError::Bounds)?,
                    anchor: r.array_of()?,
                }
            }
            Class::Witness => {
                r.tuple(2)?;
                Self::Witness { slot: r.uint()?, commitment: r.array_of()? }
            }
            Class::Reveal => Self::Reveal(RevealBody::read(r, whole)?),
        })
    }
}

impl BootBody {
    fn write(&self, e: &mut Writer<'_>) -> Result<(), EncodeError> {
        e.array(3).and_then(|e| e.bytes(&self.seed)?.bytes(&self.firmware)).map_err(no_room)?;
        match &self.location {
            None => e.array(0),
            Some(place) if !place.is_on_earth() => return Err(EncodeError::Bounds),
            Some(place) => e.array(3).and_then(|e| e.i64(place.lat.into())?.i64(place.lon.into())?.bytes(&place.salt)),
        }
        .map_err(no_room)?;
        Ok(())
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        r.tuple(3)?;
        let (seed, firmware) = (r.array_of()?, r.array_of()?);
        let location = match r.array()? {
            0 => None,
            3 => {
                let lat = i32::try_from(r.int()?).map_err(|_| DecodeError::Bounds)?;
                let lon = i32::try_from(r.int()?).map_err(|_| DecodeError::Bounds)?;
                let place = Location { lat, lon, salt: r.array_of()? };
                if !place.is_on_earth() {
                    return Err(DecodeError::Bounds);
                }
                Some(place)
            }
            _ => return Err(DecodeError::Bounds),
        };
        Ok(Self { seed, firmware, location })
    }
}

impl<'a> RevealBody<'a> {
    fn write(&self, e: &mut Writer<'_>) -> Result<(), EncodeError> {
        let secret = self.secret.as_ref().map_or(&[][..], |secret| secret);
        e.array(4).and_then(|e| e.u64(self.slot)?.bytes(secret)?.bytes(&self.salt)).map_err(no_room)?;
        self.receptions.write(e)
    }

    fn read(r: &mut Reader<'a>, whole: &'a [u8]) -> Result<Self, DecodeError> {
        r.tuple(4)?;
        let slot = r.uint()?;
        let secret = match r.bytes()? {
            [] => None,
            secret => Some(secret.try_into().map_err(|_| DecodeError::Bounds)?),
        };
        Ok(Self { slot, secret, salt: r.array_of()?, receptions: Receptions::read(r, whole)? })
    }
}
