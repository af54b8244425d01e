//! Finalized blocks, folded in order: from the store's own log at first, then from the endpoint, for ever.
//! Durable before folded: a block's log is on disk before anything that follows from it is told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use alloy::rpc::types::Log;
use futures::{StreamExt as _, TryStreamExt as _};
use oracle_core::registry::{Contracts, History};
use oracle_core::wire::{Bytes, Hash};
use tokio::sync::{mpsc, watch};

use super::log::{StoredBlock, StoredLog};
use super::rpc::{ChainError, Rpc};
use super::{Event, View};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Blocks asked for at once while catching up.
const CHUNK: u64 = 200;
/// Headers on their way at once.
const HEADERS_AT_ONCE: usize = 16;
/// Longest pause after failed calls.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What the watcher needs to know.
#[derive(Debug)]
pub struct WatchSetup {
    /// The endpoint.
    pub rpc: Rpc,
    /// Keeps the block log.
    pub store: Arc<Store>,
    /// The contracts.
    pub contracts: Contracts,
    /// First block of interest.
    pub start_block: u64,
    /// Committee.
    pub committee: u64,
    /// Term.
    pub term: u64,
    /// Stream whose posts are told.
    pub stream: u32,
    /// The policy's L, ms.
    pub snapshot_lag_ms: u64,
    /// Time between two looks.
    pub poll: Duration,
    /// Where events go.
    pub events: mpsc::Sender<Event>,
    /// The node's metrics.
    pub metrics: Metrics,
}

/// The running fold.
#[derive(Debug)]
pub struct Watch {
    setup: WatchSetup,
    view: watch::Sender<View>,
    history: History,
    /// Next block to fold.
    next: u64,
    last_hash: Option<B256>,
    batches: Batches,
    told: Told,
    /// Whether the fold changed since the view was last published.
    changed: bool,
}

/// Next batch number and the (token, thumbprint) pairs that wait.
type Pending = (u64, Vec<(u64, [u8; 32])>);

/// What has been told already, so that each fact is told once.
#[derive(Debug, Default)]
struct Told {
    term: bool,
    genesis: bool,
    next_snapshot: u64,
    pending: Option<Pending>,
    posted: BTreeSet<u64>,
}

/// Why the watcher stopped: only for reasons that trying again cannot help.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain is not the one it was.
    #[error(transparent)]
    Chain(ChainError),
    /// The node stopped listening.
    #[error("the node has stopped")]
    Stopped,
}

impl Watch {
    /// Learns the chain's id (from the store, else by waiting for the endpoint) and folds the stored log.
    ///
    /// # Errors
    /// A failed disk, or a stored log that is damaged.
    pub async fn open(setup: WatchSetup) -> Result<(Self, watch::Receiver<View>), WatchError> {
        let chain_id = chain_id(&setup).await?;
        let history = History::new(setup.contracts, chain_id, setup.committee, setup.term, setup.snapshot_lag_ms);
        let registry = Arc::new(history.registry().clone());
        let (view, receiver) = watch::channel(View { chain_id, block: 0, registry, next_batch: 0, caught_up: false });
        let next = setup.start_block;
        let mut this = Self {
            setup,
            view,
            history,
            next,
            last_hash: None,
            batches: Batches::default(),
            told: Told::default(),
            changed: true,
        };
        this.replay()?;
        Ok((this, receiver))
    }

    /// Folds what the store holds.
    fn replay(&mut self) -> Result<(), WatchError> {
        let store = Arc::clone(&self.setup.store);
        let mut damaged = None;
        store.chain(|number, bytes| match StoredBlock::decode(bytes) {
            Some(block) if number >= self.setup.start_block => {
                self.fold(number, &block);
                true
            }
            Some(_) => true,
            None => {
                damaged = Some(number);
                false
            }
        })?;
        match damaged {
            Some(number) => Err(StoreError::Damaged { family: "chain", key: number.to_string() }.into()),
            None => Ok(()),
        }
    }

    fn fold(&mut self, number: u64, block: &StoredBlock) {
        self.batches.count(block, &self.setup.contracts, self.setup.committee, self.setup.term);
        self.history.apply(block.block(number), &block.raw_logs());
        self.next = number.saturating_add(1);
        self.last_hash = Some(B256::from(*block.hash));
        self.changed |= !block.logs.is_empty();
    }

    /// Follows the chain until the node stops.
    ///
    /// # Errors
    /// See [`WatchError`]; failed calls are retried with growing pauses and only counted.
    pub async fn run(mut self) -> Result<(), WatchError> {
        self.publish(false);
        self.tell().await?;
        let mut pause = self.setup.poll;
        loop {
            match self.look().await {
                Ok(()) => pause = self.setup.poll,
                Err(WatchError::Chain(error @ ChainError::Rewritten { .. })) => return Err(WatchError::Chain(error)),
                Err(WatchError::Chain(error)) => {
                    self.setup.metrics.chain_errors.inc();
                    tracing::warn!(%error, "the chain does not answer; trying again in {} ms", pause.as_millis());
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            if self.setup.events.is_closed() {
                return Err(WatchError::Stopped);
            }
        }
    }

    /// One look: folds everything that has become final.
    async fn look(&mut self) -> Result<(), WatchError> {
        let Some(head) = self.setup.rpc.finalized().await.map_err(WatchError::Chain)? else { return Ok(()) };
        self.check_last().await?;
        while self.next <= head.number {
            let to = head.number.min(self.next.saturating_add(CHUNK - 1));
            let blocks = self.fetch(self.next, to).await.map_err(WatchError::Chain)?;
            let encoded: Vec<(u64, Vec<u8>)> = blocks.iter().map(|(number, block)| (*number, block.encode())).collect();
            let store = Arc::clone(&self.setup.store);
            let write = tokio::task::spawn_blocking(move || store.append_chain(&encoded)).await;
            write.map_err(|_| WatchError::Stopped)??;
            for (number, block) in &blocks {
                self.fold(*number, block);
            }
            self.publish(to == head.number);
            self.tell().await?;
        }
        self.publish(true);
        self.send(Event::CaughtUp).await
    }

    /// Before folding on: the last block we folded must still be what we folded.
    async fn check_last(&mut self) -> Result<(), WatchError> {
        let (Some(known), Some(number)) = (self.last_hash.take(), self.next.checked_sub(1)) else { return Ok(()) };
        match self.setup.rpc.block(number.into()).await {
            Ok(Some(block)) if block.hash != known => {
                Err(WatchError::Chain(ChainError::Rewritten { number, known, now: block.hash }))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                self.last_hash = Some(known);
                Err(WatchError::Chain(error))
            }
        }
    }

    /// Blocks with our logs, both ends included, in order.
    async fn fetch(&self, from: u64, to: u64) -> Result<Vec<(u64, StoredBlock)>, ChainError> {
        let (rpc, c) = (&self.setup.rpc, &self.setup.contracts);
        let logs = rpc.logs(&[c.registry, c.devices, c.escrow, c.hub], from, to).await?;
        let header = |number: u64| async move {
            let block = rpc.block(number.into()).await?;
            block.ok_or_else(|| ChainError::Rpc(format!("block {number} is final and not there")))
        };
        let headers: Vec<_> =
            futures::stream::iter(from..=to).map(header).buffered(HEADERS_AT_ONCE).try_collect().await?;
        let with_logs = headers.into_iter().map(|block| {
            let ours = logs.iter().filter(|log| log.block_number == Some(block.number));
            let stored = StoredBlock {
                hash: Hash::from(block.hash.0),
                timestamp: block.timestamp,
                logs: ours.map(stored).collect(),
            };
            (block.number, stored)
        });
        Ok(with_logs.collect())
    }

    fn publish(&mut self, caught_up: bool) {
        let block = self.history.registry().block().number;
        self.setup.metrics.chain_block.set(i64::try_from(block).unwrap_or(i64::MAX));
        // A copy of the fold is made only when it changed: most blocks hold no log of ours.
        let registry = std::mem::take(&mut self.changed).then(|| Arc::new(self.history.registry().clone()));
        let next_batch = self.batches.used;
        self.view.send_modify(|view| {
            view.block = block;
            view.next_batch = next_batch;
            view.caught_up |= caught_up;
            view.registry = registry.unwrap_or_else(|| Arc::clone(&view.registry));
        });
    }

    /// Tells what follows from the fold and has not been told.
    async fn tell(&mut self) -> Result<(), WatchError> {
        let Some(term) = self.history.term() else { return Ok(()) };
        let genesis = term.genesis_ms;
        if !std::mem::replace(&mut self.told.term, true) {
            self.send(Event::Term(Box::new(term))).await?;
        }
        if let Some(genesis_ms) = genesis.filter(|_| !self.told.genesis) {
            self.told.genesis = true;
            self.send(Event::Activated { genesis_ms }).await?;
        }
        while let Some(snapshot) = self.history.take_snapshot(self.told.next_snapshot) {
            let epoch = self.told.next_snapshot;
            self.told.next_snapshot = epoch.saturating_add(1);
            self.send(Event::Snapshot { epoch, snapshot: Box::new(snapshot) }).await?;
        }
        if genesis.is_some() {
            let pending = (self.batches.used, self.history.registry().pending_keys(self.view.borrow().chain_id));
            if self.told.pending.as_ref() != Some(&pending) {
                self.told.pending = Some(pending.clone());
                self.send(Event::PendingKeys { batch: pending.0, keys: pending.1 }).await?;
            }
        }
        let (committee, stream) = (self.setup.committee, self.setup.stream);
        let ours = self.history.registry().posted().range((committee, stream, 0)..=(committee, stream, u64::MAX));
        let new: Vec<u64> = ours.map(|(key, _)| key.2).filter(|epoch| !self.told.posted.contains(epoch)).collect();
        for epoch in new {
            self.told.posted.insert(epoch);
            self.send(Event::Posted { epoch }).await?;
        }
        Ok(())
    }

    async fn send(&self, event: Event) -> Result<(), WatchError> {
        self.setup.events.send(event).await.map_err(|_| WatchError::Stopped)
    }
}

/// The id of the chain; remembered, so that a restart needs no endpoint to begin with.
async fn chain_id(setup: &WatchSetup) -> Result<u64, WatchError> {
    if let Some(bytes) = setup.store.fact("chain_id")?.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) {
        return Ok(u64::from_be_bytes(bytes));
    }
    let mut pause = setup.poll;
    loop {
        match setup.rpc.chain_id().await {
            Ok(id) => {
                setup.store.put_fact("chain_id", &id.to_be_bytes())?;
                return Ok(id);
            }
            Err(error) => {
                setup.metrics.chain_errors.inc();
                tracing::warn!(%error, "waiting for the chain's endpoint");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn stored(log: &Log) -> StoredLog {
    StoredLog {
        address: Bytes::from(log.address().into_array()),
        topics: log.topics().iter().map(|topic| Hash::from(topic.0)).collect(),
        data: log.data().data.to_vec().into(),
        transaction: Hash::from(log.transaction_hash.unwrap_or_default().0),
    }
}

/// Counts batches of device keys: transactions after our term's activation in which the device registry activated or
/// skipped keys without a registration. Every node counts the same finalized logs; a number may be skipped, never reused.
#[derive(Debug, Default)]
struct Batches {
    active: bool,
    used: u64,
}

impl Batches {
    fn count(&mut self, block: &StoredBlock, contracts: &Contracts, committee: u64, term: u64) {
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
    use super::*;

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
