//! Proof of possession: one leaf of a registered Merkle tree with its path. Which leaf a draw asks for, and the tree's
//! root, are the appraisal's; the message holds what it needs to check both.

use crate::field::tuple;

/// The most bytes of leaf and path together: what fits beside the widest numbers in one message.
pub const MAX_LEAF_AND_PATH: usize = 768;

tuple! {
    /// The opened leaf of one sample of a storage challenge.
    pub struct PossessionBody<'a> {
        /// The challenged lease.
        pub lease: u64,
        /// The slot of the draw.
        pub slot: u64,
        /// Which of the challenge's samples this opens, from 0.
        pub sample: u32,
        /// The leaf's index.
        pub index: u64,
        /// The leaf's data, at least one byte.
        pub leaf: &'a [u8],
        /// The sibling hashes from the leaf upwards, 32 bytes each; up to the root or to a registered layer below it.
        pub path: &'a [u8],
    }
    check |body| {
        !body.leaf.is_empty()
            && body.path.len().is_multiple_of(32)
            && body.leaf.len().saturating_add(body.path.len()) <= MAX_LEAF_AND_PATH
    }
}
