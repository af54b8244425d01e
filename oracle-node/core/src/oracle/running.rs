//! An oracle of an activated term: the term's beacon, keys and hand-over, and its streams, each on its own.
//! Leaves out: everything that happens within one stream (`stream`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ahead;
use super::desk::{Desk, Step};
use super::handing::{Bases, Handing};
use super::inherit::Author;
use super::journal::of_rotations;
use super::stream::Stream;
use crate::answers::Answers;
use crate::beacon::Beacon;
use crate::effect::{Effect, Journal};
use crate::handover::Start;
use crate::keyring::Keyring;
use crate::registry::Snapshot;
use crate::term::Term;
use crate::typed::Kind;
use crate::wire::Message;

/// An oracle of an activated term.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) desk: Desk,
    pub(super) beacon: Beacon,
    /// What each member may ask about decided epochs, of all streams together.
    pub(super) answers: Answers,
    pub(super) streams: BTreeMap<u32, Stream>,
    /// The rotation in the making.
    pub(super) handing: Option<Handing>,
    /// The rotation away from this term, once final on the chain.
    pub(super) ends: Option<Start>,
    /// What a rotation may need of what the process found on disk.
    journal: Journal,
    /// Messages about streams that are not served here.
    pub(super) unserved: u64,
}

/// Which streams an input may have changed beside those whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// Any of them.
    All,
    /// This one, or none at all if it is not served.
    One(u32),
}

impl Running {
    /// `start` of a term that was rotated to; the committee's first term begins at epoch 0 with the empty state.
    pub(super) fn new(
        desk: Desk,
        mut beacon: Beacon,
        streams: &BTreeSet<u32>,
        journal: Journal,
        start: Option<Start>,
    ) -> Self {
        beacon.restore(&journal);
        if let Some(start) = &start {
            beacon.prune(desk.term.first_slot_of(start.from_epoch));
        }
        let share = ahead::share(streams.len());
        let journal = Arc::new(journal);
        let stream = |number: &u32| {
            let desk = Desk { stream: *number, ..desk.clone() };
            (*number, Stream::new(desk, &journal, start.clone(), share))
        };
        let streams = streams.iter().map(stream).collect();
        Self {
            desk,
            beacon,
            answers: Answers::default(),
            streams,
            handing: None,
            ends: None,
            journal: of_rotations(&journal),
            unserved: 0,
        }
    }

    /// Records of the journal that are kept in memory.
    pub(super) fn journal_records(&self) -> usize {
        self.streams.values().fold(self.journal.len(), |sum, stream| sum.saturating_add(stream.journal().len()))
    }

    /// Takes the keys by epoch, after a refresh.
    pub(super) fn set_keys(&mut self, keys: Keyring) {
        self.beacon.set_keys(keys.clone());
        self.streams.values_mut().for_each(|stream| stream.set_keys(keys.clone()));
        self.desk.keys = keys;
    }

    /// First epoch that is not certified here in every stream.
    pub(super) fn settled(&self) -> u64 {
        self.streams.values().map(Stream::settled).min().unwrap_or(0)
    }

    pub(super) fn add_snapshot(&mut self, epoch: u64, snapshot: &Arc<Snapshot>) {
        self.streams.values_mut().for_each(|stream| stream.add_snapshot(epoch, Arc::clone(snapshot)));
    }

    /// From which epoch on this member may sign anything new.
    pub(super) fn set_floor(&mut self, from_epoch: u64) {
        self.desk.floor = from_epoch;
        self.streams.values_mut().for_each(|stream| stream.set_floor(from_epoch));
    }

    /// A later term is configured: this one's key will hand over to it.
    pub(super) fn succeed(&mut self, now: u64, successor: Term, out: &mut Vec<Effect>) {
        let later = successor.scope.term > self.desk.term.scope.term;
        let known = self.handing.as_ref().is_some_and(|handing| handing.to() >= successor.scope.term);
        if !later || known || self.ends.is_some() {
            return;
        }
        let streams = self.streams.keys().copied().collect();
        let Self { desk, beacon, answers, journal, .. } = self;
        self.handing = Some(Handing::new(&Step { beacon, answers, now, out }.ctx(desk), successor, streams, journal));
    }

    /// The chain rotated away from this term, in every stream at once.
    pub(super) fn end(&mut self, ends: &Start) {
        self.beacon.end_at(self.desk.term.first_slot_of(ends.from_epoch));
        self.streams.values_mut().for_each(|stream| stream.end(ends.clone()));
        self.handing = None;
        self.ends = Some(ends.clone());
    }

    /// A message of the term, of `bytes` bytes; tells which stream it may have changed.
    pub(super) fn on_message(
        &mut self,
        now: u64,
        from: u32,
        message: &Message,
        bytes: usize,
        out: &mut Vec<Effect>,
    ) -> Touched {
        let Self { desk, beacon, answers, streams, handing, .. } = self;
        let instance = super::instance_of(message);
        let rotates = instance.is_some_and(|instance| instance.kind() == Some(Kind::Rotation));
        match message {
            Message::BeaconPartial(member, slot, partial) => {
                out.extend(beacon.on_partial(now, from, *member, *slot, partial));
                return Touched::All;
            }
            Message::Beacon(slot, certificate) => {
                out.extend(beacon.on_certificate(now, *slot, certificate));
                return Touched::All;
            }
            Message::NewKey(_) | Message::Checkpoint(_) => {
                let author = (desk.term.scope.term, from);
                self.on_overheard(now, author, message, out);
                return Touched::All;
            }
            _ if rotates => {
                if let Some(handing) = handing {
                    handing.on_message(&mut Step { beacon, answers, now, out }.ctx(desk), from, message);
                }
                return Touched::All;
            }
            _ => {}
        }
        let Some(instance) = instance else { return Touched::All };
        match streams.get_mut(&instance.stream) {
            Some(stream) => stream.on_message(&mut Step { beacon, answers, now, out }, from, instance, message, bytes),
            None => self.unserved = self.unserved.saturating_add(1),
        }
        Touched::One(instance.stream)
    }

    /// What terms say to each other, in this one's network or another's.
    pub(super) fn on_overheard(&mut self, now: u64, author: Author, message: &Message, out: &mut Vec<Effect>) {
        let Self { desk, beacon, answers, streams, handing, .. } = self;
        match message {
            Message::NewKey(key) => {
                if let Some(handing) = handing {
                    handing.on_key(&mut Step { beacon, answers, now, out }.ctx(desk), key);
                }
            }
            Message::Checkpoint(checkpoint) => {
                let stream = checkpoint.header().ok().and_then(|header| streams.get_mut(&header.stream));
                match stream {
                    Some(stream) => stream.on_checkpoint(author, checkpoint),
                    None => self.unserved = self.unserved.saturating_add(1),
                }
            }
            _ => {}
        }
    }

    /// Lets the streams that something has changed, or whose time has come, do what they can; then the rotation.
    pub(super) fn advance(&mut self, now: u64, touched: Touched, out: &mut Vec<Effect>) {
        let Self { desk, beacon, answers, streams, handing, .. } = self;
        if beacon.next_wakeup().is_some_and(|at| at <= now) {
            out.extend(beacon.on_tick(now));
        }
        for (number, stream) in streams.iter_mut() {
            let touches = touched == Touched::All || touched == Touched::One(*number);
            if touches || stream.next_wakeup().is_some_and(|at| at <= now) {
                stream.advance(&mut Step { beacon, answers, now, out });
            }
        }
        let Some(handing) = handing else { return };
        let mut bases = Bases::default();
        for (number, stream) in streams.iter() {
            // Until Σ of every stream is here, this member has nothing to say on where they stand.
            let Some((latest, recent)) = stream.bases() else { return };
            bases.add(*number, latest, recent);
        }
        handing.advance(&mut Step { beacon, answers, now, out }.ctx(desk), &bases);
    }

    pub(super) fn next_wakeup(&self) -> Option<u64> {
        let (lag_ms, term) = (self.desk.book.conduct.snapshot_lag_ms, &self.desk.term);
        // A rotation waits while Σ of a stream does.
        let handing = self.handing.as_ref().filter(|_| !self.streams.values().any(Stream::is_lost));
        let handing = handing.and_then(|handing| handing.next_wakeup(lag_ms, term));
        let streams = self.streams.values().filter_map(Stream::next_wakeup);
        streams.chain(self.beacon.next_wakeup()).chain(handing).min()
    }
}
