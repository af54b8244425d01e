//! A software key's file: opened, or made with mode 600 and synced before anything is printed. Leaves out: backups.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use attest::{Signer, SoftEd25519, SoftP256};
use zeroize::Zeroizing;

use crate::Algorithm;

/// The signer of the key in `file`.
pub(crate) fn open(file: &Path, alg: Algorithm) -> Result<Box<dyn Signer>> {
    let seed = match std::fs::read(file) {
        Ok(bytes) => import(file, &Zeroizing::new(bytes))?,
        Err(error) if error.kind() == ErrorKind::NotFound => make(file)?,
        Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
    };
    Ok(match alg {
        Algorithm::Ed25519 => Box::new(SoftEd25519::from_seed(*seed)),
        Algorithm::P256 => Box::new(SoftP256::from_seed(*seed)),
    })
}

fn import(file: &Path, bytes: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let mode = std::fs::metadata(file)?.mode() & 0o777;
    ensure!(mode & 0o077 == 0, "{} may be read by others (mode {mode:o}); run: chmod 600 {0}", file.display());
    let mut seed = Zeroizing::new([0; 32]);
    if let Ok(raw) = <[u8; 32]>::try_from(bytes) {
        *seed = raw;
        return Ok(seed);
    }
    if hex::decode_to_slice(bytes.trim_ascii(), &mut *seed).is_err() {
        bail!("{} holds {} bytes; a key is 32 bytes or 64 hex digits", file.display(), bytes.len());
    }
    Ok(seed)
}

fn make(file: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let seed = Zeroizing::new(rand::random::<[u8; 32]>());
    let text = Zeroizing::new(hex::encode(*seed));
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).and_then(|mut out| {
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        out.sync_all()
    });
    made.with_context(|| format!("write {}", file.display()))?;
    eprintln!("a new key is in {}; whoever has that file is the device", file.display());
    Ok(seed)
}
