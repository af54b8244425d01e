//! What an instance persists, and how it comes back.
//!
//! Keys: `"qbft/" ‖ instance hash (32) ‖ "/" ‖ tag ‖ view u32be`, values CBOR as on the wire:
//!
//! | tag | value | written before |
//! |---|---|---|
//! | `v1` | prepare statement | it is broadcast |
//! | `v2` | commit statement | it is broadcast |
//! | `o`  | proposal message | it is broadcast |
//! | `c`  | round change message | it is broadcast |
//! | `p`  (view 0) | prepared proof and content | the commit vote |
//! | `d`  (view 0) | decided message | the decision is announced |
//!
//! An empty value means deleted: whoever drops an instance may overwrite its records so.

use alloy_primitives::B256;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::{Prepared, Qbft};
use crate::effect::Record;
use crate::typed::Phase;
use crate::wire::{self, Decided, InstanceId, PreparedProof, Proposal, RoundChange, Statement};

pub(crate) const PREFIX: &[u8] = b"qbft/";
/// A record may hold one message and a little more.
const RECORD_BYTES_MAX: usize = crate::limits::MESSAGE_BYTES_MAX * 2;

/// One row of the table above.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tag {
    Prepare,
    Commit,
    Proposal,
    RoundChange,
    Prepared,
    Decided,
}

impl Tag {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Prepare => b"v1",
            Self::Commit => b"v2",
            Self::Proposal => b"o",
            Self::RoundChange => b"c",
            Self::Prepared => b"p",
            Self::Decided => b"d",
        }
    }
}

/// `p` records.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct PreparedRecord {
    #[n(0)]
    proof: PreparedProof,
    #[n(1)]
    content: ByteVec,
}

/// The start of every key of an instance; `None` for a kind unknown to this version.
#[must_use]
pub fn journal_prefix(scope: &crate::typed::Scope, instance: InstanceId) -> Option<Vec<u8>> {
    let hash: B256 = instance.hash(scope)?;
    Some([PREFIX, hash.as_slice(), b"/"].concat())
}

/// The key of an instance's decision (`d`); `None` for a kind unknown to this version.
#[must_use]
pub fn decided_key(scope: &crate::typed::Scope, instance: InstanceId) -> Option<Vec<u8>> {
    Some([journal_prefix(scope, instance)?.as_slice(), Tag::Decided.bytes(), &0u32.to_be_bytes()].concat())
}

/// The instance that a record of an agreement is about; `None` for any other record, and for one of another version.
pub(crate) fn instance_of(record: &Record) -> Option<InstanceId> {
    let rest = record.key.strip_prefix(PREFIX)?.get(33..)?;
    let (tag, _view) = rest.split_last_chunk::<4>()?;
    let statement = match tag {
        b"v1" | b"v2" => decode::<Statement>(&record.value)?,
        b"o" => decode::<Proposal>(&record.value)?.statement,
        b"c" => decode::<RoundChange>(&record.value)?.statement,
        b"p" => decode::<PreparedRecord>(&record.value)?.proof.prepares.into_iter().next()?,
        b"d" => decode::<Decided>(&record.value)?.commits.into_iter().next()?,
        _ => return None,
    };
    Some(statement.instance)
}

impl Qbft {
    pub(super) fn record(&self, tag: Tag, view: u32, value: Vec<u8>) -> Record {
        let prefix = journal_prefix(&self.config.scope, self.config.instance).unwrap_or_default();
        Record { key: [prefix.as_slice(), tag.bytes(), &view.to_be_bytes()].concat(), value }
    }

    pub(super) fn prepared_record(&self, prepared: &Prepared) -> Record {
        let content = super::wire_content(&prepared.content);
        let value = PreparedRecord { proof: prepared.proof.clone(), content };
        self.record(Tag::Prepared, 0, wire::encode(&value))
    }

    /// Takes back everything this member said. Records that do not decode are not this version's and are left alone.
    pub(super) fn load(&mut self, records: &[Record]) {
        let Some(prefix) = journal_prefix(&self.config.scope, self.config.instance) else { return };
        for record in records {
            let Some(rest) = record.key.strip_prefix(prefix.as_slice()) else { continue };
            let Some((tag, _view)) = rest.split_last_chunk::<4>() else { continue };
            match tag {
                b"v1" | b"v2" => self.load_statement(decode::<Statement>(&record.value)),
                b"o" => self.load_proposal(decode(&record.value)),
                b"c" => self.load_round_change(decode(&record.value)),
                b"p" => self.load_prepared(decode(&record.value)),
                b"d" => self.load_decided(decode(&record.value)),
                _ => {}
            }
        }
    }

    fn load_statement(&mut self, statement: Option<Statement>) {
        let Some(statement) = statement else { return };
        self.view = self.view.max(statement.view);
        self.book.note_own(&statement);
        self.count(&statement);
        self.mine.insert((statement.phase, statement.view), statement);
    }

    fn load_proposal(&mut self, proposal: Option<Proposal>) {
        let Some(mut proposal) = proposal else { return };
        self.load_statement(Some(proposal.statement.clone()));
        let newest = self.my_proposal.as_ref().is_none_or(|p| p.statement.view < proposal.statement.view);
        if newest {
            self.my_proposal = Some(proposal.clone());
        }
        let content = core::mem::replace(&mut proposal.content, super::wire_content(&[]));
        self.pool.trust(proposal.statement.value(), content.into());
        self.proposals.insert(proposal.statement.view, proposal);
    }

    fn load_round_change(&mut self, change: Option<RoundChange>) {
        let Some(mut change) = change else { return };
        self.load_statement(Some(change.statement.clone()));
        let view = change.statement.view;
        if self.my_round_change.as_ref().is_none_or(|c| c.statement.view < view) {
            self.my_round_change = Some(change.clone());
        }
        change.content = None;
        self.round_changes.entry(view).or_default().insert(self.config.me, change);
    }

    fn load_prepared(&mut self, record: Option<PreparedRecord>) {
        let Some(record) = record else { return };
        let content: Vec<u8> = record.content.into();
        self.pool.trust(B256::from(*record.proof.value), content.clone());
        self.prepared = Some(Prepared { proof: record.proof, content });
    }

    fn load_decided(&mut self, decided: Option<Decided>) {
        let Some(decided) = decided else { return };
        if let Some(value) = decided.commits.first().map(Statement::value) {
            self.decided = Some((value, decided));
        }
    }

    /// Counts a prepare or commit vote; the first of each member stays.
    pub(super) fn count(&mut self, statement: &Statement) {
        if matches!(statement.phase(), Some(Phase::Prepare | Phase::Commit)) {
            let votes = self.votes.entry((statement.view, statement.phase)).or_default();
            votes.entry(statement.member).or_insert_with(|| statement.clone());
        }
    }
}

fn decode<T: for<'b> Decode<'b, ()> + Encode<()>>(bytes: &[u8]) -> Option<T> {
    wire::decode(bytes, RECORD_BYTES_MAX).ok()
}
