//! Checks of one report, offline: the certificate under the committee's key, the leaves, one lease's proof.
//! Leaves out: how the report came about. Only a replay (`audit`) shows that it follows from the evidence.

use aggregator::{GroupKey, Signature};
use alloy_primitives::{Address, B256};
use oracle_core::merkle;
use oracle_core::registry::History;
use oracle_core::typed::{Header, Leaf, Scope};

/// Whose signature counts. All of it must come from the chain, never from the node that gave the report.
#[derive(Clone, Debug)]
pub struct Trust {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// CommitteeRegistry, the EIP-712 verifying contract.
    pub registry: Address,
    /// Committee.
    pub committee: u64,
    /// Term in which the key is in force.
    pub term: u64,
    /// The group key.
    pub group: GroupKey,
}

/// Why a report is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The group key cannot be had or read.
    #[error("group key: {0}")]
    Key(String),
    /// The report is of another committee or term than the key.
    #[error("the report is of committee {committee}, term {term}; the key is not")]
    OtherCommittee {
        /// Committee in the header.
        committee: u64,
        /// Term in the header.
        term: u64,
    },
    /// The certificate does not verify.
    #[error("the certificate does not verify under the group key")]
    Certificate,
    /// The leaves do not give the header's root, or are not as many or not ascending.
    #[error("the leaves are not those of the header")]
    Leaves,
    /// The proof does not lead from the leaf to the header's root.
    #[error("lease {0} is not proven to be in the report")]
    Inclusion(u64),
}

impl Trust {
    /// What a chain log says of its term.
    ///
    /// # Errors
    /// [`VerifyError::Key`] when the term is not activated on it.
    pub fn from_chain(history: &History) -> Result<Self, VerifyError> {
        let missing =
            || VerifyError::Key("the term is not activated on this chain log; are the addresses right?".into());
        let scope = history.term().ok_or_else(missing)?.scope;
        let activated = history.registry().activation(scope.committee, scope.term).ok_or_else(missing)?;
        let group = group_key(&activated.group_key)?;
        Ok(Self {
            chain_id: scope.chain_id,
            registry: scope.registry,
            committee: scope.committee,
            term: scope.term,
            group,
        })
    }

    /// The 32 bytes that the committee signs for a header.
    #[must_use]
    pub fn header_digest(&self, header: &Header) -> B256 {
        // The EIP-712 domain holds chain and registry alone; the rest of the scope is in the header itself.
        let scope = Scope {
            chain_id: self.chain_id,
            registry: self.registry,
            committee: self.committee,
            term: self.term,
            config_digest: header.configDigest,
        };
        scope.digest(header)
    }
}

/// A group key of 256 bytes (EIP-2537, as on chain) or 96 (compressed).
///
/// # Errors
/// [`VerifyError::Key`] for another length or no point of the group.
pub fn group_key(bytes: &[u8]) -> Result<GroupKey, VerifyError> {
    let key = match (<&[u8; 256]>::try_from(bytes), <&[u8; 96]>::try_from(bytes)) {
        (Ok(long), _) => GroupKey::from_eip2537(long),
        (_, Ok(short)) => GroupKey::from_bytes(short),
        _ => return Err(VerifyError::Key(format!("{} bytes are neither 256 nor 96", bytes.len()))),
    };
    key.map_err(|e| VerifyError::Key(e.to_string()))
}

/// Verifies a header's certificate (48 bytes) and gives the digest it signs.
///
/// # Errors
/// [`VerifyError::OtherCommittee`] or [`VerifyError::Certificate`].
pub fn certificate(trust: &Trust, header: &Header, certificate: &[u8; 48]) -> Result<B256, VerifyError> {
    let (committee, term) = (header.committee, header.term);
    if (committee, term) != (trust.committee, trust.term) {
        return Err(VerifyError::OtherCommittee { committee, term });
    }
    let digest = trust.header_digest(header);
    let signature = Signature::from_bytes(certificate).map_err(|_| VerifyError::Certificate)?;
    trust.group.verify(&digest.0, &signature).map_err(|_| VerifyError::Certificate)?;
    Ok(digest)
}

/// Verifies that these are all leaves of the header, one per lease.
///
/// # Errors
/// [`VerifyError::Leaves`].
pub fn leaves(header: &Header, leaves: &[Leaf]) -> Result<(), VerifyError> {
    let ascending = leaves.iter().zip(leaves.iter().skip(1)).all(|(one, next)| one.lease < next.lease);
    let count = u32::try_from(leaves.len()) == Ok(header.leafCount);
    if ascending && count && merkle::leaves_root(leaves) == header.leavesRoot {
        Ok(())
    } else {
        Err(VerifyError::Leaves)
    }
}

/// Verifies a lease's proof, as the contracts do when it claims.
///
/// # Errors
/// [`VerifyError::Inclusion`].
pub fn inclusion(header: &Header, leaf: &Leaf, proof: &[B256]) -> Result<(), VerifyError> {
    if merkle::keccak_verify(&header.leavesRoot, &merkle::leaf_hash(leaf), proof) {
        Ok(())
    } else {
        Err(VerifyError::Inclusion(leaf.lease))
    }
}
