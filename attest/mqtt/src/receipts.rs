//! Receipts as they come down, in a form that outlives the payload (docs/protocol.md §§8, 11).
//! Leaves out: the bytes and the check (`attest::Receipts`), and counting members (`attest::Queue`).

use attest::{EvidenceId, ReceiptError, ReceiptKeys, Receipts};

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

/// Checks every receipt in a payload.
pub(crate) fn check(payload: &[u8], keys: &[[u8; 32]]) -> Result<Checked, ReceiptError> {
    let receipts = Receipts::decode(payload)?;
    if !receipts.holds(&ReceiptKeys(keys)) {
        return Err(ReceiptError::Signature(receipts.member));
    }
    Ok(Checked { member: receipts.member, batch: receipts.batch, ids: receipts.ids().collect() })
}
