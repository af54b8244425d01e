//! What this node has said: every signed statement that left it, by instance, phase and view. A second, independent
//! line behind the core's journal: a statement that contradicts an earlier one does not leave.
//! A note is not synced. Power lost before the next synced write takes it and leaves the journal's record, which is why
//! [`Store::note_journal`] takes notes of the journal at every start.
//! Key: kind ‖ stream ‖ epoch ‖ phase ‖ view, big-endian, then the term unless it is 1;
//! value: the 32 bytes said.

use oracle_core::guard::{JOURNALED, journaled};
use oracle_core::typed::{Kind, Phase, Scope};
use oracle_core::wire::{InstanceId, Message, Statement};
use rocksdb::WriteBatch;

use super::{JOURNAL, STATEMENTS, Store, StoreError};

/// What asking before speaking found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing or the same was said before.
    Consistent,
    /// Something else was said: this must not leave.
    Contradicts,
}

/// A statement as listed: instance, phase, view, value.
pub type Listed = (InstanceId, u8, u32, [u8; 32]);

impl Store {
    /// Notes a statement that is about to leave. Not synced on its own: the core's journal before it is.
    ///
    /// # Errors
    /// A failed disk.
    pub fn note_statement(&self, statement: &Statement) -> Result<Said, StoreError> {
        self.note_statement_in(FIRST_TERM, statement)
    }

    /// The same for a statement of any term: instances of two terms are two instances.
    ///
    /// # Errors
    /// A failed disk.
    pub fn note_statement_in(&self, term: u64, statement: &Statement) -> Result<Said, StoreError> {
        let key = key_in(term, &statement.instance, statement.phase, statement.view);
        match self.get(STATEMENTS, &key)? {
            Some(value) if value == *statement.value => Ok(Said::Consistent),
            Some(_) => Ok(Said::Contradicts),
            None => {
                let mut batch = WriteBatch::default();
                batch.put_cf(self.family(STATEMENTS)?, key, *statement.value);
                self.db.write(batch)?;
                Ok(Said::Consistent)
            }
        }
    }

    /// Notes every statement of a term that the journal holds about instances that were free to be spoken of: each may have
    /// left, and whoever does not remember it takes its own word for a twin's. Of the others some were withheld.
    ///
    /// # Errors
    /// A failed disk.
    pub fn note_journal(&self, scope: &Scope, free: impl Fn(&InstanceId) -> bool) -> Result<(), StoreError> {
        for tag in JOURNALED {
            let mut held = Vec::new();
            self.scan(JOURNAL, tag, |key, value| {
                held.extend(journaled(scope, key, value));
                key.starts_with(tag)
            })?;
            for statement in held.into_iter().filter(|statement: &Statement| free(&statement.instance)) {
                self.note_statement_in(scope.term, &statement)?;
            }
        }
        Ok(())
    }

    /// Whether exactly this statement has left this node.
    ///
    /// # Errors
    /// A failed disk.
    pub fn remembers_in(&self, term: u64, statement: &Statement) -> Result<bool, StoreError> {
        let said = self.get(STATEMENTS, &key_in(term, &statement.instance, statement.phase, statement.view))?;
        Ok(said.is_some_and(|value| value == *statement.value))
    }

    /// Whether this node has sent an observation of an epoch.
    ///
    /// # Errors
    /// A failed disk.
    pub fn observed_in(&self, term: u64, stream: u32, epoch: u64) -> Result<bool, StoreError> {
        let instance = InstanceId::new(Kind::Report, stream, epoch);
        Ok(self.get(STATEMENTS, &key_in(term, &instance, Phase::Observation as u8, 0))?.is_some())
    }

    /// Everything said about instances of a kind from an epoch on, ascending, at most `limit`.
    ///
    /// # Errors
    /// A failed disk.
    pub fn statements(&self, kind: u8, stream: u32, from_epoch: u64, limit: usize) -> Result<Vec<Listed>, StoreError> {
        let start = key(&InstanceId { kind, stream, epoch: from_epoch }, 0, 0);
        let mut listed = Vec::new();
        self.scan(STATEMENTS, &start, |found, value| match read(found, value) {
            Some(row) if row.0.kind == kind && row.0.stream == stream && listed.len() < limit => {
                listed.push(row);
                true
            }
            _ => false,
        })?;
        Ok(listed)
    }
}

/// The sender's own statement in a broadcast, if it carries one.
#[must_use]
pub const fn spoken(message: &Message) -> Option<&Statement> {
    match message {
        Message::Observation(statement, _) | Message::Vote(statement) => Some(statement),
        Message::Proposal(proposal) => Some(&proposal.statement),
        Message::RoundChange(change) => Some(&change.statement),
        Message::Partial(partial) => Some(&partial.statement),
        _ => None,
    }
}

/// The term whose statements are kept without its number.
const FIRST_TERM: u64 = 1;

fn key_in(term: u64, instance: &InstanceId, phase: u8, view: u32) -> Vec<u8> {
    let mut key = key(instance, phase, view);
    if term != FIRST_TERM {
        key.extend(term.to_be_bytes());
    }
    key
}

fn key(instance: &InstanceId, phase: u8, view: u32) -> Vec<u8> {
    let place = [&[instance.kind][..], &instance.stream.to_be_bytes(), &instance.epoch.to_be_bytes()].concat();
    [&place[..], &[phase], &view.to_be_bytes()].concat()
}

fn read(key: &[u8], value: &[u8]) -> Option<Listed> {
    let (kind, rest) = key.split_first()?;
    let (stream, rest) = rest.split_first_chunk::<4>()?;
    let (epoch, rest) = rest.split_first_chunk::<8>()?;
    let (phase, view) = rest.split_first()?;
    let instance = InstanceId { kind: *kind, stream: u32::from_be_bytes(*stream), epoch: u64::from_be_bytes(*epoch) };
    // What follows the view is the term, where it is not the first.
    let view = view.first_chunk::<4>()?;
    Some((instance, *phase, u32::from_be_bytes(*view), value.try_into().ok()?))
}
