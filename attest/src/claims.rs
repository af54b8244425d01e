//! The claims of a message: the CWT map around the body of its class, in their one canonical encoding
//! (docs/protocol.md §2). Nothing here looks at signatures, and nothing judges whether a claim is true.

use crate::{
    Body, Class, DecodeError, EncodeError, Said,
    cbor::{Reader, Writer},
};

/// The profile that a boot message names.
pub const EAT_PROFILE: &str = "tag:plumbline.invalid,2026:boot-1";

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
    /// The draw that is answered; exactly for classes that answer one ([`Class::answers`]).
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

/// Everything of the claims but the body, in one place for [`Claims`] and for messages that carry a body of one class.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) iat: Option<u64>,
    pub(crate) nonce: Option<[u8; 32]>,
    pub(crate) boot: u32,
    pub(crate) seq: u64,
    pub(crate) prev: [u8; 16],
}

impl Head {
    /// Writes the canonical payload of these claims with this body.
    pub(crate) fn encode(&self, body: &dyn Said, out: &mut [u8]) -> Result<usize, EncodeError> {
        let class = body.class();
        let boot = matches!(class, Class::Boot);
        if self.nonce.is_some() != class.answers() {
            return Err(EncodeError::Class);
        }
        let mut e = Writer::new(out);
        e.map(2 + u64::from(self.iat.is_some()) + u64::from(self.nonce.is_some()) + u64::from(boot))?;
        if let Some(iat) = self.iat {
            e.int(IAT)?;
            e.uint(iat)?;
        }
        if let Some(nonce) = &self.nonce {
            e.int(NONCE)?;
            e.bytes(nonce)?;
        }
        if boot {
            e.int(PROFILE)?;
            e.text(EAT_PROFILE)?;
        }
        e.int(BOOTCOUNT)?;
        e.uint(self.boot.into())?;
        e.int(PLUMBLINE)?;
        e.array(3)?;
        e.uint(self.seq)?;
        e.bytes(&self.prev)?;
        body.write(&mut e)?;
        Ok(e.position())
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
        self.head().encode(&self.body, out)
    }

    pub(crate) const fn head(&self) -> Head {
        Head { iat: self.iat, nonce: self.nonce, boot: self.boot, seq: self.seq, prev: self.prev }
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
        if nonce.is_some() != class.answers() || boot_profile != (class == Class::Boot) {
            return Err(DecodeError::Class);
        }
        keys.require(&mut r, BOOTCOUNT)?;
        let boot = u32::try_from(r.uint()?).map_err(|_| DecodeError::Bounds)?;
        keys.require(&mut r, PLUMBLINE)?;
        r.tuple(3)?;
        let seq = r.uint()?;
        let prev = r.array_of()?;
        let body = Body::read(class, &mut r)?;
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
