//! The air between the demo's hotspots. It alone knows where they truly are: a hotspot hands it a frame, it delivers the
//! frame to the others with the power and noise that a recorded Helium link of that distance had (or a log-distance
//! model's), or not at all. The same seed gives the same air. Leaves out: any check of what is said over it.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::net::UdpSocket;

use super::links::{self, Link, free_space_loss};
use crate::recording::{self, Source};

/// Lowest signal to noise that a hotspot demodulates, dB: what data sheets say of spreading factor 12. It follows from no policy:
/// what is heard is delivered, whatever is made of it.
pub const SNR_MIN_DB: f64 = -20.0;
/// Power and antenna gain of a hotspot, dBm EIRP.
const EIRP_DBM: f64 = 16.0;
/// Recorded links considered for one distance: the nearest so many.
const NEIGHBOURS: usize = 256;
/// Longest datagram.
const MAX_DATAGRAM: usize = 512;

/// The radio process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RadioConfig {
    /// Where hotspots send their frames.
    pub listen: SocketAddr,
    /// Seed of every random pick.
    pub seed: u64,
    /// Folder of recordings; `PLUMBLINE_DATA`, then `../shared/data`, when not given.
    #[serde(default)]
    pub recordings: Option<PathBuf>,
    /// Log of every frame and what became of it (JSON lines).
    #[serde(default)]
    pub log: Option<PathBuf>,
    /// Everyone on the air.
    pub hotspots: Vec<Hotspot>,
}

impl RadioConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read or is no valid configuration.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }
}

/// One hotspot's true place.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hotspot {
    /// Token id of the device.
    pub token: u64,
    /// Latitude, 1e-7 degree.
    pub lat_e7: i32,
    /// Longitude, 1e-7 degree.
    pub lon_e7: i32,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What a hotspot hands to the air; JSON in one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// The transmitter's token id.
    pub token: u64,
    /// The lease it transmits for.
    pub lease: u64,
    /// Slot.
    pub slot: u64,
    /// 16 bytes, hex.
    #[serde(with = "payload_hex")]
    pub payload: [u8; 16],
    /// dB below EIRP.
    pub attenuation_db: u8,
}

/// What the air delivers; JSON in one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The transmitter's lease.
    pub lease: u64,
    /// Slot.
    pub slot: u64,
    /// 16 bytes, hex.
    #[serde(with = "payload_hex")]
    pub payload: [u8; 16],
    /// 0.01 dBm.
    pub rssi: i32,
    /// 0.01 dB.
    pub snr: i32,
}

mod payload_hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(payload: &[u8; 16], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&hex::encode(payload))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(input)?;
        let mut payload = [0; 16];
        hex::decode_to_slice(&text, &mut payload).map_err(D::Error::custom)?;
        Ok(payload)
    }
}

/// How strongly one hotspot hears another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    /// dBm.
    pub rssi: f64,
    /// dB.
    pub snr: f64,
}

/// The air as a pure function of distance and seed.
#[derive(Debug)]
pub struct Channel {
    seed: u64,
    links: Option<Vec<Link>>,
}

impl Channel {
    /// Recorded links where the data folder is there, the model where it is not.
    ///
    /// # Errors
    /// When the recording is there and cannot be read.
    pub fn new(seed: u64, data: Option<&Path>) -> Result<Self> {
        Ok(Self { seed, links: links::helium_links(data)? })
    }

    /// Which of the two it is.
    #[must_use]
    pub const fn source(&self) -> Source {
        match self.links {
            Some(_) => links::SOURCE,
            None => Source::Model("log-distance with shadowing"),
        }
    }

    /// What `to` hears of `frame` over `distance` metres; `None` too far below the noise.
    #[must_use]
    pub fn receive(&self, frame: &Frame, to: u64, distance: f64) -> Option<Signal> {
        let dice = self.dice(frame, to);
        let full =
            self.links.as_ref().map_or_else(|| modelled(distance, dice), |links| recorded(links, distance, dice));
        let lost = f64::from(frame.attenuation_db);
        let signal = Signal { rssi: full.rssi - lost, snr: full.snr - lost };
        (signal.snr >= SNR_MIN_DB).then_some(signal)
    }

    /// Four uniform numbers in [0, 1) for one frame and one receiver.
    fn dice(&self, frame: &Frame, to: u64) -> [f64; 4] {
        let mut hash = Sha256::new();
        hash.update(b"plumbline/testnet-air");
        for number in [self.seed, frame.token, frame.lease, frame.slot, to] {
            hash.update(number.to_be_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut out = [0.0; 4];
        for (die, bytes) in out.iter_mut().zip(digest.chunks_exact(8)) {
            let bits = bytes.iter().fold(0u64, |acc, byte| acc << 8 | u64::from(*byte)) >> 11;
            *die = bits as f64 / (1u64 << 53) as f64;
        }
        out
    }
}

/// A recorded link near the distance, moved to it: what obstacles took away beyond free space stays as recorded.
fn recorded(links: &[Link], distance: f64, dice: [f64; 4]) -> Signal {
    let after = links.partition_point(|link| link.distance < distance);
    let first = after.saturating_sub(NEIGHBOURS / 2).min(links.len().saturating_sub(NEIGHBOURS));
    let near = links.get(first..(first + NEIGHBOURS).min(links.len())).unwrap_or_default();
    let [die, ..] = dice;
    let Some(link) = near.get((die * near.len() as f64) as usize) else { return modelled(distance, dice) };
    let moved = free_space_loss(link.distance) - free_space_loss(distance);
    // Near the receiver's ceiling the ratio saturates, so moving closer does not raise it without end.
    Signal { rssi: link.rssi + moved, snr: (link.snr + moved).min(link.snr.max(12.0)) }
}

/// Free space to 100 m, then 27 dB per decade, shadowing of 6 dB, noise floor -117 dBm (125 kHz, 6 dB noise figure).
fn modelled(distance: f64, dice: [f64; 4]) -> Signal {
    let [first, second, ..] = dice;
    let normal = (-2.0 * (1.0 - first).ln()).sqrt() * (std::f64::consts::TAU * second).cos();
    let near = distance.clamp(1.0, 100.0);
    let loss = free_space_loss(near) + 27.0 * (distance.max(100.0) / 100.0).log10();
    // Obstacles only take away: power above free space would be a lie of the model.
    let rssi = EIRP_DBM - (loss + 6.0 * normal).max(free_space_loss(distance));
    Signal { rssi, snr: (rssi + 117.0).min(12.0) }
}

/// Great-circle distance, metres, on a sphere of 6,371,008.8 m.
#[must_use]
pub fn distance(a: &Hotspot, b: &Hotspot) -> f64 {
    let radians = |e7: i32| (f64::from(e7) / 1e7).to_radians();
    let (lat_a, lat_b) = (radians(a.lat_e7), radians(b.lat_e7));
    let half = |x: f64| (x / 2.0).sin().powi(2);
    let chord = half(lat_a - lat_b) + lat_a.cos() * lat_b.cos() * half(radians(a.lon_e7) - radians(b.lon_e7));
    2.0 * 6_371_008.8 * chord.sqrt().min(1.0).asin()
}

/// What becomes of one frame at one receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fate {
    /// The frame.
    pub frame: Frame,
    /// The receiver's token id.
    pub to: u64,
    /// True distance, metres.
    pub metres: u64,
    /// What was delivered; `None`: too weak.
    pub delivery: Option<Delivery>,
}

/// The fate of a frame at every other hotspot. A frame of a token that is not on the air reaches nobody.
#[must_use]
pub fn spread(channel: &Channel, hotspots: &[Hotspot], frame: &Frame) -> Vec<(SocketAddr, Fate)> {
    let Some(from) = hotspots.iter().find(|hotspot| hotspot.token == frame.token) else { return Vec::new() };
    let others = hotspots.iter().filter(|hotspot| hotspot.token != frame.token);
    let fate = |to: &Hotspot| {
        let metres = distance(from, to);
        let delivery = channel.receive(frame, to.token, metres).map(|signal| Delivery {
            lease: frame.lease,
            slot: frame.slot,
            payload: frame.payload,
            rssi: (signal.rssi * 100.0).round() as i32,
            snr: (signal.snr * 100.0).round() as i32,
        });
        (to.address, Fate { frame: *frame, to: to.token, metres: metres.round() as u64, delivery })
    };
    others.map(fate).collect()
}

/// Runs the air until its process ends; prints `radio ready on ADDR` once it listens.
///
/// # Errors
/// When it cannot listen, read its recording or write its log.
pub async fn run(config: RadioConfig) -> Result<()> {
    let channel = Channel::new(config.seed, recording::folder(config.recordings.as_deref()).as_deref())?;
    let open = |path: &PathBuf| {
        File::options().create(true).append(true).open(path).with_context(|| format!("open {}", path.display()))
    };
    let mut log = config.log.as_ref().map(open).transpose()?;
    let socket = UdpSocket::bind(config.listen).await.with_context(|| format!("listen on {}", config.listen))?;
    println!("radio ready on {}: {}", socket.local_addr()?, channel.source());
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let frame: Option<Frame> = buffer.get(..length).and_then(|bytes| serde_json::from_slice(bytes).ok());
        // Only a hotspot's own address may speak for it.
        let genuine = |frame: &Frame| config.hotspots.iter().any(|h| h.token == frame.token && h.address == from);
        let Some(frame) = frame.filter(genuine) else { continue };
        for (address, fate) in spread(&channel, &config.hotspots, &frame) {
            if let Some(delivery) = &fate.delivery {
                // A hotspot that is not listening hears nothing, as on any air.
                let _ = socket.send_to(&serde_json::to_vec(delivery)?, address).await;
            }
            if let Some(log) = &mut log {
                let mut line = serde_json::to_vec(&fate)?;
                line.push(b'\n');
                log.write_all(&line).context("write the radio's log")?;
            }
        }
    }
}

#[cfg(test)]
#[path = "air_tests.rs"]
mod tests;
