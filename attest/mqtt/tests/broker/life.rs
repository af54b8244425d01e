//! A device's life: sessions that outlast restarts, a last will, receipts that are forged, brokers that take and forget.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use attest::{Down, Queue, topic_down, topic_term};
use attest_mqtt::{Broker, Event, Uplink};
use rumqttc::{AsyncClient, Event as Polled, MqttOptions, Packet, QoS};

use super::support::{
    Bench, LONG, Member, NETWORK, Process, Stored, all_stored, in_thread, port, queue, receipt_key, receipts, until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_resumes_session_and_queue() {
    let port = in_thread(&[]);
    let mut bench = Bench::new();
    let options = bench.options(vec![Broker::plain("127.0.0.1", port)]);
    let memory: &'static mut [u8] = Box::leak(vec![0; 8_192].into_boxed_slice());
    let copy = Arc::new(Mutex::new(Vec::new()));
    // Nobody gives receipts yet: the broker takes the readings and no member ever sees them.
    let ids = {
        // What a device with battery-backed memory finds after a restart.
        let mut ram = vec![0; 8_192];
        let mut twin = Queue::new(&mut ram);
        let (uplink, mut events) = Uplink::start(options.clone(), Queue::new(memory)).expect("settings");
        let session = until(&mut events, |event| match event {
            Event::Connected { session_present, .. } => Some(*session_present),
            _ => None,
        });
        assert!(!session.await, "a new device has no session");
        let mut buf = [0; attest::MAX_MESSAGE];
        let ids: Vec<_> = (0..4)
            .map(|_| {
                let signed = bench.device.message(None, None, &attest::Body::Heartbeat, &mut buf).expect("signed");
                uplink.send(&signed).expect("room");
                twin.push(&signed).expect("room");
                signed.id
            })
            .collect();
        let mut taken = 0;
        until(&mut events, |event| {
            taken += usize::from(matches!(event, Event::Taken { .. }));
            (taken == ids.len()).then_some(())
        })
        .await;
        assert_eq!(uplink.close(Duration::ZERO).await.waiting, 4, "taken by the broker is not stored");
        *copy.lock().expect("lock") = ram;
        ids
    };
    let ram: &'static mut [u8] = Box::leak(copy.lock().expect("lock").clone().into_boxed_slice());
    let stored = bench.members(&[port]);
    let (uplink, mut events) = Uplink::start(options, Queue::resume(ram, &NETWORK)).expect("settings");
    let session = until(&mut events, |event| match event {
        Event::Connected { session_present, .. } => Some(*session_present),
        _ => None,
    });
    assert!(session.await, "the broker kept the session of the same client id");
    all_stored(&mut events, &ids).await;
    assert_eq!(uplink.close(LONG).await.waiting, 0);
    assert!(stored.lock().expect("lock").by_place.values().all(|ids| ids.len() == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_broker_took_and_lost_is_sent_again() {
    let (port, mut bench) = (port(), Bench::new());
    let broker = Process::start(port);
    let options = bench.options(vec![Broker::plain("127.0.0.1", port)]);
    let (uplink, mut events) = Uplink::start(options, queue(4_096)).expect("settings");
    let id = bench.read(&uplink);
    until(&mut events, |event| matches!(event, Event::Taken { id: taken, .. } if *taken == id).then_some(())).await;
    // rumqttd keeps nothing over a restart, so what it took is gone.
    drop(broker);
    let _broker = Process::start(port);
    let stored = bench.members(&[port]);
    all_stored(&mut events, &[id]).await;
    assert!(stored.lock().expect("lock").arrivals.contains_key(&id));
    assert_eq!(uplink.close(LONG).await.waiting, 0);
}

/// A client that says anything on any topic, once connected.
async fn liar(port: u16) -> AsyncClient {
    let mut options = MqttOptions::new("liar", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(5)).set_max_packet_size(65_536, 65_536);
    let (client, mut events) = AsyncClient::new(options, 64);
    let (ready, connected) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut ready = Some(ready);
        while let Ok(event) = events.poll().await {
            if let Polled::Incoming(Packet::ConnAck(_)) = event {
                let _ = ready.take().map(|ready| ready.send(()));
            }
        }
    });
    tokio::time::timeout(LONG, connected).await.expect("in time").expect("connected");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_receipts_free_nothing() {
    let (port, mut bench) = (in_thread(&[]), Bench::new());
    let (uplink, mut events) =
        Uplink::start(bench.options(vec![Broker::plain("127.0.0.1", port)]), queue(4_096)).expect("settings");
    let id = bench.read(&uplink);
    until(&mut events, |event| matches!(event, Event::Taken { .. }).then_some(())).await;
    let topic = topic_down(Down::Receipt, &bench.device.kid());
    let client = liar(port).await;
    let mut spoiled = receipts(1, &receipt_key(1), &id);
    *spoiled.last_mut().expect("bytes") ^= 1;
    let forgeries = [
        receipts(0, &receipt_key(9), &id),              // another's key
        receipts(7, &receipt_key(7), &id),              // no member
        receipts(0, &receipt_key(1), &id),              // one member in the name of another
        spoiled,                                        // not what was signed
        receipts(0, &receipt_key(0), &id)[..40].into(), // cut off
        vec![0xff; 20_000],                             // too long
        Vec::new(),
    ];
    let count = forgeries.len();
    for forged in forgeries {
        client.publish(topic.as_str(), QoS::AtLeastOnce, false, forged).await.expect("queued");
    }
    // One true receipt, three times: one member is not two.
    for _ in 0..3 {
        client
            .publish(topic.as_str(), QoS::AtLeastOnce, false, receipts(0, &receipt_key(0), &id))
            .await
            .expect("queued");
    }
    let (mut bad, mut good) = (0, 0);
    until(&mut events, |event| {
        bad += usize::from(matches!(event, Event::BadReceipts(_)));
        good += usize::from(matches!(event, Event::Receipts(_)));
        assert!(!matches!(event, Event::Stored { .. }), "let go for {good} good and {bad} bad receipts");
        (bad == count && good == 3).then_some(())
    })
    .await;
    assert_eq!(uplink.waiting(), 1);
    client.publish(topic.as_str(), QoS::AtLeastOnce, false, receipts(1, &receipt_key(1), &id)).await.expect("queued");
    all_stored(&mut events, &[id]).await;
    assert_eq!(uplink.waiting(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_online_then_offline_by_last_will_or_farewell() {
    let (port, bench) = (in_thread(&[]), Bench::new());
    let stored = Arc::new(Mutex::new(Stored::default()));
    let member = Member { index: 0, key: receipt_key(0), stored: Arc::clone(&stored) };
    member.listen(port, bench.device.public_key());
    let said = async |wanted: &[&str]| {
        let wait = async {
            while stored.lock().expect("lock").status != wanted {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let in_time = tokio::time::timeout(LONG, wait).await;
        assert!(in_time.is_ok(), "{:?} instead of {wanted:?}", stored.lock().expect("lock").status);
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let options = bench.options(vec![Broker::plain("127.0.0.1", port)]);
    let (uplink, _events) = Uplink::start(options.clone(), queue(4_096)).expect("settings");
    said(&["online"]).await;
    // As a power cut: no farewell.
    drop(uplink);
    said(&["online", "offline"]).await;
    let (uplink, _events) = Uplink::start(options, queue(4_096)).expect("settings");
    said(&["online", "offline", "online"]).await;
    uplink.close(Duration::ZERO).await;
    said(&["online", "offline", "online", "offline"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beacons_leases_access_and_rotations_come_out_as_events() {
    let (port, bench) = (in_thread(&[]), Bench::new());
    let mut options = bench.options(vec![Broker::plain("127.0.0.1", port)]);
    options.committee = Some(6);
    let (mine, other) = (topic_term(&options.network, 6), topic_term(&options.network, 7));
    let (uplink, mut events) = Uplink::start(options, queue(4_096)).expect("settings");
    until(&mut events, |event| matches!(event, Event::Connected { .. }).then_some(())).await;
    let client = liar(port).await;
    let kid = bench.device.kid();
    let (lease, access) = (topic_down(Down::Lease, &kid), topic_down(Down::Access, &kid));
    let expected =
        [Event::Beacon(vec![1; 56]), Event::Lease(vec![2]), Event::Access(vec![3]), Event::Terms(vec![4; 18])];
    let mut seen = Vec::new();
    // The subscription may be a moment behind the greeting.
    for _ in 0..50 {
        client.publish(attest::BEACON_TOPIC, QoS::AtLeastOnce, false, vec![1; 56]).await.expect("queued");
        client.publish(lease.as_str(), QoS::AtLeastOnce, false, vec![2]).await.expect("queued");
        client.publish(access.as_str(), QoS::AtLeastOnce, false, vec![3]).await.expect("queued");
        client.publish(mine.as_str(), QoS::AtLeastOnce, true, vec![4; 18]).await.expect("queued");
        client.publish(other.as_str(), QoS::AtLeastOnce, true, vec![5; 18]).await.expect("queued");
        client
            .publish(topic_down(Down::Lease, &[0xaa; 8]).as_str(), QoS::AtLeastOnce, false, vec![9])
            .await
            .expect("queued");
        tokio::time::sleep(Duration::from_millis(100)).await;
        while let Ok(event) = events.try_recv() {
            seen.push(event);
        }
        if expected.iter().all(|event| seen.contains(event)) {
            break;
        }
    }
    assert!(expected.iter().all(|event| seen.contains(event)), "{seen:?}");
    assert!(!seen.contains(&Event::Lease(vec![9])), "another device's lease");
    assert!(!seen.contains(&Event::Terms(vec![5; 18])), "another committee's rotations");
    drop(uplink);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_reads_no_events_still_gets_its_readings_stored() {
    let (port, mut bench) = (in_thread(&[]), Bench::new());
    let _stored = bench.members(&[port]);
    let (uplink, events) =
        Uplink::start(bench.options(vec![Broker::plain("127.0.0.1", port)]), queue(64 << 10)).expect("settings");
    let client = liar(port).await;
    for round in 0..12 {
        let ids: Vec<_> = (0..10).map(|_| bench.read(&uplink)).collect();
        assert_eq!(ids.len(), 10);
        for _ in 0..100 {
            client.publish(attest::BEACON_TOPIC, QoS::AtMostOnce, false, vec![round; 56]).await.expect("queued");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let wait = async {
        while uplink.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("all stored");
    assert!(uplink.missed() > 0, "events beyond the channel's room are counted");
    drop(events);
}
