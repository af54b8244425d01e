//! One term of a committee: who is in it, its clock (epochs, slots) and its numbers n, f and q.
//! Leaves out: keys (`aggregator`) and how a term comes to be (`bootstrap`).

use alloy_primitives::{Address, B256};

use crate::limits;
use crate::typed::Scope;

/// A member as the registry lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Registered secp256k1 address: signs statements, can be slashed.
    pub address: Address,
    /// Ed25519 transport key (libp2p peer identity), 32 bytes.
    pub peer_key: [u8; 32],
    /// Ed25519 key of the key generation, 32 bytes.
    pub dkg_key: [u8; 32],
}

/// Unix time in milliseconds.
pub type UnixMillis = u64;

/// The fixed facts of a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What every signature binds.
    pub scope: Scope,
    /// Members in order; a member's index is its place here.
    pub members: Vec<Member>,
    /// Root of the policy book (`policyHash` on chain).
    pub book_root: B256,
    /// Length of an epoch, ms.
    pub epoch_ms: u64,
    /// Length of a slot, ms.
    pub slot_ms: u64,
    /// Start of epoch 0 and slot 0, unix ms; `None` until the registry has activated the term.
    pub genesis_ms: Option<UnixMillis>,
}

impl Term {
    /// Whether epochs can run under these facts: 1 to [`limits::MEMBERS_MAX`] members, slots of whole seconds, and an
    /// epoch of whole seconds that holds 1 to [`limits::SLOTS_PER_EPOCH_MAX`] slots.
    ///
    /// # Errors
    /// A sentence for the operator: the chain configured a term that no member can work under.
    pub fn check(&self) -> Result<(), String> {
        let (members, slot, epoch) = (self.members.len(), self.slot_ms, self.epoch_ms);
        if members == 0 || members > limits::MEMBERS_MAX {
            return Err(format!("a term of {members} members; 1 to {} are allowed", limits::MEMBERS_MAX));
        }
        if slot == 0 || slot % 1_000 != 0 {
            return Err(format!("slots of {slot} ms are not whole seconds"));
        }
        if epoch % 1_000 != 0 || epoch < slot || epoch / slot > limits::SLOTS_PER_EPOCH_MAX {
            let most = limits::SLOTS_PER_EPOCH_MAX;
            return Err(format!(
                "an epoch of {epoch} ms does not hold 1 to {most} slots of {slot} ms in whole seconds"
            ));
        }
        Ok(())
    }

    /// Members, n.
    #[must_use]
    pub fn n(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    /// Faults tolerated, f = ⌊(n−1)/3⌋.
    #[must_use]
    pub fn f(&self) -> u32 {
        aggregator::faults(self.n())
    }

    /// Quorum, q = n−f.
    #[must_use]
    pub fn quorum(&self) -> u32 {
        aggregator::quorum(self.n())
    }

    /// The members' addresses in order.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.members.iter().map(|m| m.address).collect()
    }

    /// Start of an epoch, unix ms; `None` before genesis is known.
    #[must_use]
    pub fn epoch_start(&self, epoch: u64) -> Option<UnixMillis> {
        self.genesis_ms?.checked_add(epoch.checked_mul(self.epoch_ms)?)
    }

    /// Start of a slot, unix ms; `None` before genesis is known.
    #[must_use]
    pub fn slot_start(&self, slot: u64) -> Option<UnixMillis> {
        self.genesis_ms?.checked_add(slot.checked_mul(self.slot_ms)?)
    }

    /// The slot at `now`; `None` before genesis.
    #[must_use]
    pub fn slot_at(&self, now: UnixMillis) -> Option<u64> {
        now.checked_sub(self.genesis_ms?)?.checked_div(self.slot_ms)
    }

    /// The epoch at `now`; `None` before genesis.
    #[must_use]
    pub fn epoch_at(&self, now: UnixMillis) -> Option<u64> {
        now.checked_sub(self.genesis_ms?)?.checked_div(self.epoch_ms)
    }

    /// The first slot that starts within an epoch or after it: the first whose beacon is a term's that begins there.
    #[must_use]
    pub fn first_slot_of(&self, epoch: u64) -> u64 {
        epoch.saturating_mul(self.epoch_ms).div_ceil(self.slot_ms.max(1))
    }

    /// The slots whose challenges of a class with this lag are due in `epoch`: start(e) < slot start + lag ≤ end(e).
    /// A half-open range; docs/protocol.md §5.
    #[must_use]
    pub fn slots_due(&self, epoch: u64, lag_ms: u64) -> core::ops::Range<u64> {
        let slots_from = |offset: u64| offset.checked_sub(lag_ms).map_or(0, |o| o / self.slot_ms + 1);
        let start = epoch.saturating_mul(self.epoch_ms);
        slots_from(start)..slots_from(start.saturating_add(self.epoch_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term() -> Term {
        let scope = Scope { chain_id: 1, registry: Address::ZERO, committee: 1, term: 1, config_digest: B256::ZERO };
        Term { scope, members: vec![], book_root: B256::ZERO, epoch_ms: 15_000, slot_ms: 1_000, genesis_ms: Some(0) }
    }

    #[test]
    fn a_term_that_cannot_run_says_why() {
        let member = Member { address: Address::ZERO, peer_key: [0; 32], dkg_key: [0; 32] };
        let with = |members: usize, slot_ms: u64, epoch_ms: u64| {
            Term { members: vec![member.clone(); members], slot_ms, epoch_ms, ..term() }.check()
        };
        assert_eq!(with(100, 1_000, 15_000), Ok(()));
        assert_eq!(with(4, 1_000, 16_384_000), Ok(()));
        assert!(with(101, 1_000, 15_000).is_err_and(|why| why.contains("101 members")));
        assert!(with(0, 1_000, 15_000).is_err_and(|why| why.contains("0 members")));
        for slot in [0, 500, 1_500] {
            assert!(with(4, slot, 15_000).is_err_and(|why| why.contains("not whole seconds")), "{slot}");
        }
        assert!(with(4, 30_000, 15_000).is_err() && with(4, 1_000, 16_385_000).is_err());
    }

    #[test]
    fn every_slot_is_due_in_exactly_one_epoch() {
        let term = term();
        for lag in [1, 999, 1_000, 3_000, 5_000, 5_001] {
            let mut next = 0;
            for epoch in 0..10 {
                let due = term.slots_due(epoch, lag);
                assert_eq!(due.start, next, "lag {lag} epoch {epoch}");
                for slot in due.clone() {
                    let due_at = slot * 1_000 + lag;
                    assert!(due_at <= (epoch + 1) * 15_000 && due_at > epoch * 15_000, "lag {lag} slot {slot}");
                }
                next = due.end;
            }
        }
    }
}
