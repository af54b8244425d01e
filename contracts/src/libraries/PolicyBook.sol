// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

/// @title The policy book of a term (docs/protocol.md §6)
/// @notice A term's `policyHash` is the root of a Merkle tree over its policy documents, ascending by hash, pairs joined in
/// ascending order, an odd last node moving up unchanged. A book of one document has that document's leaf as its root.
library PolicyBook {
    /// @notice Leaf of a document, hashed twice, so that no inner node can pass for one.
    /// @param document Keccak-256 of the document's bytes.
    /// @param classes Bit c is set iff a lease of class c may be opened under the document; zero for documents that no
    /// lease names, such as rules of conduct or rules on trial.
    function leaf(bytes32 document, uint256 classes) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(abi.encode(document, classes))));
    }

    /// @notice True iff the document stands in the book with these classes. No book (root zero) holds none.
    function holds(bytes32 book, bytes32 document, uint256 classes, bytes32[] calldata proof)
        internal
        pure
        returns (bool)
    {
        return book != bytes32(0) && MerkleProof.processProofCalldata(proof, leaf(document, classes)) == book;
    }
}
