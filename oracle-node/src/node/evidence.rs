//! Content pulled from members: blobs onto the shelf, evidence through the same door as a broker's; what the core waits
//! for is handed to it. Evidence that does not verify is asked of another holder: the member is blamed, never the id.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use attest::{Class, Network};
use oracle_core::effect::{Content, Input};
use oracle_core::wire;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::effects::Wanted;
use super::now_ms;
use crate::gossip::{Command, Source};
use crate::intake::{Intake, Raw, Told};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Items of one round at most.
const ROUND_MAX: usize = 256;
/// Longest wait for a round to fill.
const ROUND_WAIT: Duration = Duration::from_millis(4);

/// One pulled item that fits its id.
pub(super) struct Pulled {
    pub(super) from: u32,
    pub(super) item: wire::Pulled,
    pub(super) others: Vec<u32>,
}

/// What the worker needs.
pub(super) struct Worker {
    pub(super) intake: Arc<Intake>,
    pub(super) store: Arc<Store>,
    pub(super) wanted: Wanted,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) gossip: mpsc::Sender<Command>,
    pub(super) durable: mpsc::Sender<Told>,
    pub(super) metrics: Metrics,
}

/// Starts the worker; it ends with the sender.
pub(super) fn start(worker: Worker) -> mpsc::Sender<Pulled> {
    let (sender, mut receiver) = mpsc::channel::<Pulled>(super::QUEUE_MAX);
    let worker = Arc::new(worker);
    tokio::spawn(async move {
        while let Some(first) = receiver.recv().await {
            let mut round = vec![first];
            let until = Instant::now() + ROUND_WAIT;
            while round.len() < ROUND_MAX {
                match timeout_at(until, receiver.recv()).await {
                    Ok(Some(next)) => round.push(next),
                    _ => break,
                }
            }
            let hands = Arc::clone(&worker);
            match tokio::task::spawn_blocking(move || hands.take(round)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => drop(worker.durable.send(Err(error)).await),
                Err(_) => return,
            }
        }
    });
    sender
}

impl Worker {
    fn take(&self, round: Vec<Pulled>) -> Result<(), StoreError> {
        let (blobs, evidence): (Vec<_>, Vec<_>) = round.into_iter().partition(|pulled| pulled.item.class == 0);
        // Only what the core waits for is put on the shelf: a member may offer whatever has a hash.
        let waiting = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let (awaited, strange): (Vec<_>, Vec<_>) = blobs.iter().partition(|pulled| waiting.contains(&*pulled.item.id));
        drop(waiting);
        self.metrics.pulls_bad.inc_by(u64::try_from(strange.len()).unwrap_or(0));
        let mut ready: Vec<Content> = awaited.into_iter().map(|pulled| content(&pulled.item)).collect();
        if !ready.is_empty() {
            self.store.serve(&ready)?;
        }
        let now = now_ms();
        let raws: Vec<Raw> = evidence.iter().map(|pulled| raw(&pulled.item, now)).collect();
        let taken = self.intake.take(&raws)?;
        for (pulled, verdict) in evidence.iter().zip(&taken.verdicts) {
            match verdict {
                Ok(_) => ready.push(content(&pulled.item)),
                Err(reason) => self.refused(pulled, &reason.to_string()),
            }
        }
        let mut waiting = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        ready.retain(|content| waiting.remove(&content.id));
        drop(waiting);
        // Sending fails only when the node ends.
        if !ready.is_empty() {
            let _ = self.inputs.blocking_send(Input::Content(ready));
        }
        if !taken.new.is_empty() {
            let _ = self.durable.blocking_send(Ok(taken));
        }
        Ok(())
    }

    fn refused(&self, pulled: &Pulled, reason: &str) {
        self.metrics.pulls_bad.inc();
        tracing::warn!(from = pulled.from, id = ?pulled.item.id, reason, "a member gave evidence that does not verify");
        if !pulled.others.is_empty() {
            let _ = self.gossip.try_send(Command::Pull { ids: vec![*pulled.item.id], holders: pulled.others.clone() });
        }
    }
}

fn content(item: &wire::Pulled) -> Content {
    Content { id: *item.id, class: item.class, bytes: item.bytes.to_vec() }
}

/// The id fitted, so that class and envelope decode; should they not, the judge refuses the bytes.
fn raw(item: &wire::Pulled, arrival_ms: u64) -> Raw {
    let kid = attest::decode(&item.bytes).map(|envelope| envelope.kid).unwrap_or_default();
    Raw { class: Class::from_u8(item.class).unwrap_or(Class::Heartbeat), kid, bytes: item.bytes.to_vec(), arrival_ms }
}

/// What members may pull from this node.
pub(super) struct Shelf {
    store: Arc<Store>,
    network: Network,
}

impl Shelf {
    pub(super) fn new(store: Arc<Store>, network: Network) -> Self {
        Self { store, network }
    }
}

impl Source for Shelf {
    fn content(&self, id: &[u8; 32]) -> Option<Content> {
        self.store.content(id).ok().flatten()
    }

    fn evidence_id(&self, class: u8, bytes: &[u8]) -> Option<[u8; 32]> {
        let envelope = attest::decode(bytes).ok()?;
        Some(attest::evidence_id(Class::from_u8(class)?, &self.network, &envelope))
    }
}
