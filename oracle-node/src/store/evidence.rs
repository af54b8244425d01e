//! Evidence by id, the arrival index that observations read, and the receipt log: one synced write per batch.
//! Keys: evidence `e ‖ id`; arrival `a ‖ arrival_ms ‖ device ‖ boot ‖ seq ‖ id`, all big-endian; receipts `b ‖ batch`,
//! head `h`. A message costs two rows, one of them nearly in order: rows at random places are what a busy node pays for.
//! Leaves out: judging (`intake`), signing receipts (`receipts`).

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

impl Store {
    /// Whether evidence with this id is held.
    ///
    /// # Errors
    /// A failed disk.
    pub fn has_evidence(&self, id: &[u8; 32]) -> Result<bool, StoreError> {
        Ok(self.get(EVIDENCE, &id_key(b'e', id))?.is_some())
    }

    /// Evidence by id; `None` also when its bytes were dropped.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn evidence(&self, id: &[u8; 32]) -> Result<Option<Evidence>, StoreError> {
        let key = id_key(b'e', id);
        match self.get(EVIDENCE, &key)? {
            // Pruned: only the id is left (`retention`).
            Some(bytes) if bytes.is_empty() => Ok(None),
            _ => self.decoded(EVIDENCE, &key),
        }
    }

    /// Writes new evidence, its arrival index and its receipts, a leaf for each item in the same order, in one synced write.
    /// The caller has deduplicated.
    ///
    /// # Errors
    /// A failed disk: nothing may be acknowledged then.
    pub fn put_evidence(&self, items: &[Evidence], receipts: &ReceiptBatch) -> Result<(), StoreError> {
        let (evidence, log) = (self.family(EVIDENCE)?, self.family(RECEIPTS)?);
        let mut batch = WriteBatch::default();
        for (place, item) in (0u32..).zip(items) {
            batch.put_cf(evidence, id_key(b'e', &item.id), wire::encode(item));
            batch.put_cf(evidence, arrival_key(item), Arrival::of(item, receipts.batch, place).to_bytes());
        }
        batch.put_cf(log, number_key(receipts.batch), wire::encode(receipts));
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

    /// The receipt batch that holds an id, and the id's place in it; `None` also when the message's bytes were dropped.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn receipt(&self, id: &[u8; 32]) -> Result<Option<(ReceiptBatch, usize)>, StoreError> {
        let Some(item) = self.evidence(id)? else { return Ok(None) };
        let key = arrival_key(&item);
        let Some(row) = self.get(EVIDENCE, &key)? else { return Ok(None) };
        let row = Arrival::from_bytes(&row).ok_or_else(|| damaged(EVIDENCE, &key))?;
        let batch = self.decoded::<ReceiptBatch>(RECEIPTS, &number_key(row.batch))?;
        Ok(batch.zip(usize::try_from(row.place).ok()))
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

/// The value of an arrival row: class, slot (u64be), receipt batch (u64be), place in it (u32be).
struct Arrival {
    class: u8,
    slot: u64,
    batch: u64,
    place: u32,
}

impl Arrival {
    const fn of(item: &Evidence, batch: u64, place: u32) -> Self {
        Self { class: item.class, slot: item.slot, batch, place }
    }

    fn to_bytes(&self) -> [u8; 21] {
        let mut out = [self.class; 21];
        out[1..9].copy_from_slice(&self.slot.to_be_bytes());
        out[9..17].copy_from_slice(&self.batch.to_be_bytes());
        out[17..].copy_from_slice(&self.place.to_be_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (class, rest) = bytes.split_first()?;
        let (slot, rest) = rest.split_first_chunk()?;
        let (batch, rest) = rest.split_first_chunk()?;
        let place = rest.try_into().ok().map(u32::from_be_bytes)?;
        Some(Self { class: *class, slot: u64::from_be_bytes(*slot), batch: u64::from_be_bytes(*batch), place })
    }
}

/// Reads one row of the arrival index; `None` for rows of another kind.
fn held(key: &[u8], value: &[u8]) -> Option<Held> {
    let rest = key.strip_prefix(b"a")?;
    let (arrival, rest) = rest.split_first_chunk::<8>()?;
    let (device, rest) = rest.split_first_chunk::<8>()?;
    let (boot, rest) = rest.split_first_chunk::<4>()?;
    let (seq, id) = rest.split_first_chunk::<8>()?;
    let row = Arrival::from_bytes(value)?;
    Some(Held {
        device: u64::from_be_bytes(*device),
        class: Class::from_u8(row.class)?,
        boot: u32::from_be_bytes(*boot),
        seq: u64::from_be_bytes(*seq),
        id: id.try_into().ok()?,
        slot: row.slot,
        arrival_ms: u64::from_be_bytes(*arrival),
    })
}
