//! Why energy did not count: the reasons of this class, and what makes a fault with its numbers.
//! Leaves out: who decides (`ocmf`, `windows`, `sky`, `judge`).

use crate::class::Fault;
use crate::reason::{Reason, reasons};

reasons! { REASONS;
    RECORD_TOO_LONG = 800, "bytes", "The signed record is longer than the protocol allows.";
    RECORD_MALFORMED = 801, "", "The signed record is not a record of its format.";
    CURVE_NOT_ALLOWED = 802, "bits", "The meter's key lies on a curve that the policy does not allow (measured: its size; limit: the largest size that the policy allows).";
    METER_SIGNATURE = 804, "", "The record's signature is not that of the registered meter key.";
    WRONG_METER = 805, "", "The message names another meter than the one registered, the device has no registered meter, or a session's records are of two meters.";
    PAGE_SEEN = 806, "page", "A page of this number was taken before; a record counts once, whatever lease presents it.";
    PAGE_FORK = 807, "page", "The meter signed two different records with one page number; neither is believed again.";
    PAGE_MISSING = 808, "page", "Pages between the last one taken and this one were never presented (measured: this page; limit: the page that was due).";
    NOT_A_SESSION = 809, "readings", "The readings of the import register are not one begin, then at most one end (measured: readings of that register).";
    METER_STATE = 810, "reading", "A reading carries an error flag or a meter state other than good (measured: its place in the session).";
    ENERGY_SPOILED = 811, "reading", "The meter says that energy is not usable from this reading on.";
    CLOCK_UNKNOWN = 812, "reading", "The meter's clock was not set when this reading was taken.";
    CLOCK_INFORMATIVE = 813, "ms", "The meter's clock is only informative, and the record came too late to vouch for it.";
    NOT_IMPORT = 814, "", "No reading is of an energy import register.";
    REGISTER_CHANGED = 815, "", "The session ends on another register, or in another unit, than it began.";
    REGISTER_FELL = 816, "units", "The register shows less than it showed before.";
    DIGITS_LOST = 818, "", "The energy cannot be expressed in the policy's resolution without losing digits.";
    ENERGY_OVERLAP = 819, "s", "The time was already counted (measured: the start; limit: the end of what was counted).";
    ENERGY_FROM_FUTURE = 820, "s", "The window or session ends later than it arrived.";
    NO_DURATION = 821, "s", "The session ends before it begins, or moves energy in no time.";
    WINDOW_TOO_LONG = 822, "s", "The window or session is longer than the policy allows.";
    SUM_DISAGREES = 823, "units", "The register's advance and the device's own sum of its power samples differ by more than the tolerance.";
    ABOVE_RATED = 824, "units", "More energy than the rated power gives in that time.";
    PEAK_ABOVE_RATED = 825, "units", "The highest power sampled is above the rated power.";
    ENERGY_AT_NIGHT = 826, "units", "Energy from a panel while the sun was below the horizon.";
    ABOVE_CLEAR_SKY = 827, "units", "More energy than a clear sky gives the panel in that time.";
    METER_DISAGREES = 828, "units", "The signed meter and the device's own windows differ by more than two units of the coarser one.";
    WRONG_SCALE = 829, "exponent", "The exponent of energies or powers is not the policy's.";
    CLOCK_RELATIVE = 830, "reading", "The meter vouches only for the time since its last informative clock reading, and the policy does not take that.";
    RECORD_REPLAYED = 832, "page", "This record was bound to another lease when it was first seen; it counts there and nowhere else.";
    SESSION_UNFINISHED = 833, "page", "The session has no end yet; its records are presented again together with the end.";
    OUT_OF_LEASE = 834, "s", "The window or session does not lie within the lease (measured: the end that lies outside; limit: the lease's).";
    RECORD_ABSENT = 835, "bytes", "The message names a record by its digest only, and no bytes of it are at hand (measured: its length).";
    FORMAT_UNKNOWN = 836, "format", "The record is of a format that this version does not read.";
}

/// A fault with its numbers; what does not fit into 64 bits is shown as the nearest number that does.
pub(super) fn fault(reason: Reason, measured: impl TryInto<i64>, limit: impl TryInto<i64>) -> Fault {
    Fault { reason, measured: measured.try_into().unwrap_or(i64::MAX), limit: limit.try_into().unwrap_or(i64::MAX) }
}

/// `Ok` when the rule holds, else its fault.
pub(super) fn held(holds: bool, fault: Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(fault) }
}
