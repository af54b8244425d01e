//! How a rig cheats or fails: it falls silent, sends its own old messages again, or signs two answers with one sequence
//! number. Leaves out: what is lost by it, which `deeds` reads out of its diary.

use anyhow::{Result, bail};

use crate::device::Told;
use crate::kind::{Adversary, Pay};

/// Name of the way to fail that `silent` is.
pub const SILENT: &str = "falls silent";
const REPLAYS: &str = "replays";
const FORKS: &str = "forks";

/// When the demo's silent rig falls silent, ms after genesis: half of the lease.
pub const SILENT_FROM_MS: u64 = 30_000;
/// Which challenges the demo's forking rig answers twice: every fourth.
pub const FORK_EVERY: u64 = 4;

/// Says nothing from so many ms after genesis on; the process stays.
pub(super) const fn silent(from_ms: u64) -> Adversary {
    Adversary { name: SILENT, number: from_ms, caught_by: &["NO_ANSWER"], pay: Pay::Part }
}

/// Sends some of its own old messages again, byte for byte, with every answer. Nobody counts one twice.
pub(super) const fn replays() -> Adversary {
    Adversary { name: REPLAYS, number: 0, caught_by: &[], pay: Pay::Whole }
}

/// Signs two different answers with one sequence number in every n-th challenge.
pub(super) const fn forks(every_n: u64) -> Adversary {
    Adversary { name: FORKS, number: every_n, caught_by: &["FORK"], pay: Pay::Part }
}

/// What a rig was told to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cheat {
    /// As [`silent`].
    Silent { from_ms: u64 },
    /// As [`replays`].
    Replays,
    /// As [`forks`].
    Forks { every_n: u64 },
}

impl Cheat {
    /// Reads an adversary by its name.
    pub(super) fn read(name: &str, number: u64) -> Result<Self> {
        Ok(match name {
            SILENT => Self::Silent { from_ms: number },
            REPLAYS => Self::Replays,
            FORKS => Self::Forks { every_n: number.max(1) },
            _ => bail!("{name:?} is no way in which a rig cheats"),
        })
    }

    pub(super) fn of(told: Option<&Told>) -> Result<Option<Self>> {
        told.map(|told| Self::read(&told.name, told.number)).transpose()
    }

    /// Whether the n-th challenge, from 1, is answered twice.
    pub(super) const fn forks(self, n: u64) -> bool {
        matches!(self, Self::Forks { every_n } if n.is_multiple_of(every_n))
    }

    /// Whether nothing is said any more, so long after genesis.
    pub(super) const fn is_silent(self, after_ms: u64) -> bool {
        matches!(self, Self::Silent { from_ms } if after_ms >= from_ms)
    }
}
