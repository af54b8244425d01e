//! The radio part of coverage's policy section: every number by which a reception is judged, and what would be nonsense.
//! Leaves out: the judging itself (`physics`).

use serde::{Deserialize, Serialize};

use super::physics::{Link, Modulation, strongest_cdbm};
use crate::fixed;

/// Heights beyond which no antenna of a committee hangs, m: above the record of amateur balloons.
const HEIGHT_MAX_M: u32 = 45_000;
/// Largest gain, margin or slack, 0.01 dB.
const SLACK_MAX_CDB: u32 = 3_000;
/// Most that a transmitter radiates below its EIRP, 0.01 dB; docs/protocol.md §5.
const ATTENUATION_MAX_CDB: u32 = 600;

/// Radio plausibility; integers in 0.01 dB, metres and kHz. docs/protocol.md §9.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Radio {
    /// Power at full power, 0.01 dBm EIRP: the transmitter's antenna is in it, and only here.
    pub(super) eirp_cdbm: i32,
    /// Gain of the best receiving antenna that may be in use, 0.01 dBi.
    pub(super) gain_rx_cdb: u32,
    /// Further slack above the free-space bound, 0.01 dB.
    pub(super) margin_cdb: u32,
    /// Carrier frequency, kHz.
    pub(super) frequency_khz: u32,
    /// Bandwidth, kHz: 125, 250 or 500. LR-FHSS does not use it.
    pub(super) bandwidth_khz: u16,
    /// LoRa spreading factor, 5 to 12; 0 is LR-FHSS.
    pub(super) spreading_factor: u8,
    /// How much weaker than the table of its modulation a reading may be, 0.01 dB: errors of the receiver's own meters.
    pub(super) receiver_slack_cdb: u32,
    /// How much nearer than declared two devices may be, m: uncertainty of both places together. It does not loosen
    /// `min_distance_m`, which is a rule about declared places.
    pub(super) location_slack_m: u32,
    /// Witnesses whose declared place is nearer than this prove nothing, m.
    pub(super) min_distance_m: u32,
    /// Witnesses farther than this are implausible, m: the line of sight of the highest antennas that may be in use.
    pub(super) max_distance_m: u32,
    /// Valid witnesses that make a challenge good.
    pub(super) min_witnesses: u32,
}

impl Radio {
    /// How the committee's devices transmit; `None` for a spreading factor or bandwidth that does not exist.
    pub(super) const fn modulation(&self) -> Option<Modulation> {
        Modulation::new(self.spreading_factor, self.bandwidth_khz)
    }

    /// Numbers with which nothing could be judged, everything would pass, or nothing could.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub(super) fn check(&self) -> Result<(), String> {
        let modulation = self.modulation().ok_or_else(|| self.no_modulation())?;
        if self.min_witnesses == 0 {
            return Err("radio.min_witnesses must be above 0".into());
        }
        let ranges = [
            ("eirp_cdbm", i64::from(self.eirp_cdbm), -3_000, 4_000),
            ("gain_rx_cdb", self.gain_rx_cdb.into(), 0, SLACK_MAX_CDB.into()),
            ("margin_cdb", self.margin_cdb.into(), 0, SLACK_MAX_CDB.into()),
            ("receiver_slack_cdb", self.receiver_slack_cdb.into(), 0, SLACK_MAX_CDB.into()),
            ("frequency_khz", self.frequency_khz.into(), 100_000, 3_000_000),
            ("location_slack_m", self.location_slack_m.into(), 0, 10_000),
        ];
        if let Some((name, value, least, most)) = ranges.iter().find(|(_, v, least, most)| v < least || v > most) {
            return Err(format!("radio.{name} {value} is not within {least} to {most}"));
        }
        self.check_distances()?;
        self.check_room(modulation)
    }

    fn no_modulation(&self) -> String {
        let (factor, bandwidth) = (self.spreading_factor, self.bandwidth_khz);
        format!("radio.spreading_factor {factor} at radio.bandwidth_khz {bandwidth} is no modulation known here")
    }

    fn check_distances(&self) -> Result<(), String> {
        let (least, most) = (self.min_distance_m, self.max_distance_m);
        if least > most {
            return Err(format!("radio.min_distance_m {least} is above radio.max_distance_m {most}"));
        }
        let sight = fixed::line_of_sight_m(HEIGHT_MAX_M, HEIGHT_MAX_M);
        if u64::from(most) > sight {
            return Err(format!("radio.max_distance_m {most} is beyond any line of sight ({sight})"));
        }
        let slack = self.location_slack_m;
        if slack >= most {
            return Err(format!("radio.location_slack_m {slack} leaves nothing of radio.max_distance_m {most}"));
        }
        Ok(())
    }

    /// The nearest witness that may count must be able to hear the weakest transmission that is drawn.
    fn check_room(&self, modulation: Modulation) -> Result<(), String> {
        let nearest = Link {
            distance_m: self.min_distance_m.into(),
            attenuation_cdb: ATTENUATION_MAX_CDB,
            rssi_cdbm: 0,
            snr_cdb: 0,
        };
        let (strongest, floor) = (strongest_cdbm(self, &nearest), modulation.floor_cdbm());
        if strongest < floor {
            let least = self.min_distance_m;
            return Err(format!(
                "radio: at min_distance_m {least} at most {strongest} arrive, below the floor {floor}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::physics::tests::radio as calibrated;
    use super::*;

    #[test]
    fn the_calibrated_numbers_are_sound() {
        assert_eq!(calibrated().check(), Ok(()));
    }

    #[test]
    fn the_farthest_distance_is_a_balloon_s_line_of_sight() {
        // From 32.3 km, the height that the recorded balloons reached, to a mast of 150 m, rounded up to 10 km.
        let sight = fixed::line_of_sight_m(32_300, 150);
        assert_eq!(u64::from(calibrated().max_distance_m), sight.next_multiple_of(10_000));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        type Case = (fn(&mut Radio), &'static str);
        let cases: [Case; 12] = [
            (|r| r.min_witnesses = 0, "radio.min_witnesses must be above 0"),
            (
                |r| r.spreading_factor = 13,
                "radio.spreading_factor 13 at radio.bandwidth_khz 125 is no modulation known here",
            ),
            (
                |r| r.spreading_factor = 4,
                "radio.spreading_factor 4 at radio.bandwidth_khz 125 is no modulation known here",
            ),
            (|r| r.bandwidth_khz = 0, "radio.spreading_factor 12 at radio.bandwidth_khz 0 is no modulation known here"),
            (|r| r.eirp_cdbm = 4_001, "radio.eirp_cdbm 4001 is not within -3000 to 4000"),
            (|r| r.margin_cdb = 3_001, "radio.margin_cdb 3001 is not within 0 to 3000"),
            (|r| r.frequency_khz = 868, "radio.frequency_khz 868 is not within 100000 to 3000000"),
            (|r| r.location_slack_m = 10_001, "radio.location_slack_m 10001 is not within 0 to 10000"),
            (|r| r.min_distance_m = 800_001, "radio.min_distance_m 800001 is above radio.max_distance_m 800000"),
            (|r| r.max_distance_m = 2_000_000, "radio.max_distance_m 2000000 is beyond any line of sight (1748736)"),
            (|r| r.max_distance_m = 900, "radio.location_slack_m 1000 leaves nothing of radio.max_distance_m 900"),
            (
                |r| (r.eirp_cdbm, r.gain_rx_cdb, r.spreading_factor, r.min_distance_m) = (-3_000, 0, 7, 100_000),
                "radio: at min_distance_m 100000 at most -16713 arrive, below the floor -13051",
            ),
        ];
        for (change, sentence) in cases {
            let mut radio = calibrated();
            change(&mut radio);
            assert_eq!(radio.check().unwrap_err(), sentence);
        }
    }
}
