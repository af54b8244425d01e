//! Fault proofs to OperatorStake: the bond of whoever signed two things is cut, and whoever brought the proof rewarded.
//! Leaves out: finding them (`oracle_core`), and whether to: an operator decides (`oracle-node faults submit`).

use alloy::primitives::{Address, B256, Bytes, keccak256};
use alloy::sol_types::{SolCall as _, SolValue as _};
use oracle_core::fault::{FaultError, FaultProof, Published};
use oracle_core::typed::Scope;

use super::abi::{self, shareOutCall, slashCall};
use super::rpc::{ChainError, Rpc};

/// Why a fault proof did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum SlashError {
    /// It proves nothing.
    #[error("the proof does not hold: {0}")]
    Proof(#[from] FaultError),
    /// It is about another chain than the endpoint's.
    #[error("the proof is about chain {proof}, the endpoint serves chain {endpoint}")]
    OtherChain {
        /// From the proof.
        proof: u64,
        /// What the endpoint says.
        endpoint: u64,
    },
    /// The chain said no, for instance because the fault was punished before.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// What a submitted proof did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slashed {
    /// The member at fault.
    pub member: Address,
    /// The transaction that cut its bond.
    pub cut: B256,
    /// The transaction that booked the reward.
    pub shared: B256,
}

/// Checks a proof, brings it to the contract, has the reward booked, and waits until both are mined.
///
/// # Errors
/// A proof that does not hold (nothing is sent then), another chain, or the chain's refusal.
pub async fn submit(rpc: &Rpc, stake: Address, file: &Published) -> Result<Slashed, SlashError> {
    let (scope, member, proof) = file.verify()?;
    let endpoint = rpc.chain_id().await?;
    if endpoint != scope.chain_id {
        return Err(SlashError::OtherChain { proof: scope.chain_id, endpoint });
    }
    let (call, fault) = calls(&scope, member, &proof);
    let cut = rpc.send_and_wait(stake, &call.abi_encode()).await?;
    let shared = rpc.send_and_wait(stake, &shareOutCall { fault }.abi_encode()).await?;
    Ok(Slashed { member, cut, shared })
}

/// The call that slashes, and the name that the contract gives the fault.
fn calls(scope: &Scope, member: Address, proof: &FaultProof) -> (slashCall, B256) {
    // A kind unknown to this version has no hash; `Published::verify` has refused it.
    let instance = proof.a.instance.hash(scope).unwrap_or_default();
    let said = |s: &oracle_core::wire::Statement| abi::MemberStatement {
        instance,
        phase: s.phase,
        view_: s.view,
        value: s.value(),
    };
    let signature = |s: &oracle_core::wire::Statement| Bytes::copy_from_slice(&*s.signature);
    let call = slashCall {
        committee: scope.committee,
        term: scope.term,
        a: said(&proof.a),
        signatureA: signature(&proof.a),
        b: said(&proof.b),
        signatureB: signature(&proof.b),
    };
    let fault = keccak256((member, instance, u32::from(proof.a.phase), proof.a.view).abi_encode());
    (call, fault)
}
