// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Leaf} from "../Types.sol";

/// @title Leaves of a report and their proofs (docs/protocol.md §6)
/// @notice What a contract of your own needs to check a lease's counters against a root of `IReportHub`.
library ReportClaims {
    bytes32 internal constant LEAF_TYPEHASH = keccak256(
        "Leaf(address escrow,uint64 lease,uint128 units,uint64 goodSeconds,uint64 badSeconds,uint64 creditSeconds,uint128 adjustment,"
        "uint64 through,bytes32 evidenceRoot,bytes32 policyHash)"
    );

    /// @notice Typed and hashed twice, so that no inner node can pass for a leaf.
    /// @dev Words are copied as they came: one with stray high bits hashes to nothing that a committee signs.
    function hash(Leaf calldata leaf) internal pure returns (bytes32 digest) {
        bytes32 typeHash = LEAF_TYPEHASH;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 32), leaf, 320)
            mstore(0x00, keccak256(free, 352))
            digest := keccak256(0x00, 32)
        }
    }

    /// @notice True iff `leaf` is under `root`. The empty tree (root zero) holds no leaf.
    function verify(Leaf calldata leaf, bytes32[] calldata proof, bytes32 root) internal pure returns (bool) {
        return root != bytes32(0) && MerkleProof.processProofCalldata(proof, hash(leaf)) == root;
    }

    /// @notice Proven units net of corrections; never below zero.
    function netUnits(Leaf calldata leaf) internal pure returns (uint128) {
        return leaf.units > leaf.adjustment ? leaf.units - leaf.adjustment : 0;
    }
}
