//! What rigs measure: a GPU server's power and a room's temperature, from recordings made by others, or from a model where
//! they are absent. Leaves out: reading compressed lines (`recording`).

use std::path::Path;

use anyhow::Result;
use attest::Reading;

use super::Model;
use crate::recording::{Feed, Source, lines};

const GPU: &str = "telemetry/gpu/cbsugpu08_usage_stats.tsv.gz";
const ROOM: &str = "telemetry/nab/ambient_temperature_system_failure.csv.gz";

/// Channel of electrical power, 0.01 W.
pub(super) const POWER: u64 = 1;
/// Channel of temperature, 0.01 °C.
pub(super) const TEMPERATURE: u64 = 2;
/// Channel of utilisation, 0.01 %.
pub(super) const UTILISATION: u64 = 3;

/// What a rig of this model measures.
pub(super) fn open(model: Model, data: Option<&Path>) -> Result<Feed> {
    match model {
        Model::Gpu => gpu(data),
        Model::Room => room(data),
    }
}

/// Power, temperature and utilisation of a GPU server, one recorded hour per sample.
fn gpu(data: Option<&Path>) -> Result<Feed> {
    let Some(path) = data.map(|d| d.join(GPU)).filter(|p| p.is_file()) else {
        return Feed::new(Source::Model("GPU under a daily load"), (0..1_440).map(gpu_model).collect());
    };
    let mut samples = Vec::new();
    for line in lines(&path)? {
        let line = line?;
        let field = |index: usize| line.split('\t').nth(index).and_then(|text| text.parse::<f64>().ok());
        if let (Some(watts), Some(celsius), Some(percent)) = (field(2), field(5), field(8)) {
            samples.push(vec![
                hundredths(POWER, watts),
                hundredths(TEMPERATURE, celsius),
                hundredths(UTILISATION, percent),
            ]);
        }
    }
    // The file has the newest hour first.
    samples.reverse();
    Feed::new(Source::Recording(GPU), samples)
}

/// Temperature of a room, one recorded hour per sample; the recording is in °F.
fn room(data: Option<&Path>) -> Result<Feed> {
    let Some(path) = data.map(|d| d.join(ROOM)).filter(|p| p.is_file()) else {
        return Feed::new(Source::Model("a room's day"), (0..1_440).map(room_model).collect());
    };
    let mut samples = Vec::new();
    for line in lines(&path)? {
        let line = line?;
        if let Some(fahrenheit) = line.split(',').nth(1).and_then(|text| text.parse::<f64>().ok()) {
            samples.push(vec![hundredths(TEMPERATURE, (fahrenheit - 32.0) / 1.8)]);
        }
    }
    Feed::new(Source::Recording(ROOM), samples)
}

/// A server that idles at 60 W and follows a daily load up to 350 W; temperature follows power.
fn gpu_model(minute: u32) -> Vec<Reading> {
    let load = 0.5 - 0.5 * (f64::from(minute) / 1_440.0 * std::f64::consts::TAU).cos();
    vec![
        hundredths(POWER, 60.0 + 290.0 * load),
        hundredths(TEMPERATURE, 34.0 + 36.0 * load),
        hundredths(UTILISATION, 100.0 * load),
    ]
}

/// 21 °C ± 2.5 K over a day.
fn room_model(minute: u32) -> Vec<Reading> {
    let phase = f64::from(minute) / 1_440.0 * std::f64::consts::TAU;
    vec![hundredths(TEMPERATURE, 21.0 + 2.5 * phase.sin())]
}

fn hundredths(channel: u64, value: f64) -> Reading {
    Reading { channel, exponent: -2, mantissa: (value * 100.0).round() as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::test_data;

    #[test]
    fn without_a_folder_the_model_says_so() {
        let mut gpu = gpu(None).unwrap();
        assert!(matches!(gpu.source(), Source::Model(_)));
        let first = gpu.sample();
        assert_eq!(first.len(), 3);
        assert_eq!(first.first(), Some(&Reading { channel: POWER, exponent: -2, mantissa: 6_000 }));
        assert_eq!(room(None).unwrap().sample().first().map(|v| v.mantissa), Some(2_100));
    }

    #[test]
    fn the_recordings_hold_what_their_readme_says() {
        let Some(data) = test_data() else {
            println!("skipped: no data folder");
            return;
        };
        let mut gpu = gpu(Some(&data)).unwrap();
        assert_eq!(gpu.len(), 15_277);
        let watts = gpu.sample().first().map(|v| v.mantissa).unwrap_or_default();
        assert!((3_000..80_000).contains(&watts), "{watts}");
        // 69.88083514 °F
        assert_eq!(room(Some(&data)).unwrap().sample().first().map(|v| v.mantissa), Some(2_104));
    }
}
