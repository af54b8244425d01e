//! The committee's randomness: one certificate per slot, released at the slot's start and never earlier.
//! docs/protocol.md §4. Leaves out: what is drawn from a beacon (`attest::challenge`), and which slots are void (`report`).

mod slot;
#[cfg(test)]
mod tests;

use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Arc;

use aggregator::{Share, Sharing, Signature};
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

use crate::answers::Answers;
use crate::effect::{Effect, Record};
use crate::keyring::{Keyring, Span};
use crate::limits;
use crate::observation::LATENESS_MISSING;
use crate::term::Term;
use crate::typed::Scope;
use crate::wire::{self, Bytes, Message};

use slot::Slot;

/// Slots before the current one whose partials a node that woke late still releases.
const RELEASE_BACK: u64 = 2;
/// Slots before the current one for which partials are still taken.
const PARTIALS_BACK: u64 = 64;
/// Certificates kept, and places of the journal's ring (keys `beacon/<slot mod this>`).
const KEPT: u64 = 8_192;
/// Wait before the first repetition of an own partial that led to no certificate, ms; doubles.
const REPEAT_MS: u64 = 250;
/// Repetitions of one partial.
const REPEATS: u32 = 6;
/// Least time between two answers with the certificate of one slot, ms.
const ANSWER_MS: u64 = 200;
/// Longest `beacon/` record.
const RECORD_BYTES_MAX: usize = 128;

/// The 32 bytes that the committee signs for a slot.
#[must_use]
pub fn message(scope: &Scope, slot: u64) -> [u8; 32] {
    Sha256::new_with_prefix(b"plumbline/beacon/v1")
        .chain_update(scope.network())
        .chain_update(scope.committee.to_be_bytes())
        .chain_update(scope.term.to_be_bytes())
        .chain_update(slot.to_be_bytes())
        .finalize()
        .into()
}

/// One member's part in the beacon of one term.
#[derive(Debug)]
pub struct Beacon {
    term: Term,
    keys: Keyring,
    me: u32,
    /// First slot not pruned.
    floor: u64,
    /// First slot whose partials may still be held.
    open: u64,
    /// First slot whose own partial has not been released.
    unreleased: u64,
    /// First slot that belongs to a later term.
    until: u64,
    slots: BTreeMap<u64, Slot>,
    answers: Answers,
}

/// A certificate in the journal.
#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct Kept {
    /// [`message`]: binds network, committee, term and slot.
    #[n(0)]
    message: Bytes<32>,
    #[n(1)]
    slot: u64,
    #[n(2)]
    certificate: Bytes<48>,
    #[n(3)]
    lateness: u32,
}

impl Beacon {
    /// A beacon of an activated term: `term.genesis_ms` is known (otherwise nothing ever happens). `me` is the member
    /// index that `share` belongs to.
    #[must_use]
    pub fn new(term: Term, sharing: Arc<Sharing>, share: Arc<Share>, me: u32) -> Self {
        Self::with_keys(term, Keyring::new(sharing, Some(share)), me)
    }

    /// The same with keys by epoch.
    #[must_use]
    pub fn with_keys(term: Term, keys: Keyring, me: u32) -> Self {
        let (slots, answers) = (BTreeMap::new(), Answers::default());
        Self { term, keys, me, floor: 0, open: 0, unreleased: 0, until: u64::MAX, slots, answers }
    }

    /// Takes the keys by epoch. Slots without a certificate whose sharing is another now begin again: partials of two
    /// sharings never add up.
    pub fn set_keys(&mut self, keys: Keyring) {
        let before = core::mem::replace(&mut self.keys, keys);
        let changed = self.keys.first_change(&before);
        let Some(first) = changed.map(|epoch| self.term.first_slot_of(epoch)) else { return };
        let open: Vec<u64> =
            self.slots.range(first..).filter(|(_, slot)| slot.certificate().is_none()).map(|(n, _)| *n).collect();
        open.iter().for_each(|slot| drop(self.slots.remove(slot)));
        self.unreleased = self.unreleased.min(first.max(self.open));
    }

    /// The keys that count in a slot: those of the epoch in which it starts.
    fn span(&self, slot: u64) -> &Span {
        self.keys.at(slot.saturating_mul(self.term.slot_ms).checked_div(self.term.epoch_ms).unwrap_or(0))
    }

    /// Takes back certificates and their lateness from the journal, so that a restart in mid-epoch costs neither.
    /// Records of other parts, networks and terms are ignored. They were verified before they were written.
    pub fn restore(&mut self, journal: &[Record]) {
        for record in journal.iter().filter(|record| record.key.starts_with(b"beacon/")) {
            let Ok(kept) = wire::decode::<Kept>(&record.value, RECORD_BYTES_MAX) else { continue };
            if *kept.message == message(&self.term.scope, kept.slot) && kept.slot >= self.floor {
                self.slots.insert(kept.slot, Slot::certified(*kept.certificate, kept.lateness));
            }
        }
    }

    /// Lets time pass: releases this member's partial of every slot that has begun by its own clock (at most
    /// two slots back after a pause), and repeats what led to no certificate.
    pub fn on_tick(&mut self, now: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        let Some(current) = self.term.slot_at(now) else { return out };
        self.forget(current);
        let first = self.unreleased.max(current.saturating_sub(RELEASE_BACK)).max(self.floor);
        for slot in first..current.saturating_add(1).min(self.until) {
            self.release(now, slot, &mut out);
        }
        self.unreleased = self.unreleased.max(current.saturating_add(1));
        let due: Vec<u64> = self
            .slots
            .range(self.open..)
            .filter(|(_, s)| s.repeat_at().is_some_and(|at| at <= now))
            .map(|(n, _)| *n)
            .collect();
        for number in due {
            if let Some(slot) = self.slots.get_mut(&number) {
                slot.repeated(now, REPEAT_MS, REPEATS);
                out.extend(own_partial(slot, self.me, number));
            }
        }
        out
    }

    /// Takes a member's partial, from its own hands (`from`) only. One for a slot that has not begun here is kept and not acted on; one for a slot whose
    /// certificate is known is answered with it.
    pub fn on_partial(&mut self, now: u64, from: u32, member: u32, slot: u64, partial: &[u8; 48]) -> Vec<Effect> {
        let mut out = Vec::new();
        let Some(current) = self.term.slot_at(now).or(Some(0)).filter(|_| self.term.genesis_ms.is_some()) else {
            return out;
        };
        let known = member != self.me && member == from && member < self.keys.n() && slot < self.until;
        if !known || slot < self.floor || slot > current.saturating_add(limits::SLOTS_AHEAD_MAX) {
            return out;
        }
        if let Some(entry) = self.slots.get_mut(&slot)
            && let Some(certificate) = entry.certificate()
        {
            let settled = self.term.slot_start(slot).is_some_and(|start| now >= start.saturating_add(REPEAT_MS));
            if settled && entry.may_answer(now, ANSWER_MS) && self.answers.may_answer(now, from) {
                out.push(Effect::Broadcast(Message::Beacon(slot, certificate.into()).encode()));
            }
            return out;
        }
        if slot < self.open || slot.saturating_add(PARTIALS_BACK) < current {
            return out;
        }
        let message = message(&self.term.scope, slot);
        let sharing = Arc::clone(&self.span(slot).sharing);
        let entry = self.slots.entry(slot).or_default();
        if let Some(refused) = entry.partials.add(&sharing, &message, member, partial) {
            out.push(bad_partial(slot, &[refused]));
        }
        self.recover(now, slot, &mut out);
        out
    }

    /// Takes a certificate from a peer: verified, kept with its lateness, and handed on to the devices.
    pub fn on_certificate(&mut self, now: u64, slot: u64, certificate: &[u8; 48]) -> Vec<Effect> {
        let mut out = Vec::new();
        let current = self.term.slot_at(now).unwrap_or(0);
        let bounded =
            slot >= self.floor && slot < self.until && slot <= current.saturating_add(limits::SLOTS_AHEAD_MAX);
        let oldest = current.saturating_sub(KEPT);
        if !bounded || slot < oldest || self.certificate(slot).is_some() || self.term.genesis_ms.is_none() {
            return out;
        }
        if self.verifies(slot, certificate) {
            self.keep(now, slot, *certificate, &mut out);
        } else {
            let text = format!("a beacon certificate for slot {slot} does not verify; it was dropped");
            out.push(Effect::Note { code: "beacon_bad_certificate", text });
        }
        out
    }

    /// Keeps a certificate out of a decided proposal (verified there). This node did not see it in time, so its
    /// lateness stays missing.
    pub fn add_verified(&mut self, slot: u64, certificate: [u8; 48]) {
        let entry = self.slots.entry(slot).or_default();
        if slot >= self.floor && entry.certificate().is_none() {
            *entry = Slot::certified(certificate, LATENESS_MISSING);
        }
    }

    /// When to call [`Beacon::on_tick`] next: the next slot's start, or a repetition before it.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<u64> {
        let next = self.unreleased.max(self.floor);
        let start = self.term.slot_start(next).filter(|_| next < self.until);
        let repeat = self.slots.range(self.open..).filter_map(|(_, slot)| slot.repeat_at()).min();
        [start, repeat].into_iter().flatten().min()
    }

    /// The certificate of a slot, if known here.
    #[must_use]
    pub fn certificate(&self, slot: u64) -> Option<[u8; 48]> {
        self.slots.get(&slot)?.certificate()
    }

    /// For every slot of the range how late its certificate came here, ms after the slot's start by this node's clock;
    /// [`LATENESS_MISSING`] where it never came.
    #[must_use]
    pub fn lateness(&self, slots: Range<u64>) -> Vec<u32> {
        slots.map(|slot| self.slots.get(&slot).map_or(LATENESS_MISSING, Slot::lateness)).collect()
    }

    /// Forgets every slot before this one, and takes no more messages about them.
    pub fn prune(&mut self, before_slot: u64) {
        self.floor = self.floor.max(before_slot);
        while self.slots.first_key_value().is_some_and(|(slot, _)| *slot < self.floor) {
            self.slots.pop_first();
        }
    }

    /// Releases and takes nothing of this slot and later ones: they belong to the next term. Certificates out of decided
    /// proposals are still kept.
    pub fn end_at(&mut self, slot: u64) {
        self.until = self.until.min(slot);
        self.slots.split_off(&slot);
    }

    /// Keeps memory bounded even while nobody prunes.
    fn forget(&mut self, current: u64) {
        self.prune(current.saturating_sub(KEPT));
        let open = current.saturating_sub(PARTIALS_BACK).max(self.open);
        for (_, slot) in self.slots.range_mut(self.open..open) {
            slot.forget_partials();
        }
        self.open = open;
    }

    /// Signs and sends this member's partial for a slot that has begun.
    fn release(&mut self, now: u64, number: u64, out: &mut Vec<Effect>) {
        let message = message(&self.term.scope, number);
        let Some(share) = self.span(number).share.clone() else { return };
        let slot = self.slots.entry(number).or_default();
        if slot.certificate().is_some() {
            return;
        }
        slot.partials.set_own(share.sign(&message));
        slot.released(now.saturating_add(REPEAT_MS));
        out.extend(own_partial(slot, self.me, number));
        self.recover(now, number, out);
    }

    /// Recovers the certificate of a slot that has begun, as soon as there are enough partials.
    fn recover(&mut self, now: u64, number: u64, out: &mut Vec<Effect>) {
        if self.term.slot_start(number).is_none_or(|start| now < start) {
            return;
        }
        let sharing = Arc::clone(&self.span(number).sharing);
        let Some(slot) = self.slots.get_mut(&number) else { return };
        let message = message(&self.term.scope, number);
        let (certificate, culprits) = slot.partials.recover(&sharing, &message);
        if !culprits.is_empty() {
            out.push(bad_partial(number, &culprits));
        }
        if let Some(certificate) = certificate {
            let certificate = certificate.to_bytes();
            out.push(Effect::Broadcast(Message::Beacon(number, certificate.into()).encode()));
            self.keep(now, number, certificate, out);
        }
    }

    /// Keeps a verified certificate with its lateness and tells the devices.
    fn keep(&mut self, now: u64, slot: u64, certificate: [u8; 48], out: &mut Vec<Effect>) {
        let late = now.saturating_sub(self.term.slot_start(slot).unwrap_or(now));
        let lateness = u32::try_from(late).unwrap_or(LATENESS_MISSING).min(LATENESS_MISSING - 1);
        self.slots.insert(slot, Slot::certified(certificate, lateness));
        out.push(Effect::Beacon { slot, certificate });
        let message = message(&self.term.scope, slot).into();
        let kept = Kept { message, slot, certificate: certificate.into(), lateness };
        let key = format!("beacon/{:04}", slot.checked_rem(KEPT).unwrap_or(0)).into_bytes();
        out.push(Effect::Persist(Record { key, value: wire::encode(&kept) }));
    }

    fn verifies(&self, slot: u64, certificate: &[u8; 48]) -> bool {
        let message = message(&self.term.scope, slot);
        Signature::from_bytes(certificate).is_ok_and(|signature| self.keys.group().verify(&message, &signature).is_ok())
    }
}

/// The broadcast of this member's own partial, while the slot still has it.
fn own_partial(slot: &Slot, me: u32, number: u64) -> Option<Effect> {
    let partial = slot.partials.get(me)?;
    Some(Effect::Broadcast(Message::BeaconPartial(me, number, partial.into()).encode()))
}

fn bad_partial(slot: u64, members: &[u32]) -> Effect {
    let text = format!("beacon partials of slot {slot} of members {members:?} do not verify");
    Effect::Note { code: "beacon_bad_partial", text }
}
