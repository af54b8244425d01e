//! A read-only view of an oracle, for its HTTP API, metrics and tests.

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
    /// The epoch that is decided next; `None` before the start.
    pub next_epoch: Option<u64>,
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
    /// Whether the state to begin from is still fetched.
    pub inheriting: bool,
    /// Messages refused because they do not decode.
    pub malformed: u64,
}
