// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ILeaseEscrow, Offer} from "../src/interfaces/ILeaseEscrow.sol";
import {Leaf} from "../src/Types.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Users of the escrow who look for money that is not theirs: what an audit tried, each attempt a test. Leaves out
/// hostile tokens (`LeaseTokens.t.sol`) and forged proofs (`LeaseRules.t.sol`).
contract LeaseAttacksTest is LeaseWorld {
    uint64 private constant LONG = 6_000;
    bytes32[] private none;

    function setUp() public {
        _deployLeases();
    }

    function _long() private returns (Offer memory o) {
        o = _offer();
        o.end = o.start + LONG;
    }

    function _notice(uint64 lease) private returns (uint64 given) {
        vm.prank(lessor);
        escrow.giveNotice(lease);
        return uint64(block.timestamp);
    }

    function _posted(Leaf memory leaf) private returns (uint64 epoch) {
        epoch = _finalEpoch(leaf.through);
        _postActive(epoch, _hashLeaf(leaf));
    }

    /// @notice A stranger takes a public offer with next to nothing, is served until that is used up, and waits for the
    /// bond: by credit for the seconds that an unpaid lessor did not serve, or by the penalty when the lessor leaves.
    function test_rule18_lesseeWithoutMoneyCannotTakeTheBond() public {
        Offer memory o = _long();
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.DepositTooLow.selector, BOND - 1, BOND));
        escrow.open(o, signature, _with(BOND - 1));
        uint64 lease = _open(o, BOND);
        _claim(lease, 100, o.start + 120, 20);
        _claim(lease, 100, o.start + 900, 800);
        escrow.collect(lease);
        eq(escrow.leaseInfo(lease).paid, BOND, "the deposit is used up");
        eq(_claimable(LESSEE), BOND, "the bond makes good at most what the lessee put in");
    }

    /// @notice Rule 17: an exit of the lessor whose lessee no longer pays costs nothing.
    function test_rule17_noPenaltyWhenTheFundsAreUsedUp() public {
        uint64 lease = _open(_long(), BOND);
        uint64 given = _notice(lease);
        Leaf memory leaf = _leaf(lease, 1_900, given + TIMEOUT);
        uint64 epoch = _posted(leaf);
        escrow.leaveLease(lease, epoch, leaf, none);
        eq(_claimable(lessor), BOND, "whole bond");
        eq(_claimable(LESSEE), 0, "no penalty");
        _allPaidOut();
    }

    /// @notice One unit of funds left is not used up.
    function test_rule17_penaltyWhileFundsAreLeft() public {
        uint64 lease = _open(_long(), 100 * PRICE + 1);
        uint64 given = _notice(lease);
        Leaf memory leaf = _leaf(lease, 100, given + TIMEOUT);
        uint64 epoch = _posted(leaf);
        escrow.leaveLease(lease, epoch, leaf, none);
        eq(_claimable(LESSEE), 1 + (uint256(BOND) * (LONG - TIMEOUT) + LONG - 1) / LONG, "refund and penalty");
        _allPaidOut();
    }

    /// @notice Rule 16: the lessee uses the device all through the notice and leaves with the oldest leaf that may end the
    /// lease, so that what later active reports proved would go unpaid.
    function test_rule16_leavingWithAnOldLeafCutsNothing() public {
        uint64 lease = _open(_long(), 50_000);
        uint64 given = _notice(lease);
        Leaf memory old = _leaf(lease, 10, given);
        uint64 early = _posted(old);
        Leaf memory late = _leaf(lease, 1_500, given + 1_600);
        uint64 epoch = _posted(late);
        vm.prank(LESSEE);
        vm.expectRevert(ILeaseEscrow.NotFinal.selector);
        escrow.leaveLease(lease, early, old, none);
        vm.prank(LESSEE);
        escrow.leaveLease(lease, epoch, late, none);
        eq(escrow.leaseInfo(lease).paid, 1_500 * uint256(PRICE), "all that was proven");
        _allPaidOut();
    }

    /// @notice Rule 17: a lessor that went on serving after its notice pays for the seconds it did not serve, no others.
    function test_rule17_penaltyIsForUnservedSecondsOnly() public {
        uint64 lease = _open(_long(), 50_000);
        uint64 given = _notice(lease);
        uint64 served = given + TIMEOUT + 1_000;
        Leaf memory leaf = _leaf(lease, 2_900, served);
        uint64 epoch = _posted(leaf);
        vm.prank(LESSEE);
        escrow.leaveLease(lease, epoch, leaf, none);
        uint256 unserved = LONG - TIMEOUT - 1_000;
        eq(_claimable(lessor), BOND - (BOND * unserved + LONG - 1) / LONG, "the rest of the bond");
        _allPaidOut();
    }

    /// @notice A stream's places cannot be held for nothing: lessor and lessee in one person, a start far away, no bond,
    /// and the lessor cancels.
    function test_minimumFee_cancellingCannotAvoidIt() public {
        Offer memory o = _offer();
        (o.start, o.end, o.bond) = (o.start + 1_000, o.end + 1_000, MIN_FEE - 1);
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        vm.expectRevert(ILeaseEscrow.BadOffer.selector);
        escrow.open(o, signature, _with(DEPOSIT));
        o.bond = MIN_FEE;
        uint64 lease = _open(o, DEPOSIT);
        vm.prank(lessor);
        escrow.cancel(lease);
        eq(escrow.fees(address(dollar), COMMITTEE), MIN_FEE, "the lessor paid it");
        _allPaidOut();
        // A lease that has begun cannot be cancelled, so it needs no bond for that.
        o = _offer();
        o.bond = 0;
        _open(o, DEPOSIT);
    }

    /// @notice The owner lends the device out after a lease ran out; someone closes the lease: the new user stays.
    function test_rule19_closingAnEndedLeaseLeavesALaterUser() public {
        uint64 lease = _open();
        vm.warp(escrow.leaseInfo(lease).end);
        vm.prank(lessor);
        devices.setUser(tokenId, address(0xF00D), type(uint64).max);
        _close(lease, 100, 0);
        eq(devices.userOf(tokenId), address(0xF00D), "the new user");
    }

    /// @notice Rule 6: a timeout ends a lease with what was claimed. Whoever is owed more has until then to claim it, and
    /// anyone may claim for it: the lessee cannot stop that.
    function test_rule06_claimsGoOnUntilTheTimeout() public {
        uint64 lease = _open();
        uint64 start = escrow.leaseInfo(lease).start;
        Leaf memory leaf = _leaf(lease, 50, start + 60);
        uint64 epoch = _report(leaf);
        vm.warp(registry.startOf(COMMITTEE, epoch + 1) + TIMEOUT - 1);
        vm.expectPartialRevert(ILeaseEscrow.TooEarly.selector);
        escrow.closeStalled(lease);
        vm.prank(address(0xB0B));
        eq(escrow.claim(lease, epoch, leaf, none), 50 * PRICE, "claimed by a stranger in the last second");
        vm.warp(block.timestamp + 1);
        escrow.closeStalled(lease);
        eq(_claimable(LESSEE), DEPOSIT - 50 * uint256(PRICE), "the rest");
        _allPaidOut();
    }

    /// @notice A final leaf cannot be used twice, in whichever way the lease ended.
    function test_rule03_noExitTwice() public {
        uint64 lease = _open(_long(), 50_000);
        uint64 given = _notice(lease);
        Leaf memory leaf = _leaf(lease, 2_000, given + TIMEOUT);
        uint64 epoch = _posted(leaf);
        escrow.leaveLease(lease, epoch, leaf, none);
        bytes memory notOpen = abi.encodeWithSelector(ILeaseEscrow.NotOpen.selector, lease);
        vm.expectRevert(notOpen);
        escrow.leaveLease(lease, epoch, leaf, none);
        vm.expectRevert(notOpen);
        escrow.close(lease, epoch, leaf, none);
        vm.expectRevert(notOpen);
        escrow.closeStalled(lease);
        vm.expectRevert(notOpen);
        escrow.collect(lease);
        _allPaidOut();
    }
}
