//! What others recorded and the testnet plays back: compressed files of a data folder, and rows of readings that never end.
//! Where the folder is absent a physical model stands in, and [`Source`] says which of the two is in use. Leaves out: what
//! is in which file (the kinds know).

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use attest::Reading;
use flate2::read::GzDecoder;

/// Where numbers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A recording; the file's path inside the data folder.
    Recording(&'static str),
    /// The physical stand-in, and its name.
    Model(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording(file) => write!(out, "recording {file}"),
            Self::Model(name) => write!(out, "physical model ({name}): no data folder"),
        }
    }
}

/// The data folder: what the configuration names, else `PLUMBLINE_DATA`, else `../shared/data`; `None` when it is not there.
#[must_use]
pub fn folder(configured: Option<&Path>) -> Option<PathBuf> {
    let chosen = configured
        .map(Path::to_path_buf)
        .or_else(|| std::env::var_os("PLUMBLINE_DATA").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("../shared/data"));
    chosen.is_dir().then_some(chosen)
}

/// An endless row of samples: the recording in its own order, then from the start again. The time of each is the time
/// at which it is sent, not the time of the recording.
#[derive(Clone, Debug)]
pub struct Feed {
    source: Source,
    samples: Vec<Vec<Reading>>,
    next: usize,
}

impl Feed {
    /// These samples.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(source: Source, samples: Vec<Vec<Reading>>) -> Result<Self> {
        ensure!(!samples.is_empty(), "{source} holds no sample");
        Ok(Self { source, samples, next: 0 })
    }

    /// Recording or model.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Starts elsewhere in the row, so that two devices on one recording differ.
    #[must_use]
    pub const fn starting_at(mut self, offset: usize) -> Self {
        self.next = offset;
        self
    }

    /// The next sample.
    pub fn sample(&mut self) -> Vec<Reading> {
        let index = self.next.checked_rem(self.samples.len()).unwrap_or(0);
        self.next = index + 1;
        self.samples.get(index).cloned().unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.samples.len()
    }
}

/// The lines of a compressed recording.
///
/// # Errors
/// When it cannot be opened; each line, when it cannot be read.
pub fn lines(path: &Path) -> Result<impl Iterator<Item = Result<String>>> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let path = path.to_owned();
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    Ok(lines.map(move |line| line.with_context(|| format!("read {}", path.display()))))
}

/// The data folder, for tests, which run in the crate's own folder.
#[cfg(test)]
pub(crate) fn test_data() -> Option<PathBuf> {
    folder(None).or_else(|| folder(Some(Path::new("../../shared/data"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_begins_again_after_its_end() {
        let one = |mantissa| vec![Reading { channel: 1, exponent: 0, mantissa }];
        let mut feed = Feed::new(Source::Model("two"), vec![one(1), one(2)]).unwrap().starting_at(1);
        assert_eq!((feed.sample(), feed.sample(), feed.sample()), (one(2), one(1), one(2)));
        assert!(Feed::new(Source::Model("none"), vec![]).is_err());
    }
}
