//! The demo's way to the chain: actors that send transactions without waiting for each other, reads, and the raw log
//! for the auditor. Leaves out: which contracts there are (`contracts`) and what the actors want (`committee`, `market`).

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::eips::BlockId;
use alloy::eips::eip2718::Encodable2718 as _;
use alloy::network::{EthereumWallet, NetworkTransactionBuilder as _, TransactionBuilder as _};
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use alloy::rpc::types::{Filter, TransactionReceipt, TransactionRequest};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolCall;
use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};

/// Gas of an ordinary call: far above what any call of the demo uses, so that nothing is estimated against a state that
/// is still to come.
const CALL_GAS: u64 = 3_000_000;
/// Gas of a deployment; below the transaction cap of EIP-7825.
const DEPLOY_GAS: u64 = 9_000_000;

/// Whoever signs transactions: a person of the story or the deployer.
#[derive(Debug)]
pub struct Actor {
    /// Name in messages.
    pub name: String,
    /// The account's key.
    pub signer: PrivateKeySigner,
    nonce: AtomicU64,
}

impl Actor {
    /// The account's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Address of the contract that the actor's deployment number `ahead` from now will create.
    #[must_use]
    pub fn creates(&self, ahead: u64) -> Address {
        self.address().create(self.nonce.load(Ordering::SeqCst) + ahead)
    }
}

/// A transaction on its way.
#[derive(Debug)]
pub struct Sent {
    what: String,
    hash: B256,
    request: TransactionRequest,
}

/// One chain node.
#[derive(Clone, Debug)]
pub struct Chain {
    /// JSON-RPC address.
    pub url: String,
    /// EIP-155 chain id.
    pub id: u64,
    provider: DynProvider,
}

impl Chain {
    /// Connects, waiting up to ten seconds for the node to come up.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn connect(url: &str) -> Result<Self> {
        let provider = ProviderBuilder::new().disable_recommended_fillers().connect_http(url.parse()?).erased();
        for _ in 0..100 {
            if let Ok(id) = provider.get_chain_id().await {
                return Ok(Self { url: url.to_owned(), id, provider });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the chain node at {url} does not answer")
    }

    /// Makes an account from a name and gives it test ether.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn actor(&self, name: &str) -> Result<Actor> {
        let secret = keccak256(format!("plumbline demo account {name}"));
        self.actor_with_key(name, &secret).await
    }

    /// Gives the account of an existing key test ether.
    ///
    /// # Errors
    /// When the key is invalid or the node refuses.
    pub async fn actor_with_key(&self, name: &str, secret: &B256) -> Result<Actor> {
        let signer = PrivateKeySigner::from_bytes(secret).with_context(|| format!("key of {name}"))?;
        self.fund(signer.address()).await?;
        Ok(Actor { name: name.to_owned(), signer, nonce: AtomicU64::new(0) })
    }

    /// A thousand test ether for gas.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn fund(&self, account: Address) -> Result<()> {
        let amount = U256::from(1_000u64) * U256::from(10u64).pow(U256::from(18u64));
        self.raw("anvil_setBalance", json!([account, amount])).await.map(drop)
    }

    /// Sends without waiting: a call when `to` is given, else a deployment.
    ///
    /// # Errors
    /// When the node refuses the transaction.
    pub async fn send(&self, what: &str, actor: &Actor, to: Option<Address>, data: Vec<u8>) -> Result<Sent> {
        let mut request = TransactionRequest::default()
            .with_from(actor.address())
            .with_chain_id(self.id)
            .with_nonce(actor.nonce.fetch_add(1, Ordering::SeqCst))
            .with_gas_limit(if to.is_some() { CALL_GAS } else { DEPLOY_GAS })
            .with_max_fee_per_gas(50_000_000_000)
            .with_max_priority_fee_per_gas(1_000_000_000)
            .with_input(data);
        match to {
            Some(to) => request.set_to(to),
            None => request.set_create(),
        }
        let wallet = EthereumWallet::from(actor.signer.clone());
        let envelope = request.clone().build(&wallet).await.with_context(|| format!("sign: {what}"))?;
        let pending = self.provider.send_raw_transaction(&envelope.encoded_2718()).await;
        let hash = *pending.with_context(|| format!("{} sends: {what}", actor.name))?.tx_hash();
        Ok(Sent { what: format!("{}: {what}", actor.name), hash, request })
    }

    /// Like [`Self::send`], for a typed call.
    ///
    /// # Errors
    /// When the node refuses the transaction.
    pub async fn tell<C: SolCall>(&self, actor: &Actor, to: Address, call: &C) -> Result<Sent> {
        let name = C::SIGNATURE.split('(').next().unwrap_or_default();
        self.send(name, actor, Some(to), call.abi_encode()).await
    }

    /// Waits until a transaction is mined and has succeeded.
    ///
    /// # Errors
    /// When it reverted (with the revert's reason) or was not mined within thirty seconds.
    pub async fn mined(&self, sent: Sent) -> Result<TransactionReceipt> {
        for _ in 0..150 {
            if let Some(receipt) = self.provider.get_transaction_receipt(sent.hash).await? {
                if receipt.status() {
                    return Ok(receipt);
                }
                let before = receipt.block_number.unwrap_or(1).saturating_sub(1);
                let again = self.provider.call(sent.request.clone()).block(BlockId::number(before)).await;
                let why = again.err().map_or_else(|| "no reason given".to_owned(), |e| e.to_string());
                bail!("{}: the transaction reverted: {why}", sent.what);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("{}: not mined within thirty seconds", sent.what)
    }

    /// Waits for several.
    ///
    /// # Errors
    /// The first that failed.
    pub async fn all_mined(&self, sent: Vec<Sent>) -> Result<Vec<TransactionReceipt>> {
        let mut receipts = Vec::with_capacity(sent.len());
        for one in sent {
            receipts.push(self.mined(one).await?);
        }
        Ok(receipts)
    }

    /// Reads from a contract.
    ///
    /// # Errors
    /// When the call reverts or returns something else.
    pub async fn ask<C: SolCall>(&self, to: Address, call: &C) -> Result<C::Return> {
        let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
        // Without a block, some nodes answer from the pending one.
        let output = self
            .provider
            .call(request)
            .block(BlockId::latest())
            .await
            .with_context(|| format!("call {}", C::SIGNATURE))?;
        C::abi_decode_returns(&output).with_context(|| format!("read the answer of {}", C::SIGNATURE))
    }

    /// Events of one contract from the first block on: (block number, topics, data).
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn events(&self, address: Address) -> Result<Vec<alloy::primitives::Log>> {
        let filter = Filter::new().address(address).from_block(0);
        Ok(self.provider.get_logs(&filter).await?.into_iter().map(|log| log.inner).collect())
    }

    /// Number of the newest block and its unix time.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn head(&self) -> Result<(u64, u64)> {
        let block = self.raw("eth_getBlockByNumber", json!(["latest", false])).await?;
        Ok((quantity(&block["number"])?, quantity(&block["timestamp"])?))
    }

    /// Waits until a block with a timestamp of at least `seconds` is mined.
    ///
    /// # Errors
    /// When the node stops answering.
    pub async fn past(&self, seconds: u64) -> Result<()> {
        while self.head().await?.1 < seconds {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(())
    }

    /// Writes the auditor's chain log: every finalized block that `addresses` logged in, as JSON lines (docs/protocol.md §10),
    /// by raw JSON-RPC, so that the node's own client has no part in it. Blocks without logs are kept: the
    /// snapshot rule needs their times. Returns the number of blocks.
    ///
    /// # Errors
    /// When the node or the disk refuses.
    pub async fn export(&self, addresses: &[Address], first: u64, file: &Path) -> Result<u64> {
        let last = self.head().await?.0;
        let logs = json!([{"fromBlock": hex(first), "toBlock": hex(last), "address": addresses}]);
        let logs = self.raw("eth_getLogs", logs).await?;
        let mut by_block: std::collections::BTreeMap<u64, Vec<Value>> = std::collections::BTreeMap::new();
        for log in logs.as_array().context("eth_getLogs gave no list")? {
            let kept = json!({"address": log["address"], "topics": log["topics"], "data": log["data"]});
            by_block.entry(quantity(&log["blockNumber"])?).or_default().push(kept);
        }
        let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
        for number in first..=last {
            let block = self.raw("eth_getBlockByNumber", json!([hex(number), false])).await?;
            let timestamp = quantity(&block["timestamp"])?;
            let head = json!({"number": number, "hash": block["hash"], "timestamp": timestamp});
            writeln!(out, "{}", json!({"block": head, "logs": by_block.remove(&number).unwrap_or_default()}))?;
        }
        out.flush()?;
        Ok(last + 1 - first)
    }

    /// One JSON-RPC call.
    ///
    /// # Errors
    /// When the node refuses.
    pub async fn raw(&self, method: &'static str, params: Value) -> Result<Value> {
        self.provider.raw_request(method.into(), params).await.with_context(|| format!("JSON-RPC {method}"))
    }
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

fn quantity(value: &Value) -> Result<u64> {
    let text = value.as_str().ok_or_else(|| anyhow!("JSON-RPC: {value} is not a quantity"))?;
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .with_context(|| format!("JSON-RPC: {text} is not a quantity"))
}

/// Creation code from a contract's JSON artifact with its constructor's arguments behind it.
///
/// # Errors
/// When the artifact is missing or has no creation code.
pub fn creation_code(artifacts: &Path, name: &str, arguments: &[u8]) -> Result<Vec<u8>> {
    let path = artifacts.join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let artifact: Value = serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))?;
    let code = artifact["bytecode"].as_str().or_else(|| artifact["bytecode"]["object"].as_str());
    let code: Bytes = code.with_context(|| format!("{}: no bytecode", path.display()))?.parse()?;
    Ok([code.as_ref(), arguments].concat())
}
