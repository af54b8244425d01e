//! What one author may make the others fetch and keep: a body lists thousands of buckets, each up to its own bound, so that
//! the sum needs a bound, too. An author above it is left out of S, and an S that holds it is refused.
//! The verdict is drawn from the bytes of the buckets alone: every member that fetches them comes to the same.
//!
//! What one author can make this member hold: of every stream, in the one epoch that is decided next, its body and its budget
//! (over all streams together bounded by `collect::author_bytes`), and one delivery more; a body for each of the
//! [`limits::EPOCHS_AHEAD_MAX`] epochs behind it; of decided epochs only what the decided S names. An author that signs
//! several observations of one epoch has that much for each that a proposal in question names, and gives a fault proof.
//! Leaves out: the bound (`collect::author_bytes`), and the same rule inside F (`report`).

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::B256;

use super::desk::Ctx;
use super::pull::Pulls;
use super::round::Round;
use crate::collect;
use crate::effect::{Bodies, Content, Effect};
use crate::fault::FaultProof;
use crate::limits;
use crate::observation::{Body, blob_hash};
use crate::report::{self, EpochSet};
use crate::wire;

/// An entry of a decoded body, bytes.
const ENTRY_BYTES: usize = size_of::<(u64, wire::Hash)>();

/// What the chain's view of an epoch says that observations are about.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) devices: BTreeSet<u64>,
    /// An author's budget, bytes.
    pub(super) budget: usize,
    /// Slots of which a body may give a lateness.
    slots: usize,
}

impl Round {
    /// What observations are about; `None` while the chain's view of the epoch is not known.
    pub(super) fn observed(&mut self, ctx: &Ctx<'_>) -> Option<Arc<Observed>> {
        let (snapshot, desk) = (ctx.snapshot?, ctx.desk);
        let observe = || {
            let devices =
                collect::observed_devices(snapshot, &desk.term, &desk.book, desk.stream).into_keys().collect();
            let budget = collect::author_bytes(snapshot, &desk.term, &desk.book, desk.stream);
            let slots = report::beacon_range(&desk.term, &desk.book, self.epoch).count();
            Arc::new(Observed { devices, budget, slots })
        };
        Some(Arc::clone(self.observed.get_or_insert_with(observe)))
    }

    /// Whether a body is no longer than an honest one can be. One that is, or comes before the chain's view of its epoch is
    /// known, is not kept: it is repeated until its epoch is decided, and fetched where a proposal names it.
    pub(super) fn is_to_the_point(&mut self, ctx: &Ctx<'_>, body: &Body) -> bool {
        let observed = self.observed(ctx);
        observed.is_some_and(|o| body.buckets.len() <= o.devices.len() && body.lateness.len() <= o.slots)
    }

    /// The epoch is decided and computed: whatever the decided S does not name goes, here and from the disk.
    pub(super) fn settle(&mut self, ctx: &mut Ctx<'_>, decided: B256) {
        if core::mem::replace(&mut self.settled, true) {
            return;
        }
        self.results.retain(|value, _| *value == decided);
        let Some(done) = self.results.get(&decided) else { return };
        let mut kept: BTreeSet<[u8; 32]> = done.outcome.content.iter().copied().collect();
        kept.extend(done.set.observations.iter().map(|statement| *statement.value));
        self.blobs.retain(|id, _| kept.contains(id));
        self.bodies.clear();
        self.questions.clear();
        self.draft = None;
        self.pulls = Pulls::default();
        let kept = kept.into_iter().collect();
        ctx.out.push(Effect::Settled { stream: ctx.desk.stream, epoch: self.epoch, kept });
    }

    /// Drops the buckets and bodies that neither an observation held here nor a proposal in question lists.
    pub(super) fn sweep(&mut self) {
        let mut listed: BTreeSet<[u8; 32]> = BTreeSet::new();
        let judged = self.results.values().map(|done| &done.set).chain(self.tasks().map(|task| &task.set));
        let named: BTreeSet<[u8; 32]> =
            judged.flat_map(|set| &set.observations).chain(self.statements.values()).map(|s| *s.value).collect();
        let bodies = self.bodies.values().chain(self.results.values().flat_map(|done| done.bodies.values()));
        bodies.for_each(|body| listed.extend(body.buckets.iter().map(|(_, hash)| **hash)));
        for content in named.iter().filter_map(|id| self.blobs.get(id)) {
            if let Ok(body) = wire::decode::<Body>(&content.bytes, limits::BLOB_BYTES_MAX) {
                listed.extend(body.buckets.iter().map(|(_, hash)| **hash));
            }
        }
        self.blobs.retain(|id, content| content.class != 0 || named.contains(id) || listed.contains(id));
    }

    /// Accuses whoever has signed another observation than the one in S, once.
    pub(super) fn accuse_twofaced(&mut self, ctx: &mut Ctx<'_>, set: &EpochSet) {
        for said in &set.observations {
            let first = self.statements.get(&said.member).filter(|first| first.value != said.value);
            if let Some(first) = first
                && self.twofaced.insert(said.member)
            {
                ctx.accuse(&FaultProof { a: first.clone(), b: said.clone() });
            }
        }
    }

    /// Bytes of the content held, and of the lists of the bodies beside it.
    pub(super) fn held_bytes(&self) -> usize {
        let listed = self.bodies.values().map(|body| body.buckets.len().saturating_mul(ENTRY_BYTES));
        let contents = self.blobs.values().map(|content| content.bytes.len());
        listed.chain(contents).fold(0, usize::saturating_add)
    }

    /// Takes content that something waits for, or that was pulled ahead. A blob that is not of its hash, or anything above
    /// its bound, is none: it must not be counted against the author of the true one.
    pub(super) fn on_content(&mut self, contents: &[Content]) {
        let waiting = self.waiting();
        let wanted = |content: &&Content| {
            waiting.contains(&content.id) || (content.class == 0 && self.pulls.awaits(&content.id))
        };
        let wanted: Vec<&Content> = contents.iter().filter(wanted).collect();
        for content in wanted {
            let is_it = match content.class {
                0 => content.bytes.len() <= limits::BLOB_BYTES_MAX && blob_hash(&content.bytes) == content.id,
                _ => content.bytes.len() <= attest::MAX_MESSAGE,
            };
            if is_it {
                self.pulls.arrived(&content.id, content.bytes.len());
                self.fetched_bytes = self.fetched_bytes.saturating_add(content.bytes.len());
                self.blobs.insert(content.id, content.clone());
            }
        }
    }

    /// Looks at the authors' sums while content still comes, so that nobody need hold all that a liar can list.
    pub(super) fn check_budgets(&mut self, ctx: &mut Ctx<'_>) {
        if self.observed(ctx).is_none_or(|observed| self.fetched_bytes <= observed.budget / 4) {
            return;
        }
        self.fetched_bytes = 0;
        let sets: Vec<EpochSet> = self.tasks().map(|task| task.set.clone()).collect();
        for set in sets {
            if let Ok(bodies) = self.bodies_of(&set) {
                self.find_overdrawn(ctx, &bodies);
            }
        }
    }

    /// Notes authors whose buckets, as far as they are held, are above their bound, and gives up what only they list.
    pub(super) fn find_overdrawn(&mut self, ctx: &mut Ctx<'_>, bodies: &Bodies) {
        let Some(observed) = self.observed(ctx) else { return };
        let culprits = report::overdrawn(&observed.devices, observed.budget, bodies, &self.blobs);
        let mut theirs = BTreeSet::new();
        for (member, body) in bodies.iter().filter(|(member, _)| culprits.contains(*member)) {
            if self.overdrawn.insert(body.hash()) {
                let text =
                    format!("epoch {}: member {member} lists more bytes of buckets than an author may", self.epoch);
                ctx.note("over_budget", text);
                theirs.extend(body.buckets.iter().map(|(_, hash)| **hash));
            }
        }
        if theirs.is_empty() {
            return;
        }
        let others = self.bodies.iter().filter(|(member, _)| !culprits.contains(*member));
        for (_, hash) in others.flat_map(|(_, body)| &body.buckets) {
            theirs.remove(&**hash);
        }
        self.blobs.retain(|id, _| !theirs.contains(id));
    }

    /// Whether S holds an author found above its bound.
    pub(super) fn has_overdrawn(&self, set: &EpochSet) -> bool {
        set.observations.iter().any(|statement| self.overdrawn.contains(&*statement.value))
    }
}
