// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {CommitteeKeys} from "./CommitteeKeys.sol";
import {IBlsVerifier} from "./interfaces/IBlsVerifier.sol";
import {ICertificateVerifier} from "./interfaces/ICertificateVerifier.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";
import {IStakeSource} from "./interfaces/IStakeSource.sol";
import {CodeStore} from "./libraries/CodeStore.sol";
import {Config, TermConfig} from "./libraries/TermConfig.sol";
import {Typed} from "./libraries/Typed.sol";
import {Header, NewKey, Rotation} from "./Types.sol";

/// @title CommitteeRegistry
/// @notice Who is in a committee, which group key speaks for it in which epoch, and the EIP-712 domain of it all.
/// Leaves out: bonds (`OperatorStake`) and reports (`ReportHub`).
/// @dev No proxy and no upgrade: another registry is another EIP-712 domain, so a new version starts with new committees,
/// and certificates of the old one mean nothing to it. Nothing here is ever deleted; terms stay readable for auditors.
contract CommitteeRegistry is CommitteeKeys, Ownable2Step {
    using SafeCast for uint256;

    struct Committee {
        uint64 genesis;
        uint32 epochSeconds;
        uint32 slotMs;
        uint64 activeTerm;
        uint64 latestTerm;
    }

    struct MemberKeys {
        bytes32 peerKey;
        bytes32 dkgKey;
    }

    /// @notice Fewest members of a term, so that one may fail (n >= 3f + 1 with f = 1).
    uint256 public constant MIN_MEMBERS = 4;
    /// @notice Most members of a term: the participation bitmap's width.
    uint256 public constant MAX_MEMBERS = 256;
    /// @notice Epochs after a term's end in which its last reports may still be posted: as many as a hub keeps.
    uint256 public constant OVERLAP = 64;

    /// @notice Seconds by which snapshots lag behind an epoch's start; a rotation needs more than twice that notice.
    uint64 public immutable snapshotLag;
    /// @notice Where bonds are looked up; zero = none needed.
    IStakeSource public stake;
    mapping(uint64 committee => Committee) private _committees;
    mapping(uint64 committee => mapping(address member => MemberKeys)) private _registered;

    /// @param owner_ Governance; a timelock in production.
    /// @param verifier A deployed `BlsVerifier`; zero on a chain without EIP-2537, where other schemes serve.
    /// @param snapshotLag_ Seconds, the policy's snapshot lag L.
    constructor(address owner_, IBlsVerifier verifier, uint64 snapshotLag_) CommitteeKeys(verifier) Ownable(owner_) {
        snapshotLag = snapshotLag_;
    }

    /// @notice Sets where bonds are looked up; zero = none needed. Governance only.
    function setStake(IStakeSource stake_) external onlyOwner {
        stake = stake_;
        emit StakeSourceSet(address(stake_));
    }

    /// @notice Allows or forbids a scheme for terms activated from now on; a term keeps the one it has. Governance only.
    function setScheme(ICertificateVerifier scheme, bool allowed) external onlyOwner {
        schemes[scheme] = allowed;
        emit SchemeSet(address(scheme), allowed);
    }

    /// @inheritdoc ICommitteeRegistry
    function register(uint64 committee, bytes32 peerKey, bytes32 dkgKey, bytes32 receiptKey, string calldata endpoint)
        external
    {
        if (peerKey == 0 || dkgKey == 0 || receiptKey == 0) revert ZeroKey();
        _requireStake(msg.sender);
        _registered[committee][msg.sender] = MemberKeys(peerKey, dkgKey);
        emit MemberRegistered(committee, msg.sender, peerKey, dkgKey, receiptKey, endpoint);
    }

    /// @inheritdoc ICommitteeRegistry
    function configure(
        uint64 committee,
        uint64 term,
        address[] calldata members,
        bytes32 policyHash,
        uint64 epochSeconds,
        uint64 slotMs,
        uint64 genesisDelay
    ) external onlyOwner {
        Committee storage c = _committees[committee];
        if (term <= c.latestTerm) revert TermOutOfOrder(term, c.latestTerm);
        if (members.length < MIN_MEMBERS || members.length > MAX_MEMBERS) revert BadSettings();
        if (policyHash == 0 || epochSeconds == 0 || slotMs == 0) revert BadSettings();
        c.latestTerm = term;
        _terms[committee][term].under = c.activeTerm;
        // Every field is set in the lines that follow.
        // slither-disable-next-line uninitialized-local
        Config memory config;
        (config.chainId, config.registry) = (block.chainid, address(this));
        (config.committee, config.term) = (committee, term);
        config.members = members;
        (config.peerKeys, config.dkgKeys) = _seat(committee, term, members);
        config.policyHash = policyHash;
        (config.epochSeconds, config.slotMs, config.genesisDelay) = (epochSeconds, slotMs, genesisDelay);
        _store(config);
    }

    /// @inheritdoc ICommitteeRegistry
    function activate(
        uint64 committee,
        uint64 term,
        bytes calldata groupKey,
        bytes32 shareRoot,
        bytes calldata confirmation,
        bytes[] calldata signatures,
        uint32[] calldata indices
    ) external {
        Committee storage c = _committees[committee];
        if (c.activeTerm != 0) revert TermAlreadyActive(committee, c.activeTerm);
        Term storage t = _configured(committee, term);
        _accept(committee, term, NewKey(groupKey, shareRoot, confirmation, signatures, indices));
        c.genesis = (block.timestamp + t.genesisDelay).toUint64();
        c.epochSeconds = t.epochSeconds;
        c.slotMs = t.slotMs;
        c.activeTerm = term;
        t.untilEpoch = type(uint48).max;
        emit TermActivated(committee, term, groupKey, shareRoot, c.genesis);
    }

    /// @inheritdoc ICommitteeRegistry
    function rotate(Rotation calldata rotation, bytes calldata certificate, NewKey calldata next) external {
        Term storage t = _configured(rotation.committee, rotation.term);
        if (
            rotation.term != _committees[rotation.committee].activeTerm || rotation.configDigest != t.configDigest
                || rotation.newConfigDigest != _terms[rotation.committee][rotation.newTerm].configDigest
                || rotation.newGroupKeyHash != keccak256(next.groupKey)
        ) revert RotationMismatch();
        verifyCertificate(rotation.committee, rotation.term, Typed.hash(rotation), certificate);
        _handOver(rotation.committee, rotation.newTerm, rotation.fromEpoch, rotation.baseHeader, next);
    }

    /// @inheritdoc ICommitteeRegistry
    function rotateByGovernance(
        uint64 committee,
        uint64 newTerm,
        uint64 fromEpoch,
        bytes32 baseHeader,
        NewKey calldata next
    ) external onlyOwner {
        // A proposal that waited while the old committee rotated after all is stale: it speaks of another hand-over.
        (uint64 under, uint64 active) = (_configured(committee, newTerm).under, _committees[committee].activeTerm);
        if (under != active) revert StaleProposal(newTerm, under, active);
        _handOver(committee, newTerm, fromEpoch, baseHeader, next);
        emit RotatedByGovernance(committee, newTerm);
    }

    /// @inheritdoc ICommitteeRegistry
    function refreshShares(
        uint64 committee,
        uint64 term,
        bytes32 shareRoot,
        bytes[] calldata signatures,
        uint32[] calldata indices
    ) external {
        Term storage t = _activated(committee, term);
        bytes32 keyHash = keccak256(CodeStore.read(t.key));
        _requireConsent(committee, term, keyHash, shareRoot, signatures, indices);
        _useShareRoot(committee, term, shareRoot);
        emit SharesRefreshed(committee, term, shareRoot);
    }

    /// @inheritdoc ICommitteeRegistry
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc ICommitteeRegistry
    function hashTyped(bytes32 structHash) external view returns (bytes32) {
        return _hashTypedDataV4(structHash);
    }

    /// @inheritdoc ICommitteeRegistry
    function termInfo(uint64 committee, uint64 term) external view returns (TermInfo memory) {
        Term storage t = _terms[committee][term];
        return TermInfo({
            configDigest: t.configDigest,
            policyHash: t.policyHash,
            shareRoot: t.shareRoot,
            fromEpoch: t.fromEpoch,
            untilEpoch: t.untilEpoch,
            members: t.members,
            quorum: uint32(_quorum(t.members)),
            activated: t.key != address(0)
        });
    }

    /// @inheritdoc ICommitteeRegistry
    function activeTerm(uint64 committee) external view returns (uint64) {
        return _committees[committee].activeTerm;
    }

    /// @inheritdoc ICommitteeRegistry
    function termAt(uint64 committee, uint64 time) external view returns (uint64) {
        Committee storage c = _committees[committee];
        return _termOf(committee, time < c.genesis || c.activeTerm == 0 ? 0 : (time - c.genesis) / c.epochSeconds);
    }

    /// @inheritdoc ICommitteeRegistry
    function keyFor(uint64 committee, uint64 epoch) external view returns (uint64 term, bytes memory groupKey) {
        term = _termOf(committee, epoch);
        groupKey = CodeStore.read(_activated(committee, term).key);
    }

    /// @inheritdoc ICommitteeRegistry
    function verifyCertificate(uint64 committee, uint64 term, bytes32 structHash, bytes calldata certificate)
        public
        view
    {
        Term storage t = _activated(committee, term);
        if (t.untilEpoch != type(uint48).max && block.timestamp >= startOf(committee, t.untilEpoch)) {
            revert TermEnded(committee, term);
        }
        _verify(CodeStore.read(t.key), _hashTypedDataV4(structHash), certificate);
    }

    /// @inheritdoc ICommitteeRegistry
    function verifyReport(Header calldata header, bytes calldata certificate) external view returns (bytes32 digest) {
        Term storage t = _terms[header.committee][header.term];
        (address key, uint48 fromEpoch, uint48 untilEpoch) = (t.key, t.fromEpoch, t.untilEpoch);
        if (key == address(0) || header.epoch < fromEpoch || header.epoch >= untilEpoch) {
            revert NotInForce(header.committee, header.term, header.epoch);
        }
        if (header.configDigest != t.configDigest) revert WrongConfig(header.configDigest, t.configDigest);
        Committee storage c = _committees[header.committee];
        (uint256 genesis, uint256 length) = (c.genesis, c.epochSeconds);
        // Long after the hand-over the old key is nobody's: whoever has it by then must not report in the old term's name.
        if (block.timestamp >= genesis + (uint256(untilEpoch) + OVERLAP) * length) {
            revert TermEnded(header.committee, header.term);
        }
        uint256 start = genesis + header.epoch * length;
        if (header.periodStart != start || header.periodEnd != start + length) revert WrongPeriod();
        digest = _hashTypedDataV4(Typed.hash(header));
        _verify(CodeStore.read(key), digest, certificate);
    }

    /// @inheritdoc ICommitteeRegistry
    function baseOf(uint64 committee, uint64 term) external view returns (bytes32) {
        return _terms[committee][term].base;
    }

    /// @inheritdoc ICommitteeRegistry
    function isBase(uint64 committee, uint64 term, uint32 stream, bytes32 header, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        bytes32 base = _terms[committee][term].base;
        return base != bytes32(0) && MerkleProof.processProofCalldata(proof, Typed.baseLeaf(stream, header)) == base;
    }

    /// @inheritdoc ICommitteeRegistry
    function isMember(uint64 committee, uint64 term, address account) external view returns (bool) {
        return _index[committee][term][account] != 0;
    }

    /// @inheritdoc ICommitteeRegistry
    function configDigest(uint64 committee, uint64 term) external view returns (bytes32) {
        return _terms[committee][term].configDigest;
    }

    /// @inheritdoc ICommitteeRegistry
    function genesisOf(uint64 committee) external view returns (uint64) {
        return startOf(committee, 0);
    }

    /// @inheritdoc ICommitteeRegistry
    function startOf(uint64 committee, uint64 epoch) public view returns (uint64) {
        Committee storage c = _committees[committee];
        if (c.activeTerm == 0) revert TermUnknown(committee, 0);
        return (uint256(c.genesis) + uint256(epoch) * c.epochSeconds).toUint64();
    }

    /// @dev The term to which an epoch belongs; 0 before the first activation.
    function _termOf(uint64 committee, uint64 epoch) private view returns (uint64 term) {
        term = _committees[committee].activeTerm;
        while (term != 0 && _terms[committee][term].fromEpoch > epoch) term = _terms[committee][term].previous;
    }

    /// @dev Writes the members' indices and returns their keys in order.
    function _seat(uint64 committee, uint64 term, address[] calldata members)
        private
        returns (bytes32[] memory peerKeys, bytes32[] memory dkgKeys)
    {
        peerKeys = new bytes32[](members.length);
        dkgKeys = new bytes32[](members.length);
        mapping(address => uint256) storage index = _index[committee][term];
        for (uint256 i = 0; i < members.length; ++i) {
            MemberKeys memory keys = _registered[committee][members[i]];
            if (keys.peerKey == 0) revert MemberNotRegistered(members[i]);
            if (index[members[i]] != 0) revert MemberRepeated(members[i]);
            _requireStake(members[i]);
            index[members[i]] = i + 1;
            (peerKeys[i], dkgKeys[i]) = (keys.peerKey, keys.dkgKey);
        }
    }

    function _store(Config memory c) private {
        bytes32 digest = TermConfig.digest(c);
        Term storage t = _terms[c.committee][c.term];
        t.configDigest = digest;
        t.policyHash = c.policyHash;
        t.genesisDelay = uint256(c.genesisDelay).toUint32();
        t.epochSeconds = uint256(c.epochSeconds).toUint32();
        t.slotMs = uint256(c.slotMs).toUint32();
        t.members = uint16(c.members.length);
        emit TermConfigured(
            c.committee,
            c.term,
            digest,
            c.members,
            c.peerKeys,
            c.dkgKeys,
            c.policyHash,
            c.epochSeconds,
            c.slotMs,
            c.genesisDelay
        );
    }

    function _handOver(uint64 committee, uint64 newTerm, uint64 fromEpoch, bytes32 baseHeader, NewKey memory next)
        private
    {
        Committee storage c = _committees[committee];
        uint64 oldTerm = c.activeTerm;
        Term storage old = _activated(committee, oldTerm);
        Term storage t = _configured(committee, newTerm);
        if (newTerm <= oldTerm) revert TermOutOfOrder(newTerm, oldTerm);
        if (t.epochSeconds != c.epochSeconds || t.slotMs != c.slotMs) revert TimingChanged();
        if (fromEpoch <= old.fromEpoch || fromEpoch >= type(uint48).max) revert RotationMismatch();
        uint64 start = startOf(committee, fromEpoch);
        uint64 earliest = (block.timestamp + 2 * uint256(snapshotLag)).toUint64();
        if (start <= earliest) revert RotationTooSoon(start, earliest);
        _accept(committee, newTerm, next);
        old.untilEpoch = uint48(fromEpoch);
        t.fromEpoch = uint48(fromEpoch);
        t.untilEpoch = type(uint48).max;
        t.previous = oldTerm;
        t.base = baseHeader;
        c.activeTerm = newTerm;
        emit TermActivated(committee, newTerm, next.groupKey, next.shareRoot, c.genesis);
        emit TermRotated(committee, newTerm, fromEpoch, baseHeader);
    }

    function _requireStake(address member) private view {
        if (address(stake) == address(0)) return;
        (uint256 bonded, uint256 minimum) = (stake.stakeOf(member), stake.minimumStake());
        if (bonded < minimum) revert StakeTooLow(bonded, minimum);
    }
}
