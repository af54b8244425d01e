//! The audit: every archived epoch replayed with the committee's own code, Σ linked from epoch to epoch, and every
//! digest held against what the chain settled. Leaves out: printing (`cli`), and reading the chain log (`chain_log`).
//!
//! An epoch whose predecessor is missing or spoiled starts from the state root that the chain settled for that
//! predecessor, so one bad bundle spoils one epoch and a part of an archive can be audited alone.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use oracle_core::archive::{self, Bundle, ReplayError, Replayed};
use oracle_core::limits;
use oracle_core::policy::Book;
use oracle_core::registry::{History, Posted};
use oracle_core::report::{Verdict, state_root};
use oracle_core::state::State;
use oracle_core::wire::Hash;

use crate::chain_log::{self, Chain, LineError};

/// Why an audit cannot begin: what it was given is of no use, whatever the archive holds.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain log cannot be read.
    #[error(transparent)]
    Log(#[from] LineError),
    /// The chain log says nothing of the term.
    #[error("chain log: {0}")]
    Chain(String),
    /// A policy book cannot be read, or none is the term's.
    #[error("policy book: {0}")]
    Book(String),
    /// The archive's folder cannot be listed or holds nothing to replay.
    #[error("archive: {0}")]
    Archive(String),
}

/// Why one epoch does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The archive has no bundle of it.
    #[error("the archive has no {}", file_name(*.0))]
    Missing(u64),
    /// Its file cannot be read.
    #[error("{}: {}", path.display(), what)]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The file holds something else than its name says.
    #[error("the bundle is of stream {stream}, epoch {epoch}")]
    Other {
        /// Stream in the bundle.
        stream: u32,
        /// Epoch in the bundle.
        epoch: u64,
    },
    /// There is nothing to hold its starting state against.
    #[error("its start cannot be checked: epoch {0} was not replayed, nor is it on the chain log with the one before")]
    NoStart(u64),
    /// It does not replay.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The chain settled this digest with another root.
    #[error("the chain settled another {0} under the same digest")]
    Root(&'static str),
    /// It replays, but neither it nor an epoch built on it is on the chain log.
    #[error("it replays, but this chain log settles neither it nor an epoch built on it")]
    Unsettled,
}

/// What a replayed epoch holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// EIP-712 digest of the header, recomputed.
    pub digest: B256,
    /// Pieces of device evidence verified again.
    pub evidence: usize,
    /// Observations agreed on, verified again.
    pub observations: usize,
    /// Observations left out of the agreement and published beside it, verified again.
    pub left_out: usize,
    /// Beacon certificates verified again.
    pub beacons: usize,
    /// Leases in the report.
    pub leases: usize,
    /// Every judged challenge with its reason, ascending by (lease, slot).
    pub verdicts: Vec<Verdict>,
    /// Void slots.
    pub void_slots: usize,
    /// The block in which the hub took the report; `None` when the chain log does not hold it.
    pub block: Option<u64>,
    /// Whether its starting state was held against the chain rather than against the epoch before.
    pub from_chain: bool,
}

impl Proven {
    /// Challenges that ended so: 0 void, 1 passed, 2 failed.
    #[must_use]
    pub fn count(&self, outcome: u8) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.outcome == outcome).count()
    }
}

/// One epoch of an audit.
#[derive(Debug)]
pub struct Epoch {
    /// Epoch.
    pub epoch: u64,
    /// What it took, reading included.
    pub took: Duration,
    /// What was found.
    pub found: Result<Proven, Fault>,
}

/// Which epochs to audit. An end that is left open is the archive's own; one that is given must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First epoch.
    pub from: Option<u64>,
    /// Last epoch.
    pub to: Option<u64>,
}

/// An audit ready to run: the chain as folded from its log, and the policy books that its terms name.
#[derive(Debug)]
pub struct Audit {
    chain: Chain,
    stream: u32,
    history: History,
    books: Vec<Book>,
}

/// The name of an epoch's bundle in an archive folder.
#[must_use]
pub fn file_name(epoch: u64) -> String {
    format!("epoch-{epoch:06}.bundle")
}

/// The epochs that a folder has bundles of; files of other names are passed over.
///
/// # Errors
/// A folder that cannot be listed.
pub fn epochs_in(folder: &Path) -> std::io::Result<BTreeSet<u64>> {
    let mut epochs = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix("epoch-")?.strip_suffix(".bundle"));
        // Only the one spelling that `file_name` gives, so that no epoch can be there twice.
        let epoch =
            digits.and_then(|digits| digits.parse().ok()).filter(|epoch| name.to_str() == Some(&file_name(*epoch)));
        epochs.extend(epoch);
    }
    Ok(epochs)
}

impl Audit {
    /// Folds the chain log and checks that it and one of the books (their texts) are those of the term.
    ///
    /// # Errors
    /// A log line that cannot be read, a term that the log does not configure and activate, or no book of the term's.
    pub fn new(chain: Chain, stream: u32, log: impl BufRead, books: &[Vec<u8>]) -> Result<Self, AuditError> {
        let books: Vec<Book> =
            books.iter().map(|text| Book::parse(text)).collect::<Result<_, _>>().map_err(AuditError::Book)?;
        let first = books.first().ok_or_else(|| AuditError::Book("none is given".to_owned()))?;
        let history = chain_log::fold(&chain, first.conduct.snapshot_lag_ms, log)?;
        let named = format!("term {} of committee {}", chain.term, chain.committee);
        let Some(term) = history.term() else {
            return Err(AuditError::Chain(format!("{named} is not configured here; are the addresses right?")));
        };
        if term.genesis_ms.is_none() {
            return Err(AuditError::Chain(format!("{named} is configured but not activated")));
        }
        if !books.iter().any(|book| book.root() == term.book_root) {
            return Err(AuditError::Book(format!("{named} names the book with root {}", term.book_root)));
        }
        Ok(Self { chain, stream, history, books })
    }

    /// The chain as of the log's last block.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The epochs to replay, ascending: those archived within the span, those that the chain settled between its ends,
    /// and the ends that were asked for outright.
    ///
    /// # Errors
    /// A folder that cannot be listed or has no bundle within the span.
    pub fn plan(&self, folder: &Path, span: Span) -> Result<BTreeSet<u64>, AuditError> {
        let archived = epochs_in(folder).map_err(|e| AuditError::Archive(format!("{}: {e}", folder.display())))?;
        let asked = span.from.unwrap_or(0)..=span.to.unwrap_or(u64::MAX);
        let mut epochs: BTreeSet<u64> = archived.into_iter().filter(|epoch| asked.contains(epoch)).collect();
        if epochs.is_empty() {
            let wanted = format!("{}: no file such as {} within the span", folder.display(), file_name(0));
            return Err(AuditError::Archive(wanted));
        }
        epochs.extend(span.from.into_iter().chain(span.to));
        if let (Some(first), Some(last)) = (epochs.first().copied(), epochs.last().copied()) {
            epochs.extend(self.settled().filter(|epoch| (first..=last).contains(epoch)));
        }
        Ok(epochs)
    }

    /// The epochs that the chain log settles, ascending.
    pub fn settled(&self) -> impl Iterator<Item = u64> {
        let (committee, stream) = (self.chain.committee, self.stream);
        let posted = self.history.registry().posted().keys();
        posted.filter(move |key| (key.0, key.1) == (committee, stream)).map(|key| key.2)
    }

    /// Replays the epochs of [`Self::plan`] in order and gives each to `show` as soon as it is known. What `show` cannot
    /// know yet, an epoch that no later one settles, is a [`Fault::Unsettled`] in what is returned.
    ///
    /// # Errors
    /// As [`Self::plan`]; what is wrong with an epoch is in its [`Epoch::found`].
    pub fn run(&self, folder: &Path, span: Span, mut show: impl FnMut(&Epoch)) -> Result<Vec<Epoch>, AuditError> {
        let mut epochs = Vec::new();
        let mut previous: Option<(u64, State)> = None;
        for epoch in self.plan(folder, span)? {
            let began = Instant::now();
            let linked =
                previous.take().filter(|(before, _)| before.checked_add(1) == Some(epoch)).map(|(_, state)| state);
            let found = read(folder, epoch).and_then(|bytes| self.replay(&bytes, epoch, linked));
            let found = found.map(|(proven, state)| {
                previous = Some((epoch, state));
                proven
            });
            let done = Epoch { epoch, took: began.elapsed(), found };
            show(&done);
            epochs.push(done);
        }
        name_unsettled(&mut epochs);
        Ok(epochs)
    }

    /// Replays one bundle. `linked` is the state that the replay of the epoch before ended with, if there was one.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn replay(&self, bytes: &[u8], epoch: u64, linked: Option<State>) -> Result<(Proven, State), Fault> {
        let bundle = Bundle::decode(bytes).map_err(ReplayError::from)?;
        if (bundle.stream, bundle.epoch) != (self.stream, epoch) {
            return Err(Fault::Other { stream: bundle.stream, epoch: bundle.epoch });
        }
        let from_chain = linked.is_none() && epoch > 0;
        let start = if from_chain { Some(self.settled_start(&bundle)?) } else { linked };
        let replayed = archive::replay(bytes, &self.history, self.book(epoch)?, start.as_ref())?;
        let posted = self.posted(epoch);
        if let Some(posted) = posted {
            same_roots(posted, &replayed)?;
        }
        let outcome = replayed.outcome;
        let proven = Proven {
            digest: replayed.digest,
            evidence: replayed.evidence,
            observations: bundle.observations.len(),
            left_out: bundle.disagreement.len(),
            beacons: bundle.beacons.len(),
            leases: outcome.leaves.len(),
            verdicts: outcome.verdicts,
            void_slots: outcome.void_slots.len(),
            block: posted.map(|posted| posted.block),
            from_chain,
        };
        Ok((proven, outcome.state))
    }

    /// The book of the term that an epoch is in.
    fn book(&self, epoch: u64) -> Result<&Book, Fault> {
        let wanted = self.history.term_of(epoch).map(|term| term.book_root);
        let book = self.books.iter().find(|book| Some(book.root()) == wanted);
        let lacking = || ReplayError::Book(format!("none with root {} is given", wanted.unwrap_or_default()));
        book.ok_or_else(|| lacking().into())
    }

    fn posted(&self, epoch: u64) -> Option<&Posted> {
        self.history.registry().posted().get(&(self.chain.committee, self.stream, epoch))
    }

    /// The bundle's starting state, if its root is the one that the chain settled for the epoch before.
    fn settled_start(&self, bundle: &Bundle) -> Result<State, Fault> {
        // Where governance rotated without the old key, the epoch before is the last one that the chain holds.
        let skips = self.history.start_at(bundle.epoch).is_some_and(|start| start.forced);
        let last = self.settled().filter(|epoch| *epoch < bundle.epoch).last();
        let before = last.filter(|_| skips).unwrap_or(bundle.epoch.saturating_sub(1));
        let posted = self.posted(before).ok_or(Fault::NoStart(before))?;
        // The root was taken before the header had a digest: over the state that named the header before that.
        let earlier = match before.checked_sub(1) {
            Some(earlier) => self.posted(earlier).ok_or(Fault::NoStart(before))?.digest,
            None => B256::ZERO,
        };
        let mut state = bundle.state.clone();
        let names_it = state.previous_header.0 == posted.digest.0;
        state.next_epoch = before.saturating_add(1);
        state.previous_header = Hash::from(earlier.0);
        if !names_it || state_root(&state) != posted.state_root.0 {
            return Err(ReplayError::NotLinked(bundle.epoch).into());
        }
        Ok(bundle.state.clone())
    }
}

/// The digest covers the roots; a hub that announces others under it is broken, and leases are paid by the roots.
fn same_roots(posted: &Posted, replayed: &Replayed) -> Result<(), Fault> {
    let header = &replayed.outcome.header;
    if posted.leaves_root != header.leavesRoot {
        return Err(Fault::Root("leaves root"));
    }
    if posted.state_root != header.stateRoot {
        return Err(Fault::Root("state root"));
    }
    Ok(())
}

/// An epoch that the hub does not hold is settled by the next one, if that one was built on it and is settled itself.
fn name_unsettled(epochs: &mut [Epoch]) {
    let mut carried: Option<u64> = None;
    for one in epochs.iter_mut().rev() {
        let Ok(proven) = &one.found else {
            carried = None;
            continue;
        };
        if proven.block.is_none() && carried != Some(one.epoch) {
            one.found = Err(Fault::Unsettled);
            carried = None;
            continue;
        }
        carried = if proven.from_chain { None } else { one.epoch.checked_sub(1) };
    }
}

fn read(folder: &Path, epoch: u64) -> Result<Vec<u8>, Fault> {
    let path = folder.join(file_name(epoch));
    let length = match std::fs::metadata(&path) {
        Ok(found) => found.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Fault::Missing(epoch)),
        Err(e) => return Err(Fault::File { path, what: e.to_string() }),
    };
    if usize::try_from(length).map_or(true, |length| length > limits::BUNDLE_BYTES_MAX) {
        let what = format!("{length} bytes, over the limit of {}", limits::BUNDLE_BYTES_MAX);
        return Err(Fault::File { path, what });
    }
    std::fs::read(&path).map_err(|e| Fault::File { path, what: e.to_string() })
}
