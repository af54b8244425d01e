//! From listings to verified evidence: which ids bear on a verdict, what their bytes say, which of them are forked.
//!
//! An id fixes everything but the signature. Bytes that do not hash to their id, or whose signature is bad, count as
//! *missing*: somebody spoiled them, and honest holders have the good ones. Evidence that cannot be what its listing
//! says, whatever its signature, says nothing. So the outcome never depends on who holds which bytes.

use std::collections::{BTreeMap, BTreeSet};

use attest::{Class as Message, PublicKey, VerifyError};

use super::ledger::Ledger;
use super::tally::{Listing, Tally};
use super::{EpochInput, ReportError};
use crate::class::{Challenge, Count, InForce, Item, Items, Kind, Need};
use crate::effect::Content;
use crate::observation::BY_ALWAYS;
use crate::{ingest, verify};

/// Verified items, and the ids that were read for them.
pub(super) struct Evidence<'a> {
    pub(super) items: Items<'a>,
    pub(super) used: BTreeSet<[u8; 32]>,
}

/// One piece of evidence that must be read: of which device and kind, numbered how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Want {
    device: u64,
    id: [u8; 32],
    kind: u8,
    boot: u32,
    seq: u64,
}

/// A message's class and payload.
type Said<'a> = (Message, &'a [u8]);

/// Reads and verifies everything that bears on a verdict.
pub(super) fn resolve<'a>(
    input: &EpochInput<'a>,
    verified: &BTreeSet<[u8; 32]>,
    tally: &Tally,
    ledger: &Ledger<'_>,
) -> Result<Evidence<'a>, ReportError> {
    let bearing = bearing(input, tally, ledger);
    let mut wants: BTreeSet<Want> = BTreeSet::new();
    for (device, listings) in &bearing {
        wants.extend(listings.iter().map(|listing| want(*device, listing)));
        wants.extend(forks_among(tally, *device, listings).flatten());
    }
    let said = read(input, verified, &wants)?;
    let mut items = Items::default();
    for (device, listings) in &bearing {
        let mut forked: BTreeSet<[u8; 32]> = BTreeSet::new();
        for pair in forks_among(tally, *device, listings) {
            if pair.iter().all(|want| said.contains_key(want)) {
                forked.extend(pair.iter().map(|want| want.id));
            }
        }
        let all = tally.devices.get(device).map(|listed| &listed.items).into_iter().flatten();
        for (listing, count) in all {
            let said = listings.contains(listing).then(|| said.get(&want(*device, listing))).flatten();
            let said = said.filter(|(slot, _)| *slot == listing.1).map(|(_, said)| *said);
            items.push(*device, listing.0, listing.1, item(listing, count, forked.contains(&listing.4), said));
        }
    }
    Ok(Evidence { items, used: wants.into_iter().map(|want| want.id).collect() })
}

fn want(device: u64, listing: &Listing) -> Want {
    let (kind, _, boot, seq, id) = *listing;
    Want { device, id, kind, boot, seq }
}

fn item<'a>(listing: &Listing, count: &Count, forked: bool, said: Option<Said<'a>>) -> Item<'a> {
    let (_, _, boot, seq, id) = *listing;
    Item { boot, seq, id, held: count.clone(), forked, said }
}

/// What a class asks of its devices in this epoch.
struct Asked<'a> {
    kinds: Vec<&'a Kind>,
    /// Whether some policy asks for endorsements.
    endorsed: bool,
    /// Slots in which a device is challenged, and those in which any is.
    here: BTreeSet<(u64, u64)>,
    anywhere: BTreeSet<u64>,
}

impl<'a> Asked<'a> {
    fn of(input: &EpochInput<'a>, ledger: &Ledger<'_>, class: u8) -> Self {
        let drawn = || ledger.challenges(class);
        Self {
            kinds: input.book.of_class(class).flat_map(|one: &InForce| one.rules.kinds()).collect(),
            endorsed: input.book.policies().any(|(_, policy)| policy.endorsements.asks(class)),
            here: drawn().map(|one: &Challenge| (one.device, one.slot)).collect(),
            anywhere: drawn().map(|one| one.slot).collect(),
        }
    }

    /// Whether an item counts by some deadline, and bears on a verdict.
    fn bears(&self, device: u64, listing: &Listing, count: &Count, faults: u32) -> bool {
        let (message, slot, ..) = *listing;
        let counts = |deadline: u32| count.until(deadline) > faults;
        if message == Message::Endorsement as u8 {
            return self.endorsed && counts(BY_ALWAYS);
        }
        self.kinds.iter().filter(|kind| kind.message as u8 == message).any(|kind| {
            let needed = match kind.need {
                Need::Challenged => self.here.contains(&(device, slot)),
                Need::AnyChallenged => self.anywhere.contains(&slot),
                Need::Always => true,
            };
            needed && counts(kind.last_deadline())
        })
    }
}

/// Listings, by device, that count and bear on a verdict. Devices nothing is asked of are there with none.
fn bearing(input: &EpochInput<'_>, tally: &Tally, ledger: &Ledger<'_>) -> BTreeMap<u64, BTreeSet<Listing>> {
    let mut asked: BTreeMap<u8, Asked<'_>> = BTreeMap::new();
    let mut bearing = BTreeMap::new();
    for (device, listed) in &tally.devices {
        let Some(record) = input.snapshot.devices.get(device).filter(|record| record.active) else { continue };
        let asked = asked.entry(record.class).or_insert_with(|| Asked::of(input, ledger, record.class));
        let counting =
            listed.items.iter().filter(|(listing, count)| asked.bears(*device, listing, count, input.term.f()));
        bearing.insert(*device, counting.map(|(listing, _)| *listing).collect());
    }
    bearing
}

/// Both sides of every listed fork that touches one of these listings.
fn forks_among<'a>(
    tally: &'a Tally,
    device: u64,
    listings: &'a BTreeSet<Listing>,
) -> impl Iterator<Item = [Want; 2]> + 'a {
    let ids: BTreeSet<[u8; 32]> = listings.iter().map(|listing| listing.4).collect();
    let forks = tally.devices.get(&device).map(|listed| &listed.forks).into_iter().flatten();
    forks.filter(move |fork| ids.contains(&*fork.first.1) || ids.contains(&*fork.second.1)).map(move |fork| {
        [&fork.first, &fork.second].map(|(kind, id)| Want {
            device,
            id: **id,
            kind: *kind,
            boot: fork.boot,
            seq: fork.seq,
        })
    })
}

/// What every wanted piece says, with its slot; those that cannot be what they are listed as are left out.
fn read<'a>(
    input: &EpochInput<'a>,
    verified: &BTreeSet<[u8; 32]>,
    wants: &BTreeSet<Want>,
) -> Result<BTreeMap<Want, (u64, Said<'a>)>, ReportError> {
    let network = input.term.scope.network();
    let (mut said, mut missing, mut checks) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for want in wants {
        let Some(key) = input.snapshot.devices.get(&want.device).map(|device| &device.key) else { continue };
        match parse(input.blobs.get(&want.id), want, key, &network) {
            Err(Unusable::Missing) => drop(missing.insert(want.id)),
            Err(Unusable::Other) => {}
            Ok((class, envelope, slot)) => {
                if !verified.contains(&want.id) {
                    checks.push((*want, (class, envelope, key)));
                }
                said.insert(*want, (slot, (class, envelope.payload)));
            }
        }
    }
    let (asked, checks): (Vec<Want>, Vec<_>) = checks.into_iter().unzip();
    for (want, verdict) in asked.iter().zip(verify::all(&checks, &network)) {
        match verdict {
            Ok(_) => {}
            Err(VerifyError::Signature) => drop(missing.insert(want.id)),
            Err(_) => drop(said.remove(want)),
        }
    }
    if missing.is_empty() { Ok(said) } else { Err(ReportError::Missing(missing.into_iter().collect())) }
}

/// Why bytes say nothing.
enum Unusable {
    /// They are absent, or not those of the id.
    Missing,
    /// They are those of the id, and not what the listing says.
    Other,
}

/// Form, id, key id and numbers; everything but the signature. The envelope, and the slot that it is about.
fn parse<'a>(
    content: Option<&'a Content>,
    want: &Want,
    key: &PublicKey,
    network: &attest::Network,
) -> Result<(Message, attest::Envelope<'a>, u64), Unusable> {
    let content = content.ok_or(Unusable::Missing)?;
    let class = Message::from_u8(content.class).ok_or(Unusable::Missing)?;
    let envelope = attest::decode(&content.bytes).map_err(|_| Unusable::Missing)?;
    if attest::evidence_id(class, network, &envelope) != want.id {
        return Err(Unusable::Missing);
    }
    if class as u8 != want.kind || envelope.kid != key.kid() || envelope.alg != key.alg() {
        return Err(Unusable::Other);
    }
    let claims = attest::Claims::decode(class, envelope.payload).map_err(|_| Unusable::Other)?;
    if claims.boot != want.boot || claims.seq != want.seq {
        return Err(Unusable::Other);
    }
    Ok((class, envelope, ingest::slot_of(&claims)))
}
