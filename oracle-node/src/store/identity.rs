//! What a store knows of itself: its name, how much it has written, and what the guard left in force (`guard`). Records of the
//! `seal` family. Leaves out: noticing that a store is a copy (`guard`), and the key it is sealed with.

use std::sync::atomic::{AtomicU64, Ordering};

use oracle_core::guard::Floor;

use super::{SEAL, Store, StoreError, damaged};

/// 16 random bytes, made with the store.
const IDENTITY: &[u8] = b"identity";
/// How many records of the journal have been written that a statement may rest on, u64be.
pub(super) const WRITTEN: &[u8] = b"written";
/// The guard's floor in a term: `floor/` ‖ term u64be.
const FLOOR: &[u8] = b"floor/";

impl Store {
    /// A new store gets a name; any other remembers it, and how much it has written.
    pub(super) fn know_itself(&mut self) -> Result<(), StoreError> {
        match self.get(SEAL, IDENTITY)? {
            Some(bytes) => self.identity = bytes.try_into().map_err(|_| damaged(SEAL, IDENTITY))?,
            None => {
                self.identity = rand::random();
                self.put_synced(SEAL, IDENTITY, &self.identity)?;
            }
        }
        let written = self.get(SEAL, WRITTEN)?.map_or(Some(0), |bytes| bytes.try_into().ok().map(u64::from_be_bytes));
        self.written = AtomicU64::new(written.ok_or_else(|| damaged(SEAL, WRITTEN))?);
        Ok(())
    }

    /// The store's own name: 16 random bytes, other ones in every new store.
    #[must_use]
    pub const fn identity(&self) -> &[u8; 16] {
        &self.identity
    }

    /// How many records have been persisted that a statement may rest on: it only grows, so that an older copy of the store
    /// shows a smaller number.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    /// What the guard left in force in a term; `None` if it never had to listen there.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn floor(&self, term: u64) -> Result<Option<Floor>, StoreError> {
        self.decoded(SEAL, &[FLOOR, &term.to_be_bytes()].concat())
    }

    /// Keeps what the guard leaves in force in a term; durable before returning.
    ///
    /// # Errors
    /// A failed disk.
    pub fn put_floor(&self, term: u64, floor: &Floor) -> Result<(), StoreError> {
        self.put_synced(SEAL, &[FLOOR, &term.to_be_bytes()].concat(), &oracle_core::wire::encode(floor))
    }
}
