//! Where a signed meter and the device's own windows tell of the same time and cannot both be true, the windows are
//! disputed: the meter is calibrated and signs, so it stands. Both are coarse; two units of the coarser are granted for
//! every stretch of windows that touch. Leaves out: windows that reach over an end of a session, which say nothing certain.

use super::own::Own;
use super::sessions::Signed;
use crate::class::Fault;
use crate::class::energy::reason::fault;
use crate::reason::Reason;

/// One dispute or none for each window, in their order.
pub(super) fn disputes(own: &[Own], signed: &[Signed], resolution: i32) -> Vec<Option<Fault>> {
    let mut disputes: Vec<Option<Fault>> = own.iter().map(|one| around(one, signed, resolution)).collect();
    for session in signed {
        let inside = |one: &Own| one.window.start >= session.begin_s && one.window.end <= session.end_s;
        let Some(fault) = within(own.iter().filter(|one| inside(one)), session, resolution) else { continue };
        for (dispute, one) in disputes.iter_mut().zip(own) {
            if inside(one) {
                *dispute = dispute.or(Some(fault));
            }
        }
    }
    disputes
}

/// Two units of the coarser of two resolutions.
fn tolerance(one: &Own, session: &Signed, resolution: i32) -> u128 {
    let coarser = i32::from(one.window.exponent).max(session.exponent).saturating_sub(resolution).max(0);
    10u128.checked_pow(coarser.unsigned_abs()).and_then(|unit| unit.checked_mul(2)).unwrap_or(u128::MAX)
}

/// A window holds whole sessions, and shows less than they took.
fn around(one: &Own, signed: &[Signed], resolution: i32) -> Option<Fault> {
    let held =
        || signed.iter().filter(|session| one.window.start <= session.begin_s && session.end_s <= one.window.end);
    let took = held().fold(0u128, |sum, session| sum.saturating_add(session.units.into()));
    let granted = held().fold(0u128, |sum, session| sum.saturating_add(tolerance(one, session, resolution)));
    let shown = u128::from(one.counted.shown);
    (shown.saturating_add(granted) < took).then(|| fault(Reason::METER_DISAGREES, shown, took))
}

/// Windows within a session show more than it took, or fill it and show less.
fn within<'a>(inside: impl Iterator<Item = &'a Own>, session: &Signed, resolution: i32) -> Option<Fault> {
    let (mut shown, mut granted, mut end, mut gapless) = (0u128, 0u128, session.begin_s, true);
    for one in inside {
        let touches = one.window.start == end && granted > 0;
        if !touches {
            granted = granted.saturating_add(tolerance(one, session, resolution));
        }
        gapless &= one.window.start == end;
        shown = shown.saturating_add(one.counted.shown.into());
        end = one.window.end;
    }
    let took = u128::from(session.units);
    let more = shown > took.saturating_add(granted);
    let less = gapless && granted > 0 && end == session.end_s && shown.saturating_add(granted) < took;
    (more || less).then(|| fault(Reason::METER_DISAGREES, shown, took))
}
