//! The message classes. **This table is the only place that a new class touches**, besides the file under `body/` that
//! says what its fields are: number (signed), name (in topics), whether it answers a draw, body, and which of the body's
//! fields names a slot, if one does.
//!
//! Numbers are appended, never used again, and stay below 24 (one byte in the signed external data).

use core::fmt;

use crate::{
    AnswerBody, BandwidthBody, BootBody, ChannelNames, CommitmentBody, DecodeError, EncodeError, EndorsementBody,
    FixBody, HelloBody, MeterBody, MeteredBody, OpeningBody, PossessionBody, RevealBody, Samples, WitnessBody,
    WorkBody,
    cbor::{Reader, Writer},
    field::Field,
};

classes! { 'a;
    /// Readings of the device's channels at one instant or several.
    1 Telemetry "telemetry" says (Samples<'a>);
    /// A sign of life without content.
    2 Heartbeat "heartbeat" says;
    /// Once per boot: binds the boot to firmware and place.
    3 Boot "boot" says (BootBody);
    /// The answer to an uptime challenge.
    4 Answer "answer" answers (AnswerBody) slot;
    /// The anchor of a hash chain for later coverage secrets.
    5 Commitment "commitment" says (CommitmentBody) first_slot;
    /// A commitment to what was heard in a slot.
    6 Witness "witness" says (WitnessBody) slot;
    /// The opening: own secret and receptions of a slot.
    7 Reveal "reveal" says (RevealBody<'a>) slot;
    /// What the device's channels are called and measured in.
    8 Channels "channels" says (ChannelNames<'a>);
    /// Windows of an energy meter.
    9 Meter "meter" says (MeterBody<'a>);
    /// Where a satellite receiver says it is, and what it saw.
    10 Fix "fix" says (FixBody<'a>);
    /// The answer to a storage challenge: a leaf and its Merkle path.
    11 Possession "possession" answers (PossessionBody<'a>) slot;
    /// The answer to a compute challenge: a commitment to the result's rows.
    12 Work "work" answers (WorkBody) slot;
    /// The rows of a compute commitment that a later beacon asked for, by the digest of their bytes.
    13 Opening "opening" says (OpeningBody) slot;
    /// The answer to a bandwidth challenge: what arrived from each challenger.
    14 Bandwidth "bandwidth" answers (BandwidthBody<'a>) slot;
    /// A maker's endorsement of this device's key.
    15 Endorsement "endorsement" says (EndorsementBody<'a>);
    /// A record that a meter signed by itself, or its digest.
    16 Metered "metered" says (MeteredBody<'a>);
    /// Opens the way back to a device for one member's probes.
    17 Hello "hello" answers (HelloBody) slot;
}

/// Makes the numbers, the names, the bodies and their reading and writing of one table.
macro_rules! classes {
    ($l:lifetime; $($(#[$doc:meta])* $number:literal $variant:ident $name:literal $kind:ident $(($body:ty))? $($slot:ident)?;)*) => {
        /// The class of a message. It is signed in the external data and carried by the topic, not by the envelope.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Class {
            $($(#[$doc])* $variant = $number,)*
        }

        /// What a class carries.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Body<$l> {
            $($(#[$doc])* $variant $(($body))?,)*
        }

        impl Class {
            /// Every class, ascending by number.
            pub const ALL: [Self; [$($number),*].len()] = [$(Self::$variant),*];

            /// The name used in topics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Whether a message of this class answers a draw, which is then its nonce.
            #[must_use]
            pub const fn answers(self) -> bool {
                match self { $(Self::$variant => kind!($kind),)* }
            }

            /// The class number and the head of the 8-byte network that follows it in the external data.
            pub(crate) const fn signed_head(self) -> &'static [u8] {
                // A table without pointers, by number: a match would cost a microcontroller four bytes more per class.
                const HEADS: [[u8; 2]; 24] = {
                    let mut heads = [[0, 0x48]; 24];
                    $(heads[$number] = [$number, 0x48];)*
                    heads
                };
                &HEADS[self as usize]
            }
        }

        impl<$l> Body<$l> {
            /// The class of messages with this body.
            #[must_use]
            pub const fn class(&self) -> Class {
                match self { $(Self::$variant { .. } => Class::$variant,)* }
            }

            /// The slot that the message names, of a commitment the first one; `None` for a class that names none.
            #[must_use]
            pub const fn slot(&self) -> Option<u64> {
                $($(if let Self::$variant(body) = self { return Some(body.$slot); })?)*
                None
            }

            pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
                match self { $(Self::$variant $((bound!(body, $body)))? => content!(out $(, body, $body)?),)* }
            }

            pub(crate) fn read(class: Class, input: &mut Reader<$l>) -> Result<Self, DecodeError> {
                Ok(match class {
                    $(Class::$variant => { contained!(input, Self::$variant $(, $body)?) })*
                })
            }
        }

        $($(
            impl<$l> said::Write for $body {
                fn class(&self) -> Class {
                    Class::$variant
                }

                fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
                    Field::write(self, out)
                }
            }
            impl<$l> Said for $body {}
            answer!($kind, $l, $body);
        )?)*
    };
}

macro_rules! kind {
    (says) => {
        false
    };
    (answers) => {
        true
    };
}

/// What the bodies that answer a draw have in common.
macro_rules! answer {
    (says, $l:lifetime, $body:ty) => {};
    (answers, $l:lifetime, $body:ty) => {
        impl<$l> Answers for $body {
            fn lease(&self) -> u64 {
                self.lease
            }

            fn slot(&self) -> u64 {
                self.slot
            }
        }
    };
}

/// The name under which a body is matched, only where there is one.
macro_rules! bound {
    ($name:ident, $body:ty) => {
        $name
    };
}

macro_rules! content {
    ($out:ident) => {
        nothing($out)
    };
    ($out:ident, $name:ident, $body:ty) => {
        Field::write($name, $out)
    };
}

macro_rules! contained {
    ($input:ident, $variant:expr) => {{
        $input.tuple(0)?;
        $variant
    }};
    ($input:ident, $variant:expr, $body:ty) => {
        $variant(<$body as Field<'_>>::read($input)?)
    };
}

use {answer, bound, classes, contained, content, kind};

/// The body of a class that carries nothing.
fn nothing(out: &mut Writer<'_>) -> Result<(), EncodeError> {
    out.array(0)
}

pub(crate) mod said {
    use super::{Class, EncodeError, Writer};

    pub(crate) trait Write {
        fn class(&self) -> Class;
        fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError>;
    }
}

/// What a message can carry: a [`Body`], or the body of one class. Firmware that passes the latter links only the
/// encoders of the classes it speaks.
#[expect(private_bounds, reason = "sealed")]
pub trait Said: said::Write {}

/// The body of a class that answers a draw ([`Class::answers`]), for [`Device::answer`](crate::Device::answer).
pub trait Answers: Said {
    /// The challenged lease.
    fn lease(&self) -> u64;
    /// The slot of the draw.
    fn slot(&self) -> u64;
}

impl said::Write for Body<'_> {
    fn class(&self) -> Class {
        Body::class(self)
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        Body::write(self, out)
    }
}
impl Said for Body<'_> {}

/// The body of a heartbeat, for firmware that does without [`Body`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nothing;

impl said::Write for Nothing {
    fn class(&self) -> Class {
        Class::Heartbeat
    }

    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        nothing(out)
    }
}
impl Said for Nothing {}

impl Class {
    /// The number that is signed.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// The class of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// The class of this number, if there is one.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_u8() == number)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
