//! What every part of a running oracle knows and none changes; and what one step works with.

use std::sync::Arc;

use alloy_primitives::Address;
use sha2::{Digest, Sha256};

use super::Behaviour;
use super::journal::{FAULT, key};
use crate::answers::Answers;
use crate::beacon::Beacon;
use crate::collect;
use crate::effect::{Effect, Record};
use crate::fault::FaultProof;
use crate::keyring::Keyring;
use crate::policy::Book;
use crate::qbft;
use crate::registry::Snapshot;
use crate::state::State;
use crate::term::Term;
use crate::typed::{Kind, MemberKey};
use crate::wire::{self, InstanceId};

/// The fixed facts, of the term and of one stream of it.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) term: Term,
    pub(super) addresses: Vec<Address>,
    pub(super) me: u32,
    pub(super) key: Arc<MemberKey>,
    pub(super) book: Book,
    /// The stream whose instances these are; of no meaning for what belongs to the term.
    pub(super) stream: u32,
    pub(super) behaviour: Behaviour,
    pub(super) keys: Keyring,
    /// First epoch that this member may speak of (`Input::Floor`).
    pub(super) floor: u64,
}

/// What every stream of a term works with in one step.
pub(super) struct Step<'a> {
    pub(super) beacon: &'a mut Beacon,
    pub(super) answers: &'a mut Answers,
    pub(super) now: u64,
    pub(super) out: &'a mut Vec<Effect>,
}

impl Step<'_> {
    /// The step as one instance sees it, without Σ and snapshot.
    pub(super) fn ctx<'b>(&'b mut self, desk: &'b Desk) -> Ctx<'b> {
        Ctx { desk, beacon: self.beacon, state: None, snapshot: None, now: self.now, out: self.out }
    }
}

/// One step of one instance: the facts, what belongs to one epoch, the time, and where effects go.
pub(super) struct Ctx<'a> {
    pub(super) desk: &'a Desk,
    pub(super) beacon: &'a mut Beacon,
    /// Σ of the epoch before; `None` while it is not decided.
    pub(super) state: Option<&'a State>,
    /// The chain as the epoch sees it; `None` while its block is not final.
    pub(super) snapshot: Option<&'a Snapshot>,
    pub(super) now: u64,
    pub(super) out: &'a mut Vec<Effect>,
}

impl Desk {
    pub(super) const fn instance(&self, epoch: u64) -> InstanceId {
        InstanceId::new(Kind::Report, self.stream, epoch)
    }

    /// When an epoch is observed, unix ms. Far future while there is no genesis.
    pub(super) fn opens_at(&self, epoch: u64) -> u64 {
        collect::observation_time(&self.term, &self.book.conduct, epoch).unwrap_or(u64::MAX)
    }

    /// Members in the order in which they lead the views of an epoch: by SHA(seed ‖ epoch ‖ member).
    pub(super) fn leaders(&self, state: &State, epoch: u64) -> Vec<u32> {
        let place = |member: &u32| -> [u8; 32] {
            let hash = Sha256::new_with_prefix(*state.seed);
            hash.chain_update(epoch.to_be_bytes()).chain_update(member.to_be_bytes()).finalize().into()
        };
        let mut members: Vec<u32> = (0..self.term.n()).collect();
        members.sort_by_cached_key(place);
        members
    }

    pub(super) fn agreement(&self, epoch: u64, leaders: Vec<u32>) -> qbft::Config {
        self.agreement_on(self.instance(epoch), leaders)
    }

    pub(super) fn agreement_on(&self, instance: InstanceId, leaders: Vec<u32>) -> qbft::Config {
        qbft::Config {
            scope: self.term.scope,
            members: self.addresses.clone(),
            instance,
            me: self.me,
            leaders,
            base_timeout_ms: self.book.conduct.view_timeout_ms,
        }
    }

    /// Whether this member may sign anything new about an epoch.
    pub(super) const fn may_speak(&self, epoch: u64) -> bool {
        epoch >= self.floor
    }

    /// Everybody else.
    pub(super) fn others(&self) -> Vec<u32> {
        (0..self.term.n()).filter(|member| *member != self.me).collect()
    }

    /// n−f as a length.
    pub(super) fn quorum(&self) -> usize {
        usize::try_from(self.term.quorum()).unwrap_or(usize::MAX)
    }
}

impl Ctx<'_> {
    pub(super) fn note(&mut self, code: &'static str, text: String) {
        self.out.push(Effect::Note { code, text });
    }

    /// Keeps a fault proof and tells the operator, with the bytes that a contract or an auditor can check.
    pub(super) fn accuse(&mut self, proof: &FaultProof) {
        let said = &proof.a;
        let mut key = key(FAULT, &self.desk.term.scope, said.instance);
        key.extend(said.member.to_be_bytes());
        key.push(said.phase);
        key.extend(said.view.to_be_bytes());
        let value = wire::encode(proof);
        let bytes: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "member {} signed two different values in phase {}, view {} of epoch {}: {bytes}",
            said.member, said.phase, said.view, said.instance.epoch
        );
        self.out.push(Effect::Persist(Record { key, value }));
        self.note("fault_proof", text);
    }
}
