//! The tree over leaves, written from docs/protocol.md §6: hashed twice with the type's hash, pairs sorted, an odd last node
//! moves up. Leaves out: what the leaves mean.

use alloy::primitives::{B256, keccak256};
use alloy::sol_types::SolValue as _;

use crate::world::Leaf;

const TYPE: &str = "Leaf(address escrow,uint64 lease,uint128 units,uint64 goodSeconds,uint64 badSeconds,uint64 creditSeconds,uint128 adjustment,uint64 through,bytes32 evidenceRoot,bytes32 policyHash)";

fn hash(leaf: &Leaf) -> B256 {
    keccak256(keccak256([keccak256(TYPE).as_slice(), &leaf.abi_encode()].concat()))
}

fn join(a: B256, b: B256) -> B256 {
    keccak256([a.min(b), a.max(b)].concat())
}

/// The root, and each leaf's path.
pub(crate) fn tree(leaves: &[Leaf]) -> (B256, Vec<Vec<B256>>) {
    let mut paths = vec![Vec::new(); leaves.len()];
    // Each node with the leaves below it.
    let mut level: Vec<(B256, Vec<usize>)> = leaves.iter().enumerate().map(|(i, leaf)| (hash(leaf), vec![i])).collect();
    while level.len() > 1 {
        let mut next = Vec::new();
        for pair in level.chunks(2) {
            let [(left, under_left), (right, under_right)] = pair else {
                next.extend(pair.to_vec());
                continue;
            };
            under_left.iter().for_each(|leaf| paths[*leaf].push(*right));
            under_right.iter().for_each(|leaf| paths[*leaf].push(*left));
            next.push((join(*left, *right), [under_left.as_slice(), under_right].concat()));
        }
        level = next;
    }
    (level.first().map(|(root, _)| *root).unwrap_or_default(), paths)
}
