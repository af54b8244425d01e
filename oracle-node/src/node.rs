//! The whole node on one page: what happens goes to the core one input at a time, and the core's effects are carried out
//! in order (`effects`); a `Persist` is durable before anything after it runs. The real clock is read here only.
//! Leaves out: sockets and disks (one file each), judgement (`oracle_core`).

mod effects;
mod evidence;
mod house;
mod seats;
mod wiring;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use oracle_core::effect::{Effect, Input};
use oracle_core::oracle::Behaviour;
use oracle_core::term::Term;
use oracle_core::wire::Message;
use tokio::sync::{mpsc, watch};

use crate::board::Board;
use crate::books::Books;
use crate::chain::{self, Outbox, OutboxSetup, Rpc, View, Watch, WatchSetup};
use crate::clock;
use crate::config::{self, Config};
use crate::downlink::Teller;
use crate::duties::Duties;
use crate::guard::{Mark, Memory};
use crate::intake::{Intake, Told};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::mqtt::{self, Publisher};
use crate::receipts::ReceiptLog;
use crate::store::{Seal, Store};
use crate::{gossip, http};
use effects::{Asked, Hands, Lately};
use seats::{For, Recipe, Seats};

/// Inputs, broadcasts and batches waiting for the core.
const QUEUE_MAX: usize = 8_192;
/// Longest sleep of the loop: a clock that jumps is noticed by then.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// Real time, unix ms.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs a node until `stop` resolves. Waits patiently for a chain, brokers and members that are not up yet.
///
/// # Errors
/// Whatever patience cannot mend: a bad key or policy book, a store in use, a failed disk, a term without this member.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::pin!(stop);
    tokio::select! {
        () = &mut stop => Ok(()),
        ended = serve(config) => ended,
    }
}

/// The work, until it fails or one of its tasks ends.
async fn serve(config: Config) -> anyhow::Result<()> {
    let (duties, mut ended) = Duties::new();
    ended.unless(work(config, duties)).await
}

async fn work(config: Config, duties: Duties) -> anyhow::Result<()> {
    let keys = Keys::load(&config.keys)?;
    let seal = Seal::new(&keys.store, &config.keys.store);
    let books = Books::read(&config.books)?;
    let store = Arc::new(Store::open(&config.data_dir.join("store"), seal)?);
    house::check_keep(config.keep_epochs, books.first()?.late_epochs)?;
    let (mark, memory) = Mark::open(&config.keys.mark(), &store)?;
    let metrics = Metrics::new()?;
    metrics.slot_current.set(-1);
    for stream in &config.streams {
        let gauges = [&metrics.epoch_decided, &metrics.epoch_certified, &metrics.epoch_posted];
        gauges.into_iter().for_each(|gauge| gauge.with_label_values(&[&stream.to_string()]).set(-1));
    }
    let board = Arc::new(Board::new(&config, keys.public(), Arc::clone(&store), metrics.clone()));
    duties.keep_trying("the API", http::listen(config.http.listen, Arc::clone(&board)).await?);

    let (chain_sender, mut chain_events) = mpsc::channel(1_024);
    let (again, asked_again) = mpsc::channel(1);
    let rpc = Rpc::new(&config.chain.rpc, &keys.member_secret)?;
    let watching = WatchSetup {
        rpc: rpc.clone(),
        store: Arc::clone(&store),
        contracts: chain::contracts(&config.chain),
        start_block: config.chain.start_block,
        committee: config.committee,
        term: config.term,
        streams: config.streams.clone(),
        snapshot_lag_ms: books.first()?.snapshot_lag_ms,
        poll: config.chain.poll,
        started_ms: now_ms(),
        events: chain_sender,
        again: asked_again,
        metrics: metrics.clone(),
    };
    let block_ahead = Arc::new(AtomicU64::new(0));
    let (watch, view) = Watch::open(watching).await?;
    duties.keep("the look at the chain's clock", clock::follow_blocks(rpc.clone(), now_ms, Arc::clone(&block_ahead)));
    board.show_chain(view.clone());
    duties.keep_trying("the watch of the chain", watch.run());
    let (owed, owed_receiver) = mpsc::channel(256);
    let rotations = chain::Rotations::new(&rpc, &store, &view, config.committee);
    let teller = Teller { rotations, own: keys.member.address(), clock: now_ms, metrics: metrics.clone() };
    let outbox = OutboxSetup {
        rpc,
        store: Arc::clone(&store),
        chain: config.chain.clone(),
        committee: config.committee,
        view: view.clone(),
        clock: now_ms,
        metrics: metrics.clone(),
    };
    duties.keep_trying("the outbox", Outbox::open(outbox)?.run(owed_receiver));

    tracing::info!(committee = config.committee, term = config.term, "waiting for the term to be configured");
    let (term, before) = own_term(&mut chain_events, config.term).await;
    let mark = (Arc::new(mark), memory);
    let asks = (owed, again);
    let parts = Parts { config, keys, books, store, mark, block_ahead, metrics, board, view, asks, teller };
    Node::assemble(parts, duties, term, before)?.run(chain_events).await
}

/// Waits until the own term is configured; gives it and what the chain said before that still matters, in order.
async fn own_term(events: &mut mpsc::Receiver<chain::Event>, own: u64) -> (Term, Vec<chain::Event>) {
    let mut before = Vec::new();
    loop {
        match next(events).await {
            chain::Event::Term(term) if term.scope.term == own => return (*term, before),
            // The fold has the rest: of what came before the own term, only terms matter.
            chain::Event::Snapshot { .. } | chain::Event::Posted { .. } => {}
            // Said after every look; the order of the first among the terms matters.
            chain::Event::CaughtUp if before.iter().any(|event| matches!(event, chain::Event::CaughtUp)) => {}
            event => before.push(event),
        }
    }
}

/// What the chain says next. Why the watch of it ended, [`Duties`] tell.
async fn next(events: &mut mpsc::Receiver<chain::Event>) -> chain::Event {
    match events.recv().await {
        Some(event) => event,
        None => std::future::pending().await,
    }
}

/// What is there before the term is known.
struct Parts {
    config: Config,
    keys: Keys,
    books: Books,
    store: Arc<Store>,
    mark: (Arc<Mark>, Memory),
    block_ahead: Arc<AtomicU64>,
    metrics: Metrics,
    board: Arc<Board>,
    view: watch::Receiver<View>,
    /// What the chain is owed, and from which epoch on its snapshots are needed again.
    asks: (mpsc::Sender<chain::Owed>, mpsc::Sender<u64>),
    teller: Teller,
}

/// The running node: the core and the hands that carry out what it asks for.
struct Node {
    seats: Seats,
    /// Chain events from before the seats were there, in order.
    before: Vec<chain::Event>,
    hands: Hands,
    inputs: mpsc::Receiver<Input>,
    network: mpsc::Receiver<gossip::Event>,
    pulled: mpsc::Sender<evidence::Pulled>,
    durable: mpsc::Receiver<Told>,
    mqtt: Option<(mqtt::Setup, Teller)>,
}

impl Node {
    fn assemble(parts: Parts, duties: Duties, term: Term, mut before: Vec<chain::Event>) -> anyhow::Result<Self> {
        let Parts { config, keys, books, store, mark, block_ahead, metrics, board, view, asks, teller } = parts;
        let (owed, again) = asks;
        let me = seats::admitted(&config, &books, &term, keys.member.address())?;
        let log = ReceiptLog::new(&keys.receipt, store.receipt_head()?);
        let intake = Arc::new(Intake::new(Arc::clone(&store), metrics.clone(), term.scope.network(), log));
        let (network_sender, network) = mpsc::channel(QUEUE_MAX);
        let source = Arc::new(evidence::Shelf::new(Arc::clone(&store), term.scope.network()));
        let network_setup = wiring::network(&config, &keys, &term, &view.borrow(), source, network_sender, &metrics)?;
        let gossip = gossip::start(network_setup, &duties)?;
        let (input_sender, inputs) = mpsc::channel(QUEUE_MAX);
        let (durable_sender, durable) = mpsc::channel(QUEUE_MAX);
        let wanted = Arc::new(Mutex::new(BTreeSet::new()));
        let worker = evidence::Worker {
            intake: Arc::clone(&intake),
            wanted: Arc::clone(&wanted),
            inputs: input_sender.clone(),
            gossip: gossip.clone(),
            durable: durable_sender.clone(),
            metrics: metrics.clone(),
        };
        let pulled = evidence::start(worker, &duties);
        let mqtt = wiring::mqtt(&config, &keys, books.first()?, &intake, durable_sender, &metrics)?;
        let (streams, keep_epochs) = (config.streams.clone(), config.keep_epochs);
        let recipe = Recipe {
            key: Arc::new(keys.member),
            dkg_seed: *keys.dkg.expose(),
            books: books.clone(),
            behaviour: behaviour(config.behaviour),
            store: Arc::clone(&store),
            metrics: metrics.clone(),
            mark,
            block_ahead,
            view: view.clone(),
            config,
        };
        let requests = crate::control::watch(recipe.config.data_dir.clone(), input_sender.clone());
        duties.keep("the look at the operator's requests", requests);
        let seats = Seats::new(recipe, gossip.clone());
        board.update(|live| (live.me, live.term) = (Some(me), Some(term.clone())));
        before.push(chain::Event::Term(Box::new(term.clone())));
        let hands = Hands {
            me,
            term,
            books,
            streams,
            lately: Lately::default(),
            store,
            metrics,
            board,
            view,
            intake,
            gossip,
            publisher: None,
            owed,
            again,
            inputs: input_sender,
            wanted,
            keep_epochs,
            keys_of: None,
            duties,
        };
        Ok(Self { seats, before, hands, inputs, network, pulled, durable, mqtt: Some((mqtt, teller)) })
    }

    async fn run(mut self, mut chain: mpsc::Receiver<chain::Event>) -> anyhow::Result<()> {
        for event in std::mem::take(&mut self.before) {
            self.on_chain(event)?;
        }
        self.step(Input::Tick)?;
        loop {
            let pause =
                self.seats.next_wakeup().map_or(LONGEST_SLEEP, |at| Duration::from_millis(at.saturating_sub(now_ms())));
            tokio::select! {
                () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => self.step(Input::Tick)?,
                Some(input) = self.inputs.recv() => self.step(input)?,
                Some(event) = self.network.recv() => self.on_network(event).await?,
                taken = self.durable.recv() => self.hands.on_durable(taken.context("no evidence is stored any more")??),
                event = next(&mut chain) => self.on_chain(event)?,
            }
        }
    }

    /// Something that every seat may need.
    fn step(&mut self, input: Input) -> anyhow::Result<()> {
        self.seats.numbers().into_iter().try_for_each(|term| self.step_in(term, input.clone()))
    }

    fn step_in(&mut self, term: u64, input: Input) -> anyhow::Result<()> {
        let mut between = Vec::new();
        let mut next = Some(input);
        tokio::task::block_in_place(|| {
            while let Some(input) = next.take() {
                let timer = self.hands.metrics.core_step_seconds.start_timer();
                let Some(seat) = self.seats.get_mut(term) else { return Ok(()) };
                let mut observing = BTreeMap::<u64, Vec<Asked>>::new();
                for effect in seat.oracle.step(now_ms(), input) {
                    // The streams of an epoch look at the same messages: read together, at the end of the step.
                    if let Effect::Observe { stream, epoch, devices, budget } = effect {
                        observing.entry(epoch).or_default().push((stream, devices, budget));
                        continue;
                    }
                    // What one term says to another is for the other seats of this process, too.
                    if let Effect::Broadcast(bytes) = &effect
                        && let Ok(message @ (Message::NewKey(_) | Message::Checkpoint(_))) = Message::decode(bytes)
                    {
                        between.push((seat.post.me, message));
                    }
                    self.hands.carry_out(&mut seat.post, effect)?;
                }
                self.hands.observe(&seat.post.term, observing);
                timer.observe_duration();
                let status = seat.oracle.status(now_ms());
                let posted = status.posted_anywhere();
                // Asked again at every step until it is there; one question waits at a time.
                if let Some(from) = status.lacking() {
                    let _ = self.hands.again.try_send(from);
                }
                let batch = self.hands.view.borrow().batches.get(&term).copied();
                next = seat.floor(posted, batch)?;
            }
            anyhow::Ok(())
        })?;
        if let Some(seat) = self.seats.shown() {
            let status = seat.oracle.status(now_ms());
            self.hands.show(&mut seat.post, status);
        }
        between.into_iter().try_for_each(|(from, message)| self.between_terms(term, from, &message))
    }

    fn tell(&mut self, news: Vec<For>) -> anyhow::Result<()> {
        news.into_iter().try_for_each(|(term, input)| self.step_in(term, input))
    }

    /// A new term's key is for the terms before it, a checkpoint for those after.
    fn between_terms(&mut self, said_in: u64, from: u32, message: &Message) -> anyhow::Result<()> {
        let later = matches!(message, Message::Checkpoint(_));
        let overheard = || Input::Overheard { term: said_in, from, bytes: message.encode() };
        self.seats.others(said_in, later).into_iter().try_for_each(|term| self.step_in(term, overheard()))
    }

    async fn on_network(&mut self, event: gossip::Event) -> anyhow::Result<()> {
        match event {
            gossip::Event::Message { term, from, bytes } => match Message::decode(&bytes) {
                Ok(Message::Have(ids)) => self.hands.offered(term, from, ids),
                message => {
                    if let (Ok(message), Some(seat)) = (&message, self.seats.get_mut(term)) {
                        seat.post.listen(from, message)?;
                    }
                    self.step_in(term, Input::Message { from, bytes })?;
                    if let Ok(message @ (Message::NewKey(_) | Message::Checkpoint(_))) = &message {
                        self.between_terms(term, from, message)?;
                    }
                }
            },
            gossip::Event::Direct { term, from, bytes } => self.step_in(term, Input::Direct { from, bytes })?,
            gossip::Event::Pulled { from, item, others } => {
                // The worker feeds this loop; a full queue must not stop the loop, so what does not fit is pulled again.
                let _ = self.pulled.try_send(evidence::Pulled { from, item, others });
            }
        }
        Ok(())
    }

    fn on_chain(&mut self, event: chain::Event) -> anyhow::Result<()> {
        match event {
            chain::Event::Term(term) => {
                let news = self.seats.on_term(*term)?;
                self.tell(news)
            }
            chain::Event::Rotated { term, start } => {
                let news = self.seats.on_rotated(term, &start);
                self.tell(news)
            }
            chain::Event::CaughtUp => {
                self.seats.caught_up = true;
                self.hands.follow_registry();
                // Devices are heard only once their keys are known: an unknown one would be refused and acknowledged.
                // Who only listens leaves the brokers alone, too: another process with its keys would lose its sessions.
                let listens = self.seats.listens();
                if let Some((setup, teller)) = self.mqtt.take_if(|_| !listens) {
                    let publisher = mqtt::start(setup, &self.hands.duties);
                    self.hands.duties.keep("the telling of rotations", teller.run(publisher.clone()));
                    self.hands.publisher = Some(publisher);
                    self.hands.keys_of = None;
                    self.hands.follow_registry();
                }
                Ok(())
            }
            chain::Event::Activated { term, genesis_ms } => {
                let news = self.seats.on_activated(term, genesis_ms);
                self.hands.term.genesis_ms = Some(genesis_ms);
                self.hands
                    .board
                    .update(|live| live.term.iter_mut().for_each(|term| term.genesis_ms = Some(genesis_ms)));
                self.tell(news)
            }
            chain::Event::ShareRoots { term, roots } => self.step_in(term, Input::ShareRoots(roots)),
            chain::Event::Snapshot { epoch, snapshot } => self.step(Input::Snapshot { epoch, snapshot: *snapshot }),
            chain::Event::PendingKeys { term, batch, keys } => self.step_in(term, Input::PendingKeys { batch, keys }),
            chain::Event::Posted { stream, epoch, header } => {
                if let Some(header) = header {
                    self.seats.on_header(&header)?;
                }
                self.step(Input::Posted { stream, epoch })?;
                self.seats.on_posted(stream, epoch);
                Ok(())
            }
        }
    }
}

const fn behaviour(asked: config::Behaviour) -> Behaviour {
    match asked {
        config::Behaviour::Honest => Behaviour::Honest,
        config::Behaviour::Liar { from_epoch, to_epoch } => Behaviour::Liar { from_epoch, to_epoch },
    }
}

/// The publisher's place in [`Hands`] before the brokers are connected.
type MaybePublisher = Option<Publisher>;
