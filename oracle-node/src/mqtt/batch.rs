//! The batch worker: whatever has arrived, judged and made durable together, then acknowledged, then told. It waits only
//! for a batch below 20, and at most 4 ms: 20 is the smallest in-flight window of a broker by default, and a larger batch
//! would wait for what the broker withholds.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Delivery;
use crate::intake::{Intake, Raw, Told};
use crate::metrics::Metrics;

/// A batch of this size is worth its durable write.
const ENOUGH: usize = 20;
/// Messages of one durable write at most.
const BATCH_MAX: usize = 256;
/// Longest wait for a batch to fill.
const BATCH_WAIT: Duration = Duration::from_millis(4);

/// Runs until no connection is left or nobody listens.
pub(super) async fn run(
    mut deliveries: mpsc::Receiver<Delivery>,
    intake: Arc<Intake>,
    durable: mpsc::Sender<Told>,
    clock: fn() -> u64,
    metrics: Metrics,
) {
    let mut batch = Vec::new();
    while deliveries.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let until = Instant::now() + BATCH_WAIT;
        while batch.len() < ENOUGH {
            match timeout_at(until, deliveries.recv_many(&mut batch, BATCH_MAX)).await {
                Ok(more) if more > 0 => {}
                _ => break,
            }
        }
        let (raws, acks): (Vec<Option<Raw>>, Vec<_>) =
            batch.drain(..).map(|delivery| (delivery.raw, delivery.ack)).unzip();
        let raws: Vec<Raw> = raws.into_iter().flatten().collect();
        let door = Arc::clone(&intake);
        let mut taken = match tokio::task::spawn_blocking(move || door.take(&raws)).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(error)) => {
                // Nothing is acknowledged: the broker keeps the messages. The node ends when it is told.
                let _ = durable.send(Err(error)).await;
                return;
            }
            Err(_) => return,
        };
        taken.announce = true;
        for ack in acks {
            ack.send();
        }
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
