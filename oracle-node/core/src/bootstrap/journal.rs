//! What a bootstrap persists beside its agreements (`qbft`) and partials (`sign_once`).
//!
//! | key | value | written before |
//! |---|---|---|
//! | `key/<term>/sharing` | `aggregator::Sharing::encode` | the first partial |
//! | `key/<term>/share` | member index u32be ‖ secret scalar (32), *secret* | the first partial |
//! | `deal/<term>/<dealer>` | another dealer's deal as received, *secret* | its acknowledgement |
//! | `confirmation/<term>` | `wire::Certified` | the activation signature |
//! | `device-keys/<term>` | newest batch number touched, u64be | any vote on it |
//!
//! Numbers in keys are decimal. The own deals are not kept: they follow from the DKG seed.

use std::sync::Arc;

use aggregator::{Share, Sharing};

use crate::effect::{Effect, Record};
use crate::term::Term;

/// The committee key and this member's share.
pub(super) type Keys = (Arc<Sharing>, Arc<Share>);

/// Whether a record's value is secret: a store seals these at rest, and no export contains them.
#[must_use]
pub fn is_secret(key: &[u8]) -> bool {
    key.starts_with(b"deal/") || (key.starts_with(b"key/") && key.ends_with(b"/share"))
}

pub(super) fn confirmation_key(term: &Term) -> Vec<u8> {
    format!("confirmation/{}", term.scope.term).into_bytes()
}

pub(super) fn device_keys_key(term: &Term) -> Vec<u8> {
    format!("device-keys/{}", term.scope.term).into_bytes()
}

pub(super) fn deal_key(term: &Term, dealer: u32) -> Vec<u8> {
    format!("deal/{}/{dealer}", term.scope.term).into_bytes()
}

fn sharing_key(term: &Term) -> Vec<u8> {
    format!("key/{}/sharing", term.scope.term).into_bytes()
}

fn share_key(term: &Term) -> Vec<u8> {
    format!("key/{}/share", term.scope.term).into_bytes()
}

/// The value of a record.
pub(super) fn get<'a>(journal: &'a [Record], key: &[u8]) -> Option<&'a [u8]> {
    journal.iter().find(|record| record.key == key).map(|record| record.value.as_slice())
}

/// The records of a concluded key.
pub(super) fn save_keys(term: &Term, (sharing, share): &Keys) -> [Effect; 2] {
    let secret = share.to_bytes_secret();
    let share = [share.index.to_be_bytes().as_slice(), secret.as_slice()].concat();
    [
        Effect::Persist(Record { key: share_key(term), value: share }),
        Effect::Persist(Record { key: sharing_key(term), value: sharing.encode() }),
    ]
}

/// A concluded key; `None` if there is none, or if share and sharing do not belong to each other and this member.
pub(super) fn load_keys(term: &Term, me: u32, journal: &[Record]) -> Option<Keys> {
    let sharing = Sharing::decode(get(journal, &sharing_key(term))?).ok()?;
    let (index, secret) = get(journal, &share_key(term))?.split_first_chunk::<4>()?;
    let share = Share::from_bytes(u32::from_be_bytes(*index), secret.try_into().ok()?).ok()?;
    let fits =
        share.index == me && sharing.n == term.n() && sharing.public_share(me).ok() == Some(&share.public_share());
    fits.then(|| (Arc::new(sharing), Arc::new(share)))
}
