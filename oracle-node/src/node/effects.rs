//! The hands of the node: each effect of the core carried out, in order, and the fold of the chain followed.
//! Leaves out: why (`oracle_core`), the loop (`node`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oracle_core::collect;
use oracle_core::effect::{CertifiedReport, Content, Effect, Input, Seen};
use oracle_core::ingest;
use oracle_core::limits::PULL_ITEMS_MAX;
use oracle_core::oracle::Status;
use oracle_core::registry::Registry;
use oracle_core::report::header_digest;
use oracle_core::term::Term;
use oracle_core::wire::{Hash, Message};
use prometheus::IntGaugeVec;
use tokio::sync::{mpsc, watch};

use super::MaybePublisher;
use super::seats::Post;
use crate::board::Board;
use crate::books::Books;
use crate::chain::{Owed, View};
use crate::downlink;
use crate::duties::Duties;
use crate::gossip::Command;
use crate::guard::GuardError;
use crate::intake::{Intake, Taken};
use crate::metrics::Metrics;
use crate::store::{Said, Store, StoredReport, spoken};

/// A member's offer is looked at after this: most messages come by the broker meanwhile.
const OFFER_PATIENCE: Duration = Duration::from_millis(150);

/// Ids remembered as awaited at most.
const WANTED_MAX: usize = 131_072;

/// Ids that the core waits for.
pub(super) type Wanted = Arc<Mutex<BTreeSet<[u8; 32]>>>;

/// A stream, what its epoch is observed of (devices with their class of work), and the bytes of all buckets at the most.
pub(super) type Asked = (u32, BTreeMap<u64, u8>, usize);

/// What was done since the node began.
#[derive(Default)]
pub(super) struct Lately {
    /// By device: the start of the lease whose access was published last, and the stream that it is of.
    pub(super) access: BTreeMap<u64, (u64, u32)>,
    /// By stream: the last epoch archived.
    pub(super) archived: BTreeMap<u32, u64>,
}

/// Everything that effects need.
pub(super) struct Hands {
    pub(super) me: u32,
    pub(super) term: Term,
    pub(super) books: Books,
    pub(super) streams: BTreeSet<u32>,
    pub(super) lately: Lately,
    pub(super) store: Arc<Store>,
    pub(super) metrics: Metrics,
    pub(super) board: Arc<Board>,
    pub(super) view: watch::Receiver<View>,
    pub(super) intake: Arc<Intake>,
    pub(super) gossip: mpsc::Sender<Command>,
    pub(super) publisher: MaybePublisher,
    pub(super) owed: mpsc::Sender<Owed>,
    /// Asks the chain's watcher for snapshots again, from an epoch on.
    pub(super) again: mpsc::Sender<u64>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) wanted: Wanted,
    /// Epochs whose evidence is kept in full; `None` = all.
    pub(super) keep_epochs: Option<u64>,
    /// The fold whose device keys are in force here.
    pub(super) keys_of: Option<Arc<Registry>>,
    pub(super) duties: Duties,
}

impl Hands {
    /// Carries out one effect; returns when it is done or safely on its way.
    /// `post` is that of the seat that asks for it.
    pub(super) fn carry_out(&mut self, post: &mut Post, effect: Effect) -> Result<(), GuardError> {
        let term = post.term.scope.term;
        match effect {
            Effect::Persist(record) => self.store.persist(&record)?,
            Effect::Broadcast(bytes) => self.broadcast(post, bytes)?,
            Effect::Direct { to, bytes } => self.command(Command::Whisper { term, to, bytes }),
            Effect::Fetch { ids, holders } => self.fetch(term, ids, holders),
            Effect::FetchOf { term, holder, ids } => self.fetch(term, ids, vec![holder]),
            Effect::Observe { stream, epoch, devices, budget } => {
                self.observe(&post.term, BTreeMap::from([(epoch, vec![(stream, devices, budget)])]))
            }
            Effect::Serve(contents) => self.store.serve(&contents)?,
            Effect::Lend { stream, epoch, contents } => self.store.lend(stream, epoch, &contents)?,
            Effect::Settled { stream, epoch, kept } => self.store.settle(stream, epoch, &kept)?,
            Effect::Beacon { slot, certificate } => {
                self.metrics.beacons_recovered.inc();
                if let Some(publisher) = &self.publisher {
                    publisher.publish(attest::BEACON_TOPIC, &downlink::beacon(slot, &certificate));
                }
            }
            Effect::Certified(report) => self.certified(post, &report)?,
            Effect::Transmit { not_before, what } => {
                if self.owed.try_send(Owed { not_before, term, what }).is_err() {
                    tracing::error!("the outbox does not keep up; a transmission is left to the other members");
                }
            }
            Effect::Erase(keys) => self.store.erase(&keys)?,
            Effect::Note { code, text } => {
                self.metrics.core_notes.with_label_values(&[code]).inc();
                if code == "fault_proof" {
                    self.metrics.faults_known.set(i64::try_from(self.store.faults()?.len()).unwrap_or(i64::MAX));
                }
                tracing::warn!(code, "{text}");
            }
        }
        Ok(())
    }

    fn command(&self, command: Command) {
        if self.gossip.try_send(command).is_err() {
            tracing::warn!("the network does not keep up; a message was dropped (it is sent again)");
        }
    }

    /// The last gate before speaking: nothing leaves that contradicts what left before.
    fn broadcast(&self, post: &Post, bytes: Vec<u8>) -> Result<(), GuardError> {
        let term = post.term.scope.term;
        let message = Message::decode(&bytes).ok();
        let own = message.as_ref().and_then(spoken).filter(|statement| statement.member == post.me);
        if let Some(statement) = own
            && !post.sentry.may_say(statement)?
        {
            tracing::debug!(?statement, "not said: this member may have said something else and forgotten it");
            return Ok(());
        }
        if let Some(statement) = own
            && self.store.note_statement_in(term, statement)? == Said::Contradicts
        {
            self.metrics.core_notes.with_label_values(&["contradiction_withheld"]).inc();
            tracing::error!(
                ?statement,
                "withheld: this node has said something else before; stop it and keep its store"
            );
            return Ok(());
        }
        self.command(Command::Say { term, bytes });
        Ok(())
    }

    fn fetch(&self, term: u64, ids: Vec<[u8; 32]>, holders: Vec<u32>) {
        let mut waiting = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() > WANTED_MAX {
            // What nobody could give by now is asked for again by the core if it still matters.
            waiting.clear();
        }
        waiting.extend(&ids);
        drop(waiting);
        let (store, inputs, gossip) = (Arc::clone(&self.store), self.inputs.clone(), self.gossip.clone());
        let wanted = Arc::clone(&self.wanted);
        self.duties.piece("the reading of content", move || {
            let (mut found, mut missing) = (Vec::<Content>::new(), Vec::new());
            for id in ids {
                match store.content(&id) {
                    Ok(Some(content)) => found.push(content),
                    Ok(None) => missing.push(id),
                    Err(error) => tracing::error!(%error, "content could not be read"),
                }
            }
            if !found.is_empty() {
                let mut waiting = wanted.lock().unwrap_or_else(PoisonError::into_inner);
                for content in &found {
                    waiting.remove(&content.id);
                }
                drop(waiting);
                // The node ends when this fails.
                let _ = inputs.blocking_send(Input::Content(found));
            }
            if !missing.is_empty() {
                let _ = gossip.try_send(Command::PullOf { term, ids: missing, holders });
            }
        });
    }

    /// Builds the buckets that are asked for, by epoch; an epoch's messages are read once for all its streams. A device with
    /// leases in several of them has its bucket in each.
    pub(super) fn observe(&self, term: &Term, asked: BTreeMap<u64, Vec<Asked>>) {
        for (epoch, streams) in asked {
            let Some(book) = self.books.of(term).cloned() else { continue };
            let term = term.clone();
            let (store, intake, inputs) = (Arc::clone(&self.store), Arc::clone(&self.intake), self.inputs.clone());
            self.duties.piece("the observation of an epoch", move || {
                let Some((from, to)) = collect::window(&term, &book, epoch) else { return };
                let items = match store.arrivals(from, to) {
                    Ok(items) => items,
                    Err(error) => return tracing::error!(%error, epoch, "arrivals could not be read; no observation"),
                };
                for (stream, devices, budget) in streams {
                    let buckets = collect::buckets(&term, &book, &devices, budget, epoch, &items);
                    tracing::info!(stream, epoch, messages = items.len(), devices = buckets.len(), "observed");
                    let seen = Seen { buckets, receipts_root: intake.receipts_root(), measurements: Vec::new() };
                    let _ = inputs.blocking_send(Input::Observed { stream, epoch, seen });
                }
            });
        }
    }

    fn certified(&mut self, post: &mut Post, report: &CertifiedReport) -> Result<(), GuardError> {
        let (stream, epoch) = (report.instance.stream, report.header.epoch);
        let now = super::now_ms();
        post.certified(&report.header)?;
        let conduct = self.books.of(&post.term).map(|book| &book.conduct);
        let begun = conduct.and_then(|conduct| collect::observation_time(&post.term, conduct, epoch)).unwrap_or(now);
        let taken = now.saturating_sub(begun);
        if taken < post.term.epoch_ms {
            self.metrics.report_seconds.observe(Duration::from_millis(taken).as_secs_f64());
        }
        let digest = header_digest(&post.term, &report.header).0;
        let stored = StoredReport::of(report, stream, epoch, digest);
        self.store.put_report(&stored, &report.bundle)?;
        self.keep_house(stream, epoch);
        tracing::info!(
            stream,
            epoch,
            leases = report.outcome.leaves.len(),
            void_slots = report.outcome.void_slots.len(),
            "report certified"
        );
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let registry = Arc::clone(&self.view.borrow().registry);
        for (device, (start, access)) in downlink::access(report) {
            // One place for a device's access: of leases in several streams the one that started last.
            let known = self.lately.access.entry(device).or_insert((start, stream));
            if known.1 != stream && *known > (start, stream) {
                continue;
            }
            *known = (start, stream);
            if let Some(record) = registry.devices().get(&device) {
                let topic = attest::topic_down(attest::Down::Access, &record.key.kid());
                publisher.retain(&topic, &downlink::encode(&access));
            }
        }
        Ok(())
    }

    /// A batch is durable: its devices get receipts, the core what it waited for, the members an offer.
    pub(super) fn on_durable(&self, taken: Taken) {
        let registry = Arc::clone(&self.view.borrow().registry);
        if let (Some(publisher), Some(batch)) = (&self.publisher, &taken.receipts) {
            for (device, receipts) in downlink::receipts(self.me, &taken.new, batch) {
                if let Some(record) = registry.devices().get(&device) {
                    let topic = attest::topic_down(attest::Down::Receipt, &record.key.kid());
                    publisher.publish(&topic, &downlink::encode(&receipts));
                }
            }
        }
        // A device that sends a stored message again has not heard enough receipts (docs/protocol.md §11).
        for again in taken.again.iter().filter(|_| taken.announce) {
            let receipt = downlink::receipt_again(self.me, &again.batch, again.place);
            if let (Some(publisher), Some(receipt)) = (&self.publisher, receipt) {
                let topic = attest::topic_down(attest::Down::Receipt, &again.kid);
                publisher.publish(&topic, &downlink::encode(&receipt));
            }
        }
        let mut waiting = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let awaited = taken.new.iter().filter(|item| waiting.remove(&*item.id));
        let contents: Vec<Content> =
            awaited.map(|item| Content { id: *item.id, class: item.class, bytes: item.bytes.to_vec() }).collect();
        drop(waiting);
        if !contents.is_empty() && self.inputs.try_send(Input::Content(contents)).is_err() {
            tracing::warn!("the core does not keep up; content is fetched again");
        }
        if taken.announce && !taken.new.is_empty() {
            let ids: Vec<Hash> = taken.new.iter().map(|item| item.id).collect();
            self.command(Command::Broadcast(Message::Have(ids).encode()));
        }
    }

    /// A member offers evidence: after a while, what is still missing is pulled.
    pub(super) fn offered(&self, term: u64, from: u32, mut ids: Vec<Hash>) {
        ids.truncate(PULL_ITEMS_MAX);
        let (store, gossip) = (Arc::clone(&self.store), self.gossip.clone());
        tokio::spawn(async move {
            tokio::time::sleep(OFFER_PATIENCE).await;
            let lacking = tokio::task::spawn_blocking(move || {
                ids.iter().map(|id| **id).filter(|id| matches!(store.has_evidence(id), Ok(false))).collect::<Vec<_>>()
            });
            if let Ok(ids) = lacking.await
                && !ids.is_empty()
            {
                let _ = gossip.send(Command::Offered { term, holder: from, ids }).await;
            }
        });
    }

    /// Takes over device keys and lease hints from the fold, when it changed.
    pub(super) fn follow_registry(&mut self) {
        let registry = Arc::clone(&self.view.borrow().registry);
        if self.keys_of.as_ref().is_some_and(|known| Arc::ptr_eq(known, &registry)) {
            return;
        }
        self.intake.set_keys(ingest::keys(&registry.snapshot()));
        if let Some(publisher) = &self.publisher {
            let committee = self.term.scope.committee;
            for (token, hints) in downlink::lease_hints(&registry, committee, &self.streams, &self.books) {
                if let Some(record) = registry.devices().get(&token) {
                    let topic = attest::topic_down(attest::Down::Lease, &record.key.kid());
                    publisher.retain(&topic, &downlink::encode(&hints));
                }
            }
        }
        self.keys_of = Some(registry);
    }

    /// Shows the core's status on the board and in the metrics.
    pub(super) fn show(&mut self, post: &mut Post, status: Status) {
        if self.term.scope.term != post.term.scope.term {
            (self.term, self.me) = (post.term.clone(), post.me);
        }
        let gauge = |value: Option<u64>| value.and_then(|v| i64::try_from(v).ok()).unwrap_or(-1);
        for (number, stream) in &status.streams {
            let label = number.to_string();
            let set = |gauges: &IntGaugeVec, value| gauges.with_label_values(&[&label]).set(gauge(value));
            set(&self.metrics.epoch_decided, stream.last_decided);
            set(&self.metrics.epoch_certified, stream.last_certified);
            set(&self.metrics.epoch_posted, stream.last_posted);
        }
        self.metrics.messages_unserved.set(gauge(Some(status.unserved)));
        self.metrics.slot_current.set(gauge(status.slot));
        let now = super::now_ms();
        let (clock, listens) = (post.clock.look(&post.term, now), post.sentry.listens());
        self.board.update(|live| {
            (live.me, live.term) = (Some(post.me), Some(post.term.clone()));
            live.status = Some(status);
            (live.clock, live.listens) = (clock, listens);
            live.updated_ms = now;
        });
    }
}
