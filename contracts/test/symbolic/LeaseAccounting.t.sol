// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {LeaseLedger} from "../../src/LeaseLedger.sol";
import {IReportHub} from "../../src/interfaces/IReportHub.sol";
import {ICommitteeRegistry} from "../../src/interfaces/ICommitteeRegistry.sol";
import {Acceptance, Offer} from "../../src/interfaces/ILeaseEscrow.sol";
import {LeaseMath} from "../../src/libraries/LeaseMath.sol";
import {Base} from "../support/Base.sol";

/// @notice Answers the two questions that the ledger's constructor asks.
contract StubHub {
    function disputeWindow() external pure returns (uint64) {
        return 100;
    }

    function registry() external view returns (ICommitteeRegistry) {
        return ICommitteeRegistry(address(this));
    }
}

/// @notice The real ledger with one lease of any content; what is not money is left out.
contract OneLease is LeaseLedger {
    address internal constant TOKEN = address(0x70);
    address internal constant LESSEE = address(0x71);
    address internal constant PAYEE = address(0x72);
    address internal constant LESSOR = address(0x73);
    uint64 internal constant COMMITTEE = 1;

    constructor() LeaseLedger(IReportHub(address(new StubHub())), 1_000, 0) {}

    /// @notice A lease as claims may have left it: nothing paid beyond the deposit, minimum fee covered by it.
    function put(uint96 deposited, uint96 paid, uint96 minFee, uint16 feeBp) public {
        require(paid <= deposited && minFee <= deposited && feeBp <= 10_000);
        Lease storage l = _leases[1];
        l.terms.state = State.Open;
        (l.terms.deposited, l.terms.paid) = (deposited, paid);
        (l.terms.minFee, l.terms.feeBp, l.terms.committee) = (minFee, feeBp, COMMITTEE);
        (l.token, l.lessee, l.payee, l.lessor) = (TOKEN, LESSEE, PAYEE, LESSOR);
    }

    function putCredit(uint96 bond, uint40 creditSeconds, uint96 perHour) public {
        (_leases[1].bond, _leases[1].terms.creditSeconds) = (bond, creditSeconds);
        _leases[1].creditPerHour = perHour;
    }

    function raise(uint96 paid) public {
        require(paid >= _leases[1].terms.paid && paid <= _leases[1].terms.deposited);
        _leases[1].terms.paid = paid;
    }

    function back(bool byLessee) public {
        _bookCancelled(1, _leases[1], byLessee);
    }

    function booked() public view returns (uint256) {
        return
            uint256(claimable[TOKEN][LESSEE]) + claimable[TOKEN][PAYEE] + claimable[TOKEN][LESSOR]
                + fees[TOKEN][COMMITTEE];
    }

    function feesBooked() public view returns (uint256) {
        return fees[TOKEN][COMMITTEE];
    }

    function _release(Lease storage) internal override {}

    function open(Offer calldata, bytes calldata, Acceptance calldata) external returns (uint64) {}
    function openWithPermit(Offer calldata, bytes calldata, Acceptance calldata, uint256, uint8, bytes32, bytes32)
        external
        returns (uint64)
    {}
    function topUp(uint64, uint96) external {}
    function cancel(uint64) external {}
    function revokeOffer(uint64) external {}
    function revokeOffers() external {}
    function seriesOf(address, uint256) external view returns (uint64) {}
    function withdrawFees(uint64, address) external returns (uint256) {}
    function offerDigest(Offer calldata) external view returns (bytes32) {}
}

/// @notice Proven for every input by halmos (deep.sh), not sampled: `check_*` functions, which forge does not run.
contract LeaseAccountingCheck is Base {
    OneLease private ledger;

    function setUp() public {
        ledger = new OneLease();
        vm.warp(10_000);
    }

    /// @notice A closed lease has booked exactly what went in: nothing appears, nothing stays behind.
    function check_close_conserves(uint96 deposited, uint96 paid, uint96 minFee) public {
        ledger.put(deposited, paid, minFee, 0);
        ledger.closeAfterTimeout(1);
        assert(ledger.booked() == deposited);
        assert(ledger.feesBooked() == minFee);
    }

    /// @notice The same with a bond of which some is credit.
    function check_close_conservesTheBond(uint96 deposited, uint96 paid, uint96 bond, uint40 creditSeconds) public {
        ledger.put(deposited, paid, 0, 0);
        ledger.putCredit(bond, creditSeconds, 1);
        ledger.closeAfterTimeout(1);
        assert(ledger.booked() == uint256(deposited) + bond);
    }

    /// @notice Collecting midway changes no total.
    function check_collect_thenClose(uint96 deposited, uint96 first, uint96 then, uint96 minFee) public {
        ledger.put(deposited, first, minFee, 0);
        ledger.collect(1);
        assert(ledger.booked() == first);
        ledger.raise(then);
        ledger.closeAfterTimeout(1);
        assert(ledger.booked() == deposited);
        assert(ledger.feesBooked() == minFee);
    }

    /// @notice Cancelling gives everything back but the fee, whoever cancels and whatever the bond is.
    function check_cancel_conserves(uint96 deposited, uint96 minFee, uint96 bond, bool byLessee) public {
        ledger.put(deposited, 0, minFee, 0);
        ledger.putCredit(bond, 0, 1);
        ledger.back(byLessee);
        assert(ledger.booked() == uint256(deposited) + bond);
        assert(ledger.feesBooked() <= minFee);
    }

    /// @notice The fee is part of the pay and at least the minimum that the pay allows.
    function check_fee_bounds(uint96 paid, uint16 feeBp, uint96 minFee) public pure {
        uint256 fee = LeaseMath.fee(paid, feeBp, minFee);
        assert(fee <= paid);
        assert(fee >= minFee || fee == paid);
    }

    /// @notice Where the minimum fee rules, paying more never lowers the fee, so that booking in parts cannot
    /// underflow. (For the basis points a fuzz test says so: solvers give up on the division.)
    function check_fee_monotonic(uint96 paid, uint96 more, uint96 minFee) public pure {
        require(paid <= more);
        assert(LeaseMath.fee(paid, 0, minFee) <= LeaseMath.fee(more, 0, minFee));
    }

    /// @notice Credit never exceeds the bond.
    function check_credit_bounded(uint40 creditSeconds, uint96 price, uint96 bond) public pure {
        assert(LeaseMath.credit(creditSeconds, price, bond) <= bond);
    }

    /// @notice No time, no pay; no unit, no pay.
    function check_owed_zero(uint128 units, uint40 elapsed, uint96 price, uint96 rate) public pure {
        assert(LeaseMath.owed(units, 0, price, 0, rate) == 0);
        assert(LeaseMath.owed(0, elapsed, price, 0, rate) == 0);
    }

    /// @notice Pay is bounded by what was proven and by the rate (at price one: the multiplication comes after).
    function check_owed_bounded(uint128 units, uint40 elapsed, uint96 rate) public pure {
        uint256 owed = LeaseMath.owed(units, elapsed, 1, 0, rate);
        assert(owed <= units);
        assert(owed <= uint256(rate) * elapsed / 3_600);
    }
}
