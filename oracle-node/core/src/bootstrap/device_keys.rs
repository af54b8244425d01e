//! Batches of Ed25519 device keys, certified by the committee (kind 5), one after another, beside the epochs.
//! Leaves out: checking a device's own claim of its key (the registry fold did that) and the transaction (the node).

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolValue;
use minicbor::{Decode, Encode};

use super::batch::Batch;
use super::journal::{self, Keys};
use super::sign_once::SignOnce;
use super::{Context, Heard};
use crate::effect::{Effect, Record};
use crate::limits;
use crate::qbft::journal_prefix;
use crate::typed::{KeyActivation, Kind, Scope};
use crate::wire::{self, Hash, InstanceId, Message};

/// Keys in one batch; the rest go into the next.
pub const KEYS_PER_BATCH_MAX: usize = 256;

/// A device's token id and its key's thumbprint.
pub type PendingKey = (u64, [u8; 32]);

/// `listHash` of docs/protocol.md §6: KEC of `abi.encode(uint256[] tokenIds, bytes32[] thumbprints)`.
#[must_use]
pub fn list_hash(keys: &[PendingKey]) -> B256 {
    let tokens: Vec<U256> = keys.iter().map(|(token, _)| U256::from(*token)).collect();
    let thumbprints: Vec<B256> = keys.iter().map(|(_, thumbprint)| B256::from(*thumbprint)).collect();
    keccak256((tokens, thumbprints).abi_encode_params())
}

/// The digest that the committee signs for a batch.
pub(super) fn digest(scope: &Scope, batch: u64, keys: &[PendingKey]) -> B256 {
    scope.digest(&KeyActivation {
        committee: scope.committee,
        term: scope.term,
        configDigest: scope.config_digest,
        batch,
        listHash: list_hash(keys),
    })
}

/// One `[token, thumbprint]`.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Entry {
    #[n(0)]
    token: u64,
    #[n(1)]
    thumbprint: Hash,
}

/// The content of a kind-5 instance: CBOR `[[token, thumbprint], …]`.
pub(super) fn pack(keys: &[PendingKey]) -> Vec<u8> {
    let entry = |(token, thumbprint): &PendingKey| Entry { token: *token, thumbprint: Hash::from(*thumbprint) };
    wire::encode(&keys.iter().map(entry).collect::<Vec<_>>())
}

/// A list from content: ascending, not empty, bounded, and with this digest.
pub(super) fn unpack(scope: &Scope, batch: u64, value: B256, content: &[u8]) -> Option<Vec<PendingKey>> {
    let entries: Vec<Entry> = wire::decode(content, limits::BLOB_BYTES_MAX).ok()?;
    let keys: Vec<PendingKey> = entries.iter().map(|entry| (entry.token, *entry.thumbprint)).collect();
    let sound = !keys.is_empty() && keys.len() <= KEYS_PER_BATCH_MAX && keys.is_sorted_by(|a, b| a.0 < b.0);
    (sound && digest(scope, batch, &keys) == value).then_some(keys)
}

/// The batches in progress: the chain's next one, and the one after it if a peer is a block ahead.
pub(super) struct DeviceKeys {
    keys: Option<Keys>,
    /// First batch number that the chain has not used, as far as this node knows.
    next: u64,
    /// Newest batch recorded in the journal as touched.
    touched: Option<u64>,
    pending: Vec<PendingKey>,
    batches: BTreeMap<u64, Batch>,
    /// Whether the chain knows the group key and this node has its share.
    active: bool,
    /// Agreement records from before a restart.
    journal: Vec<Record>,
}

impl DeviceKeys {
    pub(super) fn new(context: &Context, keys: Option<Keys>, journal: &[Record]) -> Self {
        let touched = journal::get(journal, &journal::device_keys_key(&context.term));
        let touched = touched.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let next = touched.map_or(0, |batch| batch.saturating_sub(1));
        let prefixes: Vec<Vec<u8>> = (next..=next.saturating_add(1))
            .filter_map(|batch| journal_prefix(&context.term.scope, InstanceId::new(Kind::KeyActivation, 0, batch)))
            .collect();
        let ours = |record: &&Record| prefixes.iter().any(|prefix| record.key.starts_with(prefix));
        let journal = journal.iter().filter(ours).cloned().collect();
        Self { keys, next, touched, pending: Vec::new(), batches: BTreeMap::new(), active: false, journal }
    }

    /// The keys that count from now on. What is in progress begins again with them: partials of two sharings never add up.
    pub(super) fn set_keys(&mut self, keys: Option<Keys>) {
        self.keys = keys;
        self.batches.values_mut().for_each(Batch::forget_partials);
    }

    /// What waits on chain, as this node's finalized view has it.
    pub(super) fn on_pending(
        &mut self,
        context: &mut Context,
        now: u64,
        batch: u64,
        keys: &[PendingKey],
        out: &mut Vec<Effect>,
    ) {
        if batch < self.next && self.batches.is_empty() {
            self.next = batch; // the guess after a restart was too high
        }
        self.next = self.next.max(batch);
        self.batches = self.batches.split_off(&self.next);
        self.pending = keys.to_vec();
        self.pending.sort_unstable();
        self.pending.dedup_by_key(|(token, _)| *token);
        for batch in self.batches.values_mut() {
            batch.recheck(context, now, &self.pending, out);
        }
    }

    /// Kind-5 traffic. A batch outside the window is none of this node's business yet, or no longer.
    pub(super) fn on_message(
        &mut self,
        context: &mut Context,
        sign_once: &mut SignOnce,
        now: u64,
        instance: InstanceId,
        heard: Heard<'_>,
        out: &mut Vec<Effect>,
    ) {
        let number = instance.epoch;
        let in_window = number == self.next || number == self.next.saturating_add(1);
        let asks = matches!(heard.message, Message::Status(_) | Message::Certified(_));
        if instance.stream != 0 || !in_window || (asks && !self.batches.contains_key(&number)) {
            return;
        }
        let pending = self.pending.clone();
        let batch = self.open(context, number, now, out);
        batch.on_message(context, now, heard, &pending, out);
        self.settle(context, sign_once, number, now, out);
    }

    /// Proposes what waits, and lets time pass. Nothing begins before the chain knows the group key.
    pub(super) fn advance(
        &mut self,
        context: &mut Context,
        sign_once: &mut SignOnce,
        now: u64,
        activated: bool,
        out: &mut Vec<Effect>,
    ) {
        self.active = activated && self.keys.is_some();
        if !self.active {
            return;
        }
        let next = self.next;
        if !self.pending.is_empty() {
            let keys: Vec<PendingKey> = self.pending.iter().take(KEYS_PER_BATCH_MAX).copied().collect();
            let pending = self.pending.clone();
            self.open(context, next, now, out).propose(context, now, &keys, &pending, out);
        }
        let numbers: Vec<u64> = self.batches.keys().copied().collect();
        for number in numbers {
            let pending = self.pending.clone();
            if let Some(batch) = self.batches.get_mut(&number) {
                batch.on_tick(context, now, &pending, out);
            }
            self.settle(context, sign_once, number, now, out);
        }
    }

    /// The batch, made or restored on first use. That it was touched is durable before anything is said about it.
    fn open(&mut self, context: &Context, number: u64, now: u64, out: &mut Vec<Effect>) -> &mut Batch {
        if self.touched.is_none_or(|touched| touched < number) {
            self.touched = Some(number);
            let key = journal::device_keys_key(&context.term);
            out.push(Effect::Persist(Record { key, value: number.to_be_bytes().to_vec() }));
        }
        let journal = &self.journal;
        self.batches.entry(number).or_insert_with(|| Batch::new(context, number, journal, now))
    }

    /// Signs what is decided and recovers the certificate.
    fn settle(
        &mut self,
        context: &mut Context,
        sign_once: &mut SignOnce,
        number: u64,
        now: u64,
        out: &mut Vec<Effect>,
    ) {
        if let (Some(keys), Some(batch)) = (&self.keys, self.batches.get_mut(&number)) {
            batch.settle(context, keys, sign_once, now, out);
        }
    }

    pub(super) fn next_wakeup(&self) -> Option<u64> {
        self.batches.values().filter(|_| self.active).filter_map(Batch::next_wakeup).min()
    }

    /// The batch being worked on.
    pub(super) fn busy(&self) -> Option<u64> {
        (!self.pending.is_empty()).then_some(self.next)
    }
}
