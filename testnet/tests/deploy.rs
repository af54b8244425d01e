//! The deployment that a person would run (`contracts/script/Deploy.s.sol`), on a throw-away chain node: the address book that
//! it writes is read by the SDK and holds, governance is the timelock's alone, and mistakes are named.

#![allow(clippy::unwrap_used)] // tests: a panic is the failure

use std::path::{Path, PathBuf};
use std::process::Output;

use alloy::primitives::{Address, B256, keccak256};
use alloy::sol_types::SolCall as _;
use sdk::addresses::AddressBook;
use serde_json::{Value, json};
use testnet::chain::{Actor, Chain, creation_code};
use testnet::process::{Process, free_port};

alloy::sol! {
    function owner() external view returns (address);
    function setStake(address stake) external;
    function getMinDelay() external view returns (uint256);
    function prepare(uint64 committee, uint32 stream) external;
}

fn contracts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts")
}

/// Files of one run in contracts/deployments, where the script may write; gone when dropped.
struct Files {
    config: PathBuf,
    book: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = contracts().join("deployments");
        let name = |ending: &str| folder.join(format!("test-{}.{ending}", std::process::id()));
        Self { config: name("toml"), book: name("json") }
    }

    /// The example's configuration with this chain's token in place of the placeholder.
    fn configure(&self, token: Address, chain_id: u64) {
        let example = std::fs::read_to_string(contracts().join("script/deploy.example.toml")).unwrap();
        let placeholder = "0x0000000000000000000000000000000000000a03";
        assert_eq!(example.matches(placeholder).count(), 2, "the example names the token twice");
        let text = example.replace(placeholder, &token.to_string());
        std::fs::write(&self.config, text.replace("chain_id = 31337", &format!("chain_id = {chain_id}"))).unwrap();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for file in [&self.config, &self.book] {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Runs the script as the README says; paths are relative to contracts/.
async fn script(chain: &Chain, signature: &str, arguments: &[&Path], key: Option<&B256>) -> Output {
    let relative = |path: &&Path| format!("deployments/{}", path.file_name().unwrap().to_str().unwrap());
    let mut command = tokio::process::Command::new(contracts().join("node_modules/.bin/forge"));
    command.current_dir(contracts()).args(["script", "script/Deploy.s.sol", "--sig", signature]);
    command.args(arguments.iter().map(relative)).args(["--rpc-url", &chain.url]);
    if let Some(key) = key {
        command.args(["--broadcast", "--private-key", &key.to_string()]);
    }
    command.kill_on_drop(true).output().await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// A token for bonds and leases, as every chain with stablecoins has one.
async fn token(chain: &Chain, deployer: &Actor) -> Address {
    let code = creation_code(&contracts().join("abi"), "TestDollar", &[]).unwrap();
    let at = deployer.creates(0);
    chain.mined(chain.send("deploy TestDollar", deployer, None, code).await.unwrap()).await.unwrap();
    at
}

#[tokio::test]
async fn the_script_deploys_what_its_book_says() {
    let anvil = contracts().join("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
    if !anvil.is_file() {
        println!("skipped: anvil is not installed (make setup)");
        return;
    }
    let logs = std::env::temp_dir().join(format!("plumbline-deploy-{}", std::process::id()));
    std::fs::create_dir_all(&logs).unwrap();
    let port = free_port().unwrap().to_string();
    let mut node =
        Process::start("anvil", &anvil, &["--hardfork", "osaka", "--port", &port, "--silent"], &logs).unwrap();
    let chain = Chain::connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
    let key = keccak256("plumbline deployer of a test");
    let deployer = chain.actor_with_key("deployer", &key).await.unwrap();
    let token = token(&chain, &deployer).await;
    let files = Files::new();
    let run = "run(string,string)";

    // A mistake in the configuration is named before anything is sent.
    files.configure(token, 1);
    let output = script(&chain, run, &[&files.config, &files.book], Some(&key)).await;
    assert!(!output.status.success() && said(&output).contains(".chain_id"), "{}", said(&output));
    assert!(!files.book.exists(), "no book of a deployment that was refused");

    files.configure(token, chain.id);
    let output = script(&chain, run, &[&files.config, &files.book], Some(&key)).await;
    assert!(output.status.success(), "{}", said(&output));
    let book = AddressBook::load(&files.book).unwrap();
    assert_eq!((book.chain_id, book.deployer), (chain.id, deployer.address()));
    assert_eq!(book.of_other_abi(), Vec::<&str>::new(), "the script's ABIs are those the SDK was built with");
    the_chain_holds(&chain, &deployer, &book).await;

    let check = script(&chain, "check(string)", &[&files.book], None).await;
    assert!(check.status.success(), "{}", said(&check));
    let text = std::fs::read_to_string(&files.book).unwrap();
    std::fs::write(&files.book, text.replace(&book.contracts.report_hub.code.to_string(), &B256::ZERO.to_string()))
        .unwrap();
    let check = script(&chain, "check(string)", &[&files.book], None).await;
    assert!(!check.status.success() && said(&check).contains("code of ReportHub"), "{}", said(&check));

    node.kill().await.unwrap();
    std::fs::remove_dir_all(&logs).unwrap();
}

/// By the chain's own word: the code of every contract, whose they are, and that the deployer can do nothing any more.
async fn the_chain_holds(chain: &Chain, deployer: &Actor, book: &AddressBook) {
    for (name, one) in book.contracts.all() {
        let code = chain.raw("eth_getCode", json!([one.address, "latest"])).await.unwrap();
        let code: alloy::primitives::Bytes = code.as_str().unwrap().parse().unwrap();
        assert_eq!(keccak256(&code), one.code, "{name}");
        if name != "BlsVerifier" {
            assert_eq!(chain.ask(one.address, &ownerCall {}).await.unwrap(), book.governance.timelock, "{name}");
        }
    }
    // Stream 0 is prepared, as the example asks; another is not.
    let hub = book.contracts.report_hub.address;
    assert!(chain.ask(hub, &prepareCall { committee: 1, stream: 0 }).await.is_err(), "stream 0 is not prepared");
    assert!(chain.ask(hub, &prepareCall { committee: 1, stream: 1 }).await.is_ok(), "stream 1 is prepared already");
    let delay = chain.ask(book.governance.timelock, &getMinDelayCall {}).await.unwrap();
    assert_eq!(delay.to::<u64>(), book.governance.delay_seconds);
    let seize = setStakeCall { stake: deployer.address() }.abi_encode();
    let call =
        json!({"from": deployer.address(), "to": book.logged().registry, "data": alloy::hex::encode_prefixed(seize)});
    let refused = chain.raw("eth_call", json!([call, "latest"])).await;
    assert!(refused.is_err(), "the deployer still governs: {:?}", refused.ok().map(|v: Value| v.to_string()));
}
