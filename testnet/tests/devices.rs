//! The nine devices as they run in the demo, over a real broker and the radio model, under a committee of one key: what their
//! diaries say is what each was told to do, and the calculation pays accordingly.

#![allow(clippy::unwrap_used)] // tests: a panic is the failure

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aggregator::Share;
use alloy::primitives::{Address, B256};
use rumqttc::{AsyncClient, MqttOptions, QoS};
use testnet::bundle::Scope;
use testnet::deeds::{Account, Book, Facts, accounts};
use testnet::device::{Clock, DeviceConfig, diary};
use testnet::expect::{Lease, Slot, Slots, due_in};
use testnet::fleet::{Unit, fleet};
use testnet::kind::rig::{FORK_EVERY, SILENT};
use testnet::kind::{KINDS, Pay, named};
use testnet::place::Place;
use testnet::process::free_port;
use testnet::{broker, device, equipment, rules};

/// Slots of work, one second each.
const SLOTS: u64 = 9;
/// When the silent device falls silent here, ms.
const SILENT_MS: u64 = 4_500;

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn place(name: &str) -> Place {
    let run = std::env::temp_dir().join(format!("plumbline-{name}-{}", std::process::id()));
    let logs = run.join("logs");
    std::fs::create_dir_all(&logs).unwrap();
    let none = PathBuf::new();
    Place {
        root: run.clone(),
        logs,
        node: none.clone(),
        auditor: none.clone(),
        testnet: none.clone(),
        anvil: none,
        run,
    }
}

fn units() -> Vec<Unit> {
    let make = |(token, mut plan): (u64, testnet::fleet::Plan)| {
        if let Some(adversary) = plan.adversary.as_mut().filter(|one| one.name == SILENT) {
            adversary.number = SILENT_MS;
        }
        Unit { token, lease: token + 100, ..Unit::new(plan) }
    };
    (1..).zip(fleet()).map(make).collect()
}

/// Publishes lease hints and then a beacon a second; returns the slots with their seeds, by epoch of either class.
async fn committee(scope: &Scope, share: &Share, units: &[Unit], clock: &Clock, broker: SocketAddr) -> Slots {
    let mut options = MqttOptions::new("committee", "127.0.0.1", broker.port());
    options.set_keep_alive(Duration::from_secs(10));
    let (client, mut events) = AsyncClient::new(options, 64);
    let pump = tokio::spawn(async move {
        loop {
            if events.poll().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    let start = clock.genesis_ms / 1000;
    for unit in units {
        let kind = unit.plan.kind;
        let hint = (unit.token, unit.lease, kind.class().0, start, start + SLOTS, kind.rules().challenge_p);
        let hint = minicbor::to_vec(hint).unwrap();
        client.publish(format!("plumbline/v1/down/{}/lease", unit.kid()), QoS::AtLeastOnce, true, hint).await.unwrap();
    }
    let mut slots = Slots::new();
    for slot in 0..SLOTS {
        let starts = clock.genesis_ms + slot * clock.slot_ms;
        tokio::time::sleep(Duration::from_millis(starts.saturating_sub(now_ms()) + 50)).await;
        let certificate = share.sign(&scope.beacon(slot)).signature.to_bytes();
        let payload = [slot.to_be_bytes().as_slice(), &certificate].concat();
        client.publish("plumbline/v1/beacon", QoS::AtLeastOnce, false, payload).await.unwrap();
        let seed = Some(attest::challenge::seed(&certificate));
        for lag in KINDS.iter().map(|kind| kind.lag_ms()) {
            slots.insert((due_in(clock, lag, slot), slot), Slot { seed, void: false });
        }
    }
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    pump.abort();
    slots
}

/// Runs the demo's devices for [`SLOTS`] seconds.
async fn play(place: &Place, units: &[Unit]) -> (Clock, Slots) {
    let share = Share::from_bytes(0, &[7; 32]).unwrap();
    let scope = Scope {
        chain_id: 31_337,
        registry: Address::repeat_byte(1),
        committee: rules::COMMITTEE,
        term: rules::TERM,
        config_digest: B256::ZERO,
        members: Vec::new(),
        group: share.public_share(),
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    std::thread::spawn(move || broker::run(&broker::BrokerConfig { listen }));
    let genesis = now_ms() / 1000 + 6;
    let sets = equipment::write(place, units, &scope, &[], genesis, listen.port()).unwrap();
    let help = |(kind, config): &(&str, PathBuf)| tokio::spawn(named(kind).unwrap().help(config.clone()));
    let mut tasks: Vec<_> = sets.helpers.iter().map(help).collect();
    for (_, config) in &sets.devices {
        tasks.push(tokio::spawn(device::run(DeviceConfig::load(config).unwrap())));
    }
    let clock = Clock { genesis_ms: genesis * 1000, slot_ms: rules::SLOT_MS, epoch_ms: rules::EPOCH_S * 1000 };
    let slots = committee(&scope, &share, units, &clock, listen).await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    (clock, slots)
}

fn check(unit: &Unit, account: &Account) {
    let (name, expected) = (unit.plan.name, &account.expected);
    assert!(account.unexplained.is_empty(), "{name}: {:?}", account.unexplained);
    assert!(!account.taken.is_empty(), "{name}: the broker took nothing");
    let (lost, lies) = (expected.challenged - expected.passed, account.deeds.lies.len() as u64);
    assert!(expected.passed > 0 || unit.plan.kind.luck(), "{name}: {expected:?}");
    match unit.plan.adversary {
        None if unit.plan.kind.luck() => assert!(expected.passed > 0 && lies == 0, "{name}: {expected:?}"),
        None => assert_eq!(lost, 0, "{name}: {expected:?}"),
        Some(adversary) if adversary.pay == Pay::Whole => assert_eq!(lost, 0, "{name}: {expected:?}"),
        Some(adversary) if adversary.name == "forks" => {
            assert_eq!(lost, expected.challenged / FORK_EVERY, "{name}: {expected:?}");
        }
        Some(adversary) if adversary.caught_by.contains(&"FALSE_WITNESS") => {
            assert!(lies >= 3 && lost >= lies, "{name}: {lies} lies, {expected:?}");
        }
        Some(_) => assert!(lost >= 2, "{name}: {expected:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_device_does_what_it_was_told_and_its_diary_says_so() {
    let (place, units) = (place("devices"), units());
    let (clock, slots) = play(&place, &units).await;
    let read = |unit| diary::read(&equipment::folder(&place, unit).join(diary::FILE)).unwrap();
    let start = clock.genesis_ms / 1000;
    let book = |unit| Book { unit, lease: Lease::of(unit, start, start + SLOTS), entries: read(unit) };
    let books: Vec<Book<'_>> = units.iter().map(book).collect();
    let accounts = accounts(&books, &Facts { clock, slots, last_epoch: 1 });
    for (unit, account) in units.iter().zip(&accounts) {
        check(unit, account);
    }
    std::fs::remove_dir_all(&place.run).unwrap();
}
