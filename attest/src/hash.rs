//! SHA-256, and Keccak-256 for what the chain signs, behind calls that are not inlined: inlined at every use they would cost
//! a microcontroller kilobytes of flash.

use sha2::{Digest, Sha256};
use sha3::Keccak256;

/// A running SHA-256.
pub(crate) struct Hash(Sha256);

impl Hash {
    #[inline(never)]
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    #[inline(never)]
    pub(crate) fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    #[inline(never)]
    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// SHA-256 of the parts, one after the other.
#[inline(never)]
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Hash::new();
    for part in parts {
        hash.update(part);
    }
    hash.finish()
}

/// Keccak-256 of the parts, one after the other.
#[inline(never)]
pub(crate) fn keccak256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Keccak256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
