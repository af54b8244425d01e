//! Why something did not count: stable codes, each with a name, a sentence and the unit of what was measured.
//! docs/reasons.md is written from these tables. Leaves out: the reasons of a class of proof, which stand in its own folder
//! under `class`, and who decides (`ingest`, `class`, `report`).

use core::fmt;
use core::hash::{Hash, Hasher};

use crate::class;

/// A stable reason. Codes and names never change meaning. Codes below 100 are verdicts that any class may give and those of
/// the first two classes; 100 to 199 are a node's at the door; a class c from 3 on has 100 · c to 100 · c + 99.
#[derive(Clone, Copy)]
pub struct Reason {
    code: u16,
    name: &'static str,
    unit: &'static str,
    sentence: &'static str,
}

/// Makes a table of reasons: a constant of [`Reason`] each, and the list of them.
macro_rules! reasons {
    ($list:ident; $($constant:ident = $code:literal, $unit:literal, $sentence:literal;)*) => {
        impl $crate::reason::Reason {
            $(#[doc = $sentence] pub const $constant: Self = Self::new($code, stringify!($constant), $unit, $sentence);)*
        }

        /// The reasons of this table, ascending by code.
        pub(crate) const $list: &[$crate::reason::Reason] = &[$($crate::reason::Reason::$constant,)*];
    };
}
pub(crate) use reasons;

reasons! { COMMON;
    VOID_SLOT = 1, "ms", "The committee recovered the slot's beacon too late (median lateness against the bound); the slot counts neither way.";
    POLICY_NOT_IN_BOOK = 2, "", "The policy that the lease was opened under is not in the term's book, so nothing can be judged; it counts neither way.";
    NO_ANSWER = 10, "members", "Too few members hold any answer to the challenge.";
    LATE = 11, "members", "The answer exists, but too few members held it by the deadline.";
    FORK = 12, "", "The device signed two different messages with one boot and sequence number; neither counts.";
    WRONG_NONCE = 13, "", "The answer names another challenge than the one drawn.";
    TIER_TOO_LOW = 14, "tier", "No endorsement of the device's key by a maker that the policy trusts reaches the tier that the policy asks for (0: none stands).";
    DEVICE_REVOKED = 15, "", "The owner revoked the device's key: nothing that the device says counts, and what is asked of it fails.";
    KEY_NOT_PROVEN = 16, "", "The device's key was changed and the committee has not certified the new one yet: nothing that the device says counts, and what is asked of it fails.";
    NO_LOCATION = 24, "", "The place of the device, or of a witness, is not known: no boot message opened its commitment.";
    WRONG_LOCATION = 25, "", "The place in the boot message does not open the commitment on chain.";
}

reasons! { DOOR;
    MALFORMED = 100, "", "The message is not a canonical envelope of its class, or the topic does not fit its key.";
    UNKNOWN_DEVICE = 101, "", "No active device has this key.";
    BAD_SIGNATURE = 102, "", "The signature does not verify under the registered key.";
    TOO_MANY = 103, "messages", "The device sent more messages in this epoch than the conduct document keeps.";
    TOO_LONG = 104, "bytes", "The message is longer than the protocol allows.";
}

impl Reason {
    pub(crate) const fn new(code: u16, name: &'static str, unit: &'static str, sentence: &'static str) -> Self {
        Self { code, name, unit, sentence }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.code
    }

    /// Short stable name, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// What it means, for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        self.sentence
    }

    /// Unit of the measured value and its limit; empty when nothing is measured.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        self.unit
    }

    /// Every reason this version knows, ascending by code.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let of_classes = class::KNOWN.iter().flat_map(|class| class.reasons());
        let mut all: Vec<Self> = COMMON.iter().chain(DOOR).chain(of_classes).copied().collect();
        all.sort_unstable_by_key(|reason| reason.code);
        all
    }

    /// The reason of a code, if this version knows it.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::all().into_iter().find(|reason| reason.code == code)
    }
}

impl PartialEq for Reason {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

impl Eq for Reason {}

impl PartialOrd for Reason {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Reason {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.code.cmp(&other.code)
    }
}

impl Hash for Reason {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.code.hash(state);
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_each_class_keeps_to_its_own() {
        let all = Reason::all();
        for (one, next) in all.iter().zip(all.iter().skip(1)) {
            assert!(one.code() < next.code(), "{one} {next}");
        }
        let names: std::collections::BTreeSet<&str> = all.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|reason| Reason::from_code(reason.code()) == Some(*reason)));
        assert_eq!(Reason::from_code(0), None);
        for class in class::KNOWN {
            let own = if class.number() < 3 {
                10..100
            } else {
                100 * u16::from(class.number())..100 * u16::from(class.number()) + 100
            };
            assert!(class.reasons().iter().all(|reason| own.contains(&reason.code())), "{}", class.name());
        }
    }
}
