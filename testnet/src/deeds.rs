//! From the devices' diaries to what each lease's device did about its challenges: which it met, which it lost to a planned
//! fault, and which it lost to something that nobody planned. Own code throughout; the core's verdicts are not looked at.
//! Leaves out: pay (`expect`).

use std::collections::{BTreeMap, BTreeSet};

use attest::Location;

use crate::device::diary::Entry;
use crate::expect::{Deeds, Lease, Rules, Slot, Slots, draw, due_in, is_drawn};
use crate::fleet::{Fault, Unit};
use crate::rules;

/// A device with its diary.
#[derive(Clone, Debug)]
pub struct Book<'a> {
    /// The device.
    pub unit: &'a Unit,
    /// Its diary, in order.
    pub entries: Vec<Entry>,
}

/// What came out of a diary.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// For the calculation.
    pub deeds: Deeds,
    /// Losses and delays that no planned fault explains, each a sentence naming device and slot.
    pub unexplained: Vec<String>,
    /// Ids of evidence that a broker took (PUBACK), forked pairs included.
    pub taken: BTreeSet<String>,
    /// Ids of evidence for which the device holds receipts of f+1 members.
    pub acknowledged: BTreeSet<String>,
}

/// Reads every diary against the beacons. `leases` are in the order of `books`.
#[must_use]
pub fn accounts(books: &[Book<'_>], leases: &[Lease], clock: &Rules, slots: &Slots) -> Vec<Account> {
    let challenged: Vec<BTreeSet<u64>> = leases.iter().map(|lease| challenged(lease, clock, slots)).collect();
    let air = Air::read(books, leases, clock, &challenged);
    let each = books.iter().zip(leases).zip(&challenged);
    each.map(|((book, lease), challenged)| {
        let mut account = Account::default();
        for entry in &book.entries {
            match entry {
                Entry::Acked { id, .. } => drop(account.taken.insert(id.clone())),
                Entry::Acknowledged { id, .. } => drop(account.acknowledged.insert(id.clone())),
                _ => {}
            }
        }
        for slot in challenged {
            let verdict = if book.unit.plan.class == 2 {
                air.met(lease.lease, *slot)
            } else {
                answered(book, lease.lease, *slot, clock)
            };
            match verdict {
                Verdict::Met => drop(account.deeds.met.insert(*slot)),
                Verdict::Late(what) => {
                    account.deeds.met.insert(*slot);
                    account.unexplained.push(format!("{} slot {slot}: {what}", book.unit.plan.name));
                }
                Verdict::Lost(what) if !explained(book, *slot, clock) => {
                    account.unexplained.push(format!("{} slot {slot}: {what}", book.unit.plan.name));
                }
                Verdict::Lost(_) | Verdict::Unheard => {}
            }
        }
        account.deeds.lies = air.lies(book.unit.token);
        account
    })
    .collect()
}

enum Verdict {
    Met,
    /// In time for the committee, but later than an honest device should be.
    Late(String),
    /// Not met.
    Lost(String),
    /// Transmitted, but the air carried it to nobody: bad luck, not a fault.
    Unheard,
}

/// Slots in which the lease is challenged, by the beacons.
fn challenged(lease: &Lease, clock: &Rules, slots: &Slots) -> BTreeSet<u64> {
    let within = |slot: u64| {
        let at = clock.genesis_ms + slot * clock.slot_ms;
        at >= lease.start * 1000 && at < lease.end * 1000
    };
    let drawn = |slot: &Slot| {
        slot.seed.is_some_and(|seed| is_drawn(&draw(&seed, lease.device, lease.lease), clock.challenge_p))
    };
    let here = |epoch: u64, slot: u64| due_in(clock, lease.lag_ms, slot) == epoch;
    let asked = slots
        .iter()
        .filter(|((epoch, number), slot)| here(*epoch, *number) && within(*number) && !slot.void && drawn(slot));
    asked.map(|((_, number), _)| *number).collect()
}

/// Whether the device's own planned fault accounts for losing the slot.
fn explained(book: &Book<'_>, slot: u64, clock: &Rules) -> bool {
    match book.unit.plan.fault {
        Fault::Silent(from) => slot * clock.slot_ms + rules::ANSWER_MS > from,
        Fault::Fork(_) => forked(&book.entries).iter().any(|(_, of)| *of == Some(slot)),
        Fault::None | Fault::Replay | Fault::FalseWitness => false,
    }
}

/// (boot, sequence) and slot of everything signed twice.
fn forked(entries: &[Entry]) -> BTreeSet<((u32, u64), Option<u64>)> {
    let twice = entries.iter().filter_map(|entry| match entry {
        Entry::Sent { fork: true, boot, seq, slot, .. } => Some(((*boot, *seq), *slot)),
        _ => None,
    });
    twice.collect()
}

/// An uptime challenge: one answer, not forked, in time.
fn answered(book: &Book<'_>, own: u64, wanted: u64, clock: &Rules) -> Verdict {
    let forks: BTreeSet<(u32, u64)> = forked(&book.entries).into_iter().map(|(number, _)| number).collect();
    let start = clock.genesis_ms + wanted * clock.slot_ms;
    let sent = book.entries.iter().filter_map(|entry| match entry {
        Entry::Sent { at_ms, class, boot, seq, slot, lease, .. }
            if class == "answer" && *slot == Some(wanted) && *lease == Some(own) && !forks.contains(&(*boot, *seq)) =>
        {
            Some(at_ms.saturating_sub(start))
        }
        _ => None,
    });
    match sent.min() {
        Some(after) if after <= rules::ANSWER_MS => Verdict::Met,
        Some(after) if after <= rules::ANSWER_MS + rules::GOSSIP_MS => {
            Verdict::Late(format!("answered after {after} ms"))
        }
        Some(after) => Verdict::Lost(format!("answered after {after} ms")),
        None => Verdict::Lost("not answered".into()),
    }
}

/// One reception that a reveal listed, true or not.
struct Reception {
    /// The hearer's token.
    hearer: u64,
    payload: String,
    /// Whether the radio delivered it, at a strength that physics allows.
    plausible: bool,
}

/// What all hotspots sent and heard.
struct Air {
    /// By (lease, slot): payload and dB below full power.
    sent: BTreeMap<(u64, u64), (String, u8)>,
    /// Slots whose reveal went out in time, by lease.
    revealed: BTreeSet<(u64, u64)>,
    /// By (lease said to be heard, slot): what reveals list.
    listed: BTreeMap<(u64, u64), Vec<Reception>>,
    /// (hearer's token, slot) whose witness and reveal went out in time.
    witnessed: BTreeSet<(u64, u64)>,
    /// (liar's token, slot): proven lies, one per slot however many leases it lied about.
    lies: BTreeSet<(u64, u64)>,
}

impl Air {
    fn read(books: &[Book<'_>], leases: &[Lease], clock: &Rules, challenged: &[BTreeSet<u64>]) -> Self {
        let mut air = Self {
            sent: BTreeMap::new(),
            revealed: BTreeSet::new(),
            listed: BTreeMap::new(),
            witnessed: BTreeSet::new(),
            lies: BTreeSet::new(),
        };
        let places: BTreeMap<u64, Location> =
            books.iter().zip(leases).filter_map(|(book, lease)| Some((lease.lease, book.unit.location?))).collect();
        for (book, lease) in books.iter().zip(leases).filter(|(book, _)| book.unit.plan.class == 2) {
            air.note_sent(book, lease.lease, clock);
        }
        for (book, lease) in books.iter().zip(leases).filter(|(book, _)| book.unit.plan.class == 2) {
            air.note_heard(book, lease.lease, &places);
        }
        for (lease, slots) in leases.iter().zip(challenged) {
            air.note_lies(lease, slots);
        }
        air
    }

    fn note_sent(&mut self, book: &Book<'_>, lease: u64, clock: &Rules) {
        let mut witness = BTreeSet::new();
        let mut reveal = BTreeSet::new();
        for entry in &book.entries {
            match entry {
                Entry::Transmitted { slot, payload, attenuation_db, .. } => {
                    self.sent.insert((lease, *slot), (payload.clone(), *attenuation_db));
                }
                Entry::Sent { at_ms, class, slot: Some(slot), .. } => {
                    let after = at_ms.saturating_sub(clock.genesis_ms + slot * clock.slot_ms);
                    if class == "witness" && after <= rules::ANSWER_MS {
                        witness.insert(*slot);
                    }
                    if class == "reveal" && after > rules::ANSWER_MS && after <= 2 * rules::ANSWER_MS {
                        reveal.insert(*slot);
                    }
                }
                _ => {}
            }
        }
        self.revealed.extend(reveal.iter().map(|slot| (lease, *slot)));
        self.witnessed.extend(witness.intersection(&reveal).map(|slot| (book.unit.token, *slot)));
    }

    fn note_heard(&mut self, book: &Book<'_>, own: u64, places: &BTreeMap<u64, Location>) {
        // What the radio delivered, with its strength; what the reveal listed may be something else.
        let mut frames: BTreeMap<(u64, u64), (String, i32, i32)> = BTreeMap::new();
        for entry in &book.entries {
            match entry {
                Entry::Heard { slot, lease, payload, rssi, snr, .. } => {
                    frames.insert((*lease, *slot), (payload.clone(), *rssi, *snr));
                }
                Entry::Revealed { slot, lease, payload, .. } => {
                    let attenuation = self.sent.get(&(*lease, *slot)).map_or(0, |(_, attenuation)| *attenuation);
                    let known = places.get(lease).zip(places.get(&own));
                    let plausible = frames.get(&(*lease, *slot)).is_some_and(|(frame, rssi, snr)| {
                        frame == payload && known.is_some_and(|(a, b)| plausible(a, b, *rssi, *snr, attenuation))
                    });
                    let listed = self.listed.entry((*lease, *slot)).or_default();
                    listed.push(Reception { hearer: book.unit.token, payload: payload.clone(), plausible });
                }
                _ => {}
            }
        }
    }

    /// Receptions of a transmitter that others listed in time.
    fn counting(&self, transmitter: u64, lease: u64, slot: u64) -> Vec<&Reception> {
        let listed = self.listed.get(&(lease, slot)).into_iter().flatten();
        listed.filter(|one| one.hearer != transmitter && self.witnessed.contains(&(one.hearer, slot))).collect()
    }

    /// A wrong reception is its hearer's lie, and not the doing of a transmitter with two radios, when the transmitter was
    /// challenged and revealed what it sent, somebody plausibly heard that, and nobody else lists the same wrong payload.
    fn note_lies(&mut self, lease: &Lease, challenged: &BTreeSet<u64>) {
        for slot in challenged.iter().filter(|slot| self.revealed.contains(&(lease.lease, **slot))) {
            let Some((sent, _)) = self.sent.get(&(lease.lease, *slot)) else { continue };
            let counting = self.counting(lease.device, lease.lease, *slot);
            if !counting.iter().any(|one| one.payload == *sent && one.plausible) {
                continue;
            }
            // Whoever else lists it, and be it the transmitter itself, is company.
            let everyone = || self.listed.get(&(lease.lease, *slot)).into_iter().flatten();
            let in_time = |one: &&Reception| self.witnessed.contains(&(one.hearer, *slot));
            let alone = |payload: &str| everyone().filter(in_time).filter(|one| one.payload == payload).count() == 1;
            let wrong = counting.iter().filter(|one| one.payload != *sent && alone(&one.payload));
            let liars: Vec<(u64, u64)> = wrong.map(|one| (one.hearer, *slot)).collect();
            self.lies.extend(liars);
        }
    }

    fn lies(&self, token: u64) -> BTreeSet<u64> {
        self.lies.iter().filter(|(liar, _)| *liar == token).map(|(_, slot)| *slot).collect()
    }

    fn met(&self, lease: u64, slot: u64) -> Verdict {
        let Some((payload, _)) = self.sent.get(&(lease, slot)) else { return Verdict::Lost("not transmitted".into()) };
        if !self.revealed.contains(&(lease, slot)) {
            return Verdict::Lost("its reveal is missing or late".into());
        }
        let Some(heard) = self.listed.get(&(lease, slot)) else { return Verdict::Unheard };
        let mut matching = heard.iter().filter(|one| one.payload == *payload && one.plausible).peekable();
        if matching.peek().is_none() {
            return Verdict::Unheard;
        }
        if matching.any(|one| self.witnessed.contains(&(one.hearer, slot))) {
            Verdict::Met
        } else {
            Verdict::Lost("every witness of it was late".into())
        }
    }
}

/// The physics of docs/protocol.md §9, in floating point and on a sphere.
fn plausible(a: &Location, b: &Location, rssi: i32, snr: i32, attenuation_db: u8) -> bool {
    let distance = metres(a, b);
    let loss = 20.0 * distance.max(1.0).log10() + 20.0 * (f64::from(rules::FREQUENCY_KHZ) / 1000.0).log10() - 27.55;
    let decibel = |hundredths: i32| f64::from(hundredths) / 100.0;
    let strongest = decibel(rules::EIRP_CDBM) - f64::from(attenuation_db) + 2.0 * decibel(rules::GAIN_CDB) - loss
        + decibel(rules::MARGIN_CDB);
    distance >= f64::from(rules::MIN_DISTANCE_M)
        && distance <= f64::from(rules::MAX_DISTANCE_M)
        && decibel(rssi) <= strongest
        && rssi >= rules::FLOOR_CDBM
        && snr >= rules::SNR_MIN_CDB
}

/// Great-circle distance on the mean sphere.
fn metres(a: &Location, b: &Location) -> f64 {
    let radians = |e7: i32| (f64::from(e7) / 1e7).to_radians();
    let (north, east) = (radians(b.lat) - radians(a.lat), radians(b.lon) - radians(a.lon));
    let half = (north / 2.0).sin().powi(2) + radians(a.lat).cos() * radians(b.lat).cos() * (east / 2.0).sin().powi(2);
    2.0 * 6_371_008.8 * half.sqrt().asin()
}

#[cfg(test)]
#[path = "deeds_tests.rs"]
mod tests;
