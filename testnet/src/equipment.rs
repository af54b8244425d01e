//! The configuration files of the devices and of their kinds' helpers, and the two files that tell them about the active committee.
//! Leaves out: starting them (`network`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::bundle::Scope;
use crate::committee::RECEIPTS_NEEDED;
use crate::device::{Algorithm, Clock, DeviceConfig, Place as Spot, Told};
use crate::fleet::Unit;
use crate::kind::{Gear, KINDS, Site};
use crate::place::Place;
use crate::rules;

/// Where the configurations lie.
#[derive(Clone, Debug)]
pub struct Equipment {
    /// Each kind's that has a helper, with the kind's name.
    pub helpers: Vec<(&'static str, PathBuf)>,
    /// Each device's, with its name.
    pub devices: Vec<(String, PathBuf)>,
}

/// Folder of a device in the run folder.
#[must_use]
pub fn folder(place: &Place, unit: &Unit) -> PathBuf {
    place.run.join("devices").join(unit.plan.name)
}

/// Writes everything. `receipt_keys`: the members' by index, from the chain.
///
/// # Errors
/// When a file cannot be written.
pub fn write(
    place: &Place,
    units: &[Unit],
    scope: &Scope,
    receipt_keys: &[B256],
    genesis: u64,
    broker: u16,
) -> Result<Equipment> {
    let shared = place.folder("devices")?;
    let (group_key_file, run_file) = (shared.join("group.key"), shared.join("clock.toml"));
    std::fs::write(&group_key_file, hex::encode(scope.group.to_bytes()))?;
    save(&run_file, &Clock { genesis_ms: genesis * 1000, slot_ms: rules::SLOT_MS, epoch_ms: rules::EPOCH_S * 1000 })?;

    let data = recordings(place);
    let (mut gear, helpers) = equip(place, units, &shared, data.as_deref())?;
    let mut devices = Vec::new();
    for unit in units {
        let dir = folder(place, unit);
        std::fs::create_dir_all(&dir)?;
        let seed_file = dir.join("key.seed");
        std::fs::write(&seed_file, hex::encode(unit.seed))?;
        let Gear { line, settings } = gear.remove(&unit.token).unwrap_or_default();
        let config = DeviceConfig {
            name: unit.plan.name.to_owned(),
            dir: dir.clone(),
            alg: if unit.plan.alg == 1 { Algorithm::Ed25519 } else { Algorithm::P256 },
            seed_file,
            network: hex::encode(scope.network()),
            chain_id: scope.chain_id,
            registry: scope.registry,
            receipt_keys: receipt_keys.iter().map(hex::encode).collect(),
            receipts_needed: RECEIPTS_NEEDED,
            committee: scope.committee,
            term: scope.term,
            brokers: vec![loopback(broker)],
            kind: unit.plan.kind.name().to_owned(),
            token: unit.token,
            location: unit.location.map(|l| Spot { lat_e7: l.lat, lon_e7: l.lon, salt: hex::encode(l.salt) }),
            group_key_file: group_key_file.clone(),
            run_file: run_file.clone(),
            deadline_ms: unit.plan.kind.rules().deadline_ms,
            adversary: unit.plan.adversary.map(|one| Told { name: one.name.to_owned(), number: one.number }),
            line,
            recordings: data.clone(),
            settings,
        };
        let file = dir.join("device.toml");
        save(&file, &config)?;
        devices.push((unit.plan.name.to_owned(), file));
    }
    Ok(Equipment { helpers, devices })
}

/// What each device needs by its token, and each kind's helper.
type Outfit = (BTreeMap<u64, Gear>, Vec<(&'static str, PathBuf)>);

fn equip(place: &Place, units: &[Unit], folder: &Path, data: Option<&Path>) -> Result<Outfit> {
    let site = Site { folder, logs: &place.logs, data };
    let (mut gear, mut helpers) = (BTreeMap::new(), Vec::new());
    for kind in KINDS {
        let own: Vec<&Unit> = units.iter().filter(|unit| unit.plan.kind.name() == kind.name()).collect();
        if own.is_empty() {
            continue;
        }
        let kit = kind.equip(&own, &site).with_context(|| format!("equip the kind {}", kind.name()))?;
        gear.extend(own.iter().map(|unit| unit.token).zip(kit.each));
        helpers.extend(kit.helper.map(|file| (kind.name(), file)));
    }
    Ok((gear, helpers))
}

/// The recordings beside the checkout, unless `PLUMBLINE_DATA` names others; devices fall back to models without them.
fn recordings(place: &Place) -> Option<PathBuf> {
    let named = std::env::var_os("PLUMBLINE_DATA").map(PathBuf::from);
    Some(named.unwrap_or_else(|| place.root.join("../shared/data"))).filter(|folder| folder.is_dir())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn save(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = toml::to_string(value).with_context(|| format!("write {}", path.display()))?;
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
