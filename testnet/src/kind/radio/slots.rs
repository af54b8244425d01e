//! A hotspot's part in coverage challenges as a pure state machine: its hash chains, what it transmits when drawn, what it
//! heard in each slot, and when witness and reveal are due (docs/protocol.md §5). Leaves out: time, sockets and signing.

use std::collections::{BTreeMap, BTreeSet};

use attest::{Reception, challenge};
use sha2::{Digest as _, Sha256};

use crate::device::Clock;
use crate::device::lease::{Chain, Lease, plan};

/// Earliest witness after the slot's start, ms.
pub const WITNESS_AFTER: u64 = 500;
/// Silence on the air that closes a slot early, ms: frames of one slot follow its beacon within a fraction of that.
pub const QUIET: u64 = 600;
/// A witness is sent so long before its deadline at the latest, ms.
pub const WITNESS_SPARE: u64 = 300;
/// A reveal is sent so long after the witnesses' deadline, ms.
pub const REVEAL_AFTER: u64 = 100;
/// Most receptions of one reveal.
pub const MAX_RECEPTIONS: usize = 16;
/// Slots kept at once; the oldest goes first.
const MAX_SLOTS: usize = 64;

/// What a hotspot transmits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shout {
    /// Own lease.
    pub lease: u64,
    /// Slot.
    pub slot: u64,
    /// Payload bound to the secret and the draw.
    pub payload: [u8; 16],
    /// dB below EIRP.
    pub attenuation_db: u8,
}

/// What becomes due in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A commitment to what was heard.
    Witness {
        /// Slot.
        slot: u64,
        /// Witness commitment.
        commitment: [u8; 32],
    },
    /// The opening: own secret if drawn, and what was heard.
    Reveal {
        /// Slot.
        slot: u64,
        /// Secret of the slot, if drawn.
        secret: Option<[u8; 32]>,
        /// Salt of the witness commitment.
        salt: [u8; 16],
        /// Receptions, ascending by lease.
        receptions: Vec<Reception>,
        /// Whether the receptions were invented.
        lie: bool,
    },
    /// The time of a witness or reveal passed unused.
    Missed {
        /// Slot.
        slot: u64,
        /// Which.
        what: &'static str,
    },
}

/// One slot on the air.
#[derive(Clone, Debug, Default)]
struct Air {
    heard: BTreeMap<u64, Reception>,
    last_heard: u64,
    secret: Option<[u8; 32]>,
    /// What the witness committed to; from then on nothing is added.
    closed: Option<Vec<Reception>>,
}

/// The state of one hotspot.
#[derive(Debug)]
pub struct Coverage {
    clock: Clock,
    deadline: u64,
    seed: [u8; 32],
    chains: Vec<Chain>,
    slots: BTreeMap<u64, Air>,
    done: u64,
    /// Leases to lie about, for a false witness.
    victims: Option<BTreeSet<u64>>,
}

impl Coverage {
    /// `seed`: secret from which chains and salts are derived; `chains`: those already committed to; `victims`: `Some` for
    /// a false witness.
    #[must_use]
    pub const fn new(
        clock: Clock,
        deadline: u64,
        seed: [u8; 32],
        chains: Vec<Chain>,
        victims: Option<BTreeSet<u64>>,
    ) -> Self {
        Self { clock, deadline, seed, chains, slots: BTreeMap::new(), done: 0, victims }
    }

    /// The chain to commit to now for `lease`, with its anchor; recorded as committed.
    pub fn commit(&mut self, lease: &Lease, now: u64) -> Option<(Chain, [u8; 32])> {
        let covered = self.chains.iter().filter(|c| c.lease == lease.lease).map(Chain::end).max().unwrap_or(0);
        let chain = plan(&self.clock, lease, now, covered)?;
        let anchor = challenge::chain_anchor(&self.root(&chain), chain.length)?;
        self.chains.push(chain);
        Some((chain, anchor))
    }

    /// The chains committed to so far, to be kept across a restart.
    #[must_use]
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// The lease was drawn: what to transmit. `None` when no chain covers the slot, or the slot already has a secret.
    pub fn drawn(&mut self, lease: u64, slot: u64, draw: &[u8; 32]) -> Option<Shout> {
        let chain = *self.chains.iter().find(|c| c.lease == lease && c.covers(slot))?;
        let secret = challenge::chain_secret(&self.root(&chain), chain.first_slot, chain.length, slot)?;
        let air = self.air(slot)?;
        if air.secret.is_some() {
            return None;
        }
        air.secret = Some(secret);
        let sent = challenge::transmission(&secret, draw);
        Some(Shout { lease, slot, payload: sent.payload, attenuation_db: sent.attenuation_db })
    }

    /// A slot of the own lease began for certain (its beacon verified); a false witness prepares its lies.
    pub fn began(&mut self, slot: u64) {
        if self.victims.is_some() {
            self.air(slot);
        }
    }

    /// A frame arrived. `false` when it is too late, too early or one too many for the slot's witness.
    pub fn heard(&mut self, now: u64, slot: u64, reception: Reception) -> bool {
        if let Some(victims) = &mut self.victims {
            victims.insert(reception.lease);
        }
        let start = self.clock.start(slot);
        if now.saturating_add(self.clock.slot_ms) < start || now >= start.saturating_add(self.deadline) {
            return false;
        }
        let Some(air) = self.air(slot) else { return false };
        let full = air.heard.len() >= MAX_RECEPTIONS && !air.heard.contains_key(&reception.lease);
        if full || air.closed.is_some() {
            return false;
        }
        air.last_heard = now;
        let stronger = air.heard.get(&reception.lease).is_none_or(|known| known.rssi < reception.rssi);
        if stronger {
            air.heard.insert(reception.lease, reception);
        }
        true
    }

    /// When [`Self::wake`] has something to do next.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        let due = |(slot, air): (&u64, &Air)| self.witness_at(*slot, air).unwrap_or_else(|| self.reveal_at(*slot));
        self.slots.iter().map(due).min()
    }

    /// Everything due by now, in order of slots.
    pub fn wake(&mut self, now: u64) -> Vec<Due> {
        let mut out = Vec::new();
        let slots: Vec<u64> = self.slots.keys().copied().collect();
        for slot in slots {
            self.wake_slot(now, slot, &mut out);
        }
        out
    }

    fn wake_slot(&mut self, now: u64, slot: u64, out: &mut Vec<Due>) {
        let start = self.clock.start(slot);
        let Some(air) = self.slots.get(&slot) else { return };
        if self.witness_at(slot, air).is_some_and(|at| at <= now) {
            let receptions = self.receptions(slot, air);
            if now >= start.saturating_add(self.deadline) {
                out.push(Due::Missed { slot, what: "witness: its time was over" });
                self.close(slot, Vec::new());
            } else {
                let commitment = challenge::witness_commitment(receptions.iter().copied(), &self.salt(slot));
                out.push(Due::Witness { slot, commitment });
                self.close(slot, receptions);
            }
        }
        if now < self.reveal_at(slot) {
            return;
        }
        let Some(air) = self.slots.remove(&slot) else { return };
        self.done = self.done.max(slot.saturating_add(1));
        let receptions = air.closed.unwrap_or_default();
        if air.secret.is_none() && receptions.is_empty() {
            return;
        }
        if now >= start.saturating_add(self.deadline.saturating_mul(2)) {
            out.push(Due::Missed { slot, what: "reveal: its time was over" });
            return;
        }
        let lie = self.victims.is_some() && !receptions.is_empty();
        out.push(Due::Reveal { slot, secret: air.secret, salt: self.salt(slot), receptions, lie });
    }

    fn close(&mut self, slot: u64, receptions: Vec<Reception>) {
        if let Some(air) = self.slots.get_mut(&slot) {
            air.closed = Some(receptions);
        }
    }

    /// The slot's entry, unless its reveal is already out. Makes room by dropping the oldest.
    fn air(&mut self, slot: u64) -> Option<&mut Air> {
        if slot < self.done {
            return None;
        }
        if self.slots.len() >= MAX_SLOTS && !self.slots.contains_key(&slot) {
            self.slots.pop_first();
        }
        Some(self.slots.entry(slot).or_default())
    }

    /// When the slot's witness is due; `None` when there is nothing (left) to witness.
    fn witness_at(&self, slot: u64, air: &Air) -> Option<u64> {
        let anything = !air.heard.is_empty() || self.victims.as_ref().is_some_and(|v| !v.is_empty());
        (anything && air.closed.is_none()).then(|| {
            let start = self.clock.start(slot);
            let quiet = air.last_heard.saturating_add(QUIET).max(start.saturating_add(WITNESS_AFTER));
            quiet.min(start.saturating_add(self.deadline.saturating_sub(WITNESS_SPARE)))
        })
    }

    const fn reveal_at(&self, slot: u64) -> u64 {
        self.clock.start(slot).saturating_add(self.deadline).saturating_add(REVEAL_AFTER)
    }

    /// What the witness says it heard: the truth, or for a false witness one invention per victim.
    fn receptions(&self, slot: u64, air: &Air) -> Vec<Reception> {
        let Some(victims) = &self.victims else { return air.heard.values().copied().collect() };
        let invent = |lease: &u64| Reception {
            lease: *lease,
            payload: self.derive(b"lie", &[*lease, slot]),
            rssi: -9_000,
            snr: 500,
        };
        victims.iter().take(MAX_RECEPTIONS).map(invent).collect()
    }

    /// The device's own secret at the start of a chain.
    fn root(&self, chain: &Chain) -> [u8; 32] {
        self.derive(b"chain", &[chain.lease, chain.first_slot, u64::from(chain.length)])
    }

    fn salt(&self, slot: u64) -> [u8; 16] {
        self.derive(b"salt", &[slot])
    }

    /// The first `N` ≤ 32 bytes of a hash under the device's secret.
    fn derive<const N: usize>(&self, purpose: &[u8], numbers: &[u64]) -> [u8; N] {
        let mut hash = Sha256::new();
        hash.update(b"plumbline/testnet-device");
        hash.update(self.seed);
        hash.update(purpose);
        for number in numbers {
            hash.update(number.to_be_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut out = [0; N];
        for (slot, byte) in out.iter_mut().zip(digest) {
            *slot = byte;
        }
        out
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
