//! The way of a value within a view: proposal, prepare, commit, decision.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;

use super::book::prepared_of;
use super::journal::Tag;
use super::{Action, Prepared, Qbft, Quorum, wire_content, wire_hash};
use crate::limits::VIEWS_AHEAD_MAX;
use crate::typed::Phase;
use crate::wire::{self, Decided, Message, PreparedProof, Proposal, RoundChange, Statement};

impl Qbft {
    /// Whether messages of `view` are kept.
    pub(super) fn in_window(&self, view: u32) -> bool {
        view >= 1 && view <= self.view.saturating_add(VIEWS_AHEAD_MAX)
    }

    pub(super) fn on_proposal(&mut self, from: u32, proposal: &Proposal, out: &mut Vec<Action>) {
        let statement = &proposal.statement;
        let view = statement.view;
        if !self.in_window(view) || self.leader(view) != Some(statement.member) {
            return;
        }
        let known = self.proposals.get(&view).map(|p| p.statement.value);
        if known != Some(statement.value) {
            // A second value of one leader is a fault, not a proposal.
            let authentic = self.book.accepts(statement, Phase::Proposal);
            if !authentic || known.is_some() || !self.is_justified(proposal) {
                return self.report_faults(out);
            }
            let kept = Proposal { content: wire_content(&[]), ..proposal.clone() };
            self.proposals.insert(view, kept);
        }
        self.pool.offer(from, statement.value(), &proposal.content);
    }

    /// View 1 needs no reason; a later one needs n−f round changes, and the highest prepared value among them binds.
    fn is_justified(&mut self, proposal: &Proposal) -> bool {
        let (view, reasons) = (proposal.statement.view, &proposal.justification);
        if self.rules.trust_proposals {
            return true;
        }
        if view == 1 {
            return reasons.is_empty();
        }
        let members: BTreeSet<u32> = reasons.iter().map(|r| r.statement.member).collect();
        if members.len() != reasons.len() || reasons.len() < self.quorum_size() {
            return false;
        }
        let quorum = self.quorum_size();
        let valid = |r: &RoundChange, book: &mut super::Book| {
            r.content.is_none() && r.statement.view == view && book.accepts_round_change(r, quorum)
        };
        if !reasons.iter().all(|r| valid(r, &mut self.book)) {
            return false;
        }
        let highest = reasons.iter().map(prepared_of).max_by_key(|(view, _)| *view);
        match highest {
            Some((view, value)) if view > 0 && !self.rules.forget_prepared => value == proposal.statement.value(),
            _ => true,
        }
    }

    pub(super) fn on_vote(&mut self, statement: &Statement, out: &mut Vec<Action>) {
        let Some(phase @ (Phase::Prepare | Phase::Commit)) = statement.phase() else { return };
        if self.in_window(statement.view) && self.book.accepts(statement, phase) {
            self.count(statement);
        }
        self.report_faults(out);
    }

    pub(super) fn on_decided(&mut self, from: u32, decided: &Decided, out: &mut Vec<Action>) {
        let Some(head) = decided.commits.first() else { return };
        let quorum = self.quorum_size();
        if self.quorum.is_none() && head.view >= 1 && self.book.accepts_quorum(&decided.commits, Phase::Commit, quorum)
        {
            self.quorum = Some(Quorum { value: head.value(), commits: decided.commits.clone() });
            self.pool.forgive();
        }
        if self.quorum.as_ref().is_some_and(|q| q.value == head.value()) {
            self.pool.offer(from, head.value(), &decided.content);
        }
        self.report_faults(out);
    }

    pub(super) fn report_faults(&mut self, out: &mut Vec<Action>) {
        out.extend(self.book.take_faults().into_iter().map(Action::Fault));
    }

    /// Does everything that has become possible, until nothing more is.
    pub(super) fn progress(&mut self, now: u64, out: &mut Vec<Action>) {
        self.report_faults(out);
        self.try_decide(now, out);
        while self.started && self.decided.is_none() {
            let before = (self.view, self.mine.len());
            self.follow_views(now, out);
            self.try_propose(out);
            self.try_prepare(out);
            self.try_commit(out);
            self.try_decide(now, out);
            if before == (self.view, self.mine.len()) {
                break;
            }
        }
    }

    fn try_propose(&mut self, out: &mut Vec<Action>) {
        if !self.wants_candidate() {
            return;
        }
        if self.view == 1 {
            return self.propose_candidate(Vec::new(), out);
        }
        let changes = self.round_changes.get(&self.view).into_iter().flat_map(BTreeMap::values);
        let usable = |c: &&RoundChange| c.prepared.is_none() || self.pool.hopeful(prepared_of(c).1);
        let mut reasons: Vec<RoundChange> = changes.filter(usable).cloned().collect();
        reasons.sort_by_key(|c| (core::cmp::Reverse(prepared_of(c).0), c.statement.member));
        if reasons.len() < self.quorum_size() {
            return;
        }
        reasons.truncate(self.quorum_size());
        match reasons.first().map(prepared_of) {
            Some((view, value)) if view > 0 && !self.rules.forget_prepared => self.propose_again(value, reasons, out),
            _ => self.propose_candidate(reasons, out),
        }
    }

    fn propose_candidate(&mut self, reasons: Vec<RoundChange>, out: &mut Vec<Action>) {
        if let Some((value, content)) = self.candidate.clone() {
            self.propose(value, &content, reasons, out);
        }
    }

    fn propose_again(&mut self, value: B256, reasons: Vec<RoundChange>, out: &mut Vec<Action>) {
        match self.pool.valid(value).map(<[u8]>::to_vec) {
            Some(content) => self.propose(value, &content, reasons, out),
            None => self.request_verdict(value, false, out),
        }
    }

    fn propose(&mut self, value: B256, content: &[u8], justification: Vec<RoundChange>, out: &mut Vec<Action>) {
        let view = self.view;
        let Some(statement) = self.sign(Phase::Proposal, view, value) else { return };
        let mut proposal = Proposal { statement, content: wire_content(content), justification };
        out.push(Action::Persist(self.record(Tag::Proposal, view, wire::encode(&proposal))));
        out.push(Action::Broadcast(Message::Proposal(proposal.clone())));
        self.my_proposal = Some(proposal.clone());
        proposal.content = wire_content(&[]);
        self.proposals.entry(view).or_insert(proposal);
    }

    /// The value proposed in the current view, once its content is found valid; asks for the verdict otherwise.
    fn proposed(&mut self, out: &mut Vec<Action>) -> Option<B256> {
        let value = self.proposals.get(&self.view)?.statement.value();
        if self.pool.valid(value).is_some() {
            return Some(value);
        }
        self.request_verdict(value, false, out);
        None
    }

    fn request_verdict(&mut self, value: B256, decided: bool, out: &mut Vec<Action>) {
        let leader = self.leader(self.view).unwrap_or_default();
        let view = if decided { 0 } else { self.view };
        if let Some(content) = self.pool.ask(value, decided) {
            out.push(Action::Validate { view, value, content, leader });
        }
    }

    fn try_prepare(&mut self, out: &mut Vec<Action>) {
        let view = self.view;
        if self.mine.contains_key(&(Phase::Prepare as u8, view)) {
            return;
        }
        let Some(value) = self.proposed(out) else { return };
        self.vote(Phase::Prepare, Tag::Prepare, value, out);
    }

    fn try_commit(&mut self, out: &mut Vec<Action>) {
        let view = self.view;
        if self.silent || self.mine.contains_key(&(Phase::Commit as u8, view)) {
            return;
        }
        let Some(value) = self.proposed(out) else { return };
        let Some(prepares) = self.votes_for(view, Phase::Prepare, value) else { return };
        let content = self.pool.valid(value).unwrap_or_default().to_vec();
        if self.rules.sign_prepared {
            out.push(Action::Decided { value, content: content.clone() });
        }
        let prepared = Prepared { proof: PreparedProof { view, value: wire_hash(value), prepares }, content };
        out.push(Action::Persist(self.prepared_record(&prepared)));
        self.prepared = Some(prepared);
        self.vote(Phase::Commit, Tag::Commit, value, out);
    }

    fn vote(&mut self, phase: Phase, tag: Tag, value: B256, out: &mut Vec<Action>) {
        let view = self.view;
        let Some(statement) = self.sign(phase, view, value) else { return };
        out.push(Action::Persist(self.record(tag, view, wire::encode(&statement))));
        self.count(&statement);
        out.push(Action::Broadcast(Message::Vote(statement)));
    }

    /// A quorum of votes for `value`, if there is one.
    fn votes_for(&self, view: u32, phase: Phase, value: B256) -> Option<Vec<Statement>> {
        let votes = self.votes.get(&(view, phase as u8))?;
        let mut agreeing: Vec<Statement> = votes.values().filter(|s| s.value() == value).cloned().collect();
        let quorum = self.quorum_size();
        agreeing.truncate(quorum);
        (agreeing.len() == quorum && quorum > 0).then_some(agreeing)
    }

    /// A quorum of commits in any view.
    fn committed(&self) -> Option<Quorum> {
        let commits = self.votes.iter().filter(|((_, phase), _)| *phase == Phase::Commit as u8);
        commits.map(|((view, _), votes)| (*view, votes)).find_map(|(view, votes)| {
            let values: BTreeSet<B256> = votes.values().map(Statement::value).collect();
            let quorum = |value| Some(Quorum { value, commits: self.votes_for(view, Phase::Commit, value)? });
            values.into_iter().find_map(quorum)
        })
    }

    fn try_decide(&mut self, now: u64, out: &mut Vec<Action>) {
        if self.decided.is_some() {
            return;
        }
        if self.quorum.is_none() {
            self.quorum = self.committed();
            if self.quorum.is_some() {
                self.pool.forgive();
            }
        }
        let Some(quorum) = self.quorum.clone() else { return };
        let Some(content) = self.pool.valid(quorum.value).map(<[u8]>::to_vec) else {
            return self.request_verdict(quorum.value, true, out);
        };
        let decided = Decided { commits: quorum.commits, content: wire_content(&content) };
        out.push(Action::Persist(self.record(Tag::Decided, 0, wire::encode(&decided))));
        out.push(Action::Decided { value: quorum.value, content });
        self.decided = Some((quorum.value, decided));
        self.decided_at = now;
        self.forget();
    }

    /// Nothing but the decision is needed any more.
    fn forget(&mut self) {
        self.pool.clear();
        self.votes.clear();
        self.proposals.clear();
        self.round_changes.clear();
        self.candidate = None;
        self.prepared = None;
        self.my_proposal = None;
        self.my_round_change = None;
        self.quorum = None;
    }
}
