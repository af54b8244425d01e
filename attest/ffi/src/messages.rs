//! Boot, and one function per message class up to 7 that answers no draw. Each writes into the caller's buffer and advances the device only when it
//! succeeds.

use attest::{
    BootBody, CommitmentBody, Location, Nothing, Reading, Readings, Reception, RevealBody, Said, Signer, Taken,
    TimedReading, ToBeSigned, WitnessBody, device_key_statement,
};

use crate::{
    status::{ATTEST_SIGN, of_boot, of_seal},
    types::{
        CSigner, CStorage, Inner, attest_device, attest_location, attest_message, attest_reading, attest_reception,
        attest_signer, attest_storage, attest_timed_reading, buffer, bytes, bytes_mut, list, read, same_size, status,
        write,
    },
};

/// Starts a boot: counts up, stores the count, and only then fills `device`.
///
/// # Safety
/// Pointers are valid for their types as the header says; the signer's and storage's callbacks keep its contract.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_device_boot(
    device: *mut attest_device,
    signer: *const attest_signer,
    storage: *const attest_storage,
    network: *const u8,
) -> i32 {
    // SAFETY: the caller's promise, for all four.
    let boot = || unsafe {
        let (device, signer, storage) = (write(device)?, CSigner::new(read(signer)?)?, read(storage)?);
        same_size::<attest_storage>(storage.struct_size)?;
        let network = *bytes(network)?;
        device.fill(Inner::boot(signer, &mut CStorage(storage), network).map_err(|e| of_boot(&e))?);
        Ok(())
    };
    status(boot())
}

/// The device's key id, 8 bytes.
///
/// # Safety
/// `device` was filled by `attest_device_boot`; `kid` takes 8 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_device_kid(device: *mut attest_device, kid: *mut u8) -> i32 {
    // SAFETY: the caller's promise.
    let get = || unsafe {
        *bytes_mut(kid)? = write(device)?.inner()?.kid();
        Ok(())
    };
    status(get())
}

/// The common end of every message function.
///
/// # Safety
/// As the header says of `device`, `iat`, `buf` and `out`.
pub(crate) unsafe fn make(
    device: *mut attest_device,
    iat: *const u64,
    nonce: Option<[u8; 32]>,
    body: &dyn Said,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> Result<(), i32> {
    // SAFETY: the caller's promise; a null `iat` is a device without a clock.
    let (device, iat, buf, out) =
        unsafe { (write(device)?.inner()?, iat.as_ref().copied(), buffer(buf, buf_len)?, write(out)?) };
    let signed = device.message(iat, nonce, body, buf).map_err(|e| of_seal(&e))?;
    *out = attest_message {
        len: signed.bytes.len(),
        seq: signed.seq,
        message_class: u32::from(signed.class.as_u8()),
        id: signed.id,
    };
    Ok(())
}

/// A heartbeat.
///
/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_heartbeat(
    device: *mut attest_device,
    iat: *const u64,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    status(unsafe { make(device, iat, None, &Nothing, buf, buf_len, out) })
}

/// Telemetry of one instant, at most 64 readings.
///
/// # Safety
/// As the header says; `readings` points to `count` readings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_telemetry(
    device: *mut attest_device,
    iat: *const u64,
    readings: *const attest_reading,
    count: usize,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        // The two rows have one layout, see types.rs.
        let readings = list(readings.cast::<Reading>(), count)?;
        make(device, iat, None, &Readings::from_slice(readings), buf, buf_len, out)
    };
    status(tell())
}

/// Telemetry of several instants, at most 64 readings.
///
/// # Safety
/// As the header says; `readings` points to `count` readings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_telemetry_samples(
    device: *mut attest_device,
    iat: *const u64,
    now_ms: u32,
    readings: *const attest_timed_reading,
    count: usize,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        // The two rows have one layout, see types.rs.
        let readings = list(readings.cast::<TimedReading>(), count)?;
        make(device, iat, None, &Taken { readings, now_ms }, buf, buf_len, out)
    };
    status(tell())
}

/// The boot message; a null `location` is a device without a place.
///
/// # Safety
/// As the header says; `seed` has 16 bytes, `firmware` 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_boot_message(
    device: *mut attest_device,
    iat: *const u64,
    seed: *const u8,
    firmware: *const u8,
    location: *const attest_location,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let location = location.as_ref().map(|at| Location { lat: at.lat, lon: at.lon, salt: at.salt });
        let body = BootBody { seed: *bytes(seed)?, firmware: *bytes(firmware)?, location };
        make(device, iat, None, &body, buf, buf_len, out)
    };
    status(tell())
}

/// The anchor of a hash chain.
///
/// # Safety
/// As the header says; `anchor` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_commitment(
    device: *mut attest_device,
    iat: *const u64,
    lease: u64,
    first_slot: u64,
    length: u32,
    anchor: *const u8,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let body = CommitmentBody { lease, first_slot, length, anchor: *bytes(anchor)? };
        make(device, iat, None, &body, buf, buf_len, out)
    };
    status(tell())
}

/// A witness commitment.
///
/// # Safety
/// As the header says; `commitment` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_witness(
    device: *mut attest_device,
    iat: *const u64,
    slot: u64,
    commitment: *const u8,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let body = WitnessBody { slot, commitment: *bytes(commitment)? };
        make(device, iat, None, &body, buf, buf_len, out)
    };
    status(tell())
}

/// The opening of a slot; a null `secret` is a device that was not challenged in it.
///
/// # Safety
/// As the header says; `secret` has 32 bytes or is null, `salt` 16, `receptions` points to `count` receptions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_reveal(
    device: *mut attest_device,
    iat: *const u64,
    slot: u64,
    secret: *const u8,
    salt: *const u8,
    receptions: *const attest_reception,
    count: usize,
    buf: *mut u8,
    buf_len: usize,
    out: *mut attest_message,
) -> i32 {
    // SAFETY: the caller's promise.
    let tell = || unsafe {
        let receptions = heard(receptions, count)?.into();
        let secret = if secret.is_null() { None } else { Some(*bytes(secret)?) };
        let body = RevealBody { slot, secret, salt: *bytes(salt)?, receptions };
        make(device, iat, None, &body, buf, buf_len, out)
    };
    status(tell())
}

/// Signs the statement with which an owner registers the device's key (docs/protocol.md §3); 64 bytes.
///
/// # Safety
/// As the header says; both addresses have 20 bytes, `signature` takes 64.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_prove_possession(
    device: *mut attest_device,
    chain_id: u64,
    device_registry: *const u8,
    owner: *const u8,
    signature: *mut u8,
) -> i32 {
    // SAFETY: the caller's promise.
    let prove = || unsafe {
        let signer = write(device)?.inner()?.signer();
        let mut room = [0; attest::DEVICE_KEY_STATEMENT_MAX];
        let key = signer.public_key();
        let statement = device_key_statement(chain_id, bytes(device_registry)?, bytes(owner)?, &key, &mut room);
        *bytes_mut(signature)? = signer.sign(ToBeSigned::new(statement)).map_err(|_| ATTEST_SIGN)?;
        Ok(())
    };
    status(prove())
}

/// The C receptions as the library's rows.
///
/// # Safety
/// `given` points to `count` receptions.
pub(crate) unsafe fn heard<'a>(given: *const attest_reception, count: usize) -> Result<&'a [Reception], i32> {
    // SAFETY: the caller's promise; the two rows have one layout, see types.rs.
    unsafe { list(given.cast::<Reception>(), count) }
}
