//! The minute of work: waits, kills, restarts, watches the reports arrive, and afterwards questions the killed node.
//! Leaves out: the devices' own misdeeds, which are in their configuration, and the liar's, which is in its.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use alloy::sol_types::SolEvent as _;
use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;

use crate::api::Api;
use crate::bundle::Epoch;
use crate::chain::Chain;
use crate::committee::{KILLED, LIAR, LIES_IN_EPOCH};
use crate::contracts::{Deployed, ReportHub};
use crate::demo::Checks;
use crate::network::Network;
use crate::progress::{Progress, Step};
use crate::rules;
use crate::settle::Accounts;
use crate::vandal::{self, Spree};

/// When the node is killed, ms after genesis: in epoch 1.
const KILL_AT_MS: i64 = 20_000;
/// When it is started again.
const RESTART_AT_MS: i64 = 26_000;
/// When the vandal sets about it, ms after genesis: in epoch 2, when the node is back.
const VANDAL_AT_MS: i64 = 32_000;
/// The epoch whose report is claimed while the leases still run.
const CLAIM_EPOCH: u64 = 1;
/// How long after its end an epoch's report may be missing on chain, ms.
const PATIENCE_MS: i64 = 30_000;

/// Posted reports: epoch → (header digest, active at).
pub type Posted = BTreeMap<u64, (B256, u64)>;

/// What a node's journal says it signed: (kind, epoch, phase, view) → value.
pub type Journal = BTreeMap<(u64, u64, u64, u64), String>;

/// What was seen while it lasted.
#[derive(Debug)]
pub struct Played {
    /// The killed node's journal as it was just before.
    pub journal: Journal,
    /// Every device's user and the end of the right, by the chain, in the middle of the leases.
    pub users: Vec<(Address, u64)>,
    /// What the vandal did.
    pub spree: Spree,
}

/// Plays the minute until the last report is posted.
///
/// # Errors
/// When a process dies unplanned or reports stop coming.
pub async fn play(network: &mut Network, progress: &Progress, checks: &mut Checks) -> Result<Played> {
    let length = rules::EPOCHS * rules::EPOCH_S;
    let bar = progress.bar("work", length);
    let mut script = Script::default();
    loop {
        let now = network.since_genesis_ms();
        network.check()?;
        script.act(network, now, &bar, checks).await?;
        let posted = posted(&network.chain, &network.contracts).await?;
        script.tell(&posted, &bar);
        if script.done(&posted) {
            break;
        }
        let waits_for = u64::try_from(posted.len())?;
        let due = i64::try_from((waits_for + 1) * rules::EPOCH_S * 1000)?;
        if now > due + PATIENCE_MS {
            bail!("epoch {waits_for} ended {} s ago and its report is not on chain", (now - due) / 1000);
        }
        let slot = u64::try_from(now.max(0) / 1000)?;
        bar.at(slot.min(length), &words(now, slot));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    bar.done(&format!("{} epochs proven, certified and posted", rules::EPOCHS));
    let spree = script.spree.join_next().await.context("the vandal never came")???;
    Ok(Played { journal: script.journal, users: script.users, spree })
}

fn words(now: i64, slot: u64) -> String {
    if now < 0 {
        format!("epoch 0 in {} s", -now / 1000 + 1)
    } else {
        format!("epoch {}, slot {slot}", slot / rules::EPOCH_S)
    }
}

/// The posted reports of the stream.
///
/// # Errors
/// When the chain does not answer.
pub async fn posted(chain: &Chain, contracts: &Deployed) -> Result<Posted> {
    let events = chain.events(contracts.hub).await?;
    let reports = events.iter().filter_map(|log| ReportHub::ReportPosted::decode_log(log).ok());
    Ok(reports.map(|report| (report.epoch, (report.headerDigest, report.activeAt))).collect())
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Script {
    killed: bool,
    restarted: bool,
    asked: bool,
    claimed: bool,
    told: Option<u64>,
    journal: Journal,
    users: Vec<(Address, u64)>,
    vandal_came: bool,
    /// Ends with the story.
    spree: JoinSet<Result<Spree>>,
}

impl Script {
    async fn act(&mut self, network: &mut Network, now: i64, bar: &Step, checks: &mut Checks) -> Result<()> {
        if !self.killed && now >= KILL_AT_MS {
            self.killed = true;
            self.journal = journal(&network.committee.node(KILLED)?.api).await?;
            let node = network.committee.node(KILLED)?;
            node.kill().await?;
            bar.note(&format!("{} killed (SIGKILL) in epoch {}", node.name, KILL_AT_MS as u64 / 1000 / rules::EPOCH_S));
        }
        if !self.restarted && now >= RESTART_AT_MS {
            self.restarted = true;
            let place = network.place.clone();
            let node = network.committee.node(KILLED)?;
            node.start(&place)?;
            bar.note(&format!("{} started again", node.name));
        }
        if !self.vandal_came && now >= VANDAL_AT_MS {
            self.vandal_came = true;
            self.spree.spawn(vandal::spree(network.targets()?));
            bar.note("a vandal throws garbage at every port and topic");
        }
        let lies_end_ms = i64::try_from((LIES_IN_EPOCH + 1) * rules::EPOCH_S * 1000)?;
        if !self.asked && now >= lies_end_ms - 2_000 {
            self.asked = true;
            let back = signs_again(network).await?;
            let names = (network.committee.node(KILLED)?.name.clone(), network.committee.node(LIAR)?.name.clone());
            let why = || format!("{} had not signed anything since its restart when {} began to lie", names.0, names.1);
            checks.hold("one fault at a time", back.is_some(), why);
            if let Some(epoch) = back {
                bar.note(&format!(
                    "{} has signed again (epoch {epoch}); {} now falsifies its observation",
                    names.0, names.1
                ));
            }
        }
        if !self.claimed && active(network, CLAIM_EPOCH).await? {
            self.claimed = true;
            self.users = network.market.users(&network.chain, &network.contracts).await?;
            let api = network.committee.api()?.clone();
            let skipped = network.market.claim(&network.chain, &network.contracts, &api, CLAIM_EPOCH).await?;
            checks.hold("claims in mid-lease", skipped == 0, || format!("{skipped} of the batch were passed over"));
            bar.note(&format!(
                "one batch claims {} leases by Merkle proof (epoch {CLAIM_EPOCH})",
                network.market.units.len()
            ));
        }
        Ok(())
    }

    fn tell(&mut self, posted: &Posted, bar: &Step) {
        for (epoch, (digest, _)) in posted.iter().filter(|(epoch, _)| self.told.is_none_or(|told| **epoch > told)) {
            bar.note(&format!("epoch {epoch} posted, header {}…", &digest.to_string()[..10]));
        }
        self.told = posted.keys().next_back().copied().or(self.told);
    }

    fn done(&self, posted: &Posted) -> bool {
        self.restarted && self.asked && posted.keys().next_back().is_some_and(|last| *last + 1 >= rules::EPOCHS)
    }
}

/// Whether an epoch's root may be claimed from.
///
/// # Errors
/// When the chain does not answer.
pub async fn active(network: &Network, epoch: u64) -> Result<bool> {
    let call = ReportHub::isActiveCall { committee: rules::COMMITTEE, stream: rules::STREAM, epoch };
    network.chain.ask(network.contracts.hub, &call).await
}

/// The epoch after the kill for which the killed node's signed observation is known to another node.
async fn signs_again(network: &Network) -> Result<Option<u64>> {
    let scope = network.scope.as_ref().context("the term is not active")?;
    for epoch in (1..LIES_IN_EPOCH).rev() {
        let Some(bytes) = network.committee.api()?.bytes(&format!("/v1/archive/{epoch}")).await? else { continue };
        let observers = Epoch::read(&bytes, scope)?.observers;
        if observers.iter().any(|member| usize::try_from(*member).is_ok_and(|member| member == KILLED)) {
            return Ok(Some(epoch));
        }
    }
    Ok(None)
}

/// The lie is on record: the archive holds the liar's signed observation, and what it says contradicts all others. Its
/// effect on pay is nil, as the comparison of payouts shows.
///
/// # Errors
/// When the archive cannot be read.
pub async fn check_liar(network: &Network, checks: &mut Checks) -> Result<()> {
    let before = checks.failures();
    let scope = network.scope.as_ref().context("the term is not active")?;
    let bytes = network.committee.api()?.bytes(&format!("/v1/archive/{LIES_IN_EPOCH}")).await?;
    let epoch = Epoch::read(&bytes.context("the liar's epoch is not in the archive")?, scope)?;
    let member = u32::try_from(LIAR)?;
    let name = network.committee.nodes.get(LIAR).map_or("the liar", |node| &node.name);
    match epoch.denied_by(member) {
        Some(denied) => {
            checks.hold("the liar lied", denied > 0, || format!("{name}'s observation is no lie"));
            let all = format!("{denied} beacons that every other member had (epoch {LIES_IN_EPOCH})");
            checks.found(before, &format!("{name} denied {all}; outvoted"));
        }
        None => {
            let heard = epoch.observers.contains(&member);
            checks.hold("the liar spoke", heard, || format!("{name}'s observation is not in the archive"));
            let what = format!("observation of epoch {LIES_IN_EPOCH} was left out of the agreed set");
            checks.found(before, &format!("{name}'s {what}, and published as such"));
        }
    }
    Ok(())
}

/// Everything a node says it has signed, of every kind of decision.
async fn journal(api: &Api) -> Result<Journal> {
    let mut journal = Journal::new();
    for kind in 1..=5u64 {
        let answer = api.need(&format!("/v1/statements?kind={kind}")).await?;
        for row in answer["statements"].as_array().into_iter().flatten() {
            let number = |field: &str| row[field].as_u64().with_context(|| format!("/v1/statements: {row}"));
            let value = row["value"].as_str().with_context(|| format!("/v1/statements: {row}"))?.to_owned();
            let key = (kind, number("epoch")?, number("phase")?, number("view")?);
            if let Some(other) = journal.insert(key, value.clone()).filter(|other| *other != value) {
                bail!("signed twice: kind, epoch, phase, view {key:?} hold {other} and {value}");
            }
        }
    }
    Ok(journal)
}

/// Questions the restarted node: nothing signed twice, nothing acknowledged missing.
///
/// # Errors
/// When it does not answer.
pub async fn check_restarted(
    network: &mut Network,
    before: &Journal,
    accounts: &Accounts,
    checks: &mut Checks,
) -> Result<()> {
    let (name, api) = {
        let node = network.committee.node(KILLED)?;
        (node.name.clone(), node.api.clone())
    };
    let failures = checks.failures();
    if let Some(after) = checks.step("the killed node signed nothing twice", journal(&api).await) {
        let changed: Vec<_> = before.iter().filter(|(key, value)| after.get(*key) != Some(*value)).collect();
        let held = changed.is_empty() && !before.is_empty() && after.len() > before.len();
        let (count, all) = (changed.len(), before.len());
        checks.hold("the killed node's journal", held, || {
            format!("{count} of {all} statements of before the kill changed or vanished, first {:?}", changed.first())
        });
        let since = after.len().saturating_sub(all);
        let text = format!("{name}: {all} statements signed before the kill unchanged, {since} since, none twice");
        checks.found(failures, &text);
    }
    for node in &network.committee.nodes {
        let metrics = node.api.bytes("/metrics").await?.unwrap_or_default();
        let metrics = String::from_utf8_lossy(&metrics).into_owned();
        let seen = metrics.lines().find(|line| line.contains("\"fault_proof\"") && !line.ends_with(" 0"));
        checks.hold("nobody saw a member sign twice", seen.is_none(), || {
            format!("{}: {}", node.name, seen.unwrap_or(""))
        });
    }
    check_kept(network, &name, &api, accounts, checks).await
}

/// Every message that a broker took or that is acknowledged to a device is in the killed node's store.
async fn check_kept(network: &Network, name: &str, api: &Api, accounts: &Accounts, checks: &mut Checks) -> Result<()> {
    let before = checks.failures();
    let mut missing = Vec::new();
    let mut asked = 0usize;
    for (unit, account) in network.market.units.iter().zip(&accounts.each) {
        for id in account.taken.union(&account.acknowledged) {
            asked += 1;
            if api.bytes(&format!("/v1/evidence/{id}")).await?.is_none() {
                missing.push(format!("{} {id}", unit.plan.name));
            }
        }
    }
    let held = missing.is_empty() && asked > 0;
    checks.hold("acknowledged evidence is kept", held, || {
        let first = missing.first().map_or("", String::as_str);
        format!("{name} lacks {} of {asked} acknowledged messages, first {first}", missing.len())
    });
    checks.found(
        before,
        &format!("{name} holds {} of these {asked} messages, those of its absence included", asked - missing.len()),
    );
    Ok(())
}
