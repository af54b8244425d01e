//! Content pulled from members: blobs onto the shelf, evidence through the same door as a broker's; what the core waits
//! for is handed to it. Evidence that does not verify is asked of another holder: the member is blamed, never the id.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use attest::{Class, Network};
use oracle_core::effect::{Content, Input};
use oracle_core::reason::Reason;
use oracle_core::wire;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::effects::Wanted;
use super::now_ms;
use crate::duties::{Duties, joined};
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
    pub(super) wanted: Wanted,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) gossip: mpsc::Sender<Command>,
    pub(super) durable: mpsc::Sender<Told>,
    pub(super) metrics: Metrics,
}

/// Starts the worker; it ends with the sender.
pub(super) fn start(worker: Worker, duties: &Duties) -> mpsc::Sender<Pulled> {
    let (sender, mut receiver) = mpsc::channel::<Pulled>(super::QUEUE_MAX);
    let worker = Arc::new(worker);
    duties.keep("the worker that stores pulled content", async move {
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
            match joined(tokio::task::spawn_blocking(move || hands.take(round)).await) {
                Some(Ok(())) => {}
                Some(Err(error)) => drop(worker.durable.send(Err(error)).await),
                None => return,
            }
        }
    });
    sender
}

impl Worker {
    fn take(&self, round: Vec<Pulled>) -> Result<(), StoreError> {
        let (blobs, evidence): (Vec<_>, Vec<_>) = round.into_iter().partition(|pulled| pulled.item.class == 0);
        // Only what the core waits for: a member may offer whatever has a hash. What goes on the shelf is the core's to say.
        let waiting = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let (awaited, strange): (Vec<_>, Vec<_>) = blobs.iter().partition(|pulled| waiting.contains(&*pulled.item.id));
        drop(waiting);
        self.metrics.pulls_bad.inc_by(u64::try_from(strange.len()).unwrap_or(0));
        let mut ready: Vec<Content> = awaited.into_iter().map(|pulled| content(&pulled.item)).collect();
        let now = now_ms();
        let raws: Vec<Raw> = evidence.iter().map(|pulled| raw(&pulled.item, now)).collect();
        let taken = self.intake.take(&raws)?;
        for (pulled, verdict) in evidence.iter().zip(&taken.verdicts) {
            match verdict {
                // An epoch is judged under the keys of its snapshot, not under those of now: the core checks the signature.
                Ok(_) => ready.push(content(&pulled.item)),
                Err(reason) if *reason == Reason::UNKNOWN_DEVICE => ready.push(content(&pulled.item)),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use attest::{Body, Claims, Signer as _, SoftEd25519};
    use oracle_core::observation::blob_hash;

    use super::*;
    use crate::keys::Secret;
    use crate::receipts::ReceiptLog;
    use crate::testing::{Dir, store};

    const NETWORK: Network = [1; 8];

    fn worker(dir: &Dir, wanted: &[[u8; 32]]) -> (Worker, Arc<Store>, mpsc::Receiver<Input>) {
        let (store, metrics) = (Arc::new(store(dir)), Metrics::new().expect("metrics"));
        let log = ReceiptLog::new(&Secret::new([2; 32]), store.receipt_head().expect("head"));
        let intake = Arc::new(Intake::new(Arc::clone(&store), metrics.clone(), NETWORK, log));
        let wanted = Arc::new(Mutex::new(wanted.iter().copied().collect::<BTreeSet<_>>()));
        let (inputs, told) = mpsc::channel(4);
        let (gossip, durable) = (mpsc::channel(4).0, mpsc::channel(4).0);
        (Worker { intake, wanted, inputs, gossip, durable, metrics }, store, told)
    }

    fn from_3(id: [u8; 32], class: u8, bytes: Vec<u8>) -> Pulled {
        Pulled { from: 3, item: wire::Pulled { id: id.into(), class, bytes: bytes.into() }, others: vec![] }
    }

    #[test]
    fn evidence_of_a_key_that_is_gone_by_now_still_reaches_the_core() {
        // Its device had the key at the epoch's snapshot; the newest block knows it no more.
        let (dir, signer) = (Dir::new("pulled"), SoftEd25519::from_seed([9; 32]));
        let claims = Claims { iat: None, nonce: None, boot: 1, seq: 4, prev: [0; 16], body: Body::Heartbeat };
        let mut buffer = [0; attest::MAX_MESSAGE];
        let signed = attest::seal(&signer, &NETWORK, &claims, &mut buffer).expect("sealed");
        assert_ne!(signer.public_key().kid(), [0; 8]);
        let (worker, store, mut told) = worker(&dir, &[signed.id]);
        worker.take(vec![from_3(signed.id, signed.class as u8, signed.bytes.to_vec())]).expect("disk");
        let Ok(Input::Content(contents)) = told.try_recv() else { panic!("nothing reached the core") };
        assert_eq!(contents.iter().map(|content| content.id).collect::<Vec<_>>(), [signed.id]);
        // A prepare vote promises to serve it, after a restart too, until the epoch is settled without it.
        store.lend(0, 7, &contents).expect("disk");
        assert_eq!(store.content(&signed.id).expect("disk").as_ref(), contents.first());
        store.settle(0, 7, &[signed.id]).expect("disk");
        assert_eq!(store.content(&signed.id).expect("disk").as_ref(), contents.first());
        // Nobody waits for it any more: the door stays shut.
        worker.take(vec![from_3(signed.id, signed.class as u8, signed.bytes.to_vec())]).expect("disk");
        assert!(told.try_recv().is_err());
        assert!(!store.has_evidence(&signed.id).expect("disk"), "not stored as a message of a device");
    }

    #[test]
    fn blobs_that_nobody_here_waits_for_are_not_kept() {
        // A liar offers the hashes of rubbish as if they were evidence.
        let (dir, rubbish) = (Dir::new("rubbish"), vec![7; 1_000]);
        let (worker, store, mut told) = worker(&dir, &[]);
        worker.take(vec![from_3(blob_hash(&rubbish), 0, rubbish.clone())]).expect("disk");
        assert!(told.try_recv().is_err());
        assert_eq!(store.content(&blob_hash(&rubbish)).expect("disk"), None);
    }
}
