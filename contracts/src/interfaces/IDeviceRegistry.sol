// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

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
    /// @param meterKey Thumbprint of the public key of the signing meter behind the device; zero = none.
    struct Device {
        bytes32 thumbprint;
        bytes32 locationCommitment;
        uint8 alg;
        uint8 class;
        bool active;
        uint64 lockedUntil;
        bytes32 meterKey;
    }

    /// @notice A maker's word about a device key (docs/protocol.md §3).
    /// @param digest SHA-256 of the certificate, which is whole in DeviceEndorsed.
    /// @param maker Thumbprint of the maker's key.
    /// @param issued Unix seconds.
    /// @param tier 1 software, 2 secure element, 3 measured boot; 0 = none.
    struct Endorsement {
        bytes32 digest;
        bytes32 maker;
        uint64 issued;
        uint8 tier;
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
    /// @notice A maker's certificate about a device key was checked and stored.
    event DeviceEndorsed(
        bytes32 indexed device, bytes32 indexed maker, uint8 tier, uint64 issued, bytes32 digest, bytes certificate
    );
    /// @notice Up to which tier a maker is believed from now on; 0 = not at all.
    event MakerSet(bytes32 indexed maker, uint8 maxTier);
    /// @notice The device's signing meter has the public key with this thumbprint from now on; zero = it has none.
    event MeterKeySet(uint256 indexed tokenId, bytes32 thumbprint);
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
    error MeterTaken(bytes32 thumbprint, uint256 tokenId);
    error TierNotBelieved(bytes32 maker, uint8 tier);
    error EndorsementStands(bytes32 device, uint8 tier);

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

    /// @notice Least number that the next batch of a term may have.
    function nextBatch(uint64 committee, uint64 term) external view returns (uint64);

    /// @notice Stores a maker's endorsement of a device key, signed with P-256 by a maker that is believed for its tier.
    /// Anyone may call, also before the device is registered. A later one of the same maker, or a higher tier of another,
    /// replaces it. Endorsements by Ed25519 makers cannot be checked here; they are for the appraisal off chain.
    /// @param certificate As docs/protocol.md §3 has it, at most 224 bytes.
    /// @param makerKey 64 bytes, x then y.
    function endorse(bytes calldata certificate, bytes calldata makerKey) external;

    /// @notice The standing endorsement of the device's active key; zeros when there is none, when the key was rotated or
    /// revoked, or when its maker is no longer believed.
    function endorsement(uint256 tokenId) external view returns (Endorsement memory);

    /// @notice Up to which tier a maker is believed; 0 = not at all.
    function makers(bytes32 maker) external view returns (uint8);

    /// @notice Gives the device another key, proven like at registration. The token, its leases and its user stay: this is
    /// how a broken device is replaced. The old key may be used again later, unless it was revoked. Owner only.
    function rotateKey(uint256 tokenId, uint8 alg, bytes calldata publicKey, bytes calldata proof) external;

    /// @notice Takes the device's key out of force for good, in every token. A key that was never in force is dropped
    /// instead: it may be somebody else's. The token may get another key. Owner only.
    function revoke(uint256 tokenId) external;

    /// @notice Names the signing meter behind a device by the thumbprint of its public key; zero = none. Owner only, and not
    /// while the device is leased: whoever is paid by a meter's records must not change the meter under the lease. A meter
    /// stands behind one device at a time, so that one record is not paid twice. Nobody proves here to hold the meter: a
    /// meter signs its records and nothing else, so that a stranger may name one first; governance then frees it
    /// (`freeMeter`). Which meters' records count is the policy's question.
    function setMeterKey(uint256 tokenId, bytes32 thumbprint_) external;

    /// @notice The device that a meter stands behind; zero = none.
    function meterOf(bytes32 thumbprint_) external view returns (uint256 tokenId);

    /// @notice How often the device changed hands since it was registered.
    function transfersOf(uint256 tokenId) external view returns (uint64);

    /// @notice When the device was registered (unix seconds); zero for an unknown token.
    function registeredAt(uint256 tokenId) external view returns (uint64);

    /// @notice RFC 9679 thumbprint of a key.
    function thumbprint(uint8 alg, bytes calldata publicKey) external pure returns (bytes32);

    /// @notice The statement that a device key signs to be registered by `owner`.
    function statement(address owner, uint8 alg, bytes calldata publicKey) external view returns (bytes memory);

    /// @notice What is known of a device; zeros for an unknown token.
    function device(uint256 tokenId) external view returns (Device memory);

    /// @notice True iff the device exists and its key counts.
    function isActive(uint256 tokenId) external view returns (bool);
}
