//! What is kept for how long. The bytes of a message are dropped once its epoch is archived and old; its id is kept twice as
//! long, so that the same message cannot be new again while any report may still use it. Archives, reports, statements and
//! the journal are never dropped here.
//! Leaves out: which epochs those are (`node`); docs/operate.md says what is left of an old epoch.

use rocksdb::{Direction, IteratorMode, WriteBatch};

use super::groups::{self, Group};
use super::{EVIDENCE, FAMILIES, IDS, Store, StoreError, damaged};

/// Rows dropped in one write, about.
const AT_ONCE: usize = 4_096;
/// Where the next round of pruning begins, of bytes and of ids; beside the arrivals, and no key of theirs.
const PRUNED: &[u8] = b"pruned";

/// What one round dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Messages whose bytes are gone, and whose ids are kept.
    pub bytes: u64,
    /// Messages of which nothing is kept.
    pub ids: u64,
}

impl Store {
    /// Drops the bytes of everything that arrived before `bytes_before`, and every trace of what arrived before
    /// `ids_before` (both unix ms, and both below the start of the oldest epoch that is not archived).
    ///
    /// # Errors
    /// A failed disk.
    pub fn prune(&self, bytes_before: u64, ids_before: u64) -> Result<Pruned, StoreError> {
        let (bytes_from, ids_from) = self.pruned_until()?;
        let bytes = self.sweep(bytes_from, bytes_before, false)?;
        let ids = self.sweep(ids_from, ids_before.min(bytes_before), true)?;
        let until = [bytes_from.max(bytes_before), ids_from.max(ids_before.min(bytes_before))].map(u64::to_be_bytes);
        self.put_synced(EVIDENCE, PRUNED, &until.concat())?;
        Ok(Pruned { bytes, ids })
    }

    fn pruned_until(&self) -> Result<(u64, u64), StoreError> {
        let kept = self.get(EVIDENCE, PRUNED)?.unwrap_or_default();
        let (bytes, ids) = kept.split_at_checked(8).unwrap_or_default();
        let number = |part: &[u8]| part.try_into().map_or(0, u64::from_be_bytes);
        Ok((number(bytes), number(ids)))
    }

    fn sweep(&self, from_ms: u64, before_ms: u64, everything: bool) -> Result<u64, StoreError> {
        let (family, ids) = (self.family(EVIDENCE)?, self.family(IDS)?);
        let start = [b"a".as_slice(), &from_ms.to_be_bytes()].concat();
        let (mut batch, mut dropped) = (WriteBatch::default(), 0u64);
        for pair in self.db.iterator_cf(family, IteratorMode::From(&start, Direction::Forward)) {
            let (key, value) = pair?;
            if !key.starts_with(b"a") {
                break;
            }
            let row = Group::of_arrivals_key(&key).zip(groups::read_arrivals(&value));
            let (group, held) = row.ok_or_else(|| damaged(EVIDENCE, &key))?;
            if group.latest >= before_ms {
                break;
            }
            batch.delete_cf(family, group.messages_key());
            if everything {
                held.iter().for_each(|held| batch.delete_cf(ids, held.id));
                batch.delete_cf(family, key);
            }
            dropped = dropped.saturating_add(held.len() as u64);
            if batch.len() >= AT_ONCE {
                self.db.write(std::mem::take(&mut batch))?;
            }
        }
        self.db.write(batch)?;
        Ok(dropped)
    }

    /// Bytes of all tables on disk, as the database counts them; what is only in its log is not among them.
    ///
    /// # Errors
    /// A failed disk.
    pub fn bytes_on_disk(&self) -> Result<u64, StoreError> {
        let mut bytes = 0u64;
        for name in FAMILIES {
            let found = self.db.property_int_value_cf(self.family(name)?, "rocksdb.total-sst-files-size")?;
            bytes = bytes.saturating_add(found.unwrap_or(0));
        }
        Ok(bytes)
    }
}
