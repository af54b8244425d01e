// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReportHub} from "../src/ReportHub.sol";
import {ICommitteeRegistry} from "../src/interfaces/ICommitteeRegistry.sol";
import {IReportHub} from "../src/interfaces/IReportHub.sol";
import {Header, Leaf, NewKey} from "../src/Types.sol";
import {World} from "./support/World.sol";

/// @notice Posting, replay, the dispute window and the freeze.
contract ReportHubTest is World {
    uint256 private constant NEXT_SECRET = 0xBEEF;
    bytes32 private constant ROOT = keccak256("root");

    function setUp() public {
        _deployCommittee();
    }

    function test_post_storesRootAndActivatesAfterTheWindow() public {
        _post(0, ROOT);
        eq(hub.root(COMMITTEE, STREAM, 0), ROOT, "root");
        yes(!hub.isActive(COMMITTEE, STREAM, 0), "not yet");
        vm.warp(block.timestamp + WINDOW);
        yes(hub.isActive(COMMITTEE, STREAM, 0), "active");
        (bool posted, uint64 epoch, bytes22 digest, bool frozen) = hub.latest(COMMITTEE, STREAM);
        yes(posted && epoch == 0 && !frozen, "latest");
        eq(bytes32(digest), bytes32(bytes22(_headerDigest(_header(0, ROOT)))), "header digest");
    }

    /// @notice Rule 9: epochs strictly increase, gaps are allowed.
    function test_rule09_outOfOrder() public {
        _post(5, ROOT);
        Header memory h = _header(5, ROOT);
        bytes memory certificate = _certify(h, SECRET);
        vm.expectRevert(abi.encodeWithSelector(IReportHub.StaleEpoch.selector, 5, 5));
        hub.post(h, certificate);
        h = _header(4, ROOT);
        vm.expectRevert(abi.encodeWithSelector(IReportHub.StaleEpoch.selector, 4, 5));
        hub.post(h, certificate);
        _post(9, ROOT);
        eq(hub.root(COMMITTEE, STREAM, 7), bytes32(0), "a gap has no root");
    }

    /// @notice Rule 9: staleness is found before the pairing is paid.
    function test_rule09_stalePostIsCheap() public {
        _post(5, ROOT);
        Header memory h = _header(5, ROOT);
        uint256 before = gasleft();
        try hub.post(h, new bytes(96)) {
            yes(false, "must revert");
        } catch {}
        yes(before - gasleft() < 30_000, "a stale post costs no pairing");
    }

    function test_post_notBeforeTheEndOfThePeriod() public {
        Header memory h = _header(0, ROOT);
        bytes memory certificate = _certify(h, SECRET);
        vm.warp(h.periodEnd - 1);
        vm.expectRevert(abi.encodeWithSelector(IReportHub.PeriodNotOver.selector, h.periodEnd));
        hub.post(h, certificate);
        vm.warp(h.periodEnd);
        hub.post(h, certificate);
    }

    function test_post_periodMustBeTheEpochs() public {
        Header memory h = _header(3, ROOT);
        vm.warp(h.periodEnd);
        h.periodEnd -= 1;
        bytes memory certificate = _certify(h, SECRET);
        vm.expectRevert(ICommitteeRegistry.WrongPeriod.selector);
        hub.post(h, certificate);
    }

    /// @notice Rule 8: a certificate is good for one chain, registry, committee, term, stream and epoch only.
    function test_rule08_replayAcrossStreamsCommitteesChains() public {
        Header memory h = _header(0, ROOT);
        bytes memory certificate = _certify(h, SECRET);
        vm.warp(h.periodEnd);
        h.stream = 1;
        vm.expectRevert(ICommitteeRegistry.BadCertificate.selector);
        hub.post(h, certificate);
        h.stream = STREAM;
        vm.chainId(31_338);
        vm.expectRevert(ICommitteeRegistry.BadCertificate.selector);
        hub.post(h, certificate);
        vm.chainId(31_337);
        // The same group key may speak for another committee; its certificates do not cross over.
        _registerMembers(2, 4);
        _configure(2, 1, 4);
        _activate(2, 1, SECRET);
        h.committee = 2;
        vm.expectPartialRevert(ICommitteeRegistry.WrongConfig.selector);
        hub.post(h, certificate);
        h.configDigest = registry.configDigest(2, 1);
        (h.periodStart, h.periodEnd) = (registry.startOf(2, 0), registry.startOf(2, 1));
        vm.warp(h.periodEnd);
        vm.expectRevert(ICommitteeRegistry.BadCertificate.selector);
        hub.post(h, certificate);
        h = _header(0, ROOT);
        hub.post(h, certificate);
    }

    function testFuzz_post_anyChangedFieldBreaksTheCertificate(uint256 field, uint256 value) public {
        Header memory h = _header(0, ROOT);
        bytes memory certificate = _certify(h, SECRET);
        vm.warp(h.periodEnd);
        field = field % 16;
        bytes memory encoded = abi.encode(h);
        uint256 width = [64, 64, 256, 32, 64, 64, 64, 64, 256, 32, 256, 256, 256, 256, 256, 256][field];
        value = width == 256 ? value : value % (1 << width);
        uint256 old;
        assembly ("memory-safe") {
            let slot := add(add(encoded, 32), mul(field, 32))
            old := mload(slot)
            mstore(slot, value)
        }
        vm.assume(old != value);
        (bool ok,) = address(hub).call(_postCall(encoded, certificate));
        yes(!ok, "a changed header must not post");
    }

    /// @notice The malformed call above must fail for its content: the same bytes unchanged go through.
    function test_post_rawCallShapeIsRight() public {
        Header memory h = _header(0, ROOT);
        bytes memory certificate = _certify(h, SECRET);
        vm.warp(h.periodEnd);
        (bool ok,) = address(hub).call(_postCall(abi.encode(h), certificate));
        yes(ok, "unchanged header posts");
    }

    /// @notice The old key is refused from the epoch that the rotation names.
    function test_rule10_rotation_oldKeyRefusedFromEpoch() public {
        _rotate(3);
        _post(2, ROOT);
        Header memory h = _header(3, ROOT);
        bytes memory certificate = _certify(h, SECRET);
        vm.warp(h.periodEnd);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.NotInForce.selector, 1, 1, 3));
        hub.post(h, certificate);
        _postTerm2(3, 0);
        eq(hub.root(COMMITTEE, STREAM, 3), ROOT, "posted by the new term");
    }

    function test_rule10_rotation_newKeyRefusedBeforeEpoch() public {
        _rotate(3);
        Header memory h = _header(2, ROOT);
        h.term = 2;
        h.configDigest = registry.configDigest(COMMITTEE, 2);
        bytes memory certificate = _certify(h, NEXT_SECRET);
        vm.warp(h.periodEnd);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.NotInForce.selector, 1, 2, 2));
        hub.post(h, certificate);
    }

    /// @notice Rule 10: the overlap is bounded. Whoever gets hold of an old key long after the hand-over could otherwise
    /// report, for a past epoch of a stream that nobody has posted to since, counters of leases that opened yesterday.
    function test_rule10_overlapIsBounded() public {
        _rotate(3);
        Header memory h = _header(2, ROOT);
        bytes memory certificate = _certify(h, SECRET);
        vm.warp(registry.startOf(COMMITTEE, 3 + 64));
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.TermEnded.selector, 1, 1));
        hub.post(h, certificate);
        vm.warp(block.timestamp - 1);
        hub.post(h, certificate);
        vm.warp(registry.startOf(COMMITTEE, 10_000));
        _postTerm2(4, 0);
        eq(hub.root(COMMITTEE, STREAM, 4), ROOT, "the term in force may be as late as it likes");
    }

    /// @notice Rule 7: only inside the window, only by the guardian; later roots fall with it.
    function test_rule07_disputeWindow() public {
        _post(0, ROOT);
        vm.expectRevert(IReportHub.NotGuardian.selector);
        hub.disable(COMMITTEE, STREAM, 0);
        vm.warp(block.timestamp + WINDOW);
        vm.prank(GUARDIAN);
        vm.expectPartialRevert(IReportHub.RootAlreadyActive.selector);
        hub.disable(COMMITTEE, STREAM, 0);
        _post(5, keccak256("bad"));
        _post(6, keccak256("worse"));
        vm.prank(GUARDIAN);
        hub.disable(COMMITTEE, STREAM, 5);
        vm.warp(block.timestamp + WINDOW);
        yes(hub.isActive(COMMITTEE, STREAM, 0), "earlier roots stand");
        yes(!hub.isActive(COMMITTEE, STREAM, 5) && !hub.isActive(COMMITTEE, STREAM, 6), "later roots fall");
        (,,, bool frozen) = hub.latest(COMMITTEE, STREAM);
        yes(frozen, "frozen");
    }

    /// @notice Rule 7: a frozen stream resumes only under a later term and from the last undisabled header.
    function test_rule07_resumesOnlyWithALaterTermOnTheBase() public {
        _post(0, ROOT);
        bytes32 base = _headerDigest(_header(0, ROOT));
        _post(1, keccak256("bad"));
        vm.prank(GUARDIAN);
        hub.disable(COMMITTEE, STREAM, 1);
        Header memory h = _header(2, ROOT);
        bytes memory certificate = _certify(h, SECRET);
        vm.warp(h.periodEnd);
        vm.expectRevert(abi.encodeWithSelector(IReportHub.StreamIsFrozen.selector, 1));
        hub.post(h, certificate);
        _rotate(6);
        h = _header(6, ROOT);
        h.term = 2;
        h.previousHeader = keccak256("another");
        vm.warp(h.periodEnd);
        vm.expectRevert(abi.encodeWithSelector(IReportHub.WrongBase.selector, h.previousHeader));
        hub.post(h, certificate);
        _postTerm2(6, base);
        (,,, bool frozen) = hub.latest(COMMITTEE, STREAM);
        yes(!frozen, "resumed");
        eq(hub.root(COMMITTEE, STREAM, 6), ROOT, "root after resumption");
        eq(hub.root(COMMITTEE, STREAM, 1), bytes32(0), "the bad root stays void");
    }

    function test_rule07_firstReportDisabled_baseIsZero() public {
        _post(0, keccak256("bad"));
        vm.prank(GUARDIAN);
        hub.disable(COMMITTEE, STREAM, 0);
        _rotate(6);
        _postTerm2(6, 0);
        eq(hub.root(COMMITTEE, STREAM, 6), ROOT, "resumed from nothing");
    }

    function test_ring_forgetsAfter64() public {
        _postActive(0, ROOT);
        _postActive(64, keccak256("new"));
        eq(hub.root(COMMITTEE, STREAM, 0), bytes32(0), "overwritten");
        eq(hub.root(COMMITTEE, STREAM, 64), keccak256("new"), "stored");
    }

    /// @notice A root still in its dispute window is never overwritten, or it could not be disabled any more.
    function test_ring_neverOverwritesAnOpenWindow() public {
        hub = new ReportHub(address(this), registry, GUARDIAN, 64 * EPOCH + 1);
        _post(0, ROOT);
        Header memory h = _header(64, ROOT);
        bytes memory certificate = _certify(h, SECRET);
        vm.warp(h.periodEnd);
        vm.expectRevert(abi.encodeWithSelector(IReportHub.RingFull.selector, 64));
        hub.post(h, certificate);
        vm.warp(h.periodEnd + 1);
        hub.post(h, certificate);
    }

    /// @notice Preparing a stream changes what posts cost and nothing else, also when it comes late, and after a freeze.
    function test_prepare_changesNothingButGas() public {
        hub.prepare(COMMITTEE, STREAM);
        vm.expectRevert(abi.encodeWithSelector(ReportHub.AlreadyPrepared.selector, COMMITTEE, STREAM));
        hub.prepare(COMMITTEE, STREAM);
        (bool posted, uint64 epoch, bytes22 prefix, bool frozen) = hub.latest(COMMITTEE, STREAM);
        yes(!posted && epoch == 0 && prefix == 0 && !frozen, "nothing posted");
        _nothingAt(0);
        _nothingAt(63);
        _nothingAt(type(uint40).max);
        _nothingAt(type(uint64).max);
        vm.prank(GUARDIAN);
        vm.expectRevert(abi.encodeWithSelector(IReportHub.RootUnknown.selector, type(uint40).max));
        hub.disable(COMMITTEE, STREAM, type(uint40).max);
        _post(0, ROOT);
        _post(1, keccak256("bad"));
        eq(hub.root(COMMITTEE, STREAM, 0), ROOT, "posted");
        vm.prank(GUARDIAN);
        hub.disable(COMMITTEE, STREAM, 1);
        _nothingAt(1);
        _rotate(6);
        _postTerm2(6, _headerDigest(_header(0, ROOT)));
        eq(hub.root(COMMITTEE, STREAM, 6), ROOT, "resumed");
    }

    function test_prepare_keepsWhatIsThere() public {
        _postActive(0, ROOT);
        hub.prepare(COMMITTEE, STREAM);
        eq(hub.activeRoot(COMMITTEE, STREAM, 0), ROOT, "root stays");
        (bool posted,,,) = hub.latest(COMMITTEE, STREAM);
        yes(posted, "still posted");
        _postActive(1, ROOT);
    }

    function _nothingAt(uint64 epoch) private view {
        eq(hub.root(COMMITTEE, STREAM, epoch), 0, "no root");
        eq(hub.activeRoot(COMMITTEE, STREAM, epoch), 0, "no active root");
        eq(hub.activeAt(COMMITTEE, STREAM, epoch), 0, "never active");
        yes(!hub.isActive(COMMITTEE, STREAM, epoch), "not active");
    }

    function test_leafProven_needsActiveRootAndProof() public {
        Leaf memory leaf = _leaf(1, 10, 100);
        bytes32 sibling = keccak256("sibling");
        bytes32 own = _hashLeaf(leaf);
        bytes32 root = own < sibling ? keccak256(abi.encode(own, sibling)) : keccak256(abi.encode(sibling, own));
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = sibling;
        _post(0, root);
        yes(!hub.leafProven(COMMITTEE, STREAM, 0, leaf, proof), "window");
        vm.warp(block.timestamp + WINDOW);
        yes(hub.leafProven(COMMITTEE, STREAM, 0, leaf, proof), "proven");
        leaf.units += 1;
        yes(!hub.leafProven(COMMITTEE, STREAM, 0, leaf, proof), "another leaf");
        leaf.units -= 1;
        yes(!hub.leafProven(COMMITTEE, STREAM, 0, leaf, new bytes32[](0)), "no proof");
        yes(!hub.leafProven(COMMITTEE, STREAM, 1, leaf, proof), "unknown epoch");
        yes(!hub.leafProven(COMMITTEE, 1, 0, leaf, proof), "other stream");
    }

    /// @dev post(header, certificate) from an encoded header: 16 words, the offset of the bytes, their length, they.
    function _postCall(bytes memory header, bytes memory certificate) private view returns (bytes memory) {
        return bytes.concat(hub.post.selector, header, abi.encode(uint256(544), uint256(96)), certificate);
    }

    function _rotate(uint64 fromEpoch) private {
        _configure(COMMITTEE, 2, 4);
        NewKey memory k = _newKey(COMMITTEE, 2, NEXT_SECRET, 3);
        registry.rotateByGovernance(COMMITTEE, 2, fromEpoch, 0, k);
    }

    function _postTerm2(uint64 epoch, bytes32 previous) private {
        Header memory h = _header(epoch, ROOT);
        h.term = 2;
        h.configDigest = registry.configDigest(COMMITTEE, 2);
        h.previousHeader = previous;
        if (block.timestamp < h.periodEnd) vm.warp(h.periodEnd);
        hub.post(h, _certify(h, NEXT_SECRET));
    }
}
