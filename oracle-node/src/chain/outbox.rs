//! What the node owes the chain: durable items with explicit nonces, each waiting → sent → mined (block hash) → final.
//! Looks at the chain before sending: the fold says what is done, an estimate says what would revert. One task, one key.
//! Leaves out: what to send and when (`oracle_core`), single calls (`rpc`).

mod item;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use tokio::sync::{mpsc, watch};

use super::rpc::{ChainError, Fees, Rpc};
use super::{Owed, View, abi};
use crate::config;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use item::{Aim, Item, Sent, Stage, bumped};

/// A sent transaction that is not mined is sent again after this.
const RESEND_AFTER_MS: u64 = 15_000;
/// Pause after a refusal by the chain, doubling up to a minute.
const REFUSAL_PAUSE_MS: u64 = 500;
/// Items owed at most; the core asks again for what matters.
const ITEMS_MAX: usize = 1_024;

/// What the outbox needs to know.
#[derive(Debug)]
pub struct OutboxSetup {
    /// The endpoint and the signing key.
    pub rpc: Rpc,
    /// Keeps the items.
    pub store: Arc<Store>,
    /// Contract addresses.
    pub chain: config::Chain,
    /// Committee.
    pub committee: u64,
    /// The fold.
    pub view: watch::Receiver<View>,
    /// Real time, unix ms.
    pub clock: fn() -> u64,
    /// The node's metrics.
    pub metrics: Metrics,
}

/// The running outbox.
#[derive(Debug)]
pub struct Outbox {
    setup: OutboxSetup,
    items: BTreeMap<u64, Item>,
}

impl Outbox {
    /// Takes up what the store still owes.
    ///
    /// # Errors
    /// A failed disk. Items of another version are dropped with a warning: the core asks again.
    pub fn open(setup: OutboxSetup) -> Result<Self, StoreError> {
        let mut items = BTreeMap::new();
        for (id, bytes) in setup.store.outbox()? {
            match Item::decode(&bytes) {
                Some(item) => drop(items.insert(id, item)),
                None => {
                    tracing::warn!(id, "an outbox item of another version is dropped");
                    setup.store.drop_outbox(id)?;
                }
            }
        }
        Ok(Self { setup, items })
    }

    /// Runs until the node stops. `owed` brings what to transmit.
    ///
    /// # Errors
    /// A failed disk; failed calls are retried.
    pub async fn run(mut self, mut owed: mpsc::Receiver<Owed>) -> Result<(), StoreError> {
        let mut pulse = tokio::time::interval(Duration::from_millis(250));
        pulse.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                next = owed.recv() => match next {
                    Some(owed) => self.accept(&owed)?,
                    None => return Ok(()),
                },
                _ = pulse.tick() => self.pulse().await?,
            }
        }
    }

    fn accept(&mut self, owed: &Owed) -> Result<(), StoreError> {
        let Owed { not_before, term, what } = owed;
        let aim = Aim::of(*term, what);
        if self.items.values().any(|item| item.aim == aim) || self.done(&aim) || self.items.len() >= ITEMS_MAX {
            return Ok(());
        }
        let (to, data) = abi::calldata(&self.setup.chain, self.setup.committee, *term, what);
        let id = self.items.keys().next_back().map_or(0, |last| last.saturating_add(1));
        let stage = Stage::Waiting { not_before: *not_before, refusals: 0 };
        self.keep(id, Item { aim, to: to.into_array().into(), data: data.into(), stage })
    }

    fn keep(&mut self, id: u64, item: Item) -> Result<(), StoreError> {
        self.setup.store.put_outbox(id, &item.encode())?;
        self.items.insert(id, item);
        self.setup.metrics.outbox_items.set(i64::try_from(self.items.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    fn forget(&mut self, id: u64) -> Result<(), StoreError> {
        self.setup.store.drop_outbox(id)?;
        self.items.remove(&id);
        self.setup.metrics.outbox_items.set(i64::try_from(self.items.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Whether finalized blocks say that nothing is left to do.
    fn done(&self, aim: &Aim) -> bool {
        let view = self.setup.view.borrow();
        let committee = self.setup.committee;
        match *aim {
            Aim::Activate => view.registry.active_term(committee).is_some(),
            Aim::Keys(batch, term) => view.batches.get(&term).is_some_and(|next| *next > batch),
            Aim::Refresh(term, root) => {
                view.registry.share_roots(committee, term, 0).iter().any(|(known, _)| known.0 == *root)
            }
            // Whoever was first: the registry takes one rotation to a term.
            Aim::Rotate(to, _) => view.registry.activation(committee, to).is_some(),
            // The hub takes epochs in rising order only: a later post makes this one impossible.
            Aim::Report(stream, epoch) => view
                .registry
                .posted()
                .range((committee, stream, epoch)..=(committee, stream, u64::MAX))
                .next()
                .is_some(),
        }
    }

    async fn pulse(&mut self) -> Result<(), StoreError> {
        let now = (self.setup.clock)();
        let ids: Vec<u64> = self.items.keys().copied().collect();
        for id in ids {
            let Some(item) = self.items.get(&id).cloned() else { continue };
            if self.done(&item.aim) {
                tracing::info!(what = %item.aim, "final on the chain");
                self.forget(id)?;
                continue;
            }
            let step = match &item.stage {
                Stage::Waiting { not_before, .. } if *not_before > now => continue,
                Stage::Waiting { refusals, .. } => self.first_send(id, &item, *refusals, now).await,
                Stage::Sent(sent) => self.follow(id, &item, sent, now).await,
            };
            match step {
                Ok(()) => {}
                Err(Stop::Store(error)) => return Err(error),
                Err(Stop::Chain(error)) => {
                    self.setup.metrics.chain_errors.inc();
                    tracing::debug!(%error, what = %item.aim, "not sent yet");
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Sends an item for the first time, or again after it was lost with its nonce.
    async fn first_send(&mut self, id: u64, item: &Item, refusals: u32, now: u64) -> Result<(), Stop> {
        let to = Address::from(*item.to);
        let gas = match self.setup.rpc.gas(to, &item.data).await {
            Ok(gas) => gas,
            Err(ChainError::Rpc(why)) => {
                // It would revert: a racer was first and is not final yet, or it is too early. Look again later.
                tracing::debug!(what = %item.aim, %why, "the chain would refuse this now");
                let pause = REFUSAL_PAUSE_MS.saturating_mul(1 << refusals.min(7)).min(60_000);
                let stage =
                    Stage::Waiting { not_before: now.saturating_add(pause), refusals: refusals.saturating_add(1) };
                return Ok(self.keep(id, Item { stage, ..item.clone() })?);
            }
            Err(error) => return Err(error.into()),
        };
        let (_, pending) = self.setup.rpc.nonces().await?;
        let after_ours =
            self.items.values().filter_map(|item| item.nonce()).max().map_or(0, |last| last.saturating_add(1));
        let fees = self.setup.rpc.fees().await?;
        let sent = self.sign(item, pending.max(after_ours), gas.saturating_add(gas / 5), fees, now).await?;
        self.transmit(id, item, sent).await
    }

    async fn sign(&self, item: &Item, nonce: u64, gas: u64, fees: Fees, now: u64) -> Result<Sent, Stop> {
        let chain_id = self.setup.view.borrow().chain_id;
        let signed = self.setup.rpc.sign(chain_id, nonce, gas, fees, Address::from(*item.to), &item.data).await?;
        let (max_fee, tip) = (fees.max.to_be_bytes().into(), fees.tip.to_be_bytes().into());
        Ok(Sent {
            nonce,
            hash: signed.hash.0.into(),
            raw: signed.raw.into(),
            gas,
            max_fee,
            tip,
            at_ms: now,
            mined_in: None,
        })
    }

    /// Durable first, then audible: after a crash the same bytes are sent again, never a second transaction.
    async fn transmit(&mut self, id: u64, item: &Item, sent: Sent) -> Result<(), Stop> {
        let raw = sent.raw.to_vec();
        tracing::info!(what = %item.aim, nonce = sent.nonce, hash = %B256::from(*sent.hash), "transaction sent");
        self.keep(id, Item { stage: Stage::Sent(sent), ..item.clone() })?;
        self.setup.metrics.outbox_sent.inc();
        Ok(self.setup.rpc.send(&raw).await?)
    }

    /// Looks after a sent transaction: mined, lost to a reorg, or stuck.
    async fn follow(&mut self, id: u64, item: &Item, sent: &Sent, now: u64) -> Result<(), Stop> {
        let hash = B256::from(*sent.hash);
        let mut receipt = self.setup.rpc.receipt(hash).await?;
        let used_up = receipt.is_none() && self.setup.rpc.nonces().await?.0 > sent.nonce;
        if used_up {
            // Mined between the two questions, or really lost: only a second look tells.
            receipt = self.setup.rpc.receipt(hash).await?;
        }
        if let Some(receipt) = receipt {
            let block = receipt.block_hash.map(|hash| hash.0.into());
            if !receipt.status() {
                tracing::warn!(what = %item.aim, "mined, but reverted; looking again");
                return Ok(self.wait_again(id, item, now)?);
            }
            if sent.mined_in != block {
                tracing::info!(what = %item.aim, block = receipt.block_number, gas = receipt.gas_used, "mined");
                return Ok(self.keep(
                    id,
                    Item { stage: Stage::Sent(Sent { mined_in: block, ..sent.clone() }), ..item.clone() },
                )?);
            }
            return Ok(());
        }
        if used_up {
            // Another transaction took the nonce: ours can never be mined.
            return Ok(self.wait_again(id, item, now)?);
        }
        if sent.mined_in.is_some() || now.saturating_sub(sent.at_ms) >= RESEND_AFTER_MS {
            tracing::info!(what = %item.aim, reorg = sent.mined_in.is_some(), "not mined; sent again");
            let market = self.setup.rpc.fees().await?;
            let again = self.sign(item, sent.nonce, sent.gas, bumped(sent.fees(), market), now).await?;
            return self.transmit(id, item, again).await;
        }
        Ok(())
    }

    fn wait_again(&mut self, id: u64, item: &Item, now: u64) -> Result<(), StoreError> {
        let stage = Stage::Waiting { not_before: now.saturating_add(REFUSAL_PAUSE_MS), refusals: 0 };
        self.keep(id, Item { stage, ..item.clone() })
    }
}

/// Why a step on one item ended early.
enum Stop {
    Store(StoreError),
    Chain(ChainError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ChainError> for Stop {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}
