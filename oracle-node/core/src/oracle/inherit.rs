//! The new term's side of a rotation: Σ before its first epoch, by the root in the last certified header before it.
//! A member of both terms finds the pieces on its own shelf, a newcomer pulls them. Leaves out: what a checkpoint must be
//! (`handover`).

use std::collections::BTreeSet;

use super::desk::Desk;
use crate::effect::{Blobs, Content, Effect};
use crate::handover::{Checkpoint, PIECES_MAX, Start};
use crate::limits;
use crate::observation::blob_hash;
use crate::state::State;
use crate::typed::Kind;
use crate::wire::{InstanceId, Message};

/// Different lists of pieces kept: one true one, and what liars make up beside it.
const OFFERS_MAX: usize = 8;

/// Σ on its way.
#[derive(Debug)]
pub(super) struct Inherit {
    pub(super) start: Start,
    offers: Vec<Checkpoint>,
    pieces: Blobs,
    fetch_at: u64,
    ask_at: u64,
}

impl Inherit {
    pub(super) const fn new(start: Start) -> Self {
        Self { start, offers: Vec::new(), pieces: Blobs::new(), fetch_at: 0, ask_at: 0 }
    }

    /// Takes a checkpoint from anybody: header and certificate prove themselves.
    pub(super) fn on_checkpoint(&mut self, desk: &Desk, checkpoint: &Checkpoint) {
        let new = !self.offers.contains(checkpoint) && checkpoint.pieces.len() <= PIECES_MAX;
        if new && self.offers.len() < OFFERS_MAX && self.start.follows(desk.stream, checkpoint) {
            self.offers.push(checkpoint.clone());
            self.fetch_at = 0;
        }
    }

    /// Takes pieces that an offer lists.
    pub(super) fn on_content(&mut self, contents: &[Content]) {
        let wanted = self.wanted();
        let fits = |content: &&Content| {
            wanted.contains(&content.id)
                && content.class == 0
                && content.bytes.len() <= limits::BLOB_BYTES_MAX
                && blob_hash(&content.bytes) == content.id
        };
        self.pieces.extend(contents.iter().filter(fits).map(|content| (content.id, content.clone())));
    }

    /// The state, once it is here, with the checkpoint that proves it; asks for what is missing.
    pub(super) fn advance(
        &mut self,
        desk: &Desk,
        now: u64,
        out: &mut Vec<Effect>,
    ) -> Option<(State, Option<Checkpoint>)> {
        if let Some(state) = self.start.from_nothing(desk.stream) {
            return Some((state, None));
        }
        let complete = |offer: &&Checkpoint| offer.pieces.iter().all(|id| self.pieces.contains_key(&**id));
        let complete: Vec<Checkpoint> = self.offers.iter().filter(complete).cloned().collect();
        for offer in complete {
            match offer.state(&desk.term.scope, &self.pieces) {
                Ok(state) => return Some((self.start.carry(state), Some(offer))),
                // Somebody lists other pieces beside a true header; the offer of an honest member is another one.
                Err(text) => {
                    out.push(Effect::Note { code: "checkpoint_refused", text });
                    self.offers.retain(|known| *known != offer);
                }
            }
        }
        self.fetch(desk, now, out);
        self.ask(desk, now, out);
        None
    }

    fn fetch(&mut self, desk: &Desk, now: u64, out: &mut Vec<Effect>) {
        let wanted: Vec<[u8; 32]> = self.wanted().into_iter().collect();
        if wanted.is_empty() || now < self.fetch_at {
            return;
        }
        self.fetch_at = now.saturating_add(desk.policy.view_timeout_ms.max(1));
        let ids = wanted.into_iter().take(limits::PULL_ITEMS_MAX).collect();
        out.push(Effect::Fetch { ids, holders: desk.others() });
    }

    /// Members that have begun already answer with their checkpoint.
    fn ask(&mut self, desk: &Desk, now: u64, out: &mut Vec<Effect>) {
        let begun = desk.term.epoch_start(self.start.from_epoch).is_some_and(|start| now >= start);
        if begun && self.offers.is_empty() && now >= self.ask_at {
            self.ask_at = now.saturating_add(desk.policy.view_timeout_ms.max(1));
            out.push(Effect::Broadcast(Message::Status(first(desk, &self.start)).encode()));
        }
    }

    fn wanted(&self) -> BTreeSet<[u8; 32]> {
        let listed = self.offers.iter().flat_map(|offer| offer.pieces.iter().map(|id| **id));
        listed.filter(|id| !self.pieces.contains_key(id)).collect()
    }

    pub(super) fn next_wakeup(&self, desk: &Desk) -> Option<u64> {
        let start = desk.term.epoch_start(self.start.from_epoch)?;
        if self.offers.is_empty() { Some(self.ask_at.max(start)) } else { Some(self.fetch_at) }
    }
}

const fn first(desk: &Desk, start: &Start) -> InstanceId {
    InstanceId::new(Kind::Report, desk.stream, start.from_epoch)
}
