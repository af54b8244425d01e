//! Which committee a device believes: beacons (docs/protocol.md §4) checked under the key of their slot's term, rotations
//! followed and kept over a restart. Leaves out: what it does with a beacon (`duty`).

use std::path::PathBuf;

use aggregator::{GroupKey, Signature};
use anyhow::{Context as _, Result, ensure};
use attest::{Beacon, BeaconError, CheckCertificate, Home, TermError, TermKey, TermKeys};

use super::config::DeviceConfig;
use super::{Clock, voice};

/// The pairing under a group key; of bytes that are no key, nothing holds.
struct Pairing(Option<GroupKey>);

impl CheckCertificate for Pairing {
    fn holds(&self, message: &[u8; 32], certificate: &[u8; 48]) -> bool {
        let certificate = Signature::from_bytes(certificate).ok();
        self.0.zip(certificate).is_some_and(|(group, certificate)| group.verify(message, &certificate).is_ok())
    }
}

fn under(key: &attest::GroupKey) -> Pairing {
    Pairing(GroupKey::from_eip2537(key).ok())
}

/// What a payload of rotations led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// A newer term, with its first epoch.
    pub news: Option<(u64, u64)>,
    /// Why it leads no further.
    pub fault: Option<TermError>,
}

/// The committee's keys as the device believes them.
#[derive(Clone, Debug)]
pub struct Beacons {
    keys: TermKeys,
    file: PathBuf,
}

impl Beacons {
    /// Trusts the configured key, or what was followed from it before a restart.
    ///
    /// # Errors
    /// When the network is not that of the chain and registry, or the file of a former run is damaged.
    pub fn open(config: &DeviceConfig, clock: &Clock, group: &GroupKey) -> Result<Self> {
        let home = Home {
            chain_id: config.chain_id,
            registry: config.registry.into_array(),
            committee: config.committee,
            epoch_ms: clock.epoch_ms,
            slot_ms: clock.slot_ms,
        };
        ensure!(home.network() == config.network()?, "the network is not that of chain_id and registry");
        let file = config.dir.join("terms");
        let first = TermKeys::trust(home, TermKey { term: config.term, group_key: group.to_eip2537() });
        let keys = match std::fs::read(&file) {
            Ok(bytes) => {
                let kept = bytes.as_slice().try_into().ok().and_then(|bytes| TermKeys::from_bytes(home, bytes));
                kept.with_context(|| {
                    format!("{} is damaged; remove it to begin from the configured key", file.display())
                })?
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => first,
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        Ok(Self { keys, file })
    }

    /// The topic of rotations.
    #[must_use]
    pub fn topic(&self) -> attest::Topic {
        attest::topic_term(&self.keys.home().network(), self.keys.home().committee)
    }

    /// Checks a broadcast under the key of its slot: the beacon, or why it is none. That the next term is proven is on disk
    /// before it counts.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn verify(&mut self, payload: &[u8]) -> Result<std::result::Result<Beacon, BeaconError>> {
        let mut keys = self.keys;
        let beacon = keys.beacon(payload, under);
        self.keep(keys)?;
        Ok(beacon)
    }

    fn keep(&mut self, keys: TermKeys) -> Result<()> {
        if keys != self.keys {
            voice::replace(&self.file, &keys.to_bytes())?;
            self.keys = keys;
        }
        Ok(())
    }

    /// Follows the payload of the term topic; what was followed is on disk before it counts. The newest term and its first
    /// epoch when there is something new, and why it leads no further if it does not.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn follow(&mut self, payload: &[u8]) -> Result<Followed> {
        let mut keys = self.keys;
        let fault = keys.follow(payload, under).err();
        let news = keys.next().filter(|_| keys != self.keys).map(|(from_epoch, key)| (key.term, from_epoch));
        self.keep(keys)?;
        Ok(Followed { news, fault })
    }

    /// The keys, for whatever else the committee signs.
    #[must_use]
    pub const fn keys(&self) -> &TermKeys {
        &self.keys
    }
}
