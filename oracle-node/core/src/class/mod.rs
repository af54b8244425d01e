//! Classes of proof: how a challenge is answered and judged. One module per class behind one interface; a new class is
//! a new file here and one line in [`ALL`]. Leaves out: who holds what evidence (`report`), what it pays (`report`).

mod coverage;
mod items;
mod uptime;

use std::collections::{BTreeMap, BTreeSet};

use attest::EvidenceId;

pub use items::{Item, Items, Reveal, Said};

use crate::policy::Policy;
use crate::reason::Reason;
use crate::registry::DeviceRecord;
use crate::state::DeviceState;

/// Every class this version knows, ascending by number.
pub const ALL: &[&dyn Class] = &[&uptime::Uptime, &coverage::Coverage];

/// The number of the coverage class, whose devices witness for one another, leased or not.
pub const COVERAGE: u8 = 2;

/// A class of proof.
pub trait Class: Sync {
    /// Its number in leases and device records.
    fn number(&self) -> u8;

    /// Its name, for people.
    fn name(&self) -> &'static str;

    /// Time from a slot's start until its challenge is due, ms.
    fn lag_ms(&self, policy: &Policy) -> u64;

    /// The challenge of a device in a slot: the draw, if it falls below the policy's p.
    fn challenge(&self, policy: &Policy, seed: &[u8; 32], device: u64, lease: u64) -> Option<[u8; 32]> {
        let draw = attest::challenge::draw(seed, device, lease);
        attest::challenge::challenged(&draw, policy.challenge_p).then_some(draw)
    }

    /// Whether evidence of this kind, from a device of this class, bears on a verdict: `here` when that device is
    /// challenged in the slot the evidence names, `anywhere` when any device of the class is.
    fn wants(&self, kind: attest::Class, here: bool, anywhere: bool) -> bool;

    /// Opens the epoch's case: everything all challenges of the class are judged by.
    fn open<'a>(&self, case: &Case<'a>) -> Box<dyn Judge + 'a>;
}

/// Judges the challenges of one class in one epoch.
pub trait Judge {
    /// Decides one challenge of the case.
    fn judge(&self, challenge: &Challenge) -> Judgement;

    /// Failures that devices brought upon themselves besides their own challenges.
    fn penalties(&self) -> Vec<Penalty> {
        Vec::new()
    }
}

/// A challenge that was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Lease.
    pub lease: u64,
    /// The lease's device.
    pub device: u64,
    /// Slot.
    pub slot: u64,
    /// The draw; the answer's nonce.
    pub draw: [u8; 32],
}

/// Why something failed, with what was measured and the limit it was held against, in the reason's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable reason.
    pub reason: Reason,
    /// What was measured.
    pub measured: i64,
    /// The limit.
    pub limit: i64,
}

impl Fault {
    /// A fault without measurement.
    #[must_use]
    pub const fn plain(reason: Reason) -> Self {
        Self { reason, measured: 0, limit: 0 }
    }
}

/// How a challenge ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// `None` when it was passed.
    pub fault: Option<Fault>,
    /// Ids of the evidence that was weighed.
    pub evidence: Vec<EvidenceId>,
}

/// One failed challenge more for the device's own lease in that slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalty {
    /// Device at fault.
    pub device: u64,
    /// Slot.
    pub slot: u64,
    /// What it did.
    pub fault: Fault,
}

/// What a class judges by. All of it is the same for every member and auditor.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// f: an item counts when more than this many members held it in time.
    pub faults: u32,
    /// Devices as of the snapshot.
    pub devices: &'a BTreeMap<u64, DeviceRecord>,
    /// Places and chains, this epoch's boots and commitments included.
    pub places: &'a BTreeMap<u64, DeviceState>,
    /// Devices whose boot message named a place that does not open their commitment.
    pub misplaced: &'a BTreeSet<u64>,
    /// The epoch's items.
    pub items: &'a Items,
    /// The class's challenges.
    pub challenges: &'a [Challenge],
}

impl Case<'_> {
    /// Why nothing counts among these items: forked, late, or not there (`nothing`).
    fn absence<'i>(&self, items: impl Iterator<Item = &'i Item>, nothing: Reason) -> Fault {
        let limit = i64::from(self.faults) + 1;
        let (mut listed, mut in_time, mut forked) = (0, 0, false);
        for item in items {
            listed = listed.max(item.listed);
            in_time = in_time.max(item.in_time);
            forked |= item.forked;
        }
        if forked {
            Fault::plain(Reason::Fork)
        } else if listed > self.faults && in_time <= self.faults {
            Fault { reason: Reason::Late, measured: i64::from(in_time), limit }
        } else {
            Fault { reason: nothing, measured: i64::from(in_time), limit }
        }
    }
}

/// The class of a number.
#[must_use]
pub fn by_number(number: u8) -> Option<&'static dyn Class> {
    ALL.iter().copied().find(|class| class.number() == number)
}

/// The longest time that any class waits for its proof, ms.
#[must_use]
pub fn longest_lag_ms(policy: &Policy) -> u64 {
    ALL.iter().map(|class| class.lag_ms(policy)).max().unwrap_or(0)
}
