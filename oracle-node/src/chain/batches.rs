//! The next batch of device keys of each term, as the device registry holds it. It cannot be told from the log: anybody may
//! post a certified batch, in one transaction with registrations or with further batches, and the committee would go on
//! with a number that is used up. So the number is read at the finalized block that was folded last, whenever the log shows
//! that keys were activated or skipped. Leaves out: the batches (`oracle_core`).

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, keccak256};
use oracle_core::registry::Contracts;

use super::log::StoredBlock;
use super::rpc::{ChainError, Rpc};

/// Terms read again after each change: the one in force and the one before, whose key may still certify. What the registry
/// holds for those before does not change any more.
const TERMS_IN_MOTION: usize = 2;

/// The numbers read, by term.
#[derive(Debug, Default)]
pub(super) struct Batches {
    next: BTreeMap<u64, u64>,
    /// Whether keys were activated or skipped since they were read.
    stale: bool,
}

impl Batches {
    /// Notes whether a block may have used a batch up.
    pub(super) fn look(&mut self, block: &StoredBlock, contracts: &Contracts) {
        let told = ["DeviceKeyActivated(uint256,bytes32)", "DeviceKeySkipped(uint256,bytes32)"].map(keccak256);
        self.stale |= block.logs.iter().any(|log| {
            let first = log.topics.first().map(|topic| B256::from(**topic));
            Address::from(*log.address) == contracts.devices && first.is_some_and(|first| told.contains(&first))
        });
    }

    /// Reads what is not known any more, as of a finalized block: everything up to it must have been looked at.
    ///
    /// # Errors
    /// The endpoint does not answer. What was known before stays unknown until it does.
    pub(super) async fn read(
        &mut self,
        rpc: &Rpc,
        (devices, committee): (Address, u64),
        activated: &BTreeSet<u64>,
        block: u64,
    ) -> Result<(), ChainError> {
        let moving = activated.iter().rev().take(TERMS_IN_MOTION).filter(|_| self.stale);
        let new = activated.iter().filter(|term| !self.next.contains_key(term));
        let wanted: BTreeSet<u64> = moving.chain(new).copied().collect();
        for term in wanted {
            let next = rpc.next_batch(devices, committee, term, block).await?;
            self.next.insert(term, next);
        }
        self.stale = false;
        Ok(())
    }

    /// First batch number that the chain has not used; `None` until it has been read.
    pub(super) fn next(&self, term: u64) -> Option<u64> {
        self.next.get(&term).copied().filter(|_| !self.stale)
    }

    /// What was read last, by term: never too high.
    pub(super) const fn read_last(&self) -> &BTreeMap<u64, u64> {
        &self.next
    }
}
