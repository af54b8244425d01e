//! What must hold at every step, judged from outside the core's own conclusions: from what was heard on the network, from
//! when evidence really arrived, and by an auditor's replay.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use oracle_core::archive::{Bundle, replay};
use oracle_core::effect::CertifiedReport;
use oracle_core::observation::Body;
use oracle_core::policy::Book;
use oracle_core::registry::History;
use oracle_core::report::{Outcome, Verdict, beacon_range, header_digest};
use oracle_core::state::State;
use oracle_core::term::Term;
use oracle_core::typed::Kind;
use oracle_core::wire::{InstanceId, Message, Statement};

use crate::devices::Answer;

/// An answer as the members really received it.
#[derive(Default)]
struct Receipt {
    /// Members that held the answer by its deadline.
    in_time: BTreeSet<u32>,
    /// Members that held a second answer under the same number by then.
    twin: BTreeSet<u32>,
}

/// The observer.
#[derive(Default)]
pub(crate) struct Watch {
    /// Members below this index lie.
    liars: u32,
    /// First value heard of each honest member for each step of each instance.
    audible: BTreeMap<(u32, Vec<u8>), B256>,
    receipts: BTreeMap<(u64, u64), Receipt>,
    /// (stream, epoch) → process → digest.
    certified: BTreeMap<(u32, u64), BTreeMap<usize, B256>>,
    bundles: BTreeMap<(u32, u64), (B256, Vec<u8>)>,
    /// What processes said the decided S names, of epochs that nobody has certified yet.
    settled: BTreeMap<(u32, u64), BTreeSet<[u8; 32]>>,
    /// What the S of certified reports name.
    named: BTreeSet<[u8; 32]>,
    /// By stream: Σ after the epochs that were replayed.
    replayed: BTreeMap<u32, (u64, State)>,
    pub(crate) verdicts: u64,
    /// Leases that passed a challenge.
    pub(crate) passed: BTreeSet<u64>,
    pub(crate) evidence: usize,
    pub(crate) round_changes: u64,
    pub(crate) incidents: Vec<String>,
}

impl Watch {
    pub(crate) fn new(liars: u32) -> Self {
        Self { liars, ..Self::default() }
    }

    pub(crate) fn incident(&mut self, text: String) {
        self.incidents.push(text);
    }

    /// Who has certified an epoch of a stream.
    pub(crate) fn certified_by(&self, stream: u32, epoch: u64) -> Option<&BTreeMap<usize, B256>> {
        self.certified.get(&(stream, epoch))
    }

    pub(crate) fn replayed_epochs(&self, stream: u32) -> u64 {
        self.replayed.get(&stream).map_or(0, |(next, _)| *next)
    }

    /// No honest member may ever be heard saying two things, across crashes too.
    pub(crate) fn listen(&mut self, from: u32, message: &Message) {
        let of_report = |statement: &Statement| statement.instance.kind == Kind::Report as u8;
        let statement: &Statement = match message {
            Message::Observation(statement, _) | Message::Vote(statement) => statement,
            Message::Proposal(proposal) => &proposal.statement,
            Message::RoundChange(change) => {
                self.round_changes += u64::from(of_report(&change.statement));
                &change.statement
            }
            Message::Partial(partial) => &partial.statement,
            _ => return,
        };
        if from < self.liars {
            return;
        }
        let step = oracle_core::wire::encode(&(statement.instance, statement.phase, statement.view));
        let before = *self.audible.entry((from, step)).or_insert(statement.value());
        if before != statement.value() {
            let (phase, epoch) = (statement.phase, statement.instance.epoch);
            self.incident(format!("member {from} signed twice in phase {phase} of epoch {epoch}"));
        }
    }

    /// A member's store has taken an answer.
    pub(crate) fn arrived(&mut self, member: u32, answer: &Answer, in_time: bool) {
        let receipt = self.receipts.entry((answer.lease, answer.slot)).or_default();
        if in_time {
            let list = if answer.twin { &mut receipt.twin } else { &mut receipt.in_time };
            list.insert(member);
        }
    }

    /// A process hands over a certified report.
    pub(crate) fn on_certified(&mut self, process: usize, report: &CertifiedReport, term: &Term) {
        let InstanceId { stream, epoch, .. } = report.instance;
        let digest = header_digest(term, &report.header);
        let by = self.certified.entry((stream, epoch)).or_default();
        by.insert(process, digest);
        if by.values().collect::<BTreeSet<_>>().len() > 1 {
            self.incident(format!("two certified reports of epoch {epoch}, stream {stream}"));
        }
        if self.bundles.contains_key(&(stream, epoch)) {
            return;
        }
        self.settled.remove(&(stream, epoch));
        if let Ok(bundle) = Bundle::decode(&report.bundle) {
            self.named.extend(bundle.content.iter().map(|content| *content.id));
            self.named.extend(bundle.observations.iter().map(|statement| *statement.value));
        }
        self.bundles.insert((stream, epoch), (digest, report.bundle.clone()));
    }

    /// A process says what the decided S of an epoch names; an archived report says it better.
    pub(crate) fn on_settled(&mut self, stream: u32, epoch: u64, kept: Vec<[u8; 32]>) {
        if !self.bundles.contains_key(&(stream, epoch)) {
            self.settled.entry((stream, epoch)).or_default().extend(kept);
        }
    }

    /// Whether a decided S names this content.
    pub(crate) fn is_named(&self, id: &[u8; 32]) -> bool {
        self.named.contains(id) || self.settled.values().any(|kept| kept.contains(id))
    }

    /// Replays every epoch that can be replayed, as an auditor does: from the chain and the bundles alone.
    pub(crate) fn audit(&mut self, history: &History, book: &Book, streams: u32) {
        for stream in 0..streams {
            while let Some((digest, bundle)) = self.bundles.get(&(stream, self.replayed_epochs(stream))).cloned() {
                let epoch = self.replayed_epochs(stream);
                let previous = self.replayed.get(&stream).map(|(_, state)| state);
                let found = match replay(&bundle, history, book, previous) {
                    Ok(found) if found.digest == digest => found,
                    other => return self.incident(format!("epoch {epoch} does not replay: {:?}", other.err())),
                };
                self.evidence += found.evidence;
                self.hold_against_the_truth(&bundle, &found.outcome, history, book);
                self.replayed.insert(stream, (epoch + 1, found.outcome.state));
            }
        }
    }

    /// What F concluded, against what honest members measured and received.
    fn hold_against_the_truth(&mut self, bundle: &[u8], outcome: &Outcome, history: &History, book: &Book) {
        let (Ok(bundle), Some(term)) = (Bundle::decode(bundle), history.term()) else {
            return self.incident("a bundle that replays cannot be read".into());
        };
        let members: Vec<u32> = bundle.observations.iter().map(|statement| statement.member).collect();
        let honest = members.iter().zip(&bundle.bodies).filter(|(member, _)| **member >= self.liars);
        let honest: BTreeMap<u32, &Body> = honest.map(|(member, body)| (*member, body)).collect();
        for slot in beacon_range(&term, book, bundle.epoch) {
            let late = |body: &&&Body| lateness(body, slot) > book.conduct.void_bound_ms;
            let (late, all) = (honest.values().filter(late).count(), honest.len());
            let void = outcome.void_slots.contains(&slot);
            if (void && late == 0) || (!void && late == all) {
                let text = format!("slot {slot}: void is {void}, but {late} of {all} honest members found it late");
                self.incident(text);
            }
        }
        let (honest, liars) = (honest.into_keys().collect(), members.iter().filter(|m| **m < self.liars).count());
        for verdict in &outcome.verdicts {
            self.verdicts += 1;
            self.passed.extend((verdict.outcome == 1).then_some(verdict.lease));
            self.check_verdict(verdict, &honest, liars, term.f() as usize);
        }
    }

    /// An answer counts iff f+1 observations of S list it in time, and liars may say what they like about it.
    fn check_verdict(&mut self, verdict: &Verdict, honest: &BTreeSet<u32>, liars: usize, f: usize) {
        let receipt = self.receipts.get(&(verdict.lease, verdict.at));
        let in_time = receipt.map_or(0, |receipt| receipt.in_time.intersection(honest).count());
        let forked = receipt.is_some_and(|r| r.twin.intersection(&r.in_time).any(|member| honest.contains(member)));
        let says = |text: &str| format!("lease {}, slot {}: {text}: {verdict:?}", verdict.lease, verdict.at);
        let maybe_forked = receipt.is_some_and(|receipt| !receipt.twin.is_empty());
        match verdict.outcome {
            1 if in_time + liars < f + 1 => self.incident(says("passed on what too few held in time")),
            1 if forked => self.incident(says("passed although it was forked")),
            2 if in_time > f && !maybe_forked => self.incident(says("failed although f+1 honest members held it")),
            _ => {}
        }
    }
}

fn lateness(body: &Body, slot: u64) -> u64 {
    let place = slot.checked_sub(body.first_slot).and_then(|place| usize::try_from(place).ok());
    place.and_then(|place| body.lateness.get(place)).map_or(u64::MAX, |lateness| u64::from(*lateness))
}
