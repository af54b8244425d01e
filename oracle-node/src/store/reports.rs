//! Certified reports by stream and epoch, for the API and the archive. The bundle is kept apart from the rest: it is
//! large and rarely read. Keys: `r ‖ stream ‖ epoch` and `b ‖ stream ‖ epoch`, big-endian.

use alloy::sol_types::SolValue as _;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oracle_core::effect::CertifiedReport;
use oracle_core::report::Verdict;
use oracle_core::state::State;
use oracle_core::typed::{Header, Leaf};
use oracle_core::wire::{self, Bytes, Hash};
use rocksdb::WriteBatch;

use super::{REPORTS, Store, StoreError};

/// Longest stored report (not its bundle): 16,384 leases with their verdicts.
pub(super) const REPORT_BYTES_MAX: usize = 512 << 20;

/// One verdict as stored, with the fields of [`Verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct StoredVerdict {
    /// Lease.
    #[n(0)]
    pub lease: u64,
    /// Slot, or start of the window in unix seconds.
    #[n(1)]
    pub at: u64,
    /// 0 void, 1 passed, 2 failed.
    #[n(2)]
    pub outcome: u8,
    /// Code of the reason, 0 when passed.
    #[n(3)]
    pub reason: u16,
    /// Units proven.
    #[n(4)]
    pub units: u64,
    /// What was measured, in the reason's unit.
    #[n(5)]
    pub measured: i64,
    /// Its limit.
    #[n(6)]
    pub limit: i64,
}

impl From<&Verdict> for StoredVerdict {
    fn from(verdict: &Verdict) -> Self {
        let Verdict { lease, at, outcome, reason, units, measured, limit } = *verdict;
        Self { lease, at, outcome, reason, units, measured, limit }
    }
}

/// A certified report as the API needs it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct StoredReport {
    /// Stream.
    #[n(0)]
    pub stream: u32,
    /// Epoch.
    #[n(1)]
    pub epoch: u64,
    /// EIP-712 digest that the certificate signs.
    #[n(2)]
    pub digest: Hash,
    /// ABI encoding of the header.
    #[n(3)]
    pub header: ByteVec,
    /// 48 bytes, compressed G1.
    #[n(4)]
    pub certificate: Bytes<48>,
    /// ABI encodings of the leaves, ascending by lease.
    #[n(5)]
    pub leaves: Vec<ByteVec>,
    /// Ascending by (lease, at).
    #[n(6)]
    pub verdicts: Vec<StoredVerdict>,
    /// Slots that counted neither way.
    #[n(7)]
    pub void_slots: Vec<u64>,
    /// Σ' of the epoch.
    #[n(8)]
    pub state: State,
}

impl StoredReport {
    /// From what the core certified; `digest` = the header's EIP-712 digest.
    #[must_use]
    pub fn of(report: &CertifiedReport, stream: u32, epoch: u64, digest: [u8; 32]) -> Self {
        Self {
            stream,
            epoch,
            digest: Hash::from(digest),
            header: report.header.abi_encode().into(),
            certificate: Bytes::from(report.certificate),
            leaves: report.outcome.leaves.iter().map(|leaf| leaf.abi_encode().into()).collect(),
            verdicts: report.outcome.verdicts.iter().map(StoredVerdict::from).collect(),
            void_slots: report.outcome.void_slots.clone(),
            state: report.outcome.state.clone(),
        }
    }

    /// The header; `None` when the stored bytes are damaged.
    #[must_use]
    pub fn header(&self) -> Option<Header> {
        Header::abi_decode(&self.header).ok()
    }

    /// The leaves, ascending by lease; damaged ones are left out.
    #[must_use]
    pub fn leaves(&self) -> Vec<Leaf> {
        self.leaves.iter().filter_map(|bytes| Leaf::abi_decode(bytes).ok()).collect()
    }
}

impl Store {
    /// Keeps a certified report and its archive bundle; durable before returning.
    ///
    /// # Errors
    /// A failed disk.
    pub fn put_report(&self, report: &StoredReport, bundle: &[u8]) -> Result<(), StoreError> {
        let family = self.family(REPORTS)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(family, key(b'r', report.stream, report.epoch), wire::encode(report));
        batch.put_cf(family, key(b'b', report.stream, report.epoch), bundle);
        self.write_synced(batch)
    }

    /// The report of an epoch, if certified and known here.
    ///
    /// # Errors
    /// A failed disk or a damaged record.
    pub fn report(&self, stream: u32, epoch: u64) -> Result<Option<StoredReport>, StoreError> {
        self.decoded(REPORTS, &key(b'r', stream, epoch))
    }

    /// The archive bundle of an epoch.
    ///
    /// # Errors
    /// A failed disk.
    pub fn bundle(&self, stream: u32, epoch: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(REPORTS, &key(b'b', stream, epoch))
    }

    /// Epochs of a stream whose reports are held, ascending, from `first` on, at most `limit`.
    ///
    /// # Errors
    /// A failed disk.
    pub fn report_epochs(&self, stream: u32, first: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let prefix = [b"r".as_slice(), &stream.to_be_bytes()].concat();
        let mut epochs = Vec::new();
        self.scan(REPORTS, &key(b'r', stream, first), |found, _| {
            let epoch =
                found.strip_prefix(prefix.as_slice()).and_then(|rest| rest.try_into().ok()).map(u64::from_be_bytes);
            epochs.extend(epoch);
            epoch.is_some() && epochs.len() < limit
        })?;
        Ok(epochs)
    }
}

fn key(prefix: u8, stream: u32, epoch: u64) -> Vec<u8> {
    [&[prefix][..], &stream.to_be_bytes(), &epoch.to_be_bytes()].concat()
}
