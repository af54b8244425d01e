//! The fault proofs that the core keeps in its journal, for those who show and submit them.
//! Leaves out: finding and checking them (`oracle_core`).

use oracle_core::fault::FaultProof;
use oracle_core::wire;

use super::{JOURNAL, Store, StoreError};

/// Start of their keys (docs: `oracle_core::oracle`, its journal).
const PREFIX: &[u8] = b"fault/";
/// Longest proof, and the most that are given at once.
const PROOF_BYTES_MAX: usize = 1_024;
const PROOFS_MAX: usize = 1_024;

impl Store {
    /// Fault proofs held, in the order of their instances' hashes, at most 1,024.
    ///
    /// # Errors
    /// A failed disk.
    pub fn faults(&self) -> Result<Vec<FaultProof>, StoreError> {
        let mut proofs = Vec::new();
        self.scan(JOURNAL, PREFIX, |key, value| {
            let ours = key.starts_with(PREFIX);
            proofs.extend(wire::decode(value, PROOF_BYTES_MAX).ok().filter(|_| ours));
            ours && proofs.len() < PROOFS_MAX
        })?;
        Ok(proofs)
    }
}
