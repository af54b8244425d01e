//! The committee's rotations with the certificates that the old keys signed: what a device needs to believe a new key. The
//! registry's event does not hold the certificate, so it is taken from the transaction, checked, and kept for ever in the
//! store: every node can know it, whether it was a member then or not. Leaves out: telling devices (`downlink`).

use std::sync::Arc;

use aggregator::{GroupKey, Signature};
use alloy::primitives::{B256, keccak256};
use alloy::sol_types::SolEvent as _;
use oracle_core::registry::events::{self, TermRotated};
use oracle_core::registry::{Contracts, Registry};
use oracle_core::typed::{Rotation, Scope};
use tokio::sync::watch;

use super::log::StoredBlock;
use super::{ChainError, Rpc, View, abi};
use crate::store::{Store, StoreError};

/// Transactions that rotated a committee in a block, by the term they led to.
pub(super) fn named(block: &StoredBlock, contracts: &Contracts, committee: u64) -> Vec<(u64, B256)> {
    let raw = block.raw_logs();
    let ours = raw.iter().zip(&block.logs).filter(|(log, _)| log.address == contracts.registry);
    let rotated = ours.filter_map(|(log, stored)| {
        let event = read(log)?;
        (event.committee == committee).then(|| (event.newTerm, B256::from(*stored.transaction)))
    });
    rotated.collect()
}

fn read(log: &events::RawLog) -> Option<TermRotated> {
    TermRotated::decode_raw_log_validate(log.topics.iter().copied(), &log.data).ok()
}

/// A rotation that is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What the old key signed.
    pub rotation: Rotation,
    /// The new key, EIP-2537.
    pub group_key: [u8; 256],
    /// The old key's certificate, compressed; `None` when governance rotated without it.
    pub certificate: Option<[u8; 48]>,
}

/// A rotation as the fold knows it: everything but the certificate.
struct Known {
    scope: Scope,
    old_key: Vec<u8>,
    rotation: Rotation,
    group_key: [u8; 256],
    forced: bool,
}

impl Known {
    fn of(registry: &Registry, chain_id: u64, committee: u64, new_term: u64) -> Option<Self> {
        let start = registry.start(chain_id, committee, new_term)?;
        let scope = start.previous.scope;
        let group_key = &registry.activation(committee, new_term)?.group_key;
        let rotation = Rotation {
            committee,
            term: scope.term,
            configDigest: scope.config_digest,
            newTerm: new_term,
            newConfigDigest: registry.term(chain_id, committee, new_term)?.scope.config_digest,
            newGroupKeyHash: keccak256(group_key),
            fromEpoch: start.from_epoch,
            baseHeader: start.base,
        };
        let group_key = group_key.as_slice().try_into().ok()?;
        Some(Self { scope, old_key: start.previous_key, rotation, group_key, forced: start.forced })
    }

    /// The certificate, if this is one over this rotation.
    fn certified(&self, onchain: &[u8; 96]) -> Option<[u8; 48]> {
        let group = GroupKey::from_eip2537(self.old_key.as_slice().try_into().ok()?).ok()?;
        let certificate = Signature::from_onchain(onchain).ok()?;
        group.verify(&self.scope.digest(&self.rotation).0, &certificate).ok()?;
        Some(certificate.to_bytes())
    }

    fn signed(self, certificate: Option<[u8; 48]>) -> Signed {
        Signed { rotation: self.rotation, group_key: self.group_key, certificate }
    }
}

/// Where rotations come from: the fold, the store and, once for each, the endpoint.
#[derive(Debug)]
pub struct Rotations {
    rpc: Rpc,
    store: Arc<Store>,
    /// The fold.
    pub view: watch::Receiver<View>,
    /// Committee.
    pub committee: u64,
}

/// Why certificates could not be had now.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The endpoint did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The endpoint does not have the transaction, or it holds no such certificate.
    #[error(
        "transaction {transaction} rotated to term {term}, but this endpoint does not show the old key's certificate in it; \
         devices are not told of that term until an endpoint that keeps old transactions does"
    )]
    Missing {
        /// The term it led to.
        term: u64,
        /// The transaction.
        transaction: B256,
    },
}

impl Rotations {
    /// Those of one committee.
    #[must_use]
    pub fn new(rpc: &Rpc, store: &Arc<Store>, view: &watch::Receiver<View>, committee: u64) -> Self {
        Self { rpc: rpc.clone(), store: Arc::clone(store), view: view.clone(), committee }
    }

    /// The last rotations up to the term activated last, oldest first, at most `most`: as far back as certificates are
    /// known without a gap, and why it is not farther.
    pub async fn last(&self, most: usize) -> (Vec<Signed>, Option<RotationError>) {
        let (chain_id, registry) = {
            let view = self.view.borrow();
            (view.chain_id, Arc::clone(&view.registry))
        };
        let (mut found, mut term) = (Vec::new(), registry.active_term(self.committee));
        while let Some(known) = term.and_then(|term| Known::of(&registry, chain_id, self.committee, term))
            && found.len() < most
        {
            term = Some(known.rotation.term);
            match self.certificate(&known).await {
                Ok(certificate) => found.push(known.signed(certificate)),
                Err(error) => {
                    found.reverse();
                    return (found, Some(error));
                }
            }
        }
        found.reverse();
        (found, None)
    }

    /// From the store, else from the transaction; `None` of a rotation that nobody signed.
    async fn certificate(&self, known: &Known) -> Result<Option<[u8; 48]>, RotationError> {
        if known.forced {
            return Ok(None);
        }
        let term = known.rotation.newTerm;
        let name = format!("rotation/{}/{term}", self.committee);
        if let Some(kept) = self.store.fact(&name)?.and_then(|bytes| bytes.try_into().ok()) {
            return Ok(Some(kept));
        }
        let transaction = self.view.borrow().rotations.get(&term).copied().unwrap_or_default();
        let calldata = self.rpc.calldata(transaction).await?.unwrap_or_default();
        let mut certificates = abi::rotation_certificates(&calldata).filter_map(|bytes| known.certified(&bytes));
        let certificate = certificates.next().ok_or(RotationError::Missing { term, transaction })?;
        self.store.put_fact(&name, &certificate)?;
        Ok(Some(certificate))
    }
}
