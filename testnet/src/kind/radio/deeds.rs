//! What hotspots truly did, by the diaries of all of them together: a transmission counts when another heard it plausibly and
//! said so in time; a lone wrong reception is a lie where the truth is known. Leaves out: pay (`expect`).

use std::collections::{BTreeMap, BTreeSet};

use attest::Location;

use crate::deeds::{Account, Book, Facts, Verdict, challenged, weigh};
use crate::device::Entry;
use crate::expect::Lease;
use crate::rules::links;

/// What each hotspot is owed, in the order of `books`.
pub(super) fn accounts(books: &[&Book<'_>], facts: &Facts) -> Vec<Account> {
    let air = Air::read(books, facts);
    let account = |book: &&Book<'_>| {
        let lies = air.lies(book.unit.token);
        weigh(book, facts, lies, |slot| air.met(book.lease.lease, slot))
    };
    books.iter().map(account).collect()
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
    fn read(books: &[&Book<'_>], facts: &Facts) -> Self {
        let mut air = Self {
            sent: BTreeMap::new(),
            revealed: BTreeSet::new(),
            listed: BTreeMap::new(),
            witnessed: BTreeSet::new(),
            lies: BTreeSet::new(),
        };
        let places: BTreeMap<u64, Location> =
            books.iter().filter_map(|book| Some((book.lease.lease, book.unit.location?))).collect();
        for book in books {
            air.note_sent(book, facts);
        }
        for book in books {
            air.note_heard(book, &places);
        }
        for book in books {
            air.note_lies(&book.lease, &challenged(&book.lease, facts));
        }
        air
    }

    fn note_sent(&mut self, book: &Book<'_>, facts: &Facts) {
        let (lease, deadline) = (book.lease.lease, book.lease.rules.deadline_ms);
        let mut witness = BTreeSet::new();
        let mut reveal = BTreeSet::new();
        for entry in &book.entries {
            match entry {
                Entry::Transmitted { slot, payload, attenuation_db, .. } => {
                    self.sent.insert((lease, *slot), (payload.clone(), *attenuation_db));
                }
                Entry::Sent { at_ms, class, slot: Some(slot), .. } => {
                    let after = at_ms.saturating_sub(facts.clock.start(*slot));
                    if class == "witness" && after <= deadline {
                        witness.insert(*slot);
                    }
                    if class == "reveal" && after > deadline && after <= 2 * deadline {
                        reveal.insert(*slot);
                    }
                }
                _ => {}
            }
        }
        self.revealed.extend(reveal.iter().map(|slot| (lease, *slot)));
        self.witnessed.extend(witness.intersection(&reveal).map(|slot| (book.unit.token, *slot)));
    }

    fn note_heard(&mut self, book: &Book<'_>, places: &BTreeMap<u64, Location>) {
        // What the radio delivered, with its strength; what the reveal listed may be something else.
        let mut frames: BTreeMap<(u64, u64), (String, i32, i32)> = BTreeMap::new();
        for entry in &book.entries {
            match entry {
                Entry::Heard { slot, lease, payload, rssi, snr, .. } => {
                    frames.insert((*lease, *slot), (payload.clone(), *rssi, *snr));
                }
                Entry::Revealed { slot, lease, payload, .. } => {
                    let attenuation = self.sent.get(&(*lease, *slot)).map_or(0, |(_, attenuation)| *attenuation);
                    let known = places.get(lease).zip(places.get(&book.lease.lease));
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
        let Some(heard) = self.listed.get(&(lease, slot)) else { return Verdict::Spared };
        let mut matching = heard.iter().filter(|one| one.payload == *payload && one.plausible).peekable();
        if matching.peek().is_none() {
            return Verdict::Spared;
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
    let decibel = |hundredths: i32| f64::from(hundredths) / 100.0;
    let (rssi, snr, slack) = (decibel(rssi), decibel(snr), decibel(links::RECEIVER_SLACK_CDB));
    let nearest = distance - f64::from(links::LOCATION_SLACK_M);
    let loss = 20.0 * nearest.max(1.0).log10() + 20.0 * (f64::from(links::FREQUENCY_KHZ) / 1000.0).log10() - 27.55;
    let radiated = decibel(links::EIRP_CDBM) - f64::from(attenuation_db);
    let strongest = radiated + decibel(links::GAIN_RX_CDB) - loss + decibel(links::MARGIN_CDB);
    // The signal alone: a reading measures signal and noise together.
    let signal = rssi + snr - 10.0 * (1.0 + 10f64.powf(snr / 10.0)).log10();
    // Thermal noise at 290 K, and what the spreading factor decodes: -20 dB at 12.
    let noise = 10.0 * (f64::from(links::BANDWIDTH_KHZ) * 1000.0).log10() - 173.975;
    let lowest = -2.5 * (f64::from(links::SPREADING_FACTOR) - 4.0);
    distance >= f64::from(links::MIN_DISTANCE_M)
        && nearest <= f64::from(links::MAX_DISTANCE_M)
        && signal <= strongest
        && rssi >= noise + snr.max(lowest) - slack
        && snr >= lowest - slack
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
