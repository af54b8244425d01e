//! The way of a batch of messages, wherever they came from (broker or member): judge → deduplicate → make durable with
//! receipts → tell who waits. Only then may anything be acknowledged. Blocking: run it off the async threads.
//! Leaves out: sockets (`mqtt`, `gossip`), the rules (`oracle_core::ingest`), the disk (`store`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use attest::{Class, Network};
use oracle_core::ingest::{self, Accepted, Incoming, Keys, Kid};
use oracle_core::reason::Reason;
use oracle_core::wire::Hash;

use crate::metrics::Metrics;
use crate::receipts::ReceiptLog;
use crate::store::{Evidence, ReceiptBatch, Store, StoreError};

/// A received message that has not been judged.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Class, from the topic or the member that forwarded it.
    pub class: Class,
    /// Key id, from the topic or the envelope.
    pub kid: Kid,
    /// The bytes as received.
    pub bytes: Vec<u8>,
    /// When they arrived, unix ms.
    pub arrival_ms: u64,
}

/// A message that comes again this long after it was stored, ms, is one whose receipts did not reach its device. Sooner it
/// is only the same message by another broker.
pub const RECEIPT_AGAIN_MS: u64 = 5_000;

/// A stored message that its device sends again.
#[derive(Clone, Debug)]
pub struct Again {
    /// The key it is signed with.
    pub kid: Kid,
    /// The receipt batch that holds it.
    pub batch: ReceiptBatch,
    /// Its place in the batch.
    pub place: usize,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Taken {
    /// One per message, in order: its id when it verifies (new or not), else the reason.
    pub verdicts: Vec<Result<[u8; 32], Reason>>,
    /// Messages that were new, now durable.
    pub new: Vec<Evidence>,
    /// Messages held for [`RECEIPT_AGAIN_MS`] already: whoever sends them has missed their receipts.
    pub again: Vec<Again>,
    /// The receipts of the new ones.
    pub receipts: Option<ReceiptBatch>,
    /// Whether other members should be told: a broker brought them, not a member.
    pub announce: bool,
}

/// A batch as told to the node: taken, or a disk that failed, which ends the node.
pub type Told = Result<Taken, StoreError>;

/// The one door through which evidence enters the store.
#[derive(Debug)]
pub struct Intake {
    store: Arc<Store>,
    metrics: Metrics,
    network: Network,
    keys: RwLock<Arc<Keys>>,
    log: Mutex<ReceiptLog>,
}

impl Intake {
    /// Makes the door; without keys it refuses everything as `UNKNOWN_DEVICE`.
    #[must_use]
    pub fn new(store: Arc<Store>, metrics: Metrics, network: Network, log: ReceiptLog) -> Self {
        Self { store, metrics, network, keys: RwLock::default(), log: Mutex::new(log) }
    }

    /// Replaces the device keys that count.
    pub fn set_keys(&self, keys: Keys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    /// The device keys that count now.
    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The network id that evidence must be signed for.
    #[must_use]
    pub const fn network(&self) -> Network {
        self.network
    }

    /// Chained root of the receipt log, as observations carry it.
    #[must_use]
    pub fn receipts_root(&self) -> [u8; 32] {
        self.log().root()
    }

    fn log(&self) -> MutexGuard<'_, ReceiptLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts messages that never reached judgement.
    pub fn refuse(&self, reason: Reason) {
        self.metrics.evidence_refused.with_label_values(&[reason.name()]).inc();
    }

    /// Takes a batch; everything that is new and verifies is durable when this returns.
    ///
    /// # Errors
    /// A failed disk: nothing of the batch may be acknowledged.
    pub fn take(&self, batch: &[Raw]) -> Result<Taken, StoreError> {
        let keys = self.keys();
        let incoming: Vec<Incoming<'_>> =
            batch.iter().map(|raw| Incoming { class: raw.class, kid: raw.kid, bytes: &raw.bytes }).collect();
        let judged = ingest::judge(&incoming, &keys, &self.network);
        let mut taken = Taken::default();
        // From here until it is written (not: durable) one batch at a time: two batches with one message must not both find it new.
        let mut log = self.log();
        let mut seen = BTreeSet::new();
        for (raw, verdict) in batch.iter().zip(judged) {
            taken.verdicts.push(verdict.map(|accepted| accepted.id));
            match verdict {
                Err(reason) => self.refuse(reason),
                Ok(accepted) if !seen.insert(accepted.id) => self.metrics.evidence_duplicates.inc(),
                Ok(accepted) if self.store.has_evidence(&accepted.id)? => {
                    self.metrics.evidence_duplicates.inc();
                    taken.again.extend(self.again(&accepted.id, raw)?);
                }
                Ok(accepted) => taken.new.push(evidence(&accepted, raw)),
            }
        }
        if !taken.new.is_empty() {
            let receipts = log.seal(&taken.new);
            self.store.append_evidence(&taken.new, &receipts)?;
            log.advance(&receipts);
            taken.receipts = Some(receipts);
        }
        drop(log);
        // Also for a duplicate: the batch that brought it first may not be durable yet.
        self.store.sync_appended()?;
        self.metrics.evidence_stored.inc_by(taken.new.len() as u64);
        Ok(taken)
    }

    fn again(&self, id: &[u8; 32], raw: &Raw) -> Result<Option<Again>, StoreError> {
        let found = self.store.receipt(id)?;
        let late = |(batch, place): &(ReceiptBatch, usize)| {
            let leaf = batch.leaves.get(*place);
            leaf.is_some_and(|leaf| raw.arrival_ms.saturating_sub(leaf.arrival_ms) >= RECEIPT_AGAIN_MS)
        };
        Ok(found.filter(late).map(|(batch, place)| Again { kid: raw.kid, batch, place }))
    }
}

fn evidence(accepted: &Accepted, raw: &Raw) -> Evidence {
    Evidence {
        id: Hash::from(accepted.id),
        class: accepted.class as u8,
        device: accepted.device,
        boot: accepted.boot,
        seq: accepted.seq,
        slot: accepted.slot,
        arrival_ms: raw.arrival_ms,
        bytes: raw.bytes.clone().into(),
    }
}

/// Token buckets by sender: bounds what one device or member can make a node check, before any signature is looked at.
#[derive(Debug)]
pub struct Rates<K> {
    per_second: u64,
    full: u64,
    buckets: BTreeMap<K, Bucket>,
}

/// Tokens in thousandths, and when they were last counted.
#[derive(Debug)]
struct Bucket {
    millitokens: u64,
    at_ms: u64,
}

/// Senders remembered at most; beyond that the fullest are forgotten, since they lose nothing by it.
const BUCKETS_MAX: usize = 200_000;

impl<K: Ord> Rates<K> {
    /// A sustained rate, and how many messages may come at once after silence.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: per_second as u64, full: (burst as u64).saturating_mul(1_000), buckets: BTreeMap::new() }
    }

    /// Whether one more message of this sender may pass at `now`.
    pub fn admit(&mut self, sender: K, now: u64) -> bool {
        let full = self.full;
        if self.buckets.len() >= BUCKETS_MAX && !self.buckets.contains_key(&sender) {
            let per_second = self.per_second;
            self.buckets.retain(|_, bucket| bucket.refilled(now, per_second, full) < full);
            if self.buckets.len() >= BUCKETS_MAX {
                return false;
            }
        }
        let bucket = self.buckets.entry(sender).or_insert(Bucket { millitokens: full, at_ms: now });
        bucket.millitokens = bucket.refilled(now, self.per_second, full);
        bucket.at_ms = now;
        let passes = bucket.millitokens >= 1_000;
        if passes {
            bucket.millitokens -= 1_000;
        }
        passes
    }
}

impl Bucket {
    fn refilled(&self, now: u64, per_second: u64, full: u64) -> u64 {
        let gained = now.saturating_sub(self.at_ms).saturating_mul(per_second);
        self.millitokens.saturating_add(gained).min(full)
    }
}

#[cfg(test)]
mod tests;
