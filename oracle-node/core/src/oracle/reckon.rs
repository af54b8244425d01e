//! Computing F: over the member's own choice of observations when it leads, over another's when it must judge.
//! Content that is missing is fetched first. Leaves out: F itself (`report`).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;

use super::desk::Ctx;
use super::round::Round;
use crate::effect::{Bodies, Content, Effect};
use crate::limits;
use crate::observation::{Body, blob_hash};
use crate::qbft::Qbft;
use crate::report::{self, EpochInput, EpochSet, Outcome, ReportError, beacon_fact};
use crate::wire::{self, Statement};

/// How long a leader waits for the last observations once it has n−f, ms.
const GRACE_MS: u64 = 150;
/// Shortest wait for content before its listers are left out of a draft, and before a draft is tried again, ms.
const PATIENCE_MIN_MS: u64 = 100;
/// Proposals judged at one time; a further one replaces the one with the smallest value.
const QUESTIONS_MAX: usize = 16;

/// An S to compute F over.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) set: EpochSet,
    waiting: BTreeSet<[u8; 32]>,
    since: u64,
}

/// F over a valid S.
#[derive(Clone, Debug)]
pub(super) struct Reckoned {
    pub(super) set: EpochSet,
    pub(super) bodies: Bodies,
    pub(super) outcome: Outcome,
}

/// What became of an attempt.
pub(super) enum Attempt {
    Done(Box<Reckoned>),
    /// More content, the snapshot, or Σ is needed.
    Waiting(BTreeSet<[u8; 32]>),
    Wrong(String),
}

impl Round {
    /// Builds a proposal while this member leads the view and has none.
    pub(super) fn draft(&mut self, ctx: &mut Ctx<'_>) {
        let leads = self.qbft.as_ref().is_some_and(Qbft::wants_candidate);
        if !leads || self.drafted || ctx.state.is_none() || ctx.snapshot.is_none() {
            return;
        }
        match self.draft.take() {
            None => self.begin_draft(ctx),
            Some(draft) if self.has_overdrawn(&draft.set) => self.begin_draft_now(ctx),
            Some(draft) if draft.waiting.iter().all(|id| self.blobs.contains_key(id)) => self.finish_draft(ctx, draft),
            Some(draft) if ctx.now >= draft.since.saturating_add(patience(ctx)) => self.exclude(ctx, draft),
            Some(draft) => self.draft = Some(draft),
        }
    }

    fn begin_draft(&mut self, ctx: &mut Ctx<'_>) {
        let quorum = ctx.desk.quorum();
        if self.statements.len() < quorum {
            return;
        }
        let grace = ctx.now.saturating_add(GRACE_MS);
        let begin_at = *self.draft_at.get_or_insert(grace);
        if self.statements.len() < ctx.desk.addresses.len() && ctx.now < begin_at {
            return;
        }
        let affordable = self.statements.values().filter(|statement| !self.overdrawn.contains(&*statement.value));
        let affordable: Vec<Statement> = affordable.cloned().collect();
        if affordable.iter().filter(|statement| !self.excluded.contains(&statement.member)).count() < quorum {
            self.excluded.clear();
        }
        let chosen: Vec<Statement> =
            affordable.into_iter().filter(|statement| !self.excluded.contains(&statement.member)).collect();
        if chosen.len() < quorum {
            self.draft_at = Some(ctx.now.saturating_add(patience(ctx)));
            return;
        }
        let (term, book) = (&ctx.desk.term, &ctx.desk.book);
        let known = |slot| Some((slot, ctx.beacon.certificate(slot)?));
        let certificates: BTreeMap<u64, [u8; 48]> =
            report::beacon_range(term, book, self.epoch).filter_map(known).collect();
        match EpochSet::assemble(term, book, self.epoch, chosen, &self.bodies, &certificates) {
            Ok(set) => self.finish_draft(ctx, Task { set, waiting: BTreeSet::new(), since: ctx.now }),
            // Not void for the others, but unknown here: peers answer repeated partials, or another member leads.
            Err(_lacking) => self.draft_at = Some(ctx.now.saturating_add(patience(ctx))),
        }
    }

    fn finish_draft(&mut self, ctx: &mut Ctx<'_>, mut draft: Task) {
        match self.reckon(ctx, &draft.set) {
            Attempt::Done(done) => {
                let value = report::header_digest(&ctx.desk.term, &done.outcome.header);
                let content = done.set.encode();
                self.serve(ctx, value, &done);
                self.results.insert(value, *done);
                self.drafted = true;
                let actions = self.qbft.as_mut().map(|qbft| qbft.set_candidate(ctx.now, value, content));
                self.act(ctx, actions.unwrap_or_default());
            }
            Attempt::Waiting(ids) => {
                self.fetch(ctx, &draft.set, &ids);
                self.draft_at = Some(draft.since.saturating_add(patience(ctx)));
                draft.waiting = ids;
                self.draft = Some(draft);
            }
            Attempt::Wrong(_) if self.has_overdrawn(&draft.set) => self.begin_draft_now(ctx),
            Attempt::Wrong(why) => {
                self.drafted = true;
                ctx.note("draft_refused", format!("epoch {}: own proposal cannot be computed: {why}", self.epoch));
            }
        }
    }

    /// Content did not come: whoever lists it is left out, as many as n−f allow, and others of them the next time. Without f
    /// of them what only they hold is listed too seldom to count; and what more than 2f list, an honest one can give.
    fn exclude(&mut self, ctx: &mut Ctx<'_>, draft: Task) {
        let lacking: BTreeSet<[u8; 32]> = draft.waiting.into_iter().filter(|id| !self.blobs.contains_key(id)).collect();
        let blamed = report::listers(&self.bodies, &self.blobs, &lacking);
        let blamed: Vec<u32> = blamed.into_iter().filter(|member| *member != ctx.desk.me).collect();
        let affordable = self.statements.values().filter(|said| !self.overdrawn.contains(&*said.value)).count();
        let room = affordable.saturating_sub(ctx.desk.quorum());
        if self.excluded.iter().chain(&blamed).collect::<BTreeSet<_>>().len() <= room {
            self.excluded.extend(blamed);
        } else {
            let first = self.exclusions.checked_rem(blamed.len()).unwrap_or(0);
            self.excluded = blamed.iter().cycle().skip(first).take(room.min(blamed.len())).copied().collect();
            self.exclusions = self.exclusions.saturating_add(1);
        }
        self.draft_at = Some(ctx.now.saturating_add(patience(ctx)));
        self.begin_draft_now(ctx);
    }

    fn begin_draft_now(&mut self, ctx: &mut Ctx<'_>) {
        let next = self.draft_at.replace(ctx.now);
        self.begin_draft(ctx);
        if self.draft.is_none() && !self.drafted {
            self.draft_at = next;
        }
    }

    /// The agreement wants to know whether `content` is what `value` names.
    pub(super) fn ask(&mut self, ctx: &mut Ctx<'_>, value: B256, content: &[u8]) {
        let Ok(set) = EpochSet::decode(content) else {
            ctx.note("bad_proposal", format!("epoch {}: a proposal does not decode", self.epoch));
            return self.verdict(ctx, value, false);
        };
        if self.results.get(&value).is_some_and(|known| known.set == set) {
            return self.verdict(ctx, value, true);
        }
        // Whoever relays a proposal may put anything beside its signature: nothing is fetched for what nobody signed.
        let (term, stream) = (&ctx.desk.term, ctx.desk.stream);
        if let Err(e) = report::check_observations(term, stream, self.epoch, &set.observations, &self.verified) {
            ctx.note("bad_proposal", format!("epoch {}: {e}", self.epoch));
            return self.verdict(ctx, value, false);
        }
        self.verified.extend(set.observations.iter().map(report::statement_fact));
        self.accuse_twofaced(ctx, &set);
        if self.questions.len() >= QUESTIONS_MAX {
            self.questions.pop_first();
            self.sweep();
        }
        self.questions.insert(value, Task { set, waiting: BTreeSet::new(), since: ctx.now });
    }

    fn verdict(&mut self, ctx: &mut Ctx<'_>, value: B256, valid: bool) {
        let actions = self.qbft.as_mut().map(|qbft| qbft.verdict(ctx.now, value, valid));
        self.act(ctx, actions.unwrap_or_default());
    }

    /// Judges every proposal that can be judged.
    pub(super) fn answer(&mut self, ctx: &mut Ctx<'_>) {
        let ready =
            |task: &Task| task.waiting.iter().all(|id| self.blobs.contains_key(id)) || self.has_overdrawn(&task.set);
        let values: Vec<B256> =
            self.questions.iter().filter(|(_, task)| ready(task)).map(|(value, _)| *value).collect();
        for value in values {
            let Some(mut task) = self.questions.remove(&value) else { continue };
            match self.reckon(ctx, &task.set) {
                Attempt::Waiting(ids) => {
                    self.fetch(ctx, &task.set, &ids);
                    task.waiting = ids;
                    self.questions.insert(value, task);
                }
                Attempt::Done(done) => self.conclude(ctx, value, *done),
                Attempt::Wrong(why) => {
                    ctx.note("bad_proposal", format!("epoch {}: {why}", self.epoch));
                    self.sweep();
                    self.verdict(ctx, value, false);
                }
            }
        }
    }

    fn conclude(&mut self, ctx: &mut Ctx<'_>, value: B256, done: Reckoned) {
        let digest = report::header_digest(&ctx.desk.term, &done.outcome.header);
        if digest == value {
            for (slot, certificate) in &done.set.beacons {
                ctx.beacon.add_verified(*slot, **certificate);
            }
            self.accuse_twofaced(ctx, &done.set);
            self.serve(ctx, value, &done);
            self.results.insert(value, done);
        } else {
            self.sweep();
            let text = format!("epoch {}: {value} was proposed, recomputation gives {digest}", self.epoch);
            ctx.note("proposal_differs", text);
        }
        self.verdict(ctx, value, digest == value);
    }

    /// A prepare vote promises the content of the proposal: whatever was read and came from others is served from here,
    /// too, so that a member that was away needs no author who has died since. Until the decision it is but lent.
    fn serve(&self, ctx: &mut Ctx<'_>, value: B256, done: &Reckoned) {
        let own = self.bodies.get(&ctx.desk.me);
        let own: BTreeSet<[u8; 32]> = own.iter().flat_map(|body| body.buckets.iter().map(|(_, hash)| **hash)).collect();
        let bodies = done.bodies.iter().filter(|(member, _)| **member != ctx.desk.me);
        let bodies =
            bodies.map(|(_, body)| wire::encode(body)).map(|bytes| Content { id: blob_hash(&bytes), class: 0, bytes });
        let read = done.outcome.content.iter().filter(|id| !own.contains(*id) && !self.verified.contains(*id));
        let contents: Vec<Content> = bodies.chain(read.filter_map(|id| self.blobs.get(id).cloned())).collect();
        if contents.is_empty() {
            return;
        }
        ctx.out.push(match self.decided == Some(value) {
            true => Effect::Serve(contents),
            false => Effect::Lend { stream: ctx.desk.stream, epoch: self.epoch, contents },
        });
    }

    /// One attempt to compute F over `set`.
    fn reckon(&mut self, ctx: &mut Ctx<'_>, set: &EpochSet) -> Attempt {
        let (Some(state), Some(snapshot)) = (ctx.state, ctx.snapshot) else { return Attempt::Waiting(BTreeSet::new()) };
        let bodies = match self.bodies_of(set) {
            Ok(bodies) => bodies,
            Err(attempt) => return attempt,
        };
        self.find_overdrawn(ctx, &bodies);
        if self.has_overdrawn(set) {
            return Attempt::Wrong("an author lists more bytes of buckets than it may".into());
        }
        let beacons = set.beacon_map();
        let known = beacons.iter().filter(|(slot, beacon)| ctx.beacon.certificate(**slot) == Some(**beacon));
        self.verified.extend(known.map(|(slot, beacon)| beacon_fact(*slot, beacon)));
        let input = EpochInput {
            term: &ctx.desk.term,
            book: &ctx.desk.book,
            stream: ctx.desk.stream,
            epoch: self.epoch,
            state,
            snapshot,
            observations: &set.observations,
            bodies: &bodies,
            beacons: &beacons,
            sharing: &ctx.desk.keys.latest().sharing,
            blobs: &self.blobs,
        };
        match report::compute_trusting(&input, &self.verified) {
            Ok(outcome) => Attempt::Done(Box::new(Reckoned { set: set.clone(), bodies, outcome })),
            Err(ReportError::Invalid(why)) => Attempt::Wrong(why),
            Err(ReportError::Missing(ids)) => {
                // What is here and yet missing is spoiled: it is fetched again.
                for id in &ids {
                    self.blobs.remove(id);
                }
                Attempt::Waiting(ids.into_iter().collect())
            }
        }
    }

    /// The bodies of S: those received with their statements, else out of fetched content.
    pub(super) fn bodies_of(&self, set: &EpochSet) -> Result<Bodies, Attempt> {
        let (mut bodies, mut missing) = (Bodies::new(), BTreeSet::new());
        if set.observations.len() > limits::MEMBERS_MAX {
            return Err(Attempt::Wrong("more observations than a committee has members".into()));
        }
        for statement in &set.observations {
            let own = self.statements.get(&statement.member).filter(|own| own.value == statement.value);
            if let Some(body) = own.and_then(|_| self.bodies.get(&statement.member)) {
                bodies.insert(statement.member, body.clone());
                continue;
            }
            let Some(content) = self.blobs.get(&*statement.value) else {
                missing.insert(*statement.value);
                continue;
            };
            match wire::decode::<Body>(&content.bytes, limits::BLOB_BYTES_MAX) {
                Ok(body) => drop(bodies.insert(statement.member, body)),
                Err(e) => return Err(Attempt::Wrong(format!("body of member {}: {e}", statement.member))),
            }
        }
        if missing.is_empty() { Ok(bodies) } else { Err(Attempt::Waiting(missing)) }
    }

    /// What is being worked at.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.draft.iter().chain(self.questions.values())
    }

    /// Everything that some task waits for.
    pub(super) fn waiting(&self) -> BTreeSet<[u8; 32]> {
        self.tasks().flat_map(|task| &task.waiting).filter(|id| !self.blobs.contains_key(*id)).copied().collect()
    }

    /// Asks for content that is not on its way: first those who list it, later (see [`Round::refetch`]) everybody.
    fn fetch(&mut self, ctx: &mut Ctx<'_>, set: &EpochSet, ids: &BTreeSet<[u8; 32]>) {
        if ids.is_empty() {
            return;
        }
        let soon = patience(ctx) / 2;
        let coming = self.coming(ctx.now, soon, ids);
        self.fetch_at = ctx.now.saturating_add(if coming.is_empty() { patience(ctx) } else { soon });
        let ids: BTreeSet<[u8; 32]> = ids.difference(&coming).copied().collect();
        let members = set.observations.iter().map(|statement| statement.member);
        let listers = report::listers(&self.bodies, &self.blobs, &ids);
        let mut holders: Vec<u32> = members.filter(|m| *m != ctx.desk.me && listers.contains(m)).collect();
        if holders.is_empty() {
            holders = ctx.desk.others();
        }
        send_fetch(ctx, &ids, &holders);
    }

    /// Asks everybody for what has not come.
    pub(super) fn refetch(&mut self, ctx: &mut Ctx<'_>) {
        if ctx.now < self.fetch_at {
            return;
        }
        let waiting = self.waiting();
        self.fetch_at = if waiting.is_empty() { u64::MAX } else { ctx.now.saturating_add(patience(ctx)) };
        let holders = ctx.desk.others();
        send_fetch(ctx, &waiting, &holders);
    }
}

fn send_fetch(ctx: &mut Ctx<'_>, ids: &BTreeSet<[u8; 32]>, holders: &[u32]) {
    let ids: Vec<[u8; 32]> = ids.iter().copied().collect();
    for chunk in ids.chunks(limits::PULL_ITEMS_MAX) {
        ctx.out.push(Effect::Fetch { ids: chunk.to_vec(), holders: holders.to_vec() });
    }
}

/// How long content is waited for before something else is tried, ms.
fn patience(ctx: &Ctx<'_>) -> u64 {
    (ctx.desk.book.conduct.view_timeout_ms / 4).max(PATIENCE_MIN_MS)
}
