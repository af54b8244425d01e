//! Headers of posted reports. The hub's event holds only the digest; the header, with the bit of every member whose signed
//! observation the report rests on, is taken from the transaction and counts only if it has that digest: the hub took the
//! committee's certificate over it. So a node that hears no member knows from the chain alone who took part.
//! Leaves out: what follows from it (`guard`).

use alloy::primitives::B256;
use alloy::sol_types::SolEvent as _;
use oracle_core::registry::events::ReportPosted;
use oracle_core::registry::{Contracts, Registry};
use oracle_core::report::header_digest;
use oracle_core::typed::Header;

use super::log::StoredBlock;
use super::{ChainError, Rpc, abi};

/// Transactions that posted reports of a committee in a block, by stream and epoch.
pub(super) fn named(block: &StoredBlock, contracts: &Contracts, committee: u64) -> Vec<((u32, u64), B256)> {
    let raw = block.raw_logs();
    let ours = raw.iter().zip(&block.logs).filter(|(log, _)| log.address == contracts.hub);
    let posts = ours.filter_map(|(log, stored)| {
        let event = ReportPosted::decode_raw_log_validate(log.topics.iter().copied(), &log.data).ok()?;
        let transaction = B256::from(*stored.transaction);
        (event.committee == committee).then_some(((event.stream, event.epoch), transaction))
    });
    posts.collect()
}

/// The header of a posted report; `None` when the endpoint does not know the transaction, or it holds no such header.
///
/// # Errors
/// The endpoint does not answer.
pub(super) async fn header(
    rpc: &Rpc,
    (chain_id, registry): (u64, &Registry),
    (committee, stream, epoch): (u64, u32, u64),
    transaction: B256,
) -> Result<Option<Header>, ChainError> {
    let calldata = rpc.calldata(transaction).await?.unwrap_or_default();
    Ok(among(&calldata, (chain_id, registry), (committee, stream, epoch)))
}

/// The posted header among whatever a transaction's calldata holds.
fn among(calldata: &[u8], (chain_id, registry): (u64, &Registry), of: (u64, u32, u64)) -> Option<Header> {
    let posted = registry.posted().get(&of)?;
    let certified = |header: &Header| {
        let term = registry.term(chain_id, header.committee, header.term);
        term.is_some_and(|term| header_digest(&term, header) == posted.digest)
    };
    abi::posted_headers(calldata).find(certified)
}

#[cfg(test)]
mod tests;
