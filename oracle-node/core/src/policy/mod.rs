//! The documents by which a committee works: its conduct, and the policies of a book, each content-addressed by the
//! Keccak-256 of its exact bytes. docs/protocol.md §9. Leaves out: judging (`class`), and where documents are kept.

mod book;
mod conduct;

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256, keccak256};
use serde::Deserialize;

pub use book::{Book, BookProof, book_leaf};
pub use conduct::Conduct;

use crate::class::InForce;
use crate::endorse::EndorsementPolicy;

/// Longest deadline, allowance, delay, bound or timeout of a document, ms.
pub const DURATION_MS_MAX: u64 = 3_600_000;
/// Longest snapshot lag, ms.
pub const LAG_MS_MAX: u64 = 86_400_000;

/// An appraisal policy: the rules by which leases opened under it are judged for life.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The classes in force, by number: those the document has a section of.
    pub classes: BTreeMap<u8, InForce>,
    /// Whose endorsements count, and what tier devices of a class need.
    pub endorsements: EndorsementPolicy,
    /// The policy that this one shadows: its leases are judged by this one, too, for the record and not for pay, and no lease
    /// can be opened under this one.
    pub shadow_of: Option<B256>,
}

/// The document's form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    /// "policy".
    document: String,
    /// Sections by the classes' names.
    classes: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    endorsements: EndorsementPolicy,
    #[serde(default)]
    shadow_of: Option<String>,
}

impl Policy {
    /// Parses a policy document.
    ///
    /// # Errors
    /// A sentence naming what is wrong: not JSON, an unknown key, a missing one, an unknown class, or a number out of range.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        let read: Document = serde_json::from_slice(document).map_err(|e| format!("policy document: {e}"))?;
        check_kind("policy", &read.document, read.version)?;
        let refused = |why: String| format!("policy document: {why}");
        if read.classes.is_empty() {
            return Err(refused("classes has no section: nothing could be judged".to_owned()));
        }
        let classes = InForce::sections(&read.classes).map_err(refused)?;
        read.endorsements.check().map_err(refused)?;
        let shadowed = read.shadow_of.map(|text| text.parse::<B256>().map_err(|e| format!("shadow_of {text:?}: {e}")));
        let shadow_of = shadowed.transpose().map_err(refused)?;
        Ok(Self { classes, endorsements: read.endorsements, shadow_of })
    }

    /// The hash that leases carry: KEC of the document's bytes.
    #[must_use]
    pub fn hash(document: &[u8]) -> B256 {
        keccak256(document)
    }

    /// Bitmap of the classes under which leases may be opened: none of a shadow's.
    #[must_use]
    pub fn open_classes(&self) -> U256 {
        let numbers = self.classes.keys().filter(|_| self.shadow_of.is_none());
        numbers.fold(U256::ZERO, |bits, number| bits | (U256::from(1u64) << usize::from(*number)))
    }
}

/// Whether a document is of this kind and of the version known here.
fn check_kind(wanted: &str, kind: &str, version: u32) -> Result<(), String> {
    if kind != wanted {
        return Err(format!("{wanted} document: it says that it is a {kind:?} document"));
    }
    if version != 2 {
        return Err(format!("{wanted} document: version {version} is not known here (2 is)"));
    }
    Ok(())
}

/// A u64 as decimal text, since JSON readers elsewhere lose precision above 2^53.
pub(crate) mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("{text:?} is not a decimal u64")))
    }
}

#[cfg(test)]
pub(crate) mod tests;
