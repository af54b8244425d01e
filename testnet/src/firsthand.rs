//! What the devices found out for themselves, held against the chain: whom their doors admitted, by certificates that they
//! checked, and which of their messages are acknowledged, by receipts that they checked. Reads their diaries.
//! Leaves out: pay (`expect`), and what the nodes still hold (`faults`).

use alloy::primitives::Address;
use anyhow::Result;

use crate::committee::RECEIPTS_NEEDED;
use crate::demo::Checks;
use crate::device::diary::{self, Entry};
use crate::network::Network;
use crate::settle::Accounts;
use crate::vandal::Spree;
use crate::{equipment, rules};

/// How long after the end of the right a door may stand open, ms: it looks once a second.
const SLACK_MS: u64 = 2_000;

/// What a device's diary says of its door.
#[derive(Debug, Default, PartialEq, Eq)]
struct DoorLog {
    /// (ms, who) whenever it changed.
    changes: Vec<(u64, Option<String>)>,
    /// (user, lease, expiry) of every certified word.
    words: Vec<(String, u64, u64)>,
    /// Words that did not hold.
    refused: usize,
}

impl DoorLog {
    fn read(entries: &[Entry]) -> Self {
        let mut log = Self::default();
        for entry in entries {
            match entry {
                Entry::Door { at_ms, admits } => log.changes.push((*at_ms, admits.clone())),
                Entry::Access { user, lease, expires, .. } => log.words.push((user.clone(), *lease, *expires)),
                Entry::BadAccess { .. } => log.refused += 1,
                _ => {}
            }
        }
        log
    }

    /// What is wrong with it, if it should have admitted this user alone, by this lease, until this second.
    fn fault(&self, user: &str, lease: u64, expires: u64) -> Option<String> {
        if let Some(other) = self.words.iter().find(|word| (word.0.as_str(), word.1, word.2) != (user, lease, expires))
        {
            return Some(format!("a certificate names {other:?}"));
        }
        let [(_, Some(admitted)), (closed, None)] = self.changes.as_slice() else {
            return Some(format!("it did not open once and close once: {:?}", self.changes));
        };
        if admitted != user {
            return Some(format!("it admitted {admitted}"));
        }
        let end = expires.saturating_mul(1_000);
        let in_time = (end..end.saturating_add(SLACK_MS)).contains(closed);
        (!in_time).then(|| format!("it closed at {closed} ms, the right ended at {end}"))
    }
}

/// Every device's door admitted its lessee, as the chain's `userOf` had it in the middle of the lease, and nobody else; the
/// vandal's keys did not fit.
///
/// # Errors
/// When a diary cannot be read.
pub fn check_doors(network: &Network, users: &[(Address, u64)], spree: &Spree, checks: &mut Checks) -> Result<()> {
    let before = checks.failures();
    let (mut right, mut refused, mut opened) = (0, 0, Vec::new());
    let parties = network.market.units.iter().zip(&network.market.lessees).zip(users);
    for ((unit, lessee), (user, expires)) in parties {
        let log = DoorLog::read(&diary::read(&equipment::folder(&network.place, unit).join(diary::FILE))?);
        let name = format!("the door of {}", unit.plan.name);
        checks.hold(&name, *user == lessee.address(), || format!("userOf on chain is {user}"));
        let fault = log.fault(&user.to_checksum(None), unit.lease, *expires);
        right += usize::from(fault.is_none());
        refused += log.refused;
        opened.extend(log.changes.first().map(|(at_ms, _)| at_ms.saturating_sub(network.genesis * 1_000) / 1_000));
        checks.hold(&name, fault.is_none(), || fault.unwrap_or_default());
    }
    let keys = spree.keys;
    checks.hold("forged keys open no door", refused == keys && keys == network.market.units.len(), || {
        format!("{keys} forged, {refused} refused")
    });
    checks.found(before, &format!("{right} of {} doors admitted their lessee and nobody else, by certificate, from second {} to {}; {refused} forged keys refused",
        network.market.units.len(),
        opened.iter().min().copied().unwrap_or_default(),
        rules::LEASE_S,
    ));
    Ok(())
}

/// Every message that a broker took is acknowledged: the device holds receipts of f+1 members.
///
/// # Errors
/// When a diary cannot be read.
pub fn check_receipts(network: &Network, accounts: &Accounts, spree: &Spree, checks: &mut Checks) -> Result<()> {
    let before = checks.failures();
    let (mut taken, mut lacking, mut receipts, mut forged) = (0, Vec::new(), 0, 0);
    for (unit, account) in network.market.units.iter().zip(&accounts.each) {
        taken += account.taken.len();
        let lacks = account.taken.difference(&account.acknowledged);
        lacking.extend(lacks.map(|id| format!("{} {id}", unit.plan.name)));
        for entry in diary::read(&equipment::folder(&network.place, unit).join(diary::FILE))? {
            match entry {
                Entry::Receipt { ids, .. } => receipts += ids.len(),
                Entry::BadReceipt { .. } => forged += 1,
                _ => {}
            }
        }
    }
    checks.hold("receipts for every message", lacking.is_empty() && taken > 0, || {
        let first = lacking.first().cloned().unwrap_or_default();
        format!("{} of {taken} messages lack receipts of {RECEIPTS_NEEDED} members, first {first}", lacking.len())
    });
    checks.hold("only forged receipts are refused", forged == spree.receipts, || {
        format!("{forged} refused, {} forged", spree.receipts)
    });
    checks.found(before, &format!("{} of {taken} messages acknowledged by {RECEIPTS_NEEDED} or more members: {receipts} receipts checked by the devices, {forged} forged ones refused",
        taken - lacking.len()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(changes: &[(u64, Option<&str>)], words: &[(&str, u64, u64)]) -> DoorLog {
        let mut entries = vec![Entry::BadAccess { at_ms: 0, why: "forged".into() }];
        entries.extend(words.iter().map(|(user, lease, expires)| Entry::Access {
            at_ms: 0,
            user: (*user).into(),
            lease: *lease,
            expires: *expires,
            epoch: 0,
        }));
        entries.extend(changes.iter().map(|(at, who)| Entry::Door { at_ms: *at, admits: who.map(str::to_owned) }));
        DoorLog::read(&entries)
    }

    #[test]
    fn a_door_opens_once_for_the_lessee_and_closes_when_the_right_ends() {
        let word = [("anna", 3, 60)];
        let good = log(&[(17_000, Some("anna")), (60_400, None)], &word);
        assert_eq!((good.fault("anna", 3, 60), good.refused), (None, 1));
        assert!(good.fault("bert", 3, 60).is_some());
        assert!(good.fault("anna", 4, 60).is_some());
        assert!(log(&[], &word).fault("anna", 3, 60).is_some(), "never opened");
        assert!(log(&[(17_000, Some("anna"))], &word).fault("anna", 3, 60).is_some(), "never closed");
        assert!(log(&[(17_000, Some("anna")), (59_000, None)], &word).fault("anna", 3, 60).is_some(), "too early");
        assert!(log(&[(17_000, Some("anna")), (63_000, None)], &word).fault("anna", 3, 60).is_some(), "too late");
        assert!(log(&[(17_000, Some("bert")), (60_400, None)], &word).fault("anna", 3, 60).is_some());
        let both = [("anna", 3, 60), ("bert", 3, 60)];
        assert!(log(&[(17_000, Some("anna")), (60_400, None)], &both).fault("anna", 3, 60).is_some());
    }
}
