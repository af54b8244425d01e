//! The class on made-up meters that cheat (`cheaters`) and on recordings (`real`).

mod cheaters;
mod real;

/// The recordings: `PLUMBLINE_DATA`, by default those beside the repository.
pub(super) fn data() -> std::path::PathBuf {
    let beside = || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    std::env::var_os("PLUMBLINE_DATA").map_or_else(beside, Into::into)
}
