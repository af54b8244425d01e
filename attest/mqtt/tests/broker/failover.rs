//! Brokers die and come back: nothing is lost, and nothing is signed a second time.

use attest_mqtt::{Broker, Event, Uplink};

use super::support::{Bench, Process, all_stored, in_thread, port, queue, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_is_replaced_and_nothing_is_lost() {
    let (first, second) = (port(), port());
    let (one, _two) = (Process::start(first), Process::start(second));
    let mut bench = Bench::new();
    let stored = bench.members(&[first, second]);
    let options = bench.options(vec![Broker::plain("127.0.0.1", first), Broker::plain("127.0.0.1", second)]);
    let (uplink, mut events) = Uplink::start(options, queue(64 << 10)).expect("settings");

    let before: Vec<_> = (0..20).map(|_| bench.read(&uplink)).collect();
    all_stored(&mut events, &before).await;
    // The broker dies with readings on their way: some written to it, some not.
    let mut after: Vec<_> = (0..10).map(|_| bench.read(&uplink)).collect();
    drop(one);
    after.extend((0..30).map(|_| bench.read(&uplink)));
    let lost = until(&mut events, |event| match event {
        Event::Trouble { broker: 0, why, again: Some(_) } => Some(why.clone()),
        _ => None,
    });
    // What was stored before the end was noticed may be reported first; `waiting` below covers it.
    println!("first broker: {}", lost.await);
    let left = uplink.close(super::support::LONG).await;
    assert_eq!(left.waiting, 0, "readings without receipts");

    let stored = stored.lock().expect("lock");
    assert!(after.iter().chain(&before).all(|id| stored.arrivals.contains_key(id)), "every reading arrived");
    let places: Vec<_> = stored.by_place.iter().map(|(place, ids)| (*place, ids.len())).collect();
    let expected: Vec<_> = (0..60).map(|seq| ((1, seq), 1)).collect();
    assert_eq!(places, expected, "each sequence number exactly once, under one id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_goes_back_to_the_first_broker_when_the_second_dies() {
    let (first, second) = (port(), port());
    let two = Process::start(second);
    let mut bench = Bench::new();
    let _stored = bench.members(&[first, second]);
    let options = bench.options(vec![Broker::plain("127.0.0.1", first), Broker::plain("127.0.0.1", second)]);
    let (uplink, mut events) = Uplink::start(options, queue(64 << 10)).expect("settings");
    let connected = |wanted: usize| {
        move |event: &Event| matches!(event, Event::Connected { broker, .. } if *broker == wanted).then_some(())
    };
    until(&mut events, connected(1)).await;
    let id = bench.read(&uplink);
    all_stored(&mut events, &[id]).await;

    drop(two);
    let waiting = bench.read(&uplink);
    let _one = Process::start(first);
    until(&mut events, connected(0)).await;
    all_stored(&mut events, &[waiting]).await;
    assert_eq!(uplink.close(super::support::LONG).await.waiting, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_brokers_at_once_both_get_every_reading() {
    let ports = [in_thread(&[]), in_thread(&[])];
    let mut bench = Bench::new();
    let stored = bench.members(&ports);
    let mut options = bench.options(ports.map(|port| Broker::plain("127.0.0.1", port)).to_vec());
    options.at_once = 2;
    let (uplink, mut events) = Uplink::start(options, queue(64 << 10)).expect("settings");
    let mut up = std::collections::BTreeSet::new();
    until(&mut events, |event| {
        if let Event::Connected { broker, .. } = event {
            up.insert(*broker);
        }
        (up.len() == 2).then_some(())
    })
    .await;
    let ids: Vec<_> = (0..5).map(|_| bench.read(&uplink)).collect();
    let mut taken = std::collections::BTreeSet::new();
    until(&mut events, |event| {
        if let Event::Taken { broker, id } = event {
            taken.insert((*broker, *id));
        }
        (taken.len() == 2 * ids.len()).then_some(())
    })
    .await;
    assert_eq!(uplink.close(super::support::LONG).await.waiting, 0);
    let stored = stored.lock().expect("lock");
    assert!(stored.by_place.values().all(|ids| ids.len() == 1), "one id for each sequence number");
}
