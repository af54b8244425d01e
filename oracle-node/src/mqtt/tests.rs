//! Against the embedded broker: stored before acknowledged, garbage counted, retained publications arrive.

mod by_hand;
mod mosquitto;

use std::net::SocketAddr;

use attest::{Body, Claims, Signer as _, SoftEd25519};
use oracle_core::ingest::Keys;

use super::*;
use crate::keys::Secret;
use crate::receipts::ReceiptLog;
use crate::testing::{Dir, store as open};

const NETWORK: attest::Network = [1; 8];

/// A broker in this process, on a port that was free a moment ago.
fn broker() -> Broker {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("port").port();
    let listen: SocketAddr = ([127, 0, 0, 1], port).into();
    let config = rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: 10,
            max_outgoing_packet_count: 200,
            max_segment_size: 1 << 20,
            max_segment_count: 10,
            ..Default::default()
        },
        v4: Some(std::collections::HashMap::from([(
            "v4".to_owned(),
            rumqttd::ServerSettings {
                name: "v4".into(),
                listen,
                tls: None,
                next_connection_delay_ms: 1,
                connections: rumqttd::ConnectionSettings {
                    connection_timeout_ms: 5_000,
                    max_payload_size: 1 << 20,
                    max_inflight_count: 100,
                    auth: None,
                    external_auth: None,
                    dynamic_filters: true,
                },
            },
        )])),
        ..Default::default()
    };
    std::thread::spawn(move || rumqttd::Broker::new(config).start().is_ok());
    Broker { host: "127.0.0.1".into(), port, tls: None }
}

fn clock() -> u64 {
    crate::node::now_ms()
}

/// A device's client; what it hears goes to the channel.
async fn device(broker: &Broker, topic: &str) -> (AsyncClient, mpsc::Receiver<Publish>) {
    let mut options = MqttOptions::new("device", broker.host.clone(), broker.port);
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = AsyncClient::new(options, 64);
    let (sender, receiver) = mpsc::channel(64);
    let (subscriber, topic) = (client.clone(), topic.to_owned());
    tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    drop(subscriber.try_subscribe(topic.clone(), QoS::AtLeastOnce))
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => drop(sender.send(publish).await),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    (client, receiver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_comes_in_and_publications_go_out() {
    let (dir, broker, signer) = (Dir::new("mqtt"), broker(), SoftEd25519::from_seed([9; 32]));
    let kid = signer.public_key().kid();
    let store = Arc::new(open(&dir));
    let metrics = Metrics::new().expect("metrics");
    let log = ReceiptLog::new(&Secret::new([2; 32]), (0, [0; 32]));
    let intake = Arc::new(Intake::new(Arc::clone(&store), metrics.clone(), NETWORK, log));
    intake.set_keys(Keys::from([(kid, (5, signer.public_key()))]));
    let (durable, mut batches) = mpsc::channel(64);
    let setup = Setup {
        brokers: vec![(broker.clone(), None)],
        client_id: "node".into(),
        login: None,
        messages_per_second: 100,
        burst: 200,
        intake,
        durable,
        clock,
        metrics: metrics.clone(),
    };
    let publisher = start(setup, &Duties::new().0);
    let down = attest::topic_down(attest::Down::Lease, &kid);
    publisher.retain(&down, b"hint");
    let (client, mut heard) = device(&broker, &down).await;

    // The node may subscribe a moment later than the device publishes: publish until something is stored.
    let claims = Claims { iat: None, nonce: None, boot: 1, seq: 0, prev: [0; 16], body: Body::Heartbeat };
    let mut buffer = [0; attest::MAX_MESSAGE];
    let signed = attest::seal(&signer, &NETWORK, &claims, &mut buffer).expect("sealed");
    let topic = attest::topic_up(signed.class, &kid);
    let refused = metrics.evidence_refused.with_label_values(&["MALFORMED"]);
    let mut first = None;
    while first.is_none() || refused.get() == 0 {
        client.publish(&*topic, QoS::AtLeastOnce, false, b"garbage".to_vec()).await.expect("queued");
        client.publish(&*topic, QoS::AtLeastOnce, false, signed.bytes.to_vec()).await.expect("queued");
        if let Ok(taken) = tokio::time::timeout(Duration::from_millis(300), batches.recv()).await {
            let taken = taken.expect("running").expect("disk");
            first = first.or(Some(taken));
        }
    }
    let taken = first.expect("stored");
    assert_eq!(taken.new.first().map(|item| (*item.id, item.device)), Some((signed.id, 5)));
    assert!(store.has_evidence(&signed.id).expect("disk") && taken.announce);

    let hint = tokio::time::timeout(Duration::from_secs(10), heard.recv()).await.expect("in time").expect("running");
    assert_eq!((&hint.payload[..], hint.topic.as_str()), (&b"hint"[..], &*down));

    // Refused and stored ones alternate: out of order, an acknowledgement makes the broker end the connection.
    tokio::spawn(async move { while batches.recv().await.is_some() {} });
    let known = metrics.evidence_duplicates.get();
    for _ in 0..60 {
        client.publish(&*topic, QoS::AtLeastOnce, false, vec![0; attest::MAX_MESSAGE + 1]).await.expect("queued");
        client.publish(&*topic, QoS::AtLeastOnce, false, signed.bytes.to_vec()).await.expect("queued");
    }
    eventually("all of them judged", || metrics.evidence_duplicates.get() >= known + 60).await;
    assert_eq!(publisher.links[0].connection.load(Ordering::Acquire), 1, "one connection all along");
}

/// A node's side with a slow rate; ends when the receiver is dropped.
fn node(broker: &Broker, intake: &Arc<Intake>, metrics: &Metrics) -> mpsc::Receiver<Told> {
    let (durable, batches) = mpsc::channel(1_024);
    let setup = Setup {
        brokers: vec![(broker.clone(), None)],
        client_id: "node".into(),
        login: None,
        messages_per_second: 1,
        burst: BACKLOG,
        intake: Arc::clone(intake),
        durable,
        clock,
        metrics: metrics.clone(),
    };
    drop(start(setup, &Duties::new().0));
    batches
}

/// Messages that wait at the broker while the node is away.
const BACKLOG: u32 = 300;
/// Messages beyond what the device may send.
const OVER: u32 = 40;

async fn eventually(what: &str, done: impl Fn() -> bool) {
    for _ in 0..400 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not in time: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_after_an_outage_is_stored_whole_and_what_is_over_is_counted() {
    let (dir, broker, signer) = (Dir::new("mqtt-backlog"), broker(), SoftEd25519::from_seed([9; 32]));
    let (kid, metrics) = (signer.public_key().kid(), Metrics::new().expect("metrics"));
    let log = ReceiptLog::new(&Secret::new([2; 32]), (0, [0; 32]));
    let intake = Arc::new(Intake::new(Arc::new(open(&dir)), metrics.clone(), NETWORK, log));
    intake.set_keys(Keys::from([(kid, (5, signer.public_key()))]));
    let publish = async |client: &AsyncClient, seqs: std::ops::Range<u32>| {
        for seq in seqs {
            let claims =
                Claims { iat: None, nonce: None, boot: 1, seq: seq.into(), prev: [0; 16], body: Body::Heartbeat };
            let mut buffer = [0; attest::MAX_MESSAGE];
            let signed = attest::seal(&signer, &NETWORK, &claims, &mut buffer).expect("sealed");
            let topic = attest::topic_up(signed.class, &kid);
            client.publish(&*topic, QoS::AtLeastOnce, false, signed.bytes.to_vec()).await.expect("queued");
        }
    };
    // The broker learns of the node and its subscription; then the node is gone.
    let batches = node(&broker, &intake, &metrics);
    let (client, _heard) = device(&broker, "none").await;
    eventually("connected", || metrics.mqtt_connected.get() == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(batches);
    // Tasks end at their next event: one more message makes each of them look.
    publish(&client, 0..1).await;
    eventually("stored", || metrics.evidence_stored.get() == 1).await;
    publish(&client, 1..1 + BACKLOG).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = metrics.evidence_stored.get();

    let mut batches = node(&broker, &intake, &metrics);
    tokio::spawn(async move { while batches.recv().await.is_some() {} });
    eventually("the backlog", || metrics.evidence_stored.get() == u64::from(1 + BACKLOG)).await;
    assert!(before < 100, "the backlog came after the outage, not before it: {before}");
    assert_eq!(metrics.evidence_over_rate.get(), 0, "nothing honest was refused");
    publish(&client, 1 + BACKLOG..1 + BACKLOG + OVER).await;
    eventually("all judged", || {
        metrics.evidence_stored.get() + metrics.evidence_over_rate.get() == u64::from(1 + BACKLOG + OVER)
    })
    .await;
    // A message per second refills meanwhile; the test takes a few seconds.
    assert!(metrics.evidence_over_rate.get() > u64::from(OVER / 2));
    let refused = metrics.evidence_refused.with_label_values(&["TOO_MANY"]).get();
    assert_eq!(refused, metrics.evidence_over_rate.get());
}

/// A whole member on one broker: stores, and publishes receipts as the node does; `lost` of the first ones never leave.
fn member(dir: &Dir, broker: (&Broker, Option<Tls>), index: u32, device: &SoftEd25519, mut lost: u32) -> [u8; 32] {
    let (metrics, seed) = (Metrics::new().expect("metrics"), Secret::new([index as u8 + 1; 32]));
    let key = crate::receipts::public_key(&seed);
    let intake =
        Arc::new(Intake::new(Arc::new(open(dir)), metrics.clone(), NETWORK, ReceiptLog::new(&seed, (0, [0; 32]))));
    intake.set_keys(Keys::from([(device.public_key().kid(), (5, device.public_key()))]));
    let (durable, mut batches) = mpsc::channel(64);
    let setup = Setup {
        brokers: vec![(broker.0.clone(), broker.1)],
        client_id: format!("member-{index}"),
        login: None,
        messages_per_second: 100,
        burst: 200,
        intake,
        durable,
        clock,
        metrics,
    };
    let publisher = start(setup, &Duties::new().0);
    let topic = attest::topic_down(attest::Down::Receipt, &device.public_key().kid());
    tokio::spawn(async move {
        while let Some(Ok(taken)) = batches.recv().await {
            let fresh = taken.receipts.iter().flat_map(|batch| crate::downlink::receipts(index, &taken.new, batch));
            let again = taken.again.iter().filter_map(|a| crate::downlink::receipt_again(index, &a.batch, a.place));
            for receipts in fresh.map(|(_, receipts)| receipts).chain(again) {
                if std::mem::take(&mut lost) == 0 {
                    publisher.publish(&topic, &crate::downlink::encode(&receipts));
                }
            }
        }
    });
    key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_keeps_a_reading_until_two_members_have_signed_even_if_a_receipt_is_lost() {
    let (dirs, broker, signer) = ([Dir::new("up-0"), Dir::new("up-1")], broker(), SoftEd25519::from_seed([9; 32]));
    let keys = vec![member(&dirs[0], (&broker, None), 0, &signer, 0), member(&dirs[1], (&broker, None), 1, &signer, 1)];
    // Both subscriptions stand before the device speaks: only the receipt is to be lost.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let way = attest_mqtt::Broker::plain(broker.host.clone(), broker.port);
    let mut options = attest_mqtt::Options::new(vec![way], signer.public_key().kid(), NETWORK, keys, 2);
    options.patience = Duration::from_millis(crate::intake::RECEIPT_AGAIN_MS + 300);
    let memory: &'static mut [u8] = Box::leak(vec![0; 4_096].into_boxed_slice());
    let (uplink, mut events) = attest_mqtt::Uplink::start(options, attest::Queue::new(memory)).expect("settings");
    let mut device = attest::Device::boot(signer, &mut attest::VolatileBoot::default(), NETWORK).expect("boot");
    let mut buffer = [0; attest::MAX_MESSAGE];
    let signed = device.message(None, None, &Body::Heartbeat, &mut buffer).expect("signed");
    uplink.send(&signed).expect("room");

    let (began, mut members) = (std::time::Instant::now(), Vec::new());
    let stored = async {
        loop {
            match events.recv().await.expect("running") {
                attest_mqtt::Event::Receipts(checked) => members.push(checked.member),
                attest_mqtt::Event::Stored { id } => return id,
                attest_mqtt::Event::BadReceipts(why) => panic!("{why}"),
                _ => {}
            }
        }
    };
    let id = tokio::time::timeout(Duration::from_secs(20), stored).await.expect("stored in time");
    assert_eq!((id, uplink.waiting()), (signed.id, 0));
    assert_eq!(
        (members.first(), members.last()),
        (Some(&0), Some(&1)),
        "the second member's came at the second attempt"
    );
    assert!(began.elapsed() >= Duration::from_millis(crate::intake::RECEIPT_AGAIN_MS), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_panics_is_missed() {
    static LOOKS: AtomicU64 = AtomicU64::new(0);
    /// The first look is of the connection that receives a message, the second of the worker that has stored it.
    fn broken() -> u64 {
        assert!(LOOKS.fetch_add(1, Ordering::Relaxed) == 0, "planted");
        clock()
    }
    let (dir, broker, signer) = (Dir::new("mqtt-panic"), broker(), SoftEd25519::from_seed([9; 32]));
    let metrics = Metrics::new().expect("metrics");
    let log = ReceiptLog::new(&Secret::new([2; 32]), (0, [0; 32]));
    let intake = Arc::new(Intake::new(Arc::new(open(&dir)), metrics.clone(), NETWORK, log));
    let (durable, _batches) = mpsc::channel(64);
    let setup = Setup {
        brokers: vec![(broker.clone(), None)],
        client_id: "node".into(),
        login: None,
        messages_per_second: 100,
        burst: 200,
        intake,
        durable,
        clock: broken,
        metrics,
    };
    let (duties, mut ended) = Duties::new();
    let _publisher = start(setup, &duties);
    let (client, _heard) = device(&broker, "none").await;
    let topic = attest::topic_up(attest::Class::Heartbeat, &signer.public_key().kid());
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    let cause = loop {
        // The node may subscribe a moment later than the device publishes.
        client.publish(&*topic, QoS::AtLeastOnce, false, b"garbage".to_vec()).await.expect("queued");
        match tokio::time::timeout(Duration::from_millis(200), ended.first()).await {
            Ok(cause) => break cause.to_string(),
            Err(_) => assert!(tokio::time::Instant::now() < patience, "nobody missed it"),
        }
    };
    assert!(cause.contains("has panicked") && cause.contains("planted") && cause.contains("evidence"), "{cause}");
}
