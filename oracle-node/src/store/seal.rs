//! Secret records at rest: XChaCha20-Poly1305 under a key from a file of its own, with a random nonce and the record's
//! key as associated data, so that a sealed record neither opens under another key nor passes for another record.
//! A sealed value: version 1 ‖ nonce (24) ‖ ciphertext and tag. Associated data: version ‖ record key.
//! Leaves out: which records are secret (`oracle_core::bootstrap::is_secret`), and the seeds in the key files themselves.

use std::fmt;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::StoreError;
use crate::keys::Secret;

/// First byte of a sealed value.
const VERSION: u8 = 1;
/// Bytes of a nonce: long enough that random ones do not repeat.
const NONCE_BYTES: usize = 24;

/// The key that secret records are sealed with, and the file it came from. Wiped when dropped, redacted when printed.
pub struct Seal {
    cipher: XChaCha20Poly1305,
    file: PathBuf,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal(<redacted>, {})", self.file.display())
    }
}

impl Seal {
    /// Takes a key; `file` is what errors name.
    #[must_use]
    pub fn new(key: &Secret, file: &Path) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.expose().into()), file: file.into() }
    }

    /// Where the key came from.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Seals a value for the record `key`.
    pub(super) fn close(&self, key: &[u8], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: value, aad: &bound(key) };
        // It fails only for values of more than 256 GiB.
        let sealed = self.cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| self.refused(key))?;
        Ok([&[VERSION][..], &nonce, &sealed].concat())
    }

    /// Opens what [`Self::close`] gave for this record; anything else is refused.
    pub(super) fn open(&self, key: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let parts = sealed.strip_prefix(&[VERSION]).and_then(|rest| rest.split_first_chunk::<NONCE_BYTES>());
        let (nonce, sealed) = parts.ok_or_else(|| self.refused(key))?;
        let payload = Payload { msg: sealed, aad: &bound(key) };
        let value = self.cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| self.refused(key))?;
        Ok(Zeroizing::new(value))
    }

    fn refused(&self, key: &[u8]) -> StoreError {
        StoreError::Sealed { key: String::from_utf8_lossy(key).into_owned(), file: self.file.clone() }
    }
}

fn bound(key: &[u8]) -> Vec<u8> {
    [&[VERSION][..], key].concat()
}
