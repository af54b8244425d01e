//! The functions without state: network id, topic, challenge, hash chain, transmission, witness commitment, the digests
//! of a bandwidth tally, a meter key's thumbprint.

use attest::{
    Beacon, Class, MeterCurve, challenge, losses_digest, meter_key_thumbprint, network_id, tags_digest, topic_up,
};

use crate::{
    messages::heard,
    status::{ATTEST_BOUNDS, ATTEST_BUFFER, ATTEST_FORM, ATTEST_NOT_CHALLENGED},
    types::{attest_reception, buffer, bytes, bytes_mut, list, status, write},
};

/// The version of this interface; goes up when a struct or function changes.
#[unsafe(no_mangle)]
pub extern "C" fn attest_abi_version() -> u32 {
    4
}

/// The network id of a chain and its CommitteeRegistry, 8 bytes.
///
/// # Safety
/// `registry` has 20 bytes, `network` takes 8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_network_id(chain_id: u64, registry: *const u8, network: *mut u8) -> i32 {
    // SAFETY: the caller's promise.
    let get = || unsafe {
        *bytes_mut(network)? = network_id(chain_id, bytes(registry)?);
        Ok(())
    };
    status(get())
}

/// The topic of a message, zero-terminated; 45 bytes always suffice.
///
/// # Safety
/// `kid` has 8 bytes, `topic` takes `topic_len`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_topic_up(message_class: u32, kid: *const u8, topic: *mut u8, topic_len: usize) -> i32 {
    // SAFETY: the caller's promise.
    let get = || unsafe {
        let class = u8::try_from(message_class).ok().and_then(Class::from_u8).ok_or(ATTEST_BOUNDS)?;
        let name = topic_up(class, bytes(kid)?);
        let name = name.as_bytes();
        let out = buffer(topic, topic_len)?.get_mut(..=name.len()).ok_or(ATTEST_BUFFER)?;
        if let Some((zero, text)) = out.split_last_mut() {
            text.copy_from_slice(name);
            *zero = 0;
        }
        Ok(())
    };
    status(get())
}

/// Reads a beacon broadcast and says whether it challenges this device on this lease. Does not check the certificate.
///
/// # Safety
/// `beacon` has `beacon_len` bytes, `slot` is writable, `draw` takes 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_challenge(
    beacon: *const u8,
    beacon_len: usize,
    device: u64,
    lease: u64,
    challenge_p: u64,
    slot: *mut u64,
    draw: *mut u8,
) -> i32 {
    // SAFETY: the caller's promise.
    let derive = || unsafe {
        let beacon = Beacon::parse(list(beacon, beacon_len)?).ok_or(ATTEST_FORM)?;
        *write(slot)? = beacon.slot;
        let drawn = challenge::draw(&beacon.seed(), device, lease);
        *bytes_mut(draw)? = drawn;
        if challenge::challenged(&drawn, challenge_p) { Ok(()) } else { Err(ATTEST_NOT_CHALLENGED) }
    };
    status(derive())
}

/// The anchor of the hash chain that starts at `secret0`; `length` at most 4,096.
///
/// # Safety
/// `secret0` has 32 bytes, `anchor` takes 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_chain_anchor(secret0: *const u8, length: u32, anchor: *mut u8) -> i32 {
    // SAFETY: the caller's promise.
    let get = || unsafe {
        *bytes_mut(anchor)? = challenge::chain_anchor(bytes(secret0)?, length).ok_or(ATTEST_BOUNDS)?;
        Ok(())
    };
    status(get())
}

/// The secret of a slot in that chain.
///
/// # Safety
/// `secret0` has 32 bytes, `secret` takes 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_chain_secret(
    secret0: *const u8,
    first_slot: u64,
    length: u32,
    slot: u64,
    secret: *mut u8,
) -> i32 {
    // SAFETY: the caller's promise.
    let get = || unsafe {
        let found = challenge::chain_secret(bytes(secret0)?, first_slot, length, slot);
        *bytes_mut(secret)? = found.ok_or(ATTEST_BOUNDS)?;
        Ok(())
    };
    status(get())
}

/// What a challenged coverage device transmits: payload and decibels below its EIRP (0, 3 or 6).
///
/// # Safety
/// `secret` and `draw` have 32 bytes, `payload` takes 16, `attenuation_db` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_transmission(
    secret: *const u8,
    draw: *const u8,
    payload: *mut u8,
    attenuation_db: *mut u8,
) -> i32 {
    // SAFETY: the caller's promise.
    let get = || unsafe {
        let sent = challenge::transmission(bytes(secret)?, bytes(draw)?);
        *bytes_mut(payload)? = sent.payload;
        *write(attenuation_db)? = sent.attenuation_db;
        Ok(())
    };
    status(get())
}

/// The commitment of a witness to its receptions, 32 bytes.
///
/// # Safety
/// `receptions` points to `count` receptions, `salt` has 16 bytes, `commitment` takes 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_witness_commitment(
    receptions: *const attest_reception,
    count: usize,
    salt: *const u8,
    commitment: *mut u8,
) -> i32 {
    // SAFETY: the caller's promise.
    let get = || unsafe {
        let rows = heard(receptions, count)?;
        if rows.len() > attest::Receptions::MAX {
            return Err(ATTEST_BOUNDS);
        }
        *bytes_mut(commitment)? = challenge::witness_commitment(rows.iter().copied(), bytes(salt)?);
        Ok(())
    };
    status(get())
}

/// The digests of a tally: over the tags of the packets that arrived, and over the loss bitmap; 16 bytes each.
///
/// # Safety
/// `tags` has 16 bytes for each of `packets`, `bitmap` has `bitmap_len`, `tags_out` and `losses_out` take 16.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_tally_digests(
    tags: *const u8,
    packets: usize,
    bitmap: *const u8,
    bitmap_len: usize,
    tags_out: *mut u8,
    losses_out: *mut u8,
) -> i32 {
    // SAFETY: the caller's promise; bytes have no alignment.
    let get = || unsafe {
        let tags = list(tags.cast::<[u8; 16]>(), packets)?;
        *bytes_mut(tags_out)? = tags_digest(tags.iter().copied());
        *bytes_mut(losses_out)? = losses_digest(list(bitmap, bitmap_len)?);
        Ok(())
    };
    status(get())
}

/// The thumbprint of a meter's key, 32 bytes.
///
/// # Safety
/// `point` has `point_len` bytes, `thumbprint` takes 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn attest_meter_key(curve: u32, point: *const u8, point_len: usize, thumbprint: *mut u8) -> i32 {
    // SAFETY: the caller's promise.
    let get = || unsafe {
        let curve = u16::try_from(curve).ok().and_then(MeterCurve::from_u16).ok_or(ATTEST_BOUNDS)?;
        *bytes_mut(thumbprint)? = meter_key_thumbprint(curve, list(point, point_len)?).ok_or(ATTEST_BOUNDS)?;
        Ok(())
    };
    status(get())
}
