//! A device's own reading of the beacon broadcast: slot, certificate, and whether it challenges this device
//! (docs/protocol.md §§4, 5 and 11). The BLS check itself is the caller's, behind [`CheckCertificate`]: a pairing costs
//! a microcontroller seconds and tens of kilobytes.

use crate::{Network, challenge, hash::sha256};

/// The bytes of a beacon broadcast: slot, then certificate.
pub const BEACON_LEN: usize = 56;

const BEACON_TAG: &[u8] = b"plumbline/beacon/v1";

/// A beacon broadcast, parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// The slot.
    pub slot: u64,
    /// The committee's certificate over [`beacon_message`], a compressed G1 point.
    pub certificate: [u8; 48],
}

/// The 32 bytes that a beacon certificate signs.
#[must_use]
pub fn beacon_message(network: &Network, committee: u64, term: u64, slot: u64) -> [u8; 32] {
    sha256(&[BEACON_TAG, network, &committee.to_be_bytes(), &term.to_be_bytes(), &slot.to_be_bytes()])
}

/// How a device checks a beacon certificate, if it can.
pub trait CheckCertificate {
    /// Whether `certificate` is the group's signature over `message`.
    fn holds(&self, message: &[u8; 32], certificate: &[u8; 48]) -> bool;
}

/// The check of a device too small for a pairing: none. A broker that lies to it makes it answer challenges that do not
/// exist, which costs airtime and never counts; it cannot make a true challenge count as answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unchecked;

impl CheckCertificate for Unchecked {
    fn holds(&self, _: &[u8; 32], _: &[u8; 48]) -> bool {
        true
    }
}

/// Whose beacon it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeaconDomain {
    /// The network.
    pub network: Network,
    /// The committee.
    pub committee: u64,
    /// The term whose group key is in force.
    pub term: u64,
}

/// A challenge that a beacon holds for this device; [`Device::answer`](crate::Device::answer) answers it, whatever its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The lease.
    pub lease: u64,
    /// The slot.
    pub slot: u64,
    /// The draw: the nonce of an answer, and half of a coverage transmission's input.
    pub draw: [u8; 32],
}

/// Why a broadcast gives no challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    /// Not 56 bytes.
    #[error("not a beacon broadcast")]
    Length,
    /// The certificate is not the group's.
    #[error("beacon certificate does not hold")]
    Certificate,
}

impl Beacon {
    /// Reads a broadcast of exactly [`BEACON_LEN`] bytes.
    #[must_use]
    pub fn parse(broadcast: &[u8]) -> Option<Self> {
        let (slot, certificate) = broadcast.split_first_chunk()?;
        Some(Self { slot: u64::from_be_bytes(*slot), certificate: certificate.try_into().ok()? })
    }

    /// The slot's seed.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        challenge::seed(&self.certificate)
    }

    /// The challenge of a lease, if this beacon draws it; `challenge_p` is the policy's, in units of 2^-64.
    #[must_use]
    pub fn challenge(&self, device: u64, lease: u64, challenge_p: u64) -> Option<Challenge> {
        let draw = challenge::draw(&self.seed(), device, lease);
        challenge::challenged(&draw, challenge_p).then_some(Challenge { lease, slot: self.slot, draw })
    }
}

/// Parses a broadcast, checks its certificate and says whether it challenges this device on this lease.
///
/// # Errors
/// A broadcast of another length, or one whose certificate `check` refuses.
pub fn derive<C: CheckCertificate>(
    broadcast: &[u8],
    domain: &BeaconDomain,
    check: &C,
    device: u64,
    lease: u64,
    challenge_p: u64,
) -> Result<Option<Challenge>, BeaconError> {
    let beacon = Beacon::parse(broadcast).ok_or(BeaconError::Length)?;
    let message = beacon_message(&domain.network, domain.committee, domain.term, beacon.slot);
    if !check.holds(&message, &beacon.certificate) {
        return Err(BeaconError::Certificate);
    }
    Ok(beacon.challenge(device, lease, challenge_p))
}
