//! The contract set deploys on a real chain node with the arguments the demo gives, devices of both key kinds register, and
//! the bindings are those of the exported ABI. The whole network is `testnet demo`; it needs the nodes.

#![allow(clippy::unwrap_used)] // tests: a panic is the failure

use std::path::{Path, PathBuf};

use alloy::primitives::U256;
use alloy::sol_types::{SolCall as _, SolInterface as _};
use testnet::chain::Chain;
use testnet::contracts::offer::{LEASE_OPENED, OfferDigest, Open};
use testnet::contracts::{
    CommitteeRegistry, DeviceRegistry, LeaseEscrow, OperatorStake, ReportHub, TestDollar, deploy,
};
use testnet::market::Market;
use testnet::process::{Process, free_port};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[tokio::test]
async fn the_set_deploys_and_devices_register() {
    let anvil = root().join("contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    if !anvil.is_file() {
        println!("skipped: anvil is not installed (make setup)");
        return;
    }
    let logs = std::env::temp_dir().join(format!("plumbline-contracts-{}", std::process::id()));
    std::fs::create_dir_all(&logs).unwrap();
    let port = free_port().unwrap();
    let arguments = ["--hardfork", "osaka", "--gas-limit", "300000000", "--port", &port.to_string(), "--silent"];
    let mut node = Process::start("anvil", &anvil, &arguments, &logs).unwrap();
    let chain = Chain::connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
    let governance = chain.actor("governance").await.unwrap();
    let mut market = Market::prepare(&chain).await.unwrap();
    let contracts = deploy(&chain, &governance, &root().join("contracts/abi"), &market.needs()).await.unwrap();
    market.register(&chain, &contracts).await.unwrap();
    assert!(market.units.iter().zip(1..).all(|(unit, token)| unit.token == token));
    let inactive = market.inactive(&chain, &contracts).await.unwrap();
    let ed25519: Vec<&str> = market.units.iter().filter(|u| u.plan.alg == 1).map(|u| u.plan.name).collect();
    assert_eq!(inactive, ed25519);
    assert_eq!(market.left(&chain, &contracts).await.unwrap(), U256::ZERO);

    let log = logs.join("chain.jsonl");
    let blocks = chain.export(&contracts.logged(), contracts.first_block, &log).await.unwrap();
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count() as u64, blocks);
    node.kill().await.unwrap();
    std::fs::remove_dir_all(&logs).unwrap();
}

fn abi(contract: &str) -> alloy::json_abi::JsonAbi {
    let path = root().join(format!("contracts/abi/{contract}.json"));
    let artifact: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(artifact["abi"].clone()).unwrap()
}

/// Selectors that the exported ABI of `contract` has.
fn exported(contract: &str) -> Vec<[u8; 4]> {
    abi(contract).functions().map(|function| function.selector().0).collect()
}

#[test]
fn the_bindings_are_those_of_the_exported_abi() {
    let bound: [(&str, Vec<[u8; 4]>); 6] = [
        ("TestDollar", TestDollar::TestDollarCalls::selectors().collect()),
        ("OperatorStake", OperatorStake::OperatorStakeCalls::selectors().collect()),
        ("CommitteeRegistry", CommitteeRegistry::CommitteeRegistryCalls::selectors().collect()),
        ("ReportHub", ReportHub::ReportHubCalls::selectors().collect()),
        ("DeviceRegistry", DeviceRegistry::DeviceRegistryCalls::selectors().collect()),
        (
            "LeaseEscrow",
            LeaseEscrow::LeaseEscrowCalls::selectors().chain([Open::SELECTOR, OfferDigest::SELECTOR]).collect(),
        ),
    ];
    for (contract, selectors) in bound {
        let known = exported(contract);
        let missing: Vec<_> = selectors.iter().filter(|selector| !known.contains(selector)).collect();
        assert!(missing.is_empty(), "{contract} lacks {missing:02x?}");
    }
    let opened = abi("LeaseEscrow").event("LeaseOpened").unwrap()[0].selector();
    assert_eq!(opened, LEASE_OPENED);
}
