// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {CommitteeFees} from "../src/CommitteeFees.sol";
import {NewKey, Rotation} from "../src/Types.sol";
import {BlsSigner} from "./support/BlsSigner.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice A committee's fees, from the lease to each member's account.
contract CommitteeFeesTest is LeaseWorld {
    CommitteeFees private pot;

    function setUp() public {
        _deployLeases();
        pot = new CommitteeFees(registry, COMMITTEE);
        escrow.setCommittee(COMMITTEE, address(pot), FEE_BP);
    }

    /// @notice 3,000 base units of pay at 5 % are 150: 37 for each of four, 2 wait for the next time.
    function test_fees_fromTheLeaseToTheMembers() public {
        uint64 lease = _open();
        _claim(lease, 429, escrow.leaseInfo(lease).start + 430, 0);
        escrow.collect(lease);
        eq(escrow.withdrawFees(COMMITTEE, address(dollar)), 150, "fee of the lease");
        eq(pot.distribute(dollar), 37, "share");
        eq(pot.earned(TERM, dollar, _member(2)), 37, "accrued");
        vm.prank(_member(2));
        eq(pot.withdraw(TERM, dollar, PAYEE), 37, "paid to where the member says");
        eq(dollar.balanceOf(PAYEE), 37, "arrived");
        vm.prank(_member(2));
        vm.expectRevert(CommitteeFees.NothingToWithdraw.selector);
        pot.withdraw(TERM, dollar, PAYEE);
        vm.expectRevert(CommitteeFees.NothingToDistribute.selector);
        pot.distribute(dollar);
        dollar.mint(address(pot), 2);
        eq(pot.distribute(dollar), 1, "what was left over counts again");
        eq(pot.earned(TERM, dollar, _member(2)), 1, "on top");
        eq(pot.earned(TERM, dollar, _member(0)), 38, "untouched by others' withdrawals");
    }

    function test_fees_strangersAndOtherTerms() public {
        dollar.mint(address(pot), 400);
        pot.distribute(dollar);
        vm.expectRevert(abi.encodeWithSelector(CommitteeFees.NotAMember.selector, TERM, address(this)));
        pot.withdraw(TERM, dollar, address(this));
        vm.prank(_member(0));
        vm.expectRevert(abi.encodeWithSelector(CommitteeFees.NotAMember.selector, 2, _member(0)));
        pot.withdraw(2, dollar, PAYEE);
    }

    /// @notice The term in force when it is shared out has it; a member of both has two seats, and each is paid once.
    function test_fees_followTheTerms() public {
        _handOver(10);
        dollar.mint(address(pot), 400);
        eq(pot.termNow(), 1, "rotated, not handed over yet");
        pot.distribute(dollar);
        vm.warp(registry.startOf(COMMITTEE, 10));
        eq(pot.termNow(), 2, "handed over");
        dollar.mint(address(pot), 50);
        eq(pot.distribute(dollar), 10, "five members now");
        eq(pot.earned(1, dollar, _member(0)), 100, "old seat");
        eq(pot.earned(2, dollar, _member(0)), 10, "new seat");
        eq(pot.earned(2, dollar, _member(4)), 10, "newcomer");
        vm.prank(_member(0));
        pot.withdraw(2, dollar, PAYEE);
        eq(pot.earned(1, dollar, _member(0)), 100, "the other seat's is still there");
    }

    function test_fees_beforeTheFirstEpoch() public {
        vm.warp(registry.genesisOf(COMMITTEE) - 5);
        eq(pot.termNow(), 1, "the first term");
    }

    /// @notice Whatever arrives in whatever portions and whoever takes when: nobody gets more than an equal part, the pot
    /// always holds what it owes, and less than one unit per member lies idle.
    function testFuzz_fees_exact(uint32[8] calldata portions, uint256 who) public {
        uint256 total = 0;
        for (uint256 i = 0; i < portions.length; ++i) {
            dollar.mint(address(pot), portions[i]);
            total += portions[i];
            try pot.distribute(dollar) {} catch {}
            address member = _member((who >> (2 * i)) % 4);
            if (pot.earned(TERM, dollar, member) != 0) {
                vm.prank(member);
                pot.withdraw(TERM, dollar, member);
            }
            yes(dollar.balanceOf(address(pot)) >= pot.owed(dollar), "what is owed is there");
            yes(dollar.balanceOf(address(pot)) - pot.owed(dollar) < 4, "less than a unit each lies idle");
        }
        for (uint256 i = 0; i < 4; ++i) {
            uint256 got = dollar.balanceOf(_member(i)) + pot.earned(TERM, dollar, _member(i));
            eq(got, total / 4, "equal parts");
        }
    }

    function _handOver(uint64 fromEpoch) private {
        _registerMembers(COMMITTEE, 5);
        _configure(COMMITTEE, 2, 5);
        NewKey memory k = _newKey(COMMITTEE, 2, 0xBEEF, 4);
        Rotation memory r = _rotation(1, 2, fromEpoch, k);
        registry.rotate(r, BlsSigner.sign(SECRET, _digest(r)), k);
    }
}
