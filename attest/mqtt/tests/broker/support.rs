//! Brokers that can be killed, members that sign receipts, and a device with a queue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attest::{
    Body, Claims, Device, EvidenceId, MAX_MESSAGE, Network, PublicKey, Queue, Reading, Signer as _, SoftEd25519,
    ToBeSigned, VolatileBoot, decode, parse_topic_up, topic_down, verify,
};
use attest_mqtt::{Backoff, Broker, Event, Options, Uplink};
use rumqttc::{AsyncClient, Event as Polled, MqttOptions, Packet, QoS};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

pub(crate) const NETWORK: Network = [9; 8];
/// Longest wait for anything that is expected to happen.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A free port, a moment ago.
pub(crate) fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// rumqttd's settings; `logins` are asked for where there are any.
pub(crate) fn settings(port: u16, logins: &[(&str, &str)]) -> rumqttd::Config {
    let pairs: HashMap<String, String> = logins.iter().map(|(user, word)| ((*user).into(), (*word).into())).collect();
    let connections = rumqttd::ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 64 << 10,
        max_inflight_count: 100,
        auth: (!pairs.is_empty()).then_some(pairs),
        external_auth: None,
        dynamic_filters: true,
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let server =
        rumqttd::ServerSettings { name: "v4".into(), listen, tls: None, next_connection_delay_ms: 1, connections };
    rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: 50,
            max_outgoing_packet_count: 200,
            max_segment_size: 1 << 20,
            max_segment_count: 5,
            ..Default::default()
        },
        v4: Some(HashMap::from([("v4".to_owned(), server)])),
        ..Default::default()
    }
}

/// Waits until somebody listens.
pub(crate) fn listening(port: u16) {
    let until = Instant::now() + LONG;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a broker in this process until the process ends.
pub(crate) fn serve(port: u16) {
    let _ = rumqttd::Broker::new(settings(port, &[])).start();
}

/// A broker in a thread, with logins; it ends with the test.
pub(crate) fn in_thread(logins: &[(&str, &str)]) -> u16 {
    let port = port();
    let config = settings(port, logins);
    std::thread::spawn(move || rumqttd::Broker::new(config).start().is_ok());
    listening(port);
    port
}

/// A broker process; killed with SIGKILL when dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(port: u16) -> Self {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "broker_process", "--nocapture"])
            .env("ATTEST_MQTT_BROKER", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a broker process");
        let process = Self(child);
        listening(port);
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the members have stored: for every (boot, seq) the ids seen, and how often each message arrived.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) by_place: BTreeMap<(u32, u64), BTreeSet<EvidenceId>>,
    pub(crate) arrivals: BTreeMap<EvidenceId, u32>,
    pub(crate) status: Vec<String>,
}

/// One member on one broker: verifies, stores, signs a receipt for each message, every time it comes.
pub(crate) struct Member {
    pub(crate) index: u32,
    pub(crate) key: SoftEd25519,
    pub(crate) stored: Arc<Mutex<Stored>>,
}

/// A member's receipt key.
pub(crate) fn receipt_key(index: u32) -> SoftEd25519 {
    SoftEd25519::from_seed([100 + index as u8; 32])
}

pub(crate) fn public(key: &SoftEd25519) -> [u8; 32] {
    let PublicKey::Ed25519(public) = key.public_key() else { panic!("an Ed25519 key") };
    public
}

/// The receipts of a batch of one, as docs/protocol.md §11 has them.
pub(crate) fn receipts(member: u32, key: &SoftEd25519, id: &EvidenceId) -> Vec<u8> {
    let sha = |parts: &[&[u8]]| -> [u8; 32] { Sha256::digest(parts.concat()).into() };
    let tree = sha(&[&[0], id, &77u64.to_be_bytes(), &[1]]);
    let chained = sha(&[b"plumbline/receipt/v1", &[0; 32], &5u64.to_be_bytes(), &tree, &1u32.to_be_bytes()]);
    let signature = key.sign(ToBeSigned::new(&chained)).expect("signed");
    let mut e = minicbor::Encoder::new(Vec::new());
    let body = |e: &mut minicbor::Encoder<Vec<u8>>| {
        e.array(6)?.u32(member)?.u64(5)?.bytes(&[0; 32])?.u32(1)?.bytes(&signature)?;
        e.array(1)?.array(4)?.bytes(id)?.u64(77)?.u8(1)?.array(0)?;
        Ok::<(), minicbor::encode::Error<std::convert::Infallible>>(())
    };
    body(&mut e).expect("encoded");
    e.into_writer()
}

impl Member {
    /// Listens to one broker, reconnecting for ever, until the runtime ends.
    pub(crate) fn listen(self, port: u16, device: PublicKey) {
        let name = format!("member-{}-{port}", self.index);
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(5)).set_clean_session(false).set_max_packet_size(65_536, 65_536);
        let (client, mut events) = AsyncClient::new(options, 512);
        tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Polled::Incoming(Packet::ConnAck(_))) => {
                        let _ = client.try_subscribe(attest::UP_FILTER, QoS::AtLeastOnce);
                        let _ = client.try_subscribe("plumbline/v1/status/+", QoS::AtLeastOnce);
                    }
                    Ok(Polled::Incoming(Packet::Publish(publish))) => self.take(&client, &publish, &device),
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        });
    }

    fn take(&self, client: &AsyncClient, publish: &rumqttc::Publish, device: &PublicKey) {
        let Some((class, kid)) = parse_topic_up(&publish.topic) else {
            let said = String::from_utf8_lossy(&publish.payload).into_owned();
            self.stored.lock().expect("lock").status.push(said);
            return;
        };
        let envelope = decode(&publish.payload).expect("a device sends evidence");
        let id = verify(&envelope, class, &NETWORK, device).expect("signed by the device");
        let claims = Claims::decode(class, envelope.payload).expect("claims");
        {
            let mut stored = self.stored.lock().expect("lock");
            stored.by_place.entry((claims.boot, claims.seq)).or_default().insert(id);
            *stored.arrivals.entry(id).or_default() += 1;
        }
        let topic = topic_down(attest::Down::Receipt, &kid);
        let _ = client.try_publish(topic.as_str(), QoS::AtMostOnce, false, receipts(self.index, &self.key, &id));
    }
}

/// A device with its queue's memory.
pub(crate) struct Bench {
    pub(crate) device: Device<SoftEd25519>,
    next: i64,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let signer = SoftEd25519::from_seed([7; 32]);
        Self { device: Device::boot(signer, &mut VolatileBoot::default(), NETWORK).expect("boot"), next: 0 }
    }

    /// Two members, f+1 = 2, and short pauses.
    pub(crate) fn options(&self, brokers: Vec<Broker>) -> Options {
        let keys = (0..2).map(|index| public(&receipt_key(index))).collect();
        let mut options = Options::new(brokers, self.device.kid(), NETWORK, keys, 2);
        options.patience = Duration::from_millis(700);
        options.keep_alive = Duration::from_secs(2);
        options.backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };
        options
    }

    /// Both members, on every one of these ports; what they store.
    pub(crate) fn members(&self, ports: &[u16]) -> Arc<Mutex<Stored>> {
        let stored = Arc::new(Mutex::new(Stored::default()));
        for (index, port) in (0..2).flat_map(|index| ports.iter().map(move |port| (index, *port))) {
            let member = Member { index, key: receipt_key(index), stored: Arc::clone(&stored) };
            member.listen(port, self.device.public_key());
        }
        stored
    }

    /// Takes a reading and hands it over.
    pub(crate) fn read(&mut self, uplink: &Uplink) -> EvidenceId {
        self.next += 1;
        let readings = [Reading { channel: 1, exponent: -2, mantissa: self.next }];
        let mut buf = [0; MAX_MESSAGE];
        let signed = self.device.message(None, None, &Body::Telemetry((&readings).into()), &mut buf).expect("signed");
        uplink.send(&signed).expect("room");
        signed.id
    }
}

/// Memory for a queue; a test's process is short enough to leak it.
pub(crate) fn queue(bytes: usize) -> Queue<'static> {
    Queue::new(Box::leak(vec![0; bytes].into_boxed_slice()))
}

/// The next event that `wanted` makes something of.
pub(crate) async fn until<T>(events: &mut mpsc::Receiver<Event>, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    let wait = async {
        loop {
            let event = events.recv().await.expect("the uplink runs");
            if let Some(found) = wanted(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("in time")
}

/// Waits until all these messages are stored.
pub(crate) async fn all_stored(events: &mut mpsc::Receiver<Event>, ids: &[EvidenceId]) {
    let mut missing: BTreeSet<EvidenceId> = ids.iter().copied().collect();
    if missing.is_empty() {
        return;
    }
    until(events, |event| {
        if let Event::Stored { id } = event {
            missing.remove(id);
        }
        missing.is_empty().then_some(())
    })
    .await;
}
