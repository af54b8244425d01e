//! A radio hotspot that is paid for being heard by others. Class 2, coverage: a challenge wants a transmission that another
//! hotspot heard, witnessed and revealed (docs/protocol.md §5). Leaves out: what a hotspot carries for its customers.

mod adversary;
pub mod air;
mod deeds;
mod duty;
mod links;
pub mod slots;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Adversary, Duty, Gear, Help, Kind, Kit, Role, Site};
use crate::deeds::{Account, Book, Facts};
use crate::device::Line;
use crate::fleet::{Plan, Unit};
use crate::process::free_port;
use crate::rules::{self, ClassRules, Price};
use air::{Hotspot, RadioConfig};

/// Seed of the radio model: the same air in every run.
const AIR_SEED: u64 = 868;

/// The kind.
#[derive(Clone, Copy, Debug)]
pub struct Radio;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Leases of the other hotspots, about which a false witness lies beside every lease it has ever heard.
    others: Vec<u64>,
}

impl Kind for Radio {
    fn name(&self) -> &'static str {
        "radio"
    }

    fn class(&self) -> (u8, &'static str) {
        (2, "coverage")
    }

    fn rules(&self) -> ClassRules {
        rules::COVERAGE
    }

    fn lag_ms(&self) -> u64 {
        2 * rules::COVERAGE.deadline_ms + rules::GOSSIP_MS
    }

    fn section(&self) -> Value {
        rules::links::section()
    }

    fn price(&self) -> Price {
        rules::BY_THE_SECOND
    }

    /// The hotspots stand 0.7 to 2.9 km apart.
    fn fleet(&self) -> Vec<Plan> {
        let hotspot = |name, alg, east, north, adversary| Plan {
            name,
            kind: &Self,
            model: "",
            alg,
            offset: Some((east, north)),
            adversary,
        };
        vec![
            hotspot("hotspot-6", 1, 0.0, 0.0, None),
            hotspot("hotspot-7", 2, 650.0, 350.0, None),
            hotspot("hotspot-8", 1, -700.0, 1_200.0, None),
            hotspot("hotspot-9", 2, 900.0, -1_000.0, Some(adversary::false_witness())),
        ]
    }

    fn adversaries(&self) -> Vec<Adversary> {
        vec![adversary::false_witness()]
    }

    fn luck(&self) -> bool {
        true
    }

    fn equip(&self, units: &[&Unit], site: &Site<'_>) -> Result<Kit> {
        let air = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let (mut hotspots, mut each) = (Vec::new(), Vec::new());
        for unit in units {
            let own = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            let place = unit.location.with_context(|| format!("{} stands nowhere", unit.plan.name))?;
            hotspots.push(Hotspot { token: unit.token, lat_e7: place.lat, lon_e7: place.lon, address: own });
            let others = units.iter().filter(|other| other.token != unit.token).map(|other| other.lease).collect();
            let settings = toml::Table::try_from(Settings { others })?;
            each.push(Gear { line: Some(Line { own, to: air }), settings });
        }
        let file = site.folder.join("radio.toml");
        let log = Some(site.logs.join("air.jsonl"));
        let recordings = site.data.map(PathBuf::from);
        let config = RadioConfig { listen: air, seed: AIR_SEED, recordings, log, hotspots };
        std::fs::write(&file, toml::to_string(&config)?).with_context(|| format!("write {}", file.display()))?;
        Ok(Kit { each, helper: Some(file) })
    }

    fn duty(&self, role: &Role) -> Result<Box<dyn Duty>> {
        Ok(Box::new(duty::Heard::new(role)?))
    }

    fn accounts(&self, books: &[&Book<'_>], facts: &Facts) -> Vec<Account> {
        deeds::accounts(books, facts)
    }

    fn help(&self, config: PathBuf) -> Help {
        Box::pin(async move { air::run(RadioConfig::load(&config)?).await })
    }
}
