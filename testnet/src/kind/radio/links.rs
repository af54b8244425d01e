//! Links of real radios: what obstacles did to frames of a fixed transmitter on the Helium network, by distance.
//! Leaves out: playing them back (`air`).

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::recording::{Source, lines};

const HELIUM: &str = "coverage/helium/EMS_A81758FFFE04B1C1.ndjson.gz";
/// Where the links come from.
pub(super) const SOURCE: Source = Source::Recording(HELIUM);

/// Carrier of the coverage class, MHz.
const CARRIER_MHZ: f64 = 868.1;

/// One recorded link of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Link {
    /// True distance, metres.
    pub(super) distance: f64,
    /// Received power, dBm.
    pub(super) rssi: f64,
    /// Signal to noise, dB.
    pub(super) snr: f64,
}

/// Free-space loss at the carrier, dB, for a distance of at least one metre.
pub(super) fn free_space_loss(distance: f64) -> f64 {
    20.0 * distance.max(1.0).log10() + 20.0 * CARRIER_MHZ.log10() - 27.55
}

/// Estimated signal power: received power without the noise in it, dBm.
pub(super) fn signal_power(rssi: f64, snr: f64) -> f64 {
    rssi + snr - 10.0 * (1.0 + 10f64.powf(snr / 10.0)).log10()
}

/// Links of a fixed transmitter to Helium hotspots, ascending by distance. Left out: hotspots without a place, repeated
/// frames, and the handful whose power exceeds free space (16 dBm EIRP, 3 dBi): those heard interference.
///
/// # Errors
/// When the recording is there and cannot be read. `Ok(None)` when there is no data folder.
pub(super) fn helium_links(data: Option<&Path>) -> Result<Option<Vec<Link>>> {
    let Some(path) = data.map(|d| d.join(HELIUM)).filter(|p| p.is_file()) else { return Ok(None) };
    let mut links = Vec::new();
    let mut seen = BTreeSet::new();
    for line in lines(&path)? {
        let line = line?;
        let frame: Value = serde_json::from_str(&line).with_context(|| format!("in {}", path.display()))?;
        for hotspot in frame["hotspots"].as_array().into_iter().flatten() {
            let once = (frame["devaddr"].to_string(), frame["fcnt"].to_string(), hotspot["id"].to_string());
            let number = |value: &Value| value.as_f64();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::test_data;

    #[test]
    fn the_recording_holds_what_its_readme_says() {
        assert!(helium_links(None).unwrap().is_none());
        let Some(data) = test_data() else {
            println!("skipped: no data folder");
            return;
        };
        let links = helium_links(Some(&data)).unwrap().unwrap();
        assert!(links.len() > 6_900 && links.len() <= 6_942, "{}", links.len());
    }

    #[test]
    fn free_space_loss_is_the_textbook_value() {
        assert!((free_space_loss(1_000.0) - 91.22).abs() < 0.02);
        assert!((signal_power(-100.0, 0.0) + 103.01).abs() < 0.01);
    }
}
