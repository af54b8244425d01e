//! What an operator tells a running node, by a file in its data folder: who may write there may ask, and nobody else; no
//! port is opened for it. Today one thing: refresh the shares (`oracle-node reshare`, docs/reshare.md).
//! Leaves out: the answer, which is the status of the API.

use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oracle_core::effect::{Entropy, Input};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Longest request: a number.
const REQUEST_BYTES_MAX: usize = 32;

fn request(data_dir: &Path) -> PathBuf {
    data_dir.join("control").join("reshare")
}

/// Leaves a request for a refresh; number 0 lets the node choose. Written whole or not at all.
///
/// # Errors
/// The folder cannot be written.
pub fn ask_refresh(data_dir: &Path, number: u64) -> io::Result<()> {
    let path = request(data_dir);
    let folder = data_dir.join("control");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let draft = folder.join(format!("reshare.{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(number.to_string().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, &path)
}

/// Takes a request, if there is one. It is gone before it is acted on: a crash in between loses it, never doubles it.
fn take(data_dir: &Path) -> io::Result<Option<u64>> {
    let path = request(data_dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    std::fs::remove_file(&path)?;
    let text = bytes.get(..bytes.len().min(REQUEST_BYTES_MAX)).and_then(|bytes| std::str::from_utf8(bytes).ok());
    match text.and_then(|text| text.trim().parse().ok()) {
        Some(number) => Ok(Some(number)),
        None => {
            tracing::warn!(path = %path.display(), "a request that is no number was dropped");
            Ok(None)
        }
    }
}

/// Looks for requests until the node stops listening.
pub async fn watch(data_dir: PathBuf, inputs: mpsc::Sender<Input>) {
    let mut pulse = tokio::time::interval(LOOK);
    pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !inputs.is_closed() {
        pulse.tick().await;
        match take(&data_dir) {
            Ok(Some(number)) => {
                tracing::info!(number, "the operator asks for a refresh of the shares");
                let entropy = Entropy(Zeroizing::new(rand::random()));
                if inputs.send(Input::Refresh { number, entropy }).await.is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the operator's requests cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_once_and_nonsense_is_dropped() {
        let dir = crate::testing::Dir::new("control");
        assert_eq!(take(dir.path()).expect("readable"), None);
        ask_refresh(dir.path(), 7).expect("written");
        assert_eq!(take(dir.path()).expect("readable"), Some(7));
        assert_eq!(take(dir.path()).expect("readable"), None);
        for nonsense in [&b"seven"[..], &[0xff; 3], &[b'9'; 100]] {
            std::fs::write(request(dir.path()), nonsense).expect("written");
            assert_eq!(take(dir.path()).expect("readable"), None);
            assert!(!request(dir.path()).exists());
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(dir.path().join("control")).expect("there").permissions(),
        );
        assert_eq!(mode & 0o077, 0);
    }
}
