//! The archive of an epoch: everything F read, the header and its certificate, so that anyone replays it offline and
//! trusts nobody but the chain. docs/protocol.md §10. Leaves out: where bundles are kept, and reading the chain's log.

use std::collections::{BTreeMap, BTreeSet};

use aggregator::{GroupKey, Sharing, Signature};
use alloy_primitives::B256;
use alloy_sol_types::SolValue;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::effect::{Blobs, Bodies, Content};
use crate::limits;
use crate::observation::Body;
use crate::policy::Book;
use crate::registry::{History, Snapshot};
use crate::report::{self, EpochInput, Outcome, ReportError};
use crate::state::State;
use crate::term::Term;
use crate::typed::{Header, Kind, Phase};
use crate::wire::{self, Bytes, InstanceId, Pulled, Statement, WireError};

/// The format that this version reads and writes.
pub const BUNDLE_VERSION: u32 = 2;

/// One archived epoch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Bundle {
    /// Format, [`BUNDLE_VERSION`].
    #[n(0)]
    pub version: u32,
    /// Stream.
    #[n(1)]
    pub stream: u32,
    /// Epoch.
    #[n(2)]
    pub epoch: u64,
    /// The header's fields, ABI-encoded.
    #[n(3)]
    pub header: ByteVec,
    /// The committee's certificate over the header's digest, 48 bytes.
    #[n(4)]
    pub certificate: Bytes<48>,
    /// Σ of the epoch before.
    #[n(5)]
    pub state: State,
    /// S, ascending by member.
    #[n(6)]
    pub observations: Vec<Statement>,
    /// The bodies of S, in the same order.
    #[n(7)]
    pub bodies: Vec<Body>,
    /// (slot, certificate), ascending.
    #[n(8)]
    pub beacons: Vec<(u64, Bytes<48>)>,
    /// Buckets (class 0) and evidence, ascending by id.
    #[n(9)]
    pub content: Vec<Pulled>,
    /// Authentic observations that the decided S left out: published, not dropped.
    #[n(10)]
    pub disagreement: Vec<Statement>,
}

impl Bundle {
    /// Archives an epoch from what F was given and what it said; content that F did not read is left out.
    #[must_use]
    pub fn of(input: &EpochInput<'_>, outcome: &Outcome, certificate: &[u8; 48], disagreement: Vec<Statement>) -> Self {
        let bodies = input.observations.iter().filter_map(|statement| input.bodies.get(&statement.member));
        let content = outcome.content.iter().filter_map(|id| input.blobs.get(id));
        Self {
            version: BUNDLE_VERSION,
            stream: input.stream,
            epoch: input.epoch,
            header: outcome.header.abi_encode().into(),
            certificate: Bytes::from(*certificate),
            state: input.state.clone(),
            observations: input.observations.to_vec(),
            bodies: bodies.cloned().collect(),
            beacons: input.beacons.iter().map(|(slot, beacon)| (*slot, Bytes::from(*beacon))).collect(),
            content: content
                .map(|one| Pulled { id: one.id.into(), class: one.class, bytes: one.bytes.clone().into() })
                .collect(),
            disagreement,
        }
    }

    /// Deterministic bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Strict decoding.
    ///
    /// # Errors
    /// Anything but the canonical encoding of a version 2 bundle with its lists in order.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if let Some(version) = peek_version(bytes).filter(|version| *version != BUNDLE_VERSION) {
            let why = format!("an archive bundle of version {version}; this version reads {BUNDLE_VERSION}");
            return Err(WireError::Malformed(why));
        }
        let bundle: Self = wire::decode(bytes, limits::BUNDLE_BYTES_MAX)?;
        let malformed = |what: &str| Err(WireError::Malformed(what.into()));
        if bundle.bodies.len() != bundle.observations.len() {
            return malformed("not one body per observation");
        }
        let (ids, slots) = (bundle.content.iter(), bundle.beacons.iter());
        if !ids.clone().zip(ids.skip(1)).all(|(one, next)| one.id < next.id) {
            return malformed("content is not ascending by id");
        }
        if !slots.clone().zip(slots.skip(1)).all(|(one, next)| one.0 < next.0) {
            return malformed("beacons are not ascending");
        }
        Ok(bundle)
    }

    /// The header as it was signed.
    ///
    /// # Errors
    /// Bytes that are not exactly the ABI encoding of a header.
    pub fn header(&self) -> Result<Header, WireError> {
        let header = Header::abi_decode_validate(&self.header).map_err(|e| WireError::Malformed(e.to_string()))?;
        if header.abi_encode() == **self.header { Ok(header) } else { Err(WireError::NotCanonical) }
    }
}

/// The version that encoded bytes say they are, whatever follows.
fn peek_version(bytes: &[u8]) -> Option<u32> {
    let mut decoder = minicbor::Decoder::new(bytes);
    decoder.array().ok()?;
    decoder.u32().ok()
}

/// What a replay found; its `outcome.state` is what the next epoch's replay must start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Stream.
    pub stream: u32,
    /// Epoch.
    pub epoch: u64,
    /// EIP-712 digest of the header, recomputed.
    pub digest: B256,
    /// Everything F said.
    pub outcome: Outcome,
    /// Pieces of device evidence verified again.
    pub evidence: usize,
    /// Whether the chain log holds this report (with this very digest), or not yet.
    pub settled: bool,
}

/// Why an archived epoch does not replay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The bundle cannot be read.
    #[error("bundle: {0}")]
    Bundle(#[from] WireError),
    /// The policy book is not the one that the term names, or cannot be read.
    #[error("policy book: {0}")]
    Book(String),
    /// The chain log does not reach far enough, or does not know the term.
    #[error("chain log: {0}")]
    Chain(String),
    /// The state it starts from is not the one the epoch before ended with.
    #[error("epoch {0} does not start from the state that the epoch before ended with")]
    NotLinked(u64),
    /// F refuses the input, or content is missing or spoiled.
    #[error("report: {0}")]
    Report(#[from] ReportError),
    /// Recomputation gives another header.
    #[error("epoch {epoch}: {field} differs from what was signed")]
    Differs {
        /// Epoch.
        epoch: u64,
        /// The first header field that differs.
        field: &'static str,
    },
    /// The certificate does not verify under the group key that the chain names.
    #[error("epoch {0}: the certificate does not verify under the committee's key on chain")]
    Certificate(u64),
    /// The chain settled another digest.
    #[error("epoch {epoch}: the chain settled {posted}, replay gives {digest}")]
    Settled {
        /// Epoch.
        epoch: u64,
        /// Digest on chain.
        posted: B256,
        /// Digest recomputed.
        digest: B256,
    },
}

/// Recomputes an archived epoch with no trust: statements (also those left out of S), beacons, evidence and the
/// certificate are all verified, keys and snapshot come from the chain log, and the starting state must be `previous` —
/// the state that the epoch before ended with — or, with `None`, the empty state before epoch 0.
///
/// # Errors
/// The first thing that does not hold.
pub fn replay(
    bundle: &[u8],
    history: &History,
    book: &Book,
    previous: Option<&State>,
) -> Result<Replayed, ReplayError> {
    let bundle = Bundle::decode(bundle)?;
    let chain = |what: &str| ReplayError::Chain(what.into());
    let (term, group) = in_force(history, bundle.epoch)?;
    let snapshot = history.snapshot(bundle.epoch).ok_or_else(|| chain("no snapshot for this epoch yet"))?;
    if book.root() != term.book_root {
        let (root, named) = (book.root(), term.book_root);
        return Err(ReplayError::Book(format!("its root is {root}, and the term names {named}")));
    }
    if bundle.state != began_from(history, bundle.epoch, previous) {
        return Err(ReplayError::NotLinked(bundle.epoch));
    }
    let outcome = recompute(&bundle, (&term, book, group), snapshot, &bundle.state)?;
    let signed = bundle.header()?;
    compare(&signed, &outcome.header, bundle.epoch)?;
    let digest = report::header_digest(&term, &outcome.header);
    let certificate = Signature::from_bytes(&bundle.certificate);
    if !certificate.is_ok_and(|certificate| group.verify(&digest.0, &certificate).is_ok()) {
        return Err(ReplayError::Certificate(bundle.epoch));
    }
    let posted = history.registry().posted().get(&(term.scope.committee, bundle.stream, bundle.epoch));
    if let Some(posted) = posted.filter(|posted| posted.digest != digest) {
        return Err(ReplayError::Settled { epoch: bundle.epoch, posted: posted.digest, digest });
    }
    check_disagreement(&bundle, &term)?;
    let read: BTreeSet<[u8; 32]> = outcome.content.iter().copied().collect();
    let evidence = bundle.content.iter().filter(|one| one.class != 0 && read.contains(&*one.id)).count();
    let settled = posted.is_some();
    Ok(Replayed { stream: bundle.stream, epoch: bundle.epoch, digest, outcome, evidence, settled })
}

/// What an archived epoch would have come to had the leases other terms: F over the same evidence, from another state, with
/// another snapshot and book. Nothing is compared with what was signed.
///
/// # Errors
/// A bundle or chain log that [`replay`] refuses before it computes, or what F refuses.
pub fn rejudge(
    bundle: &Bundle,
    history: &History,
    book: &Book,
    snapshot: &Snapshot,
    state: &State,
) -> Result<Outcome, ReplayError> {
    let (term, group) = in_force(history, bundle.epoch)?;
    Ok(recompute(bundle, (&term, book, group), snapshot, state)?)
}

/// The term of an epoch and its key, as the chain has them.
fn in_force(history: &History, epoch: u64) -> Result<(Term, GroupKey), ReplayError> {
    let chain = |what: &str| ReplayError::Chain(what.into());
    let term = history.term_of(epoch).ok_or_else(|| chain("no term is active"))?;
    let activated = history.registry().activation(term.scope.committee, term.scope.term);
    let key = &activated.ok_or_else(|| chain("the term is not activated"))?.group_key;
    let key = <&[u8; 256]>::try_from(key.as_slice()).map_err(|_| chain("the group key has another length"))?;
    let group = GroupKey::from_eip2537(key).map_err(|e| ReplayError::Chain(format!("group key: {e}")))?;
    Ok((term, group))
}

/// The state that an epoch must start from: where governance skipped epochs, the one carried over them.
fn began_from(history: &History, epoch: u64, previous: Option<&State>) -> State {
    let state = previous.cloned().unwrap_or_default();
    match history.start_at(epoch).filter(|start| start.forced) {
        Some(start) => start.carry(state),
        None => state,
    }
}

/// What was left out is shown to people as what members signed: so it must be. It goes into no other result.
fn check_disagreement(bundle: &Bundle, term: &Term) -> Result<(), ReportError> {
    let (instance, addresses) = (InstanceId::new(Kind::Report, bundle.stream, bundle.epoch), term.addresses());
    let genuine = |statement: &Statement| {
        statement.instance == instance
            && statement.phase == Phase::Observation as u8
            && statement.view == 0
            && !bundle.observations.contains(statement)
            && statement.is_authentic(&term.scope, &addresses)
    };
    match bundle.disagreement.iter().find(|statement| !genuine(statement)) {
        None => Ok(()),
        Some(made_up) => Err(ReportError::Invalid(format!(
            "the disagreement holds what is no observation of member {} left out of S",
            made_up.member
        ))),
    }
}

fn recompute(
    bundle: &Bundle,
    (term, book, group): (&Term, &Book, GroupKey),
    snapshot: &Snapshot,
    state: &State,
) -> Result<Outcome, ReportError> {
    let members = bundle.observations.iter().map(|statement| statement.member);
    let bodies: Bodies = members.zip(bundle.bodies.iter().cloned()).collect();
    let beacons: BTreeMap<u64, [u8; 48]> = bundle.beacons.iter().map(|(slot, beacon)| (*slot, **beacon)).collect();
    let content = bundle
        .content
        .iter()
        .map(|one| (*one.id, Content { id: *one.id, class: one.class, bytes: one.bytes.to_vec() }));
    let blobs: Blobs = content.collect();
    // An auditor needs the group key alone: public shares are for checking partials.
    let sharing = Sharing { n: term.n(), threshold: term.quorum(), group, public_shares: Vec::new() };
    let input = EpochInput {
        term,
        book,
        stream: bundle.stream,
        epoch: bundle.epoch,
        state,
        snapshot,
        observations: &bundle.observations,
        bodies: &bodies,
        beacons: &beacons,
        sharing: &sharing,
        blobs: &blobs,
    };
    report::compute(&input)
}

/// Names the first field in which two headers differ.
fn compare(signed: &Header, recomputed: &Header, epoch: u64) -> Result<(), ReplayError> {
    macro_rules! same {
        ($($field:ident),*) => {$(
            if signed.$field != recomputed.$field {
                return Err(ReplayError::Differs { epoch, field: stringify!($field) });
            }
        )*};
    }
    same!(committee, term, configDigest, stream, epoch, periodStart, periodEnd, snapshotBlock, snapshotHash);
    same!(previousHeader, policyHash, observationsHash, participation, leafCount, leavesRoot, stateRoot);
    Ok(())
}
