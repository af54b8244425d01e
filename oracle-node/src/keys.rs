//! The secret keys of a member, four of its own and one of its store: made once, read from files of mode 0600, never printed.
//! Leaves out: what each key signs (`oracle-core`, `gossip`, `receipts`) or seals (`store`).

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aggregator::dkg::DkgIdentity;
use libp2p::identity::{self, Keypair, PeerId};
use oracle_core::typed::MemberKey;
use zeroize::Zeroizing;

use crate::config::KeyPaths;

/// Why a key could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("{path}: mode {mode:04o} lets others read this secret; run: chmod 600 {path}")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The store's key is not there.
    #[error(
        "{0}: the key that secrets in the store are sealed with is missing; put it back, or for a new store let `oracle-node init` make one (64 random hex digits, mode 0600)"
    )]
    NoStoreKey(PathBuf),
    /// Not 64 hex digits, or not a key.
    #[error("{0}: expected one key as 64 hex digits")]
    Malformed(PathBuf),
}

/// 32 secret bytes, wiped when dropped, redacted when printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(<redacted>)")
    }
}

impl Secret {
    /// Takes 32 bytes as a secret.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one call that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// Unreadable, readable by others, or not 64 hex digits.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = read_private(path)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim().trim_start_matches("0x"), &mut bytes)
            .map_err(|_| KeyError::Malformed(path.into()))?;
        Ok(Self::new(bytes))
    }

    /// Writes a new key file with mode 0600; never overwrites.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        let fail = |source| KeyError::Io { path: path.into(), source };
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
        let text = Zeroizing::new(hex::encode(self.expose()));
        file.write_all(text.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.sync_all())
            .map_err(fail)
    }
}

/// Reads a small private file as text; refuses one that others can read.
///
/// # Errors
/// Unreadable, or mode wider than 0600.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let fail = |source| KeyError::Io { path: path.into(), source };
    let mode = std::fs::metadata(path).map_err(fail)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Mode { path: path.into(), mode });
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(fail)
}

/// A member's keys, ready to use.
#[derive(Debug)]
pub struct Keys {
    /// Signs statements (and, as a transaction key, whatever the outbox sends).
    pub member: MemberKey,
    /// The member key's scalar, for the transaction signer.
    pub member_secret: Secret,
    /// Transport identity.
    pub peer: Keypair,
    /// Seed of the key generation identity.
    pub dkg: Secret,
    /// Seed of the receipt key.
    pub receipt: Secret,
}

/// What of the keys is public, as the registry wants it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PublicKeys {
    /// secp256k1 address, 0x hex.
    pub address: String,
    /// Ed25519 transport key, 0x hex.
    pub peer_key: String,
    /// Ed25519 key of the key generation, 0x hex.
    pub dkg_key: String,
    /// Ed25519 receipt key, 0x hex.
    pub receipt_key: String,
    /// libp2p name of the transport key.
    pub peer_id: String,
}

impl Keys {
    /// Reads the four files of the member's own keys (the store's is read by `store::Seal`).
    ///
    /// # Errors
    /// The first file that is unreadable, readable by others or malformed.
    pub fn load(paths: &KeyPaths) -> Result<Self, KeyError> {
        let member_secret = Secret::read(&paths.member)?;
        let malformed = || KeyError::Malformed(paths.member.clone());
        let member = MemberKey::from_bytes(member_secret.expose()).ok_or_else(malformed)?;
        let peer = transport(&Secret::read(&paths.peer)?).ok_or_else(|| KeyError::Malformed(paths.peer.clone()))?;
        Ok(Self { member, member_secret, peer, dkg: Secret::read(&paths.dkg)?, receipt: Secret::read(&paths.receipt)? })
    }

    /// What may be shown to anyone.
    #[must_use]
    pub fn public(&self) -> PublicKeys {
        let hex = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
        let peer = self.peer.public();
        let peer_key = peer.clone().try_into_ed25519().map(|key| key.to_bytes()).unwrap_or_default();
        PublicKeys {
            address: self.member.address().to_string(),
            peer_key: hex(&peer_key),
            dkg_key: hex(&DkgIdentity::from_seed(*self.dkg.expose()).public()),
            receipt_key: hex(&crate::receipts::public_key(&self.receipt)),
            peer_id: peer.to_peer_id().to_string(),
        }
    }
}

/// The libp2p identity of an Ed25519 seed.
#[must_use]
pub fn transport(seed: &Secret) -> Option<Keypair> {
    Keypair::ed25519_from_bytes(*seed.expose()).ok()
}

/// The libp2p name of a registered transport key; `None` when it is no Ed25519 key.
#[must_use]
pub fn peer_id(key: &[u8; 32]) -> Option<PeerId> {
    identity::ed25519::PublicKey::try_from_bytes(key).ok().map(|key| identity::PublicKey::from(key).to_peer_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_files_are_private_and_never_overwritten() {
        let dir = crate::testing::Dir::new("keys");
        let path = dir.path().join("one.key");
        Secret::new([7; 32]).write_new(&path).expect("written");
        assert_eq!(Secret::read(&path).expect("read").expose(), &[7; 32]);
        assert!(matches!(Secret::new([8; 32]).write_new(&path), Err(KeyError::Io { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
        assert!(matches!(Secret::read(&path), Err(KeyError::Mode { mode: 0o640, .. })));
        assert!(!format!("{:?}", Secret::new([7; 32])).contains('7'));
    }

    #[test]
    fn a_peer_id_follows_from_the_registered_key() {
        let pair = transport(&Secret::new([1; 32])).expect("key");
        let key = pair.public().try_into_ed25519().expect("ed25519").to_bytes();
        assert_eq!(peer_id(&key), Some(pair.public().to_peer_id()));
    }
}
