//! Answers of pure checks, shared by all members that one thread simulates: all of them decode the same keys and
//! signatures and verify the same certificates. An answer is kept under every byte that it depends on, so no outcome
//! changes. Only compiled with the feature `shared-checks`, which no shipped binary has, and off until a thread turns
//! it on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::thread::LocalKey;

use crate::{Error, GroupKey, Sharing, Signature};

/// Answers of one kind that are kept; then all are forgotten.
const KEPT: usize = 1 << 14;

/// By what was asked; `None` while answers are not shared.
type Answers<K, V> = RefCell<Option<BTreeMap<K, Result<V, Error>>>>;
/// Key, message, signature.
type Claim = ([u8; 96], [u8; 32], [u8; 48]);

thread_local! {
    static VERDICTS: Answers<Claim, ()> = const { RefCell::new(None) };
    static SIGNATURES: Answers<[u8; 48], Signature> = const { RefCell::new(None) };
    static SHARINGS: Answers<Vec<u8>, Sharing> = const { RefCell::new(None) };
}

/// Shares answers in this thread from now on, or stops and forgets them.
pub fn share(on: bool) {
    turn(&VERDICTS, on);
    turn(&SIGNATURES, on);
    turn(&SHARINGS, on);
}

fn turn<K: Ord, V>(answers: &'static LocalKey<Answers<K, V>>, on: bool) {
    let before = answers.take();
    answers.set(on.then(|| before.unwrap_or_default()));
}

/// Looked up, or found.
fn recall<K: Ord, V: Clone>(
    answers: &'static LocalKey<Answers<K, V>>,
    asked: impl FnOnce() -> K,
    find: impl FnOnce() -> Result<V, Error>,
) -> Result<V, Error> {
    answers.with_borrow_mut(|answers| {
        let Some(answers) = answers else { return find() };
        if answers.len() >= KEPT {
            answers.clear();
        }
        answers.entry(asked()).or_insert_with(find).clone()
    })
}

pub(crate) fn verdict(
    key: &GroupKey,
    message: &[u8; 32],
    signature: &Signature,
    verify: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    recall(&VERDICTS, || (key.to_bytes(), *message, signature.to_bytes()), verify)
}

pub(crate) fn signature(
    bytes: &[u8; 48],
    decode: impl FnOnce() -> Result<Signature, Error>,
) -> Result<Signature, Error> {
    recall(&SIGNATURES, || *bytes, decode)
}

pub(crate) fn sharing(bytes: &[u8], decode: impl FnOnce() -> Result<Sharing, Error>) -> Result<Sharing, Error> {
    recall(&SHARINGS, || bytes.to_vec(), decode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_answers_are_the_answers() {
        let (sharing, shares) = crate::deal_for_tests(4, 5);
        let (message, other) = ([1; 32], [2; 32]);
        let partials: Vec<_> = shares.iter().map(|share| share.sign(&message)).collect();
        let certificate = sharing.recover(&message, &partials[..3]).expect("three of four are enough");
        let mut infinity = [0; 48];
        infinity[0] = 0xc0;
        let look = || {
            let bytes = sharing.encode();
            (
                sharing.group.verify(&message, &certificate),
                sharing.group.verify(&other, &certificate),
                sharing.verify_partial(&message, &partials[0]),
                Signature::from_bytes(&certificate.to_bytes()),
                Signature::from_bytes(&infinity),
                Sharing::decode(&bytes),
                Sharing::decode(&bytes[1..]),
            )
        };
        let alone = look();
        share(true);
        let (first, second) = (look(), look());
        share(true);
        let third = look();
        share(false);
        assert_eq!([&first, &second, &third, &look()], [&alone; 4]);
        assert!(alone.0.is_ok() && alone.1.is_err() && alone.4.is_err() && alone.6.is_err());
    }
}
