//! What a class judges by in one epoch, and what it says. All of it is the same for every member and auditor.
//! Leaves out: how the evidence was counted and verified (`report`).

use std::collections::BTreeMap;

use attest::EvidenceId;

use super::{Item, Items};
use crate::endorse;
use crate::policy::{Conduct, Policy};
use crate::reason::Reason;
use crate::registry::{DeviceRecord, LeaseRecord};
use crate::report::Facts;
use crate::term::Term;

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

/// A lease that the class judges in this epoch, by what it does in windows.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Lease id.
    pub lease: u64,
    /// The lease.
    pub record: &'a LeaseRecord,
    /// What the class keeps of it, from the epochs before.
    pub fold: &'a [u8],
    /// Why nothing that its device says counts in this epoch: it is revoked, or not endorsed as the policy asks. The class
    /// then weighs none of its evidence, and what falls due meanwhile fails by this.
    pub barred: Option<Fault>,
}

/// Why something failed, with what was measured and the limit it was held against, in the reason's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// What was proven: nothing but that a challenge was passed, or a quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Units proven, as [`super::Class::unit`]; 0 where a challenge proves no quantity by itself.
    pub units: u64,
}

/// How a challenge or a window of a lease ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Lease.
    pub lease: u64,
    /// The challenge's slot, or the start of the window in unix seconds.
    pub at: u64,
    /// What was proven, or why not.
    pub result: Result<Proof, Fault>,
    /// Ids of the evidence that was weighed.
    pub evidence: Vec<EvidenceId>,
}

/// One failed challenge more for the device's own leases in that slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalty {
    /// Device at fault.
    pub device: u64,
    /// Slot.
    pub slot: u64,
    /// What it did.
    pub fault: Fault,
}

/// All that a class says of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appraisal {
    /// One per challenge or window, in any order.
    pub findings: Vec<Finding>,
    /// Failures that devices brought upon themselves besides their own challenges.
    pub penalties: Vec<Penalty>,
    /// What is kept of leases beyond what [`super::Rules::score`] keeps, by lease: it is what `score` finds in the account.
    pub folds: BTreeMap<u64, Vec<u8>>,
}

/// What members measured themselves: (lease, slot) → (member, bytes), ascending by member, each of the class's size.
pub type Measured<'a> = BTreeMap<(u64, u64), Vec<(u32, &'a [u8])>>;

/// What a class judges by, under one policy.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The class's number.
    pub class: u8,
    /// The term.
    pub term: &'a Term,
    /// The epoch.
    pub epoch: u64,
    /// How the committee works.
    pub conduct: &'a Conduct,
    /// The policy.
    pub policy: &'a Policy,
    /// f: an item counts when more than this many members held it in time.
    pub faults: u32,
    /// Devices as of the snapshot.
    pub devices: &'a BTreeMap<u64, DeviceRecord>,
    /// What is known of devices whatever their class: places, endorsements.
    pub facts: &'a Facts,
    /// What the class keeps of devices, this epoch's messages included.
    pub folds: &'a BTreeMap<u64, &'a [u8]>,
    /// The epoch's items.
    pub items: &'a Items<'a>,
    /// The class's challenges under this policy, of leases whose device may prove.
    pub challenges: &'a [Challenge],
    /// The class's leases under this policy, ascending by lease.
    pub leases: &'a [Judged<'a>],
    /// What members measured.
    pub measured: &'a Measured<'a>,
}

impl Case<'_> {
    /// What the class keeps of a device.
    #[must_use]
    pub fn fold(&self, device: u64) -> &[u8] {
        self.folds.get(&device).copied().unwrap_or_default()
    }

    /// Whether a device's word counts: it is active, of this class, and endorsed as the policy asks.
    #[must_use]
    pub fn may_speak(&self, device: u64) -> bool {
        let known = self.devices.get(&device).is_some_and(|record| record.active && record.class == self.class);
        known && endorse::shortfall(self.policy, self.facts, self.devices, self.class, device).is_none()
    }

    /// Where a device is, (lat, lon) in 1e-7 degree, or why that is not known.
    ///
    /// # Errors
    /// NO_LOCATION, or WRONG_LOCATION where its boot message names a place that does not open the commitment on chain.
    pub fn place(&self, device: u64) -> Result<(i32, i32), Fault> {
        let known = self.facts.devices.get(&device).and_then(|state| state.place);
        let misplaced = self.facts.misplaced.contains(&device);
        let reason = if misplaced { Reason::WRONG_LOCATION } else { Reason::NO_LOCATION };
        known.ok_or(Fault::plain(reason))
    }

    /// Why nothing counts among these items by a deadline: forked, late, or not there (`nothing`).
    pub(crate) fn absence<'i, 'b: 'i>(
        &self,
        items: impl Iterator<Item = &'i Item<'b>>,
        deadline: u32,
        nothing: Reason,
    ) -> Fault {
        let limit = i64::from(self.faults) + 1;
        let (mut listed, mut in_time, mut forked) = (0, 0, false);
        for item in items {
            listed = listed.max(item.held.listed());
            in_time = in_time.max(item.held.until(deadline));
            forked |= item.forked;
        }
        if forked {
            Fault::plain(Reason::FORK)
        } else if listed > self.faults && in_time <= self.faults {
            Fault { reason: Reason::LATE, measured: i64::from(in_time), limit }
        } else {
            Fault { reason: nothing, measured: i64::from(in_time), limit }
        }
    }
}
