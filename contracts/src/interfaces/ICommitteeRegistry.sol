// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ICertificateVerifier} from "./ICertificateVerifier.sol";
import {Header, NewKey, Rotation} from "../Types.sol";

/// @title Committees, their terms and group keys
/// @notice A group key is either a BLS key of 256 bytes, or the address of an allowed `ICertificateVerifier` and its key.
/// The EIP-712 domain of the whole protocol is {name "Plumbline", version "1", chainId, this contract}.
interface ICommitteeRegistry {
    /// @notice What the registry knows of a term.
    /// @param fromEpoch First epoch of the term.
    /// @param untilEpoch First epoch after the term; the largest uint48 while it is the last one.
    struct TermInfo {
        bytes32 configDigest;
        bytes32 policyHash;
        bytes32 shareRoot;
        uint64 fromEpoch;
        uint64 untilEpoch;
        uint32 members;
        uint32 quorum;
        bool activated;
    }

    /// @notice A member offers itself for a committee, or changes its keys for the next term to be configured.
    event MemberRegistered(
        uint64 indexed committee,
        address indexed member,
        bytes32 peerKey,
        bytes32 dkgKey,
        bytes32 receiptKey,
        string endpoint
    );
    /// @notice Members and settings of a term are fixed. The order of `members` gives their indices.
    event TermConfigured(
        uint64 indexed committee,
        uint64 indexed term,
        bytes32 configDigest,
        address[] members,
        bytes32[] peerKeys,
        bytes32[] dkgKeys,
        bytes32 policyHash,
        uint64 epochSeconds,
        uint64 slotMs,
        uint64 genesisDelay
    );
    /// @notice A term has its group key. `genesis` (unix seconds) is the committee's and does not change with terms.
    event TermActivated(
        uint64 indexed committee, uint64 indexed term, bytes groupKey, bytes32 shareRoot, uint64 genesis
    );
    /// @notice Epochs from `fromEpoch` on belong to `newTerm`.
    event TermRotated(uint64 indexed committee, uint64 indexed newTerm, uint64 fromEpoch, bytes32 baseHeader);
    /// @notice Comes after TermRotated when governance rotated without the old key: the new term begins from the base itself,
    /// and epochs between it and `fromEpoch` have no report.
    event RotatedByGovernance(uint64 indexed committee, uint64 indexed newTerm);
    /// @notice The members' shares of an unchanged group key were refreshed.
    event SharesRefreshed(uint64 indexed committee, uint64 indexed term, bytes32 shareRoot);
    /// @notice Where bonds are looked up from now on; zero = no bond needed.
    event StakeSourceSet(address stake);

    /// @notice Whether terms may be activated with keys of this verifier from now on.
    event SchemeSet(address scheme, bool allowed);

    error ZeroKey();
    error StakeTooLow(uint256 stake, uint256 minimum);
    error BadSettings();
    error TermOutOfOrder(uint64 term, uint64 latest);
    error MemberNotRegistered(address member);
    error MemberRepeated(address member);
    error TermUnknown(uint64 committee, uint64 term);
    error TermAlreadyActive(uint64 committee, uint64 term);
    error BadKeyLength();
    error TooFewSignatures(uint256 given, uint256 quorum);
    error NotMember(address signer, uint32 index);
    error IndexRepeated(uint32 index);
    error ShareRootUsed(bytes32 shareRoot);
    error BadCertificate();
    error NotInForce(uint64 committee, uint64 term, uint64 epoch);
    error TermEnded(uint64 committee, uint64 term);
    error WrongConfig(bytes32 given, bytes32 expected);
    error WrongPeriod();
    error RotationMismatch();
    error RotationTooSoon(uint64 start, uint64 earliest);
    error TimingChanged();
    error SchemeNotAllowed(address scheme);
    error StaleProposal(uint64 newTerm, uint64 under, uint64 active);

    /// @notice Registers msg.sender's transport, key-generation and receipt keys (Ed25519, 32 bytes each).
    function register(uint64 committee, bytes32 peerKey, bytes32 dkgKey, bytes32 receiptKey, string calldata endpoint)
        external;

    /// @notice Governance fixes a term: 4 to 256 registered members, policy, epoch length, slot length and the delay
    /// from activation to genesis. Terms only go up; a failed key generation is retried under the next number.
    function configure(
        uint64 committee,
        uint64 term,
        address[] calldata members,
        bytes32 policyHash,
        uint64 epochSeconds,
        uint64 slotMs,
        uint64 genesisDelay
    ) external;

    /// @notice Gives a committee its first group key. Anyone may call; the signatures decide. See `NewKey`.
    function activate(
        uint64 committee,
        uint64 term,
        bytes calldata groupKey,
        bytes32 shareRoot,
        bytes calldata confirmation,
        bytes[] calldata signatures,
        uint32[] calldata indices
    ) external;

    /// @notice Hands over to a new term by a certificate of the term in force. start(fromEpoch) must lie more than two
    /// snapshot lags ahead. The registry keeps `baseHeader` for auditors and nodes; only the hub's frozen streams enforce
    /// a base on chain (docs/adr/0007).
    function rotate(Rotation calldata rotation, bytes calldata certificate, NewKey calldata next) external;

    /// @notice The same without the old committee, for when it is gone. Governance only, so behind its timelock: choose
    /// `fromEpoch` more than its delay and two snapshot lags ahead. `newTerm` must have been configured under the term in
    /// force, so that a proposal which waited too long replaces nothing.
    function rotateByGovernance(
        uint64 committee,
        uint64 newTerm,
        uint64 fromEpoch,
        bytes32 baseHeader,
        NewKey calldata next
    ) external;

    /// @notice Replaces the public-share root of an activated term after a reshare: same group key, n - f signatures.
    function refreshShares(
        uint64 committee,
        uint64 term,
        bytes32 shareRoot,
        bytes[] calldata signatures,
        uint32[] calldata indices
    ) external;

    /// @notice EIP-712 domain separator on this chain.
    function domainSeparator() external view returns (bytes32);

    /// @notice EIP-712 digest of a struct hash.
    function hashTyped(bytes32 structHash) external view returns (bytes32);

    /// @notice All that is known of a term; zeros for an unknown one.
    function termInfo(uint64 committee, uint64 term) external view returns (TermInfo memory);

    /// @notice The last activated term, 0 before the first.
    function activeTerm(uint64 committee) external view returns (uint64);

    /// @notice The term and group key (BLS: 256 bytes) in force in an epoch.
    function keyFor(uint64 committee, uint64 epoch) external view returns (uint64 term, bytes memory groupKey);

    /// @notice The term in force at a moment (unix seconds) by the clock, the first one before genesis, 0 before a term is active.
    function termAt(uint64 committee, uint64 time) external view returns (uint64 term);

    /// @notice Reverts unless `certificate` over `structHash` verifies under the term's key and the term has not ended
    /// by the clock.
    function verifyCertificate(uint64 committee, uint64 term, bytes32 structHash, bytes calldata certificate)
        external
        view;

    /// @notice Reverts unless the header is certified by the term in force in its epoch, with that term's config and
    /// the epoch's period, and the term did not end more than 64 epochs ago by the clock. Returns its digest.
    function verifyReport(Header calldata header, bytes calldata certificate) external view returns (bytes32 digest);

    /// @notice Root over the headers from which a term's reports descend; zero for a committee's first term.
    function baseOf(uint64 committee, uint64 term) external view returns (bytes32);

    /// @notice True iff the term's base names this header for the stream. A leaf is (stream, header), hashed twice.
    function isBase(uint64 committee, uint64 term, uint32 stream, bytes32 header, bytes32[] calldata proof)
        external
        view
        returns (bool);

    /// @notice Whether new terms may use keys of this verifier. BLS keys need none.
    function schemes(ICertificateVerifier scheme) external view returns (bool);

    /// @notice True iff `account` is a member of the term.
    function isMember(uint64 committee, uint64 term, address account) external view returns (bool);

    /// @notice Digest of the term's configuration (docs/protocol.md §6).
    function configDigest(uint64 committee, uint64 term) external view returns (bytes32);

    /// @notice Unix seconds of start(0); reverts before the first activation.
    function genesisOf(uint64 committee) external view returns (uint64);

    /// @notice Unix seconds of start(epoch) = genesis + epoch * epochSeconds.
    function startOf(uint64 committee, uint64 epoch) external view returns (uint64);
}
