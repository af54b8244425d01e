//! The new term's side of a rotation: Σ before its first epoch, by the root in the last certified header before it.
//! A member of both terms finds the pieces on its own shelf, a newcomer pulls them. Leaves out: what a checkpoint must be
//! (`handover`).

use std::collections::{BTreeMap, BTreeSet};

use super::desk::Desk;
use crate::effect::{Blobs, Content, Effect};
use crate::handover::{Checkpoint, PIECES_MAX, Start};
use crate::limits;
use crate::observation::blob_hash;
use crate::state::State;
use crate::typed::Kind;
use crate::wire::{InstanceId, Message};

/// Who said something: a term, and the member's index in it.
pub(super) type Author = (u64, u32);

/// A turn doubles with each one that the same author has had, so often at most.
const DOUBLINGS_MAX: u32 = 6;

/// Bytes of pieces above which only those of the offer whose turn it is are held: two states of the largest size.
const HELD_MAX: usize = 2 * PIECES_MAX * limits::BLOB_BYTES_MAX;

/// Σ on its way. Every author has one place for what it offers and is asked in its turn, so that what liars make up beside
/// the true header keeps out no honest offer, and delays it by their turns at most.
#[derive(Debug)]
pub(super) struct Inherit {
    pub(super) start: Start,
    offers: BTreeMap<Author, Offer>,
    /// A header and certificate that were found to be the ones before the first epoch: there are no others.
    proven: Option<Checkpoint>,
    /// Whose offer is being fetched.
    turn: Option<Author>,
    turn_until: u64,
    pieces: Blobs,
    fetch_at: u64,
    ask_at: u64,
}

/// What one author says the state is made of.
#[derive(Debug)]
struct Offer {
    checkpoint: Checkpoint,
    turns: u32,
    /// It was another state: nothing of this author is looked at any more.
    refused: bool,
}

impl Inherit {
    pub(super) const fn new(start: Start) -> Self {
        Self {
            start,
            offers: BTreeMap::new(),
            proven: None,
            turn: None,
            turn_until: 0,
            pieces: Blobs::new(),
            fetch_at: 0,
            ask_at: 0,
        }
    }

    /// Takes a checkpoint: header and certificate prove themselves, the list of pieces replaces the author's last one.
    pub(super) fn on_checkpoint(&mut self, desk: &Desk, author: Author, checkpoint: &Checkpoint) {
        let known = self.offers.get(&author);
        let old_news = known.is_some_and(|offer| offer.refused || offer.checkpoint == *checkpoint);
        let turns = known.map_or(0, |offer| offer.turns);
        if old_news || checkpoint.pieces.len() > PIECES_MAX || !self.is_proven(desk, checkpoint) {
            return;
        }
        self.offers.insert(author, Offer { checkpoint: checkpoint.clone(), turns, refused: false });
        if self.turn.is_none_or(|turn| turn == author) {
            self.turn = None;
            self.fetch_at = 0;
        }
    }

    fn is_proven(&mut self, desk: &Desk, checkpoint: &Checkpoint) -> bool {
        if let Some(proven) = &self.proven {
            // Where the chain itself names the header, nobody has looked at a certificate.
            let certified = self.start.forced || proven.certificate == checkpoint.certificate;
            return certified && proven.header == checkpoint.header;
        }
        let follows = self.start.follows(desk.stream, checkpoint);
        self.proven = follows.then(|| checkpoint.clone());
        follows
    }

    /// Takes pieces of the offer whose turn it is.
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
        if let Some(begun) = self.complete(desk, out) {
            return Some(begun);
        }
        if now >= self.fetch_at {
            self.fetch(desk, now, out);
        }
        self.ask(desk, now, out);
        None
    }

    /// The offer whose turn it is, if all of it is here; one that is another state is the last of its author.
    fn complete(&mut self, desk: &Desk, out: &mut Vec<Effect>) -> Option<(State, Option<Checkpoint>)> {
        let author = self.turn.filter(|_| self.wanted().is_empty())?;
        let offer = self.offers.get_mut(&author)?;
        match offer.checkpoint.state(&desk.term.scope, &self.pieces) {
            Ok(state) => Some((self.start.carry(state), Some(offer.checkpoint.clone()))),
            Err(why) => {
                let (term, member) = author;
                let text = format!("member {member} of term {term} lists pieces of another state: {why}");
                out.push(Effect::Note { code: "checkpoint_refused", text });
                offer.refused = true;
                offer.checkpoint.pieces.clear();
                (self.turn, self.fetch_at) = (None, 0);
                None
            }
        }
    }

    /// Asks again for what is missing; when the turn is over, gives the next author its own: whoever had the fewest.
    fn fetch(&mut self, desk: &Desk, now: u64, out: &mut Vec<Effect>) {
        let pause = desk.book.conduct.view_timeout_ms.max(1);
        if self.turn.is_none() || now >= self.turn_until {
            let open = self.offers.iter_mut().filter(|(_, offer)| !offer.refused);
            let Some((author, offer)) = open.min_by_key(|(author, offer)| (offer.turns, **author)) else { return };
            self.turn_until = now.saturating_add(pause << offer.turns.min(DOUBLINGS_MAX));
            self.turn = Some(*author);
            offer.turns = offer.turns.saturating_add(1);
            self.sweep();
        }
        self.fetch_at = now.saturating_add(pause);
        if let Some((term, holder)) = self.turn {
            out.push(Effect::FetchOf { term, holder, ids: self.wanted().into_iter().collect() });
        }
    }

    /// Drops pieces that no offer lists any more; above [`HELD_MAX`] all but those of the offer whose turn it is.
    fn sweep(&mut self) {
        let bytes: usize = self.pieces.values().map(|piece| piece.bytes.len()).sum();
        let turn = self.turn.filter(|_| bytes > HELD_MAX);
        let held = self.offers.iter().filter(|(author, _)| turn.is_none_or(|turn| turn == **author));
        let listed: BTreeSet<[u8; 32]> =
            held.flat_map(|(_, offer)| offer.checkpoint.pieces.iter().map(|id| **id)).collect();
        self.pieces.retain(|id, _| listed.contains(id));
    }

    /// Members that have begun already answer with their checkpoint.
    fn ask(&mut self, desk: &Desk, now: u64, out: &mut Vec<Effect>) {
        let begun = desk.term.epoch_start(self.start.from_epoch).is_some_and(|start| now >= start);
        // Also beside offers: they may be a liar's, or of members that cannot be reached any more.
        if begun && now >= self.ask_at {
            self.ask_at = now.saturating_add(desk.book.conduct.view_timeout_ms.max(1));
            out.push(Effect::Broadcast(Message::Status(first(desk, &self.start)).encode()));
        }
    }

    fn is_offered(&self) -> bool {
        self.offers.values().any(|offer| !offer.refused)
    }

    /// Missing pieces of the offer whose turn it is.
    fn wanted(&self) -> BTreeSet<[u8; 32]> {
        let offer = self.turn.and_then(|author| self.offers.get(&author));
        let listed = offer.iter().flat_map(|offer| offer.checkpoint.pieces.iter().map(|id| **id));
        listed.filter(|id| !self.pieces.contains_key(id)).collect()
    }

    pub(super) fn next_wakeup(&self, desk: &Desk) -> Option<u64> {
        let start = desk.term.epoch_start(self.start.from_epoch)?;
        let fetch_at = self.is_offered().then_some(self.fetch_at);
        fetch_at.into_iter().chain([self.ask_at.max(start)]).min()
    }
}

const fn first(desk: &Desk, start: &Start) -> InstanceId {
    InstanceId::new(Kind::Report, desk.stream, start.from_epoch)
}
