//! What a node under attack needs around it, all on loopback and in this process: a chain that answers just enough
//! JSON-RPC, an embedded broker, and the real binary with a folder of its own. Nothing outlives the [`World`].

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, LogData, U256, keccak256};
use alloy::rpc::types::{Block, Log};
use alloy::sol_types::SolEvent as _;
use attest::{Network, PublicKey};
use libp2p::identity::Keypair;
use oracle_core::policy::Book;
use oracle_core::registry::events::{DeviceRegistered, TermConfigured};
use serde_json::{Value, json};

/// EIP-155 id of the pretended chain.
pub(crate) const CHAIN_ID: u64 = 31_337;
/// Messages of one device kept per epoch, by the conduct document: small, so that a flood is seen.
pub(crate) const PER_DEVICE: u32 = 60;
/// The policy book.
pub(crate) const BOOK: &str = r#"{"version":2,"document":"conduct","gossip_allowance_ms":1000,"observe_delay_ms":500,"void_bound_ms":700,"snapshot_lag_ms":4000,"late_epochs":1,"view_timeout_ms":1000,"transmit_stage_ms":500,"messages_per_device":60}
{"version":2,"document":"policy","classes":{"uptime":{"service":{"deadline_ms":2000,"challenge_p":"16602069666338596454","z_squared_millionths":2706025,"credit_bp":5000}}}}"#;

/// A node that runs, and where to reach it.
pub(crate) struct World {
    folder: PathBuf,
    node: Child,
    pub(crate) api: String,
    pub(crate) gossip: u16,
    pub(crate) broker: u16,
    pub(crate) peer: libp2p::PeerId,
}

impl Drop for World {
    fn drop(&mut self) {
        drop((self.node.kill(), self.node.wait()));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that was free a moment ago.
pub(crate) fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("port").port()
}

/// A folder that did not exist.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("plumbline-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// Runs the binary to its end.
pub(crate) fn cli(arguments: &[&std::ffi::OsStr]) -> Output {
    let program = env!("CARGO_BIN_EXE_oracle-node");
    Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("the binary")
}

/// Transport identity of a seed.
pub(crate) fn key(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; 32]).expect("key")
}

/// Device messages are signed for this.
pub(crate) fn network() -> Network {
    attest::network_id(CHAIN_ID, &[1; 20])
}

impl World {
    /// Starts everything; the node is a member beside the transport identities of seeds 2, 3 and 4, and knows one device.
    pub(crate) async fn start(device: &PublicKey) -> Self {
        let folder = folder("garbage");
        let made = cli(&["init".as_ref(), "--plain".as_ref(), folder.as_os_str()]);
        let public: Value = serde_json::from_slice(&made.stdout).expect("public keys");
        let text = |field: &str| public[field].as_str().unwrap_or_default().to_owned();
        let (gossip, broker, http) = (port(), port(), port());
        start_broker(broker);
        let logs = [term(&text("address"), &text("peer_key"), &text("dkg_key")), registered(device)];
        let chain = start_chain(logs.into_iter().map(|(contract, data)| log(contract, data)).collect()).await;
        std::fs::write(folder.join("book.jsonl"), BOOK).expect("book");
        let contract = |n: u8| Address::repeat_byte(n);
        let config = format!(
            "[mqtt]\nbrokers = [\"127.0.0.1:{broker}\"]\nmessages_per_second = 5\n\
             [gossip]\nlisten = \"/ip4/127.0.0.1/tcp/{gossip}\"\npeers = [\"/ip4/127.0.0.1/tcp/{gossip}\"]\n\
             [chain]\nrpc = \"{chain}\"\npoll = \"50ms\"\nregistry = \"{}\"\ndevices = \"{}\"\nescrow = \"{}\"\nhub = \"{}\"\n\
             [http]\nlisten = \"127.0.0.1:{http}\"\n",
            contract(1),
            contract(2),
            contract(3),
            contract(4)
        );
        std::fs::write(folder.join("config.toml"), config).expect("config");
        let node = start_node(&folder);
        let peer = text("peer_id").parse().expect("peer id");
        let world = Self { folder, node, api: format!("http://127.0.0.1:{http}"), gossip, broker, peer };
        world.until("a broker is connected", "oracle_mqtt_connected 1").await;
        world
    }

    /// The node's metrics.
    pub(crate) async fn metrics(&self) -> String {
        match alloy::transports::http::reqwest::get(format!("{}/metrics", self.api)).await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits for a line of the metrics.
    pub(crate) async fn until(&self, what: &str, line: &str) {
        for _ in 0..200 {
            if self.metrics().await.lines().any(|found| found == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("not in time: {what} ({line})\n{}", self.metrics().await);
    }

    /// Waits until a counter is at least `least`.
    pub(crate) async fn counts(&self, name: &str, least: u64) -> u64 {
        let value = |page: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok());
            line.unwrap_or_default()
        };
        for _ in 0..200 {
            let found = value(&self.metrics().await);
            if found >= least {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} never reached {least}:\n{}", self.metrics().await);
    }

    /// Whether the process still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.node.try_wait(), Ok(None))
    }
}

fn start_node(folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).expect("log");
    Command::new(env!("CARGO_BIN_EXE_oracle-node"))
        .args(["run".as_ref(), "--config".as_ref(), folder.join("config.toml").as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the node")
}

fn start_broker(port: u16) {
    let settings = rumqttd::ServerSettings {
        name: "v4".into(),
        listen: ([127, 0, 0, 1], port).into(),
        tls: None,
        next_connection_delay_ms: 1,
        connections: rumqttd::ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: 2 << 20,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    let config = rumqttd::Config {
        router: rumqttd::RouterConfig {
            max_connections: 10,
            max_outgoing_packet_count: 200,
            max_segment_size: 4 << 20,
            max_segment_count: 10,
            ..Default::default()
        },
        v4: Some(std::collections::HashMap::from([("v4".to_owned(), settings)])),
        ..Default::default()
    };
    std::thread::spawn(move || rumqttd::Broker::new(config).start().is_ok());
}

fn term(address: &str, peer: &str, dkg: &str) -> (u8, LogData) {
    let stranger = |seed: u8| B256::from(key(seed).public().try_into_ed25519().expect("ed25519").to_bytes());
    let own = |text: &str| text.parse::<B256>().expect("key");
    let event = TermConfigured {
        committee: 1,
        term: 1,
        configDigest: B256::repeat_byte(9),
        members: vec![
            address.parse().expect("address"),
            Address::repeat_byte(12),
            Address::repeat_byte(13),
            Address::repeat_byte(14),
        ],
        peerKeys: vec![own(peer), stranger(2), stranger(3), stranger(4)],
        dkgKeys: vec![own(dkg), stranger(2), stranger(3), stranger(4)],
        policyHash: Book::parse(BOOK.as_bytes()).expect("a book").root(),
        epochSeconds: 15,
        slotMs: 1_000,
        genesisDelay: 10,
    };
    (1, event.encode_log_data())
}

fn registered(device: &PublicKey) -> (u8, LogData) {
    let PublicKey::P256(point) = device else { panic!("an Ed25519 key needs a committee to count") };
    let event = DeviceRegistered {
        tokenId: U256::from(7),
        owner: Address::repeat_byte(5),
        alg: 2,
        publicKey: Bytes::copy_from_slice(point),
        proof: vec![0; 64].into(),
        locationCommitment: B256::ZERO,
        class: 1,
    };
    (2, event.encode_log_data())
}

fn log(contract: u8, data: LogData) -> Log {
    let inner = alloy::primitives::Log { address: Address::repeat_byte(contract), data };
    let transaction = Some(B256::repeat_byte(contract));
    Log {
        inner,
        block_number: Some(1),
        block_hash: Some(hash(1)),
        transaction_hash: transaction,
        log_index: Some(contract.into()),
        transaction_index: Some(0),
        ..Default::default()
    }
}

fn hash(block: u64) -> B256 {
    keccak256(block.to_be_bytes())
}

/// A chain of three finalized blocks, the logs in the second.
async fn start_chain(logs: Vec<Log>) -> String {
    let logs = Arc::new(serde_json::to_value(logs).expect("logs"));
    let answer = async move |body: axum::Json<Value>| {
        let number = |text: &Value| u64::from_str_radix(text.as_str().unwrap_or("0x2").trim_start_matches("0x"), 16);
        let (method, parameters) = (body["method"].as_str().unwrap_or_default(), &body["params"]);
        let result = match method {
            "eth_chainId" => json!(format!("{CHAIN_ID:#x}")),
            "eth_getBlockByNumber" => block(number(&parameters[0]).unwrap_or(2)),
            "eth_getLogs" if number(&parameters[0]["fromBlock"]).is_ok_and(|from| from <= 1) => (*logs).clone(),
            "eth_getLogs" => json!([]),
            _ => {
                return axum::Json(
                    json!({ "jsonrpc": "2.0", "id": body["id"], "error": { "code": -32601, "message": "no" } }),
                );
            }
        };
        axum::Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let router = axum::Router::new().route("/", axum::routing::post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn block(number: u64) -> Value {
    let mut block: Block = Block::default();
    block.header.hash = hash(number);
    block.header.inner.number = number;
    block.header.inner.timestamp = 1_700_000_000 + number;
    serde_json::to_value(block).expect("block")
}
