//! What "acknowledged" means to a device: receipts of f+1 members for a message, each checked against the member's receipt
//! key on chain (docs/protocol.md §§8, 11). Own code, beside the node's. Leaves out: sending again what lacks receipts;
//! the link does that for what the broker has not taken, and members pass evidence on to each other.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use attest::PublicKey;
use minicbor::Decoder;
use sha2::{Digest as _, Sha256};

/// Longest payload taken, bytes.
const BYTES_MAX: usize = 16 * 1024;
/// Longest path taken: a batch of 2^20 messages.
const STEPS_MAX: u64 = 20;
/// Messages remembered; the oldest id goes first.
const REMEMBERED: usize = 16_384;

/// Receipts of one member's batch, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Who signed.
    pub member: u32,
    /// Its batch.
    pub batch: u64,
    /// Evidence ids that it holds.
    pub ids: Vec<[u8; 32]>,
}

/// Checks every receipt in a payload.
///
/// # Errors
/// When it is malformed, of no member, or anything in it does not follow from the member's signature.
pub fn check(payload: &[u8], keys: &[[u8; 32]]) -> Result<Checked> {
    ensure!(payload.len() <= BYTES_MAX, "{} bytes are too many", payload.len());
    let mut d = Decoder::new(payload);
    ensure!(d.array()? == Some(6), "receipts have six parts");
    let (member, batch) = (d.u32()?, d.u64()?);
    let previous: [u8; 32] = word(&mut d)?;
    let count = d.u32()?;
    let signature: [u8; 64] = d.bytes()?.try_into().context("a signature has 64 bytes")?;
    let key = keys.get(usize::try_from(member)?).with_context(|| format!("there is no member {member}"))?;
    let items = d.array()?.context("a list of unknown length")?;
    ensure!(items > 0, "receipts for nothing");
    let (mut ids, mut roots) = (Vec::new(), BTreeSet::new());
    for _ in 0..items {
        let (id, root) = item(&mut d)?;
        ids.push(id);
        roots.insert(root);
    }
    ensure!(d.position() == payload.len(), "bytes behind the receipts");
    let tree = roots.pop_first().filter(|_| roots.is_empty()).context("the paths lead to different roots")?;
    let chained: [u8; 32] = Sha256::new()
        .chain_update(b"plumbline/receipt/v1")
        .chain_update(previous)
        .chain_update(batch.to_be_bytes())
        .chain_update(tree)
        .chain_update(count.to_be_bytes())
        .finalize()
        .into();
    let signed = attest::verify_statement(&PublicKey::Ed25519(*key), &chained, &signature);
    ensure!(signed, "member {member} did not sign batch {batch}");
    Ok(Checked { member, batch, ids })
}

/// One receipt: its evidence id and the tree root that its path leads to.
fn item(d: &mut Decoder<'_>) -> Result<([u8; 32], [u8; 32])> {
    ensure!(d.array()? == Some(4), "a receipt has four parts");
    let id = word(d)?;
    let (arrival_ms, verdict) = (d.u64()?, d.u8()?);
    let leaf = Sha256::new().chain_update([0]).chain_update(id).chain_update(arrival_ms.to_be_bytes());
    let mut hash: [u8; 32] = leaf.chain_update([verdict]).finalize().into();
    let steps = d.array()?.context("a path of unknown length")?;
    ensure!(steps <= STEPS_MAX, "a path of {steps} steps");
    for _ in 0..steps {
        ensure!(d.array()? == Some(2), "a step has two parts");
        let (sibling, on_the_left) = (word(d)?, d.bool()?);
        let (left, right) = if on_the_left { (sibling, hash) } else { (hash, sibling) };
        hash = Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into();
    }
    Ok((id, hash))
}

fn word(d: &mut Decoder<'_>) -> Result<[u8; 32]> {
    d.bytes()?.try_into().context("a hash has 32 bytes")
}

/// Which messages are acknowledged, and which still lack receipts.
#[derive(Clone, Debug)]
pub struct Shelf {
    needed: usize,
    by_id: BTreeMap<[u8; 32], BTreeSet<u32>>,
    order: std::collections::VecDeque<[u8; 32]>,
    /// Taken by a broker, not acknowledged by enough members.
    waiting: BTreeSet<[u8; 32]>,
}

impl Shelf {
    /// `needed`: members whose receipts make a message acknowledged, f+1.
    #[must_use]
    pub const fn new(needed: usize) -> Self {
        Self { needed, by_id: BTreeMap::new(), order: std::collections::VecDeque::new(), waiting: BTreeSet::new() }
    }

    /// A broker took a message.
    pub fn taken(&mut self, id: [u8; 32]) {
        if self.by_id.get(&id).is_none_or(|members| members.len() < self.needed) {
            self.waiting.insert(id);
        }
    }

    /// A member gave a receipt; the members that did, when this makes the message acknowledged.
    pub fn receipted(&mut self, id: [u8; 32], member: u32) -> Option<Vec<u32>> {
        if !self.by_id.contains_key(&id) {
            self.order.push_back(id);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_id.remove(&oldest);
                self.waiting.remove(&oldest);
            }
        }
        let members = self.by_id.entry(id).or_default();
        if !members.insert(member) || members.len() != self.needed {
            return None;
        }
        self.waiting.remove(&id);
        Some(members.iter().copied().collect())
    }

    /// Messages that a broker took and too few members acknowledged so far.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use attest::{Signer as _, SoftEd25519, ToBeSigned};

    use super::*;

    fn sha(parts: &[&[u8]]) -> [u8; 32] {
        Sha256::digest(parts.concat()).into()
    }

    fn leaf(id: [u8; 32]) -> [u8; 32] {
        sha(&[&[0], &id, &77u64.to_be_bytes(), &[1]])
    }

    /// Member 1's batch 5 of three messages, of which the first and the last are the device's.
    fn payload(key: &SoftEd25519, first: [u8; 32]) -> Vec<u8> {
        let leaves = [leaf(first), leaf([2; 32]), leaf([3; 32])];
        let [a, b, c] = &leaves;
        let pair = sha(&[&[1], a, b]);
        let tree = sha(&[&[1], &pair, c]);
        let chained = sha(&[b"plumbline/receipt/v1", &[8; 32], &5u64.to_be_bytes(), &tree, &3u32.to_be_bytes()]);
        let signature = key.sign(ToBeSigned::new(&chained)).unwrap();
        let mut e = minicbor::Encoder::new(Vec::new());
        e.array(6).unwrap().u32(1).unwrap().u64(5).unwrap().bytes(&[8; 32]).unwrap().u32(3).unwrap();
        e.bytes(&signature).unwrap().array(2).unwrap();
        for (id, path) in [([1; 32], vec![(*b, false), (*c, false)]), ([3; 32], vec![(pair, true)])] {
            e.array(4).unwrap().bytes(&id).unwrap().u64(77).unwrap().u8(1).unwrap().array(path.len() as u64).unwrap();
            for (sibling, left) in path {
                e.array(2).unwrap().bytes(&sibling).unwrap().bool(left).unwrap();
            }
        }
        e.into_writer()
    }

    #[test]
    fn receipts_hold_only_as_signed() {
        let key = SoftEd25519::from_seed([4; 32]);
        let PublicKey::Ed25519(public) = key.public_key() else { panic!("an Ed25519 key") };
        let good = payload(&key, [1; 32]);
        let checked = check(&good, &[[0; 32], public]).unwrap();
        assert_eq!(checked, Checked { member: 1, batch: 5, ids: vec![[1; 32], [3; 32]] });
        assert!(check(&good, &[public]).is_err(), "no such member");
        assert!(check(&good, &[public, [9; 32]]).is_err(), "another's key");
        // The batch holds another message than the receipt says.
        assert!(check(&payload(&key, [9; 32]), &[[0; 32], public]).is_err());
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1;
            assert!(check(&bad, &[[0; 32], public]).is_err(), "byte {index}");
        }
        assert!(check(&[good, vec![0]].concat(), &[[0; 32], public]).is_err());
        assert!(check(b"", &[]).is_err());
    }

    #[test]
    fn a_message_is_acknowledged_by_enough_different_members_and_once() {
        let mut shelf = Shelf::new(2);
        shelf.taken([1; 32]);
        assert_eq!((shelf.receipted([1; 32], 3), shelf.receipted([1; 32], 3), shelf.waiting()), (None, None, 1));
        assert_eq!((shelf.receipted([1; 32], 0), shelf.waiting()), (Some(vec![0, 3]), 0));
        assert_eq!(shelf.receipted([1; 32], 1), None);
        // A replay is taken again and needs no new receipts.
        shelf.taken([1; 32]);
        assert_eq!(shelf.waiting(), 0);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut shelf = Shelf::new(1);
        for number in 0..REMEMBERED as u64 + 10 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            shelf.receipted(id, 0);
        }
        assert_eq!((shelf.by_id.len(), shelf.order.len()), (REMEMBERED, REMEMBERED));
    }
}
