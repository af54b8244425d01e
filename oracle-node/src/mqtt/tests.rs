//! Against the embedded broker: stored before acknowledged, garbage counted, retained publications arrive.

use std::net::SocketAddr;

use attest::{Body, Claims, Signer as _, SoftEd25519};
use oracle_core::ingest::Keys;

use super::*;
use crate::keys::Secret;
use crate::receipts::ReceiptLog;
use crate::store::Store;
use crate::testing::Dir;

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
    Broker { host: "127.0.0.1".into(), port }
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
    let store = Arc::new(Store::open(dir.path()).expect("open"));
    let metrics = Metrics::new().expect("metrics");
    let log = ReceiptLog::new(&Secret::new([2; 32]), (0, [0; 32]));
    let intake = Arc::new(Intake::new(Arc::clone(&store), metrics.clone(), NETWORK, log));
    intake.set_keys(Keys::from([(kid, (5, signer.public_key()))]));
    let (durable, mut batches) = mpsc::channel(64);
    let setup = Setup {
        brokers: vec![broker.clone()],
        client_id: "node".into(),
        login: None,
        messages_per_second: 100,
        intake,
        durable,
        clock,
        metrics: metrics.clone(),
    };
    let publisher = start(setup);
    let down = attest::topic_down(attest::Down::Lease, &kid);
    publisher.retain(&down, b"hint");
    let (client, mut heard) = device(&broker, &down).await;

    // The node may subscribe a moment later than the device publishes: publish until something is stored.
    let claims = Claims { iat: None, nonce: None, boot: 1, seq: 0, prev: [0; 16], body: Body::Heartbeat };
    let mut buffer = [0; attest::MAX_MESSAGE];
    let signed = attest::seal(&signer, &NETWORK, &claims, &mut buffer).expect("sealed");
    let topic = attest::topic_up(signed.class, &kid);
    let taken = loop {
        client.publish(&*topic, QoS::AtLeastOnce, false, b"garbage".to_vec()).await.expect("queued");
        client.publish(&*topic, QoS::AtLeastOnce, false, signed.bytes.to_vec()).await.expect("queued");
        if let Ok(taken) = tokio::time::timeout(Duration::from_millis(300), batches.recv()).await {
            break taken.expect("running").expect("disk");
        }
    };
    assert_eq!(taken.new.first().map(|item| (*item.id, item.device)), Some((signed.id, 5)));
    assert!(store.has_evidence(&signed.id).expect("disk") && taken.announce);
    assert!(metrics.evidence_refused.with_label_values(&["MALFORMED"]).get() >= 1);

    let hint = tokio::time::timeout(Duration::from_secs(10), heard.recv()).await.expect("in time").expect("running");
    assert_eq!((&hint.payload[..], hint.topic.as_str()), (&b"hint"[..], &*down));
}

#[test]
fn an_acknowledgement_of_an_ended_connection_is_dropped() {
    let metrics = Metrics::new().expect("metrics");
    let (client, _events) = AsyncClient::new(MqttOptions::new("node", "127.0.0.1", 1), 1);
    let stale = metrics.mqtt_stale_acks.clone();
    let link = Arc::new(Link { client, connection: AtomicU64::new(3), connected: AtomicBool::new(true), stale });
    let ack =
        |connection| Ack { link: Arc::clone(&link), connection, publish: Publish::new("t", QoS::AtLeastOnce, "x") };
    ack(2).send();
    assert_eq!(metrics.mqtt_stale_acks.get(), 1);
    ack(3).send();
    assert_eq!(metrics.mqtt_stale_acks.get(), 1);
}
