// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ILeaseEscrow} from "../src/interfaces/ILeaseEscrow.sol";
import {Leaf} from "../src/Types.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Rule 22: chains whose block numbers mean nothing, and sequencers that stand still.
contract ClocksTest is LeaseWorld {
    function setUp() public {
        _deployLeases();
    }

    /// @notice Block numbers that jump or run backwards change no deadline and no payment.
    function test_rule22_blockNumbersMeanNothing() public {
        uint64 lease = _open();
        uint64 start = escrow.leaseInfo(lease).start;
        vm.roll(1);
        eq(_claim(lease, 50, start + 60, 0), 50 * PRICE, "first claim");
        vm.roll(type(uint64).max);
        eq(_claim(lease, 100, start + 120, 0), 50 * PRICE, "second claim");
        vm.roll(7);
        vm.expectPartialRevert(ILeaseEscrow.TooEarly.selector);
        escrow.closeAfterTimeout(lease);
        vm.warp(escrow.leaseInfo(lease).end);
        _close(lease, 500, 0);
        eq(escrow.leaseInfo(lease).paid, 500 * PRICE, "all of it");
        _allPaidOut();
    }

    /// @notice No block for almost the oracle timeout, across the end of the lease: when the chain goes on, the reports
    /// of the outage are posted late, and nobody could close the lease unproven before them.
    function test_rule22_outageShorterThanTheTimeout() public {
        uint64 lease = _open();
        uint64 end = escrow.leaseInfo(lease).end;
        uint64 start = escrow.leaseInfo(lease).start;
        eq(_claim(lease, 60, start + 60, 0), 60 * PRICE, "before the outage");
        vm.warp(end + TIMEOUT - WINDOW - 1);
        vm.expectPartialRevert(ILeaseEscrow.TooEarly.selector);
        escrow.closeAfterTimeout(lease);
        Leaf memory leaf = _leaf(lease, 580, end);
        uint64 epoch = _finalEpoch(end);
        _postActive(epoch, _hashLeaf(leaf));
        vm.expectPartialRevert(ILeaseEscrow.TooEarly.selector);
        escrow.closeAfterTimeout(lease);
        escrow.close(lease, epoch, leaf, new bytes32[](0));
        eq(escrow.leaseInfo(lease).paid, 580 * PRICE, "proven during the outage, paid after it");
    }

    /// @notice The clock may stand still between two blocks; a second claim in the same second pays what it adds.
    function test_rule22_sameTimestamp() public {
        uint64 lease = _open();
        uint64 start = escrow.leaseInfo(lease).start;
        Leaf memory first = _leaf(lease, 10, start + 30);
        Leaf memory second = _leaf(lease, 20, start + 60);
        uint64 early = _report(first);
        uint64 late = _report(second);
        vm.warp(block.timestamp + WINDOW);
        eq(escrow.claim(lease, early, first, new bytes32[](0)), 10 * PRICE, "first");
        eq(escrow.claim(lease, late, second, new bytes32[](0)), 10 * PRICE, "second");
    }
}
