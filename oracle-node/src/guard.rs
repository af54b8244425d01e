//! The doppelganger guard at work: a mark beside the keys shows when the store is an older copy, another store, or was
//! moved; until the core's guard (`oracle_core::guard`) lifts the silence, nothing new leaves this node.
//!
//! The mark is a file of two lines, written in turn, each with a checksum: the store's name, how many records it had
//! written when this node last spoke, and the file's own inode. It is durable before a statement leaves, and is on
//! purpose not in the store: whoever puts back the store alone, or copies both, leaves a trace.
//! Leaves out: an image of the whole disk put back. Only the network and the chain know then (`Sentry`).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use alloy::primitives::Address;
use oracle_core::guard::{Finding, Floor, Guard};
use oracle_core::term::Term;
use oracle_core::typed::Kind;
use oracle_core::wire::{InstanceId, Message, Statement};
use sha2::{Digest as _, Sha256};

use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Why the guard cannot work, or must stop the node.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The mark cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The mark.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process signs with this member's key.
    #[error(
        "another process signs with the key of member {member}: it spoke of {what}, which this one did not ({how}). This one has stopped and is to stay stopped: find where else the key runs, stop that one for good or give up this one (two that sign cost the bond)"
    )]
    Doppelganger {
        /// Whose key it is.
        member: Address,
        /// What it spoke of.
        what: String,
        /// How that is known.
        how: &'static str,
    },
    /// A failed disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether the store is known to hold everything this member ever said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It does.
    Whole,
    /// It may not, and why.
    Lost(&'static str),
}

/// What one line of the mark says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Line {
    /// Lines are numbered; the higher of the two counts.
    sequence: u64,
    /// The store's name; zeros = none yet.
    store: [u8; 16],
    /// The store's count of records when this node last spoke.
    written: u64,
    /// Inode of the mark itself: a copy has another one.
    inode: u64,
}

/// Bytes of a line, its newline included.
const LINE_BYTES: usize = 160;

impl Line {
    fn text(&self) -> String {
        let Self { sequence, store, written, inode } = self;
        let body = format!("mark 1 {sequence:020} {} {written:020} {inode:020}", hex::encode(store));
        let line = format!("{body} {}", check(&body));
        format!("{line:<width$}\n", width = LINE_BYTES - 1)
    }

    fn parse(text: &str) -> Option<Self> {
        let (body, sum) = text.trim_end().rsplit_once(' ')?;
        let mut words = body.strip_prefix("mark 1 ")?.split(' ');
        let number = |word: Option<&str>| word?.parse().ok();
        let sequence = number(words.next())?;
        let store = hex::decode(words.next()?).ok()?.try_into().ok()?;
        let (written, inode) = (number(words.next())?, number(words.next())?);
        (check(body) == sum).then_some(Self { sequence, store, written, inode })
    }
}

fn check(body: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(body).into();
    hex::encode(&hash[..8])
}

/// The mark beside the keys.
#[derive(Debug)]
pub struct Mark {
    path: PathBuf,
    file: File,
    last: Mutex<Line>,
}

impl Mark {
    /// Makes the mark of a new member key, which has signed nothing; an existing one is left alone.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn of_new_key(path: &Path) -> Result<(), GuardError> {
        if matches!(path.try_exists(), Ok(true)) {
            return Ok(());
        }
        let mark = Self::create(path)?;
        mark.write(Line::default())
    }

    fn create(path: &Path) -> Result<Self, GuardError> {
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = open.map_err(|source| GuardError::Io { path: path.into(), source })?;
        Ok(Self { path: path.into(), file, last: Mutex::new(Line::default()) })
    }

    /// Opens the mark and compares it with the store. Where there is none, an empty one is made: it fits no store.
    ///
    /// # Errors
    /// It cannot be read or made.
    pub fn open(path: &Path, store: &Store) -> Result<(Self, Memory), GuardError> {
        let known = matches!(path.try_exists(), Ok(true));
        let mark = Self::create(path)?;
        let mut text = vec![0; 2 * LINE_BYTES];
        let read = mark.file.read_at(&mut text, 0).map_err(|source| mark.failed(source))?;
        let lines = text[..read].chunks(LINE_BYTES).filter_map(|line| Line::parse(std::str::from_utf8(line).ok()?));
        let Some(last) = lines.max_by_key(|line| line.sequence) else {
            let why =
                if known { "its mark is damaged" } else { "it has no mark: keys were moved here, or it is older" };
            return Ok((mark, Memory::Lost(why)));
        };
        *mark.lock() = last;
        let memory = match () {
            () if last.inode != mark.inode()? => Memory::Lost("its keys were copied from another place"),
            () if last.written == 0 && store.written() == 0 => Memory::Whole,
            () if last.store != *store.identity() => Memory::Lost("the store is not the one that it spoke from"),
            () if last.written > store.written() => Memory::Lost("the store is an older copy of itself"),
            () => Memory::Whole,
        };
        Ok((mark, memory))
    }

    /// Notes that this node is about to speak. Durable before returning; costs nothing when the store has not changed.
    ///
    /// # Errors
    /// It cannot be written: nothing may leave then.
    pub fn before_speaking(&self, store: &Store) -> Result<(), GuardError> {
        let last = *self.lock();
        let now = Line { store: *store.identity(), written: store.written(), ..last };
        if now == last { Ok(()) } else { self.write(now) }
    }

    /// Writes the line that is not the last one, so that a torn write leaves the last.
    fn write(&self, line: Line) -> Result<(), GuardError> {
        let line = Line { sequence: line.sequence.saturating_add(1), inode: self.inode()?, ..line };
        let place = if line.sequence.is_multiple_of(2) { 0 } else { LINE_BYTES as u64 };
        let written = self.file.write_all_at(line.text().as_bytes(), place).and_then(|()| self.file.sync_data());
        written.map_err(|source| self.failed(source))?;
        *self.lock() = line;
        Ok(())
    }

    fn inode(&self) -> Result<u64, GuardError> {
        self.file.metadata().map(|found| found.ino()).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> GuardError {
        GuardError::Io { path: self.path.clone(), source }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Line> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The guard of one term at its door: asked before anything is said, told whatever is heard.
#[derive(Debug)]
pub struct Sentry {
    guard: Guard,
    term: u64,
    me: u32,
    mark: Arc<Mark>,
    store: Arc<Store>,
    metrics: Metrics,
}

impl Sentry {
    /// Posts a sentry for a term. `observe_delay_ms` is the policy's δ, `now` unix ms.
    ///
    /// # Errors
    /// A failed disk.
    pub fn post(
        (mark, memory): (Arc<Mark>, Memory),
        (store, metrics): (Arc<Store>, Metrics),
        (term, me): (&Term, u32),
        observe_delay_ms: u64,
        now: u64,
    ) -> Result<Self, GuardError> {
        let kept = store.floor(term.scope.term)?;
        // A listening that was broken off begins again.
        let forgotten = memory != Memory::Whole || kept == Some(Floor::SILENT);
        if let Memory::Lost(why) = memory {
            tracing::warn!(
                "this member may have forgotten what it said ({why}): it only listens until it has seen others report without it, and leaves \
                 epochs that ended before to the others"
            );
        }
        let floor = kept.unwrap_or_default();
        if forgotten {
            store.put_floor(term.scope.term, &Floor::SILENT)?;
        } else {
            // The core may have written down what was then withheld here: that was never said, and must not be.
            store.note_journal(&term.scope, |instance| floor.allows(instance))?;
        }
        let guard = Guard::new(term, me, observe_delay_ms, floor, forgotten, now);
        let sentry = Self { guard, term: term.scope.term, me, mark, store, metrics };
        sentry.show();
        Ok(sentry)
    }

    /// First epoch that the core may speak of.
    #[must_use]
    pub const fn from_epoch(&self) -> u64 {
        self.guard.floor().reports
    }

    /// Whether it only listens at the moment.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.guard.floor() == Floor::SILENT
    }

    /// Asked before one of this node's own statements leaves; when it may, the mark is durable on return.
    ///
    /// # Errors
    /// A failed disk: nothing may leave then.
    pub fn may_say(&self, statement: &Statement) -> Result<bool, GuardError> {
        // To say again what was said is no new vote.
        if !self.store.remembers_in(self.term, statement)? && !self.guard.floor().allows(&statement.instance) {
            return Ok(false);
        }
        self.mark.before_speaking(&self.store)?;
        Ok(true)
    }

    /// Told every message of the members. `true` when the core must fall silent.
    ///
    /// # Errors
    /// A doppelganger, or a failed disk.
    pub fn hear(&mut self, term: &Term, message: &Message, now: u64) -> Result<bool, GuardError> {
        let (store, number, mut failed) = (&self.store, self.term, None);
        let remembers = |statement: &Statement| {
            store.remembers_in(number, statement).unwrap_or_else(|error| {
                failed = Some(error);
                true
            })
        };
        let finding = self.guard.hear(term, message, now, remembers);
        failed.map_or_else(
            || self.act(term, finding, "its signature is in a member's message"),
            |error| Err(error.into()),
        )
    }

    /// Told every certified report, from the committee or from the chain: whether it rests on an observation of this member
    /// (`participation`). That bit cannot be set without one: it is part of the header, which n−f members signed only
    /// after checking the signed observations that it rests on. A leader can leave an observation out, never invent one.
    /// `true` as in [`Self::hear`].
    ///
    /// # Errors
    /// A doppelganger, or a failed disk.
    pub fn certified(
        &mut self,
        term: &Term,
        stream: u32,
        epoch: u64,
        took_part: bool,
        now: u64,
    ) -> Result<bool, GuardError> {
        if !took_part {
            self.guard.absent(term, epoch);
            return Ok(false);
        }
        if self.store.observed_in(self.term, stream, epoch)? {
            return Ok(false);
        }
        let finding = self.guard.spoke(term, InstanceId::new(Kind::Report, stream, epoch), now);
        self.act(term, Some(finding), "the certified report rests on an observation signed with it")
    }

    fn act(&self, term: &Term, finding: Option<Finding>, how: &'static str) -> Result<bool, GuardError> {
        let Some(finding) = finding else { return Ok(false) };
        self.metrics.forgotten_statements.inc();
        match finding {
            Finding::Doppelganger(instance) => {
                let place = usize::try_from(self.me).ok().and_then(|me| term.members.get(me));
                let member = place.map_or(Address::ZERO, |member| member.address);
                Err(GuardError::Doppelganger { member, what: named(&instance), how })
            }
            Finding::Forgotten(instance) => {
                tracing::warn!(
                    "this member spoke of {} and does not remember it: was the store put back?",
                    named(&instance)
                );
                if self.listens() {
                    self.store.put_floor(term.scope.term, &Floor::SILENT)?;
                }
                self.show();
                Ok(self.listens())
            }
        }
    }

    /// Ends the listening when it is time: gives the first epoch that the core may speak of, once. `posted` is the last
    /// epoch on the chain, `next_batch` the first batch of device keys that it has not used.
    ///
    /// # Errors
    /// A failed disk.
    pub fn settle(
        &mut self,
        term: &Term,
        posted: Option<u64>,
        next_batch: u64,
        now: u64,
    ) -> Result<Option<u64>, GuardError> {
        let Some(floor) = self.guard.settle(term, posted, next_batch, now) else { return Ok(None) };
        self.store.put_floor(term.scope.term, &floor)?;
        self.mark.before_speaking(&self.store)?;
        tracing::info!(from_epoch = floor.reports, "nobody else signs with this member's key; it takes part again");
        self.show();
        Ok(Some(floor.reports))
    }

    fn show(&self) {
        self.metrics.listening.set(i64::from(self.listens()));
    }

    /// This member's index.
    #[must_use]
    pub const fn member(&self) -> u32 {
        self.me
    }
}

/// An instance in words.
fn named(instance: &InstanceId) -> String {
    match instance.kind() {
        Some(Kind::Report) => format!("the report of epoch {}", instance.epoch),
        Some(kind) => format!("{kind:?} {}", instance.epoch),
        None => format!("kind {} {}", instance.kind, instance.epoch),
    }
}

#[cfg(test)]
mod tests;
