//! Housekeeping after an archived epoch: drops what the operator need not keep, and shows how much is kept.
//! Leaves out: how it is dropped (`store`).

use std::sync::Arc;

use super::effects::Hands;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

/// Fewest epochs that may be kept beyond the policy's K, within which late data still counts.
const KEEP_MARGIN: u64 = 8;

/// Refuses to keep so few epochs that late data could miss what it is about.
pub(super) fn check_keep(keep_epochs: Option<u64>, late_epochs: u64) -> anyhow::Result<()> {
    let fewest = late_epochs.saturating_add(KEEP_MARGIN);
    if let Some(keep) = keep_epochs.filter(|keep| *keep < fewest) {
        anyhow::bail!(
            "[store] keep_epochs = {keep} is too few: late data may still count; at least {fewest}, or 0 for all"
        );
    }
    Ok(())
}

impl Hands {
    /// An epoch of a stream is archived here.
    pub(super) fn keep_house(&mut self, stream: u32, epoch: u64) {
        let last = self.lately.archived.entry(stream).or_insert(epoch);
        *last = epoch.max(*last);
        let old = self.keep_epochs.zip(self.archived_everywhere()).and_then(|(keep, archived)| {
            let start = |back: u64| self.term.epoch_start(archived.checked_sub(back)?);
            Some((start(keep)?, start(keep.saturating_mul(2)).unwrap_or(0)))
        });
        let (store, metrics) = (Arc::clone(&self.store), self.metrics.clone());
        self.duties.piece("housekeeping", move || {
            if let Err(error) = tidy(&store, &metrics, stream, epoch, old) {
                tracing::error!(%error, "the store could not be tidied; it is tried again after the next epoch");
            }
        });
    }

    /// The last epoch that every stream has archived: a message may still count in the one that is furthest behind. `None`
    /// while a stream has archived nothing since the node began.
    fn archived_everywhere(&self) -> Option<u64> {
        self.streams.iter().map(|stream| self.lately.archived.get(stream).copied()).min().flatten()
    }
}

fn tidy(store: &Store, metrics: &Metrics, stream: u32, epoch: u64, old: Option<(u64, u64)>) -> Result<(), StoreError> {
    if let Some((bytes_before, ids_before)) = old {
        metrics.store_pruned.inc_by(store.prune(bytes_before, ids_before)?.bytes);
    }
    let first = store.report_epochs(stream, 0, 1)?.first().copied().unwrap_or(epoch);
    let epochs = epoch.saturating_sub(first).saturating_add(1);
    metrics.store_epochs.with_label_values(&[&stream.to_string()]).set(i64::try_from(epochs).unwrap_or(i64::MAX));
    metrics.store_bytes.set(i64::try_from(store.bytes_on_disk()?).unwrap_or(i64::MAX));
    Ok(())
}
