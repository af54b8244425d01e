//! What a stream forgets, in memory and in the journal. Leaves out: everything that it still needs (`stream`).

use std::sync::Arc;

use super::journal::{self, CERTIFIED, HEAD, OBSERVATION, STATE};
use super::stream::{PAST_MAX, Stream, UNSEALED_MAX};
use crate::effect::Effect;
use crate::wire::InstanceId;

impl Stream {
    /// Drops what no later epoch needs, here and in the journal.
    pub(super) fn prune(&mut self, out: &mut Vec<Effect>) {
        let next = self.next_epoch();
        let keep = self.desk.book.conduct.late_epochs.min(6).saturating_add(2);
        let unsealed = self.rounds.range(next.saturating_sub(UNSEALED_MAX)..next);
        let unsealed = unsealed.filter(|(_, round)| round.seal.certified().is_none()).map(|(epoch, _)| *epoch).next();
        let oldest = next.saturating_sub(keep).min(unsealed.unwrap_or(u64::MAX));
        let scope = self.desk.term.scope;
        let later = self.rounds.split_off(&oldest);
        for (epoch, round) in core::mem::replace(&mut self.rounds, later) {
            let instance = self.desk.instance(epoch);
            let kept = decided_key(&scope, instance);
            let keys = round.keys.into_iter().filter(|key| *key != kept);
            let keys = keys.chain([journal::key(OBSERVATION, &scope, instance)]);
            out.extend(keys.map(|key| Effect::Persist(journal::tombstone(key))));
        }
        // A governance rotation may begin from the last report on the chain.
        let based = self.succession.posted.map_or(oldest, |posted| posted.saturating_add(1));
        let oldest_state = oldest.min(based).max(next.saturating_sub(PAST_MAX));
        let later = self.states.split_off(&oldest_state);
        for epoch in core::mem::replace(&mut self.states, later).into_keys() {
            out.push(Effect::Persist(journal::tombstone(journal::key(STATE, &scope, self.desk.instance(epoch)))));
        }
        let later = self.past.split_off(&next.saturating_sub(PAST_MAX));
        for epoch in core::mem::replace(&mut self.past, later).into_keys() {
            let instance = self.desk.instance(epoch);
            let keys = [
                decided_key(&scope, instance),
                journal::key(CERTIFIED, &scope, instance),
                journal::key(HEAD, &scope, instance),
            ];
            self.succession.heads.remove(&epoch);
            out.extend(keys.map(|key| Effect::Persist(journal::tombstone(key))));
        }
        self.succession.decided = self.succession.decided.split_off(&next.saturating_sub(PAST_MAX));
        self.snapshots = self.snapshots.split_off(&oldest);
        self.ahead.prune(next);
        // After a few epochs nothing of the old process is left to restore.
        if self.rounds.first_key_value().is_some_and(|(_, round)| round.qbft.is_some()) && next > self.restored_until {
            self.journal = Arc::default();
        }
    }
}

/// Where the agreement keeps a decision: the one record that outlives its round.
fn decided_key(scope: &crate::typed::Scope, instance: InstanceId) -> Vec<u8> {
    crate::qbft::decided_key(scope, instance).unwrap_or_default()
}
