//! Free-space path loss in 0.01 dB from metres and kilohertz; error at most 0.01 dB.
//!
//! FSPL = 20·log₁₀(4π·d·f / c) = 20·log₁₀(d[m] · f[kHz]) − 87.5522 dB.

/// 2000·log₁₀ 2, with 32 fractional bits: turns binary logarithms into 0.01 dB.
const CDB_PER_BIT: u128 = 2_585_827_972_984;
/// 2000·log₁₀(c / (4π · 1 kHz)) in 0.01 dB, with 32 fractional bits.
const OFFSET: i128 = 37_603_390_775_431;
/// Fractional bits of the binary logarithm.
const LOG_BITS: u32 = 32;

/// Free-space path loss, 0.01 dB, rounded to the nearest and never below zero. Distances below one metre count as one
/// metre: the logarithm of nothing has no bound, and a bound at no distance would never refuse anything.
#[must_use]
pub fn free_space_loss_cdb(distance_m: u64, frequency_khz: u32) -> i64 {
    let product = u128::from(distance_m.max(1)) * u128::from(frequency_khz.max(1));
    let bits = i128::try_from((log2(product) * CDB_PER_BIT) >> LOG_BITS).unwrap_or(i128::MAX >> 1);
    let loss = (bits - OFFSET + (1 << (LOG_BITS - 1))) >> LOG_BITS;
    i64::try_from(loss.max(0)).unwrap_or(i64::MAX)
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
}
