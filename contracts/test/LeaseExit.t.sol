// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ILeaseEscrow, Offer} from "../src/interfaces/ILeaseEscrow.sol";
import {Leaf} from "../src/Types.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Leaving a lease early: the lessor by notice (rule 17), the lessee because of silence (rule 5), and what
/// service credit depends on (rule 18).
contract LeaseExitTest is LeaseWorld {
    uint64 private constant LONG = 6_000;
    bytes32[] private none;
    uint64 private lease;
    uint64 private start;

    function setUp() public {
        _deployLeases();
        Offer memory o = _offer();
        o.end = o.start + LONG;
        lease = _open(o, 50_000);
        start = escrow.leaseInfo(lease).start;
    }

    function _notice() private returns (uint64 given) {
        vm.prank(lessor);
        escrow.giveNotice(lease);
        return uint64(block.timestamp);
    }

    /// @dev Posts a leaf through `through` in the first epoch that covers it and grace.
    function _posted(uint128 units, uint64 through, uint64 credit) private returns (uint64 epoch, Leaf memory leaf) {
        leaf = _leaf(lease, units, through);
        leaf.creditSeconds = credit;
        epoch = _finalEpoch(through);
        _postActive(epoch, _hashLeaf(leaf));
    }

    function test_rule17_noticeThenLeavePaysProvenAndPenalty() public {
        vm.warp(start + 1_000);
        uint64 given = _notice();
        eq(escrow.noticeGiven(lease), given, "noted");
        (uint64 epoch, Leaf memory leaf) = _posted(2_900, given + TIMEOUT, 10);
        escrow.leaveLease(lease, epoch, leaf, none);
        uint256 paid = 2_900 * uint256(PRICE);
        uint256 left = BOND - 10 * PRICE;
        uint256 penalty = (left * 3_000 + LONG - 1) / LONG;
        eq(escrow.leaseInfo(lease).paid, paid, "everything proven is paid");
        eq(_claimable(LESSEE), 50_000 - paid + 10 * PRICE + penalty, "refund, credit, half of the bond");
        eq(_claimable(lessor), left - penalty, "the rest of the bond");
        _allPaidOut();
        eq(devices.userOf(tokenId), address(0), "released");
    }

    /// @notice Before the notice is over nobody but the lessee may end the lease.
    function test_rule17_noticeMustRunOut() public {
        uint64 given = _notice();
        (uint64 epoch, Leaf memory leaf) = _posted(100, given + TIMEOUT - EPOCH - GRACE, 0);
        vm.expectRevert(ILeaseEscrow.NotFinal.selector);
        escrow.leaveLease(lease, epoch, leaf, none);
        vm.prank(lessor);
        vm.expectRevert(ILeaseEscrow.NotFinal.selector);
        escrow.leaveLease(lease, epoch, leaf, none);
    }

    /// @notice The lessee may go at once, free, with everything proven until the notice paid and the same penalty.
    function test_rule17_lesseeMayLeaveDuringNotice() public {
        vm.warp(start + 1_000);
        uint64 given = _notice();
        (uint64 epoch, Leaf memory leaf) = _posted(900, given, 0);
        vm.prank(LESSEE);
        escrow.leaveLease(lease, epoch, leaf, none);
        eq(_claimable(LESSEE), 50_000 - 900 * uint256(PRICE) + BOND / 2, "refund and half of the bond");
        _allPaidOut();
    }

    function test_rule17_whoAndWhen() public {
        vm.prank(LESSEE);
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.NotParty.selector, LESSEE));
        escrow.giveNotice(lease);
        (uint64 epoch, Leaf memory leaf) = _posted(10, start + 60, 0);
        vm.expectRevert(ILeaseEscrow.NoNotice.selector);
        escrow.leaveLease(lease, epoch, leaf, none);
        _notice();
        vm.prank(lessor);
        vm.expectRevert(ILeaseEscrow.NoticeAlreadyGiven.selector);
        escrow.giveNotice(lease);
    }

    function test_rule17_noNoticeThatEndsAfterTheLease() public {
        vm.warp(start + LONG - TIMEOUT);
        vm.prank(lessor);
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.TooLateForNotice.selector, start + LONG));
        escrow.giveNotice(lease);
    }

    /// @notice Notice blocks no other exit, and a lease that ran to its end pays no penalty.
    function test_rule17_otherExitsStay() public {
        _notice();
        _close(lease, 3_000, 0);
        eq(_claimable(lessor), BOND, "whole bond");
        _allPaidOut();
    }

    /// @notice An invented leaf ends nothing.
    function test_rule17_needsAProvenLeaf() public {
        uint64 given = _notice();
        (uint64 epoch, Leaf memory leaf) = _posted(100, given + TIMEOUT, 0);
        leaf.units -= 1;
        vm.expectRevert(_skip(ILeaseEscrow.Skip.NotProven));
        escrow.leaveLease(lease, epoch, leaf, none);
    }

    function _silence(uint64 good, uint64 bad, uint64 through) private returns (ILeaseEscrow.ClaimItem memory item) {
        Leaf memory leaf = _leaf(lease, good, through);
        (leaf.goodSeconds, leaf.badSeconds, leaf.creditSeconds) = (good, bad, bad / 100);
        uint64 epoch = _report(leaf);
        return ILeaseEscrow.ClaimItem(lease, epoch, leaf, none);
    }

    function test_rule05_lesseeEndsWhenTheDeviceIsSilent() public {
        ILeaseEscrow.ClaimItem memory a = _silence(300, 0, start + 300);
        ILeaseEscrow.ClaimItem memory b = _silence(300, TIMEOUT, start + 300 + TIMEOUT);
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.NotParty.selector, address(this)));
        escrow.closeSilent(lease, a, b);
        vm.prank(LESSEE);
        escrow.closeSilent(lease, a, b);
        eq(escrow.leaseInfo(lease).paid, 300 * PRICE, "the good seconds are paid");
        eq(_claimable(LESSEE), 50_000 - 300 * PRICE + TIMEOUT / 100 * PRICE, "refund and credit");
        _allPaidOut();
    }

    function test_rule05_notSilentEnough() public {
        ILeaseEscrow.ClaimItem memory a = _silence(300, 0, start + 300);
        ILeaseEscrow.ClaimItem memory b = _silence(300, TIMEOUT - 1, start + 299 + TIMEOUT);
        _refusedSilent(a, b, abi.encodeWithSelector(ILeaseEscrow.NotSilent.selector));
        ILeaseEscrow.ClaimItem memory c = _silence(301, TIMEOUT, start + 301 + TIMEOUT);
        _refusedSilent(a, c, abi.encodeWithSelector(ILeaseEscrow.NotSilent.selector));
        _refusedSilent(c, a, abi.encodeWithSelector(ILeaseEscrow.NotSilent.selector));
    }

    /// @notice A device that came back keeps its lease: a newer active report must be used.
    function test_rule05_newerReportDecides() public {
        ILeaseEscrow.ClaimItem memory a = _silence(300, 0, start + 300);
        ILeaseEscrow.ClaimItem memory b = _silence(300, TIMEOUT, start + 300 + TIMEOUT);
        _silence(340, TIMEOUT, start + 340 + TIMEOUT);
        _refusedSilent(a, b, abi.encodeWithSelector(ILeaseEscrow.NotFinal.selector));
        b.leaf.badSeconds += 1;
        _refusedSilent(a, b, _skip(ILeaseEscrow.Skip.NotProven));
    }

    function _refusedSilent(ILeaseEscrow.ClaimItem memory a, ILeaseEscrow.ClaimItem memory b, bytes memory why)
        private
    {
        vm.prank(LESSEE);
        vm.expectRevert(why);
        escrow.closeSilent(lease, a, b);
    }

    /// @notice Rule 18: credit depends on the cumulative seconds alone, not on how often or in which order they were
    /// claimed, and never exceeds the bond. Its tiers are the policy's, whose hash is fixed at open.
    function testFuzz_rule18_creditIsOfCumulativeSecondsUnderTheFixedPolicy(uint64 x, uint64 y) public {
        (x, y) = (x % 60, y % 60);
        _claim(lease, 0, start + 60, x);
        _claim(lease, 0, start + 120, x);
        _claim(lease, 0, start + 180, x + y);
        uint256 credit = uint256(x + y) * PRICE;
        eq(escrow.leaseInfo(lease).credit, credit < BOND ? credit : BOND, "of the sum");
        Leaf memory leaf = _leaf(lease, 0, start + 240);
        (leaf.creditSeconds, leaf.policyHash) = (200, keccak256("laxer tiers"));
        uint64 epoch = _report(leaf);
        vm.expectRevert(_skip(ILeaseEscrow.Skip.WrongLeaf));
        escrow.claim(lease, epoch, leaf, none);
    }
}
