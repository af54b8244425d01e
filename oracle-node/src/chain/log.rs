//! Finalized blocks as the store keeps them, so that a restart folds them again without asking the chain.
//! Every block is kept, most of them without a log: a snapshot is the last block before a moment.

use alloy::primitives::{Address, B256};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oracle_core::registry::{Block, RawLog};
use oracle_core::wire::{self, Bytes, Hash};

/// Longest stored block: a block full of our events.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// One log of our contracts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct StoredLog {
    /// Contract.
    #[n(0)]
    pub(super) address: Bytes<20>,
    /// Topics.
    #[n(1)]
    pub(super) topics: Vec<Hash>,
    /// Data.
    #[n(2)]
    pub(super) data: ByteVec,
    /// The transaction that emitted it.
    #[n(3)]
    pub(super) transaction: Hash,
}

/// One finalized block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct StoredBlock {
    /// Hash.
    #[n(0)]
    pub(super) hash: Hash,
    /// Unix seconds.
    #[n(1)]
    pub(super) timestamp: u64,
    /// In order.
    #[n(2)]
    pub(super) logs: Vec<StoredLog>,
}

impl StoredBlock {
    pub(super) fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        wire::decode(bytes, BLOCK_BYTES_MAX).ok()
    }

    /// The header as the fold wants it.
    pub(super) fn block(&self, number: u64) -> Block {
        Block { number, hash: B256::from(*self.hash), timestamp: self.timestamp }
    }

    /// The logs as the fold wants them.
    pub(super) fn raw_logs(&self) -> Vec<RawLog> {
        let raw = |log: &StoredLog| RawLog {
            address: Address::from(*log.address),
            topics: log.topics.iter().map(|topic| B256::from(**topic)).collect(),
            data: log.data.to_vec(),
        };
        self.logs.iter().map(raw).collect()
    }
}
