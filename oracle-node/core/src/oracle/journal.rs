//! What the oracle persists beside agreement (`qbft`), keys (`bootstrap`) and beacons (`beacon`).
//!
//! Keys: `tag ‖ instance hash (32)` of the report instance:
//!
//! | tag | value | written before |
//! |---|---|---|
//! | `obs/`   | own observation statement and body | it is broadcast |
//! | `sign/`  | own partial with its statement: one digest per instance, for ever | it is broadcast |
//! | `state/` | Σ *before* the epoch of the instance | anything of that epoch |
//! | `cert/`  | the certificate | after [`crate::effect::Effect::Certified`] was handed over |
//! | `head/`  | a certified header and its certificate | the report is handed over |
//! | `origin/` | the checkpoint that a rotated term began from (instance: its first epoch) | anything of that epoch |
//! | `fault/` (‖ member u32be ‖ phase ‖ view u32be) | a fault proof | – |
//!
//! An empty value means deleted. `sign/` is never deleted.

use alloy_primitives::B256;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::effect::{Journal, Record};
use crate::typed::Scope;
use crate::wire::{self, InstanceId, Statement};

pub(super) const OBSERVATION: &[u8] = b"obs/";
pub(super) const SIGN: &[u8] = b"sign/";
pub(super) const STATE: &[u8] = b"state/";
pub(super) const CERTIFIED: &[u8] = b"cert/";
pub(super) const FAULT: &[u8] = b"fault/";
pub(super) const HEAD: &[u8] = b"head/";
pub(super) const ORIGIN: &[u8] = b"origin/";

/// Longest record; a state holds a line per lease and device.
const RECORD_BYTES_MAX: usize = 1 << 28;

/// Own observation: what was signed and what it hashes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Own {
    #[n(0)]
    pub(super) statement: Statement,
    #[n(1)]
    pub(super) body: ByteVec,
}

pub(super) fn key(tag: &[u8], scope: &Scope, instance: InstanceId) -> Vec<u8> {
    let hash: B256 = instance.hash(scope).unwrap_or_default();
    [tag, hash.as_slice()].concat()
}

pub(super) fn record<T: Encode<()>>(tag: &[u8], scope: &Scope, instance: InstanceId, value: &T) -> Record {
    Record { key: key(tag, scope, instance), value: wire::encode(value) }
}

/// Reads one record back; `None` when there is none, it was deleted, or it is not of this version.
pub(super) fn load<T>(journal: &Journal, tag: &[u8], scope: &Scope, instance: InstanceId) -> Option<T>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let key = key(tag, scope, instance);
    let record = journal.iter().find(|record| record.key == key)?;
    wire::decode(&record.value, RECORD_BYTES_MAX).ok()
}

/// Every record under a tag that decodes.
pub(super) fn all<T>(journal: &Journal, tag: &[u8]) -> Vec<(Vec<u8>, T)>
where
    T: for<'b> Decode<'b, ()> + Encode<()>,
{
    let tagged = journal.iter().filter(|record| record.key.starts_with(tag));
    tagged.filter_map(|r| Some((r.key.clone(), wire::decode(&r.value, RECORD_BYTES_MAX).ok()?))).collect()
}

/// Overwrites a record with nothing.
pub(super) const fn tombstone(key: Vec<u8>) -> Record {
    Record { key, value: Vec::new() }
}
