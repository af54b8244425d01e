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
        bytes4[] memory selectors = new bytes4[](10);
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
        (uint256 deposited, uint256 paid,, uint256 through) = handler.model(i);
        eq(l.deposited, deposited, "deposited");
        eq(l.paid, paid, "paid");
        eq(l.credit, handler.modelCredit(i), "credit");
        eq(l.through, through, "through");
        yes(l.paid <= l.deposited && l.credit <= l.bond && l.fee <= l.paid, "bounds");
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
