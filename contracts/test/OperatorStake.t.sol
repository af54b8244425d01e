// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {OperatorStake} from "../src/OperatorStake.sol";
import {ICommitteeRegistry} from "../src/interfaces/ICommitteeRegistry.sol";
import {IOperatorStake} from "../src/interfaces/IOperatorStake.sol";
import {MemberStatement} from "../src/Types.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {TestDollar} from "../src/mocks/TestDollar.sol";
import {World} from "./support/World.sol";

/// @notice Bonds, and the one fault they answer for.
contract OperatorStakeTest is World {
    uint256 private constant MINIMUM = 1_000;
    uint256 private constant SLASH = 400;
    uint64 private constant DELAY_OUT = 1_000;
    address private constant INSURANCE = address(0x1115);

    OperatorStake private stake;
    TestDollar private dollar;

    function setUp() public {
        _deployCommittee();
        dollar = new TestDollar();
        stake = new OperatorStake(address(this), dollar, registry, INSURANCE, MINIMUM, SLASH, DELAY_OUT);
        _bond(_member(0), MINIMUM);
    }

    function test_slash_equivocation_onceAndCapped() public {
        (MemberStatement memory a, MemberStatement memory b) = _pair();
        (bytes memory x, bytes memory y) = (_signed(a, 0), _signed(b, 0));
        stake.slash(COMMITTEE, TERM, a, x, b, y);
        eq(stake.stakeOf(_member(0)), MINIMUM - SLASH, "bond");
        (address reporter, uint96 amount) = stake.faults(_fault(a, 0));
        eq(reporter, address(this), "reporter");
        eq(amount, SLASH, "to be shared out");
        vm.expectPartialRevert(IOperatorStake.FaultUsed.selector);
        stake.slash(COMMITTEE, TERM, a, x, b, y);
        vm.expectPartialRevert(IOperatorStake.FaultUsed.selector);
        stake.slash(COMMITTEE, TERM, b, y, a, x);
        stake.shareOut(_fault(a, 0));
        eq(stake.rewards(address(this)), SLASH / 10, "reward");
        eq(stake.rewards(INSURANCE), SLASH - SLASH / 10, "insurance");
        stake.withdrawRewards(address(this));
        eq(dollar.balanceOf(address(this)), SLASH / 10, "withdrawn");
        vm.expectRevert(IOperatorStake.NothingToWithdraw.selector);
        stake.shareOut(_fault(a, 0));
        vm.expectPartialRevert(IOperatorStake.FaultUsed.selector);
        stake.slash(COMMITTEE, TERM, a, x, b, y);
    }

    /// @notice Nine tenths of every slash are the insurance's, whoever brings the proofs; nothing is burned.
    function test_slash_insuranceShare() public {
        _bond(_member(1), MINIMUM);
        (MemberStatement memory a, MemberStatement memory b) = _pair();
        stake.slash(COMMITTEE, TERM, a, _signed(a, 0), b, _signed(b, 0));
        (bytes memory x, bytes memory y) = (_signed(a, 1), _signed(b, 1));
        vm.prank(GUARDIAN);
        stake.slash(COMMITTEE, TERM, a, x, b, y);
        stake.shareOut(_fault(a, 0));
        stake.shareOut(_fault(a, 1));
        eq(stake.withdrawRewards(INSURANCE), 2 * (SLASH - SLASH / 10), "anyone may move it, to one place");
        eq(dollar.balanceOf(INSURANCE), 2 * (SLASH - SLASH / 10), "insurance has it");
        stake.withdrawRewards(GUARDIAN);
        eq(dollar.balanceOf(GUARDIAN), SLASH / 10, "the reporter has it, whoever called");
        eq(dollar.balanceOf(address(stake)), 2 * (MINIMUM - SLASH) + SLASH / 10, "the rest is bonds and one reward");
    }

    function testFuzz_slash_needsSameInstancePhaseViewAndOtherValue(uint256 field) public {
        (MemberStatement memory a, MemberStatement memory b) = _pair();
        field = field % 4;
        if (field == 0) b.instance = keccak256("other");
        if (field == 1) b.phase = 4;
        if (field == 2) b.view_ = 2;
        if (field == 3) b.value = a.value;
        (bytes memory x, bytes memory y) = (_signed(a, 0), _signed(b, 0));
        vm.expectRevert(IOperatorStake.NotAFault.selector);
        stake.slash(COMMITTEE, TERM, a, x, b, y);
    }

    function test_slash_refusesTwoSignersAndStrangers() public {
        (MemberStatement memory a, MemberStatement memory b) = _pair();
        (bytes memory x, bytes memory y) = (_signed(a, 0), _signed(b, 1));
        vm.expectRevert(IOperatorStake.SignersDiffer.selector);
        stake.slash(COMMITTEE, TERM, a, x, b, y);
        (x, y) = (_signed(a, 9), _signed(b, 9));
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.NotAMember.selector, _member(9)));
        stake.slash(COMMITTEE, TERM, a, x, b, y);
    }

    /// @notice Statements of another deployment prove nothing here.
    function test_slash_refusesAnotherDomain() public {
        (MemberStatement memory a, MemberStatement memory b) = _pair();
        vm.chainId(block.chainid + 1);
        (bytes memory x, bytes memory y) = (_signed(a, 0), _signed(b, 0));
        vm.chainId(block.chainid - 1);
        vm.expectRevert(IOperatorStake.SignersDiffer.selector);
        stake.slash(COMMITTEE, TERM, a, x, b, y);
        eq(stake.stakeOf(_member(0)), MINIMUM, "untouched");
    }

    /// @notice Leaving does not save the bond, and too little bond does not stop the proof.
    function test_slash_reachesWhatIsLeaving() public {
        vm.prank(_member(0));
        stake.unbond(MINIMUM);
        eq(stake.stakeOf(_member(0)), 0, "no longer counted");
        (MemberStatement memory a, MemberStatement memory b) = _pair();
        stake.slash(COMMITTEE, TERM, a, _signed(a, 0), b, _signed(b, 0));
        (uint256 leaving,) = stake.unbonding(_member(0));
        eq(leaving, MINIMUM - SLASH, "leaving");
        uint256 amount = stake.slash(COMMITTEE, TERM, a, _signed(a, 1), b, _signed(b, 1));
        eq(amount, 0, "no bond, no revert");
    }

    function test_unbond_delayAndMinimum() public {
        vm.prank(_member(0));
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.BelowMinimum.selector, MINIMUM - 1, MINIMUM));
        stake.unbond(1);
        vm.prank(_member(0));
        stake.unbond(MINIMUM);
        vm.prank(_member(0));
        vm.expectPartialRevert(IOperatorStake.StillUnbonding.selector);
        stake.withdrawUnbonded();
        vm.warp(block.timestamp + DELAY_OUT);
        vm.prank(_member(0));
        stake.withdrawUnbonded();
        eq(dollar.balanceOf(_member(0)), MINIMUM, "back");
    }

    function test_registry_acceptsBondedMembers() public {
        registry.setStake(stake);
        vm.prank(_member(0));
        registry.register(COMMITTEE, bytes32(uint256(1)), bytes32(uint256(1)), bytes32(uint256(1)), "");
        vm.prank(_member(1));
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.StakeTooLow.selector, 0, MINIMUM));
        registry.register(COMMITTEE, bytes32(uint256(1)), bytes32(uint256(1)), bytes32(uint256(1)), "");
    }

    function _bond(address member, uint256 amount) private {
        dollar.mint(member, amount);
        vm.prank(member);
        dollar.approve(address(stake), amount);
        vm.prank(member);
        stake.bond(amount);
    }

    function _fault(MemberStatement memory s, uint256 member) private pure returns (bytes32) {
        return keccak256(abi.encode(_member(member), s.instance, s.phase, s.view_));
    }

    function _pair() private pure returns (MemberStatement memory a, MemberStatement memory b) {
        a = MemberStatement(keccak256("instance"), 3, 1, keccak256("one"));
        b = MemberStatement(keccak256("instance"), 3, 1, keccak256("two"));
    }

    function _signed(MemberStatement memory s, uint256 member) private view returns (bytes memory) {
        bytes32 structHash = keccak256(abi.encode(Typed.MEMBER_STATEMENT, s));
        return _ecdsa(MEMBER_KEY + member, registry.hashTyped(structHash));
    }
}
