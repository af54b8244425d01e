//! What a running node shows to those who only read (the HTTP API): identity, status, the fold of the chain, the store.
//! The node writes it; nothing that is decided reads it.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use oracle_core::oracle::Status;
use oracle_core::term::Term;
use tokio::sync::watch;

use crate::chain::View;
use crate::clock::Reading;
use crate::config::Config;
use crate::keys::PublicKeys;
use crate::metrics::Metrics;
use crate::store::Store;

/// Shared by the node and its API.
#[derive(Debug)]
pub struct Board {
    /// This member's public identity.
    pub identity: PublicKeys,
    /// Committee.
    pub committee: u64,
    /// Term.
    pub term_number: u64,
    /// Streams.
    pub streams: BTreeSet<u32>,
    /// The store; reads may block.
    pub store: Arc<Store>,
    /// The node's metrics.
    pub metrics: Metrics,
    chain: OnceLock<watch::Receiver<View>>,
    live: RwLock<Live>,
}

/// What changes while the node runs.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// This member's index, once the term is known.
    pub me: Option<u32>,
    /// The term, once configured.
    pub term: Option<Term>,
    /// What the core says of itself, once it runs.
    pub status: Option<Status>,
    /// This machine's clock against the others'.
    pub clock: Reading,
    /// Whether this member only listens (`guard`).
    pub listens: bool,
    /// Real time of the last update, unix ms.
    pub updated_ms: u64,
}

impl Board {
    /// A board before anything is known of the chain.
    #[must_use]
    pub fn new(config: &Config, identity: PublicKeys, store: Arc<Store>, metrics: Metrics) -> Self {
        Self {
            identity,
            committee: config.committee,
            term_number: config.term,
            streams: config.streams.clone(),
            store,
            metrics,
            chain: OnceLock::new(),
            live: RwLock::default(),
        }
    }

    /// Shows the fold from now on; later calls change nothing.
    pub fn show_chain(&self, view: watch::Receiver<View>) {
        let _ = self.chain.set(view);
    }

    /// The fold as of the last finalized block, once the chain's id is known.
    #[must_use]
    pub fn chain(&self) -> Option<View> {
        self.chain.get().map(|view| view.borrow().clone())
    }

    /// Changes what is shown.
    pub fn update(&self, change: impl FnOnce(&mut Live)) {
        change(&mut self.live.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// What is shown.
    #[must_use]
    pub fn live(&self) -> Live {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
