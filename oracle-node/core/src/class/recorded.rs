//! Where the tests' recordings by others are: `PLUMBLINE_DATA`, by default beside the repository. Nothing of them is kept here.

use std::io::Read as _;
use std::path::PathBuf;

/// The folder of all recordings.
pub(super) fn folder() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    std::env::var_os("PLUMBLINE_DATA").map_or_else(beside, Into::into)
}

/// A recording's text, unpacked; `None` after saying that it is not there.
pub(super) fn text(path: &str) -> Option<String> {
    let file = folder().join(path);
    let Ok(bytes) = std::fs::read(&file) else {
        println!("skipped: {} is not there", file.display());
        return None;
    };
    if !path.ends_with(".gz") {
        return Some(String::from_utf8(bytes).expect("text"));
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).expect("gzip");
    Some(text)
}
