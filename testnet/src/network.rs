//! The running network: chain, broker, committee, market, radio, devices; how it comes up and goes down.
//! Leaves out: what goes wrong on purpose (`faults`) and the money (`settle`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aggregator::GroupKey;
use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolEvent as _;
use anyhow::{Context as _, Result, ensure};

use crate::bundle::Scope;
use crate::chain::{Actor, Chain};
use crate::committee::{Committee, MEMBER_BOND, MEMBERS, Node, path};
use crate::contracts::{CommitteeRegistry, Deployed, deploy};
use crate::demo::until;
use crate::market::Market;
use crate::place::Place;
use crate::process::{Process, free_port};
use crate::progress::Progress;
use crate::vandal::{Target, Targets};
use crate::{equipment, rules};

/// Everything that runs.
#[derive(Debug)]
pub struct Network {
    /// Paths.
    pub place: Place,
    /// The chain node's client.
    pub chain: Chain,
    /// The contracts.
    pub contracts: Deployed,
    /// The oracle nodes.
    pub committee: Committee,
    /// Lessor, lessees, devices.
    pub market: Market,
    /// Start of epoch 0, unix seconds; 0 until the term is active.
    pub genesis: u64,
    /// What signatures bind; known once the term is active.
    pub scope: Option<Scope>,
    governance: Actor,
    broker: u16,
    helpers: Vec<Process>,
    devices: Vec<Process>,
}

impl Network {
    /// Starts the chain and the broker, deploys, sets up and starts the four nodes.
    ///
    /// # Errors
    /// When any of it fails.
    pub async fn start(place: &Place, progress: &Progress) -> Result<Self> {
        let step = progress.step("chain and broker");
        let (port, broker) = (free_port()?, free_port()?);
        let port_text = port.to_string();
        let anvil = [
            "--hardfork",
            "osaka",
            "--block-time",
            "1",
            "--slots-in-an-epoch",
            "1",
            "--port",
            &port_text,
            "--host",
            "127.0.0.1",
            "--gas-limit",
            "300000000",
            "--enable-tx-gas-limit",
            "--accounts",
            "1",
            "--silent",
        ];
        let mut helpers = vec![Process::start("anvil", &place.anvil, &anvil, &place.logs)?];
        let listen = format!("127.0.0.1:{broker}");
        helpers.push(Process::start("broker", &place.testnet, &["broker", "--listen", &listen], &place.logs)?);
        let chain = Chain::connect(&format!("http://127.0.0.1:{port}")).await?;
        step.done(&format!("anvil (osaka, a block a second) on {port}, MQTT on {broker}"));

        let step = progress.step("contracts");
        let governance = chain.actor("governance").await?;
        let market = Market::prepare(&chain).await?;
        let keys = crate::committee::make_keys(place, &chain).await?;
        let mut mint = market.needs();
        mint.extend(keys.iter().map(|key| (key.actor.address(), U256::from(MEMBER_BOND))));
        let contracts = deploy(&chain, &governance, &place.artifacts(), &mint).await?;
        step.done("seven deployed and wired, test dollars minted");

        let step = progress.step("oracle nodes");
        let mut committee = Committee::prepare(keys, &chain, &contracts, broker)?;
        committee.start(place)?;
        let bonded = committee.register(&chain, &contracts).await?;
        chain.all_mined(bonded).await?;
        step.done("four processes, bonded and registered");
        Ok(Self {
            place: place.clone(),
            chain,
            contracts,
            committee,
            market,
            genesis: 0,
            scope: None,
            governance,
            broker,
            helpers,
            devices: Vec::new(),
        })
    }

    /// Configures the term; the nodes then generate their key, confirm and activate it by themselves. Meanwhile the lessor
    /// registers the devices, whose Ed25519 keys the committee then certifies.
    ///
    /// # Errors
    /// When a transaction fails or the committee is not up in time.
    pub async fn bootstrap(&mut self, progress: &Progress) -> Result<()> {
        let configure = CommitteeRegistry::configureCall {
            committee: rules::COMMITTEE,
            term: rules::TERM,
            members: self.committee.addresses(),
            policyHash: rules::book().root(),
            epochSeconds: rules::EPOCH_S,
            slotMs: rules::SLOT_MS,
            genesisDelay: rules::GENESIS_DELAY_S,
        };
        let sent = self.chain.tell(&self.governance, self.contracts.registry, &configure).await?;
        self.chain.mined(sent).await?;
        let step = progress.step("distributed key generation");
        self.market.register(&self.chain, &self.contracts).await?;
        step.say("devices registered; waiting for the committee's key on chain");
        for _ in 0..360 {
            self.check()?;
            if self.look_for_activation().await? {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        ensure!(self.genesis > 0, "the committee did not activate its key within 90 s");
        step.done(&format!(
            "{MEMBERS} members, any 3 sign; key confirmed and activated; epoch 0 in {} s",
            self.to_genesis()
        ));

        let step = progress.step("device keys");
        let (market, chain, contracts) = (&self.market, &self.chain, &self.contracts);
        let active = || async { Ok(market.inactive(chain, contracts).await?.is_empty()) };
        until("the committee certifies the Ed25519 device keys", Duration::from_secs(rules::GENESIS_DELAY_S), active)
            .await?;
        let ed25519 = market.units.iter().filter(|unit| unit.plan.alg == 1).count();
        step.done(&format!(
            "{ed25519} Ed25519 keys certified by the committee, {} P-256 proven on chain",
            market.units.len() - ed25519
        ));
        Ok(())
    }

    /// Reads the activation from the chain, if it is there.
    async fn look_for_activation(&mut self) -> Result<bool> {
        let events = self.chain.events(self.contracts.registry).await?;
        let found = events.iter().find_map(|log| CommitteeRegistry::TermActivated::decode_log(log).ok());
        let Some(activated) = found else { return Ok(false) };
        let key: &[u8; 256] = activated.groupKey.as_ref().try_into().context("a group key has 256 bytes")?;
        let call = CommitteeRegistry::configDigestCall { committee: rules::COMMITTEE, term: rules::TERM };
        let config_digest: B256 = self.chain.ask(self.contracts.registry, &call).await?;
        self.genesis = activated.genesis;
        self.scope = Some(Scope {
            chain_id: self.chain.id,
            registry: self.contracts.registry,
            committee: rules::COMMITTEE,
            term: rules::TERM,
            config_digest,
            members: self.committee.addresses(),
            group: GroupKey::from_eip2537(key).context("the group key on chain")?,
        });
        Ok(true)
    }

    /// Opens and funds the leases, early enough for epoch 0's snapshot, and checks the usage rights.
    ///
    /// # Errors
    /// When a lease cannot be opened in time.
    pub async fn open_leases(&mut self, progress: &Progress) -> Result<()> {
        let step = progress.step("leases");
        let mined = self.market.open(&self.chain, &self.contracts, self.genesis).await?;
        let latest = self.genesis - rules::SNAPSHOT_LAG_MS / 1000 - 1;
        ensure!(mined <= latest, "the leases were mined {} s too late for the snapshot of epoch 0", mined - latest);
        self.market.check_access(&self.chain, &self.contracts, self.genesis + rules::LEASE_S).await?;
        step.done(&format!(
            "{} opened and funded, usage rights minted, {} s to spare",
            self.market.units.len(),
            latest - mined
        ));
        Ok(())
    }

    /// The members' receipt keys by index, as the registry announced them: the last word of each counts.
    async fn receipt_keys(&self) -> Result<Vec<B256>> {
        let events = self.chain.events(self.contracts.registry).await?;
        let registered = events.iter().filter_map(|log| CommitteeRegistry::MemberRegistered::decode_log(log).ok());
        let keys: BTreeMap<Address, B256> = registered.map(|event| (event.member, event.receiptKey)).collect();
        let members = self.committee.addresses();
        let each = members.iter().map(|member| keys.get(member).copied());
        each.collect::<Option<_>>().context("a member is not registered")
    }

    /// Starts the kinds' helpers and the devices, each with its own folder.
    ///
    /// # Errors
    /// When one cannot be configured or started.
    pub async fn start_devices(&mut self) -> Result<()> {
        let scope = self.scope.as_ref().context("the term is not active")?;
        let keys = self.receipt_keys().await?;
        let sets = equipment::write(&self.place, &self.market.units, scope, &keys, self.genesis, self.broker)?;
        for (kind, config) in &sets.helpers {
            let helper = ["helper", "--kind", kind, "--config", path(config)?];
            self.helpers.push(Process::start(kind, &self.place.testnet, &helper, &self.place.logs)?);
        }
        for (name, config) in &sets.devices {
            let device = ["device", "--config", path(config)?];
            self.devices.push(Process::start(name, &self.place.testnet, &device, &self.place.logs)?);
        }
        Ok(())
    }

    /// Everything that a vandal can reach.
    ///
    /// # Errors
    /// When the term is not active yet.
    pub fn targets(&self) -> Result<Targets> {
        let target = |node: &Node| Target {
            name: node.name.clone(),
            api: node.api.clone(),
            http: node.http,
            gossip: node.gossip,
            log: self.place.logs.join(format!("{}.log", node.name)),
        };
        let keys = self.market.units.iter().map(|unit| unit.key);
        let lessees = self.market.lessees.iter().map(Actor::address);
        Ok(Targets {
            broker: SocketAddr::from(([127, 0, 0, 1], self.broker)),
            nodes: self.committee.nodes.iter().map(target).collect(),
            devices: keys.zip(lessees).collect(),
            network: self.scope.as_ref().context("the term is not active")?.network(),
        })
    }

    /// Fails when something that should run has ended.
    ///
    /// # Errors
    /// Naming it, with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        self.committee.check()?;
        self.helpers.iter_mut().chain(&mut self.devices).try_for_each(Process::check)
    }

    /// Stops the devices gently: their diaries are complete then.
    ///
    /// # Errors
    /// When one can be neither stopped nor killed.
    pub async fn stop_devices(&mut self) -> Result<()> {
        for device in &mut self.devices {
            device.stop(Duration::from_secs(2)).await?;
        }
        self.devices.clear();
        Ok(())
    }

    /// Stops everything.
    ///
    /// # Errors
    /// When something can be neither stopped nor killed.
    pub async fn stop(&mut self) -> Result<()> {
        self.stop_devices().await?;
        self.committee.stop().await?;
        for helper in &mut self.helpers {
            helper.stop(Duration::from_secs(1)).await?;
        }
        Ok(())
    }

    /// Milliseconds since genesis; negative before.
    #[must_use]
    pub fn since_genesis_ms(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(self.genesis * 1000).unwrap_or(0)
    }

    fn to_genesis(&self) -> i64 {
        -self.since_genesis_ms() / 1000
    }
}
