// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @notice The structures that are signed or proven, as docs/protocol.md §6 has them. Hashing: `libraries/Typed.sol`.

/// @notice Report header, signed by the committee (BLS) once per stream and epoch. Times are unix seconds.
struct Header {
    uint64 committee;
    uint64 term;
    bytes32 configDigest;
    uint32 stream;
    uint64 epoch;
    uint64 periodStart;
    uint64 periodEnd;
    uint64 snapshotBlock;
    bytes32 snapshotHash;
    uint32 leafCount;
    bytes32 leavesRoot;
    bytes32 stateRoot;
    bytes32 observationsHash;
    bytes32 policyHash;
    bytes32 previousHeader;
    uint256 participation;
}

/// @notice One lease's counters, all cumulative since the lease opened. `adjustment` is subtracted from `units`.
/// @param escrow The contract that numbers its leases so; two that share a hub never share a proof.
struct Leaf {
    address escrow;
    uint64 lease;
    uint128 units;
    uint64 goodSeconds;
    uint64 badSeconds;
    uint64 creditSeconds;
    uint128 adjustment;
    uint64 through;
    bytes32 evidenceRoot;
    bytes32 policyHash;
}

/// @notice The old key's consent to a new term.
/// @param baseHeader Root over one header per stream, from which the new term's reports descend (docs/adr/0007).
struct Rotation {
    uint64 committee;
    uint64 term;
    bytes32 configDigest;
    uint64 newTerm;
    bytes32 newConfigDigest;
    bytes32 newGroupKeyHash;
    uint64 fromEpoch;
    bytes32 baseHeader;
}

/// @notice What a member signs with its secp256k1 key on the way to a decision. Two that differ only in `value` are a
/// fault proof. The third field is `view` in the signed type; Solidity reserves the word.
struct MemberStatement {
    bytes32 instance;
    uint8 phase;
    uint32 view_;
    bytes32 value;
}

/// @notice A group key and everything that makes a term accept it.
/// @param groupKey BLS: 256 bytes, EIP-2537 G2: x.c0, x.c1, y.c0, y.c1 of 64 bytes each. Another scheme: the address of
/// its `ICertificateVerifier` (20 bytes), then the key as that verifier takes it, together not 256 bytes.
/// @param shareRoot Merkle root of the members' public shares.
/// @param confirmation KeyConfirmation certificate under `groupKey`; 96 bytes for BLS.
/// @param signatures 65-byte secp256k1 signatures of members over Activation, at least n - f.
/// @param indices Member index of each signature, from 0, all different.
struct NewKey {
    bytes groupKey;
    bytes32 shareRoot;
    bytes confirmation;
    bytes[] signatures;
    uint32[] indices;
}
