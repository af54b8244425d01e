//! The configuration files of the radio and the devices, and the two files that tell them about the active committee.
//! Leaves out: starting them (`network`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::bundle::Scope;
use crate::committee::RECEIPTS_NEEDED;
use crate::device::{Algorithm, Clock, DeviceConfig, Kind, Misbehaviour, Place as Spot};
use crate::fleet::{Fault, Unit};
use crate::place::Place;
use crate::process::free_port;
use crate::radio::{Hotspot, RadioConfig};
use crate::rules;

/// Seed of the radio model: the same air in every run.
const AIR_SEED: u64 = 868;

/// Where the configurations lie.
#[derive(Clone, Debug)]
pub struct Equipment {
    /// The radio's.
    pub radio: PathBuf,
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
    let air = loopback(free_port()?);
    let mut hotspots = Vec::new();
    let mut devices = Vec::new();
    for unit in units {
        let dir = folder(place, unit);
        std::fs::create_dir_all(&dir)?;
        let seed_file = dir.join("key.seed");
        std::fs::write(&seed_file, hex::encode(unit.seed))?;
        let radio_listen = if unit.plan.class == 2 { Some(loopback(free_port()?)) } else { None };
        if let (Some(location), Some(address)) = (unit.location, radio_listen) {
            hotspots.push(Hotspot { token: unit.token, lat_e7: location.lat, lon_e7: location.lon, address });
        }
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
            kind: kind(unit.plan.kind),
            token: unit.token,
            location: unit.location.map(|l| Spot { lat_e7: l.lat, lon_e7: l.lon, salt: hex::encode(l.salt) }),
            group_key_file: group_key_file.clone(),
            run_file: run_file.clone(),
            deadline_ms: rules::ANSWER_MS,
            misbehaviour: misbehaviour(unit, units),
            radio: radio_listen.map(|_| air),
            radio_listen,
            recordings: data.clone(),
        };
        let file = dir.join("device.toml");
        save(&file, &config)?;
        devices.push((unit.plan.name.to_owned(), file));
    }
    let radio = shared.join("radio.toml");
    let log = Some(place.logs.join("air.jsonl"));
    save(&radio, &RadioConfig { listen: air, seed: AIR_SEED, recordings: data, log, hotspots })?;
    Ok(Equipment { radio, devices })
}

fn misbehaviour(unit: &Unit, units: &[Unit]) -> Misbehaviour {
    let others = units.iter().filter(|other| other.plan.class == 2 && other.token != unit.token);
    match unit.plan.fault {
        Fault::None => Misbehaviour::None,
        Fault::Silent(from_ms_after_genesis) => Misbehaviour::Silent { from_ms_after_genesis },
        Fault::Replay => Misbehaviour::Replay,
        Fault::Fork(every_n) => Misbehaviour::Fork { every_n },
        Fault::FalseWitness => Misbehaviour::FalseWitness { leases: others.map(|other| other.lease).collect() },
    }
}

fn kind(name: &str) -> Kind {
    match name {
        "gpu" => Kind::Gpu,
        "sensor" => Kind::Sensor,
        _ => Kind::Hotspot,
    }
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
