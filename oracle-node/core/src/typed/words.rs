//! ABI words in a row, hashed: what EIP-712 makes of structs of static fields. The hashes of names are made once.
//! Leaves out: which fields a struct has (`typed`).

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolStruct;

use super::MemberStatement;

/// Type hash of the domain.
pub(super) static DOMAIN_TYPE: LazyLock<B256> =
    LazyLock::new(|| keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"));
/// Hash of the domain's name.
pub(super) static NAME: LazyLock<B256> = LazyLock::new(|| keccak256("Plumbline"));
/// Hash of the domain's version.
pub(super) static VERSION: LazyLock<B256> = LazyLock::new(|| keccak256("1"));
/// Type hash of [`MemberStatement`].
pub(super) static STATEMENT_TYPE: LazyLock<B256> =
    LazyLock::new(|| keccak256(MemberStatement::eip712_encode_type().as_bytes()));

/// Up to N words of 32 bytes; those not given are left out of the hash.
#[derive(Debug)]
pub(super) struct Words<const N: usize> {
    words: [[u8; 32]; N],
    count: usize,
}

impl<const N: usize> Default for Words<N> {
    fn default() -> Self {
        Self { words: [[0; 32]; N], count: 0 }
    }
}

impl<const N: usize> Words<N> {
    /// Appends 32 bytes.
    pub(super) const fn word(mut self, word: B256) -> Self {
        debug_assert!(self.count < N, "more words than there is room for");
        if self.count < N {
            self.words[self.count] = word.0;
            self.count += 1;
        }
        self
    }

    /// Appends a number, big-endian.
    pub(super) fn number(self, number: u64) -> Self {
        let mut word = B256::ZERO;
        word[24..].copy_from_slice(&number.to_be_bytes());
        self.word(word)
    }

    /// Appends an address, zeros before it.
    pub(super) fn address(self, address: Address) -> Self {
        self.word(address.into_word())
    }

    /// keccak256 of all of them.
    pub(super) fn hash(&self) -> B256 {
        keccak256(self.words[..self.count].as_flattened())
    }
}
