// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ILeaseEscrow, Offer} from "../src/interfaces/ILeaseEscrow.sol";
import {Leaf} from "../src/Types.sol";
import {Vm} from "./support/Vm.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice How claims pay: rules 1 to 5, 13, 15 of the settlement rules (numbers as in README.md).
contract LeaseRulesTest is LeaseWorld {
    uint64 private lease;
    uint64 private start;

    function setUp() public {
        _deployLeases();
        lease = _open();
        start = escrow.leaseInfo(lease).start;
    }

    function test_rule01_payOnlyProvenUnits() public {
        eq(_claim(lease, 50, start + 60, 0), 50 * PRICE, "first");
        eq(_claim(lease, 90, start + 120, 0), 40 * PRICE, "only what is new");
        eq(escrow.leaseInfo(lease).paid, 90 * PRICE, "paid so far");
    }

    /// @notice Rule 1: whatever the committee signs, pay is bounded by rate times elapsed lease time.
    function test_rule01_capByRateAndTime() public {
        eq(_claim(lease, 1_000_000, start + 60, 0), 60 * PRICE, "one unit a second at most");
    }

    function test_rule01_capByWindowAndClock() public {
        Leaf memory leaf = _leaf(lease, 1_000_000, type(uint64).max);
        uint64 epoch = 0;
        _post(epoch, _hashLeaf(leaf));
        vm.warp(start + 200);
        eq(escrow.claim(lease, epoch, leaf, new bytes32[](0)), 200 * PRICE, "not beyond now");
        eq(escrow.leaseInfo(lease).through, start + 200, "through");
    }

    function test_rule02_overdrawPaysWhatIsThereAndTopUpHeals() public {
        uint64 poor = _openPoor(100);
        eq(_claim(poor, 60, start + 660, 0), 100, "funds");
        vm.prank(LESSEE);
        escrow.topUp(poor, 1_000);
        eq(_claim(poor, 60, start + 661, 0), 60 * PRICE - 100, "the rest of what was proven");
    }

    function _openPoor(uint96 deposit) private returns (uint64) {
        vm.warp(start + 600);
        Offer memory o = _offer();
        o.bond = 0;
        return _open(o, deposit);
    }

    function test_rule02_noTopUpAfterClose() public {
        _close(lease, 1, 0);
        vm.prank(LESSEE);
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.NotOpen.selector, lease));
        escrow.topUp(lease, 1);
    }

    function test_rule03_cumulative_missedReportHeals() public {
        _report(_leaf(lease, 30, start + 60));
        eq(_claim(lease, 80, start + 120, 0), 80 * PRICE, "both epochs at once");
    }

    function test_rule03_replayPaysNothing() public {
        Leaf memory leaf = _leaf(lease, 50, start + 60);
        uint64 epoch = _report(leaf);
        bytes32[] memory proof = new bytes32[](0);
        eq(escrow.claim(lease, epoch, leaf, proof), 50 * PRICE, "once");
        eq(escrow.claim(lease, epoch, leaf, proof), 0, "twice");
    }

    function test_rule03_olderLeafPaysNothing() public {
        Leaf memory old = _leaf(lease, 30, start + 60);
        uint64 epoch = _report(old);
        _claim(lease, 80, start + 120, 0);
        eq(escrow.claim(lease, epoch, old, new bytes32[](0)), 0, "older");
        eq(escrow.leaseInfo(lease).paid, 80 * PRICE, "unchanged");
    }

    function test_rule03_adjustmentReducesWhatIsStillToPay() public {
        _claim(lease, 50, start + 60, 0);
        Leaf memory leaf = _leaf(lease, 100, start + 120);
        leaf.adjustment = 30;
        eq(escrow.claim(lease, _report(leaf), leaf, new bytes32[](0)), 20 * PRICE, "100 - 30 - 50");
        leaf = _leaf(lease, 110, start + 180);
        leaf.adjustment = 200;
        eq(escrow.claim(lease, _report(leaf), leaf, new bytes32[](0)), 0, "never taken back");
    }

    /// @notice Rule 4: after closing, a late report pays nobody.
    function test_rule04_lateReportAfterClose() public {
        vm.warp(start + LENGTH + TIMEOUT);
        escrow.closeAfterTimeout(lease);
        Leaf memory leaf = _leaf(lease, 500, start + 600);
        uint64 epoch = _report(leaf);
        vm.expectRevert(_skip(ILeaseEscrow.Skip.NotOpen));
        escrow.claim(lease, epoch, leaf, new bytes32[](0));
        eq(_claimable(LESSEE), DEPOSIT - MIN_FEE, "refund stands");
        _allPaidOut();
    }

    /// @notice Rule 5: bad seconds cost the lessor's bond, at the price of the service.
    function test_rule05_creditFromTheBond() public {
        _claim(lease, 0, start + 60, 40);
        eq(escrow.leaseInfo(lease).credit, 40 * PRICE, "credit");
        _claim(lease, 0, start + 120, 120);
        eq(escrow.leaseInfo(lease).credit, BOND, "never more than the bond");
        escrow.collect(lease);
        eq(_claimable(LESSEE), BOND, "booked to the lessee");
    }

    function test_rule13_roundingDownAndRefundBySubtraction() public {
        _claim(lease, 33, start + 60, 0);
        uint256 paid = 33 * PRICE;
        uint256 fee = paid * FEE_BP / 10_000;
        fee = fee < MIN_FEE ? MIN_FEE : fee;
        escrow.collect(lease);
        eq(_claimable(PAYEE), paid - fee, "payee");
        eq(escrow.fees(address(dollar), COMMITTEE), fee, "fee");
        _close(lease, 33, 0);
        eq(_claimable(LESSEE), DEPOSIT - paid, "refund");
        eq(_claimable(lessor), BOND, "bond");
        _allPaidOut();
    }

    /// @notice The committee's minimum fee is paid even by a lease that proved nothing.
    function test_minimumFee_ofAnIdleLease() public {
        _close(lease, 0, 0);
        eq(escrow.fees(address(dollar), COMMITTEE), MIN_FEE, "fee");
        eq(_claimable(LESSEE), DEPOSIT - MIN_FEE, "refund");
        escrow.withdrawFees(COMMITTEE, address(dollar));
        eq(dollar.balanceOf(TREASURY), MIN_FEE, "treasury");
    }

    /// @notice The fee does not depend on how often was claimed and collected.
    function testFuzz_fee_independentOfTheWay(uint128 a, uint128 b) public {
        (a, b) = (a % 60, b % 60);
        _claim(lease, a, start + 60, 0);
        escrow.collect(lease);
        _claim(lease, a + b, start + 120, 0);
        escrow.collect(lease);
        uint256 paid = uint256(a + b) * PRICE;
        uint256 fee = paid * FEE_BP / 10_000;
        if (fee < MIN_FEE) fee = MIN_FEE;
        if (fee > paid) fee = paid;
        eq(escrow.fees(address(dollar), COMMITTEE), fee, "fee of the whole");
        eq(_claimable(PAYEE), paid - fee, "payee");
    }

    /// @notice Rule 15: one bad item does not stop a batch.
    function test_rule15_batchSkipsAndGoesOn() public {
        Leaf memory leaf = _leaf(lease, 50, start + 60);
        uint64 epoch = _report(leaf);
        ILeaseEscrow.ClaimItem[] memory items = new ILeaseEscrow.ClaimItem[](6);
        for (uint256 i = 0; i < 6; ++i) {
            items[i] = ILeaseEscrow.ClaimItem(lease, epoch, leaf, new bytes32[](0));
        }
        items[0].lease = 99;
        items[1].leaf = _leaf(7, 50, start + 60);
        items[2].epoch = epoch + 1;
        items[3].leaf = _leaf(lease, 51, start + 60);
        vm.recordLogs();
        escrow.claimBatch(items);
        bytes32 skipped = ILeaseEscrow.ClaimSkipped.selector;
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint8[5] memory why = [1, 2, 3, 3, 4];
        uint256 found;
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == skipped) eq(abi.decode(logs[i].data, (uint8)), why[found++], "reason");
        }
        eq(found, 5, "skips");
        eq(escrow.leaseInfo(lease).paid, 50 * PRICE, "the good item paid, its replay did not");
    }

    /// @notice Rule 15: each skip names its reason.
    function test_rule15_skipReasons() public {
        Leaf memory leaf = _leaf(lease, 50, start + 60);
        uint64 epoch = _report(leaf);
        bytes32[] memory proof = new bytes32[](0);
        vm.expectRevert(_skip(ILeaseEscrow.Skip.NotOpen));
        escrow.claim(99, epoch, leaf, proof);
        vm.expectRevert(_skip(ILeaseEscrow.Skip.NotProven));
        escrow.claim(lease, epoch + 1, leaf, proof);
        Leaf memory other = _leaf(lease, 50, start + 60);
        other.policyHash = keccak256("other policy");
        vm.expectRevert(_skip(ILeaseEscrow.Skip.WrongLeaf));
        escrow.claim(lease, epoch, other, proof);
        other = _leaf(7, 50, start + 60);
        vm.expectRevert(_skip(ILeaseEscrow.Skip.WrongLeaf));
        escrow.claim(lease, epoch, other, proof);
    }

    function test_rule15_batchIsBounded() public {
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.BatchTooLarge.selector, 1_025));
        escrow.claimBatch(new ILeaseEscrow.ClaimItem[](1_025));
    }

    /// @notice A root inside its dispute window pays nobody.
    function test_rule07_noClaimInsideTheWindow() public {
        Leaf memory leaf = _leaf(lease, 50, start + 60);
        _post(0, _hashLeaf(leaf));
        vm.expectRevert(_skip(ILeaseEscrow.Skip.NotProven));
        escrow.claim(lease, 0, leaf, new bytes32[](0));
    }
}
