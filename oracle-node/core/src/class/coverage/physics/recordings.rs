//! Recorded links for tests: Helium hotspots, gateways below a mountain, a gateway below balloons.
//! From `PLUMBLINE_DATA` (default: `../shared/data` from the checkout). Left out of every set: receivers without a place, and repeats of one frame at one receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::class::recorded;

/// One recorded reception.
pub(super) struct Reading {
    /// Latitude and longitude, 1e-7 degree.
    pub(super) transmitter: (i32, i32),
    pub(super) receiver: (i32, i32),
    pub(super) spreading_factor: u8,
    pub(super) attenuation_cdb: u32,
    pub(super) rssi_cdbm: i32,
    pub(super) snr_cdb: i32,
}

/// Every set by name; `None` without a data folder.
pub(super) fn all() -> Option<Vec<(&'static str, Vec<Reading>)>> {
    let folder = recorded::folder().join("coverage");
    folder.is_dir().then(|| {
        vec![
            ("helium, tower", helium(&folder.join("helium/EMS_A81758FFFE04B1C1.ndjson.gz"))),
            ("helium, mobile", helium(&folder.join("helium/FTD_0018B20000020.ndjson.gz"))),
            ("helium, indoors", helium(&folder.join("helium/IMST_33323431007C727B.ndjson.gz"))),
            ("saint-eynard", mountain(&folder.join("sainteynard/d1d1e80000000032_campusiot.ndjson.gz"))),
            ("balloons", balloons(&folder.join("balloons"))),
        ]
    })
}

fn open(path: &Path) -> BufReader<GzDecoder<File>> {
    BufReader::new(GzDecoder::new(File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))))
}

fn frames(path: &Path) -> impl Iterator<Item = Value> {
    open(path).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

/// A number of the recording in units of 1 / `unit`.
fn scaled(value: &Value, unit: f64) -> Option<i32> {
    #[expect(clippy::float_arithmetic, reason = "recordings are decimal")]
    value.as_f64().map(|number| (number * unit).round() as i32)
}

/// A place; `None` at the pole, which stands for no place.
fn place(latitude: &Value, longitude: &Value) -> Option<(i32, i32)> {
    let (lat, lon) = (scaled(latitude, 1e7)?, scaled(longitude, 1e7)?);
    (lat > -800_000_000).then_some((lat, lon))
}

/// Frames of a transmitter at the hotspots that heard it; places are good to a geohash of six letters.
fn helium(path: &Path) -> Vec<Reading> {
    let (mut seen, mut readings) = (BTreeSet::new(), Vec::new());
    for frame in frames(path) {
        let device = &frame["_devLocation"];
        let Some(transmitter) = place(&device["latitude"], &device["longitude"]) else { continue };
        for hotspot in frame["hotspots"].as_array().into_iter().flatten() {
            let Some(receiver) = place(&hotspot["lat"], &hotspot["long"]) else { continue };
            let once = (frame["devaddr"].to_string(), frame["fcnt"].to_string(), hotspot["id"].to_string());
            if !seen.insert(once) {
                continue;
            }
            let spreading = hotspot["spreading"].as_str().unwrap();
            readings.push(Reading {
                transmitter,
                receiver,
                spreading_factor: spreading.strip_prefix("SF").unwrap().strip_suffix("BW125").unwrap().parse().unwrap(),
                attenuation_cdb: 0,
                rssi_cdbm: scaled(&hotspot["rssi"], 100.0).unwrap(),
                snr_cdb: scaled(&hotspot["snr"], 100.0).unwrap(),
            });
        }
    }
    readings
}

/// Frames from the Fort du Saint-Eynard at gateways in the valley.
fn mountain(path: &Path) -> Vec<Reading> {
    let (mut seen, mut readings) = (BTreeSet::new(), Vec::new());
    for frame in frames(path) {
        let Some(data_rate) = frame["txInfo"]["dr"].as_u64() else { continue };
        for gateway in frame["rxInfo"].as_array().into_iter().flatten() {
            let Some(receiver) = place(&gateway["location"]["latitude"], &gateway["location"]["longitude"]) else {
                continue;
            };
            if !seen.insert((frame["fCnt"].to_string(), gateway["gatewayID"].to_string())) {
                continue;
            }
            readings.push(Reading {
                transmitter: (452_351_300, 57_617_000),
                receiver,
                spreading_factor: 12 - u8::try_from(data_rate).unwrap(),
                attenuation_cdb: 0,
                rssi_cdbm: scaled(&gateway["rssi"], 100.0).unwrap(),
                snr_cdb: scaled(&gateway["loRaSNR"], 100.0).unwrap(),
            });
        }
    }
    readings
}

/// LR-FHSS frames of three balloons at one gateway, each where its receiver of GPS was within the last ten seconds.
fn balloons(folder: &Path) -> Vec<Reading> {
    let mut text = String::new();
    open(&folder.join("dataset.json.gz")).read_to_string(&mut text).unwrap();
    let frames: Vec<Value> = serde_json::from_str(&text).unwrap();
    let tracks: BTreeMap<u64, _> =
        (1..=3).map(|balloon| (balloon, track(&folder.join(format!("irma_ncu{balloon}.csv.gz"))))).collect();
    let reading = |frame: Value| {
        let second = frame["rx_timestamp_ms"].as_u64()? / 1_000 % 86_400;
        let (_, transmitter) = tracks.get(&frame["balloon_id"].as_u64()?)?.range(second - 10..=second).next_back()?;
        Some(Reading {
            transmitter: *transmitter,
            receiver: (437_061_720, -2_514_660),
            spreading_factor: 0,
            attenuation_cdb: 1_600 - u32::try_from(frame["tx_power_dbm"].as_u64()? * 100).unwrap(),
            rssi_cdbm: scaled(&frame["rssi_dbm"], 100.0)?,
            snr_cdb: 0,
        })
    };
    frames.into_iter().filter_map(reading).collect()
}

/// Places by second of the day: the last column is the time of GPS, the logger's own clock is minutes behind.
fn track(path: &Path) -> BTreeMap<u64, (i32, i32)> {
    let row = |line: std::io::Result<String>| {
        let line = line.unwrap();
        let fields: Vec<&str> = line.split(';').collect();
        let [lat, lon] = [12, 13].map(|column| fields.get(column).and_then(|field| serde_json::from_str(field).ok()));
        let place = place(&lat?, &lon?).filter(|(lat, _)| *lat != 0)?;
        let clock = fields.last()?.split(':').map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
        let [hours, minutes, seconds] = clock.try_into().ok()?;
        Some((hours * 3_600 + minutes * 60 + seconds, place))
    };
    open(path).lines().filter_map(row).collect()
}
