//! Finalized blocks, folded in order: from the store's own log at first, then from the endpoint, for ever.
//! Durable before folded: a block's log is on disk before anything that follows from it is told.

mod again;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use alloy::rpc::types::Log;
use futures::{StreamExt as _, TryStreamExt as _};
use oracle_core::registry::{Contracts, History};
use oracle_core::typed::Header;
use oracle_core::wire::{Bytes, Hash};
use tokio::sync::{mpsc, watch};

use super::batches::Batches;
use super::log::{StoredBlock, StoredLog};
use super::rpc::{ChainError, Rpc};
use super::{Event, View, posts, rotations};
use crate::duties::joined;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Blocks asked for at once while catching up.
const CHUNK: u64 = 200;
/// Headers on their way at once.
const HEADERS_AT_ONCE: usize = 16;
/// Headers are read of posts since this long before the node began, ms: clocks differ, and older ones prove nothing.
const HEADERS_BACK_MS: u64 = 600_000;
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
    /// Streams whose posts are told.
    pub streams: BTreeSet<u32>,
    /// The policy's L, ms.
    pub snapshot_lag_ms: u64,
    /// Time between two looks.
    pub poll: Duration,
    /// When the node began, unix ms.
    pub started_ms: u64,
    /// Where events go.
    pub events: mpsc::Sender<Event>,
    /// Epochs from which on the node needs the snapshots again.
    pub again: mpsc::Receiver<u64>,
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
    /// Transactions that rotated the committee, by the new term.
    rotations: BTreeMap<u64, B256>,
    /// Transactions of recent posts that have not been told, by stream and epoch.
    posts: BTreeMap<(u32, u64), B256>,
    /// Whether the fold changed since the view was last published.
    changed: bool,
    /// Whether it changed since the devices that wait were last looked for, which costs a signature check each.
    pending_due: bool,
}

/// Next batch number and the (token, thumbprint) pairs that wait.
type Pending = (u64, Vec<(u64, [u8; 32])>);

/// What has been told already, so that each fact is told once.
#[derive(Debug, Default)]
struct Told {
    terms: BTreeSet<u64>,
    genesis: BTreeSet<u64>,
    next_snapshot: u64,
    pending: BTreeMap<u64, Pending>,
    /// (stream, epoch).
    posted: BTreeSet<(u32, u64)>,
    /// Share roots by term.
    roots: BTreeMap<u64, Vec<(B256, u64)>>,
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
        let (batches, rotations) = (BTreeMap::new(), BTreeMap::new());
        let (view, receiver) =
            watch::channel(View { chain_id, block: 0, registry, rotations, batches, caught_up: false });
        let next = setup.start_block;
        let mut this = Self {
            setup,
            view,
            history,
            next,
            last_hash: None,
            batches: Batches::default(),
            rotations: BTreeMap::new(),
            posts: BTreeMap::new(),
            told: Told::default(),
            changed: true,
            pending_due: true,
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
        self.history.apply(block.block(number), &block.raw_logs());
        self.batches.look(block, &self.setup.contracts);
        self.rotations.extend(rotations::named(block, &self.setup.contracts, self.setup.committee));
        if block.timestamp.saturating_mul(1_000).saturating_add(HEADERS_BACK_MS) >= self.setup.started_ms {
            self.posts.extend(posts::named(block, &self.setup.contracts, self.setup.committee));
        }
        self.next = number.saturating_add(1);
        self.last_hash = Some(B256::from(*block.hash));
        self.changed |= !block.logs.is_empty();
        self.pending_due |= !block.logs.is_empty();
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
            if let Ok(from) = self.setup.again.try_recv() {
                self.tell_again(from).await?;
                // Asked meanwhile, by who had not got them yet.
                while self.setup.again.try_recv().is_ok() {}
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
            joined(write).ok_or(WatchError::Stopped)??;
            for (number, block) in &blocks {
                self.fold(*number, block);
            }
            self.publish(to == head.number);
            self.tell().await?;
        }
        // An endpoint that does not answer this holds up the keys of new devices, and nothing else.
        let read = self.read_batches(head.number).await;
        self.publish(true);
        self.tell_pending().await?;
        self.send(Event::CaughtUp).await?;
        if let Err(error) = read {
            tracing::warn!(%error, "the next batch of device keys could not be read; new device keys wait");
        }
        Ok(())
    }

    /// Reads the next batches of device keys, where they may have changed, as of the last block folded.
    async fn read_batches(&mut self, head: u64) -> Result<(), ChainError> {
        let of = (self.setup.contracts.devices, self.setup.committee);
        self.batches.read(&self.setup.rpc, of, &self.told.genesis, head).await
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
        let batches = self.batches.read_last().clone();
        self.view.send_modify(|view| {
            view.block = block;
            view.batches = batches;
            view.rotations.clone_from(&self.rotations);
            view.caught_up |= caught_up;
            view.registry = registry.unwrap_or_else(|| Arc::clone(&view.registry));
        });
    }

    /// Tells what follows from the fold and has not been told.
    async fn tell(&mut self) -> Result<(), WatchError> {
        self.tell_terms().await?;
        while let Some(snapshot) = self.history.take_snapshot(self.told.next_snapshot) {
            let epoch = self.told.next_snapshot;
            self.told.next_snapshot = epoch.saturating_add(1);
            self.send(Event::Snapshot { epoch, snapshot: Box::new(snapshot) }).await?;
        }
        let (committee, posted) = (self.setup.committee, self.history.registry().posted());
        let of = |stream: &u32| posted.range((committee, *stream, 0)..=(committee, *stream, u64::MAX));
        let ours = self.setup.streams.iter().flat_map(of).map(|((_, stream, epoch), _)| (*stream, *epoch));
        let new: Vec<(u32, u64)> = ours.filter(|key| !self.told.posted.contains(key)).collect();
        for (stream, epoch) in new {
            self.told.posted.insert((stream, epoch));
            let header = self.header(stream, epoch).await.map(Box::new);
            self.send(Event::Posted { stream, epoch, header }).await?;
        }
        self.posts.clear();
        Ok(())
    }

    /// The header of a recent post. Without it the chain is followed all the same.
    async fn header(&self, stream: u32, epoch: u64) -> Option<Header> {
        let transaction = *self.posts.get(&(stream, epoch))?;
        let fold = (self.view.borrow().chain_id, self.history.registry());
        match posts::header(&self.setup.rpc, fold, (self.setup.committee, stream, epoch), transaction).await {
            Ok(Some(header)) => return Some(header),
            Ok(None) => {
                tracing::debug!(stream, epoch, %transaction, "the endpoint does not show the header of a posted report")
            }
            Err(error) => {
                self.setup.metrics.chain_errors.inc();
                tracing::warn!(%error, stream, epoch, "the header of a posted report could not be read");
            }
        }
        None
    }

    /// Terms as they are configured, rotated to and activated; before any snapshot, so that a term's last epoch is known
    /// before it could be passed over.
    async fn tell_terms(&mut self) -> Result<(), WatchError> {
        let (committee, chain_id) = (self.setup.committee, self.view.borrow().chain_id);
        let numbers: Vec<u64> = self.history.registry().terms(committee).collect();
        for number in &numbers {
            let term = self.history.registry().term(chain_id, committee, *number);
            if let Some(term) = term.filter(|_| self.told.terms.insert(*number)) {
                self.send(Event::Term(Box::new(term))).await?;
            }
        }
        // That a term has ended is said before it is said to be active: after a restart it must not begin again.
        for number in numbers.iter().filter(|number| !self.told.genesis.contains(number)) {
            if let Some(start) = self.history.registry().start(chain_id, committee, *number) {
                self.send(Event::Rotated { term: *number, start: Box::new(start) }).await?;
            }
        }
        for number in numbers {
            let roots = self.history.registry().share_roots(committee, number, self.setup.snapshot_lag_ms);
            if !roots.is_empty() && self.told.roots.get(&number) != Some(&roots) {
                self.told.roots.insert(number, roots.clone());
                self.send(Event::ShareRoots { term: number, roots }).await?;
            }
            let genesis = self.history.registry().term(chain_id, committee, number).and_then(|term| term.genesis_ms);
            if let Some(genesis_ms) = genesis.filter(|_| self.told.genesis.insert(number)) {
                self.send(Event::Activated { term: number, genesis_ms }).await?;
            }
        }
        Ok(())
    }

    /// Devices that wait for their keys, once the batch number as of the same block is known: the term activated last
    /// certifies them, those before have nothing left to do.
    async fn tell_pending(&mut self) -> Result<(), WatchError> {
        if !self.pending_due || self.told.genesis.iter().any(|term| self.batches.next(*term).is_none()) {
            return Ok(());
        }
        self.pending_due = false;
        let (committee, chain_id) = (self.setup.committee, self.view.borrow().chain_id);
        let registry = self.history.registry();
        let Some(active) = registry.active_term(committee) else { return Ok(()) };
        let keys = registry.pending_keys(chain_id);
        for term in self.told.genesis.clone() {
            let Some(batch) = self.batches.next(term) else { continue };
            let pending = (batch, if term == active { keys.clone() } else { Vec::new() });
            if self.told.pending.get(&term) != Some(&pending) {
                self.told.pending.insert(term, pending.clone());
                self.send(Event::PendingKeys { term, batch: pending.0, keys: pending.1 }).await?;
            }
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

#[cfg(test)]
mod tests;
