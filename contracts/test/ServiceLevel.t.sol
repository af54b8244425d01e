// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ILeaseEscrow, Offer} from "../src/interfaces/ILeaseEscrow.sol";
import {LeaseMath} from "../src/libraries/LeaseMath.sol";
import {Leaf} from "../src/Types.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Rule 18: credits by tiers of uptime, fixed when the lease opens, out of cumulative seconds only.
contract ServiceLevelTest is LeaseWorld {
    event TierCredited(uint64 indexed lease, uint64 goodSeconds, uint64 badSeconds, uint256 amount);

    function setUp() public {
        _deployLeases();
        levels = _tiers(9_900, 1_000, 9_500, 2_500);
    }

    /// @notice Pay 2,100 for 300 good seconds of 310: below 99 %, not below 95 %, so 10 % of it.
    function test_rule18_tierByUptime() public {
        uint64 lease = _open();
        Leaf memory leaf = _final(lease, 300, 10);
        uint64 epoch = _finalEpoch(leaf.through);
        _postActive(epoch, _hashLeaf(leaf));
        vm.expectEmit(true, true, true, true, address(escrow));
        emit TierCredited(lease, 300, 10, 210);
        escrow.close(lease, epoch, leaf, new bytes32[](0));
        eq(escrow.leaseInfo(lease).credit, 210, "credit");
        eq(_claimable(LESSEE), DEPOSIT - 2_100 + 210, "refund and credit");
        eq(_claimable(lessor), BOND - 210, "bond less credit");
        _allPaidOut();
    }

    function test_rule18_noCreditAtTheTarget() public {
        uint64 lease = _open();
        _end(lease, 297, 3, 0);
        eq(escrow.leaseInfo(lease).credit, 0, "99.00 % is not below 99 %");
    }

    /// @notice The tiers are a floor for the credit by seconds, not an addition to it.
    function test_rule18_theGreaterOfBoth() public {
        uint64 lease = _open();
        _claim(lease, 100, escrow.leaseInfo(lease).start + 110, 50);
        escrow.collect(lease);
        eq(_claimable(LESSEE), 350, "credit by seconds, booked midway");
        _end(lease, 300, 10, 50);
        eq(escrow.leaseInfo(lease).credit, 350, "not 350 + 210");
        _allPaidOut();
    }

    /// @notice Credit <= min(bond, what was paid), whatever the tier says.
    function test_rule18_cappedByBondAndPay() public {
        levels = _tiers(10_000, 10_000, 0, 0);
        uint64 lease = _open();
        _end(lease, 300, 300, 0);
        eq(escrow.leaseInfo(lease).credit, BOND, "no more than the bond");
        lease = _open();
        _end(lease, 10, 500, 0);
        eq(escrow.leaseInfo(lease).credit, 70, "no more than was paid");
        _allPaidOut();
    }

    /// @notice The signed offer says which levels a lease has; a later offer's are not an earlier lease's.
    function test_rule18_fixedAtOpen() public {
        uint64 lease = _open();
        levels = 0;
        _end(lease, 300, 10, 0);
        eq(escrow.leaseInfo(lease).credit, 210, "the tiers of its opening");
        lease = _open();
        levels = _tiers(9_900, 1_000, 9_500, 2_500);
        _end(lease, 300, 10, 0);
        eq(escrow.leaseInfo(lease).credit, 0, "none at its opening");
    }

    /// @notice Void and undetermined seconds are nobody's fault, and no report is no evidence.
    function test_rule18_onlyJudgedSeconds() public {
        uint64 lease = _open();
        _end(lease, 0, 0, 0);
        eq(escrow.leaseInfo(lease).credit, 0, "nothing judged");
        lease = _open();
        vm.warp(escrow.leaseInfo(lease).end + TIMEOUT);
        escrow.closeAfterTimeout(lease);
        eq(escrow.leaseInfo(lease).credit, 0, "no final leaf");
    }

    /// @notice The other ends with a leaf credit it too: the lessor's notice, with the penalty on what is left of the bond.
    function test_rule18_leavingEarly() public {
        uint64 lease = _longLease();
        vm.prank(lessor);
        escrow.giveNotice(lease);
        uint64 given = escrow.noticeGiven(lease);
        Leaf memory leaf = _leaf(lease, 300, given);
        leaf.badSeconds = 10;
        uint64 epoch = _finalEpoch(given);
        _postActive(epoch, _hashLeaf(leaf));
        vm.prank(LESSEE);
        escrow.leaveLease(lease, epoch, leaf, new bytes32[](0));
        uint256 paid = escrow.leaseInfo(lease).paid;
        eq(escrow.leaseInfo(lease).credit, (paid + 9) / 10, "tier credit, rounded up");
        _allPaidOut();
    }

    /// @notice Levels are part of what the lessor signs; parts above the whole are refused.
    function test_rule18_settings() public {
        uint128[4] memory bad =
            [_tiers(0, 0, 10_001, 1_000), _tiers(0, 0, 9_900, 10_001), _tiers(0, 1, 9_900, 1_000), uint128(1)];
        for (uint256 i = 0; i < 4; ++i) {
            levels = bad[i];
            Offer memory o = _offer();
            bytes memory signature = _sign(o);
            vm.prank(LESSEE);
            vm.expectRevert(ILeaseEscrow.BadOffer.selector);
            escrow.open(o, signature, _with(DEPOSIT));
        }
        levels = _tiers(9_900, 1_000, 0, 0);
        _open();
    }

    /// @notice The order of tiers does not matter, worse uptime never credits less, and the caps hold.
    function testFuzz_rule18_monotonic(uint64 good, uint64 bad, uint64 more, uint96 paid, uint96 bond) public pure {
        uint256 tiers = (9_900 << 48) | (1_000 << 32) | (9_500 << 16) | 2_500;
        uint256 turned = (9_500 << 48) | (2_500 << 32) | (9_900 << 16) | 1_000;
        uint256 credit = LeaseMath.tierCredit(tiers, good, bad, paid, bond);
        eq(LeaseMath.tierCredit(turned, good, bad, paid, bond), credit, "order");
        yes(LeaseMath.tierCredit(tiers, good, uint256(bad) + more, paid, bond) >= credit, "worse, never less");
        yes(credit <= bond && credit <= paid, "caps");
    }

    function _longLease() private returns (uint64) {
        Offer memory o = _offer();
        o.end = o.start + 2 * TIMEOUT;
        return _open(o, DEPOSIT);
    }

    function _end(uint64 lease, uint64 good, uint64 bad, uint64 creditSeconds) private {
        Leaf memory leaf = _final(lease, good, bad);
        leaf.creditSeconds = creditSeconds;
        uint64 epoch = _finalEpoch(leaf.through);
        _postActive(epoch, _hashLeaf(leaf));
        escrow.close(lease, epoch, leaf, new bytes32[](0));
    }

    function _final(uint64 lease, uint64 good, uint64 bad) private view returns (Leaf memory leaf) {
        leaf = _leaf(lease, good, escrow.leaseInfo(lease).end);
        leaf.badSeconds = bad;
    }
}
