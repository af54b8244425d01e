// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Header, MemberStatement, Rotation} from "../Types.sol";

/// @title EIP-712 struct hashes of docs/protocol.md §6
/// @notice The domain is CommitteeRegistry's; turn a struct hash into a digest with `ICommitteeRegistry.hashTyped`.
library Typed {
    bytes32 internal constant HEADER = keccak256(
        "Header(uint64 committee,uint64 term,bytes32 configDigest,uint32 stream,uint64 epoch,uint64 periodStart,"
        "uint64 periodEnd,uint64 snapshotBlock,bytes32 snapshotHash,uint32 leafCount,bytes32 leavesRoot,"
        "bytes32 stateRoot,bytes32 observationsHash,bytes32 policyHash,bytes32 previousHeader,uint256 participation)"
    );
    bytes32 internal constant KEY_CONFIRMATION = keccak256(
        "KeyConfirmation(uint64 committee,uint64 term,bytes32 configDigest,bytes32 groupKeyHash,bytes32 shareRoot)"
    );
    bytes32 internal constant KEY_ACTIVATION =
        keccak256("KeyActivation(uint64 committee,uint64 term,bytes32 configDigest,uint64 batch,bytes32 listHash)");
    bytes32 internal constant ROTATION = keccak256(
        "Rotation(uint64 committee,uint64 term,bytes32 configDigest,uint64 newTerm,bytes32 newConfigDigest,"
        "bytes32 newGroupKeyHash,uint64 fromEpoch,bytes32 baseHeader)"
    );
    bytes32 internal constant ACTIVATION = keccak256(
        "Activation(uint64 committee,uint64 term,bytes32 configDigest,bytes32 groupKeyHash,bytes32 shareRoot)"
    );
    bytes32 internal constant MEMBER_STATEMENT =
        keccak256("MemberStatement(bytes32 instance,uint8 phase,uint32 view,bytes32 value)");

    /// @notice Struct hash of a report header.
    /// @dev Words are copied as they came: one with stray high bits hashes to nothing that a committee signs.
    function hash(Header calldata header) internal pure returns (bytes32 digest) {
        bytes32 typeHash = HEADER;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 32), header, 512)
            digest := keccak256(free, 544)
        }
    }

    /// @notice Struct hash of a rotation.
    function hash(Rotation calldata rotation) internal pure returns (bytes32) {
        return keccak256(abi.encode(ROTATION, rotation));
    }

    /// @notice Struct hash of a member's statement.
    /// @dev Words are copied as they came: one with stray high bits hashes to nothing that a member signs.
    function hash(MemberStatement calldata statement) internal pure returns (bytes32 digest) {
        bytes32 typeHash = MEMBER_STATEMENT;
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            calldatacopy(add(free, 32), statement, 128)
            digest := keccak256(free, 160)
        }
    }

    /// @notice Struct hash of the confirmation of a group key; its certificate is the proof of possession.
    function keyConfirmation(uint64 committee, uint64 term, bytes32 configDigest, bytes32 keyHash, bytes32 shareRoot)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(KEY_CONFIRMATION, committee, term, configDigest, keyHash, shareRoot));
    }

    /// @notice Struct hash of a member's consent to a group key.
    function activation(uint64 committee, uint64 term, bytes32 configDigest, bytes32 keyHash, bytes32 shareRoot)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(ACTIVATION, committee, term, configDigest, keyHash, shareRoot));
    }

    /// @notice Leaf of a rotation's base: one stream and the header from which the new term's reports descend. Hashed
    /// twice, like a report's leaves.
    function baseLeaf(uint32 stream, bytes32 header) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(abi.encode(stream, header))));
    }

    /// @notice Struct hash of a batch of certified device keys.
    function keyActivation(uint64 committee, uint64 term, bytes32 configDigest, uint64 batch, bytes32 listHash)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(KEY_ACTIVATION, committee, term, configDigest, batch, listHash));
    }
}
