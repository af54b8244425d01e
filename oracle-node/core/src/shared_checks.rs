//! Answers of pure checks, shared by all members that one thread simulates: a broadcast is verified once, not once by
//! each receiver. An answer is kept under every byte that it depends on, so no outcome changes. Only compiled with the
//! feature `shared-checks`, which no shipped binary has, and off until a thread turns it on. A node alone would gain
//! nothing: `qbft` remembers by itself what it has checked.

use std::cell::RefCell;
use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};

/// Answers kept; then all are forgotten.
const KEPT: usize = 1 << 16;

type Signers = BTreeMap<(B256, [u8; 65]), Option<Address>>;

thread_local! {
    static SIGNERS: RefCell<Option<Signers>> = const { RefCell::new(None) };
}

/// Shares answers in this thread from now on, those of BLS too, or stops and forgets them.
pub fn share(on: bool) {
    let before = SIGNERS.take();
    SIGNERS.set(on.then(|| before.unwrap_or_default()));
    aggregator::shared_checks::share(on);
}

/// Who signed: looked up, or found by `recover`.
pub(crate) fn signer(
    digest: &B256,
    signature: &[u8; 65],
    recover: impl FnOnce() -> Option<Address>,
) -> Option<Address> {
    SIGNERS.with_borrow_mut(|signers| {
        let Some(signers) = signers else { return recover() };
        if signers.len() >= KEPT {
            signers.clear();
        }
        *signers.entry((*digest, *signature)).or_insert_with(recover)
    })
}
