//! From listings to verified evidence: which ids bear on a verdict, what their bytes say, which of them are forked.
//!
//! An id fixes everything but the signature. Bytes that do not hash to their id, or whose signature is bad, count as
//! *missing*: somebody spoiled them, and honest holders have the good ones. Evidence that cannot be what its listing
//! says, whatever its signature, says nothing. So the outcome never depends on who holds which bytes.

use std::collections::{BTreeMap, BTreeSet};

use attest::{Body, Class, PublicKey, VerifyError};

use super::tally::{Count, Listing, Tally};
use super::{EpochInput, ReportError};
use crate::class::{self, Challenge, Item, Items, Reveal, Said};
use crate::effect::Content;
use crate::state::{Chain, DeviceState};
use crate::{endorse, ingest, limits, verify};

/// Verified items, and the ids that were read for them.
pub(super) struct Evidence {
    pub(super) items: Items,
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

/// Reads and verifies everything that bears on a verdict.
pub(super) fn resolve(
    input: &EpochInput<'_>,
    verified: &BTreeSet<[u8; 32]>,
    tally: &Tally,
    challenges: &BTreeMap<u8, Vec<Challenge>>,
) -> Result<Evidence, ReportError> {
    let bearing = bearing(input, tally, challenges);
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
            let said = said.filter(|(slot, _)| *slot == listing.1).map(|(_, said)| said.clone());
            items.push(*device, listing.0, listing.1, item(listing, count, forked.contains(&listing.4), said));
        }
    }
    Ok(Evidence { items, used: wants.into_iter().map(|want| want.id).collect() })
}

fn want(device: u64, listing: &Listing) -> Want {
    let (kind, _, boot, seq, id) = *listing;
    Want { device, id, kind, boot, seq }
}

fn item(listing: &Listing, count: &Count, forked: bool, said: Option<Said>) -> Item {
    let (_, _, boot, seq, id) = *listing;
    Item { boot, seq, id, in_time: count.in_time, listed: count.listed, forked, said }
}

/// Listings, by device, that count and bear on a verdict. Devices nothing is asked of are there with none.
fn bearing(
    input: &EpochInput<'_>,
    tally: &Tally,
    challenges: &BTreeMap<u8, Vec<Challenge>>,
) -> BTreeMap<u64, BTreeSet<Listing>> {
    let faults = input.term.f();
    let mut bearing = BTreeMap::new();
    for class in class::ALL {
        let drawn = challenges.get(&class.number()).map_or(&[][..], Vec::as_slice);
        let here: BTreeSet<(u64, u64)> = drawn.iter().map(|one| (one.device, one.slot)).collect();
        let anywhere: BTreeSet<u64> = drawn.iter().map(|one| one.slot).collect();
        for (device, listed) in &tally.devices {
            let record = input.snapshot.devices.get(device);
            if !record.is_some_and(|record| record.active && record.class == class.number()) {
                continue;
            }
            let bears = |(kind, slot, ..): &Listing| {
                Class::from_u8(*kind).is_some_and(|kind| {
                    let asked = kind == Class::Endorsement && input.policy.endorsements.asks(class.number());
                    asked || class.wants(kind, here.contains(&(*device, *slot)), anywhere.contains(slot))
                })
            };
            let counting = listed.items.iter().filter(|(listing, count)| count.in_time > faults && bears(listing));
            bearing.insert(*device, counting.map(|(listing, _)| *listing).collect());
        }
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
fn read(
    input: &EpochInput<'_>,
    verified: &BTreeSet<[u8; 32]>,
    wants: &BTreeSet<Want>,
) -> Result<BTreeMap<Want, (u64, Said)>, ReportError> {
    let network = input.term.scope.network();
    let (mut said, mut missing, mut checks) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for want in wants {
        let Some(key) = input.snapshot.devices.get(&want.device).map(|device| &device.key) else { continue };
        match parse(input.blobs.get(&want.id), want, key, &network) {
            Err(Unusable::Missing) => drop(missing.insert(want.id)),
            Err(Unusable::Other) => {}
            Ok((class, envelope, slot, what)) => {
                if !verified.contains(&want.id) {
                    checks.push((*want, (class, envelope, key)));
                }
                said.insert(*want, (slot, what));
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

type Parsed<'a> = (Class, attest::Envelope<'a>, u64, Said);

/// Form, id, key id and numbers; everything but the signature.
fn parse<'a>(
    content: Option<&'a Content>,
    want: &Want,
    key: &PublicKey,
    network: &attest::Network,
) -> Result<Parsed<'a>, Unusable> {
    let content = content.ok_or(Unusable::Missing)?;
    let class = Class::from_u8(content.class).ok_or(Unusable::Missing)?;
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
    let said = match &claims.body {
        Body::Boot(boot) => Said::Boot(boot.location),
        Body::Commitment(made) => Said::Commitment(made.first_slot, made.length, made.anchor),
        Body::Answer(answer) => Said::Answer(answer.lease, claims.nonce.unwrap_or_default()),
        Body::Witness(witness) => Said::Witness(witness.commitment),
        Body::Reveal(reveal) => Said::Reveal(Reveal {
            secret: reveal.secret,
            salt: reveal.salt,
            receptions: reveal.receptions.iter().collect(),
        }),
        Body::Endorsement(body) => Said::Endorsement(body.certificate().to_vec()),
        _ => Said::Other,
    };
    Ok((class, envelope, ingest::slot_of(&claims.body), said))
}

/// Device states with this epoch's boots and commitments, and the devices whose boot named a wrong place.
pub(super) struct Places {
    pub(super) devices: BTreeMap<u64, DeviceState>,
    pub(super) misplaced: BTreeSet<u64>,
}

/// Carries the device states forward: messages, places, chains. Devices gone from the chain are dropped.
pub(super) fn places(input: &EpochInput<'_>, tally: &Tally, items: &Items) -> Places {
    let still = |state: &&DeviceState| input.snapshot.devices.contains_key(&state.device);
    let carried = input.state.devices.iter().filter(still).map(|state| (state.device, state.clone()));
    let mut devices: BTreeMap<u64, DeviceState> = carried.collect();
    let faults = input.term.f();
    for (device, listed) in tally.devices.iter().filter(|(_, listed)| listed.messages > 0) {
        let state = of(&mut devices, *device);
        state.messages = state.messages.saturating_add(listed.messages);
    }
    let mut misplaced = BTreeSet::new();
    for (device, _, boots) in items.all(Class::Boot) {
        let registered = input.snapshot.devices.get(&device).map_or([0; 32], |record| record.location);
        for item in boots {
            let Some(Said::Boot(Some(place))) = item.counts(faults) else { continue };
            if place.is_on_earth() && attest::location_commitment(place) == registered {
                of(&mut devices, device).location = Some((place.lat, place.lon));
            } else {
                misplaced.insert(device);
            }
        }
    }
    for (device, _, commitments) in items.all(Class::Commitment) {
        for item in commitments {
            let Some(Said::Commitment(first_slot, length, anchor)) = item.counts(faults) else { continue };
            let chain = Chain { first_slot: *first_slot, length: *length, anchor: (*anchor).into() };
            add_chain(&mut of(&mut devices, device).chains, chain);
        }
    }
    for (device, _, endorsements) in items.all(Class::Endorsement) {
        let Some(record) = input.snapshot.devices.get(&device) else { continue };
        for item in endorsements {
            let Some(Said::Endorsement(certificate)) = item.counts(faults) else { continue };
            let state = of(&mut devices, device);
            state.endorsed = endorse::learn(input.policy, &record.key, state.endorsed, certificate);
        }
    }
    retire_chains(input, &mut devices);
    Places { devices, misplaced }
}

fn of(devices: &mut BTreeMap<u64, DeviceState>, device: u64) -> &mut DeviceState {
    devices.entry(device).or_insert_with(|| DeviceState { device, ..DeviceState::default() })
}

/// Keeps chains ascending by (first slot, length, anchor), each once, the newest few.
fn add_chain(chains: &mut Vec<Chain>, chain: Chain) {
    let key = |chain: &Chain| (chain.first_slot, chain.length, chain.anchor);
    if let Err(place) = chains.binary_search_by_key(&key(&chain), key) {
        chains.insert(place, chain);
    }
    let surplus = chains.len().saturating_sub(limits::COMMITMENTS_PER_DEVICE_MAX);
    chains.drain(..surplus);
}

/// Drops chains whose last slot was due before this epoch, and states that say nothing.
fn retire_chains(input: &EpochInput<'_>, devices: &mut BTreeMap<u64, DeviceState>) {
    let first = super::beacon_range(input.term, input.policy, input.epoch).start;
    for state in devices.values_mut() {
        state.chains.retain(|chain| chain.first_slot.saturating_add(u64::from(chain.length)) > first);
    }
    devices.retain(|_, state| {
        state.messages > 0 || state.location.is_some() || !state.chains.is_empty() || state.endorsed.is_some()
    });
}
