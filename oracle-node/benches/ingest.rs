//! What a message costs from the broker to the disk: CPU of ingest beside bare verification of the same
//! messages, the rate of ingest alone, and MQTT → durable with broker (mosquitto, where it is installed) and load generator
//! on the same machine: three processes on loopback, a bounded number of messages. Run it by `make bench`. Leaves out:
//! gossip and agreement.

#[path = "ingest/load.rs"]
mod load;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use attest::{Body, Claims, Reading, Signer as _, SoftEd25519};
use ed25519_zebra::{Signature, VerificationKeyBytes, batch};
use oracle_core::ingest::Keys;
use oracle_node::config::Broker;
use oracle_node::duties::Duties;
use oracle_node::intake::{Intake, Raw};
use oracle_node::keys::Secret;
use oracle_node::metrics::Metrics;
use oracle_node::mqtt;
use oracle_node::receipts::ReceiptLog;
use oracle_node::store::{Seal, Store};
use tokio::sync::mpsc;

const NETWORK: attest::Network = [1; 8];
const DEVICES: u64 = 64;
/// Messages of one run of bare verification and of ingest alone: enough for the store to write its tables out.
const MESSAGES: u64 = 262_144;
/// Messages of one run over MQTT.
const OVER_MQTT: u64 = 150_000;
/// Messages per batch equation and per durable write of ingest alone.
const BATCH: usize = 256;
/// The bars that the project set itself.
const CPU_BAR: f64 = 1.25;
const ALONE_BAR: f64 = 60_000.0;
const MQTT_BAR: f64 = 30_000.0;
const P99_BAR_MS: f64 = 20.0;
/// Longest run over MQTT.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["broker", port] => broker(port.parse().expect("a port")),
        ["load", port, per_second] => load::load(port.parse().expect("a port"), per_second.parse().expect("a rate")),
        ["alone", ..] => alone(),
        _ => {
            alone();
            with_broker();
        }
    }
}

/// `cargo bench … -- alone`: without the broker.
fn alone() {
    let (keys, messages) = (device_keys(), messages(MESSAGES));
    let (bare, ingest) = side_by_side(&keys, &messages);
    row("ingest CPU per message ÷ bare batch verification", ingest.as_secs_f64() / bare.as_secs_f64(), CPU_BAR, true);
    println!("  bare {:.1} µs, ingest {:.1} µs of CPU a message", per_message(bare), per_message(ingest));
    let alone = |wall: Duration| MESSAGES as f64 / wall.as_secs_f64();
    println!("  ingest alone, one worker: {:.0} msg/s", alone(ingest_alone(&keys, &messages, 1)));
    row("ingest alone, two workers, msg/s", alone(ingest_alone(&keys, &messages, 2)), ALONE_BAR, false);
}

/// CPU time of ZIP-215 batch verification and nothing else (the signed bytes are laid out beforehand), and of ingest with
/// what the store does in the background; in turns of a few batches, so that whatever else runs on the machine slows both.
fn side_by_side(keys: &Keys, messages: &[Raw]) -> (Duration, Duration) {
    let laid_out: Vec<_> = messages.iter().map(|raw| lay_out(keys, raw)).collect();
    let dir = Dir::new("cpu");
    let (intake, _) = intake(&dir, keys);
    let (from, mut bare) = (cpu_time(), Duration::ZERO);
    let turn = 8 * BATCH;
    for (signed, raws) in laid_out.chunks(turn).zip(messages.chunks(turn)) {
        let before = own_time();
        signed.chunks(BATCH).for_each(verify_bare);
        bare += own_time() - before;
        raws.chunks(BATCH).for_each(|batch| take_all(&intake, batch));
    }
    // Until the store has written out what it began to.
    std::thread::sleep(Duration::from_secs(2));
    (bare, cpu_time() - from - bare)
}

fn with_broker() {
    let full = over_mqtt(0);
    row("MQTT → durable, QoS 1, three processes, msg/s", full.rate, MQTT_BAR, false);
    let half = (full.rate / 2.0) as u64;
    let at_half = over_mqtt(half);
    row("p99 from planned sending to durable at half of that, ms", at_half.p99_ms, P99_BAR_MS, true);
    println!("  half load: {half} msg/s planned, {:.0} msg/s done", at_half.rate);
}

fn row(what: &str, measured: f64, bar: f64, lower_is_better: bool) {
    let held = if lower_is_better { measured <= bar } else { measured >= bar };
    println!("{what} | {measured:.2} | bar {bar} | {}", if held { "ok" } else { "missed" });
}

fn per_message(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6 / MESSAGES as f64
}

fn device(index: u64) -> SoftEd25519 {
    SoftEd25519::from_seed([u8::try_from(index + 1).expect("few devices"); 32])
}

fn device_keys() -> Keys {
    (0..DEVICES).map(|i| (device(i).public_key().kid(), (i, device(i).public_key()))).collect()
}

/// Message `number` of the run: eight readings of device `number mod DEVICES`.
fn message(signer: &SoftEd25519, number: u64) -> Raw {
    let readings: Vec<Reading> = (0..8).map(|channel| Reading { channel, exponent: -2, mantissa: 21_500 }).collect();
    let body = Body::Telemetry((&readings[..]).into());
    let claims = Claims { iat: Some(1_700_000_000), nonce: None, boot: 1, seq: number / DEVICES, prev: [7; 16], body };
    let mut space = [0; attest::MAX_MESSAGE];
    let signed = attest::seal(signer, &NETWORK, &claims, &mut space).expect("sealed");
    Raw { class: signed.class, kid: signer.public_key().kid(), bytes: signed.bytes.to_vec(), arrival_ms: now_ms() }
}

fn messages(count: u64) -> Vec<Raw> {
    let signers: Vec<SoftEd25519> = (0..DEVICES).map(device).collect();
    (0..count).map(|number| message(&signers[(number % DEVICES) as usize], number)).collect()
}

fn verify_bare(part: &[(VerificationKeyBytes, Signature, Vec<u8>)]) {
    let mut verifier = batch::Verifier::new();
    for (key, signature, message) in part {
        verifier.queue((*key, *signature, message));
    }
    verifier.verify(rand::rng()).expect("valid signatures");
}

fn lay_out(keys: &Keys, raw: &Raw) -> (VerificationKeyBytes, Signature, Vec<u8>) {
    let envelope = attest::decode(&raw.bytes).expect("an envelope");
    let signed = attest::sig_structure(raw.class, &NETWORK, &envelope);
    let key: [u8; 32] = keys[&raw.kid].1.bytes().try_into().expect("an Ed25519 key");
    (key.into(), Signature::from(*envelope.signature), signed)
}

/// Wall time until all messages are durable, `workers` batches at a time.
fn ingest_alone(keys: &Keys, messages: &[Raw], workers: usize) -> Duration {
    let dir = Dir::new("alone");
    let (intake, _) = intake(&dir, keys);
    let wall = Instant::now();
    std::thread::scope(|scope| {
        for part in messages.chunks(messages.len().div_ceil(workers)) {
            let intake = &intake;
            scope.spawn(move || part.chunks(BATCH).for_each(|batch| take_all(intake, batch)));
        }
    });
    wall.elapsed()
}

fn take_all(intake: &Intake, batch: &[Raw]) {
    let taken = intake.take(batch).expect("disk");
    assert_eq!(taken.new.len(), batch.len(), "all of them are new and valid");
}

fn intake(dir: &Dir, keys: &Keys) -> (Arc<Intake>, Metrics) {
    let seal = Seal::new(&Secret::new([7; 32]), Path::new("keys/store.key"));
    let store = Arc::new(Store::open(&dir.0, seal).expect("a store"));
    let metrics = Metrics::new().expect("metrics");
    let log = ReceiptLog::new(&Secret::new([2; 32]), (0, [0; 32]));
    let intake = Arc::new(Intake::new(store, metrics.clone(), NETWORK, log));
    intake.set_keys(keys.clone());
    (intake, metrics)
}

/// What a run over MQTT gave.
struct Run {
    rate: f64,
    p99_ms: f64,
}

/// Broker and load generator as processes of their own, the node's ingest in this one. `per_second` 0 = as fast as it goes.
fn over_mqtt(per_second: u64) -> Run {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let dir = Dir::new("broker");
    let _broker = match mosquitto(&dir, port) {
        Some(broker) => broker,
        None => Process::start(&["broker", &port.to_string()]),
    };
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(take_load(port, per_second))
}

async fn take_load(port: u16, per_second: u64) -> Run {
    let dir = Dir::new("mqtt");
    let (intake, metrics) = intake(&dir, &device_keys());
    let (durable, mut batches) = mpsc::channel(8_192);
    let setup = mqtt::Setup {
        brokers: vec![(Broker { host: "127.0.0.1".into(), port, tls: None }, None)],
        client_id: "bench".into(),
        login: None,
        messages_per_second: 1_000_000,
        burst: 1_000_000,
        intake,
        durable,
        clock: now_ms,
        metrics: metrics.clone(),
    };
    drop(mqtt::start(setup, &Duties::new().0));
    while metrics.mqtt_connected.get() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut load = Process::start(&["load", &port.to_string(), &per_second.to_string()]);
    load.wait_ready();
    // The subscription is older than the first message by now: the generator took seconds to sign.
    let begin = now_ms() + 100;
    load.tell(begin);
    let (mut stored, mut lags, mut last) = (0, Vec::new(), begin);
    while stored < OVER_MQTT {
        let taken = tokio::time::timeout(PATIENCE, batches.recv()).await.expect("messages keep coming");
        let taken = taken.expect("running").expect("disk");
        last = now_ms();
        stored += taken.new.len() as u64;
        for item in &taken.new {
            let planned = (item.seq * DEVICES + item.device) * 1_000 / per_second.max(1);
            lags.push(last.saturating_sub(begin + planned));
        }
    }
    lags.sort_unstable();
    let p99 = lags[lags.len() * 99 / 100];
    Run { rate: OVER_MQTT as f64 * 1_000.0 / (last - begin).max(1) as f64, p99_ms: p99 as f64 }
}

/// Mosquitto with the limits that `oracle-node broker` writes for production; `None` where it is not installed.
fn mosquitto(dir: &Dir, port: u16) -> Option<Process> {
    let file = dir.0.join("mosquitto.conf");
    let lines = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 1000\nmax_queued_messages 1000000\n\
         max_queued_bytes 536870912\nset_tcp_nodelay true\nsys_interval 0\nlog_type error\n"
    );
    std::fs::write(&file, lines).expect("a file");
    // Debian keeps it where a user's PATH does not look.
    ["mosquitto", "/usr/sbin/mosquitto"]
        .into_iter()
        .find_map(|program| Process::spawn(Command::new(program).arg("-c").arg(&file)).ok())
}

/// The embedded broker's process, where there is no mosquitto: bounded memory, nothing on disk, at most 100 messages in
/// flight, and small packets held back until the receiver's kernel acknowledges (it leaves Nagle's algorithm on), which
/// is what its figures are about.
fn broker(port: u16) {
    let listen: SocketAddr = ([127, 0, 0, 1], port).into();
    let connections = rumqttd::ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 16 << 10,
        max_inflight_count: 500,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server =
        rumqttd::ServerSettings { name: "v4".into(), listen, tls: None, next_connection_delay_ms: 1, connections };
    let config = rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: 20,
            max_outgoing_packet_count: 500,
            max_segment_size: 4 << 20,
            max_segment_count: 20,
            ..Default::default()
        },
        v4: Some(std::collections::HashMap::from([("v4".to_owned(), server)])),
        ..Default::default()
    };
    rumqttd::Broker::new(config).start().expect("a broker");
}

/// A process of this program in another role; killed when dropped.
struct Process(Child);

impl Process {
    fn start(arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("this program");
        Self::spawn(Command::new(program).args(arguments)).expect("started")
    }

    fn spawn(command: &mut Command) -> std::io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map(Self)
    }

    fn wait_ready(&mut self) {
        let output = self.0.stdout.take().expect("its output");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "ready");
    }

    fn tell(&mut self, begin: u64) {
        let input = self.0.stdin.as_mut().expect("its input");
        writeln!(input, "{begin}").expect("told");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A temporary folder, removed when dropped.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plumbline-bench-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

/// CPU time of this process, all threads that live.
fn cpu_time() -> Duration {
    std::fs::read_dir("/proc/self/task").expect("Linux").flatten().map(|task| spent(&task.path())).sum()
}

/// CPU time of this thread.
fn own_time() -> Duration {
    spent(Path::new("/proc/thread-self"))
}

/// CPU time of a task of /proc; nothing for one that has ended.
fn spent(task: &Path) -> Duration {
    let line = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    Duration::from_nanos(line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0))
}
