//! Content that proposals list while nothing is decided: on the shelf until its epoch is settled, and then only what the
//! decided one names. What a liar alone lists is so never kept for good.
//!
//! Rows of the `lent` family, both without a value: `e ‖ stream u32be ‖ epoch u64be ‖ hash` and `i ‖ hash ‖ stream ‖ epoch`.
//! A blob of which there is no row is kept for good. Leaves out: when an epoch is settled (`oracle-core`).

use oracle_core::effect::Content;
use rocksdb::{ColumnFamily, WriteBatch};

use super::{LENT, ROUNDS, Store, StoreError, damaged};

/// Bytes of a row's key but its tag.
const PLACE_BYTES: usize = 4 + 8;
const HASH_BYTES: usize = 32;

impl Store {
    /// Keeps blobs where pulls find them until their epoch is settled, unless they are kept for good; durable before
    /// returning.
    ///
    /// # Errors
    /// A failed disk.
    pub fn lend(&self, stream: u32, epoch: u64, blobs: &[Content]) -> Result<(), StoreError> {
        let (rounds, lent) = (self.family(ROUNDS)?, self.family(LENT)?);
        let mut batch = WriteBatch::default();
        let place = place(stream, epoch);
        for blob in blobs {
            let Some(row) = self.shelf_row(blob)? else { continue };
            let held = self.db.get_pinned_cf(rounds, &row)?.is_some();
            if held && self.lenders(&blob.id)?.is_empty() {
                continue;
            }
            batch.put_cf(rounds, row, &blob.bytes);
            rows(&place, &blob.id).iter().for_each(|row| batch.put_cf(lent, row, b""));
        }
        self.write_synced(batch)
    }

    /// A stream's epoch is decided: of what was lent for it and for earlier ones, the blobs of `kept` (ascending) stay for
    /// good, and the others go unless they are lent elsewhere, too. Durable before returning.
    ///
    /// # Errors
    /// A failed disk, or a damaged row.
    pub fn settle(&self, stream: u32, epoch: u64, kept: &[[u8; 32]]) -> Result<(), StoreError> {
        let (rounds, lent) = (self.family(ROUNDS)?, self.family(LENT)?);
        let mut batch = WriteBatch::default();
        for id in self.lent_until(stream, epoch)? {
            let stays = kept.binary_search(&id).is_ok();
            let (mut gone, mut left) = (Vec::new(), 0usize);
            for lender in self.lenders(&id)? {
                match stays || settled(&lender, stream, epoch) {
                    true => gone.push(lender),
                    false => left = left.saturating_add(1),
                }
            }
            gone.iter().flat_map(|lender| rows(lender, &id)).for_each(|row| batch.delete_cf(lent, row));
            if !stays && left == 0 {
                self.scan(ROUNDS, &id, |row, _| {
                    let of_it = row.starts_with(&id);
                    if of_it {
                        batch.delete_cf(rounds, row);
                    }
                    of_it
                })?;
            }
        }
        self.write_synced(batch)
    }

    /// Adds to a batch that these blobs are kept for good.
    pub(super) fn keep(&self, batch: &mut WriteBatch, lent: &ColumnFamily, ids: &[[u8; 32]]) -> Result<(), StoreError> {
        let mut any = false;
        self.scan(LENT, b"i", |_, _| {
            any = true;
            false
        })?;
        for id in ids.iter().filter(|_| any) {
            for lender in self.lenders(id)? {
                rows(&lender, id).iter().for_each(|row| batch.delete_cf(lent, row));
            }
        }
        Ok(())
    }

    /// Ids lent to a stream for this epoch and earlier ones.
    fn lent_until(&self, stream: u32, epoch: u64) -> Result<Vec<[u8; 32]>, StoreError> {
        let (mut ids, mut wrong) = (Vec::new(), None);
        let from = [b"e".as_slice(), &place(stream, 0)].concat();
        self.scan(LENT, &from, |key, _| {
            let row = key.strip_prefix(b"e").and_then(|row| row.split_first_chunk::<PLACE_BYTES>());
            let Some((lender, id)) = row else { return false };
            let ours = settled(lender, stream, epoch);
            match id.try_into() {
                Ok(id) if ours => ids.push(id),
                Err(_) => wrong = Some(damaged(LENT, key)),
                _ => {}
            }
            ours && wrong.is_none()
        })?;
        ids.sort_unstable();
        ids.dedup();
        wrong.map_or(Ok(ids), Err)
    }

    /// For which streams and epochs a blob is lent.
    fn lenders(&self, id: &[u8; 32]) -> Result<Vec<[u8; PLACE_BYTES]>, StoreError> {
        let mut lenders = Vec::new();
        let prefix = [b"i".as_slice(), id].concat();
        self.scan(LENT, &prefix, |key, _| {
            let place = key.strip_prefix(prefix.as_slice());
            let lender: Option<[u8; PLACE_BYTES]> = place.and_then(|place| place.try_into().ok());
            lenders.extend(lender);
            lender.is_some()
        })?;
        Ok(lenders)
    }
}

fn place(stream: u32, epoch: u64) -> [u8; PLACE_BYTES] {
    let mut place = [0; PLACE_BYTES];
    place[..4].copy_from_slice(&stream.to_be_bytes());
    place[4..].copy_from_slice(&epoch.to_be_bytes());
    place
}

/// Whether a place is of the stream, and not after the epoch.
fn settled(lender: &[u8; PLACE_BYTES], stream: u32, epoch: u64) -> bool {
    (place(stream, 0)..=place(stream, epoch)).contains(lender)
}

/// The two rows of a blob that is lent.
fn rows(place: &[u8; PLACE_BYTES], id: &[u8; HASH_BYTES]) -> [Vec<u8>; 2] {
    [[b"e".as_slice(), place, id].concat(), [b"i".as_slice(), id, place].concat()]
}
