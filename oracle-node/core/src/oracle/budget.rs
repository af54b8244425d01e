//! What one author may make the others fetch and keep: a body lists thousands of buckets, each up to its own bound, so that
//! the sum needs a bound, too. An author above it is left out of S, and an S that holds it is refused.
//! The verdict is drawn from the bytes of the buckets alone: every member that fetches them comes to the same.
//! Leaves out: the bound (`collect::author_bytes`), and the same rule inside F (`report`).

use std::collections::BTreeSet;

use super::desk::Ctx;
use super::round::Round;
use crate::collect;
use crate::effect::{Bodies, Content};
use crate::limits;
use crate::observation::blob_hash;
use crate::report::{self, EpochSet};

impl Round {
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
        let Some(snapshot) = ctx.snapshot else { return };
        if self.fetched_bytes < limits::BLOB_BYTES_MAX {
            return;
        }
        let devices = collect::observed_devices(snapshot, &ctx.desk.term, ctx.desk.stream).len();
        if self.fetched_bytes < collect::author_bytes(&ctx.desk.policy, devices) / 4 {
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
        let Some(snapshot) = ctx.snapshot else { return };
        let desk = ctx.desk;
        let culprits = report::overdrawn(snapshot, &desk.term, &desk.policy, desk.stream, bodies, &self.blobs);
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
