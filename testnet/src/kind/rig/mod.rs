//! A rig: a computer or a sensor that is paid for being there and measures something meanwhile. Class 1, uptime: every
//! challenge wants one signed answer in time. Leaves out: whether what it measures is true; nobody pays for that here.

mod adversary;
mod deeds;
mod duty;
mod feed;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Adversary, Duty, Gear, Kind, Kit, Role, Site};
use crate::deeds::{Account, Book, Facts};
use crate::fleet::{Plan, Unit};
use crate::rules::{self, ClassRules, Price};

pub use adversary::{FORK_EVERY, SILENT, SILENT_FROM_MS};

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Rig;

/// What a rig measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Model {
    /// A GPU server: power, temperature, utilisation.
    Gpu,
    /// A room's temperature.
    Room,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// What it measures.
    pub(crate) model: Model,
}

impl Kind for Rig {
    fn name(&self) -> &'static str {
        "rig"
    }

    fn class(&self) -> (u8, &'static str) {
        (1, "uptime")
    }

    fn rules(&self) -> ClassRules {
        rules::UPTIME
    }

    fn lag_ms(&self) -> u64 {
        rules::UPTIME.deadline_ms + rules::GOSSIP_MS
    }

    fn price(&self) -> Price {
        rules::BY_THE_SECOND
    }

    fn fleet(&self) -> Vec<Plan> {
        let rig = |name, model, alg, adversary| Plan { name, kind: &Self, model, alg, offset: None, adversary };
        vec![
            rig("gpu-1", "gpu", 1, None),
            rig("gpu-2", "gpu", 2, None),
            rig("gpu-3", "gpu", 1, Some(adversary::silent(SILENT_FROM_MS))),
            rig("sensor-4", "room", 1, Some(adversary::replays())),
            rig("sensor-5", "room", 2, Some(adversary::forks(FORK_EVERY))),
        ]
    }

    fn adversaries(&self) -> Vec<Adversary> {
        vec![adversary::silent(SILENT_FROM_MS), adversary::replays(), adversary::forks(FORK_EVERY)]
    }

    fn equip(&self, units: &[&Unit], _site: &Site<'_>) -> Result<Kit> {
        let gear = |unit: &&Unit| Gear {
            line: None,
            settings: toml::Table::from_iter([("model".to_owned(), unit.plan.model.into())]),
        };
        Ok(Kit { each: units.iter().map(gear).collect(), helper: None })
    }

    fn duty(&self, role: &Role) -> Result<Box<dyn Duty>> {
        Ok(Box::new(duty::Present::new(role)?))
    }

    fn accounts(&self, books: &[&Book<'_>], facts: &Facts) -> Vec<Account> {
        books.iter().map(|book| deeds::account(book, facts)).collect()
    }
}
