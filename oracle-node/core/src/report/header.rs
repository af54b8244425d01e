//! The header over an epoch's result, its roots and its digest. docs/protocol.md §§6, 9.
//! Leaves out: the Merkle trees themselves (`merkle`).

use alloy_primitives::{Address, B256, U256};
use sha2::{Digest, Sha256};

use super::ledger::Closed;
use super::slots::Slots;
use super::{EpochInput, Facts, Outcome};
use crate::merkle;
use crate::state::{LeaseState, STATE_VERSION, State};
use crate::term::Term;
use crate::typed::{Header, Leaf};
use crate::wire::{self, Statement};

/// The 32 bytes that are decided and signed for a header.
#[must_use]
pub fn header_digest(term: &Term, header: &Header) -> B256 {
    term.scope.digest(header)
}

/// SHA over the CBOR list of the statements of S.
#[must_use]
pub fn observations_hash(observations: &[Statement]) -> [u8; 32] {
    Sha256::digest(wire::encode(&observations)).into()
}

/// What a leaf of the state tree is about: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StateTag {
    /// The head: version, next epoch, previous header, seed.
    Head = 0,
    /// A lease.
    Lease = 1,
    /// A device.
    Device = 2,
    /// A lease under a shadow policy.
    Shadow = 3,
}

impl StateTag {
    /// A leaf: the tag, then the canonical encoding.
    fn leaf<T: minicbor::Encode<()>>(self, value: &T) -> Vec<u8> {
        let mut leaf = vec![self as u8];
        leaf.extend(wire::encode(value));
        leaf
    }

    /// What a leaf of this kind holds after its tag; `None` when it is of another kind.
    #[must_use]
    pub fn strip(self, leaf: &[u8]) -> Option<&[u8]> {
        leaf.split_first().filter(|(tag, _)| **tag == self as u8).map(|(_, rest)| rest)
    }
}

/// The leaves of the state tree, encoded and not yet hashed: the head, then one per lease, one per device, one per shadow.
/// A device checks its lease against a certified header with one of them ([`merkle::sha_leaf`], [`merkle::sha_proof`]).
#[must_use]
pub fn state_leaves(state: &State) -> Vec<Vec<u8>> {
    let head = StateTag::Head.leaf(&(state.version, state.next_epoch, state.previous_header, state.seed));
    let leases = state.leases.iter().map(|lease| StateTag::Lease.leaf(lease));
    let devices = state.devices.iter().map(|device| StateTag::Device.leaf(device));
    let shadows = state.shadows.iter().map(|shadow| StateTag::Shadow.leaf(shadow));
    core::iter::once(head).chain(leases).chain(devices).chain(shadows).collect()
}

/// Root of the state. In a header, `previous_header` is that of the epoch before: a header cannot hold its own digest.
#[must_use]
pub fn state_root(state: &State) -> [u8; 32] {
    let leaves: Vec<[u8; 32]> = state_leaves(state).iter().map(|leaf| merkle::sha_leaf(leaf)).collect();
    merkle::sha_root(&leaves)
}

/// The on-chain leaf of a lease.
fn leaf(state: &LeaseState) -> Leaf {
    Leaf {
        escrow: Address::from(*state.escrow),
        lease: state.lease,
        units: state.units(),
        goodSeconds: state.good,
        badSeconds: state.bad,
        creditSeconds: state.credit,
        adjustment: state.adjustment(),
        through: state.through,
        evidenceRoot: B256::from(*state.evidence_root),
        policyHash: B256::from(*state.policy_hash),
    }
}

/// Puts the outcome together.
pub(super) fn conclude(
    input: &EpochInput<'_>,
    slots: &Slots,
    closed: Closed,
    facts: Facts,
    content: Vec<[u8; 32]>,
) -> Outcome {
    let leaves: Vec<Leaf> = closed.leases.iter().map(leaf).collect();
    let seed = slots.seeds.last_key_value().map_or(input.state.seed, |(_, seed)| (*seed).into());
    let mut state = State {
        version: STATE_VERSION,
        next_epoch: input.epoch.saturating_add(1),
        previous_header: input.state.previous_header,
        seed,
        leases: closed.leases,
        devices: facts.devices.into_values().filter(|device| !device.is_empty()).collect(),
        shadows: closed.shadows,
    };
    let header = header(input, &leaves, &state);
    state.previous_header = header_digest(input.term, &header).0.into();
    let void_slots = slots.void.keys().copied().collect();
    Outcome { header, leaves, verdicts: closed.verdicts, state, void_slots, content }
}

fn header(input: &EpochInput<'_>, leaves: &[Leaf], state: &State) -> Header {
    let scope = &input.term.scope;
    let seconds = |epoch: u64| input.term.epoch_start(epoch).map_or(0, |ms| ms / 1_000);
    let bits = input.observations.iter().map(|statement| statement.member);
    Header {
        committee: scope.committee,
        term: scope.term,
        configDigest: scope.config_digest,
        stream: input.stream,
        epoch: input.epoch,
        periodStart: seconds(input.epoch),
        periodEnd: seconds(input.epoch.saturating_add(1)),
        snapshotBlock: input.snapshot.block.number,
        snapshotHash: input.snapshot.block.hash,
        leafCount: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
        leavesRoot: merkle::leaves_root(leaves),
        stateRoot: B256::from(state_root(state)),
        observationsHash: B256::from(observations_hash(input.observations)),
        policyHash: input.term.book_root,
        previousHeader: B256::from(*input.state.previous_header),
        participation: bits
            .fold(U256::ZERO, |word, member| word | (U256::from(1u64) << usize::try_from(member).unwrap_or(256))),
    }
}
