//! The sign-once journal of BLS partials: one digest per instance, for ever, and durable before it leaves.
//! Keys `"sign/" ‖ instance hash (32)`, values `wire::SignedPartial`. Reports have their own (`oracle`, the same format).

use std::collections::BTreeMap;

use aggregator::Share;
use alloy_primitives::B256;

use super::Context;
use crate::effect::Record;
use crate::typed::{Kind, Phase};
use crate::wire::{self, Bytes, InstanceId, SignedPartial, Statement};

const PREFIX: &[u8] = b"sign/";
/// Longest record.
const RECORD_BYTES_MAX: usize = 512;

/// Everything this member signed with its share.
#[derive(Debug, Default)]
pub(super) struct SignOnce {
    signed: BTreeMap<B256, SignedPartial>,
}

/// A partial to broadcast, after its record (if it is new) is durable.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) record: Option<Record>,
    pub(super) partial: SignedPartial,
}

impl SignOnce {
    pub(super) fn from_journal(journal: &[Record]) -> Self {
        let entry = |record: &Record| {
            let instance = B256::try_from(record.key.strip_prefix(PREFIX)?).ok()?;
            let signed: SignedPartial = wire::decode(&record.value, RECORD_BYTES_MAX).ok()?;
            (signed.statement.instance.kind() != Some(Kind::Report)).then_some((instance, signed))
        };
        Self { signed: journal.iter().filter_map(entry).collect() }
    }

    /// Signs a decided digest; `None` if another one was signed for this instance, which must not happen and must not
    /// lead to a second signature.
    pub(super) fn sign(
        &mut self,
        context: &Context,
        share: &Share,
        instance: InstanceId,
        digest: B256,
    ) -> Option<Signed> {
        let scope = &context.term.scope;
        let hash = instance.hash(scope)?;
        if let Some(kept) = self.signed.get_mut(&hash) {
            if kept.statement.value() != digest {
                return None;
            }
            // The same digest under a refreshed share: the statement stands, the partial is another.
            let bytes = Bytes::from(share.sign(&digest.0).signature.to_bytes());
            let changed = kept.partial != bytes;
            kept.partial = bytes;
            let partial = kept.clone();
            let record = changed.then(|| Record { key: key(hash), value: wire::encode(&partial) });
            return Some(Signed { record, partial });
        }
        let statement = Statement::sign(scope, &context.key, context.me, instance, Phase::Partial, 0, digest);
        let partial = SignedPartial { statement, partial: Bytes::from(share.sign(&digest.0).signature.to_bytes()) };
        self.signed.insert(hash, partial.clone());
        let record = Record { key: key(hash), value: wire::encode(&partial) };
        Some(Signed { record: Some(record), partial })
    }
}

fn key(hash: B256) -> Vec<u8> {
    [PREFIX, hash.as_slice()].concat()
}
