//! How many batches of device keys a term has certified, counted from the chain's log. Leaves out: the batches (`oracle_core`).

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, keccak256};
use oracle_core::registry::Contracts;

use super::log::StoredBlock;

/// Counts batches of device keys: transactions after our term's activation in which the device registry activated or
/// skipped keys without a registration. Every node counts the same finalized logs; a number may be skipped, never reused.
#[derive(Debug, Default)]
pub(super) struct Batches {
    active: bool,
    pub(super) used: u64,
}

impl Batches {
    pub(super) fn count(&mut self, block: &StoredBlock, contracts: &Contracts, committee: u64, term: u64) {
        let topic = |text: &str| keccak256(text);
        let activated = topic("TermActivated(uint64,uint64,bytes,bytes32,uint64)");
        let registered = topic("DeviceRegistered(uint256,address,uint8,bytes,bytes,bytes32,uint8)");
        let batched = [topic("DeviceKeyActivated(uint256,bytes32)"), topic("DeviceKeySkipped(uint256,bytes32)")];
        let (mut with_keys, mut with_registration) = (BTreeSet::new(), BTreeSet::new());
        for log in &block.logs {
            let Some(first) = log.topics.first().map(|topic| B256::from(**topic)) else { continue };
            let address = Address::from(*log.address);
            if address == contracts.registry && first == activated {
                let number = |i: usize| {
                    log.topics.get(i).and_then(|topic| topic.last_chunk::<8>()).map(|b| u64::from_be_bytes(*b))
                };
                self.active |= number(1) == Some(committee) && number(2) == Some(term);
            } else if address == contracts.devices && first == registered {
                with_registration.insert(log.transaction);
            } else if address == contracts.devices && batched.contains(&first) {
                with_keys.insert(log.transaction);
            }
        }
        if self.active {
            let batches = with_keys.difference(&with_registration).count();
            self.used = self.used.saturating_add(batches as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use oracle_core::wire::{Bytes, Hash};

    use super::*;
    use crate::chain::log::StoredLog;

    fn log(contract: u8, event: &str, topics: &[u64], transaction: u8) -> StoredLog {
        let number = |n: &u64| Hash::from(B256::left_padding_from(&n.to_be_bytes()).0);
        let topics = std::iter::once(Hash::from(keccak256(event).0)).chain(topics.iter().map(number)).collect();
        StoredLog {
            address: Bytes::from([contract; 20]),
            topics,
            data: vec![].into(),
            transaction: Hash::from([transaction; 32]),
        }
    }

    #[test]
    fn batches_are_counted_once_per_transaction_and_only_after_activation() {
        let of = |byte: u8| Address::repeat_byte(byte);
        let contracts = Contracts { registry: of(1), devices: of(2), escrow: of(3), hub: of(4) };
        let keys = |token: u64, transaction: u8| log(2, "DeviceKeyActivated(uint256,bytes32)", &[token], transaction);
        let mut batches = Batches::default();
        let mut block = |logs: Vec<StoredLog>| {
            batches.count(&StoredBlock { hash: Hash::default(), timestamp: 0, logs }, &contracts, 1, 2);
            batches.used
        };
        assert_eq!(block(vec![keys(1, 1)]), 0, "before activation");
        let activated = |term: u64| log(1, "TermActivated(uint64,uint64,bytes,bytes32,uint64)", &[1, term], 2);
        assert_eq!(block(vec![activated(1), keys(1, 3)]), 0, "another term");
        assert_eq!(block(vec![activated(2), keys(2, 4), keys(3, 4)]), 1);
        let registration = log(2, "DeviceRegistered(uint256,address,uint8,bytes,bytes,bytes32,uint8)", &[4], 5);
        assert_eq!(block(vec![keys(4, 5), registration]), 1, "a P-256 registration is no batch");
        assert_eq!(block(vec![keys(5, 6), keys(6, 7)]), 3);
    }
}
