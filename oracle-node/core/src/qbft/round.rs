//! Leaving a view, following others to theirs, sending again what was lost, and helping members that slept.

use super::book::prepared_of;
use super::journal::Tag;
use super::{Action, Qbft, wire_content};
use crate::limits::VIEWS_AHEAD_MAX;
use crate::typed::{Phase, round_change_value};
use crate::wire::{self, Message, RoundChange, Statement};

/// The timeout doubles at most this often.
const DOUBLINGS_MAX: u32 = 8;

impl Qbft {
    /// Sets the clock of the current view.
    pub(super) fn arm(&mut self, now: u64) {
        let doublings = self.view.saturating_sub(1).min(DOUBLINGS_MAX);
        let base = self.config.base_timeout_ms.max(1);
        self.deadline = now.saturating_add(base.saturating_mul(1 << doublings));
        self.resend_at = now.saturating_add(base);
    }

    fn enter(&mut self, now: u64, view: u32) {
        self.view = view;
        self.arm(now);
        self.pool.forgive();
        self.pool.rotate();
        let oldest = view.saturating_sub(VIEWS_AHEAD_MAX);
        self.votes.retain(|(view, _), _| *view >= oldest);
        self.proposals.retain(|view, _| *view >= oldest);
        self.round_changes.retain(|v, _| *v >= view);
        self.book.prune(oldest);
    }

    /// Leaves for a higher view and says so, with the highest value this member saw prepared.
    pub(super) fn change_round(&mut self, now: u64, view: u32, out: &mut Vec<Action>) {
        self.enter(now, view);
        let prepared = self.prepared.clone();
        let (proof, content) = prepared.map(|p| (p.proof, wire_content(&p.content))).unzip();
        let (prepared_view, prepared_value) = proof.as_ref().map_or((0, [0; 32]), |p| (p.view, *p.value));
        let value = round_change_value(prepared_view, prepared_value.into());
        let Some(statement) = self.sign(Phase::RoundChange, view, value) else { return };
        let mut change = RoundChange { statement, prepared: proof, content };
        out.push(Action::Persist(self.record(Tag::RoundChange, view, wire::encode(&change))));
        out.push(Action::Broadcast(Message::RoundChange(change.clone())));
        self.my_round_change = Some(change.clone());
        change.content = None;
        self.round_changes.entry(view).or_default().insert(self.config.me, change);
    }

    pub(super) fn on_round_change(&mut self, from: u32, change: &RoundChange, out: &mut Vec<Action>) {
        let statement = &change.statement;
        let (member, view) = (statement.member, statement.view);
        if view < self.view || member == self.config.me {
            return;
        }
        if !self.in_window(view) {
            return self.on_distant_round_change(statement);
        }
        let known = self.round_changes.get(&view).and_then(|changes| changes.get(&member));
        let repeated = known.is_some_and(|k| k.statement.value == statement.value && k.prepared == change.prepared);
        if !repeated {
            if !self.book.accepts_round_change(change, self.quorum_size()) || known.is_some() {
                return self.report_faults(out);
            }
            let wanted = self.wanted_views.entry(member).or_default();
            *wanted = view.max(*wanted);
            let kept = RoundChange { content: None, ..change.clone() };
            self.round_changes.entry(view).or_default().insert(member, kept);
        }
        if let Some(content) = &change.content {
            self.pool.offer(from, prepared_of(change).1, content);
        }
    }

    /// Far ahead of this member: not kept, but f+1 members there are worth following.
    fn on_distant_round_change(&mut self, statement: &Statement) {
        let newer = self.wanted_views.get(&statement.member).is_none_or(|known| *known < statement.view);
        let about = statement.instance == self.config.instance && statement.phase() == Some(Phase::RoundChange);
        if newer && about && statement.is_authentic(&self.config.scope, &self.config.members) {
            self.wanted_views.insert(statement.member, statement.view);
        }
    }

    /// Goes where f+1 members want to be, or where a justified proposal is.
    pub(super) fn follow_views(&mut self, now: u64, out: &mut Vec<Action>) {
        let mut higher: Vec<u32> = self.wanted_views.values().copied().filter(|view| *view > self.view).collect();
        higher.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(view) = higher.get(self.faults()) {
            self.change_round(now, *view, out);
        }
        if let Some((view, _)) = self.proposals.last_key_value()
            && *view > self.view
        {
            self.enter(now, *view);
        }
    }

    /// Says again what this member last said in the current view.
    pub(super) fn resend(&self, out: &mut Vec<Action>) {
        if self.quorum.is_some() {
            out.push(Action::Broadcast(Message::Status(self.config.instance)));
            return;
        }
        let view = self.view;
        if let Some(change) = self.my_round_change.as_ref().filter(|c| c.statement.view == view) {
            out.push(Action::Broadcast(Message::RoundChange(change.clone())));
        }
        if let Some(proposal) = self.my_proposal.as_ref().filter(|p| p.statement.view == view) {
            out.push(Action::Broadcast(Message::Proposal(proposal.clone())));
        }
        for phase in [Phase::Prepare, Phase::Commit] {
            if let Some(vote) = self.mine.get(&(phase as u8, view)) {
                out.push(Action::Broadcast(Message::Vote(vote.clone())));
            }
        }
    }

    /// Whether the last help is long enough ago.
    pub(super) fn may_help(&self, now: u64) -> bool {
        let pause = self.config.base_timeout_ms / 2;
        self.helped_at.is_none_or(|at| now >= at.saturating_add(pause))
    }

    /// After the decision: who still votes, changes rounds or asks has missed it.
    pub(super) fn help(&mut self, now: u64, message: &Message, out: &mut Vec<Action>) {
        let settled = now >= self.decided_at.saturating_add(self.config.base_timeout_ms);
        let behind = match message {
            Message::Status(instance) => *instance == self.config.instance,
            Message::RoundChange(change) => self.is_said(&change.statement, &[Phase::RoundChange]),
            Message::Proposal(proposal) => self.is_said(&proposal.statement, &[Phase::Proposal]) && settled,
            Message::Vote(vote) => self.is_said(vote, &[Phase::Prepare, Phase::Commit]) && settled,
            _ => false,
        };
        self.report_faults(out);
        if !behind || !self.may_help(now) {
            return;
        }
        if let Some((_, decided)) = &self.decided {
            out.push(Action::Broadcast(Message::Decided(decided.clone())));
            self.helped_at = Some(now);
        }
    }

    /// Whether a statement is authentic, in one of `phases`, and about a view worth remembering.
    fn is_said(&mut self, statement: &Statement, phases: &[Phase]) -> bool {
        let phase = statement.phase().filter(|phase| phases.contains(phase));
        self.in_window(statement.view) && phase.is_some_and(|phase| self.book.accepts(statement, phase))
    }
}
