//! A chain in this process: revm on osaka rules, one account sends, time moves only when told.
//! Leaves out: which contracts there are (`world`), blocks, gas prices, signatures of transactions.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, Bytes, TxKind, U256};
use alloy::sol_types::{SolCall, SolEvent};
use revm::context::TxEnv;
use revm::context::result::{ExecutionResult, Output};
use revm::database::InMemoryDB;
use revm::handler::{MainnetContext, MainnetEvm};
use revm::primitives::hardfork::SpecId;
use revm::{Context, ExecuteCommitEvm as _, ExecuteEvm as _, MainBuilder as _, MainContext as _};
use testnet::chain::creation_code;

/// EIP-155 id that the contracts see.
pub(crate) const CHAIN_ID: u64 = 31_337;
/// Below the transaction cap of EIP-7825.
const GAS: u64 = 16_000_000;

/// A call that the contract refused: its revert data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) Bytes);

/// What a call that went through brought.
#[derive(Debug)]
pub(crate) struct Done<R> {
    /// What it returned.
    pub(crate) returned: R,
    logs: Vec<alloy::primitives::Log>,
}

impl<R> Done<R> {
    /// Its events of one type, in order.
    pub(crate) fn events<E: SolEvent>(&self) -> Vec<E> {
        self.logs.iter().filter_map(|log| E::decode_log(log).ok()).map(|log| log.data).collect()
    }
}

/// The chain.
pub(crate) struct Chain {
    evm: MainnetEvm<MainnetContext<InMemoryDB>>,
    now: u64,
}

impl Chain {
    /// An empty chain at `now` (unix seconds).
    pub(crate) fn new(now: u64) -> Self {
        let context = Context::mainnet().with_db(InMemoryDB::default()).modify_cfg_chained(|cfg| {
            cfg.chain_id = CHAIN_ID;
            cfg.disable_nonce_check = true;
            cfg.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
        });
        let mut chain = Self { evm: context.build_mainnet(), now: 0 };
        chain.pass_to(now);
        chain
    }

    /// Unix seconds.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Moves the clock; never back.
    pub(crate) fn pass_to(&mut self, now: u64) {
        assert!(now >= self.now, "time goes on");
        self.now = now;
        self.evm.ctx.modify_block(|block| {
            block.timestamp = U256::from(now);
            block.number += U256::ONE;
            block.basefee = 0;
        });
    }

    /// Deploys a contract of contracts/abi.
    pub(crate) fn deploy(&mut self, from: Address, name: &str, arguments: &[u8]) -> Address {
        let code = creation_code(&artifacts(), name, arguments).unwrap();
        let result = self.evm.transact_commit(transaction(from, TxKind::Create, code)).unwrap();
        match result {
            ExecutionResult::Success { output: Output::Create(_, Some(address)), .. } => address,
            other => panic!("{name} cannot be deployed: {other:?}"),
        }
    }

    /// Calls and keeps what it changed.
    pub(crate) fn call<C: SolCall>(
        &mut self,
        from: Address,
        to: Address,
        call: &C,
    ) -> Result<Done<C::Return>, Refused> {
        let result = self.evm.transact_commit(transaction(from, TxKind::Call(to), call.abi_encode())).unwrap();
        finished::<C>(result)
    }

    /// Reads, and forgets what it changed.
    pub(crate) fn ask<C: SolCall>(&mut self, to: Address, call: &C) -> C::Return {
        let result = self.evm.transact(transaction(Address::ZERO, TxKind::Call(to), call.abi_encode())).unwrap();
        finished::<C>(result.result).unwrap_or_else(|Refused(why)| panic!("{} reverts: {why}", C::SIGNATURE)).returned
    }
}

/// Where the exported ABI and bytecode are.
pub(crate) fn artifacts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/abi")
}

fn transaction(caller: Address, kind: TxKind, data: Vec<u8>) -> TxEnv {
    let chain_id = Some(CHAIN_ID);
    TxEnv { caller, kind, data: data.into(), gas_limit: GAS, gas_price: 0, chain_id, ..TxEnv::default() }
}

fn finished<C: SolCall>(result: ExecutionResult) -> Result<Done<C::Return>, Refused> {
    match result {
        ExecutionResult::Success { output, logs, .. } => {
            let returned = C::abi_decode_returns(output.data()).unwrap();
            Ok(Done { returned, logs })
        }
        ExecutionResult::Revert { output, .. } => Err(Refused(output)),
        ExecutionResult::Halt { reason, .. } => panic!("{} halts: {reason:?}", C::SIGNATURE),
    }
}
