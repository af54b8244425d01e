// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @title Rentable use of an ERC-721 token (ERC-4907, interface id 0xad092b5c)
interface IERC4907 {
    /// @notice The user of a token or its expiry changed.
    event UpdateUser(uint256 indexed tokenId, address indexed user, uint64 expires);

    /// @notice Sets the user until `expires` (unix seconds).
    function setUser(uint256 tokenId, address user, uint64 expires) external;

    /// @notice The user now, zero when none or expired.
    function userOf(uint256 tokenId) external view returns (address);

    /// @notice When the user set last expires.
    function userExpires(uint256 tokenId) external view returns (uint256);
}

/// @title Devices as tokens, with their attestation keys
/// @notice Token id = device number, from 1. Algorithms: 1 Ed25519 (32-byte key), 2 P-256 (64 bytes, x then y).
interface IDeviceRegistry is IERC4907 {
    /// @notice What the registry knows of a device. The key itself is in the events.
    struct Device {
        bytes32 thumbprint;
        bytes32 locationCommitment;
        uint8 alg;
        uint8 class;
        bool active;
        uint64 lockedUntil;
    }

    /// @notice A device was registered; `owner` is the account that the proof names (the caller).
    event DeviceRegistered(
        uint256 indexed tokenId,
        address indexed owner,
        uint8 alg,
        bytes publicKey,
        bytes proof,
        bytes32 locationCommitment,
        uint8 class
    );
    /// @notice The key counts from now on: proven on chain (P-256) or certified by a committee (Ed25519).
    event DeviceKeyActivated(uint256 indexed tokenId, bytes32 thumbprint);
    /// @notice A certified key was passed over: unknown token, other key, key taken or revoked, or active already.
    event DeviceKeySkipped(uint256 indexed tokenId, bytes32 thumbprint);
    /// @notice The device has a new key; the old one no longer counts. `owner` is the account the proof names.
    event DeviceKeyRotated(uint256 indexed tokenId, address indexed owner, uint8 alg, bytes publicKey, bytes proof);
    /// @notice The key no longer counts and never will again.
    event DeviceKeyRevoked(uint256 indexed tokenId, bytes32 thumbprint);
    event EscrowSet(address escrow);

    error BadKey();
    error BadProof();
    error BadClass();
    error KeyTaken(bytes32 thumbprint);
    error KeyRevoked(bytes32 thumbprint);
    error NotAllowed(address caller);
    error UseLocked(uint64 until);
    error StaleBatch(uint64 batch, uint64 next);
    error BadBatch();
    error AlreadySet();

    /// @notice Registers a device for `to`. `proof` (64 bytes) is the key's signature over the statement of
    /// docs/protocol.md §3 that names msg.sender as owner. A P-256 proof is checked here and the key is active at once.
    function register(
        address to,
        uint8 alg,
        bytes calldata publicKey,
        bytes calldata proof,
        bytes32 locationCommitment,
        uint8 class
    ) external returns (uint256 tokenId);

    /// @notice Activates Ed25519 keys by a KeyActivation certificate. Batches only go up within a term. `tokenIds`
    /// ascend; entries that no longer match are skipped, not refused.
    function activateKeys(
        uint64 committee,
        uint64 term,
        uint64 batch,
        uint256[] calldata tokenIds,
        bytes32[] calldata thumbprints,
        bytes calldata certificate
    ) external;

    /// @notice Gives the device another key, proven like at registration. Owner only.
    function rotateKey(uint256 tokenId, uint8 alg, bytes calldata publicKey, bytes calldata proof) external;

    /// @notice Takes the device's key out of force for good. Owner only.
    function revoke(uint256 tokenId) external;

    /// @notice RFC 9679 thumbprint of a key.
    function thumbprint(uint8 alg, bytes calldata publicKey) external pure returns (bytes32);

    /// @notice The statement that a device key signs to be registered by `owner`.
    function statement(address owner, uint8 alg, bytes calldata publicKey) external view returns (bytes memory);

    /// @notice What is known of a device; zeros for an unknown token.
    function device(uint256 tokenId) external view returns (Device memory);

    /// @notice True iff the device exists and its key counts.
    function isActive(uint256 tokenId) external view returns (bool);
}
