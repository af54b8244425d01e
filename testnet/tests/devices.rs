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
use testnet::deeds::{Account, Book, accounts};
use testnet::device::{DeviceConfig, diary};
use testnet::expect::{Expected, Lease, Rules, Slot, Slots, due_in, follow};
use testnet::fleet::{FLEET, FORK_EVERY, Fault, Unit};
use testnet::place::Place;
use testnet::process::free_port;
use testnet::{broker, device, equipment, radio, rules};

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
        if let Fault::Silent(from) = &mut plan.fault {
            *from = SILENT_MS;
        }
        Unit { token, lease: token + 100, ..Unit::new(plan) }
    };
    (1..).zip(FLEET).map(make).collect()
}

/// Publishes lease hints and then a beacon a second; returns the slots with their seeds, by epoch of either class.
async fn committee(scope: &Scope, share: &Share, units: &[Unit], clock: &Rules, broker: SocketAddr) -> Slots {
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
        let hint = (unit.token, unit.lease, unit.plan.class, start, start + SLOTS, rules::CHALLENGE_P);
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
        for lag in [rules::lag_ms(1), rules::lag_ms(2)] {
            slots.insert((due_in(clock, lag, slot), slot), Slot { seed, void: false });
        }
    }
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    pump.abort();
    slots
}

/// Runs the demo's devices for [`SLOTS`] seconds.
async fn play(place: &Place, units: &[Unit]) -> (Rules, Slots) {
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
    let air = radio::RadioConfig::load(&sets.radio).unwrap();
    let mut tasks = vec![tokio::spawn(radio::run(air))];
    for (_, config) in &sets.devices {
        tasks.push(tokio::spawn(device::run(DeviceConfig::load(config).unwrap())));
    }
    let clock = Rules {
        genesis_ms: genesis * 1000,
        slot_ms: rules::SLOT_MS,
        epoch_ms: rules::EPOCH_S * 1000,
        challenge_p: rules::CHALLENGE_P,
        z_squared_millionths: rules::Z_SQUARED_MILLIONTHS,
        credit_bp: rules::CREDIT_BP,
    };
    let slots = committee(&scope, &share, units, &clock, listen).await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    (clock, slots)
}

fn check(unit: &Unit, account: &Account, expected: &Expected) {
    let name = unit.plan.name;
    assert!(account.unexplained.is_empty(), "{name}: {:?}", account.unexplained);
    assert!(!account.taken.is_empty(), "{name}: the broker took nothing");
    let lost = expected.challenged - expected.passed;
    match unit.plan.fault {
        Fault::None if unit.plan.class == 1 => assert_eq!(lost, 0, "{name}: {expected:?}"),
        Fault::Replay => assert_eq!(lost, 0, "{name}: {expected:?}"),
        Fault::None => assert!(expected.passed > 0, "{name}: {expected:?}"),
        Fault::Silent(_) => assert!(lost >= 2 && expected.passed >= 2, "{name}: {expected:?}"),
        Fault::Fork(_) => assert_eq!(lost, expected.challenged / FORK_EVERY, "{name}: {expected:?}"),
        Fault::FalseWitness => {
            let lies = account.deeds.lies.len() as u64;
            assert!(lies >= 3 && lost >= lies, "{name}: {lies} lies, {expected:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_device_does_what_it_was_told_and_its_diary_says_so() {
    let (place, units) = (place("devices"), units());
    let (clock, slots) = play(&place, &units).await;
    let read = |unit| diary::read(&equipment::folder(&place, unit).join(diary::FILE)).unwrap();
    let books: Vec<Book<'_>> = units.iter().map(|unit| Book { unit, entries: read(unit) }).collect();
    let start = clock.genesis_ms / 1000;
    let lease = |unit: &Unit| {
        let lag_ms = rules::lag_ms(unit.plan.class);
        Lease { lease: unit.lease, device: unit.token, start, end: start + SLOTS, lag_ms }
    };
    let leases: Vec<Lease> = units.iter().map(lease).collect();
    let accounts = accounts(&books, &leases, &clock, &slots);
    for ((unit, lease), account) in units.iter().zip(&leases).zip(&accounts) {
        check(unit, account, &follow(&clock, lease, &slots, &account.deeds, 1));
    }
    std::fs::remove_dir_all(&place.run).unwrap();
}
