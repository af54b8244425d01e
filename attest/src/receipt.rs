//! Receipts as nodes publish them (docs/protocol.md §§8, 11): read in place, without allocation, and checked against a
//! member's receipt key. Counting members is [`Queue::receipt`](crate::Queue::receipt); a device that cannot verify
//! Ed25519 has no use for receipts and keeps what it can.

use crate::{
    DecodeError, EvidenceId,
    cbor::Reader,
    hash::{Hash, sha256},
};

/// The longest payload of receipts, in bytes.
pub const MAX_RECEIPTS: usize = 16 * 1024;
/// The most siblings of a receipt's path: batches of up to 2^20 messages.
pub const MAX_PATH: u64 = 20;

const TAG: &[u8] = b"plumbline/receipt/v1";

/// What one member says it holds of one device: messages of one durable batch, under one signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipts<'a> {
    /// The member's index.
    pub member: u32,
    /// Its batch.
    pub batch: u64,
    /// The root before this batch.
    pub previous: [u8; 32],
    /// Messages in the batch, of all devices.
    pub count: u32,
    /// The member's signature over [`Receipts::root`].
    pub signature: [u8; 64],
    /// The Merkle root that every path leads to.
    pub tree: [u8; 32],
    items: &'a [u8],
    len: u64,
}

/// How a device checks a member's signature: `ReceiptKeys` of the feature `verify` does it in software.
pub trait CheckReceipt {
    /// Whether `signature` is that of `member`'s receipt key over `root`.
    fn holds(&self, member: u32, root: &[u8; 32], signature: &[u8; 64]) -> bool;
}

/// The members' Ed25519 receipt keys, by index, as the registry lists them.
#[cfg(feature = "verify")]
#[derive(Clone, Copy, Debug)]
pub struct ReceiptKeys<'k>(pub &'k [[u8; 32]]);

#[cfg(feature = "verify")]
impl CheckReceipt for ReceiptKeys<'_> {
    fn holds(&self, member: u32, root: &[u8; 32], signature: &[u8; 64]) -> bool {
        let key = usize::try_from(member).ok().and_then(|member| self.0.get(member));
        key.is_some_and(|key| crate::verify_statement(&crate::PublicKey::Ed25519(*key), root, signature))
    }
}

impl<'a> Receipts<'a> {
    /// Reads a payload: the canonical array of docs/protocol.md §11 with at least one receipt, all of one tree. It is not
    /// yet known who wrote it.
    ///
    /// # Errors
    /// Any deviation, by kind; [`DecodeError::Bounds`] for receipts whose paths lead to different roots.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        if payload.len() > MAX_RECEIPTS {
            return Err(DecodeError::TooLong);
        }
        let mut r = Reader::new(payload);
        r.tuple(6)?;
        let member = u32::try_from(r.uint()?).map_err(|_| DecodeError::Bounds)?;
        let (batch, previous) = (r.uint()?, r.array_of()?);
        let count = u32::try_from(r.uint()?).map_err(|_| DecodeError::Bounds)?;
        let signature = r.array_of()?;
        let len = r.array()?;
        let start = r.position();
        let mut tree = None;
        for _ in 0..len {
            let (_, root) = item(&mut r)?;
            if *tree.get_or_insert(root) != root {
                return Err(DecodeError::Bounds);
            }
        }
        let items = r.since(start).ok_or(DecodeError::Truncated)?;
        r.end()?;
        let tree = tree.ok_or(DecodeError::Bounds)?;
        Ok(Self { member, batch, previous, count, signature, tree, items, len })
    }

    /// What the member signs: its chain of roots after this batch.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        sha256(&[TAG, &self.previous, &self.batch.to_be_bytes(), &self.tree, &self.count.to_be_bytes()])
    }

    /// Whether the member signed it. Only then do the ids count.
    #[must_use]
    pub fn holds<C: CheckReceipt>(&self, check: &C) -> bool {
        check.holds(self.member, &self.root(), &self.signature)
    }

    /// The messages it is about, by id, in the order of the payload.
    pub fn ids(&self) -> impl Iterator<Item = EvidenceId> + 'a {
        let mut r = Reader::new(self.items);
        // `decode` has read these very bytes, so none of them is an error.
        (0..self.len).map_while(move |_| item(&mut r).ok()).map(|(id, _)| id)
    }
}

/// One receipt: `[id, arrival ms, verdict, [[sibling, on the left], …]]`, and the root that its path leads to.
fn item(r: &mut Reader<'_>) -> Result<(EvidenceId, [u8; 32]), DecodeError> {
    r.tuple(4)?;
    let (id, arrival_ms) = (r.array_of()?, r.uint()?);
    let verdict = u8::try_from(r.uint()?).map_err(|_| DecodeError::Bounds)?;
    let mut root = sha256(&[&[0], &id, &arrival_ms.to_be_bytes(), &[verdict]]);
    let steps = r.array()?;
    if steps > MAX_PATH {
        return Err(DecodeError::Bounds);
    }
    for _ in 0..steps {
        r.tuple(2)?;
        let sibling: [u8; 32] = r.array_of()?;
        let (left, right) = if r.bool()? { (&sibling, &root) } else { (&root, &sibling) };
        let mut parent = Hash::new();
        parent.update(&[1]);
        parent.update(left);
        parent.update(right);
        root = parent.finish();
    }
    Ok((id, root))
}
