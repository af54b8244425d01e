// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ILeaseEscrow} from "../src/interfaces/ILeaseEscrow.sol";
import {Base} from "./support/Base.sol";
import {LeaseHandler} from "./support/LeaseHandler.sol";

/// @notice What must hold after any sequence of calls.
contract LeaseInvariantTest is Base {
    LeaseHandler private handler;

    function setUp() public {
        handler = new LeaseHandler();
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        bytes4[] memory selectors = new bytes4[](15);
        selectors[0] = LeaseHandler.openLease.selector;
        selectors[1] = LeaseHandler.topUp.selector;
        selectors[2] = LeaseHandler.claim.selector;
        selectors[3] = LeaseHandler.collect.selector;
        selectors[4] = LeaseHandler.closeFinal.selector;
        selectors[5] = LeaseHandler.closeLate.selector;
        selectors[6] = LeaseHandler.cancel.selector;
        selectors[7] = LeaseHandler.withdraw.selector;
        selectors[8] = LeaseHandler.withdrawFees.selector;
        selectors[9] = LeaseHandler.leaveEarly.selector;
        selectors[10] = LeaseHandler.closeSilent.selector;
        selectors[11] = LeaseHandler.closeStalled.selector;
        selectors[12] = LeaseHandler.rotate.selector;
        selectors[13] = LeaseHandler.disableRoot.selector;
        selectors[14] = LeaseHandler.pause.selector;
        targets[0] = FuzzSelector(address(handler), selectors);
    }

    /// @notice One campaign for all of it. After each call: the sums, and the lease that the call was about.
    function invariant_money() public view {
        _balance();
        uint64 touched = handler.touched();
        if (touched != 0) _lease(touched);
    }

    /// @dev No money appears or disappears, and what is booked is there.
    function _balance() private view {
        eq(handler.balance(), handler.taken() - handler.withdrawn(), "in - out");
        yes(handler.balance() >= handler.booked(), "booked money is there");
    }

    /// @dev The lease paid and credited what the naive bookkeeping says: nothing twice, nothing unproven.
    function _lease(uint64 i) private view {
        ILeaseEscrow.LeaseInfo memory l = handler.info(i);
        (uint256 deposited, uint256 paid,, uint256 through,, uint256 forfeit, bool cancelled) = handler.model(i);
        eq(l.deposited, deposited, "deposited");
        eq(l.paid, paid, "paid");
        eq(l.credit, handler.modelCredit(i), "credit");
        eq(l.through, through, "through");
        yes(l.paid <= l.deposited && l.credit <= l.bond && l.fee <= l.paid, "bounds");
        if (l.state == ILeaseEscrow.State.Open) _open(i, l);
        else _closed(i, l, forfeit, cancelled);
    }

    /// @dev Booked so far is no more than earned so far; nothing goes back while a lease is open.
    function _open(uint64 i, ILeaseEscrow.LeaseInfo memory l) private view {
        (uint256 payee, uint256 lessee, uint256 lessor, uint256 fees) = handler.bookings(i);
        yes(payee + fees <= l.paid && lessee <= l.credit && lessor == 0, "booked by then");
    }

    /// @dev deposited + bond = pay + fees + refund + credit and penalty + returned bond, to the unit, and each part is its
    /// owner's: the payee has the pay less the fee, the lessor the bond less credit and what it forfeited, the lessee the rest.
    function _closed(uint64 i, ILeaseEscrow.LeaseInfo memory l, uint256 forfeit, bool cancelled) private view {
        (uint256 payee, uint256 lessee, uint256 lessor, uint256 fees) = handler.bookings(i);
        eq(payee + lessee + lessor + fees, l.deposited + l.bond, "in = out");
        eq(lessor, l.bond - l.credit - forfeit, "the rest of the bond");
        if (cancelled) {
            yes(l.paid == 0 && payee == 0, "nothing proven, nothing paid");
            return;
        }
        eq(fees, handler.modelFee(i), "fees");
        uint256 ofPay = fees < l.paid ? fees : l.paid;
        eq(payee, l.paid - ofPay, "pay less fee");
        eq(lessee, l.deposited - l.paid - (fees - ofPay) + l.credit + forfeit, "refund, credit, penalty");
    }

    /// @notice That the campaign can go all these ways: each leads where its name says.
    function test_handler_reachesEveryWay() public {
        handler.openLease(0, 5_001, 0);
        handler.closeSilent(0, 300, 10);
        handler.openLease(1, 5_001, 0);
        handler.claim(0, 200, 0, 5, 0);
        handler.disableRoot(0);
        handler.pause();
        handler.openLease(2, 5_001, 0);
        handler.topUp(0, 10);
        handler.collect(0);
        handler.pause();
        handler.rotate(2);
        handler.claim(0, 250, 0, 5, 0);
        handler.closeStalled(0, 1_999);
        handler.closeStalled(0, 1_999);
        handler.openLease(0, 5_001, 0);
        handler.leaveEarly(0, 100, 5, 40);
        handler.openLease(0, 5_001, 0);
        handler.leaveEarly(0, 100, 4, 40);
        handler.openLease(2, 5_001, 50);
        handler.cancel(0, true);
        handler.openLease(2, 5_001, 0);
        handler.closeFinal(0, 100, 5, 40);
        eq(handler.silences(), 1, "silent");
        eq(handler.stalls(), 1, "stalled");
        eq(handler.rotations(), 2, "rotations");
        eq(handler.freezes(), 1, "freezes");
        eq(handler.refusedByPause(), 2, "refused while paused");
        eq(handler.exits(), 2, "left early");
        eq(handler.closings(), 6, "closed");
        afterInvariant();
    }

    /// @notice No call changed a lease that it was not about; anyone can end everything, everyone is paid, and not a
    /// unit stays behind.
    function afterInvariant() public {
        for (uint64 i = 1; i <= handler.leases(); ++i) {
            _lease(i);
        }
        eq(handler.settleEverything(), 0, "left in the escrow");
    }
}
