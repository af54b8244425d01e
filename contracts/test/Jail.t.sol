// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {OperatorStake} from "../src/OperatorStake.sol";
import {IOperatorStake} from "../src/interfaces/IOperatorStake.sol";
import {IReportHub} from "../src/interfaces/IReportHub.sol";
import {Config} from "../src/libraries/TermConfig.sol";
import {Header} from "../src/Types.sol";
import {TestDollar} from "../src/mocks/TestDollar.sol";
import {World} from "./support/World.sol";

/// @notice Jail for long absence, shown by the participation bitmaps of linked headers.
contract JailTest is World {
    uint64 private constant DELAY_OUT = 1_000;
    OperatorStake private stake;

    function setUp() public {
        _deployCommittee();
        TestDollar dollar = new TestDollar();
        stake = new OperatorStake(address(this), dollar, registry, address(1), 100, 40, DELAY_OUT);
        stake.setHub(hub);
        dollar.mint(_member(2), 100);
        vm.prank(_member(2));
        dollar.approve(address(stake), 100);
        vm.prank(_member(2));
        stake.bond(100);
    }

    /// @dev `n` linked headers; member 2 is absent from the first `absent`. Only the last one is posted.
    function _chain(uint64 from, uint256 n, uint256 absent) private returns (Header[] memory headers) {
        headers = new Header[](n);
        bytes32 previous;
        for (uint256 i = 0; i < n; ++i) {
            headers[i] = _header(from + uint64(i), bytes32(0));
            headers[i].participation = i < absent ? 11 : 15;
            headers[i].previousHeader = previous;
            previous = _headerDigest(headers[i]);
        }
        Header memory last = headers[n - 1];
        bytes memory certificate = _certify(last, SECRET);
        vm.warp(last.periodEnd);
        hub.post(last, certificate);
    }

    function _config() private view returns (Config memory c) {
        (c.chainId, c.registry, c.committee, c.term) = (block.chainid, address(registry), COMMITTEE, TERM);
        c.members = _members(4);
        (c.peerKeys, c.dkgKeys) = (new bytes32[](4), new bytes32[](4));
        for (uint256 i = 0; i < 4; ++i) {
            (c.peerKeys[i], c.dkgKeys[i]) = (bytes32(i + 1), bytes32(i + 101));
        }
        (c.policyHash, c.epochSeconds, c.slotMs, c.genesisDelay) = (BOOK, EPOCH, SLOT_MS, DELAY);
    }

    function test_jail_aboveHalf_noSeatForAWhile_noMoneyLost() public {
        Header[] memory headers = _chain(0, 64, 33);
        stake.jail(_config(), 2, headers);
        eq(stake.jailedUntil(_member(2)), block.timestamp + DELAY_OUT, "until");
        eq(stake.stakeOf(_member(2)), 0, "counts as no bond");
        vm.warp(block.timestamp + DELAY_OUT);
        eq(stake.stakeOf(_member(2)), 100, "the bond is whole");
    }

    function test_jail_halfIsNotEnough_norFewerThan64() public {
        Header[] memory headers = _chain(0, 64, 32);
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.NotAbsent.selector, 32, 64));
        stake.jail(_config(), 2, headers);
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.NotAbsent.selector, 0, 64));
        stake.jail(_config(), 1, headers);
        headers = _chain(100, 63, 63);
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.TooFewHeaders.selector, 63));
        stake.jail(_config(), 2, headers);
    }

    function test_jail_onlyCertifiedHeaders() public {
        Header[] memory headers = _chain(0, 64, 33);
        headers[40].participation = 11;
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.NotCertified.selector, 40));
        stake.jail(_config(), 2, headers);
        headers[40].participation = 15;
        headers[63].participation = 11;
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.NotCertified.selector, 63));
        stake.jail(_config(), 2, headers);
    }

    /// @notice The config proves who has which index; a forged one moves the blame to nobody.
    function test_jail_configMustBeTheTerms() public {
        Header[] memory headers = _chain(0, 64, 33);
        Config memory c = _config();
        c.members[2] = _member(3);
        vm.expectRevert(IOperatorStake.WrongConfig.selector);
        stake.jail(c, 2, headers);
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.NotAMember.selector, address(0)));
        stake.jail(_config(), 4, headers);
    }

    function test_jail_anEpochCountsOnce() public {
        Header[] memory headers = _chain(0, 64, 64);
        stake.jail(_config(), 2, headers);
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.AlreadyCounted.selector, 64));
        stake.jail(_config(), 2, headers);
        stake.release(_member(2));
        eq(stake.stakeOf(_member(2)), 100, "released by governance");
        headers = _chain(64, 64, 64);
        stake.jail(_config(), 2, headers);
        eq(stake.stakeOf(_member(2)), 0, "again");
    }

    function test_jail_notWithoutHub_norOnAFrozenStream() public {
        Header[] memory headers = _chain(0, 64, 64);
        stake.setHub(IReportHub(address(0)));
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.NotCertified.selector, 63));
        stake.jail(_config(), 2, headers);
        stake.setHub(hub);
        vm.prank(GUARDIAN);
        hub.disable(COMMITTEE, STREAM, 63);
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.NotCertified.selector, 63));
        stake.jail(_config(), 2, headers);
    }
}
