//! The seven message classes: their numbers (signed) and names (in topics). What each carries is in `claims.rs`.

use core::fmt;

/// The class of a message. It is signed in the external data and carried by the topic, not by the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Readings of the device's channels.
    Telemetry = 1,
    /// A sign of life without content.
    Heartbeat = 2,
    /// Once per boot: binds the boot to firmware and place.
    Boot = 3,
    /// The answer to an uptime challenge.
    Answer = 4,
    /// The anchor of a hash chain for later coverage secrets.
    Commitment = 5,
    /// A commitment to what was heard in a slot.
    Witness = 6,
    /// The opening: own secret and receptions of a slot.
    Reveal = 7,
}

impl Class {
    /// Every class, ascending by number.
    pub const ALL: [Self; 7] =
        [Self::Telemetry, Self::Heartbeat, Self::Boot, Self::Answer, Self::Commitment, Self::Witness, Self::Reveal];

    /// The name used in topics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry",
            Self::Heartbeat => "heartbeat",
            Self::Boot => "boot",
            Self::Answer => "answer",
            Self::Commitment => "commitment",
            Self::Witness => "witness",
            Self::Reveal => "reveal",
        }
    }

    /// The number that is signed, 1 to 7.
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
