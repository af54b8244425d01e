// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {BlsVerifier} from "../../src/BlsVerifier.sol";
import {CommitteeRegistry} from "../../src/CommitteeRegistry.sol";
import {ReportHub} from "../../src/ReportHub.sol";
import {Header, Leaf, NewKey, Rotation} from "../../src/Types.sol";
import {Bls} from "../../src/libraries/Bls.sol";
import {ReportClaims} from "../../src/libraries/ReportClaims.sol";
import {Typed} from "../../src/libraries/Typed.sol";
import {Base} from "./Base.sol";
import {BlsSigner} from "./BlsSigner.sol";

/// @notice A deployed chain with committee 1 (four members) in force, and the means to certify for it.
abstract contract World is Base {
    uint64 internal constant COMMITTEE = 1;
    uint64 internal constant TERM = 1;
    uint32 internal constant STREAM = 0;
    uint64 internal constant EPOCH = 60;
    uint64 internal constant SLOT_MS = 1_000;
    uint64 internal constant DELAY = 10;
    uint64 internal constant LAG = 30;
    uint64 internal constant WINDOW = 100;
    /// @dev The one document of the term's policy book, and the classes that may be leased under it: 1 to 3.
    bytes32 internal constant POLICY = keccak256("policy");
    uint256 internal constant CLASSES = 14;
    bytes32 internal constant BOOK = keccak256(abi.encode(keccak256(abi.encode(POLICY, CLASSES))));
    uint256 internal constant SECRET = 0xC0FFEE;
    uint256 internal constant MEMBER_KEY = 0xA0;
    address internal constant GUARDIAN = address(0x6ADD);

    CommitteeRegistry internal registry;
    ReportHub internal hub;
    /// @notice The escrow that leaves name.
    address internal leafEscrow = address(0xE5C120);

    function _deployCommittee() internal {
        vm.warp(1_800_000_000);
        registry = new CommitteeRegistry(address(this), new BlsVerifier(Bls.PAIRING_GAS), LAG);
        hub = new ReportHub(address(this), registry, GUARDIAN, WINDOW);
        _registerMembers(COMMITTEE, 4);
        _configure(COMMITTEE, TERM, 4);
        _activate(COMMITTEE, TERM, SECRET);
    }

    function _member(uint256 i) internal pure returns (address) {
        return vm.addr(MEMBER_KEY + i);
    }

    function _members(uint256 n) internal pure returns (address[] memory list) {
        list = new address[](n);
        for (uint256 i = 0; i < n; ++i) {
            list[i] = _member(i);
        }
    }

    function _registerMembers(uint64 committee, uint256 n) internal {
        for (uint256 i = 0; i < n; ++i) {
            vm.prank(_member(i));
            registry.register(committee, bytes32(i + 1), bytes32(i + 101), bytes32(i + 201), "/ip4/127.0.0.1/tcp/1");
        }
    }

    function _configure(uint64 committee, uint64 term, uint256 n) internal {
        registry.configure(committee, term, _members(n), BOOK, EPOCH, SLOT_MS, DELAY);
    }

    function _activate(uint64 committee, uint64 term, uint256 secret) internal {
        NewKey memory k = _newKey(committee, term, secret, 3);
        registry.activate(committee, term, k.groupKey, k.shareRoot, k.confirmation, k.signatures, k.indices);
    }

    function _newKey(uint64 committee, uint64 term, uint256 secret, uint256 signers)
        internal
        view
        returns (NewKey memory k)
    {
        k.groupKey = BlsSigner.publicKey(secret);
        k.shareRoot = keccak256(abi.encode("shares", secret));
        bytes32 config = registry.configDigest(committee, term);
        bytes32 keyHash = keccak256(k.groupKey);
        bytes32 confirmation = Typed.keyConfirmation(committee, term, config, keyHash, k.shareRoot);
        k.confirmation = BlsSigner.sign(secret, registry.hashTyped(confirmation));
        bytes32 consent = registry.hashTyped(Typed.activation(committee, term, config, keyHash, k.shareRoot));
        (k.signatures, k.indices) = _consent(consent, signers);
    }

    function _consent(bytes32 digest, uint256 n)
        internal
        pure
        returns (bytes[] memory signatures, uint32[] memory at_)
    {
        (signatures, at_) = (new bytes[](n), new uint32[](n));
        for (uint256 i = 0; i < n; ++i) {
            signatures[i] = _ecdsa(MEMBER_KEY + i, digest);
            at_[i] = uint32(i);
        }
    }

    function _ecdsa(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function _rotation(uint64 term, uint64 newTerm, uint64 fromEpoch, NewKey memory next)
        internal
        view
        returns (Rotation memory r)
    {
        (r.committee, r.term, r.newTerm, r.fromEpoch) = (COMMITTEE, term, newTerm, fromEpoch);
        r.configDigest = registry.configDigest(COMMITTEE, term);
        r.newConfigDigest = registry.configDigest(COMMITTEE, newTerm);
        r.newGroupKeyHash = keccak256(next.groupKey);
        r.baseHeader = keccak256("base");
    }

    function _digest(Rotation memory r) internal view returns (bytes32) {
        return registry.hashTyped(keccak256(abi.encode(Typed.ROTATION, r)));
    }

    function _header(uint64 epoch, bytes32 root) internal view returns (Header memory h) {
        (h.committee, h.term, h.stream, h.epoch) = (COMMITTEE, TERM, STREAM, epoch);
        h.configDigest = registry.configDigest(COMMITTEE, TERM);
        h.periodStart = registry.startOf(COMMITTEE, epoch);
        h.periodEnd = registry.startOf(COMMITTEE, epoch + 1);
        (h.leafCount, h.leavesRoot, h.stateRoot) = (1, root, keccak256(abi.encode("state", epoch)));
        (h.policyHash, h.participation) = (BOOK, 15);
    }

    function _headerDigest(Header memory h) internal view returns (bytes32) {
        return registry.hashTyped(keccak256(abi.encode(Typed.HEADER, h)));
    }

    function _certify(Header memory h, uint256 secret) internal view returns (bytes memory) {
        return BlsSigner.sign(secret, _headerDigest(h));
    }

    /// @notice Waits for the epoch's end if need be and posts a root for it.
    function _post(uint64 epoch, bytes32 root) internal virtual {
        Header memory h = _header(epoch, root);
        if (block.timestamp < h.periodEnd) vm.warp(h.periodEnd);
        hub.post(h, _certify(h, SECRET));
    }

    /// @notice The same, and waits until the root is active.
    function _postActive(uint64 epoch, bytes32 root) internal {
        _post(epoch, root);
        vm.warp(block.timestamp + WINDOW);
    }

    function _hashLeaf(Leaf memory leaf) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(abi.encode(ReportClaims.LEAF_TYPEHASH, leaf))));
    }

    function _leaf(uint64 lease, uint128 units, uint64 through) internal view returns (Leaf memory leaf) {
        leaf.escrow = leafEscrow;
        (leaf.lease, leaf.units, leaf.through, leaf.policyHash) = (lease, units, through, POLICY);
        leaf.goodSeconds = uint64(units);
        leaf.evidenceRoot = keccak256(abi.encode(lease, units));
    }
}
