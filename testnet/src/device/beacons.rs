//! How a device checks a beacon broadcast, docs/protocol.md §4. Leaves out: what it does with the beacon (`duty`).

use aggregator::{GroupKey, Signature};
use sha2::{Digest as _, Sha256};

/// What it takes to check a beacon (docs/protocol.md §4).
#[derive(Clone, Debug)]
pub struct Beacons {
    /// Network id.
    pub network: attest::Network,
    /// Committee.
    pub committee: u64,
    /// Term.
    pub term: u64,
    /// Its group key.
    pub group: GroupKey,
}

impl Beacons {
    /// Slot and certificate of a broadcast.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<(u64, [u8; 48])> {
        let (slot, certificate) = payload.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*slot), certificate.try_into().ok()?))
    }

    /// Checks a certificate under the group key.
    ///
    /// # Errors
    /// When it is no point of the group or not the signature of this slot.
    pub fn verify(&self, slot: u64, certificate: &[u8; 48]) -> Result<(), aggregator::Error> {
        let message = Sha256::new()
            .chain_update(b"plumbline/beacon/v1")
            .chain_update(self.network)
            .chain_update(self.committee.to_be_bytes())
            .chain_update(self.term.to_be_bytes())
            .chain_update(slot.to_be_bytes())
            .finalize();
        self.group.verify(&message.into(), &Signature::from_bytes(certificate)?)
    }
}
