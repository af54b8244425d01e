//! Verdicts about signatures, shared by all members that one thread simulates: all of them verify the same certificates.
//! A verdict is kept under key, message and signature, so no outcome changes. Only compiled with the feature
//! `shared-checks`, which no shipped binary has, and off until a thread turns it on.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::{Error, GroupKey, Signature};

/// Verdicts kept; then all are forgotten.
const KEPT: usize = 1 << 14;

type Verdicts = BTreeMap<([u8; 96], [u8; 32], [u8; 48]), bool>;

thread_local! {
    static VERDICTS: RefCell<Option<Verdicts>> = const { RefCell::new(None) };
}

/// Shares verdicts in this thread from now on, or stops and forgets them.
pub fn share(on: bool) {
    VERDICTS.set(on.then(BTreeMap::new));
}

/// The verdict: looked up, or found by `verify`.
pub(crate) fn verdict(
    key: &GroupKey,
    message: &[u8; 32],
    signature: &Signature,
    verify: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    VERDICTS.with_borrow_mut(|verdicts| {
        let Some(verdicts) = verdicts else { return verify() };
        if verdicts.len() >= KEPT {
            verdicts.clear();
        }
        let place = (key.to_bytes(), *message, signature.to_bytes());
        let good = *verdicts.entry(place).or_insert_with(|| verify().is_ok());
        if good { Ok(()) } else { Err(Error::Signature) }
    })
}
