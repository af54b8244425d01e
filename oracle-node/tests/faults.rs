//! A fault proof on its whole way, with the real contracts on a throw-away chain node: a member signs two values for one
//! step, another brings the proof with the node's own command, the bond is cut and the reporter rewarded, once.

#![allow(clippy::unwrap_used)] // tests: a panic is the failure

use std::path::{Path, PathBuf};
use std::process::Command;

use alloy::primitives::{Address, B256, U256, keccak256};
use oracle_core::fault::{FaultProof, Published};
use oracle_core::typed::{Kind, MemberKey, Phase, Scope};
use oracle_core::wire::{InstanceId, Statement};
use oracle_node::chain::{Rpc, SlashError, submit_fault};
use oracle_node::keys::Secret;
use testnet::chain::{Actor, Chain};
use testnet::committee::MEMBER_BOND;
use testnet::contracts::{CommitteeRegistry, Deployed, OperatorStake, TestDollar, deploy};
use testnet::process::{Process, free_port};

alloy::sol! {
    function stakeOf(address operator) external view returns (uint256);
    function rewards(address account) external view returns (uint256);
}

const LIAR: usize = 1;

/// Gone when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn secret(member: usize) -> B256 {
    keccak256(format!("plumbline fault test, member {member}"))
}

fn key(member: usize) -> MemberKey {
    MemberKey::from_bytes(&secret(member).0).unwrap()
}

/// Four bonded members in a configured term.
async fn committee(chain: &Chain, contracts: &Deployed, governance: &Actor, members: &[Actor]) -> Scope {
    let mut sent = Vec::new();
    for (seed, member) in (1u8..).zip(members) {
        let amount = U256::from(MEMBER_BOND);
        let approve = TestDollar::approveCall { spender: contracts.stake, value: amount };
        sent.push(chain.tell(member, contracts.dollar, &approve).await.unwrap());
        sent.push(chain.tell(member, contracts.stake, &OperatorStake::bondCall { amount }).await.unwrap());
        let public = |n: u8| B256::repeat_byte(16 * n + seed);
        let register = CommitteeRegistry::registerCall {
            committee: 1,
            peerKey: public(1),
            dkgKey: public(2),
            receiptKey: public(3),
            endpoint: "/ip4/127.0.0.1/tcp/1".into(),
        };
        sent.push(chain.tell(member, contracts.registry, &register).await.unwrap());
    }
    chain.all_mined(sent).await.unwrap();
    let configure = CommitteeRegistry::configureCall {
        committee: 1,
        term: 1,
        members: members.iter().map(Actor::address).collect(),
        policyHash: B256::repeat_byte(5),
        epochSeconds: 15,
        slotMs: 1_000,
        genesisDelay: 60,
    };
    chain.mined(chain.tell(governance, contracts.registry, &configure).await.unwrap()).await.unwrap();
    let digest = CommitteeRegistry::configDigestCall { committee: 1, term: 1 };
    let config_digest = chain.ask(contracts.registry, &digest).await.unwrap();
    Scope { chain_id: chain.id, registry: contracts.registry, committee: 1, term: 1, config_digest }
}

fn twice(scope: &Scope, member: usize, epoch: u64) -> FaultProof {
    let index = u32::try_from(member).unwrap();
    let instance = InstanceId::new(Kind::Report, 0, epoch);
    let say =
        |value: u8| Statement::sign(scope, &key(member), index, instance, Phase::Commit, 1, B256::repeat_byte(value));
    FaultProof { a: say(1), b: say(2) }
}

/// `oracle-node faults submit FILE`, as an operator runs it.
fn submit(folder: &Path, chain: &Chain, stake: Address, file: &Published) -> (Option<i32>, String) {
    let config = folder.join("config.toml");
    let contract = Address::repeat_byte(1);
    let text = format!(
        "[mqtt]\nbrokers = [\"127.0.0.1:1883\"]\n[chain]\nrpc = \"{}\"\nstake = \"{stake}\"\nregistry = \"{contract}\"\n\
         devices = \"{contract}\"\nescrow = \"{contract}\"\nhub = \"{contract}\"\n",
        chain.url
    );
    std::fs::write(&config, text).unwrap();
    let path = folder.join("fault.json");
    std::fs::write(&path, serde_json::to_string(file).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_oracle-node"));
    command.args(["faults".as_ref(), "submit".as_ref(), path.as_os_str(), "--config".as_ref(), config.as_os_str()]);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_two_values_loses_the_bond_and_who_shows_it_is_rewarded_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts");
    let anvil = root.join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    if !anvil.is_file() {
        println!("skipped: anvil is not installed (make setup)");
        return;
    }
    let folder = Folder(std::env::temp_dir().join(format!("plumbline-faults-{}", std::process::id())));
    std::fs::create_dir_all(folder.0.join("keys")).unwrap();
    let port = free_port().unwrap().to_string();
    let arguments =
        ["--hardfork", "osaka", "--port", &port, "--host", "127.0.0.1", "--silent", "--gas-limit", "300000000"];
    let mut node = Process::start("anvil", &anvil, &arguments, &folder.0).unwrap();
    let chain = Chain::connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
    let governance = chain.actor("governance").await.unwrap();
    let mut members = Vec::new();
    for member in 0..4 {
        members.push(chain.actor_with_key(&format!("member {member}"), &secret(member)).await.unwrap());
    }
    let mint: Vec<_> = members.iter().map(|member| (member.address(), U256::from(MEMBER_BOND))).collect();
    let contracts = deploy(&chain, &governance, &root.join("abi"), &mint).await.unwrap();
    let scope = committee(&chain, &contracts, &governance, &members).await;
    let addresses: Vec<Address> = members.iter().map(Actor::address).collect();

    let (liar, reporter) = (addresses[LIAR], addresses[0]);
    let stake = async |who| chain.ask(contracts.stake, &stakeOfCall { operator: who }).await.unwrap();
    let rewards = async |who| chain.ask(contracts.stake, &rewardsCall { account: who }).await.unwrap();
    assert_eq!((stake(liar).await, rewards(reporter).await), (U256::from(MEMBER_BOND), U256::ZERO));

    // The deployment slashes half of the least bond; a tenth of that is the reward.
    Secret::new(secret(0).0).write_plain(&folder.0.join("keys/member.key")).unwrap();
    let fault = Published::of(&twice(&scope, LIAR, 7), &scope, &addresses).unwrap();
    let (code, said) = submit(&folder.0, &chain, contracts.stake, &fault);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&liar.to_string()) && said.contains("slashed"), "{said}");
    let cut = U256::from(MEMBER_BOND / 2);
    assert_eq!(stake(liar).await, U256::from(MEMBER_BOND) - cut);
    assert_eq!(rewards(reporter).await, cut / U256::from(10));

    // The same fault again, from anybody: nothing more is taken.
    let (code, said) = submit(&folder.0, &chain, contracts.stake, &fault);
    assert!(code == Some(4) && said.contains("not taken"), "{said}");
    // Turned on another member, or on another chain: refused before anything is sent.
    let rpc = Rpc::new(&chain.url, &Secret::new(secret(2).0)).unwrap();
    let framed = Published { member: addresses[3].to_string(), ..fault.clone() };
    assert!(matches!(submit_fault(&rpc, contracts.stake, &framed).await, Err(SlashError::Proof(_))));
    let elsewhere = Scope { chain_id: scope.chain_id + 1, ..scope };
    let elsewhere = Published::of(&twice(&elsewhere, LIAR, 7), &elsewhere, &addresses).unwrap();
    assert!(matches!(submit_fault(&rpc, contracts.stake, &elsewhere).await, Err(SlashError::OtherChain { .. })));
    // Two values under a committee that does not exist are no fault: the contract refuses.
    let stranger = Scope { term: 2, ..scope };
    let stranger = Published::of(&twice(&stranger, LIAR, 7), &stranger, &addresses).unwrap();
    assert!(matches!(submit_fault(&rpc, contracts.stake, &stranger).await, Err(SlashError::Chain(_))));
    assert_eq!(stake(liar).await, U256::from(MEMBER_BOND) - cut);

    node.kill().await.unwrap();
}
