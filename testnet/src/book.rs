//! A policy book of two documents, as nodes read it and as the chain knows it: its root, and the proof of its policy.
//! Leaves out: the numbers (`rules`).

use alloy::primitives::{B256, U256, keccak256};
use serde_json::Value;

use crate::contracts::offer::book_leaf;

/// The conduct of a committee and the one policy that its leases are under.
#[derive(Clone, Debug, PartialEq)]
pub struct Book {
    /// The conduct document.
    pub conduct: Value,
    /// The policy document.
    pub policy: Value,
    /// Bit c for every class c that the policy has a section of.
    pub classes: U256,
}

impl Book {
    /// The book with another value at a path of keys, which one of its documents must have.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        let place = self.conduct.pointer_mut(path).or_else(|| self.policy.pointer_mut(path));
        if let Some(place) = place {
            *place = value.into();
        }
        self
    }

    /// The file that a node reads: one document a line.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n", self.conduct, self.policy)
    }

    /// What leases name.
    #[must_use]
    pub fn policy_hash(&self) -> B256 {
        keccak256(self.policy.to_string())
    }

    /// What terms and reports name: the root over the two documents, the lesser node first.
    #[must_use]
    pub fn root(&self) -> B256 {
        let mut leaves = [self.conduct_leaf(), book_leaf(&self.policy_hash(), self.classes)];
        leaves.sort_unstable();
        keccak256(leaves.concat())
    }

    /// The way from the policy's leaf to the root.
    #[must_use]
    pub fn proof(&self) -> Vec<B256> {
        vec![self.conduct_leaf()]
    }

    fn conduct_leaf(&self) -> B256 {
        book_leaf(&keccak256(self.conduct.to_string()), U256::ZERO)
    }
}
