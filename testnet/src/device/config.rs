//! What a demo device is told: its identity, its kind, where to connect, how to cheat. Also the two facts that
//! exist only once the committee is active and are therefore waited for. Leaves out: leases, which arrive over MQTT.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aggregator::GroupKey;
use alloy::primitives::Address;
use anyhow::{Context as _, Result};
use attest::Location;
use serde::{Deserialize, Serialize};

/// One device process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceConfig {
    /// Name in logs.
    pub name: String,
    /// Folder of its boot count, what its kind keeps, and its diary (`diary.jsonl`); made if absent.
    pub dir: PathBuf,
    /// Key algorithm.
    pub alg: Algorithm,
    /// File with the 32-byte key seed, hex.
    pub seed_file: PathBuf,
    /// Network id (docs/protocol.md §1), 8 bytes hex.
    pub network: String,
    /// EIP-155 chain id, bound by the certificates that its door checks.
    pub chain_id: u64,
    /// CommitteeRegistry, likewise.
    pub registry: Address,
    /// The members' receipt keys by member index, 32 bytes hex each, from the registry's `MemberRegistered`.
    pub receipt_keys: Vec<String>,
    /// Members whose receipts make a message acknowledged: f+1.
    pub receipts_needed: usize,
    /// Committee whose beacons it follows.
    pub committee: u64,
    /// Term of that committee.
    pub term: u64,
    /// Brokers; every message goes to all of them.
    pub brokers: Vec<SocketAddr>,
    /// Its kind's name (`kind`).
    pub kind: String,
    /// ERC-721 token id.
    pub token: u64,
    /// Its place, opened in the boot message.
    #[serde(default)]
    pub location: Option<Place>,
    /// File with the group key, 96 bytes hex (compressed G2); waited for.
    pub group_key_file: PathBuf,
    /// TOML file with the [`Clock`]; waited for.
    pub run_file: PathBuf,
    /// Answer deadline D of the policy, ms after the slot's start.
    #[serde(default = "two_seconds")]
    pub deadline_ms: u64,
    /// How it cheats or fails.
    #[serde(default)]
    pub adversary: Option<Told>,
    /// A datagram line of its own, to its kind's helper.
    #[serde(default)]
    pub line: Option<Line>,
    /// Folder of recordings; `PLUMBLINE_DATA`, then `../shared/data`, when not given.
    #[serde(default)]
    pub recordings: Option<PathBuf>,
    /// Its kind's own settings.
    #[serde(default)]
    pub settings: toml::Table,
}

const fn two_seconds() -> u64 {
    2_000
}

/// Key algorithm of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256, as secure elements do it.
    P256,
}

/// How a device must cheat or fail; its kind knows the name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Name.
    pub name: String,
    /// How much of it.
    pub number: u64,
}

/// Two ends of a datagram line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The device's own end.
    pub own: SocketAddr,
    /// The other end.
    pub to: SocketAddr,
}

/// A place in units of 1e-7 degree, with the salt of its commitment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Latitude.
    pub lat_e7: i32,
    /// Longitude.
    pub lon_e7: i32,
    /// 16 bytes hex.
    pub salt: String,
}

/// The network's time, fixed by the activation of the term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Start of slot 0 and epoch 0, unix ms.
    pub genesis_ms: u64,
    /// Slot length, ms; at least 1.
    pub slot_ms: u64,
    /// Epoch length, ms.
    pub epoch_ms: u64,
}

impl Clock {
    /// Start of a slot, unix ms.
    #[must_use]
    pub const fn start(&self, slot: u64) -> u64 {
        self.genesis_ms.saturating_add(slot.saturating_mul(self.slot_ms))
    }

    /// The first slot that starts at or after `ms`; 0 before genesis.
    #[must_use]
    pub const fn slot_from(&self, ms: u64) -> u64 {
        ms.saturating_sub(self.genesis_ms).div_ceil(if self.slot_ms == 0 { 1 } else { self.slot_ms })
    }

    /// When a device first speaks: half a second into the epoch before epoch 0, since what arrives earlier is in no
    /// observation's window (docs/protocol.md §9).
    #[must_use]
    pub const fn first_word(&self) -> u64 {
        self.genesis_ms.saturating_sub(self.epoch_ms).saturating_add(500)
    }
}

impl DeviceConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read or is no valid configuration.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// The network id.
    ///
    /// # Errors
    /// When it is not 8 bytes of hex.
    pub fn network(&self) -> Result<attest::Network> {
        bytes(&self.network).context("network")
    }

    /// The members' receipt keys, decoded.
    ///
    /// # Errors
    /// When one is not 32 bytes of hex.
    pub fn receipt_keys(&self) -> Result<Vec<[u8; 32]>> {
        self.receipt_keys.iter().map(|key| bytes(key.trim_start_matches("0x")).context("receipt key")).collect()
    }

    /// The key seed.
    ///
    /// # Errors
    /// When the file cannot be read or is not 32 bytes of hex.
    pub fn seed(&self) -> Result<[u8; 32]> {
        let text =
            std::fs::read_to_string(&self.seed_file).with_context(|| format!("read {}", self.seed_file.display()))?;
        bytes(text.trim()).with_context(|| format!("in {}", self.seed_file.display()))
    }

    /// The place, decoded.
    ///
    /// # Errors
    /// When the salt is not 16 bytes of hex.
    pub fn place(&self) -> Result<Option<Location>> {
        let decode = |place: &Place| {
            let salt = bytes(&place.salt).context("location salt")?;
            Ok(Location { lat: place.lat_e7, lon: place.lon_e7, salt })
        };
        self.location.as_ref().map(decode).transpose()
    }

    /// Waits until the group key's file is there and whole.
    pub async fn group_key(&self) -> GroupKey {
        let read = |text: &str| {
            let raw = bytes::<96>(text.trim().trim_start_matches("0x")).ok()?;
            GroupKey::from_bytes(&raw).ok()
        };
        present(&self.group_key_file, read).await
    }

    /// Waits until the run file is there and whole.
    pub async fn clock(&self) -> Clock {
        present(&self.run_file, |text| toml::from_str(text).ok()).await
    }
}

/// Re-reads a file five times a second until it holds what is wanted: a writer may still be at it.
async fn present<T>(path: &Path, read: impl Fn(&str) -> Option<T>) -> T {
    loop {
        if let Some(value) = std::fs::read_to_string(path).ok().and_then(|text| read(&text)) {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Exactly `N` bytes of hex.
///
/// # Errors
/// When the text is anything else.
pub(crate) fn bytes<const N: usize>(text: &str) -> Result<[u8; N]> {
    let raw = hex::decode(text).with_context(|| format!("{text:?} is not hex"))?;
    let length = raw.len();
    raw.try_into().map_err(|_| anyhow::anyhow!("{length} bytes of hex where {N} belong"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
name = "hotspot-9"
dir = "h9"
alg = "p256"
seed_file = "h9/seed"
network = "0102030405060708"
chain_id = 31337
registry = "0x0101010101010101010101010101010101010101"
receipt_keys = ["0303030303030303030303030303030303030303030303030303030303030303"]
receipts_needed = 2
committee = 1
term = 1
brokers = ["127.0.0.1:1883"]
kind = "radio"
token = 9
group_key_file = "group"
run_file = "run.toml"

[line]
own = "127.0.0.1:4009"
to = "127.0.0.1:4000"

[location]
lat_e7 = 451840000
lon_e7 = 57070000
salt = "000102030405060708090a0b0c0d0e0f"

[adversary]
name = "sulks"
number = 3

[settings]
others = [6, 7]
"#;

    #[test]
    fn a_configuration_is_read_and_unknown_keys_are_refused() {
        let config: DeviceConfig = toml::from_str(TEXT).unwrap();
        assert_eq!(config.network().unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(config.receipt_keys().unwrap(), [[3; 32]]);
        assert_eq!(config.place().unwrap().unwrap().salt.last(), Some(&15));
        assert_eq!(config.adversary, Some(Told { name: "sulks".into(), number: 3 }));
        assert_eq!((config.kind.as_str(), config.deadline_ms), ("radio", 2_000));
        let wrong = TEXT.replace("token = 9", "token = 9\ntokens = 1");
        assert!(toml::from_str::<DeviceConfig>(&wrong).is_err());
        let again: DeviceConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!((again.adversary, again.line), (config.adversary, config.line));
        assert_eq!(again.settings, config.settings);
    }

    #[test]
    fn slots_are_counted_from_genesis() {
        let clock = Clock { genesis_ms: 100_000, slot_ms: 1_000, epoch_ms: 15_000 };
        assert_eq!((clock.slot_from(99_000), clock.slot_from(100_000), clock.slot_from(100_001)), (0, 0, 1));
        assert_eq!((clock.start(3), clock.first_word()), (103_000, 85_500));
    }

    #[tokio::test]
    async fn a_file_that_comes_later_is_waited_for() {
        let path = std::env::temp_dir().join(format!("plumbline-present-{}", std::process::id()));
        let late = path.clone();
        let writer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            std::fs::write(&late, "genesis_ms = 1").unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            std::fs::write(&late, "genesis_ms = 1\nslot_ms = 2\nepoch_ms = 3\n").unwrap();
        });
        let clock: Clock = present(&path, |text| toml::from_str(text).ok()).await;
        writer.await.unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(clock, Clock { genesis_ms: 1, slot_ms: 2, epoch_ms: 3 });
    }
}
