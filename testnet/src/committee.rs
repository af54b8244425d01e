//! The four oracle nodes: folders, keys, configuration, registration, starting, killing.
//! Leaves out: the nodes' own bootstrap, which they do by themselves once the term is configured.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::api::Api;
use crate::chain::{Actor, Chain, Sent};
use crate::contracts::{CommitteeRegistry, Deployed, OperatorStake, TestDollar};
use crate::place::Place;
use crate::process::{Process, free_port};
use crate::rules;

/// Members of the demo's committee: n = 4, f = 1, quorum and threshold 3.
pub const MEMBERS: usize = 4;
/// Members whose receipts make a message acknowledged, f+1: at least one of them is honest.
pub const RECEIPTS_NEEDED: usize = 2;
/// Which node is killed in epoch 1.
pub const KILLED: usize = 3;
/// Which node lies in epoch 3.
pub const LIAR: usize = 1;
/// The epoch of the lies.
pub const LIES_IN_EPOCH: u64 = 3;
/// Bond of a member, base units of the test dollar: above the stake contract's minimum.
pub const MEMBER_BOND: u64 = 1_000_000_000;

/// One node of the committee.
#[derive(Debug)]
pub struct Node {
    /// `node-a` to `node-d`.
    pub name: String,
    /// Its API.
    pub api: Api,
    /// Its account on chain.
    pub actor: Actor,
    /// Where it listens for gossip.
    pub gossip: SocketAddr,
    /// Where it listens for HTTP.
    pub http: SocketAddr,
    config: PathBuf,
    endpoint: String,
    keys: [B256; 3],
    process: Option<Process>,
}

/// All four.
#[derive(Debug)]
pub struct Committee {
    /// By member index.
    pub nodes: Vec<Node>,
}

impl Committee {
    /// Writes each node's configuration, now that the contracts are there.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn prepare(keys: Vec<Keys>, chain: &Chain, contracts: &Deployed, broker: u16) -> Result<Self> {
        let nodes =
            keys.into_iter().enumerate().map(|(index, keys)| Node::prepare(index, keys, chain, contracts, broker));
        Ok(Self { nodes: nodes.collect::<Result<_>>()? })
    }

    /// Addresses by member index.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.nodes.iter().map(|node| node.actor.address()).collect()
    }

    /// Sends every member's bond and registration; the dollars must have been minted before.
    ///
    /// # Errors
    /// When the chain refuses.
    pub async fn register(&self, chain: &Chain, contracts: &Deployed) -> Result<Vec<Sent>> {
        let mut sent = Vec::new();
        for node in &self.nodes {
            let bond = U256::from(MEMBER_BOND);
            let approve = TestDollar::approveCall { spender: contracts.stake, value: bond };
            sent.push(chain.tell(&node.actor, contracts.dollar, &approve).await?);
            sent.push(chain.tell(&node.actor, contracts.stake, &OperatorStake::bondCall { amount: bond }).await?);
            let [peer, dkg, receipt] = node.keys;
            let register = CommitteeRegistry::registerCall {
                committee: rules::COMMITTEE,
                peerKey: peer,
                dkgKey: dkg,
                receiptKey: receipt,
                endpoint: node.endpoint.clone(),
            };
            sent.push(chain.tell(&node.actor, contracts.registry, &register).await?);
        }
        Ok(sent)
    }

    /// Starts every node.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start(&mut self, place: &Place) -> Result<()> {
        self.nodes.iter_mut().try_for_each(|node| node.start(place))
    }

    /// Fails when a node that should run has ended.
    ///
    /// # Errors
    /// Naming the node, with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        self.nodes.iter_mut().filter_map(|node| node.process.as_mut()).try_for_each(Process::check)
    }

    /// The API to read from: that of a node which is neither killed nor lying.
    ///
    /// # Errors
    /// Never with four nodes.
    pub fn api(&self) -> Result<&Api> {
        self.nodes.first().map(|node| &node.api).context("no node")
    }

    /// A node by index.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn node(&mut self, index: usize) -> Result<&mut Node> {
        self.nodes.get_mut(index).with_context(|| format!("no member {index}"))
    }

    /// Stops all gently.
    ///
    /// # Errors
    /// When one can be neither stopped nor killed.
    pub async fn stop(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if let Some(process) = &mut node.process {
                process.stop(Duration::from_secs(3)).await?;
            }
        }
        Ok(())
    }
}

impl Node {
    fn prepare(index: usize, keys: Keys, chain: &Chain, contracts: &Deployed, broker: u16) -> Result<Self> {
        let Keys { name, folder, actor, public } = keys;
        let config = folder.join("config.toml");
        let (gossip, http) = (free_port()?, free_port()?);
        let endpoint = format!("/ip4/127.0.0.1/tcp/{gossip}");
        std::fs::write(folder.join("book.jsonl"), rules::book().text())?;
        std::fs::write(&config, configuration(index, chain, contracts, broker, &endpoint, http))?;
        let [gossip, http_at] = [gossip, http].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let api = Api::new(http)?;
        Ok(Self { name, api, actor, gossip, http: http_at, config, endpoint, keys: public, process: None })
    }

    /// Starts the node's process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, place: &Place) -> Result<()> {
        self.process =
            Some(Process::start(&self.name, &place.node, &["run", "--config", path(&self.config)?], &place.logs)?);
        Ok(())
    }

    /// kill -9.
    ///
    /// # Errors
    /// When it is not running.
    pub async fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().with_context(|| format!("{} is not running", self.name))?;
        process.kill().await
    }

    /// The configuration file of this node.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }
}

/// A member's keys, made before the contracts are deployed: the bonds are minted to their accounts.
#[derive(Debug)]
pub struct Keys {
    name: String,
    folder: PathBuf,
    /// The member's account.
    pub actor: Actor,
    /// Transport, key generation and receipt keys.
    public: [B256; 3],
}

/// Makes every node's folder and keys with `oracle-node init`.
///
/// # Errors
/// When a node cannot be set up.
pub async fn make_keys(place: &Place, chain: &Chain) -> Result<Vec<Keys>> {
    let mut all = Vec::new();
    for name in ["node-a", "node-b", "node-c", "node-d"].into_iter().take(MEMBERS) {
        let folder = place.run.join(name);
        let public = run(&place.node, &["init", "--plain", path(&folder)?]).await?;
        let public: Value = serde_json::from_slice(&public).with_context(|| format!("public keys of {name}"))?;
        let key = |field: &str| -> Result<B256> {
            let text =
                public[field].as_str().with_context(|| format!("{name}: `oracle-node init` printed no {field}"))?;
            Ok(text.parse()?)
        };
        let secret: B256 = std::fs::read_to_string(folder.join("keys/member.key"))?.trim().parse()?;
        let actor = chain.actor_with_key(name, &secret).await?;
        let public = [key("peer_key")?, key("dkg_key")?, key("receipt_key")?];
        all.push(Keys { name: name.to_owned(), folder, actor, public });
    }
    Ok(all)
}

/// The whole configuration file of a node.
fn configuration(index: usize, chain: &Chain, contracts: &Deployed, broker: u16, endpoint: &str, http: u16) -> String {
    let test = if index == LIAR {
        format!("\n[test]\nbehaviour = \"liar\"\nfrom_epoch = {LIES_IN_EPOCH}\nto_epoch = {LIES_IN_EPOCH}\n")
    } else {
        String::new()
    };
    format!(
        "data_dir = \"data\"\ncommittee = {}\nterm = {}\nstreams = [{}]\nbooks = [\"book.jsonl\"]\n\n\
         [mqtt]\nbrokers = [\"127.0.0.1:{broker}\"]\n\n[gossip]\nlisten = \"{endpoint}\"\n\n\
         [chain]\nrpc = \"{}\"\nregistry = \"{}\"\ndevices = \"{}\"\nescrow = \"{}\"\nhub = \"{}\"\nstart_block = 0\n\
         poll = \"250ms\"\n\n[http]\nlisten = \"127.0.0.1:{http}\"\n{test}",
        rules::COMMITTEE,
        rules::TERM,
        rules::STREAM,
        chain.url,
        contracts.registry,
        contracts.devices,
        contracts.escrow,
        contracts.hub,
    )
}

/// A path as an argument.
///
/// # Errors
/// When it is not UTF-8.
pub fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Runs a program to its end and gives its output.
///
/// # Errors
/// When it fails, with what it said.
pub async fn run(program: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("start {}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} {}: {}: {said}", program.display(), arguments.join(" "), output.status);
    }
    Ok(output.stdout)
}
