//! The door for classes of proof. A class is one folder here and one line in its table; nothing else in the core names a
//! class or a kind of message that classes read. It is in force where a policy has its section, and nowhere else: no code
//! of the core runs over all that a binary knows, so a new class changes no byte of an epoch whose policies do not name it.
//!
//! A class says which messages it reads and until when ([`Kind`]), who is observed besides the leased devices, when a
//! device is challenged, what it keeps of a device and of a lease from epoch to epoch, how a challenge or a window is
//! appraised ([`Finding`]), and what the findings come to ([`Account`]). docs/protocol.md §9.
//! Leaves out: who holds what evidence, and carrying it all forward (`report`).

mod case;
mod coverage;
mod energy;
mod items;
mod kind;
#[cfg(test)]
mod recorded;
mod service;
mod stream;
mod uptime;

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use case::{Appraisal, Case, Challenge, Fault, Finding, Judged, Measured, Penalty, Proof};
pub use items::{Count, Item, Items};
pub use kind::{EARLY_MS, Kind, Need, Timing};

use crate::reason::Reason;
use crate::registry::{DeviceRecord, LeaseRecord};
use crate::term::Term;

/// Every class this binary knows, ascending by number: what a policy may name. For reading policies and writing docs only.
pub(crate) const KNOWN: &[&dyn Class] = &[&uptime::Uptime, &coverage::Coverage, &stream::Stream, &energy::Energy];

/// A class of proof.
pub trait Class: Sync {
    /// Its number in leases and device records, 1 to 255.
    fn number(&self) -> u8;

    /// Its name, which is that of its section in a policy.
    fn name(&self) -> &'static str;

    /// What its leases are paid by: the smallest unit that nobody needs to split, in the singular.
    fn unit(&self) -> &'static str;

    /// Its own reasons, ascending by code.
    fn reasons(&self) -> &'static [Reason];

    /// Reads and checks its section of a policy document.
    ///
    /// # Errors
    /// A sentence naming the field and what is wrong with it.
    fn rules(&self, section: &serde_json::Value) -> Result<Arc<dyn Rules>, String>;

    /// What it keeps of a lease, by name, for people.
    fn kept(&self, fold: &[u8]) -> Vec<(&'static str, u64)>;

    /// What it keeps of a device from epoch to epoch, this epoch's messages included; empty when there is nothing to keep.
    /// The same whatever policy the device's leases have. At most [`crate::limits::FOLD_BYTES_MAX`] bytes.
    fn fold(&self, _before: &[u8], _said: &Said<'_>) -> Vec<u8> {
        Vec::new()
    }
}

/// A class under one policy.
pub trait Rules: fmt::Debug + Send + Sync {
    /// The messages it reads of devices of the class.
    fn kinds(&self) -> &[Kind];

    /// Whether a device without a lease is observed, too: a witness. Inactive devices never are.
    fn party(&self, _device: &DeviceRecord) -> bool {
        false
    }

    /// The challenge of a device in a slot, if there is one: a draw from the slot's seed.
    fn draw(&self, _seed: &[u8; 32], _device: u64, _lease: u64) -> Option<[u8; 32]> {
        None
    }

    /// The part of slots in which a device is challenged, in units of 2^-64, as told to devices; 0 without challenges.
    fn chance(&self) -> u64 {
        0
    }

    /// How far what is judged without challenges lies behind the clock, ms, before the allowance for gossip: so long messages
    /// about a time are of use after it. 0: a lease is judged up to the epoch's end. Messages are listed in the epoch of their
    /// arrival and the next, so a class that lies behind by more than an epoch finds none.
    fn behind_ms(&self) -> u64 {
        0
    }

    /// Bytes of what a member measures itself of a lease in a slot; `None` when members measure nothing.
    fn measurement_bytes(&self) -> Option<usize> {
        None
    }

    /// What it keeps of a lease when the lease is judged for the first time.
    fn open(&self, term: &Term, lease: &LeaseRecord) -> Vec<u8>;

    /// Appraises the epoch: every challenge of the case, or every window of its leases.
    fn appraise(&self, case: &Case<'_>) -> Appraisal;

    /// Books the findings of one lease: units, seconds, credit, and what is kept. `seconds` are those of the lease that could
    /// be judged in this epoch. Nothing in an account ever falls; F holds it to that.
    fn score(&self, seconds: u64, findings: &[Finding], account: &mut Account);
}

/// A device's messages of an epoch, as [`Class::fold`] reads them.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The device.
    pub device: u64,
    /// The device as the chain knows it, as of the snapshot.
    pub record: &'a DeviceRecord,
    /// The epoch's items.
    pub items: &'a Items<'a>,
    /// f: an item counts when more than this many members held it in time.
    pub faults: u32,
    /// The first slot that any challenge of the class is due for in this epoch; what ends before it is of no more use.
    pub first_slot: u64,
}

/// What a lease has come to: cumulative over its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What the class keeps of the lease; at most [`crate::limits::FOLD_BYTES_MAX`] bytes.
    pub fold: Vec<u8>,
    /// Proven units, as [`Class::unit`].
    pub units: u128,
    /// Proven seconds.
    pub good: u64,
    /// Seconds proven bad.
    pub bad: u64,
    /// Seconds credited to the lessee.
    pub credit: u64,
}

/// A class in force: with the rules of its section in one policy.
#[derive(Clone)]
pub struct InForce {
    /// The class.
    pub class: &'static dyn Class,
    /// Its rules.
    pub rules: Arc<dyn Rules>,
}

impl InForce {
    /// Reads a policy's sections, by the classes' names.
    ///
    /// # Errors
    /// A section of no class that this binary knows, or one that its class refuses.
    pub fn sections(sections: &BTreeMap<String, serde_json::Value>) -> Result<BTreeMap<u8, Self>, String> {
        let mut in_force = BTreeMap::new();
        for (name, section) in sections {
            let Some(class) = KNOWN.iter().copied().find(|class| class.name() == name) else {
                let known: Vec<&str> = KNOWN.iter().map(|class| class.name()).collect();
                return Err(format!("classes.{name} is no class that this version knows ({})", known.join(", ")));
            };
            let rules = class.rules(section).map_err(|why| format!("classes.{name}: {why}"))?;
            in_force.insert(class.number(), Self { class, rules });
        }
        Ok(in_force)
    }

    /// Time from a slot's start until the last proof of its challenge is due, ms: the latest deadline and the allowance for
    /// gossip. `None` for a class without challenges.
    #[must_use]
    pub fn lag_ms(&self, gossip_allowance_ms: u64) -> Option<u64> {
        let deadlines = self.rules.kinds().iter().filter_map(|kind| match kind.timing {
            Timing::After(deadline) => Some(u64::from(deadline)),
            _ => None,
        });
        deadlines.max().map(|latest| latest.saturating_add(gossip_allowance_ms))
    }
}

/// Where the time ends that an epoch's end settles, unix ms, by rules that lie so far behind ([`Rules::behind_ms`]): those
/// that lie behind at all wait for gossip, too.
pub(crate) const fn settled_ms(end_ms: u64, behind_ms: u64, gossip_allowance_ms: u64) -> u64 {
    let gossip = if behind_ms > 0 { gossip_allowance_ms } else { 0 };
    end_ms.saturating_sub(behind_ms).saturating_sub(gossip)
}

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.class.name(), self.rules)
    }
}

impl PartialEq for InForce {
    /// By what was read of the section: rules print all that they are.
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

/// A class by its number, to name things for people; `None` when this version does not know it.
#[must_use]
pub fn known(number: u8) -> Option<&'static dyn Class> {
    KNOWN.iter().find(|class| class.number() == number).copied()
}
