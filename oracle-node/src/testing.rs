//! What this crate's own tests share: a folder that removes itself, a store in it. Not built otherwise.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::keys::Secret;
use crate::store::{Seal, Store};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A temporary folder, removed when dropped.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        let unique = format!("plumbline-{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).expect("temporary folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A store in a folder, sealed with one and the same key.
pub(crate) fn store(dir: &Dir) -> Store {
    Store::open(dir.path(), seal(7)).expect("open")
}

/// A key to seal with; `keys/store.key` is what errors name.
pub(crate) fn seal(byte: u8) -> Seal {
    Seal::new(&Secret::new([byte; 32]), Path::new("keys/store.key"))
}
