//! What is known of devices whatever their class: messages counted, proven places, endorsements, and what classes keep of
//! them. Leaves out: what any of it means for a verdict (`class`).

use std::collections::{BTreeMap, BTreeSet};

use attest::{Body, Class as Message};

use super::EpochInput;
use super::tally::Tally;
use crate::class::{Items, Said};
use crate::observation::BY_ALWAYS;
use crate::policy::Book;
use crate::state::DeviceState;
use crate::{endorse, limits};

/// The device states with this epoch's messages, and the devices whose boot message named a wrong place.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// By device.
    pub devices: BTreeMap<u64, DeviceState>,
    /// Devices whose boot message of this epoch does not open the commitment on chain.
    pub misplaced: BTreeSet<u64>,
}

impl Facts {
    /// Carries the device states forward. Devices gone from the chain are dropped.
    pub(super) fn of(input: &EpochInput<'_>, tally: &Tally, items: &Items<'_>) -> Self {
        let still = |state: &&DeviceState| input.snapshot.devices.contains_key(&state.device);
        let carried = input.state.devices.iter().filter(still).map(|state| (state.device, state.clone()));
        let mut facts = Self { devices: carried.collect(), misplaced: BTreeSet::new() };
        for (device, listed) in &tally.devices {
            let state = facts.of_device(*device);
            state.messages = state.messages.saturating_add(listed.messages);
        }
        facts.places(input, items);
        facts.endorsements(input, items);
        facts.folds(input, items);
        facts
    }

    fn of_device(&mut self, device: u64) -> &mut DeviceState {
        self.devices.entry(device).or_insert_with(|| DeviceState { device, ..DeviceState::default() })
    }

    fn places(&mut self, input: &EpochInput<'_>, items: &Items<'_>) {
        for (device, _, boots) in items.all(Message::Boot) {
            let registered = input.snapshot.devices.get(&device).map_or([0; 32], |record| record.location);
            for item in boots {
                let claims = item.counts(BY_ALWAYS, input.term.f());
                let Some(Body::Boot(attest::BootBody { location: Some(place), .. })) = claims.map(|said| said.body)
                else {
                    continue;
                };
                if place.is_on_earth() && attest::location_commitment(&place) == registered {
                    self.of_device(device).place = Some((place.lat, place.lon));
                } else {
                    self.misplaced.insert(device);
                }
            }
        }
    }

    fn endorsements(&mut self, input: &EpochInput<'_>, items: &Items<'_>) {
        for (device, _, endorsements) in items.all(Message::Endorsement) {
            let Some(record) = input.snapshot.devices.get(&device) else { continue };
            for item in endorsements {
                let claims = item.counts(BY_ALWAYS, input.term.f());
                let Some(Body::Endorsement(said)) = claims.map(|said| said.body) else { continue };
                let known = &mut self.of_device(device).endorsed;
                endorse::learn(input.book, &record.key, known, said.certificate());
            }
        }
    }

    /// Has the device's class go through its messages. The same whatever the policy: the first of the book speaks.
    fn folds(&mut self, input: &EpochInput<'_>, items: &Items<'_>) {
        for state in self.devices.values_mut() {
            let before = core::mem::take(&mut state.folds);
            let Some(record) = input.snapshot.devices.get(&state.device) else { continue };
            let Some(one) = input.book.of_class(record.class).next() else { continue };
            let kept = before.iter().find(|(class, _)| *class == record.class).map_or(&[][..], |(_, fold)| fold);
            let said = Said {
                device: state.device,
                record,
                items,
                faults: input.term.f(),
                first_slot: first_slot(input, input.book, record.class),
            };
            let fold = one.class.fold(kept, &said);
            // A class keeps to the bound; were it not to, what stood before stands.
            let fold = if fold.len() > limits::FOLD_BYTES_MAX { kept.to_vec() } else { fold };
            if !fold.is_empty() {
                state.folds.push((record.class, fold.into()));
            }
        }
    }
}

/// The first slot that any challenge of a class is due for in this epoch; the epoch's own first slot without challenges.
fn first_slot(input: &EpochInput<'_>, book: &Book, class: u8) -> u64 {
    let lags = book.of_class(class).filter_map(|one| one.lag_ms(book.conduct.gossip_allowance_ms));
    input.term.slots_due(input.epoch, lags.max().unwrap_or(0)).start
}
