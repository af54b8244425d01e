//! The core's integers against other people's numbers: geodesics and a production radio verifier.
//! Floats are fine here: this is what the integers are held against.
#![allow(
    clippy::float_arithmetic,
    clippy::unwrap_used,
    reason = "reference values are floats; helpers of a test may panic"
)]

use std::path::PathBuf;

use oracle_core::fixed::{distance_m, free_space_loss_cdb};

/// The data folder, or `None` with a line that says so.
#[expect(clippy::disallowed_methods, reason = "a test may read the environment; the core may not")]
fn data(file: &str) -> Option<String> {
    let repo = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var("PLUMBLINE_DATA").map_or_else(|_| repo.join("../shared/data"), PathBuf::from);
    let text = std::fs::read_to_string(folder.join(file));
    if text.is_err() {
        println!("skipped: {file} is not in the data folder (PLUMBLINE_DATA)");
    }
    text.ok()
}

/// Degrees as units of 1e-7.
fn units(degrees: f64) -> i32 {
    format!("{:.0}", degrees * 1e7).parse().unwrap()
}

#[test]
fn distances_agree_with_geodesics_within_the_sphere_s_error() {
    let Some(text) = data("geo/GeodTest-100.dat") else { return };
    let (mut count, mut worst) = (0, 0.0f64);
    for line in text.lines() {
        let fields: Vec<f64> = line.split_whitespace().map(|field| field.parse().unwrap()).collect();
        let [lat1, lon1, _, lat2, lon2, _, metres, ..] = fields[..] else { panic!("{line}") };
        // Rounding to 1e-7 degree moves a place by up to a centimetre; short lines would show that alone.
        if metres < 1_000.0 {
            continue;
        }
        let wrapped = if lon2 > 180.0 { lon2 - 360.0 } else { lon2 };
        let found = distance_m((units(lat1), units(lon1)), (units(lat2), units(wrapped)));
        let error = (f64::from(u32::try_from(found).unwrap()) - metres).abs() / metres;
        (count, worst) = (count + 1, worst.max(error));
    }
    assert!(count > 80, "{count} lines");
    assert!(worst < 0.0057, "worst relative error {worst}");
    println!("{count} geodesics, worst {:.3} %", worst * 100.0);
}

#[test]
fn a_production_verifier_s_distance_and_signal() {
    let Some(text) = data("coverage/helium_poc_known_answers.json") else { return };
    let known: serde_json::Value = serde_json::from_str(&text).unwrap();
    let place = |name: &str| {
        let at = |index: usize| units(known["distance_m"][name][index].as_f64().unwrap());
        (at(0), at(1))
    };
    let expected = known["distance_m"]["expect_m"].as_u64().unwrap();
    let found = distance_m(place("a_latlng"), place("b_latlng"));
    assert!(found.abs_diff(expected) * 200 <= expected, "{found} m, {expected} m known");

    let signal = &known["expected_rssi"];
    let number = |name: &str| signal[name].as_u64().unwrap();
    // That verifier truncates gains to whole decibels.
    let gains = number("tx_gain_dbi_x10") / 10 + number("rx_gain_dbi_x10") / 10 + number("tx_power_dbm");
    let khz = u32::try_from(number("freq_hz") / 1_000).unwrap();
    let loss = free_space_loss_cdb(number("distance_m"), khz);
    let expected = (signal["expect_dbm"].as_f64().unwrap() * 100.0).round();
    let found = f64::from(i32::try_from(i64::try_from(gains * 100).unwrap() - loss).unwrap());
    assert!((found - expected).abs() <= 1.0, "{found} against {expected} (0.01 dBm)");
}

#[test]
fn haversine_and_loss_agree_with_floats_everywhere() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for _ in 0..2_000 {
        let mut place = || {
            let lat = i32::try_from(next() % 1_800_000_001).unwrap() - 900_000_000;
            (lat, i32::try_from(next() % 3_600_000_001 / 2).unwrap() * 2 - 1_800_000_000)
        };
        let (a, b) = (place(), place());
        let rad = |unit: i32| (f64::from(unit) / 1e7).to_radians();
        let sin2 = |x: f64| (x / 2.0).sin().powi(2);
        let h = sin2(rad(a.0) - rad(b.0)) + rad(a.0).cos() * rad(b.0).cos() * sin2(rad(a.1) - rad(b.1));
        let metres = 2.0 * 6_371_008.771 * h.sqrt().min(1.0).asin();
        let found = f64::from(u32::try_from(distance_m(a, b)).unwrap());
        assert!((found - metres).abs() <= 1.5, "{a:?} {b:?}: {found} {metres}");
        let (d, f) = (next() % 300_000 + 1, u32::try_from(next() % 6_000_000).unwrap() + 1);
        let product = f64::from(u32::try_from(d).unwrap()) * f64::from(f);
        let loss = 2_000.0 * product.log10() - 8_755.221_678;
        let found = f64::from(i32::try_from(free_space_loss_cdb(d, f)).unwrap());
        assert!((found - loss.max(0.0)).abs() <= 0.51, "{d} m {f} kHz: {found} {loss}");
    }
}
