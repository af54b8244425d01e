// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ILeaseEscrow, Offer} from "../src/interfaces/ILeaseEscrow.sol";
import {Leaf} from "../src/Types.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";
import {Vm} from "./support/Vm.sol";

/// @notice The exact edges and the events' figures: what mutation testing showed that no other test looked at (MUTANTS.md).
contract LeaseEdgesTest is LeaseWorld {
    bytes32[] private none;

    function setUp() public {
        _deployLeases();
    }

    function test_batch_takesExactlyTheMost() public {
        ILeaseEscrow.ClaimItem[] memory items = new ILeaseEscrow.ClaimItem[](1_024);
        escrow.claimBatch(items);
        items = new ILeaseEscrow.ClaimItem[](1_025);
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.BatchTooLarge.selector, uint256(1_025)));
        escrow.claimBatch(items);
    }

    /// @notice An epoch that ends exactly at end + grace is final.
    function test_close_epochEndsExactlyAtTheGrace() public {
        uint64 epoch = 5;
        vm.warp(registry.startOf(COMMITTEE, epoch + 1) - GRACE - LENGTH);
        uint64 lease = _open();
        uint64 end = escrow.leaseInfo(lease).end;
        eq(registry.startOf(COMMITTEE, epoch + 1), end + GRACE, "the edge");
        Leaf memory leaf = _leaf(lease, 10, end);
        _postActive(epoch, _hashLeaf(leaf));
        escrow.close(lease, epoch, leaf, none);
    }

    /// @notice What `Claimed` says was added: not the sums so far, and only what this claim changed.
    function test_claimed_saysWhatWasAdded() public {
        uint64 lease = _open();
        uint64 start = escrow.leaseInfo(lease).start;
        _claimed(lease, 60, start + 60, 10);
        (uint256 paid, uint256 credit, uint256 fee) = _claimed(lease, 120, start + 120, 25);
        eq(paid, 60 * PRICE, "paid");
        eq(credit, 15 * PRICE, "credit");
        eq(fee, 120 * uint256(PRICE) * FEE_BP / 10_000 - 60 * uint256(PRICE) * FEE_BP / 10_000, "fee");
        (paid, credit, fee) = _claimed(lease, 180, start + 180, 25);
        eq(credit, 0, "no new credit");
    }

    /// @notice Funds that just suffice are not exhausted.
    function test_funds_thatJustSufficeAreNotExhausted() public {
        Offer memory o = _offer();
        o.bond = 60 * PRICE;
        uint64 lease = _open(o, 60 * PRICE);
        uint64 start = escrow.leaseInfo(lease).start;
        vm.recordLogs();
        _claim(lease, 60, start + 60, 0);
        yes(!_said(ILeaseEscrow.FundsExhausted.selector), "just enough");
        Leaf memory leaf = _leaf(lease, 62, start + 120);
        uint64 epoch = _report(leaf);
        vm.expectEmit(true, true, true, true, address(escrow));
        emit ILeaseEscrow.FundsExhausted(lease, 2 * PRICE);
        escrow.claim(lease, epoch, leaf, none);
    }

    /// @notice A lease that proved something, but less than the minimum fee: the fee takes all of it, and the rest of the fee
    /// comes out of the refund.
    function test_minimumFee_ofANearlyIdleLease() public {
        uint64 lease = _open();
        _close(lease, 2, 0);
        eq(escrow.fees(address(dollar), COMMITTEE), MIN_FEE, "fee");
        eq(_claimable(PAYEE), 0, "payee");
        eq(_claimable(LESSEE), DEPOSIT - MIN_FEE, "refund");
        _allPaidOut();
    }

    /// @notice An offer with exactly the committee's part is taken.
    function test_open_exactlyTheCommitteesFee() public {
        escrow.setCommittee(COMMITTEE, TREASURY, FEE_BP);
        escrow.setToken(address(dollar), true, MIN_FEE);
        _open();
    }

    function _claimed(uint64 lease, uint128 units, uint64 through, uint64 creditSeconds)
        private
        returns (uint256 paid, uint256 credit, uint256 fee)
    {
        vm.recordLogs();
        _claim(lease, units, through, creditSeconds);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != ILeaseEscrow.Claimed.selector) continue;
            (, paid, credit, fee) = abi.decode(logs[i].data, (uint128, uint256, uint256, uint256));
            return (paid, credit, fee);
        }
        yes(false, "no Claimed");
    }

    function _said(bytes32 topic) private returns (bool said) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            said = said || logs[i].topics[0] == topic;
        }
    }
}
