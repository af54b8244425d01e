//! Verifying many device signatures at once, for ingest and for F. One verdict per item, the same as alone.
//! Leaves out: what a verified message means (`ingest`, `report`).

use attest::batch::Verdict;
use attest::{BatchVerifier, Class, Envelope, Network, PublicKey};

/// Messages per batch equation: larger ones gain little and cost more when one signature is bad.
const BATCH: usize = 256;

/// The verdict on every item, in order.
pub(crate) fn all(items: &[(Class, Envelope<'_>, &PublicKey)], network: &Network) -> Vec<Verdict> {
    let mut verdicts = Vec::with_capacity(items.len());
    for part in items.chunks(BATCH) {
        let mut batch = BatchVerifier::new(*network);
        for (class, envelope, key) in part {
            batch.push(*class, envelope, key);
        }
        verdicts.extend(batch.finish());
    }
    verdicts
}
