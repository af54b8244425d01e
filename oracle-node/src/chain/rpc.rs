//! The calls a node makes to its JSON-RPC endpoint, each with a time limit.
//! Leaves out: retries and what to do with the answers (`watch`, `outbox`).

use std::time::Duration;

use alloy::consensus::{BlockHeader as _, Transaction as _};
use alloy::eips::BlockNumberOrTag;
use alloy::eips::eip2718::Encodable2718 as _;
use alloy::network::{Ethereum, EthereumWallet, NetworkTransactionBuilder as _, TransactionBuilder as _};
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::{Provider as _, RootProvider};
use alloy::rpc::types::{Filter, Log, TransactionReceipt, TransactionRequest};
use alloy::signers::local::PrivateKeySigner;
use oracle_core::registry::Block;

use crate::keys::Secret;

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call to the chain failed. All of them may pass: try again later.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The URL is none.
    #[error("chain: {0:?} is not a URL")]
    Url(String),
    /// No answer in time.
    #[error("chain: no answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    /// The endpoint, or the contract behind it, said no.
    #[error("chain: {0}")]
    Rpc(String),
    /// The secret is no transaction key.
    #[error("chain: the member key cannot sign transactions")]
    Key,
    /// A finalized block changed: another chain, or an endpoint that lies.
    #[error("chain: finalized block {number} was {known} and is {now}: another chain behind this endpoint?")]
    Rewritten {
        /// Block number.
        number: u64,
        /// Hash in our log.
        known: B256,
        /// Hash at the endpoint.
        now: B256,
    },
}

/// A signed transaction, ready to be sent again.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) hash: B256,
    pub(super) raw: Vec<u8>,
}

/// What a transaction may cost per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fees {
    pub(super) max: u128,
    pub(super) tip: u128,
}

/// The endpoint, with the key that signs transactions.
#[derive(Clone)]
pub struct Rpc {
    provider: RootProvider<Ethereum>,
    wallet: EthereumWallet,
    address: Address,
}

impl std::fmt::Debug for Rpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rpc(as {})", self.address)
    }
}

/// Runs one call within its time limit.
async fn within<T, E: std::fmt::Display>(call: impl Future<Output = Result<T, E>>) -> Result<T, ChainError> {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, call).await.map_err(|_| ChainError::Timeout)?;
    answer.map_err(|e| ChainError::Rpc(e.to_string()))
}

impl Rpc {
    /// Does not connect yet.
    ///
    /// # Errors
    /// Not a URL, or a secret that is no secp256k1 key.
    pub fn new(url: &str, key: &Secret) -> Result<Self, ChainError> {
        let parsed = url.parse().map_err(|_| ChainError::Url(url.to_owned()))?;
        let signer = PrivateKeySigner::from_slice(key.expose()).map_err(|_| ChainError::Key)?;
        let address = signer.address();
        Ok(Self { provider: RootProvider::new_http(parsed), wallet: EthereumWallet::from(signer), address })
    }

    /// EIP-155 chain id.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn chain_id(&self) -> Result<u64, ChainError> {
        within(async { self.provider.get_chain_id().await }).await
    }

    /// The last finalized block, if the chain has one.
    pub(super) async fn finalized(&self) -> Result<Option<Block>, ChainError> {
        self.block(BlockNumberOrTag::Finalized).await
    }

    /// Time of the newest block, unix seconds.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn newest_block_time(&self) -> Result<Option<u64>, ChainError> {
        Ok(self.block(BlockNumberOrTag::Latest).await?.map(|block| block.timestamp))
    }

    /// A block's header by number or tag.
    pub(super) async fn block(&self, which: BlockNumberOrTag) -> Result<Option<Block>, ChainError> {
        let block = within(async { self.provider.get_block_by_number(which).await }).await?;
        Ok(block.map(|block| Block {
            number: block.header.number(),
            hash: block.header.hash,
            timestamp: block.header.timestamp(),
        }))
    }

    /// Logs of some contracts in a range of blocks, both ends included.
    pub(super) async fn logs(&self, of: &[Address], from: u64, to: u64) -> Result<Vec<Log>, ChainError> {
        let filter = Filter::new().address(of.to_vec()).from_block(from).to_block(to);
        within(async { self.provider.get_logs(&filter).await }).await
    }

    /// `DeviceRegistry.nextBatch` of a term as of a block: the first batch of device keys that the chain has not used.
    pub(super) async fn next_batch(
        &self,
        devices: Address,
        committee: u64,
        term: u64,
        block: u64,
    ) -> Result<u64, ChainError> {
        use alloy::sol_types::SolCall as _;
        let data = super::abi::nextBatchCall { committee, term }.abi_encode();
        let request = TransactionRequest::default().with_to(devices).with_input(data);
        let answer = within(async { self.provider.call(request).block(block.into()).await }).await?;
        let odd = |error| ChainError::Rpc(format!("no batch number from the device registry at {devices}: {error}"));
        super::abi::nextBatchCall::abi_decode_returns(&answer).map_err(odd)
    }

    /// Transactions of this node in the chain's latest block, and with those it knows to be pending.
    pub(super) async fn nonces(&self) -> Result<(u64, u64), ChainError> {
        let latest = within(async { self.provider.get_transaction_count(self.address).await }).await?;
        let pending = within(async { self.provider.get_transaction_count(self.address).pending().await }).await?;
        Ok((latest, pending.max(latest)))
    }

    /// The gas a call would need now; an error when it would revert.
    pub(super) async fn gas(&self, to: Address, data: &[u8]) -> Result<u64, ChainError> {
        let request = TransactionRequest::default().with_from(self.address).with_to(to).with_input(data.to_vec());
        within(async { self.provider.estimate_gas(request).await }).await
    }

    /// What the endpoint thinks a transaction should pay.
    pub(super) async fn fees(&self) -> Result<Fees, ChainError> {
        let fees = within(async { self.provider.estimate_eip1559_fees().await }).await?;
        Ok(Fees { max: fees.max_fee_per_gas, tip: fees.max_priority_fee_per_gas })
    }

    /// Signs a transaction with an explicit nonce; does not send it.
    pub(super) async fn sign(
        &self,
        chain_id: u64,
        nonce: u64,
        gas: u64,
        fees: Fees,
        to: Address,
        data: &[u8],
    ) -> Result<Signed, ChainError> {
        let request = TransactionRequest::default()
            .with_from(self.address)
            .with_to(to)
            .with_input(data.to_vec())
            .with_nonce(nonce)
            .with_chain_id(chain_id)
            .with_gas_limit(gas)
            .with_max_fee_per_gas(fees.max)
            .with_max_priority_fee_per_gas(fees.tip);
        let envelope = request.build(&self.wallet).await.map_err(|e| ChainError::Rpc(e.to_string()))?;
        Ok(Signed { hash: *envelope.tx_hash(), raw: envelope.encoded_2718() })
    }

    /// Sends a signed transaction. "Already known" is as good as sent.
    pub(super) async fn send(&self, raw: &[u8]) -> Result<(), ChainError> {
        match within(async { self.provider.send_raw_transaction(raw).await }).await {
            Ok(_) => Ok(()),
            Err(ChainError::Rpc(text)) if text.contains("already known") || text.contains("already imported") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Where a transaction was mined, if it was.
    pub(super) async fn receipt(&self, hash: B256) -> Result<Option<TransactionReceipt>, ChainError> {
        within(async { self.provider.get_transaction_receipt(hash).await }).await
    }

    /// The calldata of a transaction; `None` when the endpoint does not know it (any more).
    pub(super) async fn calldata(&self, hash: B256) -> Result<Option<Bytes>, ChainError> {
        let transaction = within(async { self.provider.get_transaction_by_hash(hash).await }).await?;
        Ok(transaction.map(|transaction| transaction.inner.input().clone()))
    }

    /// Sends one transaction and waits until it is mined: for commands that a person waits for.
    ///
    /// # Errors
    /// The call would revert or did, or the endpoint does not answer.
    pub async fn send_and_wait(&self, to: Address, data: &[u8]) -> Result<B256, ChainError> {
        let (chain_id, gas, fees) = (self.chain_id().await?, self.gas(to, data).await?, self.fees().await?);
        let (_, nonce) = self.nonces().await?;
        let signed = self.sign(chain_id, nonce, gas.saturating_add(gas / 5), fees, to, data).await?;
        self.send(&signed.raw).await?;
        for _ in 0..240 {
            match self.receipt(signed.hash).await? {
                Some(receipt) if receipt.status() => return Ok(signed.hash),
                Some(_) => return Err(ChainError::Rpc(format!("transaction {} reverted", signed.hash))),
                None => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
        Err(ChainError::Rpc(format!("transaction {} was sent and is not mined after a minute", signed.hash)))
    }

    /// `CommitteeRegistry.register`: publishes this member's keys and endpoint.
    ///
    /// # Errors
    /// As [`Self::send_and_wait`]; for example no bond, or no funds for gas.
    pub async fn register(
        &self,
        registry: Address,
        committee: u64,
        keys: [[u8; 32]; 3],
        endpoint: &str,
    ) -> Result<B256, ChainError> {
        use alloy::sol_types::SolCall as _;
        let [peer, dkg, receipt] = keys.map(B256::from);
        let call = super::abi::registerCall {
            committee,
            peerKey: peer,
            dkgKey: dkg,
            receiptKey: receipt,
            endpoint: endpoint.into(),
        };
        self.send_and_wait(registry, &call.abi_encode()).await
    }
}
