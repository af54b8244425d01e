//! One whole device against a real broker: it finds its lease, answers a beacon, refuses a forged one and keeps its diary.

use std::time::Instant;

use aggregator::deal_for_tests;
use attest::{Body, Claims, Class, Signer as _};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use super::*;

/// The registry of every test, on chain 31,337.
const REGISTRY: [u8; 20] = [1; 20];
const TOKEN: u64 = 4;
const LEASE: u64 = 11;

/// Message of docs/protocol.md §4, written out a second time.
fn beacon_message(slot: u64) -> [u8; 32] {
    let mut bytes = b"plumbline/beacon/v1".to_vec();
    bytes.extend(attest::network_id(31_337, &REGISTRY));
    for number in [1u64, 1, slot] {
        bytes.extend(number.to_be_bytes());
    }
    Sha256::digest(bytes).into()
}

fn config(dir: &Path, broker: SocketAddr) -> DeviceConfig {
    DeviceConfig {
        name: "sensor-4".into(),
        dir: dir.join("device"),
        alg: Algorithm::P256,
        seed_file: dir.join("seed"),
        network: hex::encode(attest::network_id(31_337, &REGISTRY)),
        chain_id: 31_337,
        registry: REGISTRY.into(),
        receipt_keys: vec![],
        receipts_needed: 2,
        committee: 1,
        term: 1,
        brokers: vec![broker],
        kind: "rig".into(),
        token: TOKEN,
        location: None,
        group_key_file: dir.join("group"),
        run_file: dir.join("run.toml"),
        deadline_ms: 2_000,
        adversary: Some(Told { name: "forks".into(), number: 1 }),
        line: None,
        recordings: Some("nowhere".into()),
        settings: toml::from_str("model = \"room\"").unwrap(),
    }
}

fn hint(genesis_ms: u64) -> Vec<u8> {
    let start = genesis_ms / 1_000 - 1;
    let mut out = minicbor::Encoder::new(Vec::new());
    out.array(1).unwrap().array(6).unwrap().u64(TOKEN).unwrap().u64(LEASE).unwrap();
    out.u8(1).unwrap().u64(start).unwrap().u64(start + 1_000).unwrap().u64(u64::MAX).unwrap();
    out.into_writer()
}

/// Waits until the diary holds what is wanted, for at most twenty seconds.
async fn diary_with(path: &Path, wanted: impl Fn(&[Entry]) -> bool) -> Vec<Entry> {
    let start = Instant::now();
    loop {
        let entries = diary::read(path).unwrap_or_default();
        if wanted(&entries) {
            return entries;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "still only {entries:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_answers_a_beacon_over_a_broker() {
    let dir = std::env::temp_dir().join(format!("plumbline-device-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let broker = SocketAddr::from(([127, 0, 0, 1], port));
    std::thread::spawn(move || crate::broker::run(&crate::broker::BrokerConfig { listen: broker }));

    let (sharing, shares) = deal_for_tests(4, 1);
    let certificate = |slot| {
        let message = beacon_message(slot);
        let partials: Vec<_> = shares.iter().take(3).map(|share| share.sign(&message)).collect();
        sharing.recover(&message, &partials).unwrap().to_bytes()
    };
    let genesis_ms = now() / 1_000 * 1_000;
    std::fs::write(dir.join("seed"), hex::encode([5; 32])).unwrap();
    std::fs::write(dir.join("group"), hex::encode(sharing.group.to_bytes())).unwrap();
    let clock = Clock { genesis_ms, slot_ms: 1_000, epoch_ms: 15_000 };
    std::fs::write(dir.join("run.toml"), toml::to_string(&clock).unwrap()).unwrap();

    let mut options = MqttOptions::new("node", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(5));
    let (node, mut events) = AsyncClient::new(options, 32);
    node.subscribe("plumbline/v1/up/+/+", QoS::AtLeastOnce).await.unwrap();
    let kid = voice::Key::from_seed(Algorithm::P256, [5; 32]).public_key().kid();
    node.publish(&*attest::topic_down(Down::Lease, &kid), QoS::AtLeastOnce, true, hint(genesis_ms)).await.unwrap();
    let (tell, mut up) = mpsc::unbounded_channel();
    let listening = std::sync::Arc::new(tokio::sync::Notify::new());
    let subscribed = listening.clone();
    let reader = tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::Publish(message))) => tell.send(message).unwrap(),
                Ok(Event::Incoming(Packet::SubAck(_))) => subscribed.notify_one(),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });

    listening.notified().await;
    let device = tokio::spawn(run(config(&dir, broker)));
    let diary = dir.join("device").join(diary::FILE);
    diary_with(&diary, |all| all.iter().any(|entry| matches!(entry, Entry::Lease { lease: LEASE, .. }))).await;
    let slot = (now() - genesis_ms) / 1_000;
    let broadcast = |slot: u64, certificate: [u8; 48]| [slot.to_be_bytes().as_slice(), &certificate].concat();
    node.publish(attest::BEACON_TOPIC, QoS::AtLeastOnce, false, broadcast(slot, certificate(slot + 1))).await.unwrap();
    node.publish(attest::BEACON_TOPIC, QoS::AtLeastOnce, false, broadcast(slot, certificate(slot))).await.unwrap();

    let acked = |all: &[Entry], id: &str| {
        all.iter().any(|e| matches!(e, Entry::Acked { id: other, broker: 0, .. } if other == id))
    };
    let answers = |all: &[Entry]| -> Vec<(String, u64)> {
        let answer = |e: &Entry| match e {
            Entry::Sent { class, id, seq, .. } if class == "answer" => Some((id.clone(), *seq)),
            _ => None,
        };
        all.iter().filter_map(answer).collect()
    };
    let entries =
        diary_with(&diary, |all| answers(all).len() == 2 && answers(all).iter().all(|(id, _)| acked(all, id))).await;
    assert!(entries.iter().any(|e| matches!(e, Entry::BadBeacon { .. })), "the forged beacon is noted");
    assert!(entries.iter().any(|e| matches!(e, Entry::Drawn { slot: s, lease: LEASE, .. } if *s == slot)));
    let sent = answers(&entries);
    assert_eq!(sent.first().map(|(_, seq)| seq), sent.last().map(|(_, seq)| seq), "the planned fork");

    check_wire(&mut up, &sent, slot).await;
    assert!(!device.is_finished());
    device.abort();
    reader.abort();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn a_line_carries_datagrams_from_its_other_end_only() {
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let own = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let wire = Wire::open(Some(Line { own, to: other.local_addr().unwrap() })).await.unwrap();
    stranger.send_to(b"hiss", own).await.unwrap();
    other.send_to(b"frame", own).await.unwrap();
    assert_eq!(wire.listen().await, b"frame");
    wire.send(b"answer").await.unwrap();
    let mut buffer = [0; 16];
    let (length, from) = other.recv_from(&mut buffer).await.unwrap();
    assert_eq!((buffer.get(..length), from), (Some(&b"answer"[..]), own));
    let silent = Wire::open(None).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), silent.listen()).await.is_err());
}

/// What the node received: a boot first, then answers that verify and carry the draw, with the ids of the diary.
async fn check_wire(up: &mut mpsc::UnboundedReceiver<rumqttc::Publish>, sent: &[(String, u64)], slot: u64) {
    let key = voice::Key::from_seed(Algorithm::P256, [5; 32]).public_key();
    let mut ids = Vec::new();
    let mut booted = false;
    while ids.len() < 2 {
        let message = tokio::time::timeout(Duration::from_secs(10), up.recv()).await.unwrap().unwrap();
        let (class, kid) = attest::parse_topic_up(&message.topic).unwrap();
        assert_eq!(kid, key.kid());
        let envelope = attest::decode(&message.payload).unwrap();
        let id = attest::verify(&envelope, class, &attest::network_id(31_337, &REGISTRY), &key).unwrap();
        let claims = Claims::decode(class, envelope.payload).unwrap();
        match claims.body {
            Body::Boot(_) => booted = claims.seq == 0,
            Body::Answer(attest::AnswerBody { lease, slot: answered }) => {
                assert_eq!((lease, answered, booted), (LEASE, slot, true));
                ids.push(hex::encode(id));
            }
            _ => assert_eq!(class, Class::Telemetry),
        }
    }
    assert_eq!(ids, sent.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
}
