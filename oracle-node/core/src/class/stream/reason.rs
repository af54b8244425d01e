//! Why a reading or a window of a stream did not count: docs/reasons.md. Leaves out: who decides (`gates`, `channel`, `copy`,
//! `windows`).

use crate::reason::reasons;

reasons! { REASONS;
    STREAM_LATE = 700, "", "Too few members held the reading in time.";
    STREAM_FROM_FUTURE = 701, "ms", "The reading's own time lies after the time at which members held it.";
    STREAM_TOO_OLD = 702, "ms", "The reading was older, when its message was made, than the policy allows.";
    STREAM_DUPLICATE = 703, "", "Another message of the device says the same channel and instant.";
    STREAM_REPLAYED = 704, "sequence", "The message's number was counted in an earlier epoch, or it is too far behind to tell (measured: its number, limit: the next one expected).";
    STREAM_UNKNOWN_CHANNEL = 705, "channel", "The policy does not name the channel.";
    STREAM_BAD_SCALE = 706, "decimal exponent", "The value cannot be written exactly with the channel's exponent.";
    STREAM_OUT_OF_BOUNDS = 707, "channel's", "The value lies outside the channel's bounds.";
    STREAM_JUMP = 708, "channel's", "The value differs from the last accepted one by more than the channel can change in that time.";
    STREAM_CONSTANT = 709, "ms", "The value has stayed the same for longer than the channel can.";
    STREAM_STRAIGHT_LINE = 710, "samples", "The reading lies, to the resolution, on one straight line with its neighbours: interpolated, not measured.";
    STREAM_FEW_DIGITS = 711, "digits", "Fewer different last digits than a sensor of this resolution shows.";
    STREAM_NIGHT = 712, "channel's", "The channel needs the sun, and the sun was down.";
    STREAM_TIME_SHIFTED = 713, "s", "The centre of the last full day's curve lies too far from solar noon at the device's place.";
    STREAM_SURPLUS = 714, "readings", "The window has as many accepted readings of this channel already as the policy pays.";
    STREAM_COPIED = 715, "windows", "The window belongs to a series that equals another device's, which was held earlier or at the same time.";
    STREAM_MISSING = 716, "readings", "The window has no reading, or too few, of a required channel.";
    STREAM_INCOMPLETE = 717, "basis points", "Too many of the sequence numbers before the message are missing.";
}
