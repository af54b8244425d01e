//! The two kinds of Merkle tree: Keccak with sorted pairs (checked by OpenZeppelin's `MerkleProof` on chain) and
//! SHA-256 with tags (off chain). docs/protocol.md §6. Leaves out: what the leaves mean, except the two of the chain.

use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolValue;
use sha2::{Digest, Sha256};

use crate::typed::Leaf;

/// The text whose Keccak-256 opens every on-chain leaf.
pub const LEAF_TYPE: &str = "Leaf(address escrow,uint64 lease,uint128 units,uint64 goodSeconds,uint64 badSeconds,uint64 creditSeconds,uint128 adjustment,uint64 through,bytes32 evidenceRoot,bytes32 policyHash)";

/// Hash of an on-chain leaf: doubly hashed, so that no inner node can pass for a leaf.
#[must_use]
pub fn leaf_hash(leaf: &Leaf) -> B256 {
    let encoded = (
        keccak256(LEAF_TYPE),
        leaf.escrow,
        leaf.lease,
        leaf.units,
        leaf.goodSeconds,
        leaf.badSeconds,
        leaf.creditSeconds,
        leaf.adjustment,
        leaf.through,
        leaf.evidenceRoot,
        leaf.policyHash,
    )
        .abi_encode();
    keccak256(keccak256(encoded))
}

/// Root over leaves in the given order (a report's are ascending by lease); zero for none.
#[must_use]
pub fn leaves_root(leaves: &[Leaf]) -> B256 {
    let hashes: Vec<B256> = leaves.iter().map(leaf_hash).collect();
    keccak_root(&hashes)
}

/// Proof that `leaves[index]` is under [`leaves_root`]; `None` when there is no such leaf.
#[must_use]
pub fn leaf_proof(leaves: &[Leaf], index: usize) -> Option<Vec<B256>> {
    let hashes: Vec<B256> = leaves.iter().map(leaf_hash).collect();
    keccak_proof(&hashes, index)
}

/// Root of the committee's public shares: leaf i = KEC(KEC(abi.encode(uint32 i, bytes key256))).
#[must_use]
pub fn share_root(sharing: &aggregator::Sharing) -> B256 {
    let leaves: Vec<B256> = (0u32..)
        .zip(&sharing.public_shares)
        .map(|(index, key)| {
            // Parameters, not one tuple value: `abi.encode(a, b)` in Solidity has no outer offset.
            let encoded = (index, alloy_primitives::Bytes::copy_from_slice(&key.to_eip2537())).abi_encode_params();
            keccak256(keccak256(encoded))
        })
        .collect();
    keccak_root(&leaves)
}

/// Root of the on-chain kind of tree; zero for none.
#[must_use]
pub fn keccak_root(leaves: &[B256]) -> B256 {
    root(leaves, keccak_pair)
}

/// Siblings from leaf to root; an odd last node has none on its level. `None` when there is no such leaf.
#[must_use]
pub fn keccak_proof(leaves: &[B256], index: usize) -> Option<Vec<B256>> {
    let siblings = siblings(leaves, index, keccak_pair)?;
    Some(siblings.into_iter().flatten().collect())
}

/// Whether `proof` leads from `leaf` to `root`, as OpenZeppelin's `MerkleProof.verify` decides it.
#[must_use]
pub fn keccak_verify(root: &B256, leaf: &B256, proof: &[B256]) -> bool {
    proof.iter().fold(*leaf, |node, sibling| keccak_pair(&node, sibling)) == *root
}

fn keccak_pair(a: &B256, b: &B256) -> B256 {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    keccak256([low.as_slice(), high.as_slice()].concat())
}

/// Hash of an off-chain leaf: SHA(0x00 ‖ data).
#[must_use]
pub fn sha_leaf(data: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix([0]).chain_update(data).finalize().into()
}

/// Root of the off-chain kind of tree over hashed leaves ([`sha_leaf`]); zeros for none.
#[must_use]
pub fn sha_root(leaves: &[[u8; 32]]) -> [u8; 32] {
    root(leaves, sha_pair)
}

/// One step of an off-chain proof: the sibling and whether it stands on the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShaStep {
    /// Hash of the sibling.
    pub sibling: [u8; 32],
    /// Whether the sibling is the left one of the pair.
    pub left: bool,
}

/// Steps from leaf to root; an odd last node has none on its level. `None` when there is no such leaf.
#[must_use]
pub fn sha_proof(leaves: &[[u8; 32]], index: usize) -> Option<Vec<ShaStep>> {
    let siblings = siblings(leaves, index, sha_pair)?;
    let steps = siblings.into_iter().enumerate().filter_map(|(level, sibling)| {
        let place = u32::try_from(level).ok().and_then(|level| index.checked_shr(level)).unwrap_or(0);
        Some(ShaStep { sibling: sibling?, left: place % 2 == 1 })
    });
    Some(steps.collect())
}

/// Whether `proof` leads from the hashed leaf to `root`.
#[must_use]
pub fn sha_verify(root: &[u8; 32], leaf: &[u8; 32], proof: &[ShaStep]) -> bool {
    let reached = proof.iter().fold(*leaf, |node, step| {
        if step.left { sha_pair(&step.sibling, &node) } else { sha_pair(&node, &step.sibling) }
    });
    reached == *root
}

fn sha_pair(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The next level up: pairs are joined, an odd last node moves up unchanged.
fn level_up<H: Copy>(nodes: &[H], join: fn(&H, &H) -> H) -> Vec<H> {
    let pairs = nodes.chunks(2).filter_map(|pair| match pair {
        [left, right] => Some(join(left, right)),
        [alone] => Some(*alone),
        _ => None,
    });
    pairs.collect()
}

fn root<H: Copy + Default>(leaves: &[H], join: fn(&H, &H) -> H) -> H {
    let mut nodes = leaves.to_vec();
    while nodes.len() > 1 {
        nodes = level_up(&nodes, join);
    }
    nodes.first().copied().unwrap_or_default()
}

/// The sibling on every level, `None` where the node moves up alone.
fn siblings<H: Copy>(leaves: &[H], index: usize, join: fn(&H, &H) -> H) -> Option<Vec<Option<H>>> {
    leaves.get(index)?;
    let (mut nodes, mut place, mut path) = (leaves.to_vec(), index, Vec::new());
    while nodes.len() > 1 {
        path.push(nodes.get(place ^ 1).copied());
        nodes = level_up(&nodes, join);
        place /= 2;
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: u8) -> Vec<[u8; 32]> {
        (0..count).map(|i| sha_leaf(&[i])).collect()
    }

    #[test]
    fn every_proof_of_every_size_verifies_and_no_other_leaf_does() {
        for count in 1..=17 {
            let sha = numbered(count);
            let kec: Vec<B256> = sha.iter().map(|h| B256::from(*h)).collect();
            let (sha_top, kec_top) = (sha_root(&sha), keccak_root(&kec));
            for index in 0..usize::from(count) {
                let steps = sha_proof(&sha, index).unwrap();
                let path = keccak_proof(&kec, index).unwrap();
                for (other, (s, k)) in sha.iter().zip(&kec).enumerate() {
                    assert_eq!(sha_verify(&sha_top, s, &steps), other == index, "sha {count} {index} {other}");
                    assert_eq!(keccak_verify(&kec_top, k, &path), other == index, "kec {count} {index} {other}");
                }
            }
            assert_eq!(sha_proof(&sha, usize::from(count)), None);
            assert_eq!(keccak_proof(&kec, usize::from(count)), None);
        }
    }

    #[test]
    fn empty_trees_are_zero_and_one_leaf_is_its_own_root() {
        assert_eq!(keccak_root(&[]), B256::ZERO);
        assert_eq!(sha_root(&[]), [0; 32]);
        assert_eq!(sha_root(&[[7; 32]]), [7; 32]);
    }

    #[test]
    fn off_chain_order_matters_and_tags_separate_leaves_from_nodes() {
        let [a, b] = [sha_leaf(b"a"), sha_leaf(b"b")];
        assert_ne!(sha_root(&[a, b]), sha_root(&[b, a]));
        assert_ne!(sha_root(&[a, b]), sha_leaf(&[a, b].concat()));
        assert_eq!(keccak_root(&[B256::from(a), B256::from(b)]), keccak_root(&[B256::from(b), B256::from(a)]));
    }

    #[test]
    fn leaf_type_is_the_eip712_type_of_the_struct() {
        use alloy_sol_types::SolStruct;
        assert_eq!(LEAF_TYPE, Leaf::eip712_encode_type());
    }
}
