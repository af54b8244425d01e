//! What is signed, as EIP-712: the committee's digests, the members' statements, instances and the secp256k1 key.
//! docs/protocol.md §6. Leaves out: who may sign what when (`qbft`, `oracle`), and how bytes travel (`wire`).

use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue};
use k256::ecdsa::SigningKey;

mod recover;
mod words;

pub use recover::recover_signer;
use words::Words;

/// Structs hashed by EIP-712; the field order is the protocol's.
#[allow(missing_docs)]
mod sol_types {
    alloy_sol_types::sol! {
        /// The report header the committee signs; docs/protocol.md §6.
        #[derive(Debug, PartialEq, Eq)]
        struct Header {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            uint32 stream;
            uint64 epoch;
            uint64 periodStart;
            uint64 periodEnd;
            uint64 snapshotBlock;
            bytes32 snapshotHash;
            uint32 leafCount;
            bytes32 leavesRoot;
            bytes32 stateRoot;
            bytes32 observationsHash;
            bytes32 policyHash;
            bytes32 previousHeader;
            uint256 participation;
        }
        /// The certificate over this is the group key's proof of possession.
        #[derive(Debug, PartialEq, Eq)]
        struct KeyConfirmation {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            bytes32 groupKeyHash;
            bytes32 shareRoot;
        }
        /// Certifies that the listed devices' Ed25519 keys were claimed by those keys.
        #[derive(Debug, PartialEq, Eq)]
        struct KeyActivation {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            uint64 batch;
            bytes32 listHash;
        }
        /// The old key's consent to a new term (BLS).
        #[derive(Debug, PartialEq, Eq)]
        struct Rotation {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            uint64 newTerm;
            bytes32 newConfigDigest;
            bytes32 newGroupKeyHash;
            uint64 fromEpoch;
            bytes32 baseHeader;
        }
        /// A member's consent to a group key (secp256k1).
        #[derive(Debug, PartialEq, Eq)]
        struct Activation {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            bytes32 groupKeyHash;
            bytes32 shareRoot;
        }
        /// Everything a member signs on the way to a decision (secp256k1).
        #[derive(Debug, PartialEq, Eq)]
        struct MemberStatement {
            bytes32 instance;
            uint8 phase;
            uint32 view;
            bytes32 value;
        }
        /// One lease's cumulative counters, as claimed on chain.
        #[derive(Debug, PartialEq, Eq)]
        struct Leaf {
            address escrow;
            uint64 lease;
            uint128 units;
            uint64 goodSeconds;
            uint64 badSeconds;
            uint64 creditSeconds;
            uint128 adjustment;
            uint64 through;
            bytes32 evidenceRoot;
            bytes32 policyHash;
        }
    }
}
pub use sol_types::{Activation, Header, KeyActivation, KeyConfirmation, Leaf, MemberStatement, Rotation};

/// What an instance of agreement decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A usage report of one epoch.
    Report = 1,
    /// The set of dealer logs of a key generation.
    Dkg = 2,
    /// The confirmation of a new group key.
    Confirmation = 3,
    /// The hand-over to a new term.
    Rotation = 4,
    /// A batch of device keys.
    KeyActivation = 5,
    /// Who takes part in a refresh of the members' shares.
    Refresh = 6,
}

impl Kind {
    /// Reads the wire byte.
    #[must_use]
    pub const fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Report,
            2 => Self::Dkg,
            3 => Self::Confirmation,
            4 => Self::Rotation,
            5 => Self::KeyActivation,
            6 => Self::Refresh,
            _ => return None,
        })
    }
}

/// The step of agreement a statement belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// A node's signed view of an epoch; view 0, value = hash of the observation body.
    Observation = 1,
    /// A leader's proposal; value = digest of the proposed value.
    Proposal = 2,
    /// First vote.
    Prepare = 3,
    /// Second vote: n−f of one view decide.
    Commit = 4,
    /// Leaving for a higher view; value = hash of what was prepared.
    RoundChange = 5,
    /// A BLS partial over a decided digest; view 0.
    Partial = 6,
}

impl Phase {
    /// Reads the wire byte.
    #[must_use]
    pub const fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Observation,
            2 => Self::Proposal,
            3 => Self::Prepare,
            4 => Self::Commit,
            5 => Self::RoundChange,
            6 => Self::Partial,
            _ => return None,
        })
    }
}

/// The committee's coordinates that every signature binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// CommitteeRegistry, the EIP-712 verifying contract.
    pub registry: Address,
    /// Committee number.
    pub committee: u64,
    /// Term number.
    pub term: u64,
    /// Digest of the term's configuration as the registry computed it.
    pub config_digest: B256,
}

impl Scope {
    /// The EIP-712 domain.
    #[must_use]
    pub fn domain(&self) -> Eip712Domain {
        Eip712Domain {
            name: Some("Plumbline".into()),
            version: Some("1".into()),
            chain_id: Some(U256::from(self.chain_id)),
            verifying_contract: Some(self.registry),
            salt: None,
        }
    }

    /// The domain's hash, which every digest holds.
    fn separator(&self) -> B256 {
        let words = Words::<5>::default().word(*words::DOMAIN_TYPE).word(*words::NAME).word(*words::VERSION);
        words.number(self.chain_id).address(self.registry).hash()
    }

    fn sealed(&self, structure: B256) -> B256 {
        keccak256([[0x19, 0x01].as_slice(), self.separator().as_slice(), structure.as_slice()].concat())
    }

    /// The 32-byte digest that is signed for `value`.
    #[must_use]
    pub fn digest<T: SolStruct>(&self, value: &T) -> B256 {
        self.sealed(value.eip712_hash_struct())
    }

    /// [`Scope::digest`] of a [`MemberStatement`], which is most of what a committee hashes: without building the names of
    /// types anew each time.
    #[must_use]
    pub fn statement_digest(&self, said: &MemberStatement) -> B256 {
        let words = Words::<5>::default().word(*words::STATEMENT_TYPE).word(said.instance);
        self.sealed(words.number(said.phase.into()).number(said.view.into()).word(said.value).hash())
    }

    /// The identity of one decision: keccak256(abi.encode(kind, committee, term, configDigest, stream, epoch)).
    #[must_use]
    pub fn instance(&self, kind: Kind, stream: u32, epoch: u64) -> B256 {
        let words = Words::<6>::default().number((kind as u8).into()).number(self.committee).number(self.term);
        words.word(self.config_digest).number(stream.into()).number(epoch).hash()
    }

    /// The network id of device signatures (8 bytes).
    #[must_use]
    pub fn network(&self) -> [u8; 8] {
        attest::network_id(self.chain_id, &self.registry.into_array())
    }
}

/// The value of a round-change statement.
#[must_use]
pub fn round_change_value(prepared_view: u32, prepared_value: B256) -> B256 {
    keccak256((prepared_view, prepared_value).abi_encode())
}

/// A member's registered secp256k1 key: the only key that can slash.
pub struct MemberKey {
    key: SigningKey,
}

impl core::fmt::Debug for MemberKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "MemberKey({}, <redacted>)", self.address())
    }
}

impl MemberKey {
    /// From the 32-byte big-endian scalar; `None` when it is zero or not below the group order.
    #[must_use]
    pub fn from_bytes(secret: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(secret).ok().map(|key| Self { key })
    }

    /// The address that the registry knows.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::from_public_key(self.key.verifying_key())
    }

    /// Signs a 32-byte digest; RFC 6979, low s, 65 bytes r‖s‖v with v 27 or 28.
    #[must_use]
    pub fn sign(&self, digest: &B256) -> [u8; 65] {
        // A prehash of 32 bytes is always long enough for secp256k1; the error case of the API cannot arise.
        match self.key.sign_prehash_recoverable(digest.as_slice()) {
            Ok((signature, recovery)) => Signature::from((signature, recovery)).as_bytes(),
            Err(_) => [0; 65],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_eip_712() {
        for number in [0, 1, 255, u64::from(u32::MAX), u64::MAX] {
            let (byte, small) = (number.to_le_bytes()[0], u32::try_from(number).unwrap_or(7));
            let scope = Scope {
                chain_id: number,
                registry: Address::repeat_byte(byte),
                committee: number,
                term: number,
                config_digest: B256::repeat_byte(byte),
            };
            let instance = scope.instance(Kind::Report, small, number);
            let fields = (U256::from(1), scope.committee, scope.term, scope.config_digest, small, number);
            assert_eq!(instance, keccak256(fields.abi_encode()));
            let said = MemberStatement { instance, phase: byte, view: small, value: B256::repeat_byte(9) };
            assert_eq!(scope.separator(), scope.domain().separator());
            assert_eq!(scope.statement_digest(&said), said.eip712_signing_hash(&scope.domain()));
            assert_eq!(scope.digest(&said), scope.statement_digest(&said));
        }
    }

    #[test]
    fn one_signature_has_one_encoding() {
        let Some(key) = MemberKey::from_bytes(&[7; 32]) else { unreachable!("a scalar below the order") };
        for digest in (0..8).map(B256::repeat_byte) {
            let signature = key.sign(&digest);
            assert_eq!(recover_signer(&digest, &signature), Some(key.address()));
            // The same parity in every other way that is in use, and every v there is.
            for v in (0..=255).filter(|v| *v != signature[64]) {
                let mut other = signature;
                other[64] = v;
                assert_ne!(recover_signer(&digest, &other), Some(key.address()), "v = {v}");
            }
        }
    }
}
