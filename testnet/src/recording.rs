//! What the demo's devices measure and what its air does, taken from recordings made by others: a GPU server's power, a
//! room's temperature, LoRa links of the Helium network. Where the data folder is absent a physical model stands in, and
//! [`Source`] says which of the two is in use. Leaves out: signing and sending (`device`), the radio itself (`radio`).

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;

const GPU: &str = "telemetry/gpu/cbsugpu08_usage_stats.tsv.gz";
const AMBIENT: &str = "telemetry/nab/ambient_temperature_system_failure.csv.gz";
const HELIUM: &str = "coverage/helium/EMS_A81758FFFE04B1C1.ndjson.gz";

/// Channel of electrical power, 0.01 W.
pub const POWER: u64 = 1;
/// Channel of temperature, 0.01 °C.
pub const TEMPERATURE: u64 = 2;
/// Channel of utilisation, 0.01 %.
pub const UTILISATION: u64 = 3;

/// Carrier of the coverage class, MHz.
pub const CARRIER_MHZ: f64 = 868.1;

/// Where numbers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A recording; the file's path inside the data folder.
    Recording(&'static str),
    /// The physical stand-in, and its name.
    Model(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording(file) => write!(out, "recording {file}"),
            Self::Model(name) => write!(out, "physical model ({name}): no data folder"),
        }
    }
}

/// The data folder: what the configuration names, else `PLUMBLINE_DATA`, else `../shared/data`; `None` when it is not there.
#[must_use]
pub fn folder(configured: Option<&Path>) -> Option<PathBuf> {
    let chosen = configured
        .map(Path::to_path_buf)
        .or_else(|| std::env::var_os("PLUMBLINE_DATA").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("../shared/data"));
    chosen.is_dir().then_some(chosen)
}

/// One reading: channel, and value = mantissa · 10^exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// [`POWER`], [`TEMPERATURE`] or [`UTILISATION`].
    pub channel: u64,
    /// Decimal exponent.
    pub exponent: i8,
    /// Integer part of the value at that exponent.
    pub mantissa: i64,
}

impl Value {
    fn hundredths(channel: u64, value: f64) -> Self {
        Self { channel, exponent: -2, mantissa: (value * 100.0).round() as i64 }
    }
}

/// An endless row of samples: the recording in its own order, then from the start again. The time of each is the time
/// at which it is sent, not the time of the recording.
#[derive(Clone, Debug)]
pub struct Feed {
    source: Source,
    samples: Vec<Vec<Value>>,
    next: usize,
}

impl Feed {
    /// Power, temperature and utilisation of a GPU server, one recorded hour per sample.
    ///
    /// # Errors
    /// When the recording is there and cannot be read.
    pub fn gpu(data: Option<&Path>) -> Result<Self> {
        let Some(path) = data.map(|d| d.join(GPU)).filter(|p| p.is_file()) else {
            return Ok(Self::of(Source::Model("GPU under a daily load"), (0..1_440).map(gpu_model).collect()));
        };
        let mut samples = Vec::new();
        for line in lines(&path)? {
            let line = line.with_context(|| format!("read {}", path.display()))?;
            let field = |index: usize| line.split('\t').nth(index).and_then(|text| text.parse::<f64>().ok());
            if let (Some(watts), Some(celsius), Some(percent)) = (field(2), field(5), field(8)) {
                samples.push(vec![
                    Value::hundredths(POWER, watts),
                    Value::hundredths(TEMPERATURE, celsius),
                    Value::hundredths(UTILISATION, percent),
                ]);
            }
        }
        // The file has the newest hour first.
        samples.reverse();
        anyhow::ensure!(!samples.is_empty(), "{} holds no sample", path.display());
        Ok(Self::of(Source::Recording(GPU), samples))
    }

    /// Temperature of a room, one recorded hour per sample; the recording is in °F.
    ///
    /// # Errors
    /// When the recording is there and cannot be read.
    pub fn ambient(data: Option<&Path>) -> Result<Self> {
        let Some(path) = data.map(|d| d.join(AMBIENT)).filter(|p| p.is_file()) else {
            return Ok(Self::of(Source::Model("a room's day"), (0..1_440).map(room_model).collect()));
        };
        let mut samples = Vec::new();
        for line in lines(&path)? {
            let line = line.with_context(|| format!("read {}", path.display()))?;
            if let Some(fahrenheit) = line.split(',').nth(1).and_then(|text| text.parse::<f64>().ok()) {
                samples.push(vec![Value::hundredths(TEMPERATURE, (fahrenheit - 32.0) / 1.8)]);
            }
        }
        anyhow::ensure!(!samples.is_empty(), "{} holds no sample", path.display());
        Ok(Self::of(Source::Recording(AMBIENT), samples))
    }

    const fn of(source: Source, samples: Vec<Vec<Value>>) -> Self {
        Self { source, samples, next: 0 }
    }

    /// Recording or model.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Starts elsewhere in the row, so that two devices on one recording differ.
    #[must_use]
    pub const fn starting_at(mut self, offset: usize) -> Self {
        self.next = offset;
        self
    }

    /// The next sample.
    pub fn sample(&mut self) -> Vec<Value> {
        let index = self.next.checked_rem(self.samples.len()).unwrap_or(0);
        self.next = index + 1;
        self.samples.get(index).cloned().unwrap_or_default()
    }
}

/// A server that idles at 60 W and follows a daily load up to 350 W; temperature follows power.
fn gpu_model(minute: u32) -> Vec<Value> {
    let load = 0.5 - 0.5 * (f64::from(minute) / 1_440.0 * std::f64::consts::TAU).cos();
    vec![
        Value::hundredths(POWER, 60.0 + 290.0 * load),
        Value::hundredths(TEMPERATURE, 34.0 + 36.0 * load),
        Value::hundredths(UTILISATION, 100.0 * load),
    ]
}

/// 21 °C ± 2.5 K over a day.
fn room_model(minute: u32) -> Vec<Value> {
    let phase = f64::from(minute) / 1_440.0 * std::f64::consts::TAU;
    vec![Value::hundredths(TEMPERATURE, 21.0 + 2.5 * phase.sin())]
}

/// One recorded link of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// True distance, metres.
    pub distance: f64,
    /// Received power, dBm.
    pub rssi: f64,
    /// Signal to noise, dB.
    pub snr: f64,
}

/// Free-space loss at the carrier, dB, for a distance of at least one metre.
#[must_use]
pub fn free_space_loss(distance: f64) -> f64 {
    20.0 * distance.max(1.0).log10() + 20.0 * CARRIER_MHZ.log10() - 27.55
}

/// Estimated signal power: received power without the noise in it, dBm.
#[must_use]
pub fn signal_power(rssi: f64, snr: f64) -> f64 {
    rssi + snr - 10.0 * (1.0 + 10f64.powf(snr / 10.0)).log10()
}

/// Links of a fixed transmitter to Helium hotspots, ascending by distance. Left out: hotspots without a place, repeated
/// frames, and the handful whose power exceeds free space (16 dBm EIRP, 3 dBi): those heard interference.
///
/// # Errors
/// When the recording is there and cannot be read. `Ok(None)` when there is no data folder.
pub fn helium_links(data: Option<&Path>) -> Result<Option<Vec<Link>>> {
    let Some(path) = data.map(|d| d.join(HELIUM)).filter(|p| p.is_file()) else { return Ok(None) };
    let mut links = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for line in lines(&path)? {
        let line = line.with_context(|| format!("read {}", path.display()))?;
        let frame: serde_json::Value = serde_json::from_str(&line).with_context(|| format!("in {}", path.display()))?;
        for hotspot in frame["hotspots"].as_array().into_iter().flatten() {
            let once = (frame["devaddr"].to_string(), frame["fcnt"].to_string(), hotspot["id"].to_string());
            let number = |value: &serde_json::Value| value.as_f64();
            let (Some(distance), Some(rssi), Some(snr), Some(latitude)) = (
                number(&hotspot["_distance"]["_distanceHaversine"]),
                number(&hotspot["rssi"]),
                number(&hotspot["snr"]),
                number(&hotspot["lat"]),
            ) else {
                continue;
            };
            let placed = latitude > -80.0 && distance > 0.0;
            let ceiling = 16.0 + 3.0 - free_space_loss(distance);
            if placed && rssi <= ceiling && signal_power(rssi, snr) <= ceiling && seen.insert(once) {
                links.push(Link { distance, rssi, snr });
            }
        }
    }
    anyhow::ensure!(!links.is_empty(), "{} holds no located link", path.display());
    links.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    Ok(Some(links))
}

/// The name of the Helium recording, for [`Source`].
pub(crate) const fn helium_source() -> Source {
    Source::Recording(HELIUM)
}

fn lines(path: &Path) -> Result<impl Iterator<Item = std::io::Result<String>>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    Ok(BufReader::new(GzDecoder::new(file)).lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_folder_the_model_says_so() {
        let mut gpu = Feed::gpu(None).unwrap();
        assert!(matches!(gpu.source(), Source::Model(_)));
        let first = gpu.sample();
        assert_eq!(first.len(), 3);
        assert_eq!(first.first().map(|v| (v.channel, v.exponent, v.mantissa)), Some((POWER, -2, 6_000)));
        assert!(helium_links(None).unwrap().is_none());
        assert_eq!(Feed::ambient(None).unwrap().sample().first().map(|v| v.mantissa), Some(2_100));
    }

    #[test]
    fn a_feed_begins_again_after_its_end() {
        let mut feed = Feed::of(Source::Model("two"), vec![room_model(0), room_model(360)]).starting_at(1);
        assert_eq!((feed.sample(), feed.sample(), feed.sample()), (room_model(360), room_model(0), room_model(360)));
    }

    #[test]
    fn the_recordings_hold_what_their_readme_says() {
        let Some(data) = folder(None).or_else(|| folder(Some(Path::new("../../shared/data")))) else {
            println!("skipped: no data folder");
            return;
        };
        let mut gpu = Feed::gpu(Some(&data)).unwrap();
        assert_eq!(gpu.samples.len(), 15_277);
        let watts = gpu.sample().first().map(|v| v.mantissa).unwrap_or_default();
        assert!((3_000..80_000).contains(&watts), "{watts}");
        let mut room = Feed::ambient(Some(&data)).unwrap();
        // 69.88083514 °F
        assert_eq!(room.sample().first().map(|v| v.mantissa), Some(2_104));
        let links = helium_links(Some(&data)).unwrap().unwrap();
        assert!(links.len() > 6_900 && links.len() <= 6_942, "{}", links.len());
    }

    #[test]
    fn free_space_loss_is_the_textbook_value() {
        assert!((free_space_loss(1_000.0) - 91.22).abs() < 0.02);
        assert!((signal_power(-100.0, 0.0) + 103.01).abs() < 0.01);
    }
}
