// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ICommitteeRegistry, IReportHub, Leaf} from "plumbline-contracts/src/Plumbline.sol";
import {MockReportHub} from "plumbline-contracts/src/mocks/MockReportHub.sol";
import {RoofRent} from "../src/RoofRent.sol";

interface Vm {
    function warp(uint256 timestamp) external;
    function deal(address account, uint256 balance) external;
    function expectRevert(bytes4 selector) external;
}

/// @notice An integrator's test: made-up leaves by the mock hub, no committee, no chain.
contract RoofRentTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    address payable private constant OWNER = payable(address(0x0FF1CE));
    bytes32 private constant POLICY = keccak256("policy");
    uint64 private constant WINDOW = 100;

    MockReportHub private hub;
    RoofRent private rent;

    function setUp() public {
        vm.warp(1_800_000_000);
        vm.deal(address(this), 1 ether);
        hub = new MockReportHub(ICommitteeRegistry(address(0)), WINDOW);
        rent = new RoofRent{value: 1 ether}(hub, OWNER, 7, POLICY, 1_000);
    }

    function test_paysProvenUnitsOnce() public {
        Leaf[] memory leaves = _leaves(40);
        hub.report(1, 0, 0, leaves);
        bytes32[] memory proof = hub.proofOf(leaves, 2);
        vm.expectRevert(RoofRent.NotProven.selector);
        rent.claim(7, 0, leaves[2], proof);
        vm.warp(block.timestamp + WINDOW);
        require(rent.claim(7, 0, leaves[2], proof) == 40_000, "paid");
        require(rent.claim(7, 0, leaves[2], proof) == 0, "once");
        require(OWNER.balance == 40_000, "received");
    }

    function test_refusesWhatIsNotProven() public {
        Leaf[] memory leaves = _leaves(40);
        hub.report(1, 0, 0, leaves);
        vm.warp(block.timestamp + WINDOW);
        bytes32[] memory proof = hub.proofOf(leaves, 2);
        leaves[2].units += 1;
        vm.expectRevert(RoofRent.NotProven.selector);
        rent.claim(7, 0, leaves[2], proof);
    }

    function test_disabledRootPaysNothing() public {
        Leaf[] memory leaves = _leaves(40);
        hub.report(1, 0, 0, leaves);
        hub.disable(1, 0, 0);
        vm.warp(block.timestamp + WINDOW);
        bytes32[] memory proof = hub.proofOf(leaves, 2);
        vm.expectRevert(RoofRent.NotProven.selector);
        rent.claim(7, 0, leaves[2], proof);
        try hub.report(1, 0, 1, leaves) {
            revert("a frozen stream took a report");
        } catch (bytes memory why) {
            require(bytes4(why) == IReportHub.StreamIsFrozen.selector, "another reason");
        }
    }

    function _leaves(uint128 units) private view returns (Leaf[] memory leaves) {
        leaves = new Leaf[](5);
        for (uint64 i = 0; i < 5; ++i) {
            (leaves[i].lease, leaves[i].units, leaves[i].policyHash) = (5 + i, units, POLICY);
            leaves[i].escrow = address(rent);
            leaves[i].through = uint64(block.timestamp);
        }
    }
}
