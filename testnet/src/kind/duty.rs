//! What a device of some kind does, as a pure state machine, and what it may ask to have done. Leaves out: what is common to
//! all kinds (`device::watch`), signing, sockets and disk.

use std::fmt::Debug;
use std::path::PathBuf;

use anyhow::Result;
use attest::Location;
use serde::de::DeserializeOwned;

use crate::device::lease::Lease;
use crate::device::{Clock, Entry, Speech, Told};

/// What a device is told once, at its start.
#[derive(Clone, Debug)]
pub struct Role {
    /// Token id.
    pub token: u64,
    /// The network's time.
    pub clock: Clock,
    /// Answer deadline D of its class, ms.
    pub deadline: u64,
    /// Its place.
    pub place: Option<Location>,
    /// A secret of its own, apart from its signing key.
    pub secret: [u8; 32],
    /// What [`Act::Keep`] stored last, before a restart.
    pub kept: Option<Vec<u8>>,
    /// How it must cheat or fail.
    pub adversary: Option<Told>,
    /// Its kind's own settings ([`Gear`](super::Gear)).
    pub settings: toml::Table,
    /// Recordings, if there are any.
    pub data: Option<PathBuf>,
}

impl Role {
    /// Its settings, in its kind's form.
    ///
    /// # Errors
    /// When they are of another form.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(self.settings.clone().try_into()?)
    }
}

/// A challenge of an own lease for which there is still time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Unix ms.
    pub now: u64,
    /// Slot.
    pub slot: u64,
    /// Lease.
    pub lease: u64,
    /// The draw.
    pub draw: [u8; 32],
}

/// What a device does about its leases. Every call says what to do, in order.
pub trait Duty: Debug + Send + Sync {
    /// Where what it measures comes from, in words.
    fn source(&self) -> String;

    /// Once a second: a sign of life, with what it measures.
    fn pulse(&mut self) -> Speech;

    /// A challenge.
    fn challenged(&mut self, challenge: &Challenge) -> Vec<Act>;

    /// A slot of an own lease has begun for certain (its beacon verified), and its answers are still in time.
    fn began(&mut self, _slot: u64) {}

    /// Whatever is due by now, with the leases known so far; only once the device may speak.
    fn wake(&mut self, _now: u64, _leases: &[Lease]) -> Vec<Act> {
        Vec::new()
    }

    /// When [`Self::wake`] has something to do next, unix ms.
    fn next_due(&self) -> Option<u64> {
        None
    }

    /// A datagram came over its own line.
    fn heard(&mut self, _now: u64, _datagram: &[u8]) -> Vec<Act> {
        Vec::new()
    }

    /// Whether it says nothing any more; its diary goes on.
    fn silent(&self, _now: u64) -> bool {
        false
    }
}

/// What the caller must do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Sign and publish the boot message.
    Boot,
    /// Sign and publish.
    Say(Speech),
    /// Send over the device's own line.
    Send(Vec<u8>),
    /// Write into the diary.
    Note(Entry),
    /// Send some of the own old messages again.
    Replay,
    /// Store over a restart, before anything after it is done.
    Keep(Vec<u8>),
}

impl Act {
    /// Something left undone, for the diary.
    #[must_use]
    pub fn missed(at_ms: u64, slot: u64, why: impl Into<String>) -> Self {
        Self::Note(Entry::Missed { at_ms, slot, why: why.into() })
    }
}

/// A role without anything special, for tests.
#[cfg(test)]
pub(crate) fn bare(clock: Clock, settings: &str) -> Role {
    Role {
        token: 4,
        clock,
        deadline: 2_000,
        place: None,
        secret: [7; 32],
        kept: None,
        adversary: None,
        settings: toml::from_str(settings).expect("settings"),
        data: None,
    }
}
