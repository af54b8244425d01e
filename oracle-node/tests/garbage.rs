//! Garbage on every input of a running node: brokers, the members' port, the API, the configuration, the command line.
//! What is asserted: nothing panics, every refusal is counted under its reason, and honest input is still served after it.
//! The bytes are drawn from a fixed seed, so a failure repeats.

mod world;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attest::{Body, Claims, Signer as _, SoftP256};
use oracle_core::effect::Content;
use oracle_core::wire::{self, Bytes, Direct, Hash, Message};
use oracle_node::config::Config;
use oracle_node::duties::Duties;
use oracle_node::gossip::{self, Command};
use oracle_node::keys::Secret;
use oracle_node::metrics::Metrics;
use oracle_node::store::{Seal, Store};
use rumqttc::{AsyncClient, MqttOptions, QoS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use world::{PER_DEVICE, World, cli, folder, key};

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % (bound as u64).max(1)) as usize
    }

    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        (0..self.below(longest + 1)).map(|_| self.next() as u8).collect()
    }

    /// Valid bytes with a few of them changed, cut, doubled or lengthened.
    fn spoilt(&mut self, valid: &[u8]) -> Vec<u8> {
        let mut bytes = valid.to_vec();
        let place = self.below(bytes.len());
        match self.below(4) {
            0 => bytes.truncate(place),
            1 => bytes.extend(self.bytes(9).into_iter().chain([0])),
            2 => drop(bytes.splice(place..place, [0x9f, 0xff])),
            _ => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
        bytes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_survives_garbage_on_every_socket_and_counts_it() {
    let device = SoftP256::from_seed([3; 32]);
    let mut world = World::start(&device.public_key()).await;
    let mut dice = Dice(20_261_121);
    brokers(&world, &device, &mut dice).await;
    members_port(&world, &mut dice).await;
    members(&world, &mut dice).await;
    api(&world, &mut dice).await;

    assert!(world.runs(), "the node ended");
    let health: serde_json::Value =
        serde_json::from_slice(&get(&world, "/health").await.1).expect("the API still answers");
    assert_eq!(health["ok"], true);
    assert!(
        world.metrics().await.lines().any(|line| line == "oracle_peers_connected 1"),
        "the member stayed connected"
    );
}

fn sealed(device: &SoftP256, seq: u64) -> Vec<u8> {
    let claims = Claims { iat: None, nonce: None, boot: 1, seq, prev: [0; 16], body: Body::Heartbeat };
    let mut buffer = [0; attest::MAX_MESSAGE];
    attest::seal(device, &world::network(), &claims, &mut buffer).expect("sealed").bytes.to_vec()
}

/// Evidence topics: random, spoilt, forged, unknown, oversized, flooding; a good message after each kind is stored.
async fn brokers(world: &World, device: &SoftP256, dice: &mut Dice) {
    let mut options = MqttOptions::new("garbage", "127.0.0.1", world.broker);
    options.set_max_packet_size(2 << 20, 2 << 20);
    let (client, mut events) = AsyncClient::new(options, 256);
    tokio::spawn(async move {
        loop {
            if events.poll().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    let kid = hex::encode(device.public_key().kid());
    let good = format!("plumbline/v1/up/heartbeat/{kid}");
    let send = async |topic: String, bytes: Vec<u8>| {
        client.publish(topic, QoS::AtLeastOnce, false, bytes).await.expect("queued");
    };
    send(good.clone(), sealed(device, 0)).await;
    world.counts("oracle_evidence_stored_total", 1).await;
    let refused = |reason: &str| format!("oracle_evidence_refused_total{{reason=\"{reason}\"}}");

    for at in 0..100 {
        let class = ["telemetry", "heartbeat", "boot", "answer", "commitment", "witness", "reveal", "odd"][at % 8];
        // A key id of its own each time: none has a bucket yet.
        send(format!("plumbline/v1/up/{class}/{:016x}", dice.next()), dice.bytes(600)).await;
        send(format!("plumbline/v1/up/{}/{}", "é".repeat(at), hex::encode(dice.bytes(20))), dice.bytes(9)).await;
    }
    world.counts(&refused("MALFORMED"), 150).await;
    send(good.clone(), vec![0xd2; attest::MAX_MESSAGE + 1]).await;
    world.counts(&refused("TOO_LONG"), 1).await;
    let other = SoftP256::from_seed([4; 32]);
    send(format!("plumbline/v1/up/heartbeat/{}", hex::encode(other.public_key().kid())), sealed(&other, 0)).await;
    world.counts(&refused("UNKNOWN_DEVICE"), 1).await;
    send(format!("plumbline/v1/up/telemetry/{kid}"), sealed(device, 1)).await;
    let mut forged = sealed(device, 1);
    forged.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
    send(good.clone(), forged).await;
    world.counts(&refused("BAD_SIGNATURE"), 1).await;
    send(good.clone(), sealed(device, 1)).await;
    world.counts("oracle_evidence_stored_total", 2).await;

    // More of one device than two epochs may hold, spoilt: the rate refuses what the burst does not cover.
    let valid = sealed(device, 2);
    for _ in 0..3 * PER_DEVICE {
        send(good.clone(), dice.spoilt(&valid)).await;
    }
    world.counts("oracle_evidence_over_rate_total", 10).await;

    // A packet over every limit of the node, which the broker lets through and would deliver for ever.
    send(good.clone(), vec![0; 400 << 10]).await;
    world.counts("oracle_mqtt_sessions_cleared_total", 1).await;
    world.until("connected again", "oracle_mqtt_connected 1").await;
    for seq in 10.. {
        send(good.clone(), sealed(device, seq)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        if world.metrics().await.lines().any(|line| line == "oracle_evidence_stored_total 3") {
            break;
        }
        assert!(seq < 200, "nothing is stored any more");
    }
}

/// Bytes that are no libp2p, and half of what is; connections that say nothing.
async fn members_port(world: &World, dice: &mut Dice) {
    let mut silent = Vec::new();
    for at in 0..40 {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", world.gossip)).await else { continue };
        let mut bytes = if at % 2 == 0 { b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec() } else { Vec::new() };
        bytes.extend(dice.bytes(3_000));
        if at % 5 == 0 {
            silent.push(stream);
            continue;
        }
        let _ = stream.write_all(&bytes).await;
        let mut answer = [0; 64];
        let _ = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut answer)).await;
    }
    world.counts("oracle_connections_refused_total{cause=\"handshake\"}", 10).await;
}

/// Answers every pull with bytes that are something else.
struct Liar;

impl gossip::Source for Liar {
    fn content(&self, id: &[u8; 32]) -> Option<Content> {
        Some(Content { id: *id, class: id[0] % 9, bytes: vec![0xa5; 40] })
    }
    fn evidence_id(&self, _: u8, _: &[u8]) -> Option<[u8; 32]> {
        None
    }
}

fn join(world: &World, seed: u8) -> (mpsc::Sender<Command>, mpsc::Receiver<gossip::Event>, Metrics) {
    let (events, heard) = mpsc::channel(1_024);
    let metrics = Metrics::new().expect("metrics");
    let setup = gossip::Setup {
        key: key(seed),
        listen: "/ip4/127.0.0.1/tcp/0".parse().expect("multiaddr"),
        room: gossip::Room {
            term: 1,
            topic: gossip::topic(1, 1),
            members: vec![world.peer, key(seed).public().to_peer_id()],
            peers: vec![(None, format!("/ip4/127.0.0.1/tcp/{}", world.gossip).parse().expect("multiaddr"))],
        },
        source: Arc::new(Liar),
        events,
        metrics: metrics.clone(),
    };
    (gossip::start(setup, &Duties::new().0).expect("started"), heard, metrics)
}

/// A peer that is no member is not let in; a member that sends garbage is, and what it sends is counted.
async fn members(world: &World, dice: &mut Dice) {
    let stranger = join(world, 99);
    world.counts("oracle_connections_refused_total{cause=\"stranger\"}", 1).await;
    drop(stranger);

    let (commands, mut heard, _metrics) = join(world, 2);
    tokio::spawn(async move { while heard.recv().await.is_some() {} });
    world.until("the member is connected", "oracle_peers_connected 1").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let valid = [
        Message::Beacon(7, Bytes::from([1; 48])).encode(),
        Message::BeaconPartial(9, u64::MAX, Bytes::from([0xff; 48])).encode(),
        Message::Activation(u32::MAX, Bytes::from([0; 65])).encode(),
        Message::DkgLog(vec![0x80; 900].into()).encode(),
        Message::Have((0..400).map(|i| Hash::from([i as u8; 32])).collect()).encode(),
    ];
    let send = async |command| commands.send(command).await.expect("running");
    for at in 0..200 {
        // Some of the spoilt ones decode: false statements are the core's to refuse.
        let bytes = if at % 2 == 0 { dice.bytes(2_000) } else { dice.spoilt(&valid[at % valid.len()]) };
        send(Command::Broadcast(bytes.clone())).await;
        send(Command::Direct { to: 0, bytes }).await;
    }
    for message in valid {
        send(Command::Broadcast(message)).await;
    }
    let too_many = (0..600).map(|_| Hash::from([1; 32])).collect();
    send(Command::Direct { to: 0, bytes: wire::encode(&Direct::Pull(too_many)) }).await;
    for bytes in [Direct::Deal(dice.bytes(500).into()), Direct::Ack(dice.bytes(500).into())] {
        send(Command::Direct { to: 0, bytes: wire::encode(&bytes) }).await;
    }
    world.counts("oracle_gossip_received_total{outcome=\"malformed\"}", 50).await;
    world.counts("oracle_gossip_received_total{outcome=\"accepted\"}", 1).await;
    // libp2p itself drops what exceeds its streams at once, so not all of them arrive.
    world.counts("oracle_gossip_direct_refused_total{outcome=\"malformed\"}", 20).await;
    world.counts("oracle_pulls_bad_total", 1).await;
    // Left running: the node must still be connected to it at the end.
    std::mem::forget(commands);
}

async fn get(world: &World, path: &str) -> (u16, Vec<u8>) {
    raw(world, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(), 5_000).await
}

/// One request as raw bytes: status (0 when none came within `patience`, ms) and body.
async fn raw(world: &World, request: &[u8], patience: u64) -> (u16, Vec<u8>) {
    let address = world.api.trim_start_matches("http://").to_owned();
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        let (mut bytes, _) = (Vec::new(), stream.write_all(request).await);
        stream.read_to_end(&mut bytes).await?;
        std::io::Result::Ok(bytes)
    };
    let bytes = tokio::time::timeout(Duration::from_millis(patience), talk)
        .await
        .unwrap_or_else(|_| Ok(Vec::new()))
        .unwrap_or_default();
    let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0);
    let body = bytes.windows(4).position(|found| found == b"\r\n\r\n").map_or(0, |end| end + 4);
    (status, bytes.get(body..).unwrap_or_default().to_vec())
}

async fn api(world: &World, dice: &mut Dice) {
    let long = "a".repeat(20_000);
    let wrong = [
        "/nothing",
        "/v1/../../etc/passwd",
        "/v1/reports/-1",
        "/v1/reports/18446744073709551616",
        "/v1/reports/%ff",
        "/v1/evidence/%00",
        "/v1/evidence/zz",
        "/v1/devices/%F0%28",
        "/v1/epochs?first=x",
        "/v1/epochs?first=1&first=2",
        "/v1/statements?kind=999",
        "/v1/reports/1/proof/%2e%2e",
        &format!("/{long}"),
        &format!("/v1/evidence/{long}"),
        &format!("/v1/epochs?first={long}"),
        "/v1/leases/7",
        "/v1/archive/0",
    ];
    for path in wrong {
        let (status, body) = get(world, path).await;
        let shown = &path[..path.len().min(60)];
        assert!((400..500).contains(&status), "{shown}: {status}");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{shown}: not JSON"));
        assert!(body["error"]["what"].is_string() && body.to_string().len() < 2_000, "{shown}: {body}");
    }
    for method in ["POST", "DELETE", "BREW", "OPTIONS"] {
        let request =
            format!("{method} /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(raw(world, request.as_bytes(), 5_000).await.0, 405, "{method}");
    }
    let huge = format!("GET /health?{} HTTP/1.1\r\nHost: x\r\n\r\n", "q".repeat(1 << 20));
    assert!(raw(world, huge.as_bytes(), 500).await.0 != 200);
    for _ in 0..50 {
        raw(world, &dice.bytes(2_000), 30).await;
        raw(world, &dice.spoilt(b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), 30).await;
    }
    raw(world, b"GET /\xff\xfe HTTP/1.1\r\nHost: \x80\r\n\r\n", 500).await;
    world.counts("oracle_http_refused_total{status=\"404\"}", 3).await;
    world.counts("oracle_http_refused_total{status=\"400\"}", 3).await;
    world.counts("oracle_http_refused_total{status=\"405\"}", 4).await;
}

#[test]
fn faulty_configurations_name_their_faults_and_none_panics() {
    let example = include_str!("../config.example.toml");
    let faulty = [
        ("committee = 1", "committee = 0", "count from 1"),
        ("streams = [0]", "streams = [4294967296]", "streams must be a list"),
        ("streams = [0]", "streams = [1, 1]", "streams must be a list"),
        ("streams = [0]", "streams = []", "streams must be a list"),
        ("streams = [0]", "stream = 0", "did you mean \"streams\"?"),
        ("term = 1", "term = \"one\"", "term must be a whole number"),
        ("brokers = [\"127.0.0.1:1883\"]", "brokers = \"127.0.0.1:1883\"", "brokers must be a list"),
        ("store_key =", "store_kee =", "did you mean \"store_key\"?"),
        ("poll = \"500ms\"", "poll = \"-1s\"", "poll:"),
        ("peers = []", "peers = [1]", "peers must be a list of texts"),
        ("rpc = \"http", "rpc = \"gopher", "is not an http URL"),
        ("[http]\n", "[http]\nlisten = \"\"\n", "not TOML"),
        ("listen = \"127.0.0.1:8080\"", "listen = \"127.0.0.1\"", "not an address and port"),
        ("hub = \"0x", "hub = \"0y", "hub:"),
        ("[gossip]", "[gosip]", "did you mean \"gossip\"?"),
    ];
    for (from, to, named) in faulty {
        assert!(example.contains(from), "{from}");
        let faults = Config::parse(&example.replacen(from, to, 1), Path::new(".")).expect_err(to).join("\n");
        assert!(faults.contains(named), "{to}: {faults}");
    }
    // All at once: every fault is named, not just the first (apart from those two that stop the parser, and from the second
    // and later faults of one line).
    let alone = ["not TOML", "did you mean \"gossip\"?", "did you mean \"streams\"?"];
    let all = faulty.iter().filter(|fault| !alone.contains(&fault.2));
    let text = all.clone().fold(example.to_owned(), |text, (from, to, _)| text.replacen(from, to, 1));
    let faults = Config::parse(&text, Path::new(".")).expect_err("faulty").join("\n");
    for (_, to, named) in all {
        assert!(faults.contains(named), "{to}: {faults}");
    }
    let mut dice = Dice(7);
    for _ in 0..3_000 {
        let mut text = example.as_bytes().to_vec();
        for _ in 0..=dice.below(4) {
            text = dice.spoilt(&text);
        }
        if let Err(faults) = Config::parse(&String::from_utf8_lossy(&text), Path::new(".")) {
            assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.is_empty()));
        }
    }
}

#[test]
fn the_command_line_ends_with_the_code_that_it_documents() {
    let dir = folder("garbage-cli");
    std::fs::create_dir_all(&dir).expect("folder");
    let odd = OsString::from_vec(vec![0x2d, 0x2d, 0xff, 0xfe]);
    let code = |arguments: &[&OsStr]| {
        let output = cli(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked") && !said.is_empty(), "{arguments:?}: {said}");
        (output.status.code(), said)
    };
    let wrong: [&[&str]; 6] =
        [&[], &["dance"], &["run", "--confg", "x"], &["run", "extra"], &["init"], &["status", "--json=maybe"]];
    for flags in wrong {
        let flags: Vec<&OsStr> = flags.iter().map(OsStr::new).collect();
        assert_eq!(code(&flags).0, Some(2), "{flags:?}");
    }
    assert_eq!(code(&[&odd]).0, Some(2));

    let config = dir.join("config.toml");
    let run = [OsStr::new("run"), OsStr::new("--config"), config.as_os_str()];
    for bytes in [&b"\xff\xfe\x00"[..], b"= = =", b"[mqtt]\nbrokers = 7\n[chain]\nrpc = 1\n", &[b'['; 100_000]] {
        std::fs::write(&config, bytes).expect("written");
        assert_eq!(code(&run).0, Some(3));
    }
    std::fs::remove_file(&config).expect("removed");
    assert_eq!(code(&run).0, Some(3), "no file at all");
    assert!(cli(&[OsStr::new("init"), OsStr::new("--plain"), dir.as_os_str()]).status.success());
    std::fs::write(dir.join("book.jsonl"), world::BOOK).expect("book");
    let other = Seal::new(&Secret::new([1; 32]), Path::new("other.key"));
    drop(Store::open(&dir.join("data/store"), other).expect("a store under another key"));
    let (status, said) = code(&run);
    assert!(status == Some(3) && said.contains("store.key is not the key"), "{said}");
    let store_key = dir.join("keys/store.key");
    let mode = std::fs::metadata(&store_key).expect("made by init").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::set_permissions(&store_key, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    let (status, said) = code(&run);
    assert!(status == Some(3) && said.contains("store.key") && said.contains("chmod 600"), "{said}");
    std::fs::remove_file(&store_key).expect("removed");
    let (status, said) = code(&run);
    assert!(status == Some(3) && said.contains("store.key"), "{said}");
    let silent = format!("http://127.0.0.1:{}", world::port());
    assert_eq!(code(&["status", "--api", &silent].map(OsStr::new)).0, Some(4));
    let _ = std::fs::remove_dir_all(&dir);
}
