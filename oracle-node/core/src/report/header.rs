//! The header over an epoch's result, its roots and its digest. docs/protocol.md §§6, 9.
//! Leaves out: the Merkle trees themselves (`merkle`).

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use sha2::{Digest, Sha256};

use super::ledger::Closed;
use super::slots::Slots;
use super::{EpochInput, Outcome};
use crate::merkle;
use crate::policy::Policy;
use crate::state::{DeviceState, LeaseState, State};
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

/// The leaves of the state tree, encoded and not yet hashed: the head, then one per lease, then one per device.
/// A device checks its lease against a certified header with one of them ([`merkle::sha_leaf`], [`merkle::sha_proof`]).
#[must_use]
pub fn state_leaves(state: &State) -> Vec<Vec<u8>> {
    let head = wire::encode(&(state.version, state.next_epoch, state.previous_header, state.seed));
    let leases = state.leases.iter().map(wire::encode::<LeaseState>);
    let devices = state.devices.iter().map(wire::encode::<DeviceState>);
    core::iter::once(head).chain(leases).chain(devices).collect()
}

/// Root of the state. In a header, `previous_header` is that of the epoch before: a header cannot hold its own digest.
#[must_use]
pub fn state_root(state: &State) -> [u8; 32] {
    let leaves: Vec<[u8; 32]> = state_leaves(state).iter().map(|leaf| merkle::sha_leaf(leaf)).collect();
    merkle::sha_root(&leaves)
}

/// The on-chain leaf of a lease.
fn leaf(state: &LeaseState, policy: &Policy) -> Leaf {
    let credit = u128::from(state.bad) * u128::from(policy.credit_bp) / 10_000;
    Leaf {
        lease: state.lease,
        units: u128::from(state.good),
        goodSeconds: state.good,
        badSeconds: state.bad,
        creditSeconds: u64::try_from(credit).unwrap_or(u64::MAX),
        adjustment: u128::from(state.adjustment),
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
    devices: BTreeMap<u64, DeviceState>,
    content: Vec<[u8; 32]>,
) -> Outcome {
    let leaves: Vec<Leaf> = closed.leases.iter().map(|lease| leaf(lease, input.policy)).collect();
    let seed = slots.seeds.last_key_value().map_or(input.state.seed, |(_, seed)| (*seed).into());
    let mut state = State {
        version: 1,
        next_epoch: input.epoch.saturating_add(1),
        previous_header: input.state.previous_header,
        seed,
        leases: closed.leases,
        devices: devices.into_values().collect(),
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
        policyHash: input.term.policy_hash,
        previousHeader: B256::from(*input.state.previous_header),
        participation: bits
            .fold(U256::ZERO, |word, member| word | (U256::from(1u64) << usize::try_from(member).unwrap_or(256))),
    }
}
