//! Where one term meets another, in one stream: the rotation that ends this term, what it leaves to the next, and what it
//! took over from the one before. Leaves out: agreeing on a rotation (`handing`), fetching Σ (`inherit`), single epochs (`stream`).

use std::collections::BTreeMap;

use alloy_sol_types::SolValue;
use minicbor::bytes::ByteVec;

use super::desk::Step;
use super::inherit::{Author, Inherit};
use super::journal::{self, HEAD, ORIGIN};
use super::stream::Stream;
use crate::effect::Effect;
use crate::handover::{Checkpoint, Start};
use crate::typed::Header;
use crate::wire::{Bytes, Hash, Message};

/// Pause between two repetitions of what this term leaves, in view timeouts; members of the next one need it once.
const REPEAT_TIMEOUTS: u64 = 4;

/// A certified header as the journal keeps it: ABI bytes and certificate.
pub(super) type Head = (ByteVec, Bytes<48>);

/// The ends of a term in one stream.
#[derive(Debug, Default)]
pub(super) struct Succession {
    /// First epoch of this term.
    pub(super) first: u64,
    /// Σ before `first`, while it is fetched.
    pub(super) inherit: Option<Inherit>,
    /// What Σ before `first` was taken from.
    origin: Option<Checkpoint>,
    /// The rotation away from this term, once final on the chain.
    pub(super) ends: Option<Start>,
    /// Certified headers by epoch.
    pub(super) heads: BTreeMap<u64, Head>,
    /// Digests of the headers decided here, by epoch: what a plan may name as its base.
    pub(super) decided: BTreeMap<u64, Hash>,
    /// Highest epoch on the chain.
    pub(super) posted: Option<u64>,
    repeat_at: u64,
    answered_at: u64,
}

impl Succession {
    /// Of a term that begins so.
    pub(super) fn new(start: Option<&Start>) -> Self {
        Self { first: start.map_or(0, |start| start.from_epoch), ..Self::default() }
    }

    /// First epoch that is not this term's; `u64::MAX` while no rotation is known.
    pub(super) fn until(&self) -> u64 {
        self.ends.as_ref().map_or(u64::MAX, |ends| ends.from_epoch)
    }
}

impl Stream {
    /// Σ before the first epoch: from the journal, or still to come.
    pub(super) fn settle_in(&mut self, start: Option<Start>) {
        let (scope, first) = (self.desk.term.scope, self.succession.first);
        for epoch in self.past_epochs() {
            let head = journal::load::<Head>(self.journal(), HEAD, &scope, self.desk.instance(epoch));
            let Some(head) = head else { continue };
            let digest = Checkpoint::read_header(&head.0).map(|header| scope.digest(&header).0.into());
            self.succession.decided.extend(digest.ok().map(|digest| (epoch, digest)));
            self.succession.heads.insert(epoch, head);
        }
        let Some(start) = start else { return };
        self.succession.origin = journal::load(self.journal(), ORIGIN, &scope, self.desk.instance(first));
        if self.is_lost() {
            self.succession.inherit = Some(Inherit::new(start));
        }
    }

    /// Begins from Σ as soon as it is here.
    pub(super) fn inherit(&mut self, step: &mut Step<'_>) {
        let (now, out) = (step.now, &mut *step.out);
        let Some(inherit) = &mut self.succession.inherit else { return };
        let Some((state, origin)) = inherit.advance(&self.desk, now, out) else { return };
        let instance = self.desk.instance(self.succession.first);
        let scope = &self.desk.term.scope;
        if let Some(origin) = &origin {
            out.push(Effect::Persist(journal::record(ORIGIN, scope, instance, origin)));
            let header = origin.header.to_vec();
            out.push(Effect::Serve(Checkpoint::of(&header, *origin.certificate, &uncarried(&state, origin)).1));
        }
        out.push(Effect::Persist(journal::record(journal::STATE, scope, instance, &state)));
        let (term, first, number) = (self.desk.term.scope.term, self.succession.first, self.desk.stream);
        let text = format!("term {term} begins stream {number} at epoch {first}");
        out.push(Effect::Note { code: "term_begins", text });
        self.begin_from(self.succession.first, state);
        (self.succession.inherit, self.succession.origin) = (None, origin);
    }

    /// The chain rotated away from this term: nothing of its first epoch on is ours.
    pub(super) fn end(&mut self, ends: Start) {
        self.drop_rounds_from(ends.from_epoch);
        self.succession.ends = Some(ends);
    }

    /// Takes what the stream may begin from, out of anybody's hands.
    pub(super) fn on_checkpoint(&mut self, author: Author, checkpoint: &Checkpoint) {
        if let Some(inherit) = &mut self.succession.inherit {
            inherit.on_checkpoint(&self.desk, author, checkpoint);
        }
    }

    /// Says what this term leaves in the stream, once it is over.
    pub(super) fn leave(&mut self, step: &mut Step<'_>) {
        if step.now < self.succession.repeat_at || self.succeeded() != Some(false) {
            return;
        }
        let pause = self.desk.book.conduct.view_timeout_ms.saturating_mul(REPEAT_TIMEOUTS).max(1);
        if self.next_epoch() >= self.succession.until() {
            // Nothing more will be certified: what is not there by now need not be looked for at every step.
            self.succession.repeat_at = step.now.saturating_add(pause);
        }
        if let Some(checkpoint) = self.legacy(step.out) {
            self.succession.repeat_at = step.now.saturating_add(pause);
            step.out.push(Effect::Broadcast(Message::Checkpoint(checkpoint).encode()));
        }
    }

    /// Whether the next term is known to report; `None` while this term goes on.
    fn succeeded(&self) -> Option<bool> {
        let ends = self.succession.ends.as_ref()?;
        Some(self.succession.posted.is_some_and(|posted| posted >= ends.from_epoch))
    }

    /// What this term leaves, if it is certified: the checkpoint before the next term, its pieces put on the shelf.
    fn legacy(&self, out: &mut Vec<Effect>) -> Option<Checkpoint> {
        let ends = self.succession.ends.as_ref()?;
        for (epoch, (header, certificate)) in self.succession.heads.iter().rev() {
            let Some(state) = self.state_after(*epoch) else { continue };
            // Our own certificate: only whether it is this header is the question.
            let named = Checkpoint::read_header(header).ok()?;
            let is_it = match ends.forced {
                true => ends.base_of(self.desk.stream) == Some(self.desk.term.scope.digest(&named)),
                false => named.epoch.checked_add(1) == Some(ends.from_epoch),
            };
            if is_it {
                let (checkpoint, pieces) = Checkpoint::of(header, **certificate, state);
                out.push(Effect::Serve(pieces));
                return Some(checkpoint);
            }
        }
        None
    }

    /// Keeps a certified header: what a rotation may be based on.
    pub(super) fn keep_head(&mut self, header: &Header, certificate: Bytes<48>, out: &mut Vec<Effect>) {
        let head: Head = (header.abi_encode().into(), certificate);
        let instance = self.desk.instance(header.epoch);
        out.push(Effect::Persist(journal::record(HEAD, &self.desk.term.scope, instance, &head)));
        self.succession.heads.insert(header.epoch, head);
    }

    /// Tells a member that asks for the first epoch what it begins from.
    pub(super) fn answer_origin(&mut self, step: &mut Step<'_>) {
        let now = step.now;
        let pause = self.desk.book.conduct.view_timeout_ms / 2;
        let rested = now >= self.succession.answered_at;
        if let Some(origin) = self.succession.origin.clone().filter(|_| rested) {
            self.succession.answered_at = now.saturating_add(pause);
            step.out.push(Effect::Broadcast(Message::Checkpoint(origin).encode()));
        }
    }

    pub(super) fn succession_wakeup(&self) -> Option<u64> {
        let (desk, succession) = (&self.desk, &self.succession);
        let inherit = succession.inherit.as_ref().and_then(|inherit| inherit.next_wakeup(desk));
        let over = self.succeeded() == Some(false) && self.next_epoch() >= succession.until();
        [inherit, over.then_some(succession.repeat_at)].into_iter().flatten().min()
    }

    /// The last decided header (zeros before the first), and every one that was the last in the epochs that are remembered:
    /// however far this member was behind when a plan was proposed, and wherever a later view takes the plan up again.
    /// `None` while Σ before the first epoch is not known.
    pub(super) fn bases(&self) -> Option<(Hash, Vec<Hash>)> {
        let mut recent: Vec<Hash> = self.succession.decided.values().copied().collect();
        recent.extend(self.known_states().map(|state| state.previous_header));
        Some((*recent.last()?, recent))
    }
}

/// The state as the origin's header rooted it: before governance skipped epochs.
fn uncarried(state: &crate::state::State, origin: &Checkpoint) -> crate::state::State {
    let mut state = state.clone();
    if let Ok(header) = origin.header() {
        state.next_epoch = header.epoch.saturating_add(1);
    }
    state
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::pull::tests::desk;
    use super::super::stream::PAST_MAX;
    use super::*;
    use crate::state::State;

    #[test]
    fn a_plan_may_name_any_header_that_is_remembered_also_after_a_restart() {
        // The plan that a quorum prepared may be proposed again views later, when even the slowest member is epochs further.
        let (desk, _) = desk();
        let zero = Header::abi_decode_validate(&[0; 16 * 32]).expect("a header of zeros");
        let header = |epoch| Header { epoch, ..zero.clone() };
        let digest = |epoch| Hash::from(desk.term.scope.digest(&header(epoch)).0);
        let (last, mut out) = (PAST_MAX + 15, Vec::new());
        let mut before = Stream::new(desk.clone(), &Arc::default(), None, 0);
        (0..=last).for_each(|epoch| before.keep_head(&header(epoch), [0; 48].into(), &mut out));
        let state = State { next_epoch: last + 1, previous_header: digest(last), ..State::default() };
        out.push(Effect::Persist(journal::record(journal::STATE, &desk.term.scope, desk.instance(last + 1), &state)));
        let records = out.into_iter().filter_map(|effect| match effect {
            Effect::Persist(record) => Some(record),
            _ => None,
        });
        let after = Stream::new(desk.clone(), &Arc::new(records.collect()), None, 0);
        let (latest, recent) = after.bases().expect("a state");
        assert_eq!(latest, digest(last));
        for epoch in last + 1 - PAST_MAX..=last {
            assert!(recent.contains(&digest(epoch)), "epoch {epoch}");
        }
        assert!(!recent.contains(&digest(last - PAST_MAX)), "nothing older");
    }
}
