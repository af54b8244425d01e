//! The kinds of devices, a folder each: what the kind is (`mod.rs`), what its devices do (`duty.rs`), what one of them truly
//! did, by its diary (`deeds.rs`), and how one cheats (`adversary.rs`). To add a kind, add its folder and its line in
//! [`KINDS`]. Leaves out: keys, beacons, the way to the brokers (`device`), and the market, which are the same for all.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use alloy::primitives::Address;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::contracts::Deployed;
use crate::deeds::{Account, Book, Facts};
use crate::device::Line;
use crate::fleet::{Plan, Unit};
use crate::rules::{ClassRules, Price};

pub mod duty;
pub mod radio;
pub mod rig;

pub use duty::{Act, Challenge, Duty, Role};

/// Every kind; their devices play in this order.
pub static KINDS: [&dyn Kind; 2] = [&rig::Rig, &radio::Radio];

/// What all devices of a kind have in common.
pub trait Kind: Debug + Sync {
    /// Its name in configurations: that of its folder.
    fn name(&self) -> &'static str;

    /// Class of proof (docs/protocol.md §5): number and name.
    fn class(&self) -> (u8, &'static str);

    /// What the policy document says of the class.
    fn rules(&self) -> ClassRules;

    /// Last deadline of a challenge after its slot's start, ms (docs/protocol.md §5).
    fn lag_ms(&self) -> u64;

    /// What the class's section of the policy has beside the service numbers.
    fn section(&self) -> Value {
        Value::Object(serde_json::Map::new())
    }

    /// What its leases cost, and the unit that is paid for.
    fn price(&self) -> Price;

    /// Its devices in the demo.
    fn fleet(&self) -> Vec<Plan>;

    /// Every way in which its devices can cheat or fail.
    fn adversaries(&self) -> Vec<Adversary>;

    /// Whether an honest device of it may lose a challenge by bad luck.
    fn luck(&self) -> bool {
        false
    }

    /// What the owner of a registered device tells the chain of it, beside its registration (a second key, say): calls with
    /// their contracts, sent in this order.
    fn introduce(&self, _unit: &Unit, _contracts: &Deployed) -> Vec<(Address, Vec<u8>)> {
        Vec::new()
    }

    /// What its devices need beside their keys, in the order of `units`, all of them of this kind.
    ///
    /// # Errors
    /// When a file cannot be written or a port not be had.
    fn equip(&self, units: &[&Unit], site: &Site<'_>) -> Result<Kit>;

    /// What one of its devices does, honest or not.
    ///
    /// # Errors
    /// When its settings, its adversary or what it kept are none of this kind.
    fn duty(&self, role: &Role) -> Result<Box<dyn Duty>>;

    /// What each of its devices truly did and must be paid for it, in the order of `books`, all of them of this kind: from
    /// beacons, void slots and diaries alone.
    fn accounts(&self, books: &[&Book<'_>], facts: &Facts) -> Vec<Account>;

    /// Runs the process that its devices share, until it is killed.
    fn help(&self, _config: PathBuf) -> Help {
        Box::pin(async { bail!("this kind of device has no helper") })
    }
}

/// A helper process at work.
pub type Help = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A way in which a device cheats or fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adversary {
    /// What it does, in a word or two; one name per kind and way.
    pub name: &'static str,
    /// How much of it; its adversary says what is counted.
    pub number: u64,
    /// Reasons (docs/reasons.md) for which it loses challenges: each of them must show. None when it is in vain.
    pub caught_by: &'static [&'static str],
    /// What is left of its pay.
    pub pay: Pay,
}

/// What a cheater is paid, compared with what all of its units would bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pay {
    /// Everything: the attempt changes nothing.
    Whole,
    /// Something, but not everything.
    Part,
    /// Nothing.
    Nothing,
}

impl Pay {
    /// Whether that many units paid, of so many, is what is meant.
    #[must_use]
    pub const fn is(self, paid: u64, whole: u64) -> bool {
        match self {
            Self::Whole => paid == whole && whole > 0,
            Self::Part => paid > 0 && paid < whole,
            Self::Nothing => paid == 0,
        }
    }
}

/// Where devices are set up.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// Folder for what devices share.
    pub folder: &'a Path,
    /// Folder of logs.
    pub logs: &'a Path,
    /// Recordings, if there are any.
    pub data: Option<&'a Path>,
}

/// What the devices of a kind need.
#[derive(Clone, Debug, Default)]
pub struct Kit {
    /// For each device.
    pub each: Vec<Gear>,
    /// Configuration of the process that they share, if there is one.
    pub helper: Option<PathBuf>,
}

/// What one device needs beside its key.
#[derive(Clone, Debug, Default)]
pub struct Gear {
    /// A datagram line of its own, to its kind's helper.
    pub line: Option<Line>,
    /// Whatever its [`Duty`] reads of it.
    pub settings: toml::Table,
}

/// A kind by its name.
///
/// # Errors
/// When there is none of that name.
pub fn named(name: &str) -> Result<&'static dyn Kind> {
    KINDS.into_iter().find(|kind| kind.name() == name).with_context(|| format!("{name:?} is no kind of device"))
}

/// Shortest and longest lag of any kind, ms.
#[must_use]
pub fn lags() -> (u64, u64) {
    let lags = || KINDS.iter().map(|kind| kind.lag_ms());
    (lags().min().unwrap_or_default(), lags().max().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn kinds_are_told_apart_by_name_and_every_adversary_plays() {
        let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), KINDS.len());
        for kind in KINDS {
            assert_eq!(named(kind.name()).unwrap().name(), kind.name());
            let fleet = kind.fleet();
            assert!(fleet.iter().all(|plan| plan.kind.name() == kind.name()));
            assert!(fleet.iter().any(|plan| plan.adversary.is_none()), "{}: nobody is honest", kind.name());
            let playing: BTreeSet<&str> = fleet.iter().filter_map(|plan| Some(plan.adversary?.name)).collect();
            let known: BTreeSet<&str> = kind.adversaries().iter().map(|one| one.name).collect();
            assert_eq!(playing, known, "{}", kind.name());
            assert_eq!(known.len(), kind.adversaries().len(), "{}: two adversaries of one name", kind.name());
        }
        assert!(named("toaster").is_err());
    }

    #[test]
    fn pay_is_compared_with_the_whole() {
        assert!(Pay::Whole.is(60, 60) && !Pay::Whole.is(59, 60) && !Pay::Whole.is(0, 0));
        assert!(Pay::Part.is(59, 60) && !Pay::Part.is(60, 60) && !Pay::Part.is(0, 60));
        assert!(Pay::Nothing.is(0, 60) && !Pay::Nothing.is(1, 60));
    }
}
