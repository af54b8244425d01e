//! The outbox against a real chain (anvil): a reorg takes a post away, and it is posted again under the same nonce.
//! Skipped, with a message, where anvil is not installed.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use alloy::providers::{Provider as _, RootProvider};
use alloy::sol_types::SolValue as _;
use oracle_core::effect::Transmission;
use oracle_core::registry::{RawLog, Registry};
use oracle_core::typed::Header;
use serde_json::json;

use super::*;
use crate::config::Config;
use crate::keys::Secret;
use crate::testing::{Dir, store as open};

/// First of anvil's well-known accounts, which it funds.
const RICH: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// A chain of our own; ends with the test.
struct Anvil {
    child: Child,
    url: String,
    chain: RootProvider,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}

impl Anvil {
    /// `None`, and a message, when there is no anvil.
    async fn start() -> Option<Self> {
        let program = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil");
        if !program.exists() {
            println!("skipped: no anvil at {}", program.display());
            return None;
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("port").port();
        let child = Command::new(program)
            .args(["--silent", "--no-mining", "--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("anvil");
        let url = format!("http://127.0.0.1:{port}");
        let this = Self { child, chain: RootProvider::new_http(url.parse().expect("url")), url };
        for _ in 0..200 {
            if this.chain.get_chain_id().await.is_ok() {
                return Some(this);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("anvil does not answer");
    }

    async fn call(&self, method: &'static str, parameters: serde_json::Value) {
        self.chain.raw_request::<_, serde_json::Value>(method.into(), parameters).await.expect(method);
    }

    async fn mine(&self) {
        self.call("anvil_mine", json!(["0x1"])).await;
    }

    async fn mined(&self, hash: B256) -> Option<u64> {
        self.chain.get_transaction_receipt(hash).await.expect("receipt").and_then(|receipt| receipt.block_number)
    }
}

fn owed(not_before: u64) -> Owed {
    Owed { not_before, term: 1, what: report() }
}

fn report() -> Transmission {
    let mut header = Header::abi_decode(&[0; 512]).expect("zeros are a header");
    (header.committee, header.term, header.epoch) = (1, 1, 7);
    Transmission::Report { header: Box::new(header), certificate: vec![0; 96] }
}

/// An outbox that sends to addresses without code, where every call succeeds.
fn outbox(anvil: &Anvil, store: &Arc<Store>) -> (Outbox, watch::Sender<View>) {
    let config =
        Config::parse(include_str!("../../../config.example.toml"), std::path::Path::new(".")).expect("example");
    let mut secret = [0; 32];
    hex::decode_to_slice(RICH, &mut secret).expect("hex");
    let registry = Arc::new(Registry::new(crate::chain::contracts(&config.chain)));
    let (sender, view) = watch::channel(View {
        chain_id: 31_337,
        block: 0,
        registry,
        rotations: BTreeMap::new(),
        batches: BTreeMap::new(),
        caught_up: true,
    });
    let setup = OutboxSetup {
        rpc: Rpc::new(&anvil.url, &Secret::new(secret)).expect("key"),
        store: Arc::clone(store),
        chain: config.chain,
        committee: 1,
        view,
        clock: crate::node::now_ms,
        metrics: Metrics::new().expect("metrics"),
    };
    (Outbox::open(setup).expect("open"), sender)
}

fn sent(outbox: &Outbox) -> Sent {
    match outbox.items.values().next().map(|item| item.stage.clone()) {
        Some(Stage::Sent(sent)) => sent,
        other => panic!("not sent: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_a_reorg_drops_is_posted_again_with_its_nonce() {
    let Some(anvil) = Anvil::start().await else { return };
    let dir = Dir::new("outbox-reorg");
    let store = Arc::new(open(&dir));
    anvil.mine().await;
    let (mut owing, view) = outbox(&anvil, &store);
    owing.accept(&owed(0)).expect("disk");
    owing.pulse().await.expect("disk");
    let first = sent(&owing);
    assert_eq!((first.nonce, first.mined_in), (0, None));
    anvil.mine().await;
    owing.pulse().await.expect("disk");
    let mined = sent(&owing);
    assert!(mined.mined_in.is_some() && anvil.mined(B256::from(*first.hash)).await.is_some());

    // The block that held it is replaced by an empty one.
    anvil.call("anvil_reorg", json!([1, []])).await;
    anvil.call("anvil_dropAllTransactions", json!([])).await;
    assert_eq!(anvil.mined(B256::from(*first.hash)).await, None, "the post is gone from the chain");
    owing.pulse().await.expect("disk");
    let again = sent(&owing);
    assert_eq!((again.nonce, again.mined_in, owing.items.len()), (0, None, 1), "pending again, one post, one nonce");
    assert_eq!(owing.setup.metrics.outbox_sent.get(), 2);

    // A crash here: what the store holds is what was sent last, and nothing is signed anew.
    drop(owing);
    let (mut owing, _view) = outbox(&anvil, &store);
    owing.pulse().await.expect("disk");
    assert_eq!((sent(&owing), owing.setup.metrics.outbox_sent.get()), (again.clone(), 0));
    anvil.mine().await;
    owing.pulse().await.expect("disk");
    assert!(sent(&owing).mined_in.is_some() && anvil.mined(B256::from(*again.hash)).await.is_some());
    let address = anvil.chain.get_accounts().await.expect("accounts")[0];
    assert_eq!(anvil.chain.get_transaction_count(address).await.expect("count"), 1, "one transaction in the end");
    drop(view);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorg_that_gives_the_nonce_away_makes_the_item_wait_and_take_the_next() {
    let Some(anvil) = Anvil::start().await else { return };
    let dir = Dir::new("outbox-nonce");
    let store = Arc::new(open(&dir));
    anvil.mine().await;
    let (mut owing, view) = outbox(&anvil, &store);
    owing.accept(&owed(0)).expect("disk");
    owing.pulse().await.expect("disk");
    anvil.mine().await;
    owing.pulse().await.expect("disk");
    assert!(sent(&owing).mined_in.is_some());
    // The new chain holds another transaction of this account under the same nonce.
    let address = anvil.chain.get_accounts().await.expect("accounts")[0];
    let other = json!({ "from": address, "to": Address::repeat_byte(9), "value": "0x1", "nonce": "0x0" });
    anvil.call("anvil_reorg", json!([1, [[other, 0]]])).await;
    anvil.call("anvil_dropAllTransactions", json!([])).await;
    owing.pulse().await.expect("disk");
    let stage = owing.items.values().next().map(|item| item.stage.clone());
    assert!(matches!(stage, Some(Stage::Waiting { .. })), "back to pending: {stage:?}");
    tokio::time::sleep(Duration::from_millis(REFUSAL_PAUSE_MS + 50)).await;
    owing.pulse().await.expect("disk");
    let again = sent(&owing);
    assert_eq!((again.nonce, owing.items.len()), (1, 1));
    anvil.mine().await;
    assert!(anvil.mined(B256::from(*again.hash)).await.is_some());

    // Final: the fold says so, and nothing is owed any more.
    posted(&view);
    owing.pulse().await.expect("disk");
    assert!(owing.items.is_empty() && store.outbox().expect("disk").is_empty());
}

/// The fold learns that the hub holds the report.
fn posted(view: &watch::Sender<View>) {
    use alloy::sol_types::SolEvent as _;
    let event = oracle_core::registry::events::ReportPosted {
        committee: 1,
        stream: 0,
        epoch: 7,
        headerDigest: B256::ZERO,
        leavesRoot: B256::ZERO,
        stateRoot: B256::ZERO,
        activeAt: 0,
    };
    view.send_modify(|view| {
        let mut registry = Registry::clone(&view.registry);
        let (data, hub) = (event.encode_log_data(), registry.contracts().hub);
        let log = RawLog { address: hub, topics: data.topics().to_vec(), data: data.data.to_vec() };
        let block = oracle_core::registry::Block { number: 9, hash: B256::ZERO, timestamp: 9 };
        registry.apply(block, &[log]);
        view.registry = Arc::new(registry);
    });
}
