// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @notice Everything that a term's config digest binds, in the order of docs/protocol.md §6.
struct Config {
    uint256 chainId;
    address registry;
    uint64 committee;
    uint64 term;
    address[] members;
    bytes32[] peerKeys;
    bytes32[] dkgKeys;
    bytes32 policyHash;
    uint64 epochSeconds;
    uint64 slotMs;
    uint64 genesisDelay;
}

/// @title The config digest
library TermConfig {
    /// @notice keccak256 of the fields encoded one by one.
    function digest(Config memory config) internal pure returns (bytes32 hash) {
        bytes memory encoded = abi.encode(config);
        assembly ("memory-safe") {
            // Without the offset word that the encoding of a dynamic struct begins with.
            hash := keccak256(add(encoded, 64), sub(mload(encoded), 32))
        }
    }
}
