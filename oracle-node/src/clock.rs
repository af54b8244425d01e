//! This node's clock against the others' and the chain's: measured, shown, and warned about; never set.
//! Leaves out: how an offset is estimated (`oracle_core::clock`), and whom the clock follows (NTP on the machine).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oracle_core::clock::{Clocks, Skew, block_ahead_ms, judge};
use oracle_core::term::Term;

use crate::chain::Rpc;
use crate::metrics::Metrics;

/// Time between two looks at the chain's newest block.
const BLOCK_EVERY: Duration = Duration::from_secs(15);

/// What the API shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reading {
    /// Own clock − the other members' (median, travel included), ms; `None` while too few are heard.
    pub offset_ms: Option<i64>,
    /// By how much the newest block is later than the own clock, ms.
    pub block_ahead_ms: u64,
    /// What is tolerated, ms.
    pub limit_ms: u64,
    /// Whether one of the two is beyond it.
    pub alarm: bool,
}

/// The clock of one node in one term.
#[derive(Debug)]
pub struct ClockWatch {
    clocks: Clocks,
    limit_ms: u64,
    block_ahead: Arc<AtomicU64>,
    metrics: Metrics,
    alarm: bool,
}

impl ClockWatch {
    /// A watch that has heard nothing yet. `block_ahead` is what [`follow_blocks`] writes.
    #[must_use]
    pub fn new(term: &Term, me: u32, limit: Duration, block_ahead: Arc<AtomicU64>, metrics: Metrics) -> Self {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Self { clocks: Clocks::new(term, me), limit_ms, block_ahead, metrics, alarm: false }
    }

    /// A beacon partial came, in a message that `from` signed.
    pub fn hear(&mut self, term: &Term, from: u32, member: u32, slot: u64, now: u64) {
        self.clocks.hear(term, from, member, slot, now);
    }

    /// Where the clock stands; warns once when it begins to be wrong, and says when it is right again.
    pub fn look(&mut self, term: &Term, now: u64) -> Reading {
        let offset_ms = self.clocks.offset_ms(term, now);
        let block_ahead_ms = self.block_ahead.load(Ordering::Relaxed);
        let skew = judge(offset_ms, self.limit_ms);
        let alarm = skew != Skew::Fine || block_ahead_ms > self.limit_ms;
        self.metrics.clock_offset_ms.set(offset_ms.unwrap_or(0));
        self.metrics.clock_alarm.set(i64::from(alarm));
        if alarm && !self.alarm {
            let limit_ms = self.limit_ms;
            tracing::error!(
                ?skew,
                block_ahead_ms,
                limit_ms,
                "this machine's clock is wrong: set it (NTP); meanwhile this member's observations are outvoted"
            );
        } else if self.alarm && !alarm {
            tracing::info!(?offset_ms, "this machine's clock is right again");
        }
        self.alarm = alarm;
        Reading { offset_ms, block_ahead_ms, limit_ms: self.limit_ms, alarm }
    }
}

/// Looks at the chain's newest block now and then, for ever, and notes by how much it is from the future.
pub async fn follow_blocks(rpc: Rpc, clock: fn() -> u64, ahead: Arc<AtomicU64>) {
    loop {
        // An endpoint out of reach is the watcher's business.
        if let Ok(Some(seconds)) = rpc.newest_block_time().await {
            ahead.store(block_ahead_ms(seconds, clock()), Ordering::Relaxed);
        }
        tokio::time::sleep(BLOCK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};
    use oracle_core::term::Member;
    use oracle_core::typed::Scope;

    use super::*;

    fn term() -> Term {
        let scope = Scope { chain_id: 1, registry: Address::ZERO, committee: 1, term: 1, config_digest: B256::ZERO };
        let member = Member { address: Address::ZERO, peer_key: [0; 32], dkg_key: [0; 32] };
        let (members, book_root) = (vec![member; 4], B256::ZERO);
        Term { scope, members, book_root, epoch_ms: 15_000, slot_ms: 1_000, genesis_ms: Some(0) }
    }

    #[test]
    fn the_alarm_is_raised_and_lifted() {
        let (metrics, block) = (Metrics::new().expect("metrics"), Arc::new(AtomicU64::new(0)));
        let limit = Duration::from_millis(500);
        let mut watch = ClockWatch::new(&term(), 0, limit, Arc::clone(&block), metrics.clone());
        assert_eq!(watch.look(&term(), 0), Reading { limit_ms: 500, ..Reading::default() });
        for (slot, late, alarm) in [(10, 40, false), (11, 700, true), (12, 30, false)] {
            (1..4).for_each(|member| watch.hear(&term(), member, member, slot, slot * 1_000 + late));
            let reading = watch.look(&term(), slot * 1_000 + late);
            assert_eq!((reading.offset_ms, reading.alarm), (i64::try_from(late).ok(), alarm));
            assert_eq!(metrics.clock_alarm.get(), i64::from(alarm));
        }
        block.store(501, Ordering::Relaxed);
        assert!(watch.look(&term(), 12_100).alarm, "a block from the future");
    }
}
