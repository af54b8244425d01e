// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {OperatorStake} from "../src/OperatorStake.sol";
import {ReportHub} from "../src/ReportHub.sol";
import {ILeaseEscrow} from "../src/interfaces/ILeaseEscrow.sol";
import {IOperatorStake} from "../src/interfaces/IOperatorStake.sol";
import {IReportHub} from "../src/interfaces/IReportHub.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {Header, Leaf, MemberStatement, NewKey} from "../src/Types.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Members, old members and guardians who misuse what they hold: what an audit tried, each attempt a test. Leaves
/// out what lessors and lessees try (`LeaseAttacks.t.sol`).
contract OracleAttacksTest is LeaseWorld {
    uint256 private constant NEXT_SECRET = 0xBEEF;
    bytes32[] private none;

    function setUp() public {
        _deployLeases();
    }

    function _rotate(uint64 fromEpoch) private {
        _configure(COMMITTEE, 2, 4);
        NewKey memory k = _newKey(COMMITTEE, 2, NEXT_SECRET, 3);
        registry.rotateByGovernance(COMMITTEE, 2, fromEpoch, 0, k);
    }

    function _disable(uint64 epoch) private {
        vm.prank(GUARDIAN);
        hub.disable(COMMITTEE, STREAM, epoch);
    }

    /// @notice Rule 10: the members of a term that ended long ago still have its key, and report, for its last epoch in a
    /// stream that nobody has used since, what a lease of today "earned".
    function test_rule10_retiredMembersCannotPayThemselves() public {
        _rotate(3);
        vm.warp(registry.startOf(COMMITTEE, 3 + 64));
        uint64 lease = _open();
        Leaf memory leaf = _leaf(lease, type(uint64).max, type(uint64).max);
        Header memory h = _header(2, _hashLeaf(leaf));
        bytes memory certificate = _certify(h, SECRET);
        vm.expectPartialRevert(bytes4(keccak256("TermEnded(uint64,uint64)")));
        hub.post(h, certificate);
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(_skip(ILeaseEscrow.Skip.NotProven));
        escrow.claim(lease, 2, leaf, none);
    }

    /// @notice Rule 7: a second look finds that the root before was bad already: the base goes back with it, and a report
    /// on the first base is refused.
    function test_rule07_disablingAnEarlierRootMovesTheBaseBack() public {
        bytes32 good = keccak256("good");
        _postActive(0, good);
        _post(2, keccak256("bad"));
        _post(3, keccak256("worse"));
        bytes32 bad = _headerDigest(_header(2, keccak256("bad")));
        _disable(3);
        yes(hub.activeAt(COMMITTEE, STREAM, 2) != 0, "still in its window");
        _disable(2);
        _rotate(6);
        Header memory h = _header(6, good);
        (h.term, h.configDigest, h.previousHeader) = (2, registry.configDigest(COMMITTEE, 2), bad);
        vm.warp(h.periodEnd);
        bytes memory certificate = _certify(h, NEXT_SECRET);
        vm.expectRevert(abi.encodeWithSelector(IReportHub.WrongBase.selector, bad));
        hub.post(h, certificate);
        h.previousHeader = _headerDigest(_header(0, good));
        hub.post(h, _certify(h, NEXT_SECRET));
        (,,, bool frozen) = hub.latest(COMMITTEE, STREAM);
        yes(!frozen, "resumed");
    }

    /// @notice Rule 6: a guardian who freezes the stream and never lets go takes nobody's money: leases end, unproven.
    function test_rule06_aFrozenStreamLocksNoMoney() public {
        uint64 lease = _open();
        _post(0, keccak256("whatever"));
        _disable(0);
        vm.warp(registry.startOf(COMMITTEE, 1) + TIMEOUT);
        escrow.closeStalled(lease);
        eq(_claimable(LESSEE) + _claimable(lessor), uint256(DEPOSIT) + BOND - MIN_FEE, "all but the minimum fee");
        _allPaidOut();
    }

    /// @notice A second hub on the same registry takes the same certificates (docs: upgrades), so one hub's freeze is not
    /// the other's; an escrow reads its own hub only.
    function test_upgrade_hubsDoNotMix() public {
        ReportHub other = new ReportHub(address(this), registry, GUARDIAN, WINDOW);
        uint64 lease = _open();
        Leaf memory leaf = _leaf(lease, 10, escrow.leaseInfo(lease).start + 60);
        Header memory h = _header(0, _hashLeaf(leaf));
        vm.warp(h.periodEnd);
        other.post(h, _certify(h, SECRET));
        vm.warp(block.timestamp + WINDOW);
        yes(other.isActive(COMMITTEE, STREAM, 0), "there");
        vm.expectRevert(_skip(ILeaseEscrow.Skip.NotProven));
        escrow.claim(lease, 0, leaf, none);
    }

    /// @notice One fault, one slash, also for a member of two committees; and who reports itself loses nine tenths.
    function test_slash_oneFaultOnceAcrossCommittees_selfReportLoses() public {
        OperatorStake stake = new OperatorStake(address(this), dollar, registry, TREASURY, 1_000, 400, 1_000);
        address member = _member(0);
        dollar.mint(member, 1_000);
        vm.prank(member);
        dollar.approve(address(stake), 1_000);
        vm.prank(member);
        stake.bond(1_000);
        _registerMembers(2, 4);
        _configure(2, 1, 4);
        MemberStatement memory a = MemberStatement(keccak256("instance"), 3, 1, keccak256("one"));
        MemberStatement memory b = MemberStatement(keccak256("instance"), 3, 1, keccak256("two"));
        (bytes memory x, bytes memory y) = (_stated(a), _stated(b));
        vm.prank(member);
        stake.slash(COMMITTEE, TERM, a, x, b, y);
        vm.expectPartialRevert(IOperatorStake.FaultUsed.selector);
        stake.slash(2, 1, a, x, b, y);
        stake.shareOut(keccak256(abi.encode(member, a.instance, a.phase, a.view_)));
        eq(stake.rewards(member), 40, "a tenth of what it lost");
        eq(stake.stakeOf(member), 600, "bond");
    }

    function _stated(MemberStatement memory s) private view returns (bytes memory) {
        return _ecdsa(MEMBER_KEY, registry.hashTyped(keccak256(abi.encode(Typed.MEMBER_STATEMENT, s))));
    }
}
