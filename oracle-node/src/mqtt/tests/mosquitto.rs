//! Against a real mosquitto with the configuration that `oracle-node broker` writes. `.ci/mosquitto` starts it and sets
//! `PLUMBLINE_MOSQUITTO` to `<folder>|<port>`; without it this test says that it is skipped.
//! One identity is one connection, so everybody here has an own certificate. The folder holds nodes a, b, x, y and devices 1, 2 (seeds 1, 2) and 3, which is blocked.

use std::path::{Path, PathBuf};

use super::*;

/// A device of the test by its number: signer, kid in hex.
fn device_of(number: u8) -> (SoftEd25519, String) {
    let signer = SoftEd25519::from_seed([number; 32]);
    let kid = hex::encode(signer.public_key().kid());
    (signer, kid)
}

struct Place {
    dir: PathBuf,
    broker: Broker,
}

impl Place {
    fn tls(&self, name: &str) -> Tls {
        let file = |end: &str| self.dir.join(format!("{name}.{end}"));
        Tls::from_files(&self.dir.join("ca.pem"), Some((&file("pem"), &file("key")))).expect(name)
    }

    fn way(&self, tls: Tls) -> attest_mqtt::Broker {
        attest_mqtt::Broker::secure(self.broker.host.clone(), self.broker.port, tls)
    }

    fn uplink(
        &self,
        number: u8,
        tls: Tls,
        keys: Vec<[u8; 32]>,
    ) -> (attest_mqtt::Uplink, mpsc::Receiver<attest_mqtt::Event>) {
        let kid = device_of(number).0.public_key().kid();
        let mut options = attest_mqtt::Options::new(vec![self.way(tls)], kid, NETWORK, keys, 2);
        options.patience = Duration::from_secs(2);
        let memory: &'static mut [u8] = Box::leak(vec![0; 4_096].into_boxed_slice());
        attest_mqtt::Uplink::start(options, attest::Queue::new(memory)).expect("settings")
    }

    /// A bare client under a certificate; what it hears, and every acknowledgement, goes to the channels.
    fn client(&self, id: &str, tls: Tls, filter: &str) -> (AsyncClient, mpsc::Receiver<Publish>, mpsc::Receiver<u16>) {
        let mut options = MqttOptions::new(id, self.broker.host.clone(), self.broker.port);
        options.set_keep_alive(Duration::from_secs(5)).set_transport(tls.transport());
        let (client, mut events) = AsyncClient::new(options, 64);
        client.try_subscribe(filter, QoS::AtLeastOnce).expect("room");
        let ((heard, receiver), (acks, acked)) = (mpsc::channel(256), mpsc::channel(64));
        tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => drop(heard.send(publish).await),
                    Ok(Event::Incoming(Packet::PubAck(ack))) => drop(acks.send(ack.pkid).await),
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
        (client, receiver, acked)
    }
}

fn heartbeat(number: u8, seq: u64) -> (String, Vec<u8>, [u8; 32]) {
    let (signer, _) = device_of(number);
    let claims = Claims { iat: None, nonce: None, boot: 1, seq, prev: [0; 16], body: Body::Heartbeat };
    let mut buffer = [0; attest::MAX_MESSAGE];
    let signed = attest::seal(&signer, &NETWORK, &claims, &mut buffer).expect("sealed");
    (attest::topic_up(signed.class, &signer.public_key().kid()).to_string(), signed.bytes.to_vec(), signed.id)
}

async fn wait<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.unwrap_or_else(|_| panic!("{what}: not within 20 s"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one story told in order, with one broker")]
async fn against_mosquitto_everyone_speaks_only_under_the_own_name() {
    let Ok(place) = std::env::var("PLUMBLINE_MOSQUITTO") else {
        println!("skipped: PLUMBLINE_MOSQUITTO is not set; .ci/mosquitto runs this");
        return;
    };
    let (dir, port) = place.split_once('|').expect("<folder>|<port>");
    let broker = Broker { host: "localhost".into(), port: port.parse().expect("port"), tls: None };
    let place = Place { dir: Path::new(dir).to_owned(), broker };
    let dirs = [Dir::new("mosquitto-0"), Dir::new("mosquitto-1")];
    let ((first, one), (_, two), (_, three)) = (device_of(1), device_of(2), device_of(3));

    // Two real members and a real device: its reading is stored by both, and receipts come back to it.
    let nodes = [place.tls("node-a"), place.tls("node-b")];
    let [a, b] = nodes;
    let keys = vec![
        member(&dirs[0], (&place.broker, Some(a)), 0, &first, 0),
        member(&dirs[1], (&place.broker, Some(b)), 1, &first, 0),
    ];
    let (uplink, mut events) = place.uplink(1, place.tls(&format!("devices/{one}")), keys.clone());
    let (topic, bytes, id) = heartbeat(1, 0);
    let signed = attest::Signed { class: attest::Class::Heartbeat, bytes: &bytes, id, seq: 0 };
    uplink.send(&signed).expect("room");
    let stored = async {
        loop {
            if let attest_mqtt::Event::Stored { id } = events.recv().await.expect("running") {
                return id;
            }
        }
    };
    assert_eq!(wait("receipts of both members", stored).await, id);
    assert_eq!(uplink.close(Duration::ZERO).await.waiting, 0);

    // A third node-like ear on everything that any device may say.
    let (_ear, mut heard, _) = place.client("x", place.tls("node-x"), attest::UP_FILTER);
    let (node, _, mut node_acks) = place.client("y", place.tls("node-y"), "plumbline/v1/status/+");
    // Device 2 in device 1's name, on the beacon, to a device; then in its own, and device 3, which is blocked.
    let (liar, mut overheard, mut acks) = place.client(&one, place.tls(&format!("devices/{two}")), "#");
    let (blocked, mut silence, mut blocked_acks) =
        place.client("z", place.tls(&format!("devices/{three}")), attest::BEACON_TOPIC);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let (own, own_bytes, _) = heartbeat(2, 0);
    let (third, third_bytes, _) = heartbeat(3, 0);
    let down = attest::topic_down(attest::Down::Receipt, &first.public_key().kid());
    for (topic, bytes) in
        [(topic.as_str(), &bytes), (attest::BEACON_TOPIC, &bytes), (&*down, &bytes), (&own, &own_bytes)]
    {
        liar.publish(topic, QoS::AtLeastOnce, false, bytes.clone()).await.expect("queued");
    }
    blocked.publish(&third, QoS::AtLeastOnce, false, third_bytes).await.expect("queued");
    node.publish(attest::BEACON_TOPIC, QoS::AtLeastOnce, false, vec![7; 56]).await.expect("queued");
    node.publish(&*down, QoS::AtLeastOnce, false, vec![8]).await.expect("queued");
    // All were answered (MQTT 3.1.1 acknowledges what the rules throw away too), so what is missing was thrown away.
    for _ in 0..4 {
        wait("PUBACK", acks.recv()).await;
    }
    wait("PUBACK", blocked_acks.recv()).await;
    for _ in 0..2 {
        wait("PUBACK", node_acks.recv()).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let drain = |receiver: &mut mpsc::Receiver<Publish>| {
        std::iter::from_fn(|| receiver.try_recv().ok()).map(|publish| publish.topic).collect::<Vec<_>>()
    };
    assert_eq!(drain(&mut heard), [own], "only what device 2 said in its own name reached the nodes");
    assert_eq!(
        drain(&mut overheard),
        [attest::BEACON_TOPIC],
        "device 2 hears the node's beacon and nothing of device 1"
    );
    assert_eq!(drain(&mut silence), Vec::<String>::new(), "a blocked device hears nothing");

    // Nobody gets in without a certificate of this CA.
    let bare = Tls::from_files(&place.dir.join("ca.pem"), None).expect("tls");
    let (uplink, mut events) = place.uplink(1, bare, keys);
    let why = async {
        loop {
            match events.recv().await.expect("running") {
                attest_mqtt::Event::Trouble { why, .. } => return why,
                attest_mqtt::Event::Connected { .. } => panic!("let in without a certificate"),
                _ => {}
            }
        }
    };
    let why = wait("a refusal", why).await;
    assert!(matches!(why, attest_mqtt::Why::Tls(_)), "{why}");
    println!("without a certificate: {why}");
    drop(uplink);
}

/// For `.ci/mosquitto`, which makes the certificates.
#[test]
fn kids_of_the_devices() {
    for number in 1..=3 {
        println!("kid {}", device_of(number).1);
    }
}
