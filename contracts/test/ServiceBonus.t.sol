// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ServiceBonus} from "../src/examples/ServiceBonus.sol";
import {Leaf} from "../src/Types.sol";
import {TestDollar} from "../src/mocks/TestDollar.sol";
import {World} from "./support/World.sol";

/// @notice A lease contract that is not ours lives on the same reports.
contract ServiceBonusTest is World {
    address private constant PROVIDER = address(0x9407);
    TestDollar private dollar;
    ServiceBonus private city;
    bytes32[] private none;

    function setUp() public {
        _deployCommittee();
        dollar = new TestDollar();
        city = new ServiceBonus(hub, dollar, PROVIDER, leafEscrow, COMMITTEE, STREAM, 7, POLICY, 3);
        dollar.mint(address(city), 200);
    }

    function test_bonus_paysProvenUnitsOnce() public {
        Leaf memory old = _leaf(7, 40, 60);
        _postActive(0, _hashLeaf(old));
        eq(city.claim(7, 0, old, none), 120, "40 units");
        eq(city.claim(7, 0, old, none), 0, "replay");
        Leaf memory leaf = _leaf(7, 60, 120);
        leaf.adjustment = 10;
        _postActive(1, _hashLeaf(leaf));
        eq(city.claim(7, 1, leaf, none), 30, "net of the adjustment");
        eq(city.claim(7, 0, old, none), 0, "older");
        eq(dollar.balanceOf(PROVIDER), 150, "received");
    }

    function test_bonus_paysWhatIsThere() public {
        Leaf memory leaf = _leaf(7, 1_000, 60);
        _postActive(0, _hashLeaf(leaf));
        eq(city.claim(7, 0, leaf, none), 200, "all there is");
        dollar.mint(address(city), 1_000);
        eq(city.claim(7, 0, leaf, none), 1_000, "more when there is more");
    }

    function test_bonus_refusesWhatIsNotProvenForIt() public {
        Leaf memory leaf = _leaf(7, 40, 60);
        _post(0, _hashLeaf(leaf));
        vm.expectRevert(ServiceBonus.NotProven.selector);
        city.claim(7, 0, leaf, none);
        vm.warp(block.timestamp + WINDOW);
        leaf.units += 1;
        vm.expectRevert(ServiceBonus.NotProven.selector);
        city.claim(7, 0, leaf, none);
        Leaf memory other = _leaf(8, 40, 120);
        _postActive(1, _hashLeaf(other));
        vm.expectRevert(ServiceBonus.NotProven.selector);
        city.claim(7, 1, other, none);
        vm.expectRevert(ServiceBonus.NotProven.selector);
        city.claim(8, 1, other, none);
        other = _leaf(7, 40, 180);
        other.policyHash = keccak256("another policy");
        _postActive(2, _hashLeaf(other));
        vm.expectRevert(ServiceBonus.NotProven.selector);
        city.claim(7, 2, other, none);
    }
}
