//! Radio arithmetic in 0.01 dB: free-space loss from metres and kilohertz, thermal noise from hertz, and the signal alone
//! out of a reading of signal and noise. Each is within 0.01 dB of the real number.
//!
//! FSPL = 20·log₁₀(4π·d·f / c) = 20·log₁₀(d[m] · f[kHz]) − 87.5522 dB.

/// 2000·log₁₀ 2, with 32 fractional bits: turns binary logarithms into 0.01 dB.
const CDB_PER_BIT: u128 = 2_585_827_972_984;
/// 2000·log₁₀(c / (4π · 1 kHz)) in 0.01 dB, with 32 fractional bits.
const OFFSET: i128 = 37_603_390_775_431;
/// Fractional bits of the binary logarithm.
const LOG_BITS: u32 = 32;
/// 10^(−1/1000), one hundredth of a decibel less, with 63 fractional bits.
const STEP_DOWN: u128 = 9_202_158_869_829_163_410;
/// Boltzmann's constant times 290 K in one hertz, 0.01 dBm: 1.380649e-23 J/K · 290 K = −173.975 dBm.
const THERMAL_CDBM: i64 = -17_398;
/// From here on two powers add less than half of 0.01 dB to the greater: 10·log₁₀(1 + 10^(−3)) = 0.0043 dB.
const NEGLIGIBLE_CDB: u64 = 3_000;

/// Free-space path loss, 0.01 dB, rounded to the nearest and never below zero. Distances below one metre count as one
/// metre: the logarithm of nothing has no bound, and a bound at no distance would never refuse anything.
#[must_use]
pub fn free_space_loss_cdb(distance_m: u64, frequency_khz: u32) -> i64 {
    let product = u128::from(distance_m.max(1)) * u128::from(frequency_khz.max(1));
    let bits = i128::try_from((log2(product) * CDB_PER_BIT) >> LOG_BITS).unwrap_or(i128::MAX >> 1);
    let loss = (bits - OFFSET + (1 << (LOG_BITS - 1))) >> LOG_BITS;
    i64::try_from(loss.max(0)).unwrap_or(i64::MAX)
}

/// Thermal noise at 290 K in a bandwidth, 0.01 dBm: what the best of all receivers adds to a signal. Zero counts as one hertz.
#[must_use]
pub fn thermal_noise_cdbm(bandwidth_hz: u32) -> i64 {
    let bits = log2(u128::from(bandwidth_hz.max(1)));
    THERMAL_CDBM + hundredths(bits)
}

/// Effective signal power, 0.01 dBm: RSSI + SNR − 10·log₁₀(1 + 10^(SNR/10)), the signal's own part of a reading that
/// measures signal and noise together. Below 0 dB SNR the two differ by up to the SNR itself.
#[must_use]
pub fn effective_signal_cdbm(rssi_cdbm: i32, snr_cdb: i32) -> i64 {
    let snr = i64::from(snr_cdb);
    // log(1 + x) = log x + log(1 + 1/x): only negative powers of ten are needed, whatever the sign.
    i64::from(rssi_cdbm) + snr.min(0) - added_cdb(snr.unsigned_abs())
}

/// By how much the sum of two powers exceeds the greater, when the other is `below` (0.01 dB) lower: 10·log₁₀(1 + 10^(−below/10)).
fn added_cdb(below: u64) -> i64 {
    if below >= NEGLIGIBLE_CDB {
        return 0;
    }
    let sum = (1 << 63) + stepped_down(below);
    hundredths(log2(sum) - (63 << LOG_BITS))
}

/// 10^(−steps/1000) with 63 fractional bits, by squaring.
fn stepped_down(steps: u64) -> u128 {
    let (mut power, mut square, mut left) = (1u128 << 63, STEP_DOWN, steps);
    while left > 0 {
        if left & 1 == 1 {
            power = (power * square) >> 63;
        }
        square = (square * square) >> 63;
        left >>= 1;
    }
    power
}

/// A power ratio, as binary logarithm with 32 fractional bits, in 0.01 dB, rounded to the nearest.
fn hundredths(bits: u128) -> i64 {
    // CDB_PER_BIT is of amplitudes; a ratio of powers has half of it.
    let cdb = (bits * CDB_PER_BIT + (1 << (2 * LOG_BITS))) >> (2 * LOG_BITS + 1);
    i64::try_from(cdb).unwrap_or(i64::MAX)
}

/// log₂ of a positive number with 32 fractional bits, rounded down: squaring gives one bit at a time.
fn log2(value: u128) -> u128 {
    let whole = value.max(1).ilog2();
    // Mantissa in [1, 2) with 63 fractional bits.
    let mut mantissa = if whole > 63 { value >> (whole - 63) } else { value << (63 - whole) };
    let mut log = u128::from(whole);
    for _ in 0..LOG_BITS {
        mantissa = (mantissa * mantissa) >> 63;
        log <<= 1;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            log |= 1;
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_losses_at_868_mhz() {
        for (metres, decidecibels) in [(300, 808), (1_000, 912), (10_000, 1_112), (100_000, 1_312)] {
            let loss = free_space_loss_cdb(metres, 868_000);
            assert_eq!((loss + 5) / 10, decidecibels, "{metres} m: {loss}");
        }
    }

    #[test]
    fn no_distance_is_guarded_and_extremes_do_not_overflow() {
        assert_eq!(free_space_loss_cdb(0, 868_000), free_space_loss_cdb(1, 868_000));
        assert_eq!(free_space_loss_cdb(0, 0), 0);
        assert!(free_space_loss_cdb(u64::MAX, u32::MAX) > 40_000);
    }

    #[test]
    fn ten_times_as_far_is_twenty_decibels() {
        for metres in [1, 7, 123, 4_567] {
            let step = free_space_loss_cdb(metres * 10, 868_100) - free_space_loss_cdb(metres, 868_100);
            assert!((1_999..=2_001).contains(&step), "{metres}: {step}");
        }
    }

    /// The float that the integers are held against, 0.01 dBm.
    #[expect(clippy::float_arithmetic, reason = "the reference of a test")]
    fn esp(rssi: i32, snr: i32) -> f64 {
        let snr = f64::from(snr) / 1_000.0;
        f64::from(rssi) + 1_000.0 * (snr - (1.0 + 10f64.powf(snr)).log10())
    }

    #[test]
    fn the_signal_is_within_a_hundredth_of_the_formula() {
        for snr in -6_000..=6_000 {
            let (found, exact) = (effective_signal_cdbm(-11_500, snr), esp(-11_500, snr));
            assert!((found as f64 - exact).abs() <= 0.501, "{snr}: {found}, {exact}");
        }
        // At 0 dB half of the power is noise; at −20 dB all but a hundredth.
        assert_eq!(effective_signal_cdbm(-12_000, 0), -12_301);
        assert_eq!(effective_signal_cdbm(-12_000, -2_000), -14_004);
        assert_eq!(effective_signal_cdbm(-8_000, 1_000), -8_041);
    }

    #[test]
    fn a_hostile_ratio_does_not_overflow() {
        assert_eq!(effective_signal_cdbm(i32::MIN, i32::MIN), 2 * i64::from(i32::MIN));
        assert_eq!(effective_signal_cdbm(i32::MAX, i32::MAX), i64::from(i32::MAX));
    }

    #[test]
    fn thermal_noise_of_the_bandwidths_in_use() {
        let known =
            [(0, -17_398), (1, -17_398), (488, -14_710), (125_000, -12_301), (250_000, -12_000), (500_000, -11_699)];
        for (hertz, noise) in known {
            assert_eq!(thermal_noise_cdbm(hertz), noise, "{hertz}");
        }
        assert!(thermal_noise_cdbm(u32::MAX) < 0);
    }
}
