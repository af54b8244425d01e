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

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::desk::Desk;
use crate::effect::{Journal, Record};
use crate::state::State;
use crate::typed::{Kind, Scope};
use crate::wire::{self, Certified, InstanceId, SignedPartial, Statement};

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

/// Every Σ of a desk's stream, by the epoch that it is before. A key tells its stream once the epoch is known, so that of
/// other streams' records two numbers are read and no more.
pub(super) fn states(journal: &Journal, desk: &Desk) -> BTreeMap<u64, State> {
    let scope = &desk.term.scope;
    let ours = |record: &&Record| {
        let epoch = record.key.starts_with(STATE).then(|| State::peek_epoch(&record.value)).flatten();
        epoch.is_some_and(|epoch| record.key == key(STATE, scope, desk.instance(epoch)))
    };
    let states = journal.iter().filter(ours).filter_map(|record| wire::decode(&record.value, RECORD_BYTES_MAX).ok());
    states.map(|state: State| (state.next_epoch, state)).collect()
}

/// The records of these report instances that a round, a past epoch or the ends of a term are restored from.
pub(super) fn of_instances(journal: &Journal, scope: &Scope, instances: impl Iterator<Item = InstanceId>) -> Journal {
    let hashes: BTreeSet<B256> = instances.filter_map(|instance| instance.hash(scope)).collect();
    let tags = [OBSERVATION, SIGN, CERTIFIED, HEAD, ORIGIN, crate::qbft::PREFIX];
    let hash = |key: &[u8]| {
        let rest = tags.iter().find_map(|tag| key.strip_prefix(*tag))?;
        rest.first_chunk::<32>().map(|hash| B256::from(*hash))
    };
    let wanted = |record: &&Record| !record.value.is_empty() && hash(&record.key).is_some_and(|h| hashes.contains(&h));
    journal.iter().filter(wanted).cloned().collect()
}

/// The records of rotations, of whatever attempt and term: agreements, signatures and certificates.
pub(super) fn of_rotations(journal: &Journal) -> Journal {
    let instance = |record: &Record| {
        if record.key.starts_with(SIGN) {
            let signed: SignedPartial = wire::decode(&record.value, RECORD_BYTES_MAX).ok()?;
            return Some(signed.statement.instance);
        }
        if record.key.starts_with(CERTIFIED) {
            return wire::decode::<Certified>(&record.value, RECORD_BYTES_MAX).ok().map(|certified| certified.instance);
        }
        crate::qbft::instance_of(record)
    };
    let rotates = |record: &&Record| instance(record).is_some_and(|of| of.kind() == Some(Kind::Rotation));
    journal.iter().filter(rotates).cloned().collect()
}

/// Overwrites a record with nothing.
pub(super) const fn tombstone(key: Vec<u8>) -> Record {
    Record { key, value: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::oracle::desk::Desk;
    use crate::oracle::running::Running;
    use crate::oracle::stream::PAST_MAX;
    use crate::typed::Phase;
    use crate::wire::{Bytes, Hash};

    const STREAMS: [u32; 3] = [0, 1, 7];
    const EPOCHS: u64 = 1_000;

    /// What a member signed, and the certificate, of one instance.
    fn sealed(desk: &Desk, instance: InstanceId) -> [Record; 2] {
        let scope = &desk.term.scope;
        let value = B256::repeat_byte(4);
        let statement = Statement::sign(scope, &desk.key, desk.me, instance, Phase::Partial, 0, value);
        let certified = Certified { instance, digest: Hash::from(value.0), certificate: Bytes::from([0; 48]) };
        let signed = SignedPartial { statement, partial: Bytes::from([0; 48]) };
        [record(SIGN, scope, instance, &signed), record(CERTIFIED, scope, instance, &certified)]
    }

    /// A vote of an agreement.
    fn vote(desk: &Desk, instance: InstanceId) -> Record {
        let scope = &desk.term.scope;
        let statement = Statement::sign(scope, &desk.key, desk.me, instance, Phase::Prepare, 1, B256::repeat_byte(4));
        let prefix = crate::qbft::journal_prefix(scope, instance).expect("a known kind");
        let key = [prefix.as_slice(), b"v1", &1u32.to_be_bytes()].concat();
        Record { key, value: wire::encode(&statement) }
    }

    /// The disk of a member that has seen so many epochs of every stream, and two attempts at a rotation.
    fn old_disk(desk: &Desk) -> (Journal, Vec<Record>) {
        let scope = &desk.term.scope;
        let mut journal = Journal::new();
        for stream in STREAMS {
            let desk = Desk { stream, ..desk.clone() };
            for epoch in 0..EPOCHS {
                let instance = desk.instance(epoch);
                let [signed, certified] = sealed(&desk, instance);
                journal.extend([signed, tombstone(key(OBSERVATION, scope, instance)), vote(&desk, instance)]);
                journal.extend((epoch + PAST_MAX >= EPOCHS).then_some(certified));
            }
            let states = EPOCHS - 4..=EPOCHS;
            let state = |epoch| State { next_epoch: epoch, ..State::default() };
            journal.extend(states.map(|epoch| record(STATE, scope, desk.instance(epoch), &state(epoch))));
        }
        let attempts = [0, 1].map(|attempt| InstanceId::new(Kind::Rotation, attempt, 5));
        let rotations: Vec<Record> = attempts
            .into_iter()
            .flat_map(|instance| sealed(desk, instance).into_iter().chain([vote(desk, instance)]))
            .collect();
        journal.extend(rotations.clone());
        journal.sort_by(|a, b| a.key.cmp(&b.key));
        (journal, rotations)
    }

    #[test]
    fn a_member_that_restarts_after_many_epochs_holds_few_records() {
        let (desk, beacon) = crate::oracle::pull::tests::desk();
        let (journal, mut rotations) = old_disk(&desk);
        assert!(journal.len() > 9_000);
        assert_eq!(states(&journal, &Desk { stream: 7, ..desk.clone() }).len(), 5);
        rotations.sort_by(|a, b| a.key.cmp(&b.key));
        assert_eq!(of_rotations(&journal), rotations, "every attempt at a rotation, and nothing else");
        let streams: BTreeSet<u32> = STREAMS.into();
        let running = Running::new(desk, beacon, &streams, journal, None);
        let status: Vec<u64> = running.streams.values().map(|stream| stream.status().next_epoch).collect();
        assert_eq!(status, [EPOCHS; 3], "it stands where it stood");
        let held = running.journal_records();
        // Of each stream what a few open rounds may need.
        assert!(held >= rotations.len() && held <= rotations.len() + 3 * 3 * 20, "{held} records");
    }
}
