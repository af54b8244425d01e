//! The registry and the hub of a run: who is configured, what is taken, what is told when it is final.

use alloy_primitives::B256;
use oracle_core::effect::{Input, Transmission};
use oracle_core::handover::{NewKey, Start};
use oracle_core::report::header_digest;
use oracle_core::term::Term;
use oracle_core::typed::{Header, Rotation};

use crate::given::{EPOCH_MS, LAG_MS, snapshot};
use crate::world::{Event, World};

/// Time from a transaction to its finality.
const FINALITY_MS: u64 = 300;

impl World {
    /// Governance configures the new term: everybody in it sits down, the old one waits for its key.
    pub(crate) fn configure(&mut self) {
        self.keys.insert(0, Vec::new());
        let term = self.terms[&2].clone();
        for index in 0..self.processes.len() {
            self.processes[index].seat(index, &term, self.now);
        }
        self.tell_all(2, &Input::Follows);
        self.tell_all(1, &Input::Successor { term: Box::new(term) });
        let genesis = self.genesis.unwrap_or_default();
        for epoch in 0..=(self.now - genesis) / EPOCH_MS {
            let input = Input::Snapshot { epoch, snapshot: snapshot(epoch) };
            self.tell_all(2, &input);
        }
        if self.climate.forced {
            let dead: Vec<usize> = self.climate.old.iter().copied().filter(|i| !self.climate.new.contains(i)).collect();
            for index in dead {
                self.processes[index].die();
            }
        }
    }

    pub(crate) fn rotated(&mut self, start: Start, key: Vec<u8>) {
        let genesis_ms = self.genesis.unwrap_or_default();
        self.keys.insert(2, key);
        self.tell_all(1, &Input::Ends(Box::new(start.clone())));
        self.tell_all(2, &Input::Begins(Box::new(start.clone())));
        self.tell_all(2, &Input::Activated { genesis_ms });
        self.start = Some(start);
    }

    /// The registry and the hub.
    pub(crate) fn transmit(&mut self, from: usize, term: u64, what: Transmission) {
        match what {
            Transmission::Activate { group_key, .. } if self.genesis.is_none() => {
                let genesis_ms = self.now + 2_000;
                self.genesis = Some(genesis_ms);
                self.keys.insert(1, group_key);
                self.tell_all(1, &Input::Activated { genesis_ms });
                self.after(2_000, Event::NewEpoch(0));
                self.after(2_000 + EPOCH_MS * 2, Event::Configure);
            }
            Transmission::Activate { .. } if term == 2 => {
                self.incidents.push(format!("process {from} would activate a term that follows another"));
            }
            Transmission::Rotate { rotation, certificate, key } => self.rotate(&rotation, &certificate, &key),
            Transmission::Report { header, .. } => self.post(&header),
            _ => {}
        }
    }

    /// `CommitteeRegistry.rotate`, and its finality.
    fn rotate(&mut self, rotation: &Rotation, certificate: &[u8], key: &NewKey) {
        let (old, new) = (self.terms[&1].clone(), self.terms[&2].clone());
        let group = self.keys[&1].as_slice().try_into().map(aggregator::GroupKey::from_eip2537).expect("256 bytes");
        let signature =
            aggregator::Signature::from_onchain(certificate.try_into().expect("96 bytes")).expect("a point");
        let digest = old.scope.digest(rotation);
        if group.expect("a key").verify(&digest.0, &signature).is_err() || key.check(&new).is_err() {
            return self.incidents.push("a rotation that the registry would refuse".into());
        }
        let start_of = self.genesis.unwrap_or_default() + rotation.fromEpoch * EPOCH_MS;
        let taken = self.start.is_none() && start_of > self.now + 2 * LAG_MS;
        if self.rotations_lost < self.climate.lost_rotations {
            // Every member's transaction of one attempt is lost.
            self.rotations_lost += u32::from(start_of > self.now);
            return;
        }
        if taken && !self.climate.forced {
            let start = self.start_at(rotation.fromEpoch, rotation.baseHeader, false);
            self.after(FINALITY_MS, Event::Rotated(Box::new(start), key.group_key.to_vec()));
        }
    }

    fn start_at(&self, from_epoch: u64, base: B256, forced: bool) -> Start {
        let previous = Term { genesis_ms: self.genesis, ..self.terms[&1].clone() };
        let bases = if forced { self.bases() } else { Vec::new() };
        Start { from_epoch, base, forced, previous, previous_key: self.keys[&1].clone(), bases }
    }

    fn post(&mut self, header: &Header) {
        let (stream, epoch) = (header.stream, header.epoch);
        if self.posted.get(&stream).is_some_and(|(last, _)| *last >= epoch) {
            return;
        }
        self.posted.insert(stream, (epoch, header_digest(&self.terms[&header.term], header)));
        [1, 2].into_iter().for_each(|term| self.tell_all(term, &Input::Posted { stream, epoch }));
    }

    /// The last header on the chain of every stream.
    fn bases(&self) -> Vec<(u32, B256)> {
        self.posted.iter().map(|(stream, (_, digest))| (*stream, *digest)).collect()
    }

    /// Governance rotates by itself once the new key is offered and the old term is dead.
    pub(crate) fn force(&mut self, key: &NewKey) {
        if self.start.is_some() || key.check(&self.terms[&2]).is_err() || self.keys.contains_key(&2) {
            return;
        }
        self.keys.insert(2, Vec::new());
        let from_epoch = self.epoch() + 3;
        let base = oracle_core::handover::base_root(&self.bases());
        let start = self.start_at(from_epoch, base, true);
        self.after(FINALITY_MS, Event::Rotated(Box::new(start), key.group_key.to_vec()));
    }
}
