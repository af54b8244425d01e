//! Challenges and their answers as pure functions: the draw, the hash chain of coverage secrets, the transmission and
//! the witness commitment (docs/protocol.md §5). Beacons are checked elsewhere; scoring is `oracle-core`'s.

use crate::{
    MAX_CHAIN, Reception,
    hash::{Hash, sha256},
};

const CHALLENGE_TAG: &[u8] = b"plumbline/challenge/v1";
const RADIO_TAG: &[u8] = b"plumbline/radio/v1";
const CHAIN_TAG: &[u8] = b"plumbline/chain/v1";
const WITNESS_TAG: &[u8] = b"plumbline/witness/v1";

/// The seed of a slot: SHA-256 of its beacon certificate (48 bytes, compressed G1).
#[must_use]
pub fn seed(certificate: &[u8; 48]) -> [u8; 32] {
    sha256(&[certificate])
}

/// The draw of a device and lease in the slot of `seed`; also the nonce of the answer.
#[must_use]
pub fn draw(seed: &[u8; 32], device: u64, lease: u64) -> [u8; 32] {
    sha256(&[CHALLENGE_TAG, seed, &device.to_be_bytes(), &lease.to_be_bytes()])
}

/// Whether a draw challenges, `p` being the policy's `challenge_p` in units of 2^-64.
#[must_use]
pub fn challenged(draw: &[u8; 32], p: u64) -> bool {
    let [a, b, c, d, e, f, g, h, ..] = *draw;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]) < p
}

/// One step of the hash chain.
#[must_use]
pub fn chain_step(value: &[u8; 32]) -> [u8; 32] {
    sha256(&[CHAIN_TAG, value])
}

fn steps(value: &[u8; 32], count: u64) -> [u8; 32] {
    (0..count).fold(*value, |value, _| chain_step(&value))
}

/// The anchor of the chain that starts at the device's own secret: `length` steps, at most [`MAX_CHAIN`].
/// `None` when `length` is over the bound.
#[must_use]
pub fn chain_anchor(secret0: &[u8; 32], length: u32) -> Option<[u8; 32]> {
    (length <= MAX_CHAIN).then(|| steps(secret0, u64::from(length)))
}

/// The secret of `slot` in that chain; `None` for a slot that the chain does not cover.
#[must_use]
pub fn chain_secret(secret0: &[u8; 32], first_slot: u64, length: u32, slot: u64) -> Option<[u8; 32]> {
    let forward = steps_to_anchor(first_slot, length, slot)?;
    Some(steps(secret0, u64::from(length).checked_sub(forward)?))
}

/// Whether `secret` is the one of `slot` in the chain committed to by `anchor`. At most [`MAX_CHAIN`] hashes.
#[must_use]
pub fn secret_opens(anchor: &[u8; 32], first_slot: u64, length: u32, slot: u64, secret: &[u8; 32]) -> bool {
    steps_to_anchor(first_slot, length, slot).is_some_and(|forward| steps(secret, forward) == *anchor)
}

/// `slot - first_slot + 1` for a slot of the chain.
fn steps_to_anchor(first_slot: u64, length: u32, slot: u64) -> Option<u64> {
    let index = slot.checked_sub(first_slot)?;
    (length <= MAX_CHAIN && index < u64::from(length)).then_some(index + 1)
}

/// What a challenged coverage device transmits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transmission {
    /// The payload.
    pub payload: [u8; 16],
    /// By how much it transmits below its EIRP: 0, 3 or 6 dB.
    pub attenuation_db: u8,
}

/// The transmission that a secret and a draw call for.
#[must_use]
pub fn transmission(secret: &[u8; 32], draw: &[u8; 32]) -> Transmission {
    let hash = sha256(&[RADIO_TAG, secret, draw]);
    let mut payload = [0; 16];
    for (slot, byte) in payload.iter_mut().zip(&hash) {
        *slot = *byte;
    }
    let power = hash.get(16).copied().unwrap_or_default();
    Transmission { payload, attenuation_db: 3 * (power % 3) }
}

/// The commitment of a witness to its receptions, in the order in which the reveal lists them.
#[must_use]
pub fn witness_commitment<I>(receptions: I, salt: &[u8; 16]) -> [u8; 32]
where
    I: IntoIterator<Item = Reception>,
    I::IntoIter: ExactSizeIterator,
{
    let receptions = receptions.into_iter();
    let count = u16::try_from(receptions.len()).unwrap_or(u16::MAX);
    let mut hash = Hash::new();
    hash.update(WITNESS_TAG);
    hash.update(&count.to_be_bytes());
    for heard in receptions {
        hash.update(&heard.lease.to_be_bytes());
        hash.update(&heard.payload);
        hash.update(&heard.rssi.to_be_bytes());
        hash.update(&heard.snr.to_be_bytes());
    }
    hash.update(salt);
    hash.finish()
}
