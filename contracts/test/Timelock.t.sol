// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {ICommitteeRegistry} from "../src/interfaces/ICommitteeRegistry.sol";
import {NewKey, Rotation} from "../src/Types.sol";
import {BlsSigner} from "./support/BlsSigner.sol";
import {World} from "./support/World.sol";

/// @notice Governance as it is deployed: OpenZeppelin's TimelockController owns the registry. One proposer, anyone executes.
contract TimelockTest is World {
    uint256 private constant WAIT = 1 days;
    address private constant PROPOSER = address(0x9909);

    TimelockController private timelock;

    function setUp() public {
        _deployCommittee();
        address[] memory proposers = new address[](1);
        proposers[0] = PROPOSER;
        timelock = new TimelockController(WAIT, proposers, new address[](1), address(0));
        registry.transferOwnership(address(timelock));
        _govern(abi.encodeCall(registry.acceptOwnership, ()), 0);
        eq(registry.owner(), address(timelock), "the timelock governs");
    }

    function test_rule10_governanceOnlyThroughTheDelay() public {
        _govern(_configuring(2), 0);
        (uint64 from, NewKey memory k) = (_epochAfter(2 * WAIT), _newKey(COMMITTEE, 2, 0xBEEF, 3));
        bytes memory call = abi.encodeCall(registry.rotateByGovernance, (COMMITTEE, 2, from, 0, k));
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        registry.rotateByGovernance(COMMITTEE, 2, from, 0, k);
        vm.prank(PROPOSER);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, PROPOSER));
        registry.rotateByGovernance(COMMITTEE, 2, from, 0, k);
        vm.expectPartialRevert(TimelockController.TimelockUnexpectedOperationState.selector);
        _execute(call, 1);
        _schedule(call, 1);
        vm.warp(block.timestamp + WAIT - 1);
        vm.expectPartialRevert(TimelockController.TimelockUnexpectedOperationState.selector);
        _execute(call, 1);
        vm.warp(block.timestamp + 1);
        _execute(call, 1);
        eq(registry.activeTerm(COMMITTEE), 2, "handed over");
        vm.expectPartialRevert(TimelockController.TimelockUnexpectedOperationState.selector);
        _execute(call, 1);
    }

    /// @notice Only proposers schedule, and never for sooner than the delay.
    function test_rule10_strangersCannotPropose() public {
        bytes memory call = _configuring(2);
        vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
        timelock.schedule(address(registry), 0, call, 0, 0, WAIT);
        vm.prank(PROPOSER);
        vm.expectPartialRevert(TimelockController.TimelockInsufficientDelay.selector);
        timelock.schedule(address(registry), 0, call, 0, 0, WAIT - 1);
    }

    /// @notice While a proposal waited, the old committee rotated after all. Executed now, the proposal would replace the
    /// new term by what was meant for the old one, from a base of the past: it is refused for good.
    function test_rule10_staleProposalReplacesNothing() public {
        _govern(_configuring(2), 0);
        _govern(_configuring(3), 1);
        uint64 from = _epochAfter(3 * WAIT);
        NewKey memory k = _newKey(COMMITTEE, 3, 0xDEAD, 3);
        bytes memory stale = abi.encodeCall(registry.rotateByGovernance, (COMMITTEE, 3, from, 0, k));
        _schedule(stale, 2);
        _rotateByOldKey(_epochAfter(WAIT));
        vm.warp(block.timestamp + WAIT);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.StaleProposal.selector, 3, 1, 2));
        _execute(stale, 2);
        eq(registry.activeTerm(COMMITTEE), 2, "the members' own rotation stands");
        // Governance says again what it means now, under the term that is in force.
        _govern(_configuring(4), 3);
        k = _newKey(COMMITTEE, 4, 0xDEAD, 3);
        from = _epochAfter(2 * WAIT);
        _govern(abi.encodeCall(registry.rotateByGovernance, (COMMITTEE, 4, from, 0, k)), 4);
        eq(registry.activeTerm(COMMITTEE), 4, "a fresh proposal works");
    }

    /// @notice A proposal left lying until its first epoch is near dies by itself: nobody can spring it on the committee.
    function test_rule10_lateExecutionIsTooSoonForItsEpoch() public {
        _govern(_configuring(2), 0);
        uint64 from = _epochAfter(2 * WAIT);
        NewKey memory k = _newKey(COMMITTEE, 2, 0xBEEF, 3);
        bytes memory call = abi.encodeCall(registry.rotateByGovernance, (COMMITTEE, 2, from, 0, k));
        _schedule(call, 1);
        vm.warp(registry.startOf(COMMITTEE, from) - 2 * LAG);
        vm.expectPartialRevert(ICommitteeRegistry.RotationTooSoon.selector);
        _execute(call, 1);
    }

    /// @notice A withdrawn proposal cannot be executed.
    function test_rule10_cancelledProposal() public {
        bytes memory call = _configuring(2);
        _schedule(call, 0);
        bytes32 id = timelock.hashOperation(address(registry), 0, call, 0, 0);
        vm.prank(PROPOSER);
        timelock.cancel(id);
        vm.warp(block.timestamp + WAIT);
        vm.expectPartialRevert(TimelockController.TimelockUnexpectedOperationState.selector);
        _execute(call, 0);
    }

    function _rotateByOldKey(uint64 fromEpoch) private {
        NewKey memory k = _newKey(COMMITTEE, 2, 0xBEEF, 3);
        Rotation memory r = _rotation(1, 2, fromEpoch, k);
        registry.rotate(r, BlsSigner.sign(SECRET, _digest(r)), k);
    }

    function _configuring(uint64 term) private view returns (bytes memory) {
        return
            abi.encodeCall(
                registry.configure, (COMMITTEE, term, _members(4), BOOK, EPOCH, uint64(SLOT_MS), uint64(DELAY))
            );
    }

    /// @dev The first epoch that starts more than `wait` seconds from now.
    function _epochAfter(uint256 wait) private view returns (uint64) {
        return uint64((block.timestamp + wait - registry.genesisOf(COMMITTEE)) / EPOCH) + 2;
    }

    function _govern(bytes memory call, uint256 salt) private {
        _schedule(call, salt);
        vm.warp(block.timestamp + WAIT);
        _execute(call, salt);
    }

    function _schedule(bytes memory call, uint256 salt) private {
        vm.prank(PROPOSER);
        timelock.schedule(address(registry), 0, call, 0, bytes32(salt), WAIT);
    }

    function _execute(bytes memory call, uint256 salt) private {
        timelock.execute(address(registry), 0, call, 0, bytes32(salt));
    }
}
