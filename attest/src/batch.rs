//! Many messages at once: the Ed25519 ones by one ZIP-215 batch equation, with bisection, so that every message gets
//! exactly the verdict that [`verify`](crate::verify()) gives it alone.
//!
//! The coefficients of the equation are derived from the batch by SHA-256 (keys, signatures, message digests), so the
//! verdict is a pure function of the batch: whoever crafts a signature fixes the coefficients with it.

use core::convert::Infallible;
use std::vec::Vec;

use ed25519_zebra::batch;
use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};

use crate::{
    Class, Envelope, EvidenceId, Network, PublicKey, VerifyError,
    verify::{Checked, Pending, check, verify_p256},
};

/// Below this size single checks cost less than another batch equation.
const SMALLEST_BATCH: usize = 4;

/// The verdict on one message.
pub type Verdict = Result<EvidenceId, VerifyError>;

/// Collects messages of one network and verifies them together. Sixteen or more of them pay; 128 to 256 pay best.
pub struct BatchVerifier {
    network: Network,
    verdicts: Vec<Verdict>,
    /// Ed25519 messages and their place among the verdicts.
    pending: Vec<(usize, Pending)>,
}

impl BatchVerifier {
    /// An empty batch.
    #[must_use]
    pub const fn new(network: Network) -> Self {
        Self { network, verdicts: Vec::new(), pending: Vec::new() }
    }

    /// An empty batch with room for so many messages: pushing them then allocates nothing.
    #[must_use]
    pub fn with_capacity(network: Network, messages: usize) -> Self {
        Self { network, verdicts: Vec::with_capacity(messages), pending: Vec::with_capacity(messages) }
    }

    /// Adds a message. The bytes need not outlive the call. P-256 has no batch equation and is verified here.
    pub fn push(&mut self, class: Class, env: &Envelope<'_>, key: &PublicKey) {
        let checked = check(env, class, &self.network, key);
        self.add(checked);
    }

    /// Adds a statement as in [`verify_statement`](crate::verify_statement); its verdict carries the statement's
    /// SHA-256.
    pub fn push_statement(&mut self, key: &PublicKey, statement: &[u8], signature: &[u8; 64]) {
        self.add(match key {
            PublicKey::Ed25519(key) => Ok(Checked::Ed25519(Pending::new(*key, signature, statement))),
            PublicKey::P256(key) => {
                let digest = Sha256::digest(statement).into();
                verify_p256(key, &digest, signature).map(|()| Checked::Done(digest))
            }
        });
    }

    fn add(&mut self, checked: Result<Checked, VerifyError>) {
        let verdict = match checked {
            Ok(Checked::Done(id)) => Ok(id),
            Ok(Checked::Ed25519(pending)) => {
                self.pending.push((self.verdicts.len(), pending));
                // Stands until `finish` has the real one.
                Err(VerifyError::Signature)
            }
            Err(error) => Err(error),
        };
        self.verdicts.push(verdict);
    }

    /// The messages pushed so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.verdicts.len()
    }

    /// Whether nothing was pushed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.verdicts.is_empty()
    }

    /// The verdict on every message, in the order of the pushes.
    #[must_use]
    pub fn finish(mut self) -> Vec<Verdict> {
        // Halves of a failed batch wait here; at most one per level of the bisection.
        let mut waiting: Vec<&[(usize, Pending)]> = std::vec![&self.pending];
        while let Some(part) = waiting.pop() {
            if part.len() >= SMALLEST_BATCH && !holds(part) {
                let (left, right) = part.split_at(part.len() / 2);
                waiting.extend([right, left]);
                continue;
            }
            let trusted = part.len() >= SMALLEST_BATCH;
            for (place, pending) in part {
                if let Some(verdict) = self.verdicts.get_mut(*place) {
                    *verdict = if trusted { Ok(pending.id) } else { pending.verify() };
                }
            }
        }
        self.verdicts
    }
}

impl core::fmt::Debug for BatchVerifier {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BatchVerifier").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Whether the batch equation holds for all of them.
fn holds(part: &[(usize, Pending)]) -> bool {
    let mut verifier = batch::Verifier::new();
    let mut transcript = Sha256::new();
    for (_, pending) in part {
        transcript.update(pending.key);
        transcript.update(pending.signature);
        transcript.update(pending.id);
        verifier.queue(pending.item.clone());
    }
    verifier.verify(Coefficients { seed: transcript.finalize().into(), block: 0, spare: None }).is_ok()
}

/// The coefficients: SHA-256 in counter mode over the transcript, 16 bytes at a time.
struct Coefficients {
    seed: [u8; 32],
    block: u64,
    /// The second half of the last block.
    spare: Option<[u8; 16]>,
}

impl Coefficients {
    fn next_half(&mut self) -> [u8; 16] {
        if let Some(half) = self.spare.take() {
            return half;
        }
        let block = Sha256::new().chain_update(self.seed).chain_update(self.block.to_be_bytes()).finalize();
        self.block += 1;
        let block: [u8; 32] = block.into();
        let (mut now, mut later) = ([0; 16], [0; 16]);
        for (slot, byte) in now.iter_mut().chain(&mut later).zip(block) {
            *slot = byte;
        }
        self.spare = Some(later);
        now
    }
}

impl TryRng for Coefficients {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(16) {
            for (slot, byte) in chunk.iter_mut().zip(self.next_half()) {
                *slot = byte;
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for Coefficients {}
