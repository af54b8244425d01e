//! The batch workers: what has arrived, judged and made durable together, then acknowledged, then told. A batch waits to
//! fill only below 20, and at most 4 ms: 20 is the smallest in-flight window of a broker by default, and a larger batch
//! would wait for what the broker withholds. Above that it takes half of what waits: the whole of a small window in one
//! batch would leave node and broker waiting for each other in turn. While one batch waits for the disk the next is
//! judged; acknowledgements leave in the order of arrival all the same.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Delivery;
use super::acks::{self, Ack};
use crate::duties::{Duties, joined};
use crate::intake::{Intake, Raw, Told};
use crate::metrics::Metrics;

/// A batch of this size is worth its durable write.
const ENOUGH: usize = 20;
/// Messages of one durable write at most.
const BATCH_MAX: usize = 256;
/// Longest wait for a batch to fill.
const BATCH_WAIT: Duration = Duration::from_millis(4);
/// Batches that wait while one is told; with it and the one just begun, three are under way at most.
const WAITING_MAX: usize = 1;

/// A batch on its way to the disk, and what may be acknowledged when it is there.
struct UnderWay {
    taken: JoinHandle<Told>,
    acks: Vec<Ack>,
}

/// Runs until no connection is left or nobody listens.
pub(super) async fn run(
    mut deliveries: mpsc::Receiver<Delivery>,
    intake: Arc<Intake>,
    durable: mpsc::Sender<Told>,
    clock: fn() -> u64,
    metrics: Metrics,
    duties: Duties,
) {
    let (begun, under_way) = mpsc::channel(WAITING_MAX);
    duties.keep("the worker that acknowledges evidence", finish(under_way, durable, clock, metrics));
    let mut batch = Vec::new();
    while gather(&mut deliveries, &mut batch).await {
        let (raws, acks): (Vec<Option<Raw>>, Vec<_>) =
            batch.drain(..).map(|delivery| (delivery.raw, delivery.ack)).unzip();
        let raws: Vec<Raw> = raws.into_iter().flatten().collect();
        let door = Arc::clone(&intake);
        let taken = tokio::task::spawn_blocking(move || door.take(&raws));
        if begun.send(UnderWay { taken, acks }).await.is_err() {
            return;
        }
    }
}

/// Fills a batch; `false` when no connection is left.
async fn gather(deliveries: &mut mpsc::Receiver<Delivery>, batch: &mut Vec<Delivery>) -> bool {
    let Some(first) = deliveries.recv().await else { return false };
    batch.push(first);
    let share = (deliveries.len() / 2).clamp(ENOUGH, BATCH_MAX);
    if !deliveries.is_empty() {
        deliveries.recv_many(batch, share - 1).await;
    }
    let until = Instant::now() + BATCH_WAIT;
    while batch.len() < ENOUGH {
        match timeout_at(until, deliveries.recv_many(batch, BATCH_MAX)).await {
            Ok(more) if more > 0 => {}
            _ => break,
        }
    }
    true
}

/// Acknowledges and tells of batch after batch, in the order in which they began. Ends with the first that failed: what
/// follows it is not acknowledged either, and the broker keeps it.
async fn finish(
    mut under_way: mpsc::Receiver<UnderWay>,
    durable: mpsc::Sender<Told>,
    clock: fn() -> u64,
    metrics: Metrics,
) {
    while let Some(UnderWay { taken, acks }) = under_way.recv().await {
        let mut taken = match joined(taken.await) {
            Some(Ok(taken)) => taken,
            Some(Err(error)) => {
                // The node ends when it is told.
                let _ = durable.send(Err(error)).await;
                return;
            }
            None => return,
        };
        taken.announce = true;
        acks::send(acks);
        let now = clock();
        for item in &taken.new {
            let seconds = Duration::from_millis(now.saturating_sub(item.arrival_ms)).as_secs_f64();
            metrics.evidence_durable_seconds.observe(seconds);
        }
        if !(taken.new.is_empty() && taken.again.is_empty()) && durable.send(Ok(taken)).await.is_err() {
            return;
        }
    }
}
