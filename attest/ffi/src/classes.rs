//! One function per message class from 8 on that answers no draw: channels, meter, position, opening, endorsement, a
//! meter's own record.

use attest::{
    ChannelName, ChannelNames, EndorsementBody, FixBody, MeterBody, MeterWindow, MeteredBody, OpeningBody, Record,
    RecordFormat, Satellite,
};

use crate::{
    messages::make,
    types::{
        attest_channel, attest_device, attest_fix, attest_message, attest_meter_window, attest_opening, attest_record,
        attest_satellite, list, read, status,
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

/// A record that a meter signed by itself; a long one goes by its digest and length.
///
/// # Safety
/// As the header says; the record is as long as its struct says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_metered(
    device: *mut attest_device,
    iat: *const u64,
    given: *const attest_record,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let attest_record { lease, format, meter, record, record_len } = *read(given)?;
        let record = Record::of(list(record, record_len)?);
        make(device, iat, None, &MeteredBody { lease, format: RecordFormat(format), meter, record }, buf, buf_len, out)
    };
    status(tell())
}
