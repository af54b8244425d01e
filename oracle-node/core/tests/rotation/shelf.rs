//! A member's shelf: content that pulls find, some of it lent until its epoch is settled, as `oracle-node/src/store` keeps it.
//! Leaves out: the disk beneath.

use std::collections::{BTreeMap, BTreeSet};

use oracle_core::effect::Content;

/// Content by id.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) contents: BTreeMap<[u8; 32], Content>,
    /// Of what is not kept for good: for which (stream, epoch) it is there.
    lent: BTreeMap<[u8; 32], BTreeSet<(u32, u64)>>,
}

impl Shelf {
    /// Keeps for good.
    pub(crate) fn serve(&mut self, contents: Vec<Content>) {
        for content in contents {
            self.lent.remove(&content.id);
            self.contents.insert(content.id, content);
        }
    }

    /// Keeps until the epoch is settled, unless it is there for good.
    pub(crate) fn lend(&mut self, stream: u32, epoch: u64, contents: Vec<Content>) {
        for content in contents {
            let for_good = self.contents.contains_key(&content.id) && !self.lent.contains_key(&content.id);
            if !for_good {
                self.lent.entry(content.id).or_default().insert((stream, epoch));
                self.contents.insert(content.id, content);
            }
        }
    }

    /// What is kept for good.
    #[allow(dead_code, reason = "not every world looks")]
    pub(crate) fn for_good(&self) -> impl Iterator<Item = &Content> {
        self.contents.values().filter(|content| !self.lent.contains_key(&content.id))
    }

    /// Settles a stream up to an epoch.
    pub(crate) fn settle(&mut self, stream: u32, epoch: u64, kept: &[[u8; 32]]) {
        let Self { contents, lent } = self;
        lent.retain(|id, lenders| {
            let before = lenders.len();
            lenders.retain(|(of, lent)| *of != stream || *lent > epoch);
            if lenders.len() < before && kept.contains(id) {
                return false;
            }
            if lenders.is_empty() {
                contents.remove(id);
            }
            !lenders.is_empty()
        });
    }
}
