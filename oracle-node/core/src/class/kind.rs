//! The kinds of messages that a class reads: until when one counts, and when it bears on anything.
//! Leaves out: counting who held what when (`collect`, `report`).

use crate::observation::BY_ALWAYS;

/// One kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The message class.
    pub message: attest::Class,
    /// Until when it counts.
    pub timing: Timing,
    /// When it is read.
    pub need: Need,
}

impl Kind {
    /// The deadlines that an arrival is held against, ascending; none where it is in time or not ([`Timing::Before`],
    /// [`Timing::Whenever`]).
    pub fn deadlines(&self) -> impl Iterator<Item = u32> {
        let (first, second) = match self.timing {
            Timing::After(deadline) => (Some(deadline), None),
            Timing::Before | Timing::Whenever => (None, None),
            Timing::Claimed { fresh, late } => (Some(fresh), Some(late)),
        };
        first.into_iter().chain(second)
    }

    /// The last deadline at which it is still of use; [`BY_ALWAYS`] where there is none.
    #[must_use]
    pub fn last_deadline(&self) -> u32 {
        self.deadlines().last().unwrap_or(BY_ALWAYS)
    }
}

/// Until when a message counts, by the observer's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// It names a slot, and is in time until so many ms (and the allowance for gossip) after the slot's start. Listed in the
    /// epoch in which the class's challenges of that slot are due.
    After(u32),
    /// It names a first slot, and is in time before that slot starts. Listed in the epoch of its arrival and the next.
    Before,
    /// Always in time. Listed in the epoch of its arrival and the next.
    Whenever,
    /// It claims a time of its own (the claim `iat`), and is fresh until `fresh` ms and of use until `late` ms after it; not
    /// in time above that, nor when it comes before the time it claims (by more than [`EARLY_MS`]). Listed in the epoch of its
    /// arrival and the next.
    Claimed {
        /// Until when it is fresh, ms.
        fresh: u32,
        /// Until when it is of use, ms.
        late: u32,
    },
}

/// How far ahead of an observer's clock a device's may be, ms; whole seconds, as devices claim them.
pub const EARLY_MS: u64 = 2_000;

/// When a message bears on a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// When its device is challenged in the slot it names.
    Challenged,
    /// When any device of the class is challenged in the slot it names.
    AnyChallenged,
    /// Always.
    Always,
}
