// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {CommitteeRegistry} from "../src/CommitteeRegistry.sol";
import {ICommitteeRegistry} from "../src/interfaces/ICommitteeRegistry.sol";
import {IStakeSource} from "../src/interfaces/IStakeSource.sol";
import {NewKey, Rotation} from "../src/Types.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {BlsSigner} from "./support/BlsSigner.sol";
import {Vm} from "./support/Vm.sol";
import {World} from "./support/World.sol";

contract NoStake is IStakeSource {
    function stakeOf(address) external pure returns (uint256) {
        return 9;
    }

    function minimumStake() external pure returns (uint256) {
        return 10;
    }
}

/// @notice Terms: configured by governance, activated by members, rotated by the old key.
contract CommitteeRegistryTest is World {
    uint256 private constant NEXT_SECRET = 0xBEEF;

    function setUp() public {
        _deployCommittee();
    }

    function test_configDigest_isTheProtocols() public view {
        (bytes32[] memory peer, bytes32[] memory dkg) = (new bytes32[](4), new bytes32[](4));
        for (uint256 i = 0; i < 4; ++i) {
            (peer[i], dkg[i]) = (bytes32(i + 1), bytes32(i + 101));
        }
        bytes32 digest = _configDigest(peer, dkg);
        eq(registry.configDigest(COMMITTEE, TERM), digest, "configDigest");
    }

    function _configDigest(bytes32[] memory peer, bytes32[] memory dkg) private view returns (bytes32) {
        address at_ = address(registry);
        return
            keccak256(
                abi.encode(block.chainid, at_, COMMITTEE, TERM, _members(4), peer, dkg, BOOK, EPOCH, SLOT_MS, DELAY)
            );
    }

    function test_activate_setsGenesisKeyAndTerm() public view {
        eq(registry.genesisOf(COMMITTEE), 1_800_000_000 + DELAY, "genesis");
        eq(registry.startOf(COMMITTEE, 3), 1_800_000_000 + DELAY + 3 * EPOCH, "start(3)");
        (uint64 term, bytes memory key) = registry.keyFor(COMMITTEE, 1_000);
        eq(term, TERM, "term");
        eqHash(key, BlsSigner.publicKey(SECRET), "key");
        ICommitteeRegistry.TermInfo memory info = registry.termInfo(COMMITTEE, TERM);
        yes(info.activated && info.members == 4 && info.quorum == 3, "term info");
        yes(registry.isMember(COMMITTEE, TERM, _member(0)), "member");
        yes(!registry.isMember(COMMITTEE, TERM, address(this)), "not a member");
    }

    function test_configure_refusals() public {
        address[] memory three = _members(3);
        vm.expectRevert(ICommitteeRegistry.BadSettings.selector);
        registry.configure(COMMITTEE, 2, three, BOOK, EPOCH, SLOT_MS, DELAY);
        address[] memory twice = _members(4);
        twice[3] = twice[0];
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.MemberRepeated.selector, twice[0]));
        registry.configure(COMMITTEE, 2, twice, BOOK, EPOCH, SLOT_MS, DELAY);
        address[] memory unknown = _members(5);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.MemberNotRegistered.selector, unknown[4]));
        registry.configure(COMMITTEE, 2, unknown, BOOK, EPOCH, SLOT_MS, DELAY);
        vm.expectPartialRevert(ICommitteeRegistry.TermOutOfOrder.selector);
        registry.configure(COMMITTEE, TERM, _members(4), BOOK, EPOCH, SLOT_MS, DELAY);
        vm.prank(GUARDIAN);
        vm.expectPartialRevert(Ownable.OwnableUnauthorizedAccount.selector);
        registry.configure(COMMITTEE, 2, three, BOOK, EPOCH, SLOT_MS, DELAY);
    }

    function test_register_needsTheBond() public {
        registry.setStake(new NoStake());
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.StakeTooLow.selector, 9, 10));
        registry.register(COMMITTEE, bytes32(uint256(1)), bytes32(uint256(1)), bytes32(uint256(1)), "");
    }

    function test_register_needsEveryKey() public {
        vm.expectRevert(ICommitteeRegistry.ZeroKey.selector);
        registry.register(COMMITTEE, 0, bytes32(uint256(1)), bytes32(uint256(1)), "");
    }

    function test_activate_refusesTooFewRepeatedStrangers() public {
        _registerMembers(2, 4);
        _configure(2, 1, 4);
        NewKey memory k = _newKey(2, 1, SECRET, 2);
        _expectActivation(k, abi.encodeWithSelector(ICommitteeRegistry.TooFewSignatures.selector, 2, 3));
        k = _newKey(2, 1, SECRET, 3);
        (k.signatures[2], k.indices[2]) = (k.signatures[0], 0);
        _expectActivation(k, abi.encodeWithSelector(ICommitteeRegistry.IndexRepeated.selector, uint32(0)));
        k.indices[2] = 2;
        _expectActivation(k, abi.encodeWithSelector(ICommitteeRegistry.NotMember.selector, _member(0), uint32(2)));
        k = _newKey(2, 1, SECRET, 3);
        k.indices[2] = type(uint32).max;
        _expectActivation(
            k, abi.encodeWithSelector(ICommitteeRegistry.NotMember.selector, _member(2), type(uint32).max)
        );
    }

    /// @notice A front-runner with a key of its own has the proof of possession and not the members.
    function test_activate_refusesForeignKeyAndForeignProof() public {
        _registerMembers(2, 4);
        _configure(2, 1, 4);
        NewKey memory k = _newKey(2, 1, SECRET, 3);
        NewKey memory foreign = _newKey(2, 1, NEXT_SECRET, 3);
        bytes memory proof = k.confirmation;
        k.confirmation = foreign.confirmation;
        _expectActivation(k, abi.encodePacked(ICommitteeRegistry.BadCertificate.selector));
        k.confirmation = proof;
        k.groupKey = foreign.groupKey;
        vm.expectPartialRevert(ICommitteeRegistry.NotMember.selector);
        registry.activate(2, 1, k.groupKey, k.shareRoot, k.confirmation, k.signatures, k.indices);
    }

    /// @notice An activation of one committee is worth nothing for another with the same members and key.
    function test_activate_replayAcrossCommittees() public {
        _registerMembers(2, 4);
        _configure(2, 1, 4);
        NewKey memory k = _newKey(COMMITTEE, TERM, SECRET, 3);
        vm.expectPartialRevert(ICommitteeRegistry.NotMember.selector);
        registry.activate(2, 1, k.groupKey, k.shareRoot, k.confirmation, k.signatures, k.indices);
    }

    function test_activate_onlyOnce() public {
        NewKey memory k = _newKey(COMMITTEE, TERM, SECRET, 3);
        vm.expectPartialRevert(ICommitteeRegistry.TermAlreadyActive.selector);
        registry.activate(COMMITTEE, TERM, k.groupKey, k.shareRoot, k.confirmation, k.signatures, k.indices);
    }

    function test_rule10_rotate_handsOverAtTheEpoch() public {
        (Rotation memory r, NewKey memory k) = _rotation(10);
        registry.rotate(r, _signRotation(r, SECRET), k);
        eq(registry.activeTerm(COMMITTEE), 2, "active");
        (uint64 before,) = registry.keyFor(COMMITTEE, 9);
        (uint64 after_,) = registry.keyFor(COMMITTEE, 10);
        eq(before, 1, "epoch 9");
        eq(after_, 2, "epoch 10");
        eq(registry.termInfo(COMMITTEE, 1).untilEpoch, 10, "until");
        eq(registry.genesisOf(COMMITTEE), 1_800_000_000 + DELAY, "genesis stays");
    }

    function test_rule10_rotate_needsTheOldKey() public {
        (Rotation memory r, NewKey memory k) = _rotation(10);
        bytes memory byNew = _signRotation(r, NEXT_SECRET);
        vm.expectRevert(ICommitteeRegistry.BadCertificate.selector);
        registry.rotate(r, byNew, k);
    }

    function test_rule10_rotate_needsTwoLagsOfNotice() public {
        (Rotation memory r, NewKey memory k) = _rotation(10);
        bytes memory certificate = _signRotation(r, SECRET);
        uint64 start = registry.startOf(COMMITTEE, 10);
        vm.warp(start - 2 * LAG);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.RotationTooSoon.selector, start, start));
        registry.rotate(r, certificate, k);
        vm.warp(start - 2 * LAG - 1);
        registry.rotate(r, certificate, k);
    }

    function test_rule10_rotate_refusesOtherKeyThanSigned() public {
        (Rotation memory r,) = _rotation(10);
        bytes memory certificate = _signRotation(r, SECRET);
        NewKey memory other = _newKey(COMMITTEE, 2, 0xBAD, 3);
        vm.expectRevert(ICommitteeRegistry.RotationMismatch.selector);
        registry.rotate(r, certificate, other);
    }

    function test_rule10_rotate_refusesChangedTiming() public {
        registry.configure(COMMITTEE, 2, _members(4), BOOK, EPOCH + 1, SLOT_MS, DELAY);
        NewKey memory k = _newKey(COMMITTEE, 2, NEXT_SECRET, 3);
        vm.expectRevert(ICommitteeRegistry.TimingChanged.selector);
        registry.rotateByGovernance(COMMITTEE, 2, 10, 0, k);
    }

    function test_rule10_rotateByGovernance_needsOwnerAndMembers() public {
        _configure(COMMITTEE, 2, 4);
        NewKey memory k = _newKey(COMMITTEE, 2, NEXT_SECRET, 3);
        vm.prank(GUARDIAN);
        vm.expectPartialRevert(Ownable.OwnableUnauthorizedAccount.selector);
        registry.rotateByGovernance(COMMITTEE, 2, 10, 0, k);
        vm.expectEmit(true, true, true, true, address(registry));
        emit ICommitteeRegistry.TermRotated(COMMITTEE, 2, 10, keccak256("base"));
        vm.expectEmit(true, true, true, true, address(registry));
        emit ICommitteeRegistry.RotatedByGovernance(COMMITTEE, 2);
        registry.rotateByGovernance(COMMITTEE, 2, 10, keccak256("base"), k);
        eq(registry.activeTerm(COMMITTEE), 2, "active");
    }

    /// @notice Only governance's own path says RotatedByGovernance: devices cannot follow that one by themselves.
    function test_rule10_rotate_byTheOldKeyIsNotGovernances() public {
        (Rotation memory r, NewKey memory k) = _rotation(10);
        bytes memory certificate = _signRotation(r, SECRET);
        vm.recordLogs();
        registry.rotate(r, certificate, k);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs.length, 2, "activated and rotated");
        for (uint256 i = 0; i < logs.length; ++i) {
            yes(logs[i].topics[0] != ICommitteeRegistry.RotatedByGovernance.selector, "not by governance");
        }
    }

    /// @notice An old key cannot call an older term back, nor the same one again.
    function test_rule10_rotate_onlyForward() public {
        (Rotation memory r, NewKey memory k) = _rotation(10);
        registry.rotate(r, _signRotation(r, SECRET), k);
        k = _newKey(COMMITTEE, TERM, SECRET, 3);
        r = _rotation(2, TERM, 20, k);
        bytes memory certificate = _signRotation(r, NEXT_SECRET);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.TermOutOfOrder.selector, 1, 2));
        registry.rotate(r, certificate, k);
        // A rotation certified for an unknown term, with an empty config digest to match.
        r.newTerm = 9;
        r.newConfigDigest = 0;
        certificate = _signRotation(r, NEXT_SECRET);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.TermUnknown.selector, COMMITTEE, 9));
        registry.rotate(r, certificate, k);
    }

    /// @notice The base is one header per stream under one root; each stream proves its own, and no other's.
    function test_rule10_base_perStream() public {
        (Rotation memory r, NewKey memory k) = _rotation(10);
        bytes32[] memory proof = new bytes32[](1);
        bytes32 first = Typed.baseLeaf(0, keccak256("header of stream 0"));
        proof[0] = Typed.baseLeaf(7, keccak256("header of stream 7"));
        r.baseHeader =
            first < proof[0] ? keccak256(abi.encode(first, proof[0])) : keccak256(abi.encode(proof[0], first));
        eq(registry.baseOf(COMMITTEE, TERM), 0, "a first term has none");
        yes(!registry.isBase(COMMITTEE, TERM, 0, keccak256("header of stream 0"), proof), "nor proves one");
        registry.rotate(r, _signRotation(r, SECRET), k);
        eq(registry.baseOf(COMMITTEE, 2), r.baseHeader, "kept");
        yes(registry.isBase(COMMITTEE, 2, 0, keccak256("header of stream 0"), proof), "stream 0");
        yes(!registry.isBase(COMMITTEE, 2, 7, keccak256("header of stream 0"), proof), "another stream");
        yes(!registry.isBase(COMMITTEE, 2, 0, keccak256("header of stream 7"), proof), "another header");
        yes(!registry.isBase(COMMITTEE, 2, 0, keccak256("header of stream 0"), new bytes32[](0)), "no proof");
        proof[0] = first;
        yes(registry.isBase(COMMITTEE, 2, 7, keccak256("header of stream 7"), proof), "stream 7");
    }

    /// @notice The leaf's bytes are the protocol's, spelled out.
    function test_base_leafIsTheProtocols() public pure {
        bytes memory inner = abi.encode(uint256(7), keccak256("header"));
        eq(Typed.baseLeaf(7, keccak256("header")), keccak256(abi.encode(keccak256(inner))), "leaf");
    }

    function test_verifyCertificate_endsWithTheTerm() public {
        (Rotation memory r, NewKey memory k) = _rotation(10);
        registry.rotate(r, _signRotation(r, SECRET), k);
        bytes32 structHash = keccak256("anything");
        bytes memory old = BlsSigner.sign(SECRET, registry.hashTyped(structHash));
        registry.verifyCertificate(COMMITTEE, 1, structHash, old);
        vm.warp(registry.startOf(COMMITTEE, 10));
        vm.expectPartialRevert(ICommitteeRegistry.TermEnded.selector);
        registry.verifyCertificate(COMMITTEE, 1, structHash, old);
        registry.verifyCertificate(
            COMMITTEE, 2, structHash, BlsSigner.sign(NEXT_SECRET, registry.hashTyped(structHash))
        );
    }

    function test_refreshShares_eachRootOnce() public {
        bytes32 shareRoot = keccak256("reshared");
        bytes32 keyHash = keccak256(BlsSigner.publicKey(SECRET));
        bytes32 config = registry.configDigest(COMMITTEE, TERM);
        bytes32 digest = registry.hashTyped(Typed.activation(COMMITTEE, TERM, config, keyHash, shareRoot));
        (bytes[] memory signatures, uint32[] memory indices) = _consent(digest, 3);
        registry.refreshShares(COMMITTEE, TERM, shareRoot, signatures, indices);
        eq(registry.termInfo(COMMITTEE, TERM).shareRoot, shareRoot, "share root");
        vm.expectPartialRevert(ICommitteeRegistry.ShareRootUsed.selector);
        registry.refreshShares(COMMITTEE, TERM, shareRoot, signatures, indices);
    }

    /// @notice After a fork of the chain the domain is another one.
    function test_domain_followsTheChainId() public {
        bytes32 before = registry.domainSeparator();
        vm.chainId(block.chainid + 1);
        yes(registry.domainSeparator() != before, "domain separator");
    }

    function _rotation(uint64 fromEpoch) private returns (Rotation memory r, NewKey memory k) {
        _configure(COMMITTEE, 2, 4);
        k = _newKey(COMMITTEE, 2, NEXT_SECRET, 3);
        r = _rotation(TERM, 2, fromEpoch, k);
    }

    function _signRotation(Rotation memory r, uint256 secret) private view returns (bytes memory) {
        return BlsSigner.sign(secret, _digest(r));
    }

    function _expectActivation(NewKey memory k, bytes memory revertData) private {
        vm.expectRevert(revertData);
        registry.activate(2, 1, k.groupKey, k.shareRoot, k.confirmation, k.signatures, k.indices);
    }
}
