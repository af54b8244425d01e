//! A committee of real processes in namespaces: how it comes up, what can be done to it, and what it must show at the end.
//! Partitions are blackhole routes; a slow member is one that is stopped two thirds of the time (a delay in the network
//! needs a kernel module that not every machine has).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolEvent as _;
use serde_json::Value;
use testnet::api::Api;
use testnet::chain::{Actor, Chain};
use testnet::committee::{MEMBER_BOND, path, run};
use testnet::contracts::{CommitteeRegistry, Deployed, OperatorStake, ReportHub, TestDollar, deploy};
use testnet::process::{Process, tail};
use testnet::rules;

/// Length of an epoch.
pub(crate) const EPOCH: Duration = Duration::from_secs(8);
const GENESIS_DELAY_S: u64 = 8;
/// The chain's place in the hub; member i is at 10.77.0.(10+i).
const HUB: &str = "10.77.0.254";
const CHAIN_PORT: u16 = 8545;
const GOSSIP_PORT: u16 = 4001;
const HTTP_PORT: u16 = 8080;

struct Node {
    name: String,
    namespace: String,
    folder: PathBuf,
    actor: Actor,
    keys: [B256; 3],
    api: Api,
    process: Option<Process>,
}

/// The chain and the members.
pub(crate) struct Network {
    place: Place,
    chain: Chain,
    contracts: Deployed,
    nodes: Vec<Node>,
    genesis_ms: u64,
    /// (member, blackholed address), to be taken back.
    holes: Vec<(usize, String)>,
    began: Instant,
    _anvil: Process,
}

/// Paths of one run.
struct Place {
    root: PathBuf,
    run: PathBuf,
    logs: PathBuf,
    node: PathBuf,
}

impl Place {
    fn new(n: usize) -> Self {
        let run = std::env::temp_dir().join(format!("plumbline-netns-{}-{n}", std::process::id()));
        let logs = run.join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        // target/debug/deps/processes-… → target/debug/oracle-node
        let here = std::env::current_exe().unwrap();
        let node = here.parent().and_then(Path::parent).unwrap().join("oracle-node");
        assert!(node.is_file(), "{} is missing; `make build` makes it", node.display());
        Self { root, run, logs, node }
    }
}

impl Network {
    /// Chain, contracts, n bonded members, a key of their own making.
    pub(crate) async fn start(prefix: &str, n: usize) -> Self {
        let place = Place::new(n);
        let port = CHAIN_PORT.to_string();
        let arguments = [
            ["--hardfork", "osaka"],
            ["--block-time", "1"],
            ["--slots-in-an-epoch", "1"],
            ["--port", &port],
            ["--host", HUB],
            ["--gas-limit", "300000000"],
            ["--accounts", "1"],
        ];
        let mut arguments: Vec<&str> = arguments.into_iter().flatten().collect();
        arguments.extend(["--enable-tx-gas-limit", "--silent"]);
        let program = place.root.join("contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
        let anvil = Process::start("anvil", &program, &arguments, &place.logs).unwrap();
        let chain = Chain::connect(&format!("http://{HUB}:{CHAIN_PORT}")).await.unwrap();
        let governance = chain.actor("governance").await.unwrap();
        let mut nodes = Vec::new();
        for index in 0..n {
            nodes.push(Node::make(&place, &chain, prefix, index).await);
        }
        let mint: Vec<(Address, U256)> =
            nodes.iter().map(|node| (node.actor.address(), U256::from(MEMBER_BOND))).collect();
        let contracts = deploy(&chain, &governance, &place.root.join("contracts/abi"), &mint).await.unwrap();
        let mut network = Self {
            place,
            chain,
            contracts,
            nodes,
            genesis_ms: 0,
            holes: Vec::new(),
            began: Instant::now(),
            _anvil: anvil,
        };
        network.register().await;
        network.configure(&governance).await;
        for index in 0..n {
            network.nodes[index].configure(index, &network.chain, &network.contracts);
            network.revive(index);
        }
        network.wait_for_activation().await;
        network.say(&format!("{n} members made their key; epoch 0 begins"));
        network
    }

    async fn register(&self) {
        let mut sent = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let (bond, stake) = (U256::from(MEMBER_BOND), self.contracts.stake);
            let approve = TestDollar::approveCall { spender: stake, value: bond };
            sent.push(self.chain.tell(&node.actor, self.contracts.dollar, &approve).await.unwrap());
            let bonded = self.chain.tell(&node.actor, stake, &OperatorStake::bondCall { amount: bond }).await;
            sent.push(bonded.unwrap());
            let [peer, dkg, receipt] = node.keys;
            let register = CommitteeRegistry::registerCall {
                committee: rules::COMMITTEE,
                peerKey: peer,
                dkgKey: dkg,
                receiptKey: receipt,
                endpoint: endpoint(index),
            };
            sent.push(self.chain.tell(&node.actor, self.contracts.registry, &register).await.unwrap());
        }
        self.chain.all_mined(sent).await.unwrap();
    }

    async fn configure(&self, governance: &Actor) {
        let call = CommitteeRegistry::configureCall {
            committee: rules::COMMITTEE,
            term: rules::TERM,
            members: self.nodes.iter().map(|node| node.actor.address()).collect(),
            policyHash: rules::book().root(),
            epochSeconds: EPOCH.as_secs(),
            slotMs: rules::SLOT_MS,
            genesisDelay: GENESIS_DELAY_S,
        };
        let sent = self.chain.tell(governance, self.contracts.registry, &call).await.unwrap();
        self.chain.mined(sent).await.unwrap();
    }

    async fn wait_for_activation(&mut self) {
        for _ in 0..480 {
            self.check();
            let events = self.chain.events(self.contracts.registry).await.unwrap();
            let mut found = events.iter().filter_map(|log| CommitteeRegistry::TermActivated::decode_log(log).ok());
            if let Some(activated) = found.next() {
                self.genesis_ms = activated.genesis * 1_000;
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("no key on chain after two minutes; {}", self.states().await);
    }

    /// The epoch that runs now.
    pub(crate) fn epoch_now(&self) -> u64 {
        now_ms().saturating_sub(self.genesis_ms) / EPOCH.as_millis() as u64
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Until an epoch has just been observed: votes and partials are in the air.
    pub(crate) async fn sleep_until_agreement(&self) {
        let length = EPOCH.as_millis() as u64;
        let since = now_ms().saturating_sub(self.genesis_ms) % length;
        // δ is half a second; another 70 ms, and the agreement is under way.
        self.sleep(Duration::from_millis(length - since + 570)).await;
    }

    pub(crate) fn say(&self, what: &str) {
        println!("{} members, {:.0} s: {what}", self.nodes.len(), self.began.elapsed().as_secs_f64());
    }

    /// Cuts the sides off from each other; all keep the chain.
    pub(crate) async fn split(&mut self, sides: &[&[usize]]) {
        for (one, side) in sides.iter().enumerate() {
            for other in sides.iter().enumerate().filter(|(other, _)| *other != one).flat_map(|(_, side)| side.iter()) {
                for member in *side {
                    let hole = format!("{}/32", address(*other));
                    self.ip(*member, &["route", "add", "blackhole", &hole]).await;
                    self.holes.push((*member, hole));
                }
            }
        }
        self.say(&format!("split {sides:?} in epoch {}", self.epoch_now()));
    }

    pub(crate) async fn heal(&mut self) {
        for (member, hole) in core::mem::take(&mut self.holes) {
            self.ip(member, &["route", "del", "blackhole", &hole]).await;
        }
        self.say(&format!("healed in epoch {}", self.epoch_now()));
    }

    async fn ip(&self, member: usize, arguments: &[&str]) {
        let all = [&["-n", &self.nodes[member].namespace], arguments].concat();
        run(&program("ip"), &all).await.unwrap();
    }

    pub(crate) async fn kill(&mut self, member: usize) {
        self.nodes[member].process.take().unwrap().kill().await.unwrap();
        self.say(&format!("kill -9 of member {member} in epoch {}", self.epoch_now()));
    }

    pub(crate) fn revive(&mut self, member: usize) {
        let (program, node) = (program("ip"), &mut self.nodes[member]);
        let config = node.folder.join("config.toml");
        let arguments = [
            "netns",
            "exec",
            &node.namespace,
            path(&self.place.node).unwrap(),
            "run",
            "--config",
            path(&config).unwrap(),
        ];
        node.process = Some(Process::start(&node.name, &program, &arguments, &self.place.logs).unwrap());
    }

    /// The member is stopped two thirds of the time, half a second at once.
    pub(crate) async fn slow(&self, member: usize, time: Duration) {
        let namespace = &self.nodes[member].namespace;
        let pids = String::from_utf8(run(&program("ip"), &["netns", "pids", namespace]).await.unwrap()).unwrap();
        let pids: Vec<&str> = pids.split_whitespace().collect();
        assert!(!pids.is_empty(), "member {member} runs");
        self.say(&format!("member {member} is slow for {} s", time.as_secs()));
        let end = Instant::now() + time;
        while Instant::now() < end {
            for (signal, millis) in [("-STOP", 500), ("-CONT", 250)] {
                run(&program("kill"), &[&[signal], &pids[..]].concat()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(millis)).await;
            }
        }
    }

    /// Whether a member has an epoch's certificate.
    pub(crate) async fn has(&self, member: usize, epoch: u64) -> bool {
        self.nodes[member].api.json(&format!("/v1/reports/{epoch}")).await.ok().flatten().is_some()
    }

    pub(crate) async fn all_certify(&mut self, epoch: u64, patience: Duration) {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.certify(&all, epoch, patience).await;
    }

    /// These members have every epoch up to this one, before long.
    pub(crate) async fn certify(&mut self, members: &[usize], epoch: u64, patience: Duration) {
        let due = self.genesis_ms + (epoch + 1) * EPOCH.as_millis() as u64;
        let wait = Duration::from_millis(due.saturating_sub(now_ms())) + patience;
        let (began, mut missing) = (Instant::now(), Vec::new());
        while began.elapsed() < wait {
            self.check();
            missing.clear();
            for member in members {
                for epoch in 0..=epoch {
                    if !self.has(*member, epoch).await {
                        missing.push((*member, epoch));
                    }
                }
            }
            if missing.is_empty() {
                return self.say(&format!("members {members:?} have epochs 0 to {epoch}"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("(member, epoch) without a certificate: {missing:?}; {}", self.states().await);
    }

    /// One certificate for each epoch, the same everywhere and on the chain; no proof against anybody.
    pub(crate) async fn finish(mut self) {
        let last = self.epoch_now() - 1;
        self.all_certify(last, Duration::from_secs(60)).await;
        let mut digests: BTreeMap<u64, BTreeSet<B256>> = BTreeMap::new();
        for node in &self.nodes {
            for epoch in 0..=last {
                let report = node.api.need(&format!("/v1/reports/{epoch}")).await.unwrap();
                digests.entry(epoch).or_default().insert(report["digest"].as_str().unwrap().parse().unwrap());
            }
            let faults = node.api.need("/v1/faults").await.unwrap();
            assert_eq!(faults["faults"].as_array().map(Vec::len), Some(0), "{}: {faults}", node.name);
        }
        let events = self.chain.events(self.contracts.hub).await.unwrap();
        let posted: Vec<_> = events.iter().filter_map(|log| ReportHub::ReportPosted::decode_log(log).ok()).collect();
        for post in &posted {
            digests.entry(post.epoch).or_default().insert(post.headerDigest);
        }
        let twice: Vec<_> = digests.iter().filter(|(_, digests)| digests.len() != 1).collect();
        assert!(twice.is_empty(), "two certificates for one epoch: {twice:?}");
        assert!(posted.len() as u64 >= last / 2, "the chain has only {} of {last} reports", posted.len());
        let (epochs, reports) = (last + 1, posted.len());
        self.say(&format!("{epochs} epochs, one certificate each, {reports} reports on chain, no fault proofs"));
        for node in &mut self.nodes {
            node.process.take().unwrap().stop(Duration::from_secs(3)).await.unwrap();
        }
        std::fs::remove_dir_all(&self.place.run).unwrap();
    }

    /// Nobody ended by himself.
    fn check(&mut self) {
        for node in &mut self.nodes {
            node.process.iter_mut().for_each(|process| process.check().unwrap());
        }
    }

    async fn states(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let status: Option<Value> = node.api.json("/v1/status").await.ok().flatten();
            let status = status.map_or("no answer".into(), |status| status.to_string());
            let log = tail(&self.place.logs.join(format!("{}.log", node.name)), 5);
            text.push_str(&format!("\n{}: {status}\n{log}", node.name));
        }
        text
    }
}

impl Node {
    async fn make(place: &Place, chain: &Chain, prefix: &str, index: usize) -> Self {
        let name = format!("member-{index}");
        let folder = place.run.join(&name);
        let printed = run(&place.node, &["init", "--plain", path(&folder).unwrap()]).await.unwrap();
        let public: Value = serde_json::from_slice(&printed).unwrap();
        let keys = ["peer_key", "dkg_key", "receipt_key"].map(|field| public[field].as_str().unwrap().parse().unwrap());
        let secret = std::fs::read_to_string(folder.join("keys/member.key")).unwrap();
        let actor = chain.actor_with_key(&name, &secret.trim().parse().unwrap()).await.unwrap();
        let api = Api::at(SocketAddr::new(address(index).parse().unwrap(), HTTP_PORT)).unwrap();
        Self { name, namespace: format!("{prefix}-{index}"), folder, actor, keys, api, process: None }
    }

    /// There is no broker in a namespace: the node keeps trying, and reports without devices.
    fn configure(&self, index: usize, chain: &Chain, contracts: &Deployed) {
        let (at, url) = (address(index), &chain.url);
        let Deployed { registry, devices, escrow, hub, .. } = contracts;
        let text = format!(
            "data_dir = \"data\"\ncommittee = {}\nterm = {}\nstreams = [{}]\nbooks = [\"book.jsonl\"]\n\n\
             [mqtt]\nbrokers = [\"127.0.0.1:1883\"]\n\n[gossip]\nlisten = \"{}\"\n\n\
             [chain]\nrpc = \"{url}\"\nregistry = \"{registry}\"\ndevices = \"{devices}\"\nescrow = \"{escrow}\"\n\
             hub = \"{hub}\"\nstart_block = 0\npoll = \"250ms\"\n\n[http]\nlisten = \"{at}:{HTTP_PORT}\"\n",
            rules::COMMITTEE,
            rules::TERM,
            rules::STREAM,
            endpoint(index),
        );
        std::fs::write(self.folder.join("book.jsonl"), rules::book().text()).unwrap();
        std::fs::write(self.folder.join("config.toml"), text).unwrap();
    }
}

fn address(member: usize) -> String {
    format!("10.77.0.{}", 10 + member)
}

fn endpoint(member: usize) -> String {
    format!("/ip4/{}/tcp/{GOSSIP_PORT}", address(member))
}

/// A program of the system, wherever it is.
fn program(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|file| file.is_file()).unwrap()
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
