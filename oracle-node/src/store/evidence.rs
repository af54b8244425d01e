//! Evidence by id, the arrival index that observations read, and the receipt log. Rows: `groups`; receipts `b ‖ batch`,
//! head `h`. What a message costs by itself is one small row at a random place, its id: such rows are what a busy node
//! pays for.
//! Leaves out: judging (`intake`), signing receipts (`receipts`).

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oracle_core::collect::Held;
use oracle_core::wire::{self, Bytes, Hash};
use rocksdb::WriteBatch;

use super::groups::{self, Group, Place};
use super::{EVIDENCE, IDS, RECEIPTS, Store, StoreError, damaged};

/// Longest stored value of this file: a batch of receipts.
const VALUE_BYTES_MAX: usize = 1 << 20;

/// One verified message as stored.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Evidence {
    /// Evidence id.
    #[n(0)]
    pub id: Hash,
    /// Class, 1 to 7.
    #[n(1)]
    pub class: u8,
    /// Device token id.
    #[n(2)]
    pub device: u64,
    /// Boot count.
    #[n(3)]
    pub boot: u32,
    /// Sequence number.
    #[n(4)]
    pub seq: u64,
    /// Slot it is about, 0 where the class names none.
    #[n(5)]
    pub slot: u64,
    /// When this node first held it, unix ms.
    #[n(6)]
    pub arrival_ms: u64,
    /// The bytes as received.
    #[n(7)]
    pub bytes: ByteVec,
}

/// One leaf of a receipt batch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ReceiptLeaf {
    /// Evidence id.
    #[n(0)]
    pub id: Hash,
    /// Arrival, unix ms.
    #[n(1)]
    pub arrival_ms: u64,
    /// 1 = held.
    #[n(2)]
    pub verdict: u8,
}

/// One durable batch of receipts; docs/protocol.md §8.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ReceiptBatch {
    /// Number, from 0.
    #[n(0)]
    pub batch: u64,
    /// Chained root before this batch.
    #[n(1)]
    pub previous: Hash,
    /// Chained root with this batch.
    #[n(2)]
    pub root: Hash,
    /// Ed25519 signature of `root`.
    #[n(3)]
    pub signature: Bytes<64>,
    /// In order.
    #[n(4)]
    pub leaves: Vec<ReceiptLeaf>,
}

impl Store {
    /// Whether evidence with this id is held, or was until its bytes were dropped.
    ///
    /// # Errors
    /// A failed disk.
    pub fn has_evidence(&self, id: &[u8; 32]) -> Result<bool, StoreError> {
        Ok(self.db.get_pinned_cf(self.family(IDS)?, id)?.is_some())
    }

    /// Evidence by id; `None` also when its bytes were dropped.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn evidence(&self, id: &[u8; 32]) -> Result<Option<Evidence>, StoreError> {
        let Some(Place { group, offset }) = self.place(id)? else { return Ok(None) };
        let key = group.messages_key();
        let Some(messages) = self.db.get_pinned_cf(self.family(EVIDENCE)?, key)? else { return Ok(None) };
        let bytes = groups::read_message(&messages, offset).ok_or_else(|| damaged(EVIDENCE, &key))?;
        let key = group.arrivals_key();
        let arrivals = self.get(EVIDENCE, &key)?.and_then(|rows| groups::read_arrivals(&rows));
        let held = arrivals.and_then(|rows| rows.get(usize::from(offset)).copied()).filter(|held| held.id == *id);
        let held = held.ok_or_else(|| damaged(EVIDENCE, &key))?;
        Ok(Some(Evidence {
            id: Hash::from(held.id),
            class: held.class as u8,
            device: held.device,
            boot: held.boot,
            seq: held.seq,
            slot: held.slot,
            arrival_ms: held.arrival_ms,
            bytes: bytes.into(),
        }))
    }

    fn place(&self, id: &[u8; 32]) -> Result<Option<Place>, StoreError> {
        let Some(bytes) = self.get(IDS, id)? else { return Ok(None) };
        Place::from_bytes(&bytes).map(Some).ok_or_else(|| damaged(IDS, id))
    }

    /// Writes new evidence, its arrival index and its receipts, a leaf for each item in the same order; durable before
    /// returning. The caller has deduplicated.
    ///
    /// # Errors
    /// A failed disk: nothing may be acknowledged then.
    pub fn put_evidence(&self, items: &[Evidence], receipts: &ReceiptBatch) -> Result<(), StoreError> {
        self.append_evidence(items, receipts)?;
        self.sync_appended()
    }

    /// As [`Self::put_evidence`], but durable only once [`Self::sync_appended`] returns: whoever appends in turn shares
    /// its wait for the disk with those who append meanwhile.
    ///
    /// # Errors
    /// A failed disk: nothing may be acknowledged then.
    pub fn append_evidence(&self, items: &[Evidence], receipts: &ReceiptBatch) -> Result<(), StoreError> {
        let (evidence, ids, log) = (self.family(EVIDENCE)?, self.family(IDS)?, self.family(RECEIPTS)?);
        let (mut batch, mut places) = (WriteBatch::default(), Vec::with_capacity(items.len()));
        for (group, members) in groups::cut(receipts.batch, items) {
            batch.put_cf(evidence, group.arrivals_key(), groups::arrivals(members));
            batch.put_cf(evidence, group.messages_key(), groups::messages(members));
            places.extend((0u8..).zip(members).map(|(offset, item)| (*item.id, Place { group, offset })));
        }
        // In order: the table in memory then finds the place of each from that of the one before.
        places.sort_unstable_by_key(|(id, _)| *id);
        places.iter().for_each(|(id, place)| batch.put_cf(ids, id, place.to_bytes()));
        batch.put_cf(log, number_key(receipts.batch), wire::encode(receipts));
        batch.put_cf(log, b"h", wire::encode(&(receipts.batch.saturating_add(1), receipts.root)));
        self.db.write(batch)?;
        self.appended.count();
        Ok(())
    }

    /// Returns when everything appended before the call is durable.
    ///
    /// # Errors
    /// A failed disk: nothing appended may be acknowledged then.
    pub fn sync_appended(&self) -> Result<(), StoreError> {
        self.appended.through_now(|| Ok(self.db.flush_wal(true)?))
    }

    /// Everything that arrived after `from_ms` and up to and with `to_ms` (from 0: whatever arrived at all), by arrival,
    /// device, boot, sequence and id.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn arrivals(&self, from_ms: u64, to_ms: u64) -> Result<Vec<Held>, StoreError> {
        let first = if from_ms == 0 { 0 } else { from_ms.saturating_add(1) };
        let start = [b"a".as_slice(), &first.to_be_bytes()].concat();
        // A group is filed under its latest arrival; its earliest may lie nearly a spread before that.
        let last = to_ms.saturating_add(groups::SPREAD_MS);
        let (mut found, mut broken) = (Vec::new(), None);
        self.scan(EVIDENCE, &start, |key, value| {
            if !key.starts_with(b"a") {
                return false;
            }
            match Group::of_arrivals_key(key).zip(groups::read_arrivals(value)) {
                Some((group, _)) if group.latest > last => return false,
                Some((_, held)) => found.extend(held.into_iter().filter(|h| (first..=to_ms).contains(&h.arrival_ms))),
                // Of another version: what lies behind it must not look as if it were not there.
                None => broken = Some(damaged(EVIDENCE, key)),
            }
            broken.is_none()
        })?;
        found.sort_unstable_by_key(|held| (held.arrival_ms, held.device, held.boot, held.seq, held.id));
        broken.map_or(Ok(found), Err)
    }

    /// Next batch number and chained root of the receipt log.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn receipt_head(&self) -> Result<(u64, [u8; 32]), StoreError> {
        let head: Option<(u64, Hash)> = self.decoded(RECEIPTS, b"h")?;
        Ok(head.map_or((0, [0; 32]), |(next, root)| (next, *root)))
    }

    /// The receipt batch that holds an id, durable when this returns, and the id's place in it; `None` also when the message's bytes were dropped.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn receipt(&self, id: &[u8; 32]) -> Result<Option<(ReceiptBatch, usize)>, StoreError> {
        let Some(place) = self.place(id)? else { return Ok(None) };
        if self.db.get_pinned_cf(self.family(EVIDENCE)?, place.group.messages_key())?.is_none() {
            return Ok(None);
        }
        let batch = self.decoded::<ReceiptBatch>(RECEIPTS, &number_key(place.group.batch))?;
        // It is signed: nobody may have it before the disk has.
        self.sync_appended()?;
        Ok(batch.map(|batch| (batch, place.in_batch())))
    }

    /// A value of one of our own types; `None` when there is none.
    pub(super) fn decoded<T>(&self, family: &'static str, key: &[u8]) -> Result<Option<T>, StoreError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        let Some(bytes) = self.get(family, key)? else { return Ok(None) };
        let value = wire::decode(&bytes, VALUE_BYTES_MAX.max(super::reports::REPORT_BYTES_MAX));
        value.map(Some).map_err(|_| damaged(family, key))
    }
}

fn number_key(batch: u64) -> Vec<u8> {
    [b"b".as_slice(), &batch.to_be_bytes()].concat()
}
