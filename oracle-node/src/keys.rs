//! The secret keys of a member, four of its own and one of its store: made once, read from files of mode 0600, never
//! printed. A file is a keystore under a password (`keystore`), or, for tests and testnets, 64 plain hex digits.
//! Leaves out: what each key signs (`oracle-core`, `gossip`, `receipts`) or seals (`store`), and the commands (`cli`).

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aggregator::dkg::DkgIdentity;
use libp2p::identity::{self, Keypair, PeerId};
use oracle_core::typed::MemberKey;
use zeroize::Zeroizing;

use crate::config::KeyPaths;
use crate::keystore::{self, Cost, Keystore, KeystoreError, Label};

/// Environment variable with the password, where neither a file nor a terminal has it.
pub const PASSWORD_VARIABLE: &str = "ORACLE_NODE_PASSWORD";

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
    #[error("{0}: expected one key as 64 hex digits, or a keystore")]
    Malformed(PathBuf),
    /// A keystore that does not open.
    #[error("{path}: {source}")]
    Keystore {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeystoreError,
    },
    /// A keystore, and no password for it.
    #[error(
        "{0}: a password is needed: name its file in [keys] password_file (mode 0600), set ORACLE_NODE_PASSWORD, or start on a terminal to be asked"
    )]
    NoPassword(PathBuf),
    /// Keys may be made under no shorter password.
    #[error("a password of {0} characters protects nothing: use at least {PASSWORD_LETTERS_MIN}")]
    ShortPassword(usize),
}

/// Shortest password under which new keystores are made, in characters (EIP-2335 asks for 8, too).
pub const PASSWORD_LETTERS_MIN: usize = 8;

/// Where the password of keystores comes from, asked at most once: its file, else the environment, else the terminal.
#[derive(Default)]
pub struct Passwords {
    file: Option<PathBuf>,
    known: OnceLock<Zeroizing<String>>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passwords(<redacted>, {:?})", self.file)
    }
}

impl Passwords {
    /// From a file (mode 0600) if there is one to name.
    #[must_use]
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, known: OnceLock::new() }
    }

    /// The password for a keystore; `wanted_by` is what errors and the question name.
    ///
    /// # Errors
    /// There is none, or its file is unreadable or not private.
    pub fn get(&self, wanted_by: &Path) -> Result<&str, KeyError> {
        self.obtain(wanted_by, false)
    }

    /// The password for new keystores: long enough, and on a terminal asked twice.
    ///
    /// # Errors
    /// As [`Self::get`], or too short.
    pub fn get_for_new(&self, wanted_by: &Path) -> Result<&str, KeyError> {
        let password = self.obtain(wanted_by, true)?;
        match password.chars().count() {
            letters if letters < PASSWORD_LETTERS_MIN => Err(KeyError::ShortPassword(letters)),
            _ => Ok(password),
        }
    }

    fn obtain(&self, wanted_by: &Path, twice: bool) -> Result<&str, KeyError> {
        if let Some(known) = self.known.get() {
            return Ok(known);
        }
        let found = match (&self.file, std::env::var(PASSWORD_VARIABLE)) {
            (Some(file), _) => Zeroizing::new(read_private(file)?.trim_end_matches(['\r', '\n']).to_owned()),
            (None, Ok(password)) => Zeroizing::new(password),
            (None, Err(_)) => ask(wanted_by, twice)?,
        };
        Ok(self.known.get_or_init(|| found))
    }
}

/// Asks on the terminal, without an echo.
fn ask(wanted_by: &Path, twice: bool) -> Result<Zeroizing<String>, KeyError> {
    let terminal = console::Term::stderr();
    let nobody = || KeyError::NoPassword(wanted_by.into());
    if !terminal.is_term() || !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err(nobody());
    }
    let question = |text: &str| -> Result<Zeroizing<String>, KeyError> {
        terminal.write_str(text).map_err(|_| nobody())?;
        terminal.read_secure_line().map(Zeroizing::new).map_err(|_| nobody())
    };
    loop {
        let password = question(&format!("password for {}: ", wanted_by.display()))?;
        if !twice || *question("once more: ")? == *password {
            return Ok(password);
        }
        // A closed terminal ends the loop: reading it fails.
        terminal.write_line("the two differ").map_err(|_| nobody())?;
    }
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

    /// Reads a key file: a keystore, or plain hex.
    ///
    /// # Errors
    /// Unreadable, readable by others, neither of the two, or a keystore whose password is missing or wrong.
    pub fn read(path: &Path, passwords: &Passwords) -> Result<Self, KeyError> {
        let text = read_private(path)?;
        if !is_keystore(&text) {
            return Self::from_hex(&text).ok_or_else(|| KeyError::Malformed(path.into()));
        }
        let fail = |source| KeyError::Keystore { path: path.into(), source };
        let keystore = Keystore::parse(&text).map_err(fail)?;
        keystore.open(passwords.get(path)?).map_err(fail)
    }

    /// 64 hex digits, with or without 0x.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim().trim_start_matches("0x"), bytes.as_mut_slice()).ok()?;
        Some(Self::new(*bytes))
    }

    /// Writes a new plain key file with mode 0600, for tests and testnets; never overwrites.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn write_plain(&self, path: &Path) -> Result<(), KeyError> {
        let text = Zeroizing::new(format!("{}\n", *Zeroizing::new(hex::encode(self.expose()))));
        write_private(path, text.as_bytes())
    }

    /// Writes a new keystore with mode 0600; never overwrites.
    ///
    /// # Errors
    /// The file exists or cannot be written, or there is no password that is long enough.
    pub fn write_keystore(&self, path: &Path, label: &Label, cost: Cost, under: &Passwords) -> Result<(), KeyError> {
        let closed = keystore::close(self, under.get_for_new(path)?, label, cost);
        let text = closed.map_err(|source| KeyError::Keystore { path: path.into(), source })?;
        write_private(path, text.as_bytes())
    }
}

/// Whether the text of a key file is a keystore's.
#[must_use]
pub fn is_keystore(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Writes a new file with mode 0600, durable before returning; never overwrites.
///
/// # Errors
/// The file exists or cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let fail = |source| KeyError::Io { path: path.into(), source };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(fail)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(fail)
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
    /// What secrets in the store are sealed with.
    pub store: Secret,
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
    /// Reads all five files.
    ///
    /// # Errors
    /// The first file that is missing, unreadable, readable by others, malformed, or closed under another password.
    pub fn load(paths: &KeyPaths) -> Result<Self, KeyError> {
        if matches!(paths.store.try_exists(), Ok(false)) {
            return Err(KeyError::NoStoreKey(paths.store.clone()));
        }
        let passwords = Passwords::new(paths.password_file.clone());
        let read = |path: &Path| Secret::read(path, &passwords);
        let member_secret = read(&paths.member)?;
        let malformed = || KeyError::Malformed(paths.member.clone());
        let member = MemberKey::from_bytes(member_secret.expose()).ok_or_else(malformed)?;
        let peer = transport(&read(&paths.peer)?).ok_or_else(|| KeyError::Malformed(paths.peer.clone()))?;
        let (dkg, receipt, store) = (read(&paths.dkg)?, read(&paths.receipt)?, read(&paths.store)?);
        let mut plain = 0;
        for path in [&paths.member, &paths.peer, &paths.dkg, &paths.receipt, &paths.store] {
            plain += usize::from(!is_keystore(&read_private(path)?));
        }
        if plain > 0 {
            tracing::warn!(files = plain, "plain key files: for tests only; `oracle-node keys import` makes keystores");
        }
        Ok(Self { member, member_secret, peer, dkg, receipt, store })
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

    fn password(dir: &crate::testing::Dir, name: &str, text: &str) -> Passwords {
        let file = dir.path().join(name);
        write_private(&file, text.as_bytes()).expect("written");
        Passwords::new(Some(file))
    }

    #[test]
    fn key_files_are_private_and_never_overwritten() {
        let dir = crate::testing::Dir::new("keys");
        let (path, none) = (dir.path().join("one.key"), Passwords::default());
        Secret::new([7; 32]).write_plain(&path).expect("written");
        assert_eq!(Secret::read(&path, &none).expect("read").expose(), &[7; 32]);
        assert!(matches!(Secret::new([8; 32]).write_plain(&path), Err(KeyError::Io { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
        assert!(matches!(Secret::read(&path, &none), Err(KeyError::Mode { mode: 0o640, .. })));
        assert!(!format!("{:?}", Secret::new([7; 32])).contains('7'));
    }

    #[test]
    fn a_keystore_is_read_like_a_plain_file_once_its_password_is_there() {
        let dir = crate::testing::Dir::new("keystores");
        let (path, right) = (dir.path().join("one.key"), password(&dir, "right", "a long password\n"));
        let (format, public) = (keystore::Format::Eip2335, String::new());
        let label = Label { format, public, description: String::new(), extra: serde_json::Value::Null };
        Secret::new([7; 32]).write_keystore(&path, &label, Cost::Light, &right).expect("written");
        assert_eq!(Secret::read(&path, &right).expect("read").expose(), &[7; 32]);
        let wrong = Secret::read(&path, &password(&dir, "wrong", "another password"));
        let refused = wrong.expect_err("wrong password").to_string();
        assert!(refused.contains("one.key") && refused.contains("does not open"), "{refused}");
        assert!(Secret::new([8; 32]).write_keystore(&path, &label, Cost::Light, &right).is_err(), "overwritten");
        let other = dir.path().join("two.key");
        let short =
            Secret::new([8; 32]).write_keystore(&other, &label, Cost::Light, &password(&dir, "short", "seven77\n"));
        assert!(matches!(short, Err(KeyError::ShortPassword(7))) && !other.exists());
        assert!(!format!("{right:?}").contains("long"), "the password is never printed");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).expect("chmod");
        assert!(matches!(Secret::read(&path, &right), Err(KeyError::Mode { mode: 0o604, .. })));
    }

    #[test]
    fn a_peer_id_follows_from_the_registered_key() {
        let pair = transport(&Secret::new([1; 32])).expect("key");
        let key = pair.public().try_into_ed25519().expect("ed25519").to_bytes();
        assert_eq!(peer_id(&key), Some(pair.public().to_peer_id()));
    }
}
