//! Real processes change their committee: four nodes on a chain, a fifth replaces the first, reports go on under the new
//! key, a leased device follows the committee to that key and is paid on, and an auditor replays the epochs of both terms as
//! one history. The registry is the real one.

#![allow(clippy::unwrap_used, clippy::expect_used)] // tests: a panic is the failure

mod leased;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolEvent as _;
use leased::Leased;
use serde_json::Value;
use testnet::api::Api;
use testnet::book::Book;
use testnet::broker::{self, BrokerConfig};
use testnet::chain::{Actor, Chain};
use testnet::committee::{MEMBER_BOND, path, run};
use testnet::contracts::{CommitteeRegistry, Deployed, OperatorStake, ReportHub, TestDollar, deploy};
use testnet::process::{Process, free_port, tail};

const EPOCH_S: u64 = 5;
const COMMITTEE: u64 = 1;
/// Longest wait for any one thing.
const PATIENCE: Duration = Duration::from_secs(60);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program beside the tests' folder: its own tests make it.
fn program(name: &str) -> Option<PathBuf> {
    let tests = std::env::current_exe().ok()?;
    let program = tests.parent()?.parent()?.join(name);
    program.is_file().then_some(program)
}

/// The lag is that of the deployed registry; views are quick, so that the rotation's margin is short.
fn book() -> Book {
    let quick = testnet::rules::book().with("/view_timeout_ms", 400).with("/transmit_stage_ms", 500);
    let answers = ["uptime", "coverage"].map(|class| format!("/classes/{class}/service/deadline_ms"));
    answers.iter().fold(quick, |book, path| book.with(path, 500)).with("/gossip_allowance_ms", 250)
}

struct Node {
    name: String,
    folder: PathBuf,
    actor: Actor,
    keys: [B256; 3],
    endpoint: String,
    api: Api,
    http: u16,
    process: Option<Process>,
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

    /// A node serves every term from `term` on that it is a member of.
    fn start(&mut self, program: &Path, logs: &Path, chain: &Chain, set: &Deployed, broker: u16, term: u64) {
        std::fs::write(self.folder.join("book.jsonl"), book().text()).unwrap();
        let config = format!(
            "data_dir = \"data\"\ncommittee = {COMMITTEE}\nterm = {term}\nbooks = [\"book.jsonl\"]\n\
             [mqtt]\nbrokers = [\"127.0.0.1:{broker}\"]\n[gossip]\nlisten = \"{}\"\n\
             [chain]\nrpc = \"{}\"\nregistry = \"{}\"\ndevices = \"{}\"\nescrow = \"{}\"\nhub = \"{}\"\npoll = \"200ms\"\n\
             [http]\nlisten = \"127.0.0.1:{}\"\n",
            self.endpoint, chain.url, set.registry, set.devices, set.escrow, set.hub, self.http
        );
        let file = self.folder.join("config.toml");
        std::fs::write(&file, config).unwrap();
        let arguments = ["run", "--config", path(&file).unwrap()];
        self.process = Some(Process::start(&self.name, program, &arguments, logs).unwrap());
    }
}

struct World {
    chain: Chain,
    set: Deployed,
    nodes: Vec<Node>,
    logs: PathBuf,
    governance: Actor,
    anvil: Process,
    broker: u16,
    leased: Leased,
}

impl World {
    async fn start(program: &Path, anvil: &Path, folder: &Path) -> Self {
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        let (port, broker) = (free_port().unwrap(), free_port().unwrap());
        let port = port.to_string();
        let arguments = [
            "--hardfork",
            "osaka",
            "--block-time",
            "1",
            "--slots-in-an-epoch",
            "1",
            "--gas-limit",
            "300000000",
            "--port",
            &port,
            "--silent",
        ];
        let anvil = Process::start("anvil", anvil, &arguments, &logs).unwrap();
        std::thread::spawn(move || broker::run(&BrokerConfig { listen: ([127, 0, 0, 1], broker).into() }));
        let chain = Chain::connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
        let governance = chain.actor("governance").await.unwrap();
        let mut nodes = Vec::new();
        for name in ["node-a", "node-b", "node-c", "node-d", "node-e"] {
            nodes.push(Node::make(program, folder.join(name), name, &chain).await);
        }
        let leased = Leased::prepare(&chain).await;
        let bonds = nodes.iter().map(|n| (n.actor.address(), U256::from(MEMBER_BOND)));
        let bonds: Vec<(Address, U256)> = bonds.chain(leased.needs()).collect();
        let set = deploy(&chain, &governance, &root().join("contracts/abi"), &bonds).await.unwrap();
        let mut world = Self { chain, set, nodes, logs, governance, anvil, broker, leased };
        world.register().await;
        world.leased.register(&world.chain, &world.set).await;
        for (index, node) in world.nodes.iter_mut().enumerate() {
            let term = if index == 4 { 2 } else { 1 };
            node.start(program, &world.logs, &world.chain, &world.set, broker, term);
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

    async fn configure(&self, term: u64, members: &[usize]) {
        let call = CommitteeRegistry::configureCall {
            committee: COMMITTEE,
            term,
            members: members.iter().map(|index| self.nodes[*index].actor.address()).collect(),
            policyHash: book().root(),
            epochSeconds: EPOCH_S,
            slotMs: 1_000,
            genesisDelay: 5,
        };
        let sent = self.chain.tell(&self.governance, self.set.registry, &call).await.unwrap();
        self.chain.mined(sent).await.unwrap();
    }

    /// Waits for something on the chain or in the nodes; a node that ends meanwhile is named.
    async fn until<T>(&mut self, what: &str, mut look: impl AsyncFnMut(&Self) -> Option<T>) -> T {
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

    /// Leases the device and starts it with the key of the first term.
    async fn lease(&mut self, program: &Path, folder: &Path, genesis: u64) {
        let events = self.chain.events(self.set.registry).await.unwrap();
        let mut found = events.iter().filter_map(|log| CommitteeRegistry::TermActivated::decode_log(log).ok());
        let group_key = found.next().unwrap().groupKey.to_vec();
        let keys: Vec<String> = self.nodes[..4].iter().map(|node| hex::encode(node.keys[2])).collect();
        let terms = leased::Terms { book: book(), start: genesis, seconds: 150 };
        self.leased.open(&self.chain, &self.set, &terms).await;
        let clock = testnet::device::Clock { genesis_ms: genesis * 1_000, slot_ms: 1_000, epoch_ms: EPOCH_S * 1_000 };
        let brokers = vec![([127, 0, 0, 1], self.broker).into()];
        let config = self.leased.configure(folder, (self.chain.id, self.set.registry), brokers, keys);
        self.leased.start(program, &self.logs, &config, &clock, &group_key);
    }

    /// Genesis (unix seconds), once the term is active.
    async fn activated(&self, term: u64) -> Option<u64> {
        let events = self.chain.events(self.set.registry).await.unwrap();
        let mut found = events.iter().filter_map(|log| CommitteeRegistry::TermActivated::decode_log(log).ok());
        found.find(|event| event.term == term).map(|event| event.genesis)
    }

    async fn rotated(&self) -> Option<u64> {
        let events = self.chain.events(self.set.registry).await.unwrap();
        let mut found = events.iter().filter_map(|log| CommitteeRegistry::TermRotated::decode_log(log).ok());
        found.find(|event| event.newTerm == 2).map(|event| event.fromEpoch)
    }

    async fn posted(&self) -> Vec<u64> {
        let events = self.chain.events(self.set.hub).await.unwrap();
        let posts = events.iter().filter_map(|log| ReportHub::ReportPosted::decode_log(log).ok());
        posts.map(|event| event.epoch).collect()
    }

    /// The auditor's word on one node's archive and the chain's log.
    async fn audit(&self, auditor: &Path, folder: &Path, node: usize, last: u64) -> String {
        let archive = folder.join("archive");
        std::fs::create_dir_all(&archive).unwrap();
        for epoch in 0..=last {
            if let Some(bundle) = self.nodes[node].api.bytes(&format!("/v1/archive/{epoch}")).await.unwrap() {
                std::fs::write(archive.join(format!("epoch-{epoch:06}.bundle")), bundle).unwrap();
            }
        }
        let (log, book_file) = (folder.join("chain.jsonl"), folder.join("book.jsonl"));
        self.chain.export(&self.set.logged(), self.set.first_block, &log).await.unwrap();
        std::fs::write(&book_file, book().text()).unwrap();
        let [registry, devices, escrow, hub] = self.set.logged().map(|address| address.to_string());
        let numbers = [self.chain.id, COMMITTEE, 1, last].map(|number| number.to_string());
        let arguments = [
            ["replay", "--archive"].as_slice(),
            &[path(&archive).unwrap(), "--chain-log", path(&log).unwrap(), "--book", path(&book_file).unwrap()],
            &["--registry", &registry, "--devices", &devices, "--escrow", &escrow, "--hub", &hub],
            &["--chain-id", &numbers[0], "--committee", &numbers[1], "--term", &numbers[2], "--to", &numbers[3]],
        ]
        .concat();
        let said = run(auditor, &arguments).await.unwrap();
        String::from_utf8(said).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_replaces_a_member_and_history_goes_on() {
    let anvil = root().join("contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    let programs = ["oracle-node", "plumbline", "testnet"].map(program);
    let ([Some(program), Some(auditor), Some(testnet)], true) = (programs, anvil.is_file()) else {
        println!("skipped: oracle-node, plumbline, testnet or anvil is not there (make setup build)");
        return;
    };
    let begun = Instant::now();
    let folder = std::env::temp_dir().join(format!("plumbline-rotation-{}", std::process::id()));
    let mut world = World::start(&program, &anvil, &folder).await;
    world.configure(1, &[0, 1, 2, 3]).await;
    let genesis = world.until("the first term is active", async |w| w.activated(1).await).await;
    world.lease(&testnet, &folder, genesis).await;
    world.leased.lie(world.broker, world.chain.id, world.set.registry).await;
    world.configure(2, &[1, 2, 3, 4]).await;
    let from = world.until("the old key has rotated to the second term", async |w| w.rotated().await).await;
    let last = from + 1;
    assert_eq!(world.activated(2).await, Some(genesis), "the committee's clock goes on");
    world
        .until("the newcomer's archive holds the new term's second epoch", async |w| {
            w.nodes[4].api.bytes(&format!("/v1/archive/{last}")).await.unwrap().map(drop)
        })
        .await;
    let posted = world.until("it is posted", async |w| Some(w.posted().await).filter(|p| p.contains(&last))).await;
    assert!(posted.contains(&from), "the new term's first report is on the chain: {posted:?}");

    // The device was told of the new key by nobody but the committee.
    world.leased.check(&world.nodes[4].api, &world.nodes[1].api, from..=last, from * EPOCH_S).await;

    // One that is in both terms has the whole archive; the newcomer begins with the new term.
    let said = world.audit(&auditor, &folder, 1, last).await;
    let replayed = said.lines().filter(|line| line.starts_with("epoch ")).count() as u64;
    assert!(said.contains("every digest matches") && replayed == last + 1, "{said}");
    assert!(world.nodes[4].api.bytes(&format!("/v1/archive/{}", from - 1)).await.unwrap().is_none());

    // The member that left serves its archive and signs nothing.
    let left = world.logs.join("node-a.log");
    world
        .until("the old member has left", async |_| {
            std::fs::read_to_string(&left).unwrap_or_default().contains("has left the committee").then_some(())
        })
        .await;
    assert!(world.nodes[0].api.bytes("/v1/archive/0").await.unwrap().is_some());
    println!("rotation from epoch {from}; {:.0} s in all", begun.elapsed().as_secs_f32());
    for node in &mut world.nodes {
        node.process.as_mut().unwrap().kill().await.unwrap();
    }
    world.leased.stop().await;
    world.anvil.kill().await.unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
}
