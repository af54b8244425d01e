//! One operator: a disk, a shelf of content, and a seat (an oracle) in each term that it is a member of.

use std::collections::BTreeMap;
use std::sync::Arc;

use oracle_core::effect::{Input, Record};
use oracle_core::oracle::{Behaviour, Oracle, Setup};
use oracle_core::term::Term;

use crate::given::{STREAMS, book, member_key};
use crate::shelf::Shelf;

/// A process and what outlives it.
#[derive(Default)]
pub(crate) struct Process {
    /// By term; empty while it is down.
    pub(crate) seats: BTreeMap<u64, Oracle>,
    pub(crate) up: bool,
    /// Grows with every crash: what was on its way to an earlier life is lost.
    pub(crate) life: u64,
    pub(crate) disk: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) shelf: Shelf,
    pub(crate) wakes_at: BTreeMap<u64, u64>,
    /// What the chain said so far, by term, in order: said again after a restart.
    pub(crate) told: Vec<(u64, Input)>,
}

impl Process {
    /// Sits down in a term.
    pub(crate) fn seat(&mut self, index: usize, term: &Term, now: u64) {
        let me = member_key(index).address();
        let place = term.members.iter().position(|member| member.address == me);
        let Some(place) = place.filter(|_| self.up) else { return };
        let setup = Setup {
            term: Term { genesis_ms: None, ..term.clone() },
            me: place as u32,
            key: Arc::new(member_key(index)),
            dkg_seed: [index as u8 + 1; 32],
            book: book(),
            streams: STREAMS.into(),
            behaviour: Behaviour::Honest,
        };
        let journal = self.disk.iter().map(|(key, value)| Record { key: key.clone(), value: value.clone() }).collect();
        self.seats.insert(term.scope.term, Oracle::new(setup, journal, now));
    }

    /// kill -9.
    pub(crate) fn die(&mut self) {
        self.seats.clear();
        self.wakes_at.clear();
        self.up = false;
        self.life += 1;
    }
}
