//! One function per message class from 8 on: channels, meter, position, storage, compute, bandwidth, endorsement.

use attest::{
    BandwidthBody, ChannelName, ChannelNames, EndorsementBody, FixBody, MeterBody, MeterWindow, OpeningBody,
    PossessionBody, Satellite, Tally, WorkBody,
};

use crate::{
    messages::make,
    types::{
        attest_channel, attest_device, attest_fix, attest_message, attest_meter_window, attest_opening,
        attest_possession, attest_satellite, attest_tally, attest_work, bytes, list, read, status,
    },
};

/// What the channels are called and measured in.
///
/// # Safety
/// As the header says; `channels` points to `count` channels.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_channels(
    device: *mut attest_device,
    iat: *const u64,
    channels: *const attest_channel,
    count: usize,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        // The two rows have one layout, see types.rs.
        let names = ChannelNames::from_slice(list(channels.cast::<ChannelName>(), count)?);
        make(device, iat, None, &names, buf, buf_len, out)
    };
    status(tell())
}

/// Windows of a meter.
///
/// # Safety
/// As the header says; `windows` points to `count` windows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_meter(
    device: *mut attest_device,
    iat: *const u64,
    meter: u64,
    exponent: i8,
    windows: *const attest_meter_window,
    count: usize,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let windows = list(windows.cast::<MeterWindow>(), count)?.into();
        make(device, iat, None, &MeterBody { register: meter, exponent, windows }, buf, buf_len, out)
    };
    status(tell())
}

/// A position fix.
///
/// # Safety
/// As the header says; `satellites` points to `count` satellites.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_position(
    device: *mut attest_device,
    iat: *const u64,
    fix: *const attest_fix,
    satellites: *const attest_satellite,
    count: usize,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let (fix, satellites) = (read(fix)?, list(satellites.cast::<Satellite>(), count)?.into());
        let attest_fix { at_ms, lat, lon, height_cm, hdop } = *fix;
        make(device, iat, None, &FixBody { at_ms, lat, lon, height_cm, hdop, satellites }, buf, buf_len, out)
    };
    status(tell())
}

/// The answer to a storage challenge.
///
/// # Safety
/// As the header says; `draw` has 32 bytes, leaf and path as long as their structs say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_storage_answer(
    device: *mut attest_device,
    iat: *const u64,
    draw: *const u8,
    given: *const attest_possession,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let given = read(given)?;
        let (leaf, path) = (list(given.leaf, given.leaf_len)?, list(given.path, given.path_len)?);
        let attest_possession { lease, slot, sample, index, .. } = *given;
        let body = PossessionBody { lease, slot, sample, index, leaf, path };
        make(device, iat, Some(*bytes(draw)?), &body, buf, buf_len, out)
    };
    status(tell())
}

/// The answer to a compute challenge.
///
/// # Safety
/// As the header says; `draw` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_work_answer(
    device: *mut attest_device,
    iat: *const u64,
    draw: *const u8,
    work: *const attest_work,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let attest_work { lease, slot, size, rounds, root } = *read(work)?;
        let body = WorkBody { lease, slot, size, rounds, root };
        make(device, iat, Some(*bytes(draw)?), &body, buf, buf_len, out)
    };
    status(tell())
}

/// The rows of a compute commitment.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_work_opening(
    device: *mut attest_device,
    iat: *const u64,
    opening: *const attest_opening,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let attest_opening { lease, slot, rows, content, length } = *read(opening)?;
        make(device, iat, None, &OpeningBody { lease, slot, rows, content, length }, buf, buf_len, out)
    };
    status(tell())
}

/// The answer to a bandwidth challenge.
///
/// # Safety
/// As the header says; `draw` has 32 bytes, `tallies` points to `count` tallies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_bandwidth_answer(
    device: *mut attest_device,
    iat: *const u64,
    draw: *const u8,
    lease: u64,
    slot: u64,
    span_us: u64,
    tallies: *const attest_tally,
    count: usize,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let tallies = list(tallies.cast::<Tally>(), count)?.into();
        let body = BandwidthBody { lease, slot, span_us, tallies };
        make(device, iat, Some(*bytes(draw)?), &body, buf, buf_len, out)
    };
    status(tell())
}

/// The maker's endorsement of the device's key, as the maker gave it.
///
/// # Safety
/// As the header says; `certificate` has `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_endorsement(
    device: *mut attest_device,
    iat: *const u64,
    certificate: *const u8,
    len: usize,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let body = EndorsementBody::unread(list(certificate, len)?);
        make(device, iat, None, &body, buf, buf_len, out)
    };
    status(tell())
}
