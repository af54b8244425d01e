//! Terms as the registry's events tell them: members, key, and how one term came into force after another.
//! Leaves out: members' registrations and everything else of the chain (`fold`).

use std::collections::BTreeMap;

use alloy_primitives::B256;
use alloy_sol_types::SolEvent as _;

use super::events::{RawLog, RotatedByGovernance, SharesRefreshed, TermActivated, TermConfigured, TermRotated};
use super::fold::{Odd, Registry, read};
use crate::handover::{Start, base_root};
use crate::term::{Member, Term};
use crate::typed::Scope;

/// Posts before a rotation by governance that may have come after its base was named.
const BASES_TRIED_MAX: usize = 4_096;

/// A group key in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activated {
    /// 256 bytes, EIP-2537.
    pub group_key: Vec<u8>,
    /// Root of the public shares.
    pub share_root: B256,
    /// Start of epoch 0, unix seconds.
    pub genesis: u64,
}

/// How a term came into force after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The term before.
    pub previous: u64,
    /// First epoch.
    pub from_epoch: u64,
    /// `baseHeader` (docs/adr/0007).
    pub base: B256,
    /// Whether governance rotated without the old key.
    pub forced: bool,
}

/// A configured term: what the event says, and its activation once that came.
#[derive(Clone, Debug)]
struct Configured {
    config_digest: B256,
    members: Vec<Member>,
    book_root: B256,
    epoch_ms: u64,
    slot_ms: u64,
    activated: Option<Activated>,
    rotated: Option<Rotated>,
    /// Share roots in the chain's order; of a refresh with the time of its block, unix seconds.
    roots: Vec<(B256, Option<u64>)>,
}

/// Every term of every committee.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    configured: BTreeMap<(u64, u64), Configured>,
    /// The last term activated, by committee.
    active: BTreeMap<u64, u64>,
}

impl Terms {
    /// Applies a log of the registry that is about terms; others change nothing.
    /// `timestamp` is that of the log's block.
    pub(super) fn apply(&mut self, timestamp: u64, log: &RawLog) -> Result<(), Odd> {
        match log.topics.first() {
            Some(&TermConfigured::SIGNATURE_HASH) => {
                let event: TermConfigured = read(log)?;
                let configured = configured(&event)?;
                self.configured.insert((event.committee, event.term), configured);
            }
            Some(&TermActivated::SIGNATURE_HASH) => {
                let event: TermActivated = read(log)?;
                let term = self.configured.get_mut(&(event.committee, event.term)).ok_or(Odd)?;
                let group_key = event.groupKey.to_vec();
                term.roots = vec![(event.shareRoot, None)];
                term.activated = Some(Activated { group_key, share_root: event.shareRoot, genesis: event.genesis });
                let previous = self.active.insert(event.committee, event.term);
                // What the rotation says comes with the next log of the same transaction.
                if let (Some(previous), Some(term)) =
                    (previous, self.configured.get_mut(&(event.committee, event.term)))
                {
                    let rotated = Rotated { previous, from_epoch: u64::MAX, base: B256::ZERO, forced: false };
                    term.rotated = Some(rotated);
                }
            }
            Some(&TermRotated::SIGNATURE_HASH) => {
                let event: TermRotated = read(log)?;
                let rotated = self.rotated_mut(event.committee, event.newTerm)?;
                (rotated.from_epoch, rotated.base) = (event.fromEpoch, event.baseHeader);
            }
            Some(&RotatedByGovernance::SIGNATURE_HASH) => {
                let event: RotatedByGovernance = read(log)?;
                self.rotated_mut(event.committee, event.newTerm)?.forced = true;
            }
            Some(&SharesRefreshed::SIGNATURE_HASH) => {
                let event: SharesRefreshed = read(log)?;
                let term = self.configured.get_mut(&(event.committee, event.term)).ok_or(Odd)?;
                term.activated.as_mut().ok_or(Odd)?.share_root = event.shareRoot;
                term.roots.push((event.shareRoot, Some(timestamp)));
            }
            _ => {}
        }
        Ok(())
    }

    fn rotated_mut(&mut self, committee: u64, term: u64) -> Result<&mut Rotated, Odd> {
        self.configured.get_mut(&(committee, term)).and_then(|term| term.rotated.as_mut()).ok_or(Odd)
    }
}

impl Registry {
    /// A configured term; its genesis is known once it is activated.
    #[must_use]
    pub fn term(&self, chain_id: u64, committee: u64, term: u64) -> Option<Term> {
        let configured = self.terms_known().configured.get(&(committee, term))?;
        let genesis = configured.activated.as_ref().map(|activated| activated.genesis);
        Some(Term {
            scope: Scope {
                chain_id,
                registry: self.contracts().registry,
                committee,
                term,
                config_digest: configured.config_digest,
            },
            members: configured.members.clone(),
            book_root: configured.book_root,
            epoch_ms: configured.epoch_ms,
            slot_ms: configured.slot_ms,
            genesis_ms: genesis.and_then(|seconds| seconds.checked_mul(1_000)),
        })
    }

    /// The group key in force for a term, once activated.
    #[must_use]
    pub fn activation(&self, committee: u64, term: u64) -> Option<&Activated> {
        self.terms_known().configured.get(&(committee, term))?.activated.as_ref()
    }

    /// The public-share roots of a term in the chain's order, each with the first epoch it counts in: 0 for the key's own,
    /// of a refresh the first epoch whose snapshot holds it (`lag_ms` is the policy's L). Empty before the activation.
    #[must_use]
    pub fn share_roots(&self, committee: u64, term: u64, lag_ms: u64) -> Vec<(B256, u64)> {
        let Some(configured) = self.terms_known().configured.get(&(committee, term)) else { return Vec::new() };
        let genesis = configured.activated.as_ref().map_or(0, |activated| activated.genesis);
        // start(e) − L ≥ the block's time.
        let first_epoch = |timestamp: u64| {
            let counts_at = timestamp.saturating_mul(1_000).saturating_add(lag_ms);
            counts_at.saturating_sub(genesis.saturating_mul(1_000)).div_ceil(configured.epoch_ms.max(1))
        };
        let one = |(root, timestamp): &(B256, Option<u64>)| (*root, timestamp.map_or(0, first_epoch));
        configured.roots.iter().map(one).collect()
    }

    /// How a term came into force; `None` for a committee's first one, and for one that is not in force.
    #[must_use]
    pub fn rotated(&self, committee: u64, term: u64) -> Option<Rotated> {
        self.terms_known().configured.get(&(committee, term))?.rotated
    }

    /// The term activated last; `None` before the first.
    #[must_use]
    pub fn active_term(&self, committee: u64) -> Option<u64> {
        self.terms_known().active.get(&committee).copied()
    }

    /// The term whose key is in force in an epoch.
    #[must_use]
    pub fn term_in_force(&self, committee: u64, epoch: u64) -> Option<u64> {
        let mut term = self.active_term(committee)?;
        while let Some(rotated) = self.rotated(committee, term).filter(|rotated| rotated.from_epoch > epoch) {
            term = rotated.previous;
        }
        Some(term)
    }

    /// The configured terms of a committee, ascending.
    pub fn terms(&self, committee: u64) -> impl Iterator<Item = u64> {
        self.terms_known().configured.range((committee, 0)..=(committee, u64::MAX)).map(|((_, term), _)| *term)
    }

    /// How a rotated term begins, as its members need it; `None` as [`Registry::rotated`].
    #[must_use]
    pub fn start(&self, chain_id: u64, committee: u64, term: u64) -> Option<Start> {
        let rotated = self.rotated(committee, term)?;
        let previous_key = self.activation(committee, rotated.previous)?.group_key.clone();
        Some(Start {
            from_epoch: rotated.from_epoch,
            base: rotated.base,
            forced: rotated.forced,
            previous: self.term(chain_id, committee, rotated.previous)?,
            previous_key,
            bases: self.bases(committee, &rotated),
        })
    }

    /// What a base of governance is the root of: the last post of every stream at some moment before the rotation (a
    /// timelock may lie between naming the base and rotating). Empty when the base is of no such moment.
    fn bases(&self, committee: u64, rotated: &Rotated) -> Vec<(u32, B256)> {
        if !rotated.forced {
            return Vec::new();
        }
        let old = self.posted().range((committee, 0, 0)..=(committee, u32::MAX, u64::MAX));
        let old = old.filter(|((_, _, epoch), _)| *epoch < rotated.from_epoch);
        let mut newest: Vec<(u64, u32, u64, B256)> =
            old.map(|((_, stream, epoch), posted)| (posted.block, *stream, *epoch, posted.digest)).collect();
        newest.sort_unstable();
        for _ in 0..BASES_TRIED_MAX {
            let last = newest.iter().map(|(_, stream, epoch, digest)| (*stream, (*epoch, *digest)));
            let last: BTreeMap<u32, (u64, B256)> = last.collect();
            let bases: Vec<(u32, B256)> = last.into_iter().map(|(stream, (_, digest))| (stream, digest)).collect();
            if base_root(&bases) == rotated.base {
                return bases;
            }
            newest.pop();
        }
        Vec::new()
    }
}

fn configured(event: &TermConfigured) -> Result<Configured, Odd> {
    let count = event.members.len();
    // What no member can work under is `Term::check`'s to say; here only what cannot be read is refused.
    if count == 0 || event.peerKeys.len() != count || event.dkgKeys.len() != count {
        return Err(Odd);
    }
    if event.epochSeconds == 0 || event.slotMs == 0 {
        return Err(Odd);
    }
    let keys = event.peerKeys.iter().zip(&event.dkgKeys);
    let members = event.members.iter().zip(keys).map(|(address, (peer, dkg))| Member {
        address: *address,
        peer_key: peer.0,
        dkg_key: dkg.0,
    });
    Ok(Configured {
        config_digest: event.configDigest,
        members: members.collect(),
        book_root: event.policyHash,
        epoch_ms: event.epochSeconds.checked_mul(1_000).ok_or(Odd)?,
        slot_ms: event.slotMs,
        activated: None,
        rotated: None,
        roots: Vec::new(),
    })
}
