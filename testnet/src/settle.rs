//! The end of the leases: closing and paying, the independent calculation beside it, the table.
//! Leaves out: the calculation itself (`expect`, `deeds`), and the replay (`audit`).

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::U256;
use anyhow::{Context as _, Result};

use crate::bundle::Epoch;
use crate::deeds::{self, Account, Book, Facts};
use crate::demo::{Checks, Sabotage, until};
use crate::device::{Clock, diary};
use crate::expect::{Lease, Slots};
use crate::faults::active;
use crate::market::Settled;
use crate::network::Network;
use crate::progress::Progress;
use crate::table::{self, Row};
use crate::{equipment, rules};

/// What the chain paid, per lease.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// By lease id.
    pub leases: BTreeMap<u64, Settled>,
}

/// What should have been paid, in the order of the market's units.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// What each device did, and what that is worth.
    pub each: Vec<Account>,
}

/// Waits for the last root, closes every lease with it, lets everyone withdraw and checks that no coin went astray.
///
/// # Errors
/// When a lease cannot be closed.
pub async fn settle(network: &mut Network, progress: &Progress, checks: &mut Checks) -> Result<Settlement> {
    let last = rules::EPOCHS - 1;
    let step = progress.step("closing");
    step.say("the last report's dispute window");
    network.stop_devices().await?;
    let standing = &*network;
    let is_active = || async { active(standing, last).await };
    until("the last report becomes active", Duration::from_secs(rules::DISPUTE_S + 10), is_active).await?;
    let api = network.committee.api()?;
    let leases = network.market.close(&network.chain, &network.contracts, api, last).await?;
    let balances = network.market.withdraw(&network.chain, &network.contracts).await?;
    step.done(&format!("{} leases closed with their final leaf, everything withdrawn", leases.len()));

    let mut wanted = vec![lessor_balance(network, &leases)];
    wanted.extend(network.market.units.iter().map(|unit| leases.get(&unit.lease).map_or(U256::ZERO, lessee_balance)));
    checks.hold("balances after withdrawal", balances == wanted, || format!("are {balances:?}, should be {wanted:?}"));
    let left = network.market.left(&network.chain, &network.contracts).await?;
    checks.hold("nothing stays in the escrow", left == U256::ZERO, || format!("{left} base units are left"));
    Ok(Settlement { leases })
}

/// What the lessor holds in the end: proven pay less fees, and the bonds less credits.
fn lessor_balance(network: &Network, leases: &BTreeMap<u64, Settled>) -> U256 {
    let bonds = network.market.units.iter().map(|unit| u128::from(unit.plan.kind.price().bond)).sum::<u128>();
    let earned: u128 = leases.values().map(|lease| lease.paid - lease.fee).sum();
    let credits: u128 = leases.values().map(|lease| lease.credit).sum();
    U256::from(bonds + earned - credits)
}

fn lessee_balance(lease: &Settled) -> U256 {
    U256::from(lease.refunded + lease.credit)
}

/// The independent calculation: beacons and void slots from the archive's signed contents, deeds from the diaries.
///
/// # Errors
/// When an archive or a diary cannot be read.
pub async fn calculate(network: &Network, sabotage: Sabotage, checks: &mut Checks) -> Result<Accounts> {
    let scope = network.scope.as_ref().context("the term is not active")?;
    let folder = network.place.folder("archive")?;
    let mut slots = Slots::new();
    for epoch in 0..rules::EPOCHS {
        let bytes = network.committee.api()?.bytes(&format!("/v1/archive/{epoch}")).await?;
        let bytes = bytes.with_context(|| format!("epoch {epoch} is not in the archive"))?;
        std::fs::write(folder.join(format!("epoch-{epoch:06}.bundle")), &bytes)?;
        let read = Epoch::read(&bytes, scope).with_context(|| format!("archive of epoch {epoch}"))?;
        slots.extend(read.slots(rules::VOID_BOUND_MS)?.into_iter().map(|(slot, state)| ((epoch, slot), state)));
    }
    let void: Vec<u64> = slots.iter().filter(|(_, slot)| slot.void).map(|((_, number), _)| *number).collect();
    checks
        .hold("beacons in time", void.is_empty(), || format!("slots {void:?} are void and no fault was planned there"));

    let mut books = Vec::new();
    for unit in &network.market.units {
        let entries = diary::read(&equipment::folder(&network.place, unit).join(diary::FILE))?;
        let lease = Lease::of(unit, network.genesis, network.genesis + rules::LEASE_S);
        books.push(Book { unit, lease, entries });
    }
    if sabotage == Sabotage::Payout {
        hide_answers(&mut books);
    }
    let facts = Facts { clock: clock(network), slots, last_epoch: rules::EPOCHS - 1 };
    let each = deeds::accounts(&books, &facts);
    for account in &each {
        let first = account.unexplained.first().cloned().unwrap_or_default();
        let count = account.unexplained.len();
        checks.hold("every loss was planned", count == 0, || format!("{count} were not, first {first}"));
    }
    Ok(Accounts { each })
}

/// Sabotage: a quarter of gpu-1's answers never happened, says the calculation.
fn hide_answers(books: &mut [Book<'_>]) {
    for book in books.iter_mut().filter(|book| book.unit.plan.name == "gpu-1") {
        book.entries.retain(|entry| !matches!(entry, diary::Entry::Sent { slot: Some(slot), .. } if slot % 4 == 0));
    }
}

const fn clock(network: &Network) -> Clock {
    Clock { genesis_ms: network.genesis * 1000, slot_ms: rules::SLOT_MS, epoch_ms: rules::EPOCH_S * 1000 }
}

/// Every payout against the calculation, exactly.
pub fn compare(network: &Network, settlement: &Settlement, accounts: &Accounts, checks: &mut Checks) {
    let (before, mut wrong) = (checks.failures(), 0);
    for (unit, expected) in network.market.units.iter().zip(accounts.each.iter().map(|account| &account.expected)) {
        let name = format!("payout of lease {} ({})", unit.lease, unit.plan.name);
        let Some(settled) = settlement.leases.get(&unit.lease) else {
            checks.hold(&name, false, || "the lease was not closed".into());
            continue;
        };
        let terms = unit.plan.kind.price();
        let price = u128::from(terms.per_unit);
        let pay = u128::from(expected.good) * price;
        let credit = (u128::from(expected.credit) * price).min(u128::from(terms.bond));
        let held = settled.paid == pay && settled.credit == credit;
        wrong += usize::from(!held);
        checks.hold(&name, held, || {
            format!(
                "the chain paid {} and credited {}, the calculation says {pay} and {credit}",
                settled.paid, settled.credit
            )
        });
    }
    let all = accounts.each.len();
    let text = format!("independent calculation: {} of {all} payouts equal to the last cent", all - wrong);
    checks.found(before, &text);
}

/// Prints the table.
///
/// # Errors
/// When a node does not tell the leases' reasons.
pub async fn show(network: &Network, settlement: &Settlement, accounts: &Accounts) -> Result<()> {
    let mut reasons = reasons(network).await?;
    let mut rows = Vec::new();
    for (unit, expected) in network.market.units.iter().zip(accounts.each.iter().map(|account| &account.expected)) {
        let fault = unit.fault_name();
        let device = if fault.is_empty() { unit.plan.name.to_owned() } else { format!("{} ({fault})", unit.plan.name) };
        let settled = settlement.leases.get(&unit.lease);
        rows.push(Row {
            device,
            key: unit.key_name().into(),
            class: unit.plan.kind.class().1.into(),
            answered: (expected.passed, expected.challenged),
            proven: (expected.good, rules::LEASE_S),
            score_bp: expected.passed * 10_000 / expected.challenged.max(1),
            reasons: reasons.remove(&unit.lease).unwrap_or_default(),
            paid: settled.map_or(0, |lease| lease.paid),
            refunded: settled.map_or(0, |lease| lease.refunded),
            credited: settled.map_or(0, |lease| lease.credit),
        });
    }
    println!("\n{}", table::render(&rows));
    Ok(())
}

/// Why challenges of each lease failed, by the nodes' published verdicts: most frequent first.
async fn reasons(network: &Network) -> Result<BTreeMap<u64, Vec<(String, u64)>>> {
    let mut counts: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
    for epoch in 0..rules::EPOCHS {
        let answer = network.committee.api()?.need(&format!("/v1/reports/{epoch}/verdicts")).await?;
        for verdict in answer["verdicts"].as_array().into_iter().flatten() {
            let lost = verdict["outcome"].as_str().filter(|outcome| *outcome != "passed");
            if let (Some(_), Some(lease), Some(reason)) = (lost, verdict["lease"].as_u64(), verdict["reason"].as_str())
            {
                *counts.entry(lease).or_default().entry(reason.to_owned()).or_default() += 1;
            }
        }
    }
    let sorted = counts.into_iter().map(|(lease, counts)| {
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        (lease, counts)
    });
    Ok(sorted.collect())
}
