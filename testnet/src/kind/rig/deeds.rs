//! What a rig truly did about its challenges, by its diary: an answer counts once, in time, and not when it was forked.
//! Leaves out: pay (`expect`).

use std::collections::BTreeSet;

use super::adversary::Cheat;
use crate::deeds::{Account, Book, Facts, Verdict, weigh};
use crate::device::Entry;
use crate::rules;

/// What one rig is owed.
pub(super) fn account(book: &Book<'_>, facts: &Facts) -> Account {
    let forked = forked(&book.entries);
    let judge = |slot| match answered(book, &forked, slot, facts) {
        Verdict::Lost(_) if explained(book, &forked, slot, facts) => Verdict::Spared,
        verdict => verdict,
    };
    weigh(book, facts, BTreeSet::new(), judge)
}

/// (boot, sequence number) and slot of everything signed twice.
type Forked = BTreeSet<((u32, u64), Option<u64>)>;

fn forked(entries: &[Entry]) -> Forked {
    let twice = entries.iter().filter_map(|entry| match entry {
        Entry::Sent { fork: true, boot, seq, slot, .. } => Some(((*boot, *seq), *slot)),
        _ => None,
    });
    twice.collect()
}

/// Whether the rig's own planned fault accounts for losing the slot.
fn explained(book: &Book<'_>, forked: &Forked, slot: u64, facts: &Facts) -> bool {
    let told = book.unit.plan.adversary;
    match told.and_then(|one| Cheat::read(one.name, one.number).ok()) {
        Some(Cheat::Silent { from_ms }) => slot * facts.clock.slot_ms + book.lease.rules.deadline_ms > from_ms,
        Some(Cheat::Forks { .. }) => forked.iter().any(|(_, of)| *of == Some(slot)),
        Some(Cheat::Replays) | None => false,
    }
}

fn answered(book: &Book<'_>, forked: &Forked, wanted: u64, facts: &Facts) -> Verdict {
    let twice: BTreeSet<(u32, u64)> = forked.iter().map(|(number, _)| *number).collect();
    let (start, own) = (facts.clock.start(wanted), book.lease.lease);
    let sent = book.entries.iter().filter_map(|entry| match entry {
        Entry::Sent { at_ms, class, boot, seq, slot, lease, .. }
            if class == "answer" && *slot == Some(wanted) && *lease == Some(own) && !twice.contains(&(*boot, *seq)) =>
        {
            Some(at_ms.saturating_sub(start))
        }
        _ => None,
    });
    let deadline = book.lease.rules.deadline_ms;
    match sent.min() {
        Some(after) if after <= deadline => Verdict::Met,
        Some(after) if after <= deadline + rules::GOSSIP_MS => Verdict::Late(format!("answered after {after} ms")),
        Some(after) => Verdict::Lost(format!("answered after {after} ms")),
        None => Verdict::Lost("not answered".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deeds::tests::{facts, lease, sent, unit};
    use crate::fleet::Unit;
    use crate::kind::Adversary;
    use crate::kind::rig::{Rig, adversary};

    fn rig(token: u64, alg: u8, adversary: Adversary) -> Unit {
        unit(&Rig, token, alg, None, Some(adversary))
    }

    #[test]
    fn answers_count_once_in_time_and_unforked() {
        let gpu = rig(1, 1, adversary::forks(4));
        let entries = vec![
            sent(0, 100, "answer", 1, Some(11), false),
            sent(0, 900, "answer", 1, Some(99), false),
            sent(1, 100, "answer", 2, Some(11), false),
            sent(1, 120, "answer", 2, Some(11), true),
            sent(2, 2_500, "answer", 3, Some(11), false),
        ];
        let account = account(&Book { unit: &gpu, lease: lease(&gpu), entries }, &facts(4));
        assert_eq!(account.deeds.met.iter().copied().collect::<Vec<_>>(), [0, 2]);
        assert_eq!((account.expected.challenged, account.expected.passed), (4, 2));
        // The fork was planned; the delay in slot 2 and the silence in slot 3 were not.
        assert_eq!(account.unexplained.len(), 2, "{:?}", account.unexplained);
    }

    #[test]
    fn silence_explains_what_comes_after_it() {
        let gpu = rig(1, 2, adversary::silent(2_000));
        let entries = vec![sent(0, 100, "answer", 1, Some(11), false)];
        let account = account(&Book { unit: &gpu, lease: lease(&gpu), entries }, &facts(4));
        assert_eq!((account.deeds.met.len(), account.unexplained.len()), (1, 0), "{:?}", account.unexplained);
    }
}
