//! Where the demo finds its programs and keeps its files: the checkout, sibling binaries, the run folder.
//! Leaves out: starting anything (`process`).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Paths of one run.
#[derive(Clone, Debug)]
pub struct Place {
    /// The checkout.
    pub root: PathBuf,
    /// Everything this run writes.
    pub run: PathBuf,
    /// One log file per process.
    pub logs: PathBuf,
    /// `oracle-node`.
    pub node: PathBuf,
    /// `plumbline`, the auditor.
    pub auditor: PathBuf,
    /// This program.
    pub testnet: PathBuf,
    /// The chain node.
    pub anvil: PathBuf,
}

impl Place {
    /// Finds every program and makes the run folder.
    ///
    /// # Errors
    /// Naming what is missing and what makes it.
    pub fn find(root: Option<&Path>, run: Option<&Path>) -> Result<Self> {
        let root = match root {
            Some(root) => root.to_path_buf(),
            None => search_upward(&std::env::current_dir()?)
                .or_else(|| search_upward(Path::new(env!("CARGO_MANIFEST_DIR"))))
                .context("no checkout found from here upward (a folder with contracts/abi); give --root")?,
        };
        let testnet = std::env::current_exe().context("find this program's own path")?;
        let siblings = testnet.parent().context("find this program's folder")?.to_path_buf();
        let run = match run {
            Some(run) => run.to_path_buf(),
            None => std::env::temp_dir().join(format!("plumbline-demo-{:04x}", rand::random::<u16>())),
        };
        let place = Self {
            logs: run.join("logs"),
            node: siblings.join("oracle-node"),
            auditor: siblings.join("plumbline"),
            anvil: root.join("contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"),
            testnet,
            root,
            run,
        };
        for (program, maker) in
            [(&place.node, "make build"), (&place.auditor, "make build"), (&place.anvil, "make setup")]
        {
            if !program.is_file() {
                bail!("{} is missing; `{maker}` makes it", program.display());
            }
        }
        if place.run.join("logs").exists() {
            bail!("{} holds an earlier run; give --dir another folder or remove it", place.run.display());
        }
        std::fs::create_dir_all(&place.logs).with_context(|| format!("make {}", place.logs.display()))?;
        Ok(place)
    }

    /// The contracts' ABI and creation code.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("contracts/abi")
    }

    /// A folder of this run, made if missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.run.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }
}

fn search_upward(from: &Path) -> Option<PathBuf> {
    from.ancestors().find(|folder| folder.join("contracts/abi").is_dir()).map(Path::to_path_buf)
}
