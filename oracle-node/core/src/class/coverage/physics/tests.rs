//! Each bound to the hundredth, and the table against data sheets.

use super::*;

/// The numbers that the recorded links were judged with (`recorded` prints what each is calibrated on).
pub(in crate::class::coverage) fn radio() -> Radio {
    Radio {
        // LoRaWAN regional parameters, EU863-870: at most 16 dBm EIRP.
        eirp_cdbm: 1_600,
        // Balloons in sight of their gateway need up to 2.67 dB; of 31,254 recorded links one needs more than 3.
        gain_rx_cdb: 300,
        // Nothing in the recordings asks for more than the antenna.
        margin_cdb: 0,
        frequency_khz: 868_100,
        bandwidth_khz: 125,
        spreading_factor: 12,
        // 99.5 % of each set's links need at most 3.7 dB, the worst link of all 5.79.
        receiver_slack_cdb: 500,
        // The recordings give places as geohashes of six letters, wrong by up to 933 m of distance.
        location_slack_m: 1_000,
        // Two devices in one such cell look as if they stood on one spot.
        min_distance_m: 0,
        // A balloon's line of sight: see the test of `radio`.
        max_distance_m: 800_000,
        min_witnesses: 1,
    }
}

/// 10 km, heard well.
const GOOD: Link = Link { distance_m: 10_000, attenuation_cdb: 0, rssi_cdbm: -11_000, snr_cdb: 0 };

fn refused(radio: &Radio, link: Link) -> Option<(Reason, i64, i64, i64)> {
    plausible(radio, &link).err().map(|bound| (bound.reason, bound.measured, bound.limit, bound.margin))
}

#[test]
fn the_table_is_below_every_data_sheet_and_not_far_below() {
    // Sensitivities in dBm from SF7: SX1272/73 data sheet (rev. 2), LNA boost.
    let sheet = [
        (125, [-124, -127, -130, -133, -135, -137]),
        (250, [-122, -125, -128, -130, -132, -135]),
        (500, [-116, -119, -122, -125, -128, -129]),
    ];
    for (bandwidth, sensitivities) in sheet {
        for (factor, sensitivity) in (7..).zip(sensitivities) {
            let above = sensitivity * 100 - Modulation::new(factor, bandwidth).unwrap().floor_cdbm();
            assert!((400..=900).contains(&above), "SF{factor} at {bandwidth} kHz: {above}");
        }
    }
    // SX1302 and SX1303 with the amplifier of their reference design: −141 dBm at SF12, 125 kHz.
    assert_eq!(Modulation::new(12, 125).unwrap().floor_cdbm(), -14_301);
    assert_eq!(Modulation::new(7, 125).unwrap().floor_cdbm(), -13_051);
    assert_eq!(Modulation::new(0, 0).unwrap().floor_cdbm(), -15_295);
}

#[test]
fn each_spreading_factor_decodes_two_and_a_half_decibels_lower() {
    let minima: Vec<i64> = (5..=12).map(|factor| Modulation::new(factor, 125).unwrap().snr_min_cdb).collect();
    assert!(minima.iter().zip(minima.iter().skip(1)).all(|(above, below)| above - below == 250));
    assert_eq!((minima.first(), minima.last()), (Some(&-250), Some(&-2_000)));
    let none = [(1, 125), (4, 125), (13, 125), (255, 125), (12, 0), (12, 126), (7, 62)];
    assert!(none.iter().all(|(factor, bandwidth)| Modulation::new(*factor, *bandwidth).is_none()));
}

#[test]
fn a_link_of_ten_kilometres_passes_with_its_margins() {
    let margins: Vec<i64> = bounds(&radio(), &GOOD).map(|bound| bound.margin).collect();
    // ESP −113.01 against 16 + 3 − 110.30 (9 km); floor −123.01 + 0 − 5; ratio −20 − 5.
    assert_eq!(margins, [10_000, 791_000, -9_130 + 11_301, -11_000 + 12_801, 2_500]);
    assert_eq!(plausible(&radio(), &GOOD), Ok(()));
}

#[test]
fn each_antenna_counts_once() {
    let radio = radio();
    let strongest = strongest_cdbm(&radio, &GOOD);
    let louder = Radio { gain_rx_cdb: radio.gain_rx_cdb + 100, ..radio.clone() };
    assert_eq!(strongest_cdbm(&louder, &GOOD), strongest + 100);
    assert_eq!(strongest_cdbm(&radio, &Link { attenuation_cdb: 600, ..GOOD }), strongest - 600);
    let wider = Radio { margin_cdb: 250, ..radio };
    assert_eq!(strongest_cdbm(&wider, &GOOD), strongest + 250);
}

#[test]
fn the_free_space_bound_is_exact_to_a_hundredth() {
    // A ratio of 30 dB: reading and signal are the same.
    for (rssi, refusal) in [(-9_130, None), (-9_129, Some((Reason::RSSI_ABOVE_FREE_SPACE, -9_129, -9_130, -1)))] {
        assert_eq!(refused(&radio(), Link { rssi_cdbm: rssi, snr_cdb: 3_000, ..GOOD }), refusal);
    }
    // The same reading below the noise is a signal 20 dB weaker.
    assert_eq!(refused(&radio(), Link { rssi_cdbm: -7_200, snr_cdb: -2_000, ..GOOD }), None);
}

#[test]
fn nothing_is_weaker_than_noise_allows() {
    let weak = |rssi_cdbm, snr_cdb| refused(&radio(), Link { rssi_cdbm, snr_cdb, ..GOOD });
    assert_eq!(weak(-14_801, -2_500), None);
    assert_eq!(weak(-14_802, -2_500), Some((Reason::RSSI_BELOW_FLOOR, -14_802, -14_801, -1)));
    // Ten decibels above the noise and weaker than the noise: no receiver.
    assert_eq!(weak(-14_000, 1_000), Some((Reason::RSSI_BELOW_FLOOR, -14_000, -11_801, -2_199)));
    assert_eq!(weak(-11_000, -2_501), Some((Reason::SNR_TOO_LOW, -2_501, -2_500, -1)));
}

#[test]
fn the_spreading_factor_decides_what_is_too_weak() {
    let weak = Link { rssi_cdbm: -12_000, snr_cdb: -1_500, ..GOOD };
    let at = |spreading_factor| refused(&Radio { spreading_factor, ..radio() }, weak);
    assert_eq!(at(12), None);
    assert_eq!(at(8), None);
    assert_eq!(at(7), Some((Reason::SNR_TOO_LOW, -1_500, -1_250, -250)));
    // LR-FHSS reports no ratio: what stands in the field is not read.
    assert_eq!(refused(&Radio { spreading_factor: 0, ..radio() }, Link { snr_cdb: i32::MIN, ..weak }), None);
}

#[test]
fn the_slack_of_places_favours_the_witness_except_against_neighbours() {
    let radio = Radio { min_distance_m: 300, ..radio() };
    let at = |distance_m| refused(&radio, Link { distance_m, rssi_cdbm: -12_000, snr_cdb: -1_000, ..GOOD });
    assert_eq!(at(300), None);
    assert_eq!(at(299), Some((Reason::TOO_NEAR, 299, 300, -1)));
    assert_eq!(at(801_000), None);
    assert_eq!(at(801_001), Some((Reason::TOO_FAR, 800_001, 800_000, -1)));
}

#[test]
fn hostile_numbers_do_not_overflow() {
    let extremes = [i32::MIN, -1, 0, 1, i32::MAX];
    let policies = [i32::MIN, i32::MAX].map(|eirp_cdbm| Radio {
        eirp_cdbm,
        gain_rx_cdb: u32::MAX,
        margin_cdb: u32::MAX,
        receiver_slack_cdb: u32::MAX,
        ..radio()
    });
    for (rssi_cdbm, snr_cdb) in extremes.iter().flat_map(|rssi| extremes.map(|snr| (*rssi, snr))) {
        for (distance_m, attenuation_cdb) in [(0, 0), (u64::MAX, u32::MAX)] {
            let link = Link { distance_m, attenuation_cdb, rssi_cdbm, snr_cdb };
            assert!(policies.iter().all(|radio| bounds(radio, &link).count() == 5));
        }
    }
}
