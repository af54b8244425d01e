//! A rig's duty: answer every challenge at once, and once a second say what is measured.
//! Leaves out: how it cheats (`adversary`), where its readings come from (`feed`).

use anyhow::Result;

use super::adversary::Cheat;
use super::{Settings, feed};
use crate::device::{Clock, Speech};
use crate::kind::{Act, Challenge, Duty, Role};
use crate::recording::Feed;

/// A rig at work.
#[derive(Debug)]
pub(super) struct Present {
    clock: Clock,
    feed: Feed,
    cheat: Option<Cheat>,
    challenges: u64,
}

impl Present {
    pub(super) fn new(role: &Role) -> Result<Self> {
        let Settings { model } = role.settings()?;
        // Two rigs on one recording differ.
        let offset = usize::try_from(role.token).unwrap_or(0).saturating_mul(997);
        let feed = feed::open(model, role.data.as_deref())?.starting_at(offset);
        Ok(Self { clock: role.clock, feed, cheat: Cheat::of(role.adversary.as_ref())?, challenges: 0 })
    }
}

impl Duty for Present {
    fn source(&self) -> String {
        self.feed.source().to_string()
    }

    fn pulse(&mut self) -> Speech {
        Speech::new(self.feed.sample())
    }

    fn challenged(&mut self, challenge: &Challenge) -> Vec<Act> {
        self.challenges = self.challenges.saturating_add(1);
        let Challenge { lease, slot, draw, .. } = *challenge;
        let fork = self.cheat.is_some_and(|cheat| cheat.forks(self.challenges));
        let mut acts = vec![Act::Say(Speech::answer(lease, slot, draw).forked(fork))];
        if self.cheat == Some(Cheat::Replays) {
            acts.push(Act::Replay);
        }
        acts
    }

    fn silent(&self, now: u64) -> bool {
        now.checked_sub(self.clock.genesis_ms)
            .is_some_and(|after| self.cheat.is_some_and(|cheat| cheat.is_silent(after)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Told;

    const CLOCK: Clock = Clock { genesis_ms: 1_000_000, slot_ms: 1_000, epoch_ms: 15_000 };

    fn rig(adversary: Option<(&str, u64)>) -> Present {
        let told = adversary.map(|(name, number)| Told { name: name.into(), number });
        Present::new(&Role { adversary: told, ..crate::kind::duty::bare(CLOCK, "model = \"gpu\"") }).unwrap()
    }

    fn challenge(slot: u64) -> Challenge {
        Challenge { now: CLOCK.start(slot) + 200, slot, lease: 9, draw: [slot as u8; 32] }
    }

    #[test]
    fn every_challenge_is_answered_and_every_nth_is_forked() {
        assert_eq!(rig(None).challenged(&challenge(3)), [Act::Say(Speech::answer(9, 3, [3; 32]))]);
        let mut forking = rig(Some(("forks", 4)));
        let forked = |slot: &u64| {
            let acts = forking.challenged(&challenge(*slot));
            matches!(&acts[..], [Act::Say(speech)] if speech.fork)
        };
        assert_eq!((0..12).filter(forked).collect::<Vec<_>>(), [3, 7, 11]);
    }

    #[test]
    fn a_replaying_rig_sends_old_messages_with_each_answer() {
        assert_eq!(rig(Some(("replays", 0))).challenged(&challenge(1)).last(), Some(&Act::Replay));
        assert_eq!(rig(None).challenged(&challenge(1)).len(), 1);
    }

    #[test]
    fn a_silent_rig_is_silent_from_its_moment_on() {
        let silent = rig(Some(("falls silent", 30_000)));
        assert!(!silent.silent(CLOCK.genesis_ms - 1) && !silent.silent(CLOCK.start(30) - 1));
        assert!(silent.silent(CLOCK.start(30)) && !rig(None).silent(CLOCK.start(30)));
        let from_the_start = rig(Some(("falls silent", 0)));
        assert!(!from_the_start.silent(CLOCK.genesis_ms - 1) && from_the_start.silent(CLOCK.genesis_ms));
    }

    #[test]
    fn what_is_no_rig_is_refused() {
        let role = |settings| crate::kind::duty::bare(CLOCK, settings);
        assert!(Present::new(&role("model = \"toaster\"")).is_err() && Present::new(&role("")).is_err());
        let adversary = Some(Told { name: "sulks".into(), number: 1 });
        assert!(Present::new(&Role { adversary, ..role("model = \"room\"") }).is_err());
    }
}
