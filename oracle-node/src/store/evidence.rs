//! Evidence by id, the arrival index that observations read, and the receipt log: one synced write per batch.
//! Keys: evidence `e ‖ id`; arrival `a ‖ arrival_ms ‖ device ‖ boot ‖ seq ‖ id`, all big-endian; receipts `b ‖ batch`,
//! place of an id `i ‖ id`, head `h`. Leaves out: judging (`intake`), signing receipts (`receipts`).

use attest::Class;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oracle_core::collect::Held;
use oracle_core::wire::{self, Bytes, Hash};
use rocksdb::WriteBatch;

use super::{EVIDENCE, RECEIPTS, Store, StoreError, damaged};

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

/// Where an id stands in the receipt log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ReceiptPlace {
    /// Batch number.
    #[n(0)]
    pub batch: u64,
    /// Leaf within the batch.
    #[n(1)]
    pub index: u32,
}

impl Store {
    /// Whether evidence with this id is held.
    ///
    /// # Errors
    /// A failed disk.
    pub fn has_evidence(&self, id: &[u8; 32]) -> Result<bool, StoreError> {
        Ok(self.get(EVIDENCE, &id_key(b'e', id))?.is_some())
    }

    /// Evidence by id.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn evidence(&self, id: &[u8; 32]) -> Result<Option<Evidence>, StoreError> {
        self.decoded(EVIDENCE, &id_key(b'e', id))
    }

    /// Writes new evidence, its arrival index and its receipts in one synced write. The caller has deduplicated.
    ///
    /// # Errors
    /// A failed disk: nothing may be acknowledged then.
    pub fn put_evidence(&self, items: &[Evidence], receipts: &ReceiptBatch) -> Result<(), StoreError> {
        let (evidence, log) = (self.family(EVIDENCE)?, self.family(RECEIPTS)?);
        let mut batch = WriteBatch::default();
        for item in items {
            batch.put_cf(evidence, id_key(b'e', &item.id), wire::encode(item));
            batch.put_cf(evidence, arrival_key(item), summary(item));
        }
        batch.put_cf(log, number_key(receipts.batch), wire::encode(receipts));
        for (index, leaf) in (0u32..).zip(&receipts.leaves) {
            batch.put_cf(log, id_key(b'i', &leaf.id), wire::encode(&ReceiptPlace { batch: receipts.batch, index }));
        }
        batch.put_cf(log, b"h", wire::encode(&(receipts.batch.saturating_add(1), receipts.root)));
        self.write_synced(batch)
    }

    /// Everything that arrived after `from_ms` and up to and with `to_ms` (from 0: whatever arrived at all).
    ///
    /// # Errors
    /// A failed disk.
    pub fn arrivals(&self, from_ms: u64, to_ms: u64) -> Result<Vec<Held>, StoreError> {
        let first = if from_ms == 0 { 0 } else { from_ms.saturating_add(1) };
        let start = [b"a".as_slice(), &first.to_be_bytes()].concat();
        let mut found = Vec::new();
        self.scan(EVIDENCE, &start, |key, value| match held(key, value) {
            Some(item) if item.arrival_ms <= to_ms => {
                found.push(item);
                true
            }
            _ => false,
        })?;
        Ok(found)
    }

    /// Next batch number and chained root of the receipt log.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn receipt_head(&self) -> Result<(u64, [u8; 32]), StoreError> {
        let head: Option<(u64, Hash)> = self.decoded(RECEIPTS, b"h")?;
        Ok(head.map_or((0, [0; 32]), |(next, root)| (next, *root)))
    }

    /// The receipt batch that holds an id, and the id's place in it.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn receipt(&self, id: &[u8; 32]) -> Result<Option<(ReceiptBatch, usize)>, StoreError> {
        let Some(place) = self.decoded::<ReceiptPlace>(RECEIPTS, &id_key(b'i', id))? else { return Ok(None) };
        let batch = self.decoded::<ReceiptBatch>(RECEIPTS, &number_key(place.batch))?;
        Ok(batch.zip(usize::try_from(place.index).ok()))
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

fn id_key(prefix: u8, id: &[u8; 32]) -> Vec<u8> {
    [[prefix].as_slice(), id].concat()
}

fn number_key(batch: u64) -> Vec<u8> {
    [b"b".as_slice(), &batch.to_be_bytes()].concat()
}

fn arrival_key(item: &Evidence) -> Vec<u8> {
    let numbers = [&item.arrival_ms.to_be_bytes()[..], &item.device.to_be_bytes(), &item.boot.to_be_bytes()];
    [b"a", numbers.concat().as_slice(), &item.seq.to_be_bytes(), item.id.as_slice()].concat()
}

fn summary(item: &Evidence) -> Vec<u8> {
    [&[item.class][..], &item.slot.to_be_bytes()].concat()
}

/// Reads one row of the arrival index; `None` for rows of another kind.
fn held(key: &[u8], value: &[u8]) -> Option<Held> {
    let rest = key.strip_prefix(b"a")?;
    let (arrival, rest) = rest.split_first_chunk::<8>()?;
    let (device, rest) = rest.split_first_chunk::<8>()?;
    let (boot, rest) = rest.split_first_chunk::<4>()?;
    let (seq, id) = rest.split_first_chunk::<8>()?;
    let (class, slot) = value.split_first()?;
    Some(Held {
        device: u64::from_be_bytes(*device),
        class: Class::from_u8(*class)?,
        boot: u32::from_be_bytes(*boot),
        seq: u64::from_be_bytes(*seq),
        id: id.try_into().ok()?,
        slot: u64::from_be_bytes(slot.try_into().ok()?),
        arrival_ms: u64::from_be_bytes(*arrival),
    })
}
