//! From a digest and a signature to the address that signed: the check that a node makes most often.
//! Leaves out: whether that address is a member's (`wire::Statement`).

use alloy_primitives::{Address, B256, Signature};

/// Who signed `digest`, or `None` for a bad or malleable (high s) signature, or a v other than 27 and 28: whatever counts
/// here must count on chain too, or a member could sign what nobody can hold against it.
#[must_use]
pub fn recover_signer(digest: &B256, signature: &[u8; 65]) -> Option<Address> {
    #[cfg(feature = "shared-checks")]
    return crate::shared_checks::signer(digest, signature, || recover(digest, signature));
    #[cfg(not(feature = "shared-checks"))]
    recover(digest, signature)
}

fn recover(digest: &B256, signature: &[u8; 65]) -> Option<Address> {
    let [.., v] = signature;
    if !matches!(v, 27 | 28) {
        return None;
    }
    let parsed = Signature::from_raw_array(signature).ok()?;
    if parsed.normalize_s().is_some() {
        return None;
    }
    parsed.recover_address_from_prehash(digest).ok()
}
