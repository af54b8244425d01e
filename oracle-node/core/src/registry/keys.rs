//! Which device keys may count: by their own claim, by their key id, and by who holds them already.
//!
//! Evidence names its key by 8 bytes of the thumbprint, and two own keys with one key id cost
//! only 2³² tries: a device that changed from one to the other would leave evidence that some members had verified and
//! that nobody could verify again, and no report of that epoch would ever be decided or replayed. So a key id belongs
//! for ever to the first key that the chain showed with it, and no other key with it ever counts.
//! Leaves out: what the chain says of a key (`fold`).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::Address;

use super::DeviceRecord;
use crate::ingest::Kid;

/// Which key took which key id, and the devices whose present key came too late.
#[derive(Clone, Debug, Default)]
pub(super) struct Kids {
    taken: BTreeMap<Kid, [u8; 32]>,
    refused: BTreeSet<u64>,
}

impl Kids {
    /// Notes a device's new key; whether it may count.
    pub(super) fn take(&mut self, device: u64, kid: Kid, thumbprint: [u8; 32]) -> bool {
        let first = *self.taken.entry(kid).or_insert(thumbprint);
        if first == thumbprint {
            self.refused.remove(&device);
        } else {
            self.refused.insert(device);
        }
        first == thumbprint
    }

    /// Whether the device's present key may count.
    pub(super) fn may_count(&self, device: u64) -> bool {
        !self.refused.contains(&device)
    }
}

/// Which device each counting key belongs to, and the keys that never count again: `activeKey` and `revoked` of the device
/// registry, told by its events. The chain skips a key that another device has, or that is burnt, in every batch; a
/// committee that went on certifying it would pay for batches without end.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders {
    by_key: BTreeMap<[u8; 32], u64>,
    burnt: BTreeSet<[u8; 32]>,
}

impl Holders {
    /// The chain made this the device's counting key.
    pub(super) fn activated(&mut self, device: u64, thumbprint: [u8; 32]) {
        self.by_key.insert(thumbprint, device);
    }

    /// The device changed to another key. This one is free again, if it counted there; whether it did.
    pub(super) fn left(&mut self, device: u64, thumbprint: &[u8; 32]) -> bool {
        let held = self.by_key.get(thumbprint) == Some(&device);
        if held {
            self.by_key.remove(thumbprint);
        }
        held
    }

    /// The device revoked this key: burnt if it counted there. One that never did may be somebody else's.
    pub(super) fn revoked(&mut self, device: u64, thumbprint: [u8; 32]) {
        if self.left(device, &thumbprint) {
            self.burnt.insert(thumbprint);
        }
    }

    /// Whether the chain would let a device have this key now.
    pub(super) fn is_free(&self, thumbprint: &[u8; 32]) -> bool {
        !self.by_key.contains_key(thumbprint) && !self.burnt.contains(thumbprint)
    }
}

/// Whether the device's own key signed for this owner, registry and chain.
pub(super) fn claim_holds(chain_id: u64, devices: &Address, owner: &Address, device: &DeviceRecord) -> bool {
    let mut space = [0; attest::DEVICE_KEY_STATEMENT_MAX];
    let (devices, owner) = (devices.into_array(), owner.into_array());
    let statement = attest::device_key_statement(chain_id, &devices, &owner, &device.key, &mut space);
    matches!(device.key, attest::PublicKey::Ed25519(_))
        && attest::verify_statement(&device.key, statement, &device.proof)
}

/// The contract checks P-256 claims itself and refuses bad ones.
pub(super) const fn proven_on_chain(key: &attest::PublicKey) -> bool {
    matches!(key, attest::PublicKey::P256(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_belongs_to_its_first_key() {
        let mut kids = Kids::default();
        let (kid, other) = ([1; 8], [2; 8]);
        assert!(kids.take(1, kid, [10; 32]));
        // The same key at another device is no danger: the same signatures verify. Another key with that id is.
        assert!(kids.take(2, kid, [10; 32]));
        assert!(!kids.take(1, kid, [11; 32]) && !kids.may_count(1) && kids.may_count(2));
        assert!(!kids.take(3, kid, [12; 32]));
        // A key with an id of its own counts again; the refused ones left no mark.
        assert!(kids.take(1, other, [13; 32]) && kids.may_count(1));
        assert!(kids.take(3, kid, [10; 32]) && kids.may_count(3));
    }
}
