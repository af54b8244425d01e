//! Receipts as they come down, checked against the members' receipt keys (docs/protocol.md §§8, 11).
//! Leaves out: the bytes (`attest::Receipts`) and counting members (`attest::Queue`).

use attest::{DecodeError, EvidenceId, ReceiptKeys, Receipts};

/// Receipts of one member's batch, all of which follow from its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Who signed.
    pub member: u32,
    /// Its batch.
    pub batch: u64,
    /// Messages of this device in it.
    pub ids: Vec<EvidenceId>,
}

/// Why a payload of receipts does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReceipts {
    /// Not the bytes of docs/protocol.md §11, or paths that lead to different roots.
    #[error("malformed receipts: {0}")]
    Malformed(DecodeError),
    /// The member did not sign this, or is none whose key we know.
    #[error("receipts that member {0} did not sign under a key that is known here")]
    Signature(u32),
}

/// Checks every receipt in a payload.
pub(crate) fn check(payload: &[u8], keys: &[[u8; 32]]) -> Result<Checked, BadReceipts> {
    let receipts = Receipts::decode(payload).map_err(BadReceipts::Malformed)?;
    if !receipts.holds(&ReceiptKeys(keys)) {
        return Err(BadReceipts::Signature(receipts.member));
    }
    Ok(Checked { member: receipts.member, batch: receipts.batch, ids: receipts.ids().collect() })
}
