//! The receipt log: one Ed25519 signature per durable batch over a chained Merkle root. docs/protocol.md §8.
//! Leaves out: when a batch is written (`intake`) and where (`store`).

use ed25519_zebra::{Signature, SigningKey, VerificationKey};
use oracle_core::merkle::{ShaStep, sha_leaf, sha_proof, sha_root};
use oracle_core::wire::{Bytes, Hash};
use sha2::{Digest as _, Sha256};

use crate::keys::Secret;
use crate::store::{Evidence, ReceiptBatch, ReceiptLeaf};

/// Verdict of a receipt: the node holds the message.
pub const VERDICT_HELD: u8 = 1;
const TAG: &[u8] = b"plumbline/receipt/v1";

/// The public half of a receipt key.
#[must_use]
pub fn public_key(seed: &Secret) -> [u8; 32] {
    VerificationKey::from(&SigningKey::from(*seed.expose())).into()
}

/// The head of the log; the next batch continues from here.
pub struct ReceiptLog {
    key: SigningKey,
    next: u64,
    root: [u8; 32],
}

impl std::fmt::Debug for ReceiptLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReceiptLog(next batch {}, root {})", self.next, hex::encode(self.root))
    }
}

impl ReceiptLog {
    /// Continues after the head that the store holds.
    #[must_use]
    pub fn new(seed: &Secret, head: (u64, [u8; 32])) -> Self {
        Self { key: SigningKey::from(*seed.expose()), next: head.0, root: head.1 }
    }

    /// Chained root of everything receipted so far.
    #[must_use]
    pub const fn root(&self) -> [u8; 32] {
        self.root
    }

    /// The signed batch that would follow; [`Self::advance`] once it is durable.
    #[must_use]
    pub fn seal(&self, items: &[Evidence]) -> ReceiptBatch {
        let leaf = |item: &Evidence| ReceiptLeaf { id: item.id, arrival_ms: item.arrival_ms, verdict: VERDICT_HELD };
        let leaves: Vec<ReceiptLeaf> = items.iter().map(leaf).collect();
        let root = chained(&self.root, self.next, &leaves);
        let signature: [u8; 64] = self.key.sign(&root).into();
        let (previous, root) = (Hash::from(self.root), Hash::from(root));
        ReceiptBatch { batch: self.next, previous, root, signature: Bytes::from(signature), leaves }
    }

    /// Takes a batch as written.
    pub fn advance(&mut self, batch: &ReceiptBatch) {
        self.next = batch.batch.saturating_add(1);
        self.root = *batch.root;
    }
}

/// Path from a leaf of the batch to its tree root; empty for a leaf that is not there or stands alone.
#[must_use]
pub fn path(batch: &ReceiptBatch, index: usize) -> Vec<ShaStep> {
    sha_proof(&hashes(&batch.leaves), index).unwrap_or_default()
}

/// Whether a batch is what `key` signed after `batch.previous`.
#[must_use]
pub fn verify(batch: &ReceiptBatch, key: &[u8; 32]) -> bool {
    let root = chained(&batch.previous, batch.batch, &batch.leaves);
    let signature = Signature::from(*batch.signature);
    root == *batch.root && VerificationKey::try_from(*key).is_ok_and(|key| key.verify(&signature, &root).is_ok())
}

fn hashes(leaves: &[ReceiptLeaf]) -> Vec<[u8; 32]> {
    let data = |leaf: &ReceiptLeaf| [leaf.id.as_slice(), &leaf.arrival_ms.to_be_bytes(), &[leaf.verdict]].concat();
    leaves.iter().map(|leaf| sha_leaf(&data(leaf))).collect()
}

fn chained(previous: &[u8; 32], batch: u64, leaves: &[ReceiptLeaf]) -> [u8; 32] {
    let count = u32::try_from(leaves.len()).unwrap_or(u32::MAX);
    Sha256::new_with_prefix(TAG)
        .chain_update(previous)
        .chain_update(batch.to_be_bytes())
        .chain_update(sha_root(&hashes(leaves)))
        .chain_update(count.to_be_bytes())
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use oracle_core::merkle::sha_verify;

    #[test]
    fn batches_chain_and_every_leaf_has_its_path() {
        let seed = Secret::new([3; 32]);
        let mut log = ReceiptLog::new(&seed, (0, [0; 32]));
        for round in 0..3u8 {
            let items: Vec<Evidence> = (0..=round)
                .map(|i| Evidence {
                    id: Hash::from([i; 32]),
                    class: 1,
                    device: 1,
                    boot: 1,
                    seq: i.into(),
                    slot: 0,
                    arrival_ms: 5,
                    bytes: vec![].into(),
                })
                .collect();
            let batch = log.seal(&items);
            assert_eq!((batch.batch, *batch.previous), (round.into(), log.root()));
            assert!(verify(&batch, &public_key(&seed)));
            let tree = sha_root(&hashes(&batch.leaves));
            for (index, leaf) in hashes(&batch.leaves).iter().enumerate() {
                assert!(sha_verify(&tree, leaf, &path(&batch, index)));
            }
            let mut forged = batch.clone();
            forged.leaves[0].arrival_ms += 1;
            assert!(!verify(&forged, &public_key(&seed)));
            log.advance(&batch);
        }
    }
}
