//! The sharings of a term that this member knows, by the root that the chain has of them, and its shares of them.
//! Leaves out: how they come to be (`refresh`), and which counts when (`keyring`).

use std::collections::BTreeMap;
use std::sync::Arc;

use aggregator::{Share, Sharing};
use alloy_primitives::B256;

use super::super::Context;
use super::super::journal;
use crate::effect::{Effect, Record};
use crate::keyring::{Keyring, Span};
use crate::merkle;

/// One sharing, and this member's share of it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) sharing: Arc<Sharing>,
    pub(super) share: Option<Arc<Share>>,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Vault {
    held: BTreeMap<B256, Held>,
}

impl Vault {
    /// Takes back what was kept.
    pub(super) fn load(context: &Context, journal: &[Record]) -> Self {
        let mut vault = Self::default();
        let (term, me) = (&context.term, context.me);
        if let Some(sharing) = journal::load_sharing(term, journal) {
            let share = journal::get(journal, &journal::share_key(term));
            let share = share.and_then(|bytes| journal::read_share(bytes, me, &sharing));
            vault.put(sharing, share);
        }
        let prefix = journal::root_prefix(term);
        let kept = journal.iter().filter(|record| record.key.starts_with(&prefix) && record.key.ends_with(b"/sharing"));
        for sharing in kept.filter_map(|record| Sharing::decode(&record.value).ok()).filter(|s| s.n == term.n()) {
            let sharing = Arc::new(sharing);
            let key = journal::root_share_key(term, merkle::share_root(&sharing));
            let share = journal::get(journal, &key).and_then(|bytes| journal::read_share(bytes, me, &sharing));
            vault.put(sharing, share);
        }
        vault
    }

    /// Keeps a sharing in memory; a share that is known already is not forgotten. Gives its root.
    pub(super) fn put(&mut self, sharing: Arc<Sharing>, share: Option<Arc<Share>>) -> B256 {
        let root = merkle::share_root(&sharing);
        let entry = self.held.entry(root).or_insert_with(|| Held { sharing, share: None });
        entry.share = share.or(entry.share.take());
        root
    }

    /// Keeps it on disk, too: the secret first, so that a sharing on disk without a share means that there is none.
    pub(super) fn save(
        &mut self,
        context: &Context,
        sharing: &Arc<Sharing>,
        share: Option<&Arc<Share>>,
        out: &mut Vec<Effect>,
    ) {
        let root = self.put(Arc::clone(sharing), share.cloned());
        if let Some(share) = share {
            let key = journal::root_share_key(&context.term, root);
            out.push(Effect::Persist(Record { key, value: journal::share_bytes(share) }));
        }
        let key = journal::root_sharing_key(&context.term, root);
        out.push(Effect::Persist(Record { key, value: sharing.encode() }));
    }

    pub(super) fn get(&self, root: &B256) -> Option<&Held> {
        self.held.get(root)
    }

    /// The keys by epoch. From where a sharing counts that is not known here, there is no share: to sign with the one before
    /// would be a wrong partial. Its public shares stand in until the others have told the new ones.
    pub(super) fn keyring(&self, roots: &[(B256, u64)]) -> Option<Keyring> {
        let mut latest = None::<Arc<Sharing>>;
        let mut spans = Vec::new();
        for (root, from_epoch) in roots {
            let held = self.get(root);
            latest = held.map(|held| Arc::clone(&held.sharing)).or(latest);
            let share = held.and_then(|held| held.share.clone());
            spans.extend(latest.clone().map(|sharing| Span { from_epoch: *from_epoch, sharing, share }));
        }
        Keyring::from_spans(spans)
    }

    /// Lets go of the shares of these roots, and says which records hold them.
    pub(super) fn forget(&mut self, context: &Context, roots: &[B256]) -> Vec<Vec<u8>> {
        let mut keys = Vec::new();
        for root in roots {
            if let Some(held) = self.held.get_mut(root).filter(|held| held.share.is_some()) {
                held.share = None;
                keys.push(journal::root_share_key(&context.term, *root));
                keys.push(journal::share_key(&context.term));
            }
        }
        keys
    }
}
