//! The policy book of a term: one conduct document and the policies that its leases were opened under. A lease keeps its
//! policy for life; offers name one of the book's. The chain knows a book by a Merkle root, so that an offer's policy, and
//! the classes it has, are proven when a lease is opened. docs/protocol.md §9.
//! Leaves out: files. A book on disk is text, one document a line; its bytes come in here.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolValue;

use super::{Conduct, Policy};
use crate::class::InForce;
use crate::limits::{BOOK_DOCUMENTS_MAX, BOOK_SHADOWS_MAX, DOCUMENT_BYTES_MAX};
use crate::merkle;

/// A term's documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Book {
    /// How the committee works.
    pub conduct: Conduct,
    policies: BTreeMap<B256, Policy>,
    /// (document hash, classes), ascending by hash.
    leaves: Vec<(B256, U256)>,
}

/// That a policy is in a book, with the classes that leases may be opened for: what opening a lease carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookProof {
    /// Bit c: leases of class c may be opened under the policy.
    pub classes: U256,
    /// Merkle proof of the policy's leaf.
    pub path: Vec<B256>,
}

impl Book {
    /// Reads a book: text of one document a line, empty lines passed over. A document's hash is over its line's bytes,
    /// without the line's end.
    ///
    /// # Errors
    /// A sentence naming the line and what is wrong with its document; not exactly one conduct document; no policy; a
    /// document twice; a shadow of a policy that is not in the book.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let documents = lines.enumerate().filter(|(_, line)| !line.is_empty());
        let (mut conduct, mut policies, mut leaves) = (None, BTreeMap::new(), BTreeMap::new());
        for (line, document) in documents {
            let refused = |why: String| format!("line {} of the book: {why}", line.saturating_add(1));
            if document.len() > DOCUMENT_BYTES_MAX || leaves.len() >= BOOK_DOCUMENTS_MAX {
                return Err(refused(format!(
                    "above {BOOK_DOCUMENTS_MAX} documents of {DOCUMENT_BYTES_MAX} bytes each"
                )));
            }
            let classes = if is_conduct(document) {
                if conduct.replace(Conduct::parse(document).map_err(refused)?).is_some() {
                    return Err(refused("a second conduct document".to_owned()));
                }
                U256::ZERO
            } else {
                let policy = Policy::parse(document).map_err(refused)?;
                let classes = policy.open_classes();
                policies.insert(Policy::hash(document), policy);
                classes
            };
            if leaves.insert(Policy::hash(document), classes).is_some() {
                return Err(refused("the same document again".to_owned()));
            }
        }
        let conduct = conduct.ok_or("the book has no conduct document")?;
        let book = Self { conduct, policies, leaves: leaves.into_iter().collect() };
        book.check().map(|()| book)
    }

    fn check(&self) -> Result<(), String> {
        if self.policies.values().all(|policy| policy.shadow_of.is_some()) {
            return Err("the book has no policy that a lease can be opened under".to_owned());
        }
        let mut shadowed = self.policies.values().filter_map(|policy| policy.shadow_of);
        if shadowed.clone().count() > BOOK_SHADOWS_MAX {
            return Err(format!(
                "the book has more than {BOOK_SHADOWS_MAX} shadow policies: each has leases judged once more"
            ));
        }
        let paid = |hash: &B256| self.policies.get(hash).is_some_and(|policy| policy.shadow_of.is_none());
        match shadowed.find(|of| !paid(of)) {
            Some(of) => Err(format!("a policy shadows {of}, which is no policy of the book that leases are paid by")),
            None => Ok(()),
        }
    }

    /// The root by which a term names its book: the KEC tree over KEC(KEC(abi.encode(bytes32 hash, uint256 classes))),
    /// ascending by hash.
    #[must_use]
    pub fn root(&self) -> B256 {
        merkle::keccak_root(&self.hashes())
    }

    /// That a policy is in the book; `None` when it is not.
    #[must_use]
    pub fn proof(&self, policy: &B256) -> Option<BookProof> {
        let place = self.leaves.iter().position(|(hash, _)| hash == policy)?;
        let (_, classes) = self.leaves.get(place)?;
        Some(BookProof { classes: *classes, path: merkle::keccak_proof(&self.hashes(), place)? })
    }

    fn hashes(&self) -> Vec<B256> {
        self.leaves.iter().map(|(hash, classes)| book_leaf(hash, classes)).collect()
    }

    /// The policy of a hash.
    #[must_use]
    pub fn policy(&self, hash: &B256) -> Option<&Policy> {
        self.policies.get(hash)
    }

    /// Every policy, ascending by hash.
    pub fn policies(&self) -> impl Iterator<Item = (&B256, &Policy)> {
        self.policies.iter()
    }

    /// The policies that shadow one.
    pub fn shadows(&self, of: B256) -> impl Iterator<Item = (&B256, &Policy)> {
        self.policies.iter().filter(move |(_, policy)| policy.shadow_of == Some(of))
    }

    /// A class as each policy of the book has it.
    pub fn of_class(&self, number: u8) -> impl Iterator<Item = &InForce> {
        self.policies.values().filter_map(move |policy| policy.classes.get(&number))
    }

    /// Every class of every policy.
    pub fn in_force(&self) -> impl Iterator<Item = &InForce> {
        self.policies.values().flat_map(|policy| policy.classes.values())
    }

    /// The longest and the shortest time that a challenge waits for its proof, ms; `None` when nothing is challenged.
    #[must_use]
    pub fn lags_ms(&self) -> Option<(u64, u64)> {
        let lags = || self.in_force().filter_map(|one| one.lag_ms(self.conduct.gossip_allowance_ms));
        Some((lags().max()?, lags().min()?))
    }
}

/// The leaf of a document in a book's tree.
#[must_use]
pub fn book_leaf(hash: &B256, classes: &U256) -> B256 {
    keccak256(keccak256((*hash, *classes).abi_encode()))
}

/// Whether a line says that it is a conduct document; what it is not is for its parser to say.
fn is_conduct(document: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Kind<'a> {
        #[serde(borrow)]
        document: std::borrow::Cow<'a, str>,
    }
    serde_json::from_slice::<Kind<'_>>(document).is_ok_and(|kind| kind.document == "conduct")
}
