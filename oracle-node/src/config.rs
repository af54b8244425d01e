//! The node's one configuration file: TOML in, a checked [`Config`] out, with every fault of the file named at once.
//! Unknown keys are refused (with the nearest known one suggested), durations are text, secrets are paths only.
//! Leaves out: reading the key files themselves (`keys`), and anything the registry decides (members, epochs, slots).

mod book;
mod reader;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::primitives::Address;
use reader::Section;

/// Everything an operator decides. docs: `oracle-node/config.example.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the store lives; made when missing.
    pub data_dir: PathBuf,
    /// The committee served, from 1.
    pub committee: u64,
    /// The term served, from 1.
    pub term: u64,
    /// The streams of leases reported on, ascending; stream 0 alone by default. The same at every member of the committee.
    pub streams: BTreeSet<u32>,
    /// Policy books; one of them must be the term's.
    pub books: Vec<PathBuf>,
    /// Where the secret keys are.
    pub keys: KeyPaths,
    /// Brokers that devices publish to.
    pub mqtt: Mqtt,
    /// The committee's own network.
    pub gossip: Gossip,
    /// The chain and the contracts on it.
    pub chain: Chain,
    /// The API of this node.
    pub http: Http,
    /// How far this machine's clock may be from the others' before it is warned about.
    pub clock_limit: Duration,
    /// Epochs whose evidence is kept in full here; `None` = all.
    pub keep_epochs: Option<u64>,
    /// What a testnet may ask a node to do wrong.
    pub behaviour: Behaviour,
}

/// Files with one secret each, mode 0600: keystores, or 64 plain hex digits for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPaths {
    /// secp256k1 scalar: signs statements and transactions; the only key that can slash.
    pub member: PathBuf,
    /// Ed25519 seed: transport identity.
    pub peer: PathBuf,
    /// Ed25519 seed: key generation.
    pub dkg: PathBuf,
    /// Ed25519 seed: receipts.
    pub receipt: PathBuf,
    /// Symmetric key: seals secret records in the store.
    pub store: PathBuf,
    /// File with the password of the keystores, mode 0600; without it the environment or the terminal is asked.
    pub password_file: Option<PathBuf>,
}

impl KeyPaths {
    /// Where the mark of what was said is kept, apart from the store: beside the member key (`guard`).
    #[must_use]
    pub fn mark(&self) -> PathBuf {
        self.member.with_extension("mark")
    }
}

/// MQTT brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// `host:port` of each broker, at least one.
    pub brokers: Vec<Broker>,
    /// Messages of one device accepted per second, sustained; in a burst all that the policy may still count.
    pub messages_per_second: u32,
    /// User name, when the broker wants one.
    pub username: Option<String>,
    /// File with the password, mode 0600.
    pub password_file: Option<PathBuf>,
}

/// Where one broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS; without it everything travels in the clear.
    pub tls: Option<BrokerTls>,
}

/// Files (PEM) for TLS with one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerTls {
    /// The CA that signed the broker's certificate.
    pub ca: PathBuf,
    /// This node's client certificate and its private key (mode 0600), where the broker asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// The committee's own network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gossip {
    /// Multiaddr to listen on.
    pub listen: String,
    /// Multiaddr that `register` publishes for others to dial; `listen` when left out.
    pub endpoint: String,
    /// Multiaddrs of the other members; empty = the endpoints in the registry.
    pub peers: Vec<String>,
}

/// The chain and the contracts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// JSON-RPC URL (http).
    pub rpc: String,
    /// CommitteeRegistry.
    pub registry: Address,
    /// DeviceRegistry.
    pub devices: Address,
    /// LeaseEscrow.
    pub escrow: Address,
    /// ReportHub.
    pub hub: Address,
    /// OperatorStake, where `faults submit` brings fault proofs; not needed to run.
    pub stake: Option<Address>,
    /// First block that can hold an event of these contracts.
    pub start_block: u64,
    /// Time between two looks at the chain.
    pub poll: Duration,
}

/// The API of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen; loopback unless the operator says otherwise.
    pub listen: SocketAddr,
}

/// What a testnet may ask a node to do wrong; `Honest` unless the `[test]` section says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Follows the protocol.
    #[default]
    Honest,
    /// Falsifies its own observations of these epochs (both ends included).
    Liar {
        /// First epoch of lies.
        from_epoch: u64,
        /// Last epoch of lies.
        to_epoch: u64,
    },
}

/// Everything wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {} fault(s):\n  - {}", path.display(), faults.len(), faults.join("\n  - "))]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// One sentence each, in the order of the file's documentation.
    pub faults: Vec<String>,
}

impl Config {
    /// Reads and checks a file. Relative paths in it are relative to the file's folder.
    ///
    /// # Errors
    /// Every fault at once: unreadable, not TOML, unknown or missing keys, values out of range.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let fail = |fault: String| ConfigError { path: path.to_path_buf(), faults: vec![fault] };
        let text = std::fs::read_to_string(path).map_err(|e| fail(format!("cannot be read: {e}")))?;
        let base = path.parent().unwrap_or_else(|| Path::new("."));
        Self::parse(&text, base).map_err(|faults| ConfigError { path: path.to_path_buf(), faults })
    }

    /// Checks the text of a file that lies in `base`.
    ///
    /// # Errors
    /// Every fault, one sentence each.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Vec<String>> {
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| vec![format!("not TOML: {e}")])?;
        let mut faults = Vec::new();
        let table = book::expand(table, base, &mut faults);
        let mut top = Section::new("", Some(&table), &TOP_KEYS, &mut faults);
        let data_dir = base.join(top.text("data_dir", Some("data")));
        let (committee, term) = (top.integer("committee", Some(1)), top.integer("term", Some(1)));
        let streams = top.streams("streams");
        let books = top.list_or("books", &["book.jsonl"]).iter().map(|path| base.join(path)).collect();
        if committee == 0 || term == 0 {
            top.fault("committee and term count from 1");
        }
        let keys = Self::keys(&table, base, &mut faults);
        let mqtt = Self::mqtt(&table, base, &mut faults);
        let gossip = Self::gossip(&table, &mut faults);
        let chain = Self::chain(&table, &mut faults);
        let mut section = Section::of(&table, "http", &["listen"], &mut faults);
        let http =
            Http { listen: section.parsed("listen", "127.0.0.1:8080", "an address and port such as 127.0.0.1:8080") };
        let mut section = Section::of(&table, "clock", &["limit"], &mut faults);
        let clock_limit = section.duration("limit", Duration::from_millis(500));
        let mut section = Section::of(&table, "store", &["keep_epochs"], &mut faults);
        let keep_epochs = Some(section.integer("keep_epochs", Some(0))).filter(|epochs| *epochs > 0);
        let behaviour = Self::behaviour(&table, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            data_dir,
            committee,
            term,
            streams,
            books,
            keys,
            mqtt,
            gossip,
            chain,
            http,
            clock_limit,
            keep_epochs,
            behaviour,
        })
    }

    fn keys(table: &toml::Table, base: &Path, faults: &mut Vec<String>) -> KeyPaths {
        let known = ["member_key", "peer_key", "dkg_key", "receipt_key", "store_key", "password_file"];
        let mut section = Section::of(table, "keys", &known, faults);
        KeyPaths {
            member: base.join(section.text("member_key", Some("keys/member.key"))),
            peer: base.join(section.text("peer_key", Some("keys/peer.key"))),
            dkg: base.join(section.text("dkg_key", Some("keys/dkg.key"))),
            receipt: base.join(section.text("receipt_key", Some("keys/receipt.key"))),
            store: base.join(section.text("store_key", Some("keys/store.key"))),
            password_file: section.optional("password_file").map(|path| base.join(path)),
        }
    }

    fn mqtt(table: &toml::Table, base: &Path, faults: &mut Vec<String>) -> Mqtt {
        let known = ["brokers", "messages_per_second", "username", "password_file", "tls"];
        let identities = Self::mqtt_tls(table, base, faults);
        let mut section = Section::of(table, "mqtt", &known, faults);
        let mut brokers = Vec::new();
        let named: Vec<String> = section.list("brokers");
        for stray in identities.iter().filter_map(|(name, _)| name.as_ref()).filter(|name| !named.contains(name)) {
            section.fault(&format!("tls: broker {stray:?} is not among the brokers"));
        }
        for text in named {
            let own = identities.iter().find(|(name, _)| name.as_ref() == Some(&text));
            let tls = own.or_else(|| identities.iter().find(|(name, _)| name.is_none())).map(|(_, tls)| tls.clone());
            match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
                Some((host, Ok(port))) if !host.is_empty() => brokers.push(Broker { host: host.into(), port, tls }),
                _ => section.fault(&format!("brokers: {text:?} is not host:port")),
            }
        }
        if brokers.is_empty() {
            section.fault("brokers: at least one host:port is needed");
        }
        let messages_per_second = section.number_u32("messages_per_second", 50);
        let username = section.optional("username");
        let password_file = section.optional("password_file").map(|path| base.join(path));
        Mqtt { brokers, messages_per_second, username, password_file }
    }

    /// The `[[mqtt.tls]]` tables: for one broker, or with `broker` left out for every broker without its own.
    fn mqtt_tls(table: &toml::Table, base: &Path, faults: &mut Vec<String>) -> Vec<(Option<String>, BrokerTls)> {
        let Some(value) = table.get("mqtt").and_then(|mqtt| mqtt.get("tls")) else { return Vec::new() };
        let tables: Option<Vec<&toml::Table>> =
            value.as_array().map(|items| items.iter().filter_map(toml::Value::as_table).collect());
        let Some(tables) = tables.filter(|tables| Some(tables.len()) == value.as_array().map(Vec::len)) else {
            faults.push("[mqtt] tls must be written as [[mqtt.tls]] tables".to_owned());
            return Vec::new();
        };
        let one = |table: &toml::Table| {
            let known = ["broker", "ca", "certificate", "key"];
            let mut section = Section::new("mqtt.tls", Some(table), &known, faults);
            let (broker, ca) = (section.optional("broker"), base.join(section.text("ca", None)));
            let identity = match (section.optional("certificate"), section.optional("key")) {
                (Some(certificate), Some(key)) => Some((base.join(certificate), base.join(key))),
                (None, None) => None,
                _ => {
                    section.fault("certificate and key go together");
                    None
                }
            };
            (broker, BrokerTls { ca, identity })
        };
        tables.into_iter().map(one).collect()
    }

    fn gossip(table: &toml::Table, faults: &mut Vec<String>) -> Gossip {
        let mut section = Section::of(table, "gossip", &["listen", "endpoint", "peers"], faults);
        let listen = section.text("listen", Some("/ip4/127.0.0.1/tcp/4001"));
        let endpoint = section.optional("endpoint").unwrap_or_else(|| listen.clone());
        let peers = section.list("peers");
        for address in [&listen, &endpoint].into_iter().chain(&peers) {
            if address.parse::<libp2p::Multiaddr>().is_err() {
                section.fault(&format!("{address:?} is not a multiaddr such as /ip4/192.0.2.7/tcp/4001"));
            }
        }
        Gossip { listen, endpoint, peers }
    }

    fn chain(table: &toml::Table, faults: &mut Vec<String>) -> Chain {
        let known = ["rpc", "addresses", "registry", "devices", "escrow", "hub", "stake", "start_block", "poll"];
        let mut section = Section::of(table, "chain", &known, faults);
        let rpc = section.text("rpc", None);
        if !rpc.is_empty() && !rpc.starts_with("http://") && !rpc.starts_with("https://") {
            section.fault(&format!("rpc: {rpc:?} is not an http URL"));
        }
        let mut address = |key| section.parsed(key, "", "a contract address (0x and 40 hex digits)");
        let (registry, devices) = (address("registry"), address("devices"));
        let (escrow, hub) = (address("escrow"), address("hub"));
        let stake =
            section.optional("stake").map(|_| section.parsed("stake", "", "a contract address (0x and 40 hex digits)"));
        let start_block = section.integer("start_block", Some(0));
        let poll = section.duration("poll", Duration::from_millis(500));
        Chain { rpc, registry, devices, escrow, hub, stake, start_block, poll }
    }

    fn behaviour(table: &toml::Table, faults: &mut Vec<String>) -> Behaviour {
        if !table.contains_key("test") {
            return Behaviour::Honest;
        }
        let mut section = Section::of(table, "test", &["behaviour", "from_epoch", "to_epoch"], faults);
        match section.text("behaviour", Some("honest")).as_str() {
            "honest" => Behaviour::Honest,
            "liar" => {
                let (from_epoch, to_epoch) =
                    (section.integer("from_epoch", Some(0)), section.integer("to_epoch", Some(u64::MAX >> 1)));
                Behaviour::Liar { from_epoch, to_epoch }
            }
            other => {
                section.fault(&format!("behaviour: {other:?} is neither \"honest\" nor \"liar\""));
                Behaviour::Honest
            }
        }
    }
}

/// Keys and sections of the file's top level.
const TOP_KEYS: [&str; 13] = [
    "data_dir",
    "committee",
    "term",
    "streams",
    "books",
    "keys",
    "mqtt",
    "gossip",
    "chain",
    "http",
    "clock",
    "store",
    "test",
];

#[cfg(test)]
mod tests;
