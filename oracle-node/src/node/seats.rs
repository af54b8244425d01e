//! One process, one seat (an oracle) in each term of the committee that it is a member of: how seats are taken and left as
//! the chain configures terms and rotates to them. docs/rotate.md. Leaves out: what a seat decides (`oracle_core`), and
//! carrying it out (`effects`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use alloy::primitives::Address;
use anyhow::{Context as _, bail};
use libp2p::PeerId;
use oracle_core::bootstrap::missing_dealing_seed;
use oracle_core::effect::{Input, Record};
use oracle_core::handover::{Start, base_root};
use oracle_core::oracle::{Behaviour, Oracle, Setup};
use oracle_core::policy::Book;
use oracle_core::term::{Member, Term};
use oracle_core::typed::{Header, MemberKey};
use oracle_core::wire::Message;
use tokio::sync::{mpsc, watch};

use super::now_ms;
use crate::books::Books;
use crate::chain::View;
use crate::clock::ClockWatch;
use crate::config::Config;
use crate::gossip::{self, Command, Room};
use crate::guard::{GuardError, Mark, Memory, Sentry};
use crate::keys;
use crate::metrics::Metrics;
use crate::store::Store;

/// What a seat is made of, whichever term it is in.
pub(super) struct Recipe {
    pub(super) config: Config,
    pub(super) key: Arc<MemberKey>,
    pub(super) dkg_seed: [u8; 32],
    pub(super) books: Books,
    pub(super) behaviour: Behaviour,
    pub(super) store: Arc<Store>,
    pub(super) metrics: Metrics,
    pub(super) mark: (Arc<Mark>, Memory),
    pub(super) block_ahead: Arc<AtomicU64>,
    pub(super) view: watch::Receiver<View>,
}

/// Where a seat is, and who watches at its door.
pub(super) struct Post {
    pub(super) term: Term,
    pub(super) me: u32,
    pub(super) sentry: Sentry,
    pub(super) clock: ClockWatch,
}

impl Post {
    /// What a message says of this member itself, and of its clock.
    pub(super) fn listen(&mut self, from: u32, message: &Message) -> Result<(), GuardError> {
        if let Message::BeaconPartial(member, slot, _) = message {
            self.clock.hear(&self.term, from, *member, *slot, now_ms());
        }
        self.sentry.hear(&self.term, message, now_ms()).map(drop)
    }

    /// What a certified report says of this member: whether it rests on an observation of its own.
    pub(super) fn certified(&mut self, header: &Header) -> Result<(), GuardError> {
        let took_part = header.participation.bit(usize::try_from(self.me).unwrap_or(usize::MAX));
        self.sentry.certified(&self.term, header.stream, header.epoch, took_part, now_ms()).map(drop)
    }
}

/// An oracle and its post.
pub(super) struct Seat {
    pub(super) post: Post,
    pub(super) oracle: Oracle,
    /// First epoch that the core was told it may speak of.
    floor: u64,
}

impl Seat {
    /// What to tell the core when the sentry changed its mind on what may be said. It goes on listening until the chain's
    /// next batch of device keys is known.
    pub(super) fn floor(&mut self, posted: Option<u64>, next_batch: Option<u64>) -> Result<Option<Input>, GuardError> {
        if let Some(next_batch) = next_batch {
            self.post.sentry.settle(&self.post.term, posted, next_batch, now_ms())?;
        }
        let from_epoch = self.post.sentry.from_epoch();
        let news = std::mem::replace(&mut self.floor, from_epoch) != from_epoch;
        Ok(news.then_some(Input::Floor { from_epoch }))
    }
}

/// Something for one seat, by term.
pub(super) type For = (u64, Input);

/// All seats of this process.
pub(super) struct Seats {
    recipe: Recipe,
    gossip: mpsc::Sender<Command>,
    seats: BTreeMap<u64, Seat>,
    terms: BTreeMap<u64, Term>,
    /// Rotations that are final, by the term they lead to.
    starts: BTreeMap<u64, Start>,
    /// Last epoch on the chain, by stream.
    posted: BTreeMap<u32, u64>,
    left: bool,
    /// Whether everything final at the start has been told: a term configured later has nothing that could be forgotten.
    pub(super) caught_up: bool,
}

impl Seats {
    pub(super) const fn new(recipe: Recipe, gossip: mpsc::Sender<Command>) -> Self {
        Self {
            recipe,
            gossip,
            seats: BTreeMap::new(),
            terms: BTreeMap::new(),
            starts: BTreeMap::new(),
            posted: BTreeMap::new(),
            left: false,
            caught_up: false,
        }
    }

    pub(super) fn get_mut(&mut self, term: u64) -> Option<&mut Seat> {
        self.seats.get_mut(&term)
    }

    pub(super) fn numbers(&self) -> Vec<u64> {
        self.seats.keys().copied().collect()
    }

    /// Seats of terms before or after this one: what terms say to each other reaches them.
    pub(super) fn others(&self, term: u64, later: bool) -> Vec<u64> {
        self.seats.keys().copied().filter(|other| if later { *other > term } else { *other < term }).collect()
    }

    /// The seat that shows on the status page: of the term in force, else of the next one.
    pub(super) fn shown(&mut self) -> Option<&mut Seat> {
        let now = now_ms();
        let begun = |(number, seat): &(&u64, &Seat)| {
            let from = self.starts.get(number).map_or(0, |start| start.from_epoch);
            seat.post.term.epoch_start(from).is_some_and(|start| start <= now)
        };
        let number =
            self.seats.iter().rev().find(begun).or_else(|| self.seats.iter().next()).map(|(number, _)| *number);
        self.seats.get_mut(&number?)
    }

    /// Whether the seat of the term in force only listens at the moment. One of a later term may for as long as that is only
    /// configured.
    pub(super) fn listens(&mut self) -> bool {
        self.shown().is_some_and(|seat| seat.post.sentry.listens())
    }

    /// A posted report is known without the committee's messages: it may show that another process has this member's key.
    pub(super) fn on_header(&mut self, header: &Header) -> Result<(), GuardError> {
        self.seats.get_mut(&header.term).map_or(Ok(()), |seat| seat.post.certified(header))
    }

    pub(super) fn next_wakeup(&self) -> Option<u64> {
        self.seats.values().filter_map(|seat| seat.oracle.next_wakeup()).min()
    }

    /// A term is configured: whoever is in it takes a seat; the others listen, to hear its key or to tell it theirs.
    pub(super) fn on_term(&mut self, term: Term) -> anyhow::Result<Vec<For>> {
        let number = term.scope.term;
        if number < self.recipe.config.term || self.terms.contains_key(&number) {
            self.listen(&term)?;
            return Ok(Vec::new());
        }
        self.listen(&term)?;
        self.terms.insert(number, term.clone());
        let mut news: Vec<For> = self
            .others(number, false)
            .into_iter()
            .map(|t| (t, Input::Successor { term: Box::new(term.clone()) }))
            .collect();
        if let Some(me) = place(&term, self.recipe.key.address()) {
            if let Some(book) = self.recipe.books.of(&term).cloned() {
                self.sit_down(term, me, book)?;
                news.extend(self.follows(number).then_some((number, Input::Follows)));
            } else {
                let (wanted, here) = (term.book_root, self.recipe.books.listed());
                tracing::error!(term = number, %wanted, %here, "no seat in this term: books does not list its policy book");
            }
        }
        Ok(news)
    }

    fn sit_down(&mut self, term: Term, me: u32, book: Book) -> anyhow::Result<()> {
        let recipe = &self.recipe;
        let setup = Setup {
            // Told with `Activated`, after how the term begins.
            term: Term { genesis_ms: None, ..term.clone() },
            me,
            key: Arc::clone(&recipe.key),
            dkg_seed: recipe.dkg_seed,
            book,
            streams: recipe.config.streams.clone(),
            behaviour: recipe.behaviour,
        };
        let mut journal = recipe.store.journal()?;
        if let Some(key) = missing_dealing_seed(&term, &journal) {
            let seed = Record { key, value: rand::random::<[u8; 32]>().to_vec() };
            recipe.store.persist(&seed)?;
            journal.push(seed);
        }
        let observe_delay_ms = setup.book.conduct.observe_delay_ms;
        let oracle = Oracle::new(setup, journal, now_ms());
        tracing::info!(term = term.scope.term, member = me, n = term.n(), "this node is a member of the term");
        let kept = (Arc::clone(&recipe.store), recipe.metrics.clone());
        let (mark, memory) = recipe.mark.clone();
        let memory = if self.caught_up { Memory::Whole } else { memory };
        let sentry = Sentry::post((mark, memory), kept, (&term, me), observe_delay_ms, now_ms())?;
        let ahead = Arc::clone(&recipe.block_ahead);
        let clock = ClockWatch::new(&term, me, recipe.config.clock_limit, ahead, recipe.metrics.clone());
        let (number, post) = (term.scope.term, Post { term, me, sentry, clock });
        self.seats.insert(number, Seat { post, oracle, floor: 0 });
        Ok(())
    }

    /// Whether another term was in force before this one.
    fn follows(&self, number: u64) -> bool {
        let view = self.recipe.view.borrow();
        let committee = self.recipe.config.committee;
        let active = view.registry.active_term(committee);
        view.registry.rotated(committee, number).is_some() || active.is_some_and(|active| active < number)
    }

    /// The registry rotated: one term ends, another begins.
    pub(super) fn on_rotated(&mut self, number: u64, start: &Start) -> Vec<For> {
        let previous = start.previous.scope.term;
        tracing::info!(
            from = previous,
            to = number,
            from_epoch = start.from_epoch,
            forced = start.forced,
            "rotation is final"
        );
        if !self.seats.contains_key(&number) && self.seats.contains_key(&previous) {
            tracing::info!(
                "this member is not in term {number}: it serves term {previous} up to epoch {}",
                start.from_epoch
            );
        }
        if start.forced && base_root(&start.bases) != start.base {
            tracing::error!(
                term = number,
                "governance named a base that is the root of no moment's last posted reports: no stream can begin from it"
            );
        }
        self.starts.insert(number, start.clone());
        let start = Box::new(start.clone());
        vec![(previous, Input::Ends(start.clone())), (number, Input::Begins(start))]
    }

    /// A term is active: those after it follow, those before it that were never in force are given up.
    pub(super) fn on_activated(&mut self, number: u64, genesis_ms: u64) -> Vec<For> {
        tracing::info!(term = number, genesis_ms, "the term is active");
        let previous = self.starts.get(&number).map(|start| start.previous.scope.term);
        for gone in self.others(number, false).into_iter().filter(|other| Some(*other) != previous) {
            self.leave(gone);
        }
        if let Some(seat) = self.seats.get_mut(&number) {
            seat.post.term.genesis_ms = Some(genesis_ms);
        }
        let later = self.others(number, true).into_iter().map(|other| (other, Input::Follows));
        later.chain([(number, Input::Activated { genesis_ms })]).collect()
    }

    /// A report is on the chain: a term whose successor reports in every stream is over.
    pub(super) fn on_posted(&mut self, stream: u32, epoch: u64) {
        let last = self.posted.entry(stream).or_insert(epoch);
        *last = epoch.max(*last);
        let posted = |stream| self.posted.get(stream).copied();
        let Some(epoch) = self.recipe.config.streams.iter().map(posted).min().flatten() else { return };
        let over: Vec<u64> = self
            .starts
            .values()
            .filter(|start| start.from_epoch <= epoch)
            .map(|start| start.previous.scope.term)
            .filter(|term| self.seats.contains_key(term))
            .collect();
        over.into_iter().for_each(|term| self.leave(term));
    }

    fn leave(&mut self, number: u64) {
        self.seats.remove(&number);
        self.command(Command::Leave(number));
        tracing::info!(term = number, "the seat in this term is left");
        if self.seats.is_empty() && !std::mem::replace(&mut self.left, true) {
            tracing::warn!(
                "this member has left the committee: nothing is signed any more; the API goes on serving its archive"
            );
        }
    }

    fn listen(&self, term: &Term) -> anyhow::Result<()> {
        // What is long over needs no network.
        let over = self.recipe.view.borrow().registry.active_term(self.recipe.config.committee);
        let over = over.is_some_and(|active| term.scope.term < self.before(active));
        if !over {
            self.command(Command::Join(room(&self.recipe.config, term, &self.recipe.view.borrow())?));
        }
        Ok(())
    }

    /// The term before an active one, or itself when it is the first.
    fn before(&self, active: u64) -> u64 {
        let view = self.recipe.view.borrow();
        view.registry.rotated(self.recipe.config.committee, active).map_or(active, |rotated| rotated.previous)
    }

    fn command(&self, command: Command) {
        if self.gossip.try_send(command).is_err() {
            tracing::error!("the network does not keep up; a term's room was neither joined nor left");
        }
    }
}

/// The own index in the first term, which must have a policy book and member key of this node.
pub(super) fn admitted(config: &Config, books: &Books, term: &Term, address: Address) -> anyhow::Result<u32> {
    if books.of(term).is_none() {
        bail!("the term's policy book has root {}, but {}", term.book_root, books.listed());
    }
    place(term, address)
        .with_context(|| format!("{address} is no member of committee {} in term {}", config.committee, config.term))
}

/// A member's index in a term.
fn place(term: &Term, address: Address) -> Option<u32> {
    let place = term.members.iter().position(|member| member.address == address)?;
    u32::try_from(place).ok()
}

/// A term's network: its members by index, and where the registry or the configuration says they are.
pub(super) fn room(config: &Config, term: &Term, view: &View) -> anyhow::Result<Room> {
    let peer = |member: &Member| {
        keys::peer_id(&member.peer_key)
            .with_context(|| format!("the transport key of {} is no Ed25519 key", member.address))
    };
    let members: Vec<PeerId> = term.members.iter().map(peer).collect::<anyhow::Result<_>>()?;
    if members.is_empty() {
        bail!("term {} has no members", term.scope.term);
    }
    let configured = config.gossip.peers.iter().filter_map(|text| Some((None, text.parse().ok()?)));
    let mut peers: Vec<_> = configured.collect();
    if peers.is_empty() {
        let endpoint = |(member, id): (&Member, &PeerId)| {
            let text = &view.registry.registration(config.committee, &member.address)?.endpoint;
            Some((Some(*id), text.parse().ok()?))
        };
        peers = term.members.iter().zip(&members).filter_map(endpoint).collect();
    }
    let number = term.scope.term;
    Ok(Room { term: number, topic: gossip::topic(config.committee, number), members, peers })
}
