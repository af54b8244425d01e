//! Buckets that observations list are pulled as the observations arrive: a leader can draft, and a follower judge, two hops
//! earlier than if they asked when the need shows.
//!
//! Nobody can make a member pull without bound: in each stream of the one epoch that is decided next, one observation for
//! each author, of it the observed devices' buckets only, each asked for once and of that author only, a chunk at a time, and
//! nothing more from an author that does not answer or is found above its budget. What is still missing when it is needed is
//! asked for as ever.
//! Leaves out: the budget (`budget`), and content that somebody waits for (`reckon`).

use std::collections::{BTreeMap, BTreeSet};

use super::desk::Ctx;
use super::round::Round;
use crate::effect::{Bodies, Effect};
use crate::limits;
use crate::term::UnixMillis;

/// What was asked for ahead of need.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    authors: BTreeMap<u32, Author>,
    /// On its way: of whom it was asked, and when.
    asked: BTreeMap<[u8; 32], (u32, UnixMillis)>,
}

/// How far one author's list has been read.
#[derive(Debug, Default)]
struct Author {
    /// Entries of the body that need no look any more.
    read: usize,
    /// Hashes asked for that have not come.
    open: usize,
    /// Bytes that came.
    bytes: usize,
}

impl Pulls {
    /// Whether this blob was asked for and has not come.
    pub(super) fn awaits(&self, id: &[u8; 32]) -> bool {
        self.asked.contains_key(id)
    }

    /// A blob that was asked for has come, from whomever.
    pub(super) fn arrived(&mut self, id: &[u8; 32], bytes: usize) {
        let Some((member, _)) = self.asked.remove(id) else { return };
        let author = self.authors.entry(member).or_default();
        author.open = author.open.saturating_sub(1);
        author.bytes = author.bytes.saturating_add(bytes);
    }

    fn give_up(&mut self, member: u32) {
        self.asked.retain(|_, (of, _)| *of != member);
        self.authors.insert(member, Author { read: usize::MAX, ..Author::default() });
    }
}

impl Round {
    /// Asks for the next chunk of every author that has answered the last one. The own observation comes first: what
    /// everybody holds alike is then here already.
    pub(super) fn pull_ahead(&mut self, ctx: &mut Ctx<'_>) {
        let early = ctx.state.is_none() || ctx.now < self.opens_at;
        if early || self.own.is_none() || self.decided.is_some() {
            return;
        }
        let Some(observed) = self.observed(ctx) else { return };
        for member in self.due(ctx.desk.me, observed.budget) {
            if self.pulls.authors.get(&member).is_some_and(|author| author.bytes > observed.budget) {
                let theirs: Bodies = self.bodies.get(&member).map(|body| (member, body.clone())).into_iter().collect();
                self.pulls.give_up(member);
                self.find_overdrawn(ctx, &theirs);
                continue;
            }
            let ids = self.next_chunk(ctx.now, member, &observed.devices);
            if !ids.is_empty() {
                ctx.out.push(Effect::Fetch { ids, holders: vec![member] });
            }
        }
    }

    /// Authors to ask the next chunk of, or to give up.
    fn due(&self, me: u32, budget: usize) -> Vec<u32> {
        let due = |member: u32, listed: usize| {
            let author = self.pulls.authors.get(&member);
            let ready = |author: &Author| author.open == 0 && author.read < listed;
            author.is_none_or(|author| ready(author) || author.bytes > budget)
        };
        let bodies = self.bodies.iter().map(|(member, body)| (*member, body.buckets.len()));
        bodies.filter(|(member, listed)| *member != me && due(*member, *listed)).map(|(member, _)| member).collect()
    }

    /// What to ask of an author next: what it lists of observed devices and nobody was asked for yet.
    fn next_chunk(&mut self, now: UnixMillis, member: u32, observed: &BTreeSet<u64>) -> Vec<[u8; 32]> {
        let Some(body) = self.bodies.get(&member) else { return Vec::new() };
        let Pulls { authors, asked, .. } = &mut self.pulls;
        let author = authors.entry(member).or_default();
        let mut ids = Vec::new();
        for (device, hash) in body.buckets.iter().skip(author.read) {
            if ids.len() >= limits::PULL_ITEMS_MAX {
                break;
            }
            author.read = author.read.saturating_add(1);
            let needed = observed.contains(device) && !self.blobs.contains_key(&**hash) && !asked.contains_key(&**hash);
            if needed {
                asked.insert(**hash, (member, now));
                ids.push(**hash);
            }
        }
        author.open = ids.len();
        ids
    }

    /// Those of `ids` that were asked for less than `within` ms ago of the only author that lists them: there is nobody
    /// better to ask yet. A hash that others list, too, must not wait for an author that may never answer.
    pub(super) fn coming(&self, now: UnixMillis, within: u64, ids: &BTreeSet<[u8; 32]>) -> BTreeSet<[u8; 32]> {
        let recent =
            |id: &&[u8; 32]| self.pulls.asked.get(*id).is_some_and(|(_, since)| now < since.saturating_add(within));
        let mut coming: BTreeSet<[u8; 32]> = ids.iter().filter(recent).copied().collect();
        if coming.is_empty() {
            return coming;
        }
        for (member, body) in &self.bodies {
            for (_, hash) in &body.buckets {
                if self.pulls.asked.get(&**hash).is_some_and(|(of, _)| of != member) {
                    coming.remove(&**hash);
                }
            }
        }
        coming
    }
}

#[cfg(test)]
pub(super) mod tests;
