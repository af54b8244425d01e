//! Why something did not count: stable codes, each with a name, a sentence and the unit of what was measured.
//! docs/reasons.md is written from this table. Leaves out: who decides (`ingest`, `class`, `report`).

/// Makes the enum and its table from one list, so that no code can lack a name or a sentence.
macro_rules! reasons {
    ($($variant:ident = $code:literal, $name:literal, $unit:literal, $sentence:literal;)*) => {
        /// A stable reason. Codes and names never change meaning; new ones are added at the end of their group.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Reason {
            $(#[doc = $sentence] $variant = $code,)*
        }

        impl Reason {
            /// Every reason, ascending by code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Short stable name, for logs and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it means, for people.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }

            /// Unit of the measured value and its limit; empty when nothing is measured.
            #[must_use]
            pub const fn unit(self) -> &'static str {
                match self { $(Self::$variant => $unit,)* }
            }
        }
    };
}

reasons! {
    VoidSlot = 1, "VOID_SLOT", "ms", "The committee recovered the slot's beacon too late (median lateness against the bound); the slot counts neither way.";
    NoAnswer = 10, "NO_ANSWER", "members", "Too few members hold any answer to the challenge.";
    Late = 11, "LATE", "members", "The answer exists, but too few members held it by the deadline.";
    Fork = 12, "FORK", "", "The device signed two different messages with one boot and sequence number; neither counts.";
    WrongNonce = 13, "WRONG_NONCE", "", "The answer names another challenge than the one drawn.";
    TierTooLow = 14, "TIER_TOO_LOW", "tier", "No endorsement of the device's key by a maker that the policy trusts reaches the tier that the policy asks for (0: none stands).";
    NoReveal = 20, "NO_REVEAL", "members", "Too few members hold any reveal of the challenged transmitter.";
    NotCommitted = 21, "NOT_COMMITTED", "", "No hash-chain commitment of the transmitter covers the slot.";
    BadSecret = 22, "BAD_SECRET", "", "The revealed secret does not open the committed hash chain.";
    TooFewWitnesses = 23, "TOO_FEW_WITNESSES", "witnesses", "Fewer valid witnesses than the policy asks for.";
    NoLocation = 24, "NO_LOCATION", "", "The place of the transmitter or of the witness is not known: no boot message opened its commitment.";
    WrongLocation = 25, "WRONG_LOCATION", "", "The place in the boot message does not open the commitment on chain.";
    FalseWitness = 26, "FALSE_WITNESS", "lease", "The device reported receiving something that the named lease's transmitter never sent.";
    TooNear = 27, "TOO_NEAR", "m", "The witness stands nearer to the transmitter than the policy allows.";
    TooFar = 28, "TOO_FAR", "m", "The witness stands farther from the transmitter than the policy allows.";
    RssiAboveFreeSpace = 29, "RSSI_ABOVE_FREE_SPACE", "0.01 dBm", "The reported signal is stronger than free space and the transmit power allow.";
    RssiBelowFloor = 30, "RSSI_BELOW_FLOOR", "0.01 dBm", "The reported signal is weaker than the receiver could decode.";
    SnrTooLow = 31, "SNR_TOO_LOW", "0.01 dB", "The reported signal-to-noise ratio is lower than the receiver could decode.";
    NotWitnessed = 32, "NOT_WITNESSED", "", "The reveal does not open the witness commitment sent before the deadline.";
    Malformed = 100, "MALFORMED", "", "The message is not a canonical envelope of its class, or the topic does not fit its key.";
    UnknownDevice = 101, "UNKNOWN_DEVICE", "", "No active device has this key.";
    BadSignature = 102, "BAD_SIGNATURE", "", "The signature does not verify under the registered key.";
    TooMany = 103, "TOO_MANY", "messages", "The device sent more messages in this epoch than the policy keeps.";
    TooLong = 104, "TOO_LONG", "bytes", "The message is longer than the protocol allows.";
}

impl Reason {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The reason of a code, if this version knows it.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_ascending() {
        for (one, next) in Reason::ALL.iter().zip(Reason::ALL.iter().skip(1)) {
            assert!(one.code() < next.code(), "{one} {next}");
        }
        let names: std::collections::BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        assert!(Reason::ALL.iter().all(|reason| Reason::from_code(reason.code()) == Some(*reason)));
        assert_eq!(Reason::from_code(0), None);
    }
}
