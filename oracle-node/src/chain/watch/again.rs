//! Snapshots told a second time. Leaves out: who needs them (`oracle_core::oracle::StreamStatus::lacking`).

use std::sync::Arc;

use oracle_core::limits::SNAPSHOTS_AHEAD_MAX;
use oracle_core::registry::History;

use super::{Event, StoredBlock, Watch, WatchError};
use crate::duties::joined;
use crate::store::StoreError;

impl Watch {
    /// Tells the snapshots of an epoch and those after it once more, as many as the core keeps: a stream that stood still
    /// had no room for them. They are found by folding the stored log anew: seconds in which the chain is not looked at, once
    /// in so many epochs of such a stream.
    pub(super) async fn tell_again(&mut self, from: u64) -> Result<(), WatchError> {
        let until = self.told.next_snapshot.min(from.saturating_add(SNAPSHOTS_AHEAD_MAX));
        let (setup, chain_id) = (&self.setup, self.view.borrow().chain_id);
        tracing::info!(from, until, "snapshots are told again to a stream that stood still");
        let mut history = History::new(setup.contracts, chain_id, setup.committee, setup.term, setup.snapshot_lag_ms);
        history.skip_before(from);
        let (store, start_block) = (Arc::clone(&setup.store), setup.start_block);
        let fold = move || {
            store.chain(|number, bytes| {
                if let Some(block) = StoredBlock::decode(bytes).filter(|_| number >= start_block) {
                    history.apply(block.block(number), &block.raw_logs());
                }
                history.next_epoch() < until
            })?;
            Ok::<_, StoreError>(history)
        };
        let history = joined(tokio::task::spawn_blocking(fold).await).ok_or(WatchError::Stopped)??;
        for epoch in from..until {
            let Some(snapshot) = history.snapshot(epoch) else { break };
            self.send(Event::Snapshot { epoch, snapshot: Box::new(snapshot.clone()) }).await?;
        }
        Ok(())
    }
}
