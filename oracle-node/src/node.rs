//! The whole node on one page: what happens goes to the core one input at a time, and the core's effects are carried out
//! in order (`effects`); a `Persist` is durable before anything after it runs. The real clock is read here only.
//! Leaves out: sockets and disks (one file each), judgement (`oracle_core`).

mod effects;
mod evidence;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use oracle_core::effect::Input;
use oracle_core::oracle::{Behaviour, Oracle, Setup};
use oracle_core::policy::Policy;
use oracle_core::term::Term;
use oracle_core::wire::Message;
use tokio::sync::{mpsc, watch};

use crate::board::Board;
use crate::chain::{self, Outbox, OutboxSetup, Rpc, View, Watch, WatchSetup};
use crate::config::{self, Config};
use crate::intake::{Intake, Told};
use crate::keys::{self, Keys};
use crate::metrics::Metrics;
use crate::mqtt::{self, Publisher};
use crate::receipts::ReceiptLog;
use crate::store::{Seal, Store};
use crate::{gossip, http};
use effects::Hands;

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
/// Whatever patience cannot mend: a bad key or policy, a store in use, a failed disk, a term without this member.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::pin!(stop);
    tokio::select! {
        () = &mut stop => Ok(()),
        ended = serve(config) => ended,
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let keys = Keys::load(&config.keys)?;
    let seal = Seal::read(&config.keys.store)?;
    let document = std::fs::read(&config.policy).with_context(|| format!("policy {}", config.policy.display()))?;
    let policy = Policy::parse(&document).map_err(|why| anyhow!("{}: {why}", config.policy.display()))?;
    let store = Arc::new(Store::open(&config.data_dir.join("store"), seal)?);
    let metrics = Metrics::new()?;
    for gauge in [&metrics.epoch_decided, &metrics.epoch_certified, &metrics.epoch_posted, &metrics.slot_current] {
        gauge.set(-1);
    }
    let board = Arc::new(Board::new(&config, keys.public(), Arc::clone(&store), metrics.clone()));
    let api = http::listen(config.http.listen, Arc::clone(&board)).await?;

    let (chain_sender, mut chain_events) = mpsc::channel(1_024);
    let rpc = Rpc::new(&config.chain.rpc, &keys.member_secret)?;
    let watching = WatchSetup {
        rpc: rpc.clone(),
        store: Arc::clone(&store),
        contracts: chain::contracts(&config.chain),
        start_block: config.chain.start_block,
        committee: config.committee,
        term: config.term,
        stream: config.stream,
        snapshot_lag_ms: policy.snapshot_lag_ms,
        poll: config.chain.poll,
        events: chain_sender,
        metrics: metrics.clone(),
    };
    let (watch, view) = Watch::open(watching).await?;
    board.show_chain(view.clone());
    let watch = tokio::spawn(watch.run());
    let (owed, owed_receiver) = mpsc::channel(256);
    let outbox = OutboxSetup {
        rpc,
        store: Arc::clone(&store),
        chain: config.chain.clone(),
        committee: config.committee,
        term: config.term,
        view: view.clone(),
        clock: now_ms,
        metrics: metrics.clone(),
    };
    let outbox = tokio::spawn(Outbox::open(outbox)?.run(owed_receiver));

    tracing::info!(committee = config.committee, term = config.term, "waiting for the term to be configured");
    let term = loop {
        match chain_events.recv().await {
            Some(chain::Event::Term(term)) => break *term,
            Some(_) => {}
            None => return Err(ended(watch.await)),
        }
    };
    let parts = Parts { config, keys, policy, document, store, metrics, board, view, owed };
    let node = Node::assemble(parts, term)?;
    tokio::select! {
        ended = node.run(chain_events) => ended,
        stopped = watch => Err(ended(stopped)),
        stopped = outbox => Err(ended(stopped)),
        stopped = api => Err(ended(stopped)),
    }
}

/// Why a part that should run for ever ended.
fn ended<T, E: Into<anyhow::Error>>(outcome: Result<Result<T, E>, tokio::task::JoinError>) -> anyhow::Error {
    match outcome {
        Ok(Ok(_)) => anyhow!("a part of the node stopped by itself"),
        Ok(Err(error)) => error.into(),
        Err(error) => error.into(),
    }
}

/// What is there before the term is known.
struct Parts {
    config: Config,
    keys: Keys,
    policy: Policy,
    document: Vec<u8>,
    store: Arc<Store>,
    metrics: Metrics,
    board: Arc<Board>,
    view: watch::Receiver<View>,
    owed: mpsc::Sender<(u64, oracle_core::effect::Transmission)>,
}

/// The running node: the core and the hands that carry out what it asks for.
struct Node {
    oracle: Oracle,
    hands: Hands,
    inputs: mpsc::Receiver<Input>,
    network: mpsc::Receiver<gossip::Event>,
    pulled: mpsc::Sender<evidence::Pulled>,
    durable: mpsc::Receiver<Told>,
    mqtt: Option<mqtt::Setup>,
}

impl Node {
    fn assemble(parts: Parts, term: Term) -> anyhow::Result<Self> {
        let Parts { config, keys, policy, document, store, metrics, board, view, owed } = parts;
        if Policy::hash(&document) != term.policy_hash {
            bail!(
                "{} has hash {}, but the term's policy is {}",
                config.policy.display(),
                Policy::hash(&document),
                term.policy_hash
            );
        }
        let address = keys.member.address();
        let place = term.members.iter().position(|member| member.address == address);
        let me = place.and_then(|place| u32::try_from(place).ok());
        let me = me.with_context(|| {
            format!("{address} is no member of committee {} in term {}", config.committee, config.term)
        })?;
        let log = ReceiptLog::new(&keys.receipt, store.receipt_head()?);
        let intake = Arc::new(Intake::new(Arc::clone(&store), metrics.clone(), term.scope.network(), log));
        let (network_sender, network) = mpsc::channel(QUEUE_MAX);
        let source = Arc::new(evidence::Shelf::new(Arc::clone(&store), term.scope.network()));
        let gossip =
            gossip::start(network_setup(&config, &keys, &term, &view.borrow(), source, network_sender, &metrics)?)?;
        let (input_sender, inputs) = mpsc::channel(QUEUE_MAX);
        let (durable_sender, durable) = mpsc::channel(QUEUE_MAX);
        let wanted = Arc::new(Mutex::new(BTreeSet::new()));
        let pulled = evidence::start(evidence::Worker {
            intake: Arc::clone(&intake),
            store: Arc::clone(&store),
            wanted: Arc::clone(&wanted),
            inputs: input_sender.clone(),
            gossip: gossip.clone(),
            durable: durable_sender.clone(),
            metrics: metrics.clone(),
        });
        let mqtt = mqtt_setup(&config, &keys, &policy, &intake, durable_sender, &metrics)?;
        let setup = Setup {
            term: term.clone(),
            me,
            key: Arc::new(keys.member),
            dkg_seed: *keys.dkg.expose(),
            policy: policy.clone(),
            stream: config.stream,
            behaviour: behaviour(config.behaviour),
        };
        let oracle = Oracle::new(setup, store.journal()?, now_ms());
        board.update(|live| (live.me, live.term) = (Some(me), Some(term.clone())));
        tracing::info!(member = me, n = term.n(), %address, "this node is a member of the term");
        let hands = Hands {
            me,
            term,
            policy,
            stream: config.stream,
            store,
            metrics,
            board,
            view,
            intake,
            gossip,
            publisher: None,
            owed,
            inputs: input_sender,
            wanted,
            keys_of: None,
        };
        Ok(Self { oracle, hands, inputs, network, pulled, durable, mqtt: Some(mqtt) })
    }

    async fn run(mut self, mut chain: mpsc::Receiver<chain::Event>) -> anyhow::Result<()> {
        self.step(Input::Tick)?;
        loop {
            let pause = self
                .oracle
                .next_wakeup()
                .map_or(LONGEST_SLEEP, |at| Duration::from_millis(at.saturating_sub(now_ms())));
            tokio::select! {
                () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => self.step(Input::Tick)?,
                Some(input) = self.inputs.recv() => self.step(input)?,
                Some(event) = self.network.recv() => self.on_network(event).await?,
                taken = self.durable.recv() => self.hands.on_durable(taken.context("no evidence is stored any more")??),
                event = chain.recv() => self.on_chain(event.context("the chain is no longer watched")?)?,
            }
        }
    }

    fn step(&mut self, input: Input) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| {
            let timer = self.hands.metrics.core_step_seconds.start_timer();
            for effect in self.oracle.step(now_ms(), input) {
                self.hands.carry_out(effect)?;
            }
            timer.observe_duration();
            self.hands.show(self.oracle.status(now_ms()));
            Ok(())
        })
    }

    async fn on_network(&mut self, event: gossip::Event) -> anyhow::Result<()> {
        match event {
            gossip::Event::Message { from, bytes } => match Message::decode(&bytes) {
                Ok(Message::Have(ids)) => self.hands.offered(from, ids),
                _ => self.step(Input::Message { from, bytes })?,
            },
            gossip::Event::Direct { from, bytes } => self.step(Input::Direct { from, bytes })?,
            gossip::Event::Pulled { from, item, others } => {
                // The worker feeds this loop; a full queue must not stop the loop, so what does not fit is pulled again.
                let _ = self.pulled.try_send(evidence::Pulled { from, item, others });
            }
        }
        Ok(())
    }

    fn on_chain(&mut self, event: chain::Event) -> anyhow::Result<()> {
        match event {
            chain::Event::Term(_) => Ok(()),
            chain::Event::CaughtUp => {
                self.hands.follow_registry();
                // Devices are heard only once their keys are known: an unknown one would be refused and acknowledged.
                if let Some(setup) = self.mqtt.take() {
                    self.hands.publisher = Some(mqtt::start(setup));
                    self.hands.keys_of = None;
                    self.hands.follow_registry();
                }
                Ok(())
            }
            chain::Event::Activated { genesis_ms } => {
                tracing::info!(genesis_ms, "the term is active");
                self.hands.term.genesis_ms = Some(genesis_ms);
                self.hands
                    .board
                    .update(|live| live.term.iter_mut().for_each(|term| term.genesis_ms = Some(genesis_ms)));
                self.step(Input::Activated { genesis_ms })
            }
            chain::Event::Snapshot { epoch, snapshot } => self.step(Input::Snapshot { epoch, snapshot: *snapshot }),
            chain::Event::PendingKeys { batch, keys } => self.step(Input::PendingKeys { batch, keys }),
            chain::Event::Posted { epoch } => self.step(Input::Posted { epoch }),
        }
    }
}

fn network_setup(
    config: &Config,
    keys: &Keys,
    term: &Term,
    view: &View,
    source: Arc<evidence::Shelf>,
    events: mpsc::Sender<gossip::Event>,
    metrics: &Metrics,
) -> anyhow::Result<gossip::Setup> {
    let peer = |member: &oracle_core::term::Member| {
        keys::peer_id(&member.peer_key)
            .with_context(|| format!("the transport key of {} is no Ed25519 key", member.address))
    };
    let members: Vec<_> = term.members.iter().map(peer).collect::<anyhow::Result<_>>()?;
    let configured = config.gossip.peers.iter().filter_map(|text| Some((None, text.parse().ok()?)));
    let mut peers: Vec<_> = configured.collect();
    if peers.is_empty() {
        let endpoint = |(member, id): (&oracle_core::term::Member, &libp2p::PeerId)| {
            let text = &view.registry.registration(config.committee, &member.address)?.endpoint;
            Some((Some(*id), text.parse().ok()?))
        };
        peers = term.members.iter().zip(&members).filter_map(endpoint).collect();
    }
    Ok(gossip::Setup {
        key: keys.peer.clone(),
        listen: config.gossip.listen.parse()?,
        members,
        peers,
        topic: gossip::topic(config.committee, config.term),
        source,
        events,
        metrics: metrics.clone(),
    })
}

fn mqtt_setup(
    config: &Config,
    keys: &Keys,
    policy: &Policy,
    intake: &Arc<Intake>,
    durable: mpsc::Sender<Told>,
    metrics: &Metrics,
) -> anyhow::Result<mqtt::Setup> {
    let password = config.mqtt.password_file.as_deref().map(keys::read_private).transpose()?;
    let login =
        config.mqtt.username.clone().map(|user| (user, password.map_or_else(String::new, |p| p.trim().to_owned())));
    Ok(mqtt::Setup {
        brokers: config.mqtt.brokers.clone(),
        client_id: format!("plumbline-{}", hex::encode(keys.member.address())),
        login,
        messages_per_second: config.mqtt.messages_per_second,
        burst: mqtt::burst(config.mqtt.messages_per_second, policy),
        intake: Arc::clone(intake),
        durable,
        clock: now_ms,
        metrics: metrics.clone(),
    })
}

const fn behaviour(asked: config::Behaviour) -> Behaviour {
    match asked {
        config::Behaviour::Honest => Behaviour::Honest,
        config::Behaviour::Liar { from_epoch, to_epoch } => Behaviour::Liar { from_epoch, to_epoch },
    }
}

/// The publisher's place in [`Hands`] before the brokers are connected.
type MaybePublisher = Option<Publisher>;
