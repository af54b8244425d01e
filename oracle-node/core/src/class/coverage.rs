//! Coverage: a challenged radio transmits what nobody could know before the slot, others commit to having heard it
//! before it is revealed, and physics bounds what they say. docs/protocol.md §§5, 9.
//! Leaves out: the power-slope test and discounts for witnesses of one owner, which need more beacons than one epoch has.

use std::collections::BTreeMap;

use attest::{EvidenceId, Reception};

use super::items::Reveal;
use super::{Case, Challenge, Class, Fault, Judge, Judgement, Penalty, Said};
use crate::endorse;
use crate::fixed;
use crate::policy::Policy;
use crate::reason::Reason;

/// Secrets of one device and slot that are tried: an honest device reveals one, and each costs up to a whole chain.
const SECRETS_MAX: usize = 4;

/// Class 2.
pub(super) struct Coverage;

impl Class for Coverage {
    fn number(&self) -> u8 {
        super::COVERAGE
    }

    fn name(&self) -> &'static str {
        "coverage"
    }

    fn lag_ms(&self, policy: &Policy) -> u64 {
        policy.answer_deadline_ms.saturating_mul(2).saturating_add(policy.gossip_allowance_ms)
    }

    fn wants(&self, kind: attest::Class, _here: bool, anywhere: bool) -> bool {
        match kind {
            attest::Class::Boot | attest::Class::Commitment => true,
            attest::Class::Witness | attest::Class::Reveal => anywhere,
            _ => false,
        }
    }

    fn open<'a>(&self, case: &Case<'a>) -> Box<dyn Judge + 'a> {
        let heard = heard(case);
        let sent = case
            .challenges
            .iter()
            .map(|challenge| ((challenge.slot, challenge.lease), (challenge.device, sent(case, challenge))));
        let sent = sent.collect();
        Box::new(Radio { case: *case, heard, sent })
    }
}

/// What a transmitter provably sent, and the reveal that proves it.
struct Sent {
    payload: [u8; 16],
    attenuation_cdb: i64,
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

struct Radio<'a> {
    case: Case<'a>,
    heard: BTreeMap<(u64, u64), Vec<Heard>>,
    /// By (slot, lease): the transmitter and what it sent, or why that is not proven.
    sent: BTreeMap<(u64, u64), (u64, Result<Sent, Fault>)>,
}

/// What the challenged device sent: its secret must open the chain in force.
fn sent(case: &Case<'_>, challenge: &Challenge) -> Result<Sent, Fault> {
    let items = case.items.of(challenge.device, attest::Class::Reveal, challenge.slot);
    let secrets = items.iter().filter_map(|item| match item.counts(case.faults) {
        Some(Said::Reveal(Reveal { secret: Some(secret), .. })) => Some((item.id, secret)),
        _ => None,
    });
    let mut secrets = secrets.take(SECRETS_MAX).peekable();
    if secrets.peek().is_none() {
        return Err(case.absence(items.iter(), Reason::NoReveal));
    }
    let slot = challenge.slot;
    let chains = case.places.get(&challenge.device).map_or(&[][..], |device| &device.chains);
    // The newest chain that covers the slot is the one in force; both were committed before the slot, so there is no choice.
    let chain = chains.iter().rev().find(|chain| covers(chain.first_slot, chain.length, slot));
    let chain = chain.ok_or(Fault::plain(Reason::NotCommitted))?;
    let opening = secrets.find(|(_, secret)| {
        attest::challenge::secret_opens(&chain.anchor, chain.first_slot, chain.length, slot, secret)
    });
    let (reveal, secret) = opening.ok_or(Fault::plain(Reason::BadSecret))?;
    let transmission = attest::challenge::transmission(secret, &challenge.draw);
    let attenuation_cdb = i64::from(transmission.attenuation_db) * 100;
    Ok(Sent { payload: transmission.payload, attenuation_cdb, reveal })
}

fn covers(first_slot: u64, length: u32, slot: u64) -> bool {
    slot.checked_sub(first_slot).is_some_and(|steps| steps < u64::from(length))
}

/// Every reception that active coverage devices reveal, by (slot, lease), ascending by device.
fn heard(case: &Case<'_>) -> BTreeMap<(u64, u64), Vec<Heard>> {
    let mut heard: BTreeMap<(u64, u64), Vec<Heard>> = BTreeMap::new();
    for (device, slot, witnesses) in case.items.all(attest::Class::Witness) {
        let known = case.devices.get(&device).is_some_and(|record| record.active && record.class == 2)
            && endorse::shortfall(case, super::COVERAGE, device).is_none();
        // Only a device's first commitment and first reveal of a slot count, forked or not: otherwise it could commit
        // to several guesses and let the right one count.
        let first = witnesses.iter().find(|item| item.in_time > case.faults);
        let reveals = case.items.of(device, attest::Class::Reveal, slot);
        let reveal = reveals.iter().find(|item| item.in_time > case.faults);
        let (Some(witness), Some(reveal), true) = (first, reveal, known) else { continue };
        let (Some(Said::Witness(commitment)), Some(Said::Reveal(said))) =
            (witness.counts(case.faults), reveal.counts(case.faults))
        else {
            continue;
        };
        let opens = attest::challenge::witness_commitment(said.receptions.iter().copied(), &said.salt) == *commitment;
        for reception in &said.receptions {
            heard.entry((slot, reception.lease)).or_default().push(Heard {
                device,
                reception: *reception,
                witness: witness.id,
                reveal: reveal.id,
                opens,
            });
        }
    }
    heard
}

impl Radio<'_> {
    fn heard(&self, slot: u64, lease: u64) -> &[Heard] {
        self.heard.get(&(slot, lease)).map_or(&[], Vec::as_slice)
    }

    fn place(&self, device: u64) -> Result<(i32, i32), Fault> {
        let located = self.case.places.get(&device).and_then(|state| state.location);
        let misplaced = self.case.misplaced.contains(&device);
        let reason = if misplaced { Reason::WrongLocation } else { Reason::NoLocation };
        located.ok_or(Fault::plain(reason))
    }

    /// Holds one reception against physics.
    fn plausible(&self, transmitter: u64, sent: &Sent, heard: &Heard) -> Result<(), Fault> {
        let policy = &self.case.policy.coverage;
        if !heard.opens {
            return Err(Fault::plain(Reason::NotWitnessed));
        }
        let distance = fixed::distance_m(self.place(transmitter)?, self.place(heard.device)?);
        let metres = i64::try_from(distance).unwrap_or(i64::MAX);
        let held = |holds: bool, reason: Reason, measured: i64, limit: i64| {
            if holds { Ok(()) } else { Err(Fault { reason, measured, limit }) }
        };
        let (nearest, farthest) = (i64::from(policy.min_distance_m), i64::from(policy.max_distance_m));
        held(metres >= nearest, Reason::TooNear, metres, nearest)?;
        held(metres <= farthest, Reason::TooFar, metres, farthest)?;
        let radiated = i64::from(policy.eirp_cdbm) - sent.attenuation_cdb + 2 * i64::from(policy.gain_cdb);
        let loss = fixed::free_space_loss_cdb(distance, policy.frequency_khz);
        let strongest = radiated - loss + i64::from(policy.margin_cdb);
        let (rssi, snr) = (i64::from(heard.reception.rssi), i64::from(heard.reception.snr));
        held(rssi <= strongest, Reason::RssiAboveFreeSpace, rssi, strongest)?;
        let (floor, snr_min) = (i64::from(policy.floor_cdbm), i64::from(policy.snr_min_cdb));
        held(rssi >= floor, Reason::RssiBelowFloor, rssi, floor)?;
        held(snr >= snr_min, Reason::SnrTooLow, snr, snr_min)
    }
}

impl Radio<'_> {
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

impl Judge for Radio<'_> {
    fn judge(&self, challenge: &Challenge) -> Judgement {
        let failed = |fault, evidence| Judgement { fault: Some(fault), evidence };
        let sent = match self.sent.get(&(challenge.slot, challenge.lease)) {
            Some((_, Ok(sent))) => sent,
            Some((_, Err(fault))) => return failed(*fault, vec![]),
            None => return failed(Fault::plain(Reason::NoReveal), vec![]),
        };
        let mut evidence = vec![sent.reveal];
        if let Err(fault) = self.place(challenge.device) {
            return failed(fault, evidence);
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
        let limit = i64::from(self.case.policy.coverage.min_witnesses);
        if valid >= limit {
            return Judgement { fault: None, evidence };
        }
        // A witness that was refused explains more than a count.
        let few = Fault { reason: Reason::TooFewWitnesses, measured: valid, limit };
        failed(rejected.unwrap_or(few), evidence)
    }

    /// At most one penalty per device and slot: a lie about two leases is one act.
    fn penalties(&self) -> Vec<Penalty> {
        let mut penalties: BTreeMap<(u64, u64), Penalty> = BTreeMap::new();
        for ((slot, lease), (transmitter, sent)) in &self.sent {
            let Ok(sent) = sent else { continue };
            let measured = i64::try_from(*lease).unwrap_or(i64::MAX);
            let fault = Fault { reason: Reason::FalseWitness, measured, limit: 0 };
            for device in self.false_witnesses(*slot, *lease, *transmitter, sent) {
                penalties.entry((*slot, device)).or_insert(Penalty { device, slot: *slot, fault });
            }
        }
        penalties.into_values().collect()
    }
}
