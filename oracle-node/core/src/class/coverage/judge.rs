//! Judging a coverage challenge: what was sent, who heard it, whether physics allows that, and who lied about it.
//! Leaves out: what physics allows (`physics`), and what a failed challenge costs (`service`).

use std::collections::BTreeMap;

use attest::{Body, EvidenceId, Reception};

use super::physics::{self, Link};
use super::{Beaconing, chains};
use crate::class::{Case, Challenge, Fault, Finding, Penalty, Proof};
use crate::fixed;
use crate::reason::Reason;

/// Secrets of one device and slot that are tried: an honest device reveals one, and each costs up to a whole chain.
const SECRETS_MAX: usize = 4;

/// What a transmitter provably sent, and the reveal that proves it.
struct Sent {
    payload: [u8; 16],
    attenuation_cdb: u32,
    reveal: EvidenceId,
}

/// One device's claim of having heard a lease's transmitter.
struct Heard {
    device: u64,
    reception: Reception,
    witness: EvidenceId,
    reveal: EvidenceId,
    /// Whether the reveal opens the commitment sent before the deadline.
    opens: bool,
}

/// The case's slots: what was sent and heard in each.
pub(super) struct Slots<'a> {
    rules: &'a Beaconing,
    case: &'a Case<'a>,
    heard: BTreeMap<(u64, u64), Vec<Heard>>,
    /// By (slot, lease): the transmitter and what it sent, or why that is not proven.
    sent: BTreeMap<(u64, u64), (u64, Result<Sent, Fault>)>,
}

impl<'a> Slots<'a> {
    pub(super) fn of(rules: &'a Beaconing, case: &'a Case<'a>) -> Self {
        let sent = case
            .challenges
            .iter()
            .map(|challenge| ((challenge.slot, challenge.lease), (challenge.device, sent(rules, case, challenge))));
        Self { rules, case, heard: heard(rules, case), sent: sent.collect() }
    }

    /// Decides one challenge of the case.
    pub(super) fn judge(&self, challenge: &Challenge) -> Finding {
        let found = |result, evidence| Finding { lease: challenge.lease, at: challenge.slot, result, evidence };
        let sent = match self.sent.get(&(challenge.slot, challenge.lease)) {
            Some((_, Ok(sent))) => sent,
            Some((_, Err(fault))) => return found(Err(*fault), vec![]),
            None => return found(Err(Fault::plain(Reason::NO_REVEAL)), vec![]),
        };
        let mut evidence = vec![sent.reveal];
        if let Err(fault) = self.case.place(challenge.device) {
            return found(Err(fault), evidence);
        }
        let (mut valid, mut rejected) = (0i64, None);
        for heard in self.heard(challenge.slot, challenge.lease) {
            if heard.device == challenge.device || heard.reception.payload != sent.payload {
                continue;
            }
            match self.plausible(challenge.device, sent, heard) {
                Ok(()) => {
                    valid = valid.saturating_add(1);
                    evidence.extend([heard.witness, heard.reveal]);
                }
                Err(fault) => rejected = rejected.or(Some(fault)),
            }
        }
        let limit = i64::from(self.rules.radio.min_witnesses);
        if valid >= limit {
            return found(Ok(Proof::default()), evidence);
        }
        // A witness that was refused explains more than a count.
        let few = Fault { reason: Reason::TOO_FEW_WITNESSES, measured: valid, limit };
        found(Err(rejected.unwrap_or(few)), evidence)
    }

    /// At most one penalty per device and slot: a lie about two leases is one act.
    pub(super) fn penalties(&self) -> Vec<Penalty> {
        let mut penalties: BTreeMap<(u64, u64), Penalty> = BTreeMap::new();
        for ((slot, lease), (transmitter, sent)) in &self.sent {
            let Ok(sent) = sent else { continue };
            let measured = i64::try_from(*lease).unwrap_or(i64::MAX);
            let fault = Fault { reason: Reason::FALSE_WITNESS, measured, limit: 0 };
            for device in self.false_witnesses(*slot, *lease, *transmitter, sent) {
                penalties.entry((*slot, device)).or_insert(Penalty { device, slot: *slot, fault });
            }
        }
        penalties.into_values().collect()
    }

    fn heard(&self, slot: u64, lease: u64) -> &[Heard] {
        self.heard.get(&(slot, lease)).map_or(&[], Vec::as_slice)
    }

    /// Holds one reception against physics.
    fn plausible(&self, transmitter: u64, sent: &Sent, heard: &Heard) -> Result<(), Fault> {
        if !heard.opens {
            return Err(Fault::plain(Reason::NOT_WITNESSED));
        }
        let link = Link {
            distance_m: fixed::distance_m(self.case.place(transmitter)?, self.case.place(heard.device)?),
            attenuation_cdb: sent.attenuation_cdb,
            rssi_cdbm: heard.reception.rssi,
            snr_cdb: heard.reception.snr,
        };
        physics::plausible(&self.rules.radio, &link).map_err(|bound| Fault {
            reason: bound.reason,
            measured: bound.measured,
            limit: bound.limit,
        })
    }

    /// Devices that list a payload which the transmitter never sent, as far as that cannot be the transmitter's doing:
    /// with a second radio it could play something else to an honest hearer. So its true payload must have been
    /// plausibly heard by another device (the accused lists something else, so it is another one), and nobody else may
    /// list the same wrong payload.
    fn false_witnesses(&self, slot: u64, lease: u64, transmitter: u64, sent: &Sent) -> Vec<u64> {
        let heard = self.heard(slot, lease);
        let mut wrong: BTreeMap<[u8; 16], Vec<u64>> = BTreeMap::new();
        for one in heard.iter().filter(|one| one.reception.payload != sent.payload) {
            wrong.entry(one.reception.payload).or_default().push(one.device);
        }
        let truly = |one: &Heard| {
            one.device != transmitter
                && one.reception.payload == sent.payload
                && self.plausible(transmitter, sent, one).is_ok()
        };
        if wrong.is_empty() || !heard.iter().any(truly) {
            return Vec::new();
        }
        let alone = wrong.into_values().filter_map(|devices| match devices.as_slice() {
            [device] if *device != transmitter => Some(*device),
            _ => None,
        });
        alone.collect()
    }
}

/// What the challenged device sent: its secret must open the chain in force.
fn sent(rules: &Beaconing, case: &Case<'_>, challenge: &Challenge) -> Result<Sent, Fault> {
    let items = case.items.of(challenge.device, attest::Class::Reveal, challenge.slot);
    let secrets = items.iter().filter_map(|item| match item.counts(rules.reveal_ms, case.faults)?.body {
        Body::Reveal(reveal) => Some((item.id, reveal.secret?)),
        _ => None,
    });
    let mut secrets = secrets.take(SECRETS_MAX).peekable();
    if secrets.peek().is_none() {
        return Err(case.absence(items.iter(), rules.reveal_ms, Reason::NO_REVEAL));
    }
    let slot = challenge.slot;
    let chains = chains::read(case.fold(challenge.device));
    // The newest chain that covers the slot is the one in force; both were committed before the slot, so there is no choice.
    let chain = chains.iter().rev().find(|chain| chain.covers(slot)).ok_or(Fault::plain(Reason::NOT_COMMITTED))?;
    let opening = secrets.find(|(_, secret)| {
        attest::challenge::secret_opens(&chain.anchor, chain.first_slot, chain.length, slot, secret)
    });
    let (reveal, secret) = opening.ok_or(Fault::plain(Reason::BAD_SECRET))?;
    let transmission = attest::challenge::transmission(&secret, &challenge.draw);
    let attenuation_cdb = u32::from(transmission.attenuation_db) * 100;
    Ok(Sent { payload: transmission.payload, attenuation_cdb, reveal })
}

/// Every reception that coverage devices reveal whose word counts, by (slot, lease), ascending by device.
fn heard(rules: &Beaconing, case: &Case<'_>) -> BTreeMap<(u64, u64), Vec<Heard>> {
    let (mut heard, deadline) = (BTreeMap::<(u64, u64), Vec<Heard>>::new(), rules.service.deadline_ms);
    for (device, slot, witnesses) in case.items.all(attest::Class::Witness) {
        // Only a device's first commitment and first reveal of a slot count, forked or not: otherwise it could commit
        // to several guesses and let the right one count.
        let first = witnesses.iter().find(|item| item.held.until(deadline) > case.faults);
        let reveals = case.items.of(device, attest::Class::Reveal, slot);
        let reveal = reveals.iter().find(|item| item.held.until(rules.reveal_ms) > case.faults);
        let (Some(witness), Some(reveal), true) = (first, reveal, case.may_speak(device)) else { continue };
        let committed = witness.counts(deadline, case.faults).map(|claims| claims.body);
        let opened = reveal.counts(rules.reveal_ms, case.faults).map(|claims| claims.body);
        let (Some(Body::Witness(committed)), Some(Body::Reveal(said))) = (committed, opened) else { continue };
        let commitment = attest::challenge::witness_commitment(said.receptions.iter(), &said.salt);
        for reception in said.receptions.iter() {
            heard.entry((slot, reception.lease)).or_default().push(Heard {
                device,
                reception,
                witness: witness.id,
                reveal: reveal.id,
                opens: commitment == committed.commitment,
            });
        }
    }
    heard
}
