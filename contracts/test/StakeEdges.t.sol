// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {OperatorStake} from "../src/OperatorStake.sol";
import {IOperatorStake} from "../src/interfaces/IOperatorStake.sol";
import {MemberStatement} from "../src/Types.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {TestDollar} from "../src/mocks/TestDollar.sol";
import {World} from "./support/World.sol";

/// @notice The exact edges of bonds: what mutation testing showed that no other test looked at (MUTANTS.md).
contract StakeEdgesTest is World {
    OperatorStake private stake;
    TestDollar private dollar;

    function setUp() public {
        _deployCommittee();
        dollar = new TestDollar();
        stake = new OperatorStake(address(this), dollar, registry, address(0x1115), 1_000, 400, 1_000);
        dollar.mint(_member(0), 5_000);
        vm.prank(_member(0));
        dollar.approve(address(stake), type(uint256).max);
    }

    function test_bond_addsToWhatIsThere() public {
        _bond(1_000);
        _bond(700);
        eq(stake.stakeOf(_member(0)), 1_700, "both bonds");
        vm.expectPartialRevert(IOperatorStake.WrongAmount.selector);
        _bond(0);
    }

    function test_unbond_toExactlyTheMinimumAndNotBeyondTheBond() public {
        _bond(1_500);
        vm.prank(_member(0));
        vm.expectPartialRevert(IOperatorStake.StakeTooLow.selector);
        stake.unbond(1_501);
        vm.prank(_member(0));
        stake.unbond(500);
        eq(stake.stakeOf(_member(0)), 1_000, "exactly the minimum may stay");
    }

    function test_rewards_arePaidOnce() public {
        _bond(1_000);
        (MemberStatement memory a, MemberStatement memory b) = (
            MemberStatement(keccak256("i"), 3, 1, keccak256("x")), MemberStatement(keccak256("i"), 3, 1, keccak256("y"))
        );
        stake.slash(COMMITTEE, TERM, a, _signed(a), b, _signed(b));
        stake.shareOut(keccak256(abi.encode(_member(0), a.instance, a.phase, a.view_)));
        stake.withdrawRewards(address(this));
        eq(dollar.balanceOf(address(this)), 40, "a tenth");
        vm.expectRevert(IOperatorStake.NothingToWithdraw.selector);
        stake.withdrawRewards(address(this));
    }

    /// @notice What the bond cannot pay comes from what is leaving, and no more than that.
    function test_slash_takesOnlyTheRestFromWhatIsLeaving() public {
        _bond(2_000);
        vm.prank(_member(0));
        stake.unbond(1_000);
        for (uint32 i = 0; i < 3; ++i) {
            (MemberStatement memory a, MemberStatement memory b) = _pair(i);
            eq(stake.slash(COMMITTEE, TERM, a, _signed(a), b, _signed(b)), 400, "each time the same");
        }
        (uint256 leaving,) = stake.unbonding(_member(0));
        eq(stake.stakeOf(_member(0)), 0, "bond");
        eq(leaving, 800, "leaving");
    }

    /// @notice After a fork of the chain the statements of the new chain count, the old chain's do not.
    function test_slash_domainOfAForkedChain() public {
        _bond(1_000);
        (MemberStatement memory a, MemberStatement memory b) = _pair(1);
        (bytes memory oldA, bytes memory oldB) = (_signed(a), _signed(b));
        vm.chainId(4_242);
        vm.expectRevert(IOperatorStake.SignersDiffer.selector);
        stake.slash(COMMITTEE, TERM, a, oldA, b, oldB);
        eq(stake.slash(COMMITTEE, TERM, a, _signed(a), b, _signed(b)), 400, "of this chain");
    }

    function _pair(uint32 view_) private pure returns (MemberStatement memory a, MemberStatement memory b) {
        a = MemberStatement(keccak256("i"), 3, view_, keccak256("x"));
        b = MemberStatement(keccak256("i"), 3, view_, keccak256("y"));
    }

    function test_settings_zeroIsRefused() public {
        stake.setInsurance(address(0x2));
        eq(stake.insurance(), address(0x2), "insurance");
        vm.expectRevert(IOperatorStake.BadSettings.selector);
        stake.setInsurance(address(0));
        vm.expectRevert(IOperatorStake.BadSettings.selector);
        new OperatorStake(address(this), dollar, registry, address(0x1115), 1_000, 0, 1_000);
        vm.expectRevert(IOperatorStake.BadSettings.selector);
        new OperatorStake(address(this), dollar, registry, address(0x1115), 1_000, 400, 0);
    }

    function _bond(uint256 amount) private {
        vm.prank(_member(0));
        stake.bond(amount);
    }

    function _signed(MemberStatement memory s) private view returns (bytes memory) {
        return _ecdsa(MEMBER_KEY, registry.hashTyped(keccak256(abi.encode(Typed.MEMBER_STATEMENT, s))));
    }
}
