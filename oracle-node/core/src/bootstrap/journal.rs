//! What a bootstrap persists beside its agreements (`qbft`) and partials (`sign_once`).
//!
//! | key | value | written before |
//! |---|---|---|
//! | `key/<term>/sharing` | `aggregator::Sharing::encode` | the first partial |
//! | `key/<term>/share` | member index u32be ‖ secret scalar (32), *secret* | the first partial |
//! | `deal/<term>/<dealer>` | another dealer's deal as received, *secret* | its acknowledgement |
//! | `confirmation/<term>`, `confirmation/<term>/<number>` | `wire::Certified` | the activation signature |
//! | `deal/<term>/own` | seed of the own dealings (32), *secret* | the first step; by the node |
//! | `refresh/<term>/asked` | highest refresh number asked for, u64be | the ask |
//! | `deal/<term>/refresh/<number>/own` | seed of the own dealings (32), *secret* | the ask |
//! | `deal/<term>/refresh/<number>/<dealer>` | another dealer's deal, *secret* | its acknowledgement |
//! | `key/<term>/root/<share root>/sharing` | `aggregator::Sharing::encode` | the first partial |
//! | `key/<term>/root/<share root>/share` | as above, *secret* | the first partial |
//! | `device-keys/<term>` | newest batch number touched, u64be | any vote on it |
//!
//! Numbers in keys are decimal, roots hex. The own deals are not kept: they follow from
//! the DKG seed and the seed of the own dealings, in a refresh from the latter alone. Once a refresh is in force its seed, its deals and the old share are erased.

use std::sync::Arc;

use aggregator::{Share, Sharing};
use alloy_primitives::B256;

use crate::effect::{Effect, Record};
use crate::term::Term;

/// The committee key and this member's share.
pub(super) type Keys = (Arc<Sharing>, Arc<Share>);

/// Whether a record's value is secret: a store seals these at rest, and no export contains them.
#[must_use]
pub fn is_secret(key: &[u8]) -> bool {
    key.starts_with(b"deal/") || (key.starts_with(b"key/") && key.ends_with(b"/share"))
}

pub(super) fn confirmation_key(term: &Term, number: u64) -> Vec<u8> {
    let term = term.scope.term;
    match number {
        0 => format!("confirmation/{term}"),
        _ => format!("confirmation/{term}/{number}"),
    }
    .into_bytes()
}

pub(super) fn device_keys_key(term: &Term) -> Vec<u8> {
    format!("device-keys/{}", term.scope.term).into_bytes()
}

pub(super) fn deal_key(term: &Term, number: u64, dealer: u32) -> Vec<u8> {
    let term = term.scope.term;
    match number {
        0 => format!("deal/{term}/{dealer}"),
        _ => format!("deal/{term}/refresh/{number}/{dealer}"),
    }
    .into_bytes()
}

/// Where the seed of this member's own dealings is kept: of refresh `number`, or of the key generation (0).
pub(super) fn seed_key(term: &Term, number: u64) -> Vec<u8> {
    match number {
        0 => dealing_seed_key(term),
        _ => format!("deal/{}/refresh/{number}/own", term.scope.term).into_bytes(),
    }
}

/// Where the node keeps 32 random bytes that this member's dealings in the key generation follow from, beside its DKG seed:
/// written once, before the term's first step, and erased when the shares are refreshed. Without them the dealings follow
/// from the DKG seed alone, and whoever gathers n − f of those, however late, knows the group secret.
pub(super) fn dealing_seed_key(term: &Term) -> Vec<u8> {
    format!("deal/{}/own", term.scope.term).into_bytes()
}

/// The key of that record, while it is still to be written: once the ceremony has begun it must not change any more.
#[must_use]
pub fn missing_dealing_seed(term: &Term, journal: &[Record]) -> Option<Vec<u8>> {
    let number = term.scope.term;
    let begun = [format!("deal/{number}/"), format!("key/{number}/")];
    let any = journal.iter().any(|record| begun.iter().any(|prefix| record.key.starts_with(prefix.as_bytes())));
    (!any).then(|| dealing_seed_key(term))
}

/// The highest number of a refresh that this member ever asked for.
pub(super) fn asked_key(term: &Term) -> Vec<u8> {
    format!("refresh/{}/asked", term.scope.term).into_bytes()
}

/// Where the keys with a public-share root are kept.
pub(super) fn root_prefix(term: &Term) -> Vec<u8> {
    format!("key/{}/root/", term.scope.term).into_bytes()
}

fn root_key(term: &Term, root: B256, tail: &str) -> Vec<u8> {
    format!("key/{}/root/{}/{tail}", term.scope.term, hex(root)).into_bytes()
}

fn hex(root: B256) -> String {
    format!("{root:x}")
}

pub(super) fn root_sharing_key(term: &Term, root: B256) -> Vec<u8> {
    root_key(term, root, "sharing")
}

pub(super) fn root_share_key(term: &Term, root: B256) -> Vec<u8> {
    root_key(term, root, "share")
}

fn sharing_key(term: &Term) -> Vec<u8> {
    format!("key/{}/sharing", term.scope.term).into_bytes()
}

pub(super) fn share_key(term: &Term) -> Vec<u8> {
    format!("key/{}/share", term.scope.term).into_bytes()
}

/// The value of a record.
pub(super) fn get<'a>(journal: &'a [Record], key: &[u8]) -> Option<&'a [u8]> {
    journal.iter().find(|record| record.key == key).map(|record| record.value.as_slice())
}

/// The records of a concluded key.
pub(super) fn save_keys(term: &Term, (sharing, share): &Keys) -> [Effect; 2] {
    [
        Effect::Persist(Record { key: share_key(term), value: share_bytes(share) }),
        Effect::Persist(Record { key: sharing_key(term), value: sharing.encode() }),
    ]
}

/// A share as it is kept: index, then the scalar.
pub(super) fn share_bytes(share: &Share) -> Vec<u8> {
    let secret = share.to_bytes_secret();
    [share.index.to_be_bytes().as_slice(), secret.as_slice()].concat()
}

/// A kept share, if it is this member's share of the sharing.
pub(super) fn read_share(bytes: &[u8], me: u32, sharing: &Sharing) -> Option<Arc<Share>> {
    let (index, secret) = bytes.split_first_chunk::<4>()?;
    let share = Share::from_bytes(u32::from_be_bytes(*index), secret.try_into().ok()?).ok()?;
    let fits = share.index == me && sharing.public_share(me).ok() == Some(&share.public_share());
    fits.then(|| Arc::new(share))
}

/// The sharing of the term's first key; `None` before it is concluded.
pub(super) fn load_sharing(term: &Term, journal: &[Record]) -> Option<Arc<Sharing>> {
    let sharing = Sharing::decode(get(journal, &sharing_key(term))?).ok()?;
    (sharing.n == term.n()).then(|| Arc::new(sharing))
}

/// A concluded key; `None` if there is none, or if share and sharing do not belong to each other and this member.
pub(super) fn load_keys(term: &Term, me: u32, journal: &[Record]) -> Option<Keys> {
    let sharing = load_sharing(term, journal)?;
    let share = read_share(get(journal, &share_key(term))?, me, &sharing)?;
    Some((sharing, share))
}
