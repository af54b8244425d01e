//! Handing a committee over to its next term: the new key and who consents to it, what the old key signs, and the state by
//! its root. docs/protocol.md §§6, 7. Leaves out: who proposes and votes when (`oracle`).
//!
//! ```text
//! old term: epochs … base … fromEpoch − 1 │ its key signs Rotation(newTerm, fromEpoch, base) more than 2L before fromEpoch
//! new term: key ceremony … new key offered │ fromEpoch … begins from the state that the header before it is certified with
//! ```

use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolValue;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::effect::{Blobs, Content, Transmission};
use crate::limits;
use crate::merkle::keccak_root;
use crate::observation::blob_hash;
use crate::report::state_root;
use crate::state::State;
use crate::term::Term;
use crate::typed::{Activation, Header, KeyConfirmation, Rotation, Scope, recover_signer};
use crate::wire::{self, Bytes, Hash, WireError};

/// Bytes of one piece of a state: a pull answers with several.
const PIECE_BYTES: usize = limits::BLOB_BYTES_MAX;
/// Pieces of one state at most: far above a stream of 16,384 leases and as many devices.
pub const PIECES_MAX: usize = 64;
/// Least time between the decision of a rotation and the last moment at which the chain takes it, in view timeouts.
const MARGIN_VIEWS: u64 = 16;

/// A term's group key with everything that makes the registry accept it: what `rotate` carries as `NewKey`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NewKey {
    /// The term it is the key of.
    #[n(0)]
    pub term: u64,
    /// 256 bytes, EIP-2537.
    #[n(1)]
    pub group_key: ByteVec,
    /// Root of the public shares.
    #[n(2)]
    pub share_root: Hash,
    /// KeyConfirmation certificate under the key itself, on-chain form.
    #[n(3)]
    pub confirmation: Bytes<96>,
    /// (member index, signature over Activation), ascending, at least n−f.
    #[n(4)]
    pub signatures: Vec<(u32, Bytes<65>)>,
}

impl NewKey {
    /// What a term would activate itself with, if it were the committee's first.
    #[must_use]
    pub fn of(term: u64, what: &Transmission) -> Option<Self> {
        let Transmission::Activate { group_key, share_root, confirmation, signatures } = what else { return None };
        Some(Self {
            term,
            group_key: group_key.clone().into(),
            share_root: share_root.0.into(),
            confirmation: <[u8; 96]>::try_from(confirmation.as_slice()).ok()?.into(),
            signatures: signatures.iter().map(|(member, bytes)| (*member, Bytes::from(*bytes))).collect(),
        })
    }

    /// KEC of the group key.
    #[must_use]
    pub fn group_key_hash(&self) -> B256 {
        keccak256(&**self.group_key)
    }

    /// Whether the registry would take it for `term`: a key that proves its possession, and the consent of n−f members.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn check(&self, term: &Term) -> Result<(), &'static str> {
        let scope = &term.scope;
        if self.term != scope.term {
            return Err("it is the key of another term");
        }
        let bytes = <&[u8; 256]>::try_from(self.group_key.as_slice()).map_err(|_| "a group key has 256 bytes")?;
        let group = aggregator::GroupKey::from_eip2537(bytes).map_err(|_| "the group key is no point of the group")?;
        let (committee, number, config_digest) = (scope.committee, scope.term, scope.config_digest);
        let (group_key_hash, share_root) = (self.group_key_hash(), B256::from(*self.share_root));
        let consent = scope.digest(&Activation {
            committee,
            term: number,
            configDigest: config_digest,
            groupKeyHash: group_key_hash,
            shareRoot: share_root,
        });
        let next = self.signatures.iter().skip(1);
        let ascending = self.signatures.iter().zip(next).all(|(one, other)| one.0 < other.0);
        let consents = |(member, signature): &(u32, Bytes<65>)| {
            let place = usize::try_from(*member).ok().and_then(|place| term.members.get(place));
            place.is_some_and(|member| recover_signer(&consent, signature) == Some(member.address))
        };
        let enough = u32::try_from(self.signatures.len()).is_ok_and(|count| count >= term.quorum());
        if !ascending || !enough || !self.signatures.iter().all(consents) {
            return Err("fewer than n−f of its members consent");
        }
        let confirmation = scope.digest(&KeyConfirmation {
            committee,
            term: number,
            configDigest: config_digest,
            groupKeyHash: group_key_hash,
            shareRoot: share_root,
        });
        let certificate = aggregator::Signature::from_onchain(&self.confirmation);
        let possessed = certificate.is_ok_and(|certificate| group.verify(&confirmation.0, &certificate).is_ok());
        if possessed { Ok(()) } else { Err("the key's confirmation does not verify") }
    }
}

/// What an old term decides in a kind-4 instance.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Plan {
    /// Format, 2.
    #[n(0)]
    pub version: u32,
    /// First epoch of the new term.
    #[n(1)]
    pub from_epoch: u64,
    /// Of every stream that has one the last header decided when this was proposed, ascending by stream.
    #[n(2)]
    pub bases: Vec<(u32, Hash)>,
    /// The new term's key.
    #[n(3)]
    pub key: NewKey,
}

impl Plan {
    /// Deterministic bytes: the content of the agreement.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Strict decoding.
    ///
    /// # Errors
    /// Anything but the canonical encoding of version 2, streams that are not ascending or above
    /// [`limits::STREAMS_MAX`], and a header of zeros.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let plan: Self = wire::decode(bytes, limits::MESSAGE_BYTES_MAX)?;
        if plan.version != 2 {
            return Err(WireError::Malformed("a version that is not known here".into()));
        }
        let ascending = plan.bases.is_sorted_by(|(one, _), (other, _)| one < other);
        let bounded = plan.bases.len() <= limits::STREAMS_MAX;
        if !ascending || !bounded || plan.bases.iter().any(|(_, header)| **header == [0; 32]) {
            return Err(WireError::Malformed("bases that are no list of streams with their headers".into()));
        }
        Ok(plan)
    }

    /// The struct that the old key signs.
    #[must_use]
    pub fn rotation(&self, old: &Scope, new: &Scope) -> Rotation {
        let bases: Vec<(u32, B256)> = self.bases.iter().map(|(stream, h)| (*stream, B256::from(**h))).collect();
        Rotation {
            committee: old.committee,
            term: old.term,
            configDigest: old.config_digest,
            newTerm: new.term,
            newConfigDigest: new.config_digest,
            newGroupKeyHash: self.key.group_key_hash(),
            fromEpoch: self.from_epoch,
            baseHeader: base_root(&bases),
        }
    }
}

/// `baseHeader`: the root of a tree with one leaf per stream that has a header, ascending by stream (docs/adr/0007); zero
/// when no stream has one.
#[must_use]
pub fn base_root(bases: &[(u32, B256)]) -> B256 {
    let leaf = |(stream, header): &(u32, B256)| keccak256(keccak256((*stream, *header).abi_encode()));
    keccak_root(&bases.iter().map(leaf).collect::<Vec<_>>())
}

/// The first epoch that a rotation proposed at `now` names: far enough ahead for the chain to take it in time.
/// `None` before genesis. `lag_ms` is the policy's L.
#[must_use]
pub fn first_epoch(term: &Term, lag_ms: u64, view_timeout_ms: u64, now: u64) -> Option<u64> {
    let margin = margin(term, view_timeout_ms);
    let at = now.saturating_add(lag_ms.saturating_mul(2)).saturating_add(margin);
    term.epoch_at(at)?.checked_add(1)
}

/// Whether a first epoch is not further ahead than an honest proposer would put it: no leader can park a committee. That
/// it is not too near is the chain's to check; a judgement that time turns from yes to no could stop an agreement.
#[must_use]
pub fn is_near_enough(term: &Term, lag_ms: u64, view_timeout_ms: u64, now: u64, from_epoch: u64) -> bool {
    let margin = margin(term, view_timeout_ms).saturating_mul(4);
    let ahead = lag_ms.saturating_mul(2).saturating_add(margin).saturating_add(term.epoch_ms.saturating_mul(2));
    term.epoch_start(from_epoch).is_some_and(|start| start <= now.saturating_add(ahead))
}

fn margin(term: &Term, view_timeout_ms: u64) -> u64 {
    term.epoch_ms.max(view_timeout_ms.saturating_mul(MARGIN_VIEWS))
}

/// How a term after the first begins, as the chain says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Its first epoch.
    pub from_epoch: u64,
    /// `baseHeader` of the rotation.
    pub base: B256,
    /// Whether governance rotated without the old key: then the term begins from the base itself, and epochs between it and
    /// `from_epoch` have no report.
    pub forced: bool,
    /// The term before.
    pub previous: Term,
    /// Its group key, 256 bytes.
    pub previous_key: Vec<u8>,
    /// What `base` is the root of, as far as the posts on the chain tell; only looked at when `forced`.
    pub bases: Vec<(u32, B256)>,
}

impl Start {
    /// Whether a certified header is the one before the term's first epoch. Its certificate is checked, except where the
    /// chain itself names the header.
    #[must_use]
    pub fn follows(&self, stream: u32, checkpoint: &Checkpoint) -> bool {
        let Ok(header) = checkpoint.header() else { return false };
        let digest = self.previous.scope.digest(&header);
        if header.committee != self.previous.scope.committee || header.stream != stream {
            return false;
        }
        if self.forced {
            return header.epoch < self.from_epoch && self.base_of(stream) == Some(digest);
        }
        let before = header.epoch.checked_add(1) == Some(self.from_epoch);
        let scope = &self.previous.scope;
        let of_term = header.term == scope.term && header.configDigest == scope.config_digest;
        before && of_term && verifies(&self.previous_key, &digest, &checkpoint.certificate)
    }

    /// The state that the first epoch begins from, given the one that the header before it ended with: the same, but for
    /// epochs that governance skipped.
    #[must_use]
    pub fn carry(&self, mut state: State) -> State {
        state.next_epoch = self.from_epoch;
        state
    }

    /// The header that a stream begins from when governance rotated; `None` when the base holds none of it, or is the
    /// root of something that the chain's posts do not tell.
    #[must_use]
    pub fn base_of(&self, stream: u32) -> Option<B256> {
        let named = self.bases.iter().find(|(of, _)| *of == stream).map(|(_, header)| *header);
        named.filter(|_| base_root(&self.bases) == self.base)
    }

    /// The state to begin from when governance rotated and the base holds nothing of the stream: it never had a report.
    #[must_use]
    pub fn from_nothing(&self, stream: u32) -> Option<State> {
        let told = base_root(&self.bases) == self.base;
        let nothing = told && self.bases.iter().all(|(of, _)| *of != stream);
        (self.forced && nothing).then(|| self.carry(State::default()))
    }
}

fn verifies(group_key: &[u8], digest: &B256, certificate: &[u8; 48]) -> bool {
    let group = <&[u8; 256]>::try_from(group_key).ok().map(aggregator::GroupKey::from_eip2537);
    let (Some(Ok(group)), Ok(certificate)) = (group, aggregator::Signature::from_bytes(certificate)) else {
        return false;
    };
    group.verify(&digest.0, &certificate).is_ok()
}

/// A certified header and the pieces of the state that its epoch ended with: how a newcomer gets Σ. The header and its
/// certificate prove themselves; the list of pieces is a hint that the state root of the header checks.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Checkpoint {
    /// The header's fields, ABI-encoded.
    #[n(0)]
    pub header: ByteVec,
    /// The certificate over its digest, 48 bytes.
    #[n(1)]
    pub certificate: Bytes<48>,
    /// SHA-256 of each piece of the state's encoding, in order.
    #[n(2)]
    pub pieces: Vec<Hash>,
}

impl Checkpoint {
    /// Of a certified header and the state after it; with the pieces to serve.
    #[must_use]
    pub fn of(header: &[u8], certificate: [u8; 48], state: &State) -> (Self, Vec<Content>) {
        let encoded = wire::encode(state);
        let piece = |bytes: &[u8]| Content { id: blob_hash(bytes), class: 0, bytes: bytes.to_vec() };
        let pieces: Vec<Content> = encoded.chunks(PIECE_BYTES).map(piece).collect();
        let checkpoint = Self {
            header: header.to_vec().into(),
            certificate: certificate.into(),
            pieces: pieces.iter().map(|piece| piece.id.into()).collect(),
        };
        (checkpoint, pieces)
    }

    /// The header.
    ///
    /// # Errors
    /// Bytes that are not exactly the ABI encoding of a header.
    pub fn header(&self) -> Result<Header, WireError> {
        Self::read_header(&self.header)
    }

    pub(crate) fn read_header(bytes: &[u8]) -> Result<Header, WireError> {
        let header = Header::abi_decode_validate(bytes).map_err(|e| WireError::Malformed(e.to_string()))?;
        if header.abi_encode() == bytes { Ok(header) } else { Err(WireError::NotCanonical) }
    }

    /// Puts the state together, once every piece is held, and holds it against the header's state root. `scope` is any of
    /// the committee's: the header names its term itself.
    ///
    /// # Errors
    /// A sentence: pieces that are missing or too many, or a state that is not the header's.
    pub fn state(&self, scope: &Scope, pieces: &Blobs) -> Result<State, String> {
        if self.pieces.len() > PIECES_MAX {
            return Err(format!("a state of {} pieces; {PIECES_MAX} are allowed", self.pieces.len()));
        }
        let header = self.header().map_err(|e| e.to_string())?;
        let mut encoded = Vec::new();
        for id in &self.pieces {
            let piece = pieces.get(&**id).ok_or_else(|| "a piece of the state is missing".to_owned())?;
            encoded.extend_from_slice(&piece.bytes);
        }
        let state: State = wire::decode(&encoded, PIECES_MAX.saturating_mul(PIECE_BYTES)).map_err(|e| e.to_string())?;
        let after = header.epoch.checked_add(1) == Some(state.next_epoch);
        let named = *state.previous_header == scope.digest(&header).0;
        // The root was taken before the header had a digest: over the state that names the header before it.
        let mut rooted = state.clone();
        rooted.previous_header = header.previousHeader.0.into();
        if after && named && state_root(&rooted) == header.stateRoot.0 {
            return Ok(state);
        }
        Err(format!("the state is not the one that epoch {} was certified with", header.epoch))
    }
}

#[cfg(test)]
mod tests;
