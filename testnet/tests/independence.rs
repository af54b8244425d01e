//! The calculation of pay shares no code with the core: only the devices' doors may use the SDK, and nothing the core itself.

use std::path::{Path, PathBuf};

/// The door.
const DOOR: [&str; 1] = ["device/door.rs"];

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn only_the_doors_use_the_sdk_and_nothing_uses_the_core() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = files(&source);
    assert!(files.len() > 20, "the sources are not where this test looks");
    let mut users = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        assert!(!text.contains("oracle_core::"), "{} uses the core", file.display());
        assert!(!text.contains("oracle_node::"), "{} uses the node", file.display());
        if text.contains("sdk::") {
            users.extend(file.strip_prefix(&source).map(Path::to_path_buf));
        }
    }
    users.sort();
    assert_eq!(users, DOOR.map(PathBuf::from));
}
