//! A read-only view of an oracle, for its HTTP API, metrics and tests.

use std::collections::BTreeMap;

use crate::bootstrap::Progress;

/// Where an oracle stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `running`, or the name of the bootstrap phase.
    pub phase: &'static str,
    /// The bootstrap in numbers; device keys are activated while epochs run.
    pub bootstrap: Progress,
    /// Epoch by this node's clock; `None` before genesis.
    pub epoch: Option<u64>,
    /// Slot by this node's clock; `None` before genesis.
    pub slot: Option<u64>,
    /// Every stream that is served, ascending; empty before the start.
    pub streams: BTreeMap<u32, StreamStatus>,
    /// First epoch of the term.
    pub first_epoch: u64,
    /// First epoch that is not the term's any more; `None` while no rotation is final on the chain.
    pub until_epoch: Option<u64>,
    /// The term that this one is about to hand over to.
    pub successor: Option<u64>,
    /// Whether that term's key is known here.
    pub successor_key: bool,
    /// First epoch of the rotation that was decided last.
    pub planned_epoch: Option<u64>,
    /// Messages refused because they do not decode.
    pub malformed: u64,
    /// Messages dropped because they are about a stream that is not served here.
    pub unserved: u64,
}

/// Where one stream stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamStatus {
    /// The epoch that is decided next.
    pub next_epoch: u64,
    /// View of the agreement on that epoch, from 1; 0 while it has not begun.
    pub view: u32,
    /// Members whose observation of that epoch is held, ascending, this one included.
    pub heard: Vec<u32>,
    /// Pieces of content that are waited for.
    pub wanted: u64,
    /// Last decided epoch.
    pub last_decided: Option<u64>,
    /// Last certified epoch.
    pub last_certified: Option<u64>,
    /// Last epoch whose report is on chain.
    pub last_posted: Option<u64>,
    /// Void slots of the last decided epoch.
    pub void_slots: Vec<u64>,
    /// Whether other members are known to be ahead.
    pub behind: bool,
    /// Whether the state to begin from is still fetched.
    pub inheriting: bool,
    /// The epoch that is decided next, where its snapshot was told while it was too far ahead: it must be told again.
    pub lacking: Option<u64>,
}

impl Status {
    /// The stream that is furthest behind, with its number: what is true of it is true of every other one. The lowest
    /// number where several stand alike; `None` before the start.
    #[must_use]
    pub fn slowest(&self) -> Option<(u32, &StreamStatus)> {
        let key = |stream: &&StreamStatus| (stream.next_epoch, stream.last_certified, stream.last_posted);
        let least = self.streams.values().min_by_key(key)?;
        self.streams.iter().find(|(_, stream)| *stream == least).map(|(number, stream)| (*number, stream))
    }

    /// The last epoch of any stream whose report is on the chain.
    #[must_use]
    pub fn posted_anywhere(&self) -> Option<u64> {
        self.streams.values().filter_map(|stream| stream.last_posted).max()
    }

    /// The first epoch whose snapshot must be told again, with those after it.
    #[must_use]
    pub fn lacking(&self) -> Option<u64> {
        self.streams.values().filter_map(|stream| stream.lacking).min()
    }

    /// Whether a stream still waits for the state that it begins from.
    #[must_use]
    pub fn inheriting(&self) -> bool {
        self.streams.values().any(|stream| stream.inheriting)
    }
}
