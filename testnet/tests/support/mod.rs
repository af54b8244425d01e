//! A small committee of real processes on a throw-away chain, without devices: set up, configured, looked at.
//! Leaves out: what is done with it (the tests beside this folder).
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)] // tests: a panic is the failure

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolEvent as _;
use serde_json::Value;
use testnet::api::Api;
use testnet::book::Book;
use testnet::broker::{self, BrokerConfig};
use testnet::chain::{Actor, Chain};
use testnet::committee::{MEMBER_BOND, path, run};
use testnet::contracts::{CommitteeRegistry, Deployed, OperatorStake, ReportHub, TestDollar, deploy};
use testnet::process::{Process, free_port, tail};

pub(crate) const EPOCH_S: u64 = 5;
pub(crate) const COMMITTEE: u64 = 1;
/// Longest wait for any one thing.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program beside the tests' folder: its own build makes it.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let tests = std::env::current_exe().ok()?;
    let program = tests.parent()?.parent()?.join(name);
    program.is_file().then_some(program)
}

/// The chain node, if it is installed.
pub(crate) fn anvil() -> Option<PathBuf> {
    let anvil = root().join("contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    anvil.is_file().then_some(anvil)
}

/// The demo's, with quick views and answers.
pub(crate) fn book() -> Book {
    let quick = testnet::rules::book().with("/view_timeout_ms", 400).with("/transmit_stage_ms", 500);
    let answers = ["uptime", "coverage"].map(|class| format!("/classes/{class}/service/deadline_ms"));
    answers.iter().fold(quick, |book, path| book.with(path, 500)).with("/gossip_allowance_ms", 250)
}

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) actor: Actor,
    pub(crate) api: Api,
    pub(crate) process: Option<Process>,
    keys: [B256; 3],
    endpoint: String,
    http: u16,
}

impl Node {
    async fn make(program: &Path, folder: PathBuf, name: &str, chain: &Chain) -> Self {
        let public = run(program, &["init", "--plain", path(&folder).unwrap()]).await.unwrap();
        let public: Value = serde_json::from_slice(&public).unwrap();
        let key = |field: &str| public[field].as_str().unwrap().parse::<B256>().unwrap();
        let secret: B256 = std::fs::read_to_string(folder.join("keys/member.key")).unwrap().trim().parse().unwrap();
        let (http, gossip) = (free_port().unwrap(), free_port().unwrap());
        Self {
            name: name.to_owned(),
            actor: chain.actor_with_key(name, &secret).await.unwrap(),
            keys: [key("peer_key"), key("dkg_key"), key("receipt_key")],
            endpoint: format!("/ip4/127.0.0.1/tcp/{gossip}"),
            api: Api::new(http).unwrap(),
            http,
            folder,
            process: None,
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    fn configure(&self, chain: &Chain, set: &Deployed, broker: u16, streams: &[u32]) {
        std::fs::write(self.folder.join("book.jsonl"), book().text()).unwrap();
        let config = format!(
            "data_dir = \"data\"\ncommittee = {COMMITTEE}\nterm = 1\nstreams = {streams:?}\nbooks = [\"book.jsonl\"]\n\
             [mqtt]\nbrokers = [\"127.0.0.1:{broker}\"]\n[gossip]\nlisten = \"{}\"\n\
             [chain]\nrpc = \"{}\"\nregistry = \"{}\"\ndevices = \"{}\"\nescrow = \"{}\"\nhub = \"{}\"\npoll = \"200ms\"\n\
             [http]\nlisten = \"127.0.0.1:{}\"\n",
            self.endpoint, chain.url, set.registry, set.devices, set.escrow, set.hub, self.http
        );
        std::fs::write(self.config(), config).unwrap();
    }

    pub(crate) fn start(&mut self, program: &Path, logs: &Path) {
        let config = self.config();
        let arguments = ["run", "--config", path(&config).unwrap()];
        self.process = Some(Process::start(&self.name, program, &arguments, logs).unwrap());
    }
}

pub(crate) struct World {
    pub(crate) chain: Chain,
    pub(crate) set: Deployed,
    pub(crate) nodes: Vec<Node>,
    pub(crate) logs: PathBuf,
    governance: Actor,
    anvil: Process,
}

impl World {
    /// Chain, broker, contracts, and four bonded and registered nodes, running, which serve stream 0.
    pub(crate) async fn start(program: &Path, anvil: &Path, folder: &Path) -> Self {
        Self::start_with(program, anvil, folder, [&[0]; 4]).await
    }

    /// The same; each node serves these streams.
    pub(crate) async fn start_with(program: &Path, anvil: &Path, folder: &Path, streams: [&[u32]; 4]) -> Self {
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        let (port, broker) = (free_port().unwrap(), free_port().unwrap());
        let port = port.to_string();
        let fixed = ["--hardfork", "osaka", "--block-time", "1", "--slots-in-an-epoch", "1", "--silent"];
        let arguments = [fixed.as_slice(), &["--gas-limit", "300000000", "--port", &port]].concat();
        let anvil = Process::start("anvil", anvil, &arguments, &logs).unwrap();
        std::thread::spawn(move || broker::run(&BrokerConfig { listen: ([127, 0, 0, 1], broker).into() }));
        let chain = Chain::connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
        let governance = chain.actor("governance").await.unwrap();
        let mut nodes = Vec::new();
        for name in ["node-a", "node-b", "node-c", "node-d"] {
            nodes.push(Node::make(program, folder.join(name), name, &chain).await);
        }
        let bonds: Vec<(Address, U256)> = nodes.iter().map(|n| (n.actor.address(), U256::from(MEMBER_BOND))).collect();
        let set = deploy(&chain, &governance, &root().join("contracts/abi"), &bonds).await.unwrap();
        let mut world = Self { chain, set, nodes, logs, governance, anvil };
        world.register().await;
        for (node, streams) in world.nodes.iter_mut().zip(streams) {
            node.configure(&world.chain, &world.set, broker, streams);
            node.start(program, &world.logs);
        }
        world
    }

    async fn register(&self) {
        let (chain, set, mut sent) = (&self.chain, &self.set, Vec::new());
        for node in &self.nodes {
            let bond = U256::from(MEMBER_BOND);
            let approve = TestDollar::approveCall { spender: set.stake, value: bond };
            sent.push(chain.tell(&node.actor, set.dollar, &approve).await.unwrap());
            sent.push(chain.tell(&node.actor, set.stake, &OperatorStake::bondCall { amount: bond }).await.unwrap());
            let [peer, dkg, receipt] = node.keys;
            let register = CommitteeRegistry::registerCall {
                committee: COMMITTEE,
                peerKey: peer,
                dkgKey: dkg,
                receiptKey: receipt,
                endpoint: node.endpoint.clone(),
            };
            sent.push(chain.tell(&node.actor, set.registry, &register).await.unwrap());
        }
        chain.all_mined(sent).await.unwrap();
    }

    pub(crate) async fn configure(&self) {
        let call = CommitteeRegistry::configureCall {
            committee: COMMITTEE,
            term: 1,
            members: self.nodes.iter().map(|node| node.actor.address()).collect(),
            policyHash: book().root(),
            epochSeconds: EPOCH_S,
            slotMs: 1_000,
            genesisDelay: 5,
        };
        let sent = self.chain.tell(&self.governance, self.set.registry, &call).await.unwrap();
        self.chain.mined(sent).await.unwrap();
    }

    /// Waits for something on the chain or in the nodes; a node that ends meanwhile is named.
    pub(crate) async fn until<T>(&mut self, what: &str, mut look: impl AsyncFnMut(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look(self).await {
                println!("{:>5.1} s: {what}", begun.elapsed().as_secs_f32());
                return found;
            }
            let ended = self.nodes.iter_mut().filter_map(|node| node.process.as_mut()?.check().err()).next();
            if let Some(why) = ended.map(|e| e.to_string()).or((begun.elapsed() > PATIENCE).then(|| "too late".into()))
            {
                let tails = self.nodes.iter().map(|node| tail(&self.logs.join(format!("{}.log", node.name)), 12));
                panic!("{what}: {why}\n{}", tails.collect::<Vec<_>>().join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// The share root that the term was activated with.
    pub(crate) async fn activated(&self) -> Option<B256> {
        let events = self.chain.events(self.set.registry).await.unwrap();
        let mut found = events.iter().filter_map(|log| CommitteeRegistry::TermActivated::decode_log(log).ok());
        found.next().map(|event| event.shareRoot)
    }

    /// Epochs of stream 0 on the chain.
    pub(crate) async fn posted(&self) -> Vec<u64> {
        self.posted_of(0).await
    }

    /// Epochs of a stream on the chain, in its order.
    pub(crate) async fn posted_of(&self, stream: u32) -> Vec<u64> {
        let events = self.chain.events(self.set.hub).await.unwrap();
        let posts = events.iter().filter_map(|log| ReportHub::ReportPosted::decode_log(log).ok());
        posts.filter(|event| event.stream == stream).map(|event| event.epoch).collect()
    }

    pub(crate) fn log(&self, node: usize) -> String {
        std::fs::read_to_string(self.logs.join(format!("{}.log", self.nodes[node].name))).unwrap_or_default()
    }

    pub(crate) async fn stop(mut self, folder: &Path) {
        for node in &mut self.nodes {
            if let Some(process) = &mut node.process {
                process.kill().await.unwrap();
            }
        }
        self.anvil.kill().await.unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
