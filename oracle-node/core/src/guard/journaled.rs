//! The statements that the core's journal holds: each was durable before it left. A node's own note of what it said may be
//! younger than its disk after a power cut; the journal is not. Formats: the tables of `oracle::journal` (`obs/`, `sign/`)
//! and `qbft::journal`. Leaves out: the ask of a refresh, of which the journal keeps only the number.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::limits::MESSAGE_BYTES_MAX;
use crate::qbft::journal_prefix;
use crate::typed::Scope;
use crate::wire::{self, Proposal, RoundChange, SignedPartial, Statement};

/// The keys under which statements are kept.
pub const JOURNALED: [&[u8]; 3] = [b"obs/", b"sign/", b"qbft/"];

/// A record holds one message and a little more.
const RECORD_BYTES_MAX: usize = MESSAGE_BYTES_MAX * 2;

/// An `obs/` record.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Observed {
    #[n(0)]
    statement: Statement,
    #[n(1)]
    body: ByteVec,
}

/// This member's own statement in a record of its journal, if the record holds one of this term. Signatures are not
/// checked: only the core writes the journal. `None` of every other record, of deleted ones and of those of other terms.
#[must_use]
pub fn journaled(scope: &Scope, key: &[u8], value: &[u8]) -> Option<Statement> {
    let statement = match () {
        () if key.starts_with(b"obs/") => read::<Observed>(value)?.statement,
        () if key.starts_with(b"sign/") => read::<SignedPartial>(value)?.statement,
        () => match key.strip_prefix(b"qbft/")?.get(33..)?.split_last_chunk::<4>()?.0 {
            b"v1" | b"v2" => read::<Statement>(value)?,
            b"o" => read::<Proposal>(value)?.statement,
            b"c" => read::<RoundChange>(value)?.statement,
            _ => return None,
        },
    };
    // A statement does not name its term; the instance's hash in the key does.
    let instance = statement.instance.hash(scope)?;
    let ours = match key.starts_with(b"qbft/") {
        true => key.starts_with(&journal_prefix(scope, statement.instance)?),
        false => key.ends_with(instance.as_slice()),
    };
    ours.then_some(statement)
}

fn read<T: for<'b> Decode<'b, ()> + Encode<()>>(bytes: &[u8]) -> Option<T> {
    wire::decode(bytes, RECORD_BYTES_MAX).ok()
}
