//! Everything durable, in one RocksDB: the only file that knows RocksDB. Each column family has its own small interface
//! beside it: `evidence` (with the receipt log), `reports`, and here the journal, blobs, chain log and outbox. Secret
//! records of the journal are sealed before they reach the disk (`seal`).
//! Leaves out: what the bytes of the journal mean (`oracle-core`). Nothing is deleted but what the core says, outbox items
//! and, where the operator says so, the bytes of old messages (`retention`).

mod appended;
mod evidence;
mod faults;
mod groups;
mod identity;
mod lent;
mod reports;
mod retention;
mod seal;
mod statements;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use oracle_core::bootstrap::is_secret;
use oracle_core::effect::{Content, Journal, Record};
use oracle_core::observation::blob_hash;
use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB,
    DBRecoveryMode, Direction, IteratorMode, Options, WriteBatch, WriteOptions,
};

pub use evidence::{Evidence, ReceiptBatch, ReceiptLeaf};
pub use reports::{StoredReport, StoredVerdict};
pub use retention::Pruned;
pub use seal::Seal;
pub use statements::{Listed, Said, spoken};

/// Column families; docs: oracle-node/README.md.
const EVIDENCE: &str = "evidence";
const IDS: &str = "ids";
const RECEIPTS: &str = "receipts";
const JOURNAL: &str = "journal";
const ROUNDS: &str = "rounds";
const LENT: &str = "lent";
const REPORTS: &str = "reports";
const OUTBOX: &str = "outbox";
const CHAIN: &str = "chain";
const STATEMENTS: &str = "statements";
const SEAL: &str = "seal";
const FAMILIES: [&str; 11] = [EVIDENCE, IDS, RECEIPTS, JOURNAL, ROUNDS, LENT, REPORTS, OUTBOX, CHAIN, STATEMENTS, SEAL];
/// A record of the `seal` family, which is about the store itself: a known text under the store's key, by which a wrong
/// key is noticed at once.
const SEAL_CHECK: &[u8] = b"check";
/// A record of the same family: the format of all others, one byte.
const SEAL_FORMAT: &[u8] = b"format";
/// The format that this version reads and writes.
const FORMAT: u8 = 2;
/// The known text.
const SEAL_TEXT: &[u8] = b"plumbline store";

/// A failed disk, or bytes on it that this version did not write. Never caused by a peer's or a device's input.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no.
    #[error("store: {0}")]
    Rocks(#[from] rocksdb::Error),
    /// The folder cannot be made private.
    #[error("store: {path} cannot be made readable by its owner only: {source}")]
    Private {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A value does not decode: another version wrote it, or the disk lies.
    #[error("store: the {family} record {key} is damaged or of another version")]
    Damaged {
        /// Column family.
        family: &'static str,
        /// Hex of the key.
        key: String,
    },
    /// The key file is not the one that this store was made with.
    #[error("store: {} is not the key that {} was sealed with; put the right key file back, or start with an empty data folder (this member then sits out until the next term)", file.display(), store.display())]
    WrongKey {
        /// The key file.
        file: PathBuf,
        /// The store's folder.
        store: PathBuf,
    },
    /// Another version made the store.
    #[error("store: {} has format {found}, and this version reads {FORMAT}; start with an empty data folder at the next term, or run the version that made it", store.display())]
    Format {
        /// The store's folder.
        store: PathBuf,
        /// The format it is in.
        found: u8,
    },
    /// A secret record does not open, or is not what was just written.
    #[error("store: the secret record {key} does not open under {}: it was changed, or an older version wrote it unsealed", file.display())]
    Sealed {
        /// The record's key.
        key: String,
        /// The key file.
        file: PathBuf,
    },
}

/// A column family. Nearly every look-up of an id asks for one that is not there: filters answer that, without
/// a search in the table in memory (a 64th of which they take) or a read of those on disk (10 bits a key).
fn described(name: &str) -> ColumnFamilyDescriptor {
    let mut options = Options::default();
    if name == IDS {
        let mut table = BlockBasedOptions::default();
        table.set_bloom_filter(10.0, false);
        options.set_block_based_table_factory(&table);
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(1.0 / 64.0);
    }
    ColumnFamilyDescriptor::new(name, options)
}

/// The durable memory of one node. Cheap to share behind an `Arc`; every method may block on the disk.
pub struct Store {
    db: DB,
    seal: Seal,
    identity: [u8; 16],
    written: AtomicU64,
    appended: appended::Appended,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.db.path().display())
    }
}

impl Store {
    /// Opens the store in a folder, making it when missing. A second process on the same folder is refused.
    ///
    /// # Errors
    /// The folder cannot be used, is in use, or was made with another key than `seal`.
    pub fn open(path: &Path, seal: Seal) -> Result<Self, StoreError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_keep_log_file_num(4);
        options.set_max_total_wal_size(64 << 20);
        let db = DB::open_cf_descriptors(&options, path, FAMILIES.map(described))?;
        let mut store =
            Self { db, seal, identity: [0; 16], written: AtomicU64::new(0), appended: appended::Appended::default() };
        // What is not secret is still nobody's business.
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(path, private).map_err(|source| StoreError::Private { path: path.into(), source })?;
        store.check_format()?;
        store.check_key()?;
        store.know_itself()?;
        Ok(store)
    }

    /// A new store remembers the format it is written in; any other must be of this one.
    fn check_format(&self) -> Result<(), StoreError> {
        match (self.get(SEAL, SEAL_FORMAT)?, self.get(SEAL, SEAL_CHECK)?) {
            (None, None) => self.put_synced(SEAL, SEAL_FORMAT, &[FORMAT]),
            (Some(format), _) if format == [FORMAT] => Ok(()),
            // Before formats were numbered.
            (None, Some(_)) => Err(StoreError::Format { store: self.db.path().into(), found: 1 }),
            (Some(format), _) => {
                let found = format.first().copied().unwrap_or_default();
                Err(StoreError::Format { store: self.db.path().into(), found })
            }
        }
    }

    /// A new store remembers its key by a sealed text; any other must open that text.
    fn check_key(&self) -> Result<(), StoreError> {
        let Some(sealed) = self.get(SEAL, SEAL_CHECK)? else {
            return self.put_synced(SEAL, SEAL_CHECK, &self.seal.close(SEAL_CHECK, SEAL_TEXT)?);
        };
        match self.seal.open(SEAL_CHECK, &sealed) {
            Ok(text) if text.as_slice() == SEAL_TEXT => Ok(()),
            _ => Err(StoreError::WrongKey { file: self.seal.file().into(), store: self.db.path().into() }),
        }
    }

    /// A family that `open` made; a missing one is a broken invariant of this file.
    fn family(&self, name: &'static str) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(name).ok_or_else(|| damaged(name, b""))
    }

    fn write_synced(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        Ok(self.db.write_opt(batch, &options)?)
    }

    /// Writes a record of the core, or deletes it where its value is empty, and counts it unless nothing that can slash rests on it (beacons are recomputed).
    fn put_record(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        let journal = self.family(JOURNAL)?;
        match value.is_empty() {
            true => batch.delete_cf(journal, key),
            false => batch.put_cf(journal, key, value),
        }
        if !key.starts_with(b"beacon/") {
            let count = self.written.fetch_add(1, Ordering::SeqCst).saturating_add(1);
            batch.put_cf(self.family(SEAL)?, identity::WRITTEN, count.to_be_bytes());
        }
        self.write_synced(batch)
    }

    fn put_synced(&self, name: &'static str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.family(name)?, key, value);
        self.write_synced(batch)
    }

    fn get(&self, name: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.db.get_cf(self.family(name)?, key)?)
    }

    /// Every pair whose key is at least `from`, ascending, until `take` says stop (`false`).
    fn scan(
        &self,
        name: &'static str,
        from: &[u8],
        mut take: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        for pair in self.db.iterator_cf(self.family(name)?, IteratorMode::From(from, Direction::Forward)) {
            let (key, value) = pair?;
            if !take(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    /// Makes a record of the core durable before returning; an empty value is a deletion. A secret one is sealed, read back
    /// and compared.
    ///
    /// # Errors
    /// A failed disk, or a secret that does not come back; the caller must stop, since the core counts on the record.
    pub fn persist(&self, record: &Record) -> Result<(), StoreError> {
        if !is_secret(&record.key) {
            return self.put_record(&record.key, &record.value);
        }
        self.put_record(&record.key, &self.seal.close(&record.key, &record.value)?)?;
        let sealed = self.get(JOURNAL, &record.key)?.unwrap_or_default();
        match self.seal.open(&record.key, &sealed)?.as_slice() == record.value {
            true => Ok(()),
            false => Err(damaged(JOURNAL, &record.key)),
        }
    }

    /// Destroys records of the journal: deleted, and the files that held them rewritten without them. What the file system,
    /// a snapshot of it or the cells of an SSD keep of the old (sealed) files is beyond this.
    ///
    /// # Errors
    /// A failed disk.
    pub fn erase(&self, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        let journal = self.family(JOURNAL)?;
        let mut batch = WriteBatch::default();
        keys.iter().for_each(|key| batch.delete_cf(journal, key));
        self.write_synced(batch)?;
        // Out of the log of recent writes: it goes once every family is flushed.
        for name in FAMILIES {
            self.db.flush_cf(self.family(name)?)?;
        }
        // Out of the tables: even the lowest level is rewritten, or an old value could outlast its deletion there.
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        options.set_exclusive_manual_compaction(false);
        for key in keys {
            self.db.compact_range_cf_opt(journal, Some(key), Some(key), &options);
        }
        Ok(())
    }

    /// Every record of the core, ascending by key: what a restart gives back. Secret ones are opened.
    ///
    /// # Errors
    /// A failed disk, or a secret record that does not open.
    pub fn journal(&self) -> Result<Journal, StoreError> {
        let (mut journal, mut refused) = (Journal::new(), None);
        self.scan(JOURNAL, b"", |key, value| {
            // What an older version wrote in place of a deletion.
            if value.is_empty() && !is_secret(key) {
                return true;
            }
            let opened =
                if is_secret(key) { self.seal.open(key, value).map(|v| v.to_vec()) } else { Ok(value.to_vec()) };
            match opened {
                Ok(value) => journal.push(Record { key: key.to_vec(), value }),
                Err(error) => refused = Some(error),
            }
            refused.is_none()
        })?;
        refused.map_or(Ok(journal), Err)
    }

    /// Keeps blobs (buckets, observation bodies) where pulls find them, for good, and evidence that no device sent to this
    /// node (its key was not known here when it came); durable before returning.
    ///
    /// # Errors
    /// A failed disk.
    pub fn serve(&self, blobs: &[Content]) -> Result<(), StoreError> {
        let family = self.family(ROUNDS)?;
        let (mut batch, mut ids) = (WriteBatch::default(), Vec::new());
        for content in blobs {
            if let Some(row) = self.shelf_row(content)? {
                batch.put_cf(family, row, &content.bytes);
                ids.push(content.id);
            }
        }
        self.keep(&mut batch, self.family(LENT)?, &ids)?;
        self.write_synced(batch)
    }

    /// A blob by its hash, or evidence by its id, as a pull answers it.
    ///
    /// # Errors
    /// A failed disk.
    pub fn content(&self, id: &[u8; 32]) -> Result<Option<Content>, StoreError> {
        if let Some(bytes) = self.get(ROUNDS, id)? {
            return Ok(Some(Content { id: *id, class: 0, bytes }));
        }
        if let Some(evidence) = self.evidence(id)? {
            return Ok(Some(Content { id: *id, class: evidence.class, bytes: evidence.bytes.into() }));
        }
        let mut lent = None;
        self.scan(ROUNDS, id, |row, bytes| {
            if let Some([class]) = row.strip_prefix(id) {
                lent = Some(Content { id: *id, class: *class, bytes: bytes.to_vec() });
            }
            false
        })?;
        Ok(lent)
    }

    /// Where the shelf keeps content: a blob under its hash, evidence under id and class. `None` for bytes that are not of
    /// their hash, and for evidence that is stored as a device's message.
    fn shelf_row(&self, content: &Content) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(match content.class {
            0 => (blob_hash(&content.bytes) == content.id).then(|| content.id.to_vec()),
            class => (!self.has_evidence(&content.id)?).then(|| [content.id.as_slice(), &[class]].concat()),
        })
    }

    /// Adds or replaces an outbox item; durable before returning.
    ///
    /// # Errors
    /// A failed disk.
    pub fn put_outbox(&self, id: u64, item: &[u8]) -> Result<(), StoreError> {
        self.put_synced(OUTBOX, &id.to_be_bytes(), item)
    }

    /// Drops an outbox item that is final on the chain.
    ///
    /// # Errors
    /// A failed disk.
    pub fn drop_outbox(&self, id: u64) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.delete_cf(self.family(OUTBOX)?, id.to_be_bytes());
        self.write_synced(batch)
    }

    /// Every outbox item, ascending by id.
    ///
    /// # Errors
    /// A failed disk.
    pub fn outbox(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let mut items = Vec::new();
        self.scan(OUTBOX, b"", |key, value| {
            items.extend(<[u8; 8]>::try_from(key).ok().map(|key| (u64::from_be_bytes(key), value.to_vec())));
            true
        })?;
        Ok(items)
    }

    /// Appends finalized blocks to the chain log: (number, encoding); durable before returning.
    ///
    /// # Errors
    /// A failed disk.
    pub fn append_chain(&self, blocks: &[(u64, Vec<u8>)]) -> Result<(), StoreError> {
        let family = self.family(CHAIN)?;
        let mut batch = WriteBatch::default();
        for (number, bytes) in blocks {
            batch.put_cf(family, number.to_be_bytes(), bytes);
        }
        self.write_synced(batch)
    }

    /// The chain log from the first block on, ascending; stops when `take` returns `false`.
    ///
    /// # Errors
    /// A failed disk.
    pub fn chain(&self, mut take: impl FnMut(u64, &[u8]) -> bool) -> Result<(), StoreError> {
        self.scan(CHAIN, &0u64.to_be_bytes(), |key, value| {
            <[u8; 8]>::try_from(key).is_ok_and(|key| take(u64::from_be_bytes(key), value))
        })
    }

    /// A small fact about the chain that must survive restarts (for example its id).
    ///
    /// # Errors
    /// A failed disk.
    pub fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(CHAIN, fact_key(name).as_bytes())
    }

    /// Writes such a fact; durable before returning.
    ///
    /// # Errors
    /// A failed disk.
    pub fn put_fact(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.put_synced(CHAIN, fact_key(name).as_bytes(), value)
    }
}

/// Facts share the chain family with blocks; their keys are longer than the blocks' 8 bytes and sort after them.
fn fact_key(name: &str) -> String {
    format!("~fact/{name}")
}

fn damaged(family: &'static str, key: &[u8]) -> StoreError {
    StoreError::Damaged { family, key: hex::encode(key) }
}
