//! What members send each other: deterministic CBOR arrays, strictly decoded. docs/protocol.md §7.
//! Leaves out: judgement. A message that decodes may still be a lie; `qbft`, `beacon` and `bootstrap` decide.

use alloy_primitives::{Address, B256};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::handover::{Checkpoint, NewKey};
use crate::limits;
use crate::typed::{Kind, MemberKey, MemberStatement, Phase, Scope, recover_signer};

/// N raw bytes: a CBOR byte string of exactly that length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes<const N: usize>(pub [u8; N]);

/// 32 raw bytes on the wire.
pub type Hash = Bytes<32>;

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> From<[u8; N]> for Bytes<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> core::ops::Deref for Bytes<N> {
    type Target = [u8; N];
    fn deref(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> core::fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<C, const N: usize> Encode<C> for Bytes<N> {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C, const N: usize> Decode<'b, C> for Bytes<N> {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = <[u8; N]>::try_from(d.bytes()?);
        bytes.map(Self).map_err(|_| minicbor::decode::Error::message("byte string of another length"))
    }
}

/// Why bytes from a peer were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than the limit for its kind.
    #[error("message of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// Length received.
        length: usize,
        /// Limit.
        limit: usize,
    },
    /// Not the CBOR of this type.
    #[error("not a valid message: {0}")]
    Malformed(String),
    /// Decodes, but other bytes would decode to the same: trailing, non-minimal, indefinite or unknown parts.
    #[error("not in canonical encoding")]
    NotCanonical,
}

/// Encodes deterministically.
#[must_use]
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    // Writing to a Vec is infallible, and the derived encoders return no errors of their own.
    minicbor::to_vec(value).unwrap_or_default()
}

/// Decodes one item of at most `limit` bytes and refuses every encoding but the canonical one.
///
/// # Errors
/// Bytes over the limit, of another type, with anything left over or not canonical.
pub fn decode<'b, T: Decode<'b, ()> + Encode<()>>(bytes: &'b [u8], limit: usize) -> Result<T, WireError> {
    if bytes.len() > limit {
        return Err(WireError::TooLong { length: bytes.len(), limit });
    }
    let value: T = minicbor::decode(bytes).map_err(|e| WireError::Malformed(e.to_string()))?;
    if encode(&value) != bytes {
        return Err(WireError::NotCanonical);
    }
    Ok(value)
}

/// Which decision a message is about (chain, contract, committee, term and configuration come from the scope).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct InstanceId {
    /// [`Kind`] as a byte.
    #[n(0)]
    pub kind: u8,
    /// Stream, 0 where there is only one.
    #[n(1)]
    pub stream: u32,
    /// Epoch; the batch number for key activation.
    #[n(2)]
    pub epoch: u64,
}

impl InstanceId {
    /// Names an instance.
    #[must_use]
    pub const fn new(kind: Kind, stream: u32, epoch: u64) -> Self {
        Self { kind: kind as u8, stream, epoch }
    }

    /// Its kind, if known to this version.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Kind::from_u8(self.kind)
    }

    /// The 32 bytes that signatures bind.
    #[must_use]
    pub fn hash(&self, scope: &Scope) -> Option<B256> {
        Some(scope.instance(self.kind()?, self.stream, self.epoch))
    }
}

/// One signed step of one member: EIP-712 `MemberStatement` under the member's secp256k1 key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Statement {
    /// Who says it, by index in the term's member list.
    #[n(0)]
    pub member: u32,
    /// About which decision.
    #[n(1)]
    pub instance: InstanceId,
    /// [`Phase`] as a byte.
    #[n(2)]
    pub phase: u8,
    /// View, from 1; 0 for observations and partials.
    #[n(3)]
    pub view: u32,
    /// What is said (a digest).
    #[n(4)]
    pub value: Hash,
    /// r‖s‖v.
    #[n(5)]
    pub signature: Bytes<65>,
}

impl Statement {
    /// Makes and signs a statement.
    #[must_use]
    pub fn sign(
        scope: &Scope,
        key: &MemberKey,
        member: u32,
        instance: InstanceId,
        phase: Phase,
        view: u32,
        value: B256,
    ) -> Self {
        let mut statement = Self {
            member,
            instance,
            phase: phase as u8,
            view,
            value: Hash::from(value.0),
            signature: Bytes::from([0; 65]),
        };
        statement.signature = Bytes::from(key.sign(&statement.digest(scope).unwrap_or_default()));
        statement
    }

    /// The digest that was signed; `None` for an unknown kind.
    #[must_use]
    pub fn digest(&self, scope: &Scope) -> Option<B256> {
        let instance = self.instance.hash(scope)?;
        Some(scope.statement_digest(&MemberStatement {
            instance,
            phase: self.phase,
            view: self.view,
            value: self.value(),
        }))
    }

    /// What is said.
    #[must_use]
    pub fn value(&self) -> B256 {
        B256::from(*self.value)
    }

    /// The phase, if known to this version.
    #[must_use]
    pub const fn phase(&self) -> Option<Phase> {
        Phase::from_u8(self.phase)
    }

    /// Whether the named member really signed this, given the term's member addresses in order.
    #[must_use]
    pub fn is_authentic(&self, scope: &Scope, members: &[Address]) -> bool {
        let expected = usize::try_from(self.member).ok().and_then(|i| members.get(i));
        let signer = self.digest(scope).and_then(|digest| recover_signer(&digest, &self.signature));
        expected.is_some() && expected == signer.as_ref()
    }
}

/// Proof that n−f members prepared a value in a view.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PreparedProof {
    /// The view in which it was prepared.
    #[n(0)]
    pub view: u32,
    /// The value's digest.
    #[n(1)]
    pub value: Hash,
    /// n−f prepare statements of distinct members for that view and value.
    #[n(2)]
    pub prepares: Vec<Statement>,
}

/// A member's wish to move to a higher view.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RoundChange {
    /// Phase round change; its value commits to `prepared`.
    #[n(0)]
    pub statement: Statement,
    /// The highest value this member saw prepared, if any.
    #[n(1)]
    pub prepared: Option<PreparedProof>,
    /// The bytes of that prepared value, so that a new leader can propose it again.
    #[n(2)]
    pub content: Option<ByteVec>,
}

/// A leader's proposal with what justifies it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Proposal {
    /// Phase proposal; value = digest of `content` as the instance's kind defines it.
    #[n(0)]
    pub statement: Statement,
    /// The proposed value's bytes.
    #[n(1)]
    pub content: ByteVec,
    /// n−f round changes for this view when it is above 1 (their `content` left out), else empty.
    #[n(2)]
    pub justification: Vec<RoundChange>,
}

/// A decision with its proof, for members that slept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Decided {
    /// n−f commit statements of one view and value, distinct members.
    #[n(0)]
    pub commits: Vec<Statement>,
    /// The decided value's bytes.
    #[n(1)]
    pub content: ByteVec,
}

/// A BLS partial over a decided digest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedPartial {
    /// Phase partial; value = the digest.
    #[n(0)]
    pub statement: Statement,
    /// 48 bytes, compressed G1.
    #[n(1)]
    pub partial: Bytes<48>,
}

/// A certificate, for members that slept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Certified {
    /// Which decision.
    #[n(0)]
    pub instance: InstanceId,
    /// The digest that was signed.
    #[n(1)]
    pub digest: Hash,
    /// 48 bytes, compressed G1.
    #[n(2)]
    pub certificate: Bytes<48>,
}

/// Everything that members broadcast to each other.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum Message {
    /// A member's observation of an epoch: statement (phase observation) and the body its value hashes.
    #[n(1)]
    Observation(#[n(0)] Statement, #[n(1)] ByteVec),
    /// A leader's proposal.
    #[n(2)]
    Proposal(#[n(0)] Proposal),
    /// A prepare or commit vote.
    #[n(3)]
    Vote(#[n(0)] Statement),
    /// A round change.
    #[n(4)]
    RoundChange(#[n(0)] RoundChange),
    /// A decided value.
    #[n(5)]
    Decided(#[n(0)] Decided),
    /// A partial over a decided digest.
    #[n(6)]
    Partial(#[n(0)] SignedPartial),
    /// A recovered certificate.
    #[n(7)]
    Certified(#[n(0)] Certified),
    /// A beacon partial: member, slot, 48 bytes.
    #[n(8)]
    BeaconPartial(#[n(0)] u32, #[n(1)] u64, #[n(2)] Bytes<48>),
    /// A beacon certificate: slot, 48 bytes.
    #[n(9)]
    Beacon(#[n(0)] u64, #[n(1)] Bytes<48>),
    /// A dealer's signed log of the key generation.
    #[n(10)]
    DkgLog(#[n(0)] ByteVec),
    /// A member's secp256k1 signature over `Activation`: member, 65 bytes.
    #[n(11)]
    Activation(#[n(0)] u32, #[n(1)] Bytes<65>),
    /// "Send me what you have of this decision": asked by a member that is behind.
    #[n(12)]
    Status(#[n(0)] InstanceId),
    /// Ids of evidence newly stored by the sender (pull what you lack).
    #[n(13)]
    Have(#[n(0)] Vec<Hash>),
    /// The public shares of the term (`aggregator::Sharing::encode`), for a member that lacks them; the chain has their root.
    #[n(15)]
    Sharing(#[n(0)] ByteVec),
    /// The key of a term that waits to be rotated to.
    #[n(16)]
    NewKey(#[n(0)] NewKey),
    /// A certified header with the state that its epoch ended with, by its pieces: for a term that begins.
    #[n(17)]
    Checkpoint(#[n(0)] Checkpoint),
}

impl Message {
    /// Strict decoding within [`limits::MESSAGE_BYTES_MAX`].
    ///
    /// # Errors
    /// See [`decode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode(bytes, limits::MESSAGE_BYTES_MAX)
    }

    /// Deterministic bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

/// What one member sends to one other over the authenticated, encrypted channel.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub enum Direct {
    /// A dealer's secret part for the receiver.
    #[n(1)]
    Deal(#[n(0)] ByteVec),
    /// The receiver's acknowledgement of a deal.
    #[n(2)]
    Ack(#[n(0)] ByteVec),
    /// Pull: content by hash (buckets, observation bodies) or evidence by id.
    #[n(3)]
    Pull(#[n(0)] Vec<Hash>),
    /// A dealer's secret part in a refresh, by its number.
    #[n(4)]
    RefreshDeal(#[n(0)] u64, #[n(1)] ByteVec),
    /// The receiver's acknowledgement of it.
    #[n(5)]
    RefreshAck(#[n(0)] u64, #[n(1)] ByteVec),
    /// A deal or acknowledgement (encoded [`Direct`]) of the term named: two members may sit in several terms.
    #[n(8)]
    Of(#[n(0)] u64, #[n(1)] ByteVec),
}

/// One answer to a pull: the hash or id asked for, a tag (0 = blob, else the evidence class) and the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Pulled {
    /// What was asked for.
    #[n(0)]
    pub id: Hash,
    /// 0 for a blob (`id` = SHA-256 of `bytes`), else the evidence's class (`id` = its evidence id).
    #[n(1)]
    pub class: u8,
    /// The content.
    #[n(2)]
    pub bytes: ByteVec,
}
