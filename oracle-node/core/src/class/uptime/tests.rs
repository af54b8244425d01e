//! A real machine's hours as uptime: every hour that its log has is an answered challenge, every other one a failed one.
//! Leaves out: beacons, agreement and signatures, which whole epochs are tested with (`tests/epoch`).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256};
use attest::{AnswerBody, Body, Claims, SoftEd25519};

use super::*;
use crate::class::{Account, Count, InForce, Item, Items, recorded};
use crate::observation::BY_NEVER;
use crate::policy::tests::{book, conduct, policy};
use crate::typed::Scope;

const HOUR_MS: u64 = 3_600_000;
const LEASE: u64 = 7;
const DEVICE: u64 = 3;

/// Hours since the log's first, ascending; `None` after saying that it is not there.
fn hours() -> Option<BTreeSet<u64>> {
    let text = recorded::text("telemetry/gpu/cbsugpu08_usage_stats.tsv.gz")?;
    let hour = |line: &str| -> Option<u64> {
        let stamp = line.split('\t').nth(1)?;
        let mut numbers = stamp.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u64>().ok());
        let (year, month, day, hour) = (numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()?);
        // Days of the civil calendar, years from March on.
        let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day;
        Some(days * 24 + hour)
    };
    let all: BTreeSet<u64> = text.lines().skip(1).filter_map(hour).collect();
    let first = *all.first().unwrap();
    Some(all.into_iter().map(|hour| hour - first).collect())
}

fn term() -> Term {
    let scope = Scope { chain_id: 1, registry: Address::ZERO, committee: 1, term: 1, config_digest: B256::ZERO };
    let (members, book_root) = (vec![], B256::ZERO);
    Term { scope, members, book_root, epoch_ms: 64 * HOUR_MS, slot_ms: HOUR_MS, genesis_ms: Some(0) }
}

fn record(end: u64) -> LeaseRecord {
    LeaseRecord {
        escrow: Address::ZERO,
        device: DEVICE,
        lessee: Address::ZERO,
        lessor: Address::ZERO,
        class: 1,
        committee: 1,
        stream: 0,
        policy_hash: B256::ZERO,
        start: 0,
        end,
    }
}

/// The payload of an answer to a slot's challenge.
fn answer(key: &SoftEd25519, slot: u64, draw: [u8; 32]) -> Vec<u8> {
    let body = Body::Answer(AnswerBody { lease: LEASE, slot });
    let claims = Claims { iat: None, nonce: Some(draw), boot: 1, seq: slot, prev: [0; 16], body };
    let mut room = [0; attest::MAX_MESSAGE];
    let signed = attest::seal(key, &[1; 8], &claims, &mut room).unwrap();
    attest::decode(signed.bytes).unwrap().payload.to_vec()
}

#[test]
fn a_recorded_servers_hours_are_its_uptime() {
    let Some(up) = hours() else { return };
    let last = *up.last().unwrap() + 1;
    let mut document = policy();
    document["classes"]["uptime"]["service"]["challenge_p"] = u64::MAX.to_string().into();
    let book = book(&[conduct(), document]);
    let policy = book.policies().next().unwrap().1;
    let InForce { rules, .. } = &policy.classes[&1];
    let (key, term) = (SoftEd25519::from_seed([1; 32]), term());
    let challenges: Vec<Challenge> = (0..last)
        .map(|slot| Challenge { lease: LEASE, device: DEVICE, slot, draw: [u8::try_from(slot % 251).unwrap(); 32] })
        .collect();
    let payloads: BTreeMap<u64, Vec<u8>> = challenges
        .iter()
        .filter(|one| up.contains(&one.slot))
        .map(|one| (one.slot, answer(&key, one.slot, one.draw)))
        .collect();
    let mut items = Items::default();
    for (slot, payload) in &payloads {
        let mut held = Count::default();
        held.add(2_000, 3);
        held.add(BY_NEVER, 1);
        let said = Some((attest::Class::Answer, payload.as_slice()));
        let item = Item { boot: 1, seq: *slot, id: [0; 32], held, forked: false, said };
        items.push(DEVICE, attest::Class::Answer as u8, *slot, item);
    }
    let (nobody, facts) = (BTreeMap::new(), crate::report::Facts::default());
    let case = Case {
        class: 1,
        term: &term,
        epoch: 0,
        conduct: &book.conduct,
        policy,
        faults: 1,
        devices: &nobody,
        facts: &facts,
        folds: &BTreeMap::new(),
        items: &items,
        challenges: &challenges,
        leases: &[],
        measured: &BTreeMap::new(),
    };
    let Appraisal { findings, .. } = rules.appraise(&case);
    let passed = findings.iter().filter(|one| one.result.is_ok()).count() as u64;
    let seconds = last * 3_600;
    let mut account = Account { fold: rules.open(&term, &record(seconds)), ..Account::default() };
    rules.score(seconds, &findings, &mut account);
    let (good, bad) = (account.good / 3_600, account.bad / 3_600);
    println!(
        "{passed} of {last} hours ({} millionths); {good} h proven good, {bad} h proven bad",
        passed * 1_000_000 / last
    );
    assert_eq!((passed, last, passed * 1_000_000 / last), (15_277, 15_341, 995_828));
    assert!(
        findings
            .iter()
            .filter(|one| one.result.is_err())
            .all(|one| one.result == Err(case.absence([].into_iter(), 0, Reason::NO_ANSWER)))
    );
    assert!(account.units == u128::from(account.good) && account.good + account.bad <= seconds);
}
