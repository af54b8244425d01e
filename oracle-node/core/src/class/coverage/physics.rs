//! What physics lets a radio hear: bounds on one reception from the distance, the transmit power and the modulation.
//! docs/protocol.md §9.
//!
//! Receivers differ in what they call RSSI: most report the power in the channel, signal and noise together; some report
//! the signal's own power. So the true signal is between the effective signal power (ESP, computed as if noise were in
//! the reading) and the reading itself. The bound from above is held against the ESP and the one from below against the
//! reading: each against the end that favours the witness.
//!
//! Leaves out: who heard what, and what is made of a refusal (`judge`). Antenna heights are not known, so
//! distances are along the ground; a balloon's slant path is longer, which only lowers what it can be heard with.

use super::radio::Radio;
use crate::fixed;
use crate::reason::Reason;

/// Lowest signal-to-noise ratio that spreading factors 5 to 12 decode, 0.01 dB: Semtech SX1261/2 data sheet, table of
/// spreading factors, at one packet lost in ten.
const SNR_MIN_CDB: [i64; 8] = [-250, -500, -750, -1_000, -1_250, -1_500, -1_750, -2_000];
/// Bandwidth of one LR-FHSS carrier, Hz (LoRaWAN regional parameters, DR8 to DR11).
const LR_FHSS_HZ: u32 = 488;
/// Shannon's limit of LR-FHSS at its lower code rate: one third of a bit per hertz needs an SNR of 2^(1/3) − 1 = −5.85 dB.
/// Data sheets give no ratio for it, and receivers report none.
const LR_FHSS_SNR_MIN_CDB: i64 = -585;

/// How a transmission is modulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Modulation {
    bandwidth_hz: u32,
    /// Lowest signal-to-noise ratio that can be decoded, 0.01 dB.
    snr_min_cdb: i64,
    /// Whether receivers report a signal-to-noise ratio.
    reports_snr: bool,
}

impl Modulation {
    /// LoRa with spreading factor 5 to 12 at 125, 250 or 500 kHz; factor 0 is LR-FHSS, whatever the bandwidth.
    pub(super) const fn new(spreading_factor: u8, bandwidth_khz: u16) -> Option<Self> {
        match (spreading_factor, bandwidth_khz) {
            (0, _) => Some(Self { bandwidth_hz: LR_FHSS_HZ, snr_min_cdb: LR_FHSS_SNR_MIN_CDB, reports_snr: false }),
            (factor @ 5..=12, 125 | 250 | 500) => {
                let [snr_min_cdb, bandwidth_hz] = [SNR_MIN_CDB[factor as usize - 5], bandwidth_khz as i64 * 1_000];
                Some(Self { bandwidth_hz: bandwidth_hz as u32, snr_min_cdb, reports_snr: true })
            }
            _ => None,
        }
    }

    /// Weakest signal that a receiver without noise of its own can decode, 0.01 dBm: thermal noise and the lowest ratio.
    /// Data sheets promise 2 dB (SX1302 with an amplifier before it) to 6 dB (SX1272) more.
    pub(super) fn floor_cdbm(self) -> i64 {
        fixed::thermal_noise_cdbm(self.bandwidth_hz).saturating_add(self.snr_min_cdb)
    }
}

/// One reception, and how far apart the two are said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Great-circle distance of the declared places, m.
    pub(super) distance_m: u64,
    /// By how much the transmitter was below its EIRP, 0.01 dB.
    pub(super) attenuation_cdb: u32,
    /// Received power as reported, 0.01 dBm.
    pub(super) rssi_cdbm: i32,
    /// Signal-to-noise ratio as reported, 0.01 dB; not read where the modulation has none.
    pub(super) snr_cdb: i32,
}

/// One rule held against one reception, in the unit of its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// What it is refused for when it does not hold.
    pub(super) reason: Reason,
    /// What was measured.
    pub(super) measured: i64,
    /// What it was held against, slack included.
    pub(super) limit: i64,
    /// How far it is inside the limit; below zero it is refused.
    pub(super) margin: i64,
}

impl Bound {
    const fn at_least(reason: Reason, measured: i64, limit: i64) -> Self {
        Self { reason, measured, limit, margin: measured.saturating_sub(limit) }
    }

    const fn at_most(reason: Reason, measured: i64, limit: i64) -> Self {
        Self { reason, measured, limit, margin: limit.saturating_sub(measured) }
    }
}

/// Holds one reception against physics. A modulation that does not exist bounds by distance and free space alone; the
/// radio's check refuses it.
///
/// # Errors
/// The first bound that does not hold, in the order of [`bounds`].
pub(super) fn plausible(radio: &Radio, link: &Link) -> Result<(), Bound> {
    bounds(radio, link).find(|bound| bound.margin < 0).map_or(Ok(()), Err)
}

/// Every bound of a reception: distances, free space, floor, ratio.
pub(super) fn bounds(radio: &Radio, link: &Link) -> impl Iterator<Item = Bound> + use<> {
    let modulation = radio.modulation();
    let declared = metres(link.distance_m);
    let esp = match modulation {
        Some(Modulation { reports_snr: false, .. }) => i64::from(link.rssi_cdbm),
        _ => fixed::effective_signal_cdbm(link.rssi_cdbm, link.snr_cdb),
    };
    let of_every_modulation = [
        Bound::at_least(Reason::TOO_NEAR, declared, radio.min_distance_m.into()),
        Bound::at_most(Reason::TOO_FAR, metres(nearest_m(radio, link)), radio.max_distance_m.into()),
        Bound::at_most(Reason::RSSI_ABOVE_FREE_SPACE, esp, strongest_cdbm(radio, link)),
    ];
    let of_this = modulation.map(|modulation| weakest(radio, modulation, link));
    of_every_modulation.into_iter().chain(of_this.into_iter().flatten().flatten())
}

/// Floor and ratio.
fn weakest(radio: &Radio, modulation: Modulation, link: &Link) -> [Option<Bound>; 2] {
    let slack = i64::from(radio.receiver_slack_cdb);
    let (rssi, snr, snr_min) = (i64::from(link.rssi_cdbm), i64::from(link.snr_cdb), modulation.snr_min_cdb);
    // A signal cannot be weaker than the noise that no receiver lacks, plus the ratio at which it is said to stand out.
    let ratio = if modulation.reports_snr { snr.max(snr_min) } else { snr_min };
    let floor = fixed::thermal_noise_cdbm(modulation.bandwidth_hz).saturating_add(ratio).saturating_sub(slack);
    let too_low = Bound::at_least(Reason::SNR_TOO_LOW, snr, snr_min.saturating_sub(slack));
    [Some(Bound::at_least(Reason::RSSI_BELOW_FLOOR, rssi, floor)), modulation.reports_snr.then_some(too_low)]
}

/// Strongest that free space lets a transmission arrive, 0.01 dBm. Each antenna counts once: the transmitter's is in the EIRP.
pub(super) fn strongest_cdbm(radio: &Radio, link: &Link) -> i64 {
    let radiated = i64::from(radio.eirp_cdbm).saturating_sub(link.attenuation_cdb.into());
    let loss = fixed::free_space_loss_cdb(nearest_m(radio, link), radio.frequency_khz);
    let received = radiated.saturating_add(radio.gain_rx_cdb.into()).saturating_sub(loss);
    received.saturating_add(radio.margin_cdb.into())
}

/// How near the two may truly be, m.
fn nearest_m(radio: &Radio, link: &Link) -> u64 {
    link.distance_m.saturating_sub(radio.location_slack_m.into())
}

fn metres(distance: u64) -> i64 {
    i64::try_from(distance).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod recordings;
#[cfg(test)]
pub(super) mod tests;
