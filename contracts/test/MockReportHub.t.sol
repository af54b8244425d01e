// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Header, Leaf} from "../src/Types.sol";
import {ICommitteeRegistry} from "../src/interfaces/ICommitteeRegistry.sol";
import {IReportHub} from "../src/interfaces/IReportHub.sol";
import {MockReportHub} from "../src/mocks/MockReportHub.sol";
import {World} from "./support/World.sol";

/// @notice The integrators' mock beside the real hub: the same steps, the same answers to whoever reads roots.
contract MockReportHubTest is World {
    MockReportHub private mock;
    bytes32[] private none;

    function setUp() public {
        _deployCommittee();
        mock = new MockReportHub(registry, WINDOW);
    }

    /// @notice Any steps of posting, waiting and disabling look the same to a consumer on both hubs.
    function testFuzz_mock_looksLikeTheHub(uint256 seed) public {
        uint64 epoch;
        for (uint256 i = 0; i < 12; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            uint256 what = seed % 5;
            if (what == 4) _disableBoth(epoch - uint64(seed >> 8) % (epoch + 1));
            else if (what == 3) vm.warp(block.timestamp + (seed >> 8) % (2 * WINDOW));
            else _postBoth(epoch += uint64((seed >> 8) % 3));
            _same(epoch);
            (,,, bool frozen) = hub.latest(COMMITTEE, STREAM);
            if (frozen) break;
        }
    }

    /// @notice A root leaves the ring after 64 more epochs on both; an integrator must claim in time.
    function test_mock_forgetsLikeTheHub() public {
        for (uint64 epoch = 0; epoch < 66; ++epoch) {
            _postBoth(epoch);
            if (epoch == 63) yes(mock.root(COMMITTEE, STREAM, 0) != 0, "kept while the ring lasts");
        }
        _same(65);
        eq(mock.root(COMMITTEE, STREAM, 0), 0, "forgotten");
    }

    function test_mock_provesEveryLeafOfEverySize() public {
        for (uint64 size = 1; size <= 9; ++size) {
            Leaf[] memory leaves = new Leaf[](size);
            for (uint64 i = 0; i < size; ++i) {
                leaves[i] = _leaf(i + 1, 10 * size + i, 60);
            }
            mock.report(COMMITTEE, STREAM, size, leaves);
            vm.warp(block.timestamp + WINDOW);
            for (uint64 i = 0; i < size; ++i) {
                bytes32[] memory proof = mock.proofOf(leaves, i);
                yes(mock.leafProven(COMMITTEE, STREAM, size, leaves[i], proof), "own proof");
                yes(!mock.leafProven(COMMITTEE, STREAM, size, leaves[(i + 1) % size], proof) || size == 1, "another's");
            }
        }
    }

    function test_mock_emptyReportProvesNothing() public {
        mock.report(COMMITTEE, STREAM, 0, new Leaf[](0));
        vm.warp(block.timestamp + WINDOW);
        yes(mock.isActive(COMMITTEE, STREAM, 0), "active");
        yes(!mock.leafProven(COMMITTEE, STREAM, 0, _leaf(1, 1, 60), none), "no leaf");
    }

    function test_mock_frozenUntilThawed() public {
        mock.report(COMMITTEE, STREAM, 0, new Leaf[](0));
        mock.disable(COMMITTEE, STREAM, 0);
        vm.expectRevert(abi.encodeWithSelector(IReportHub.StreamIsFrozen.selector, uint64(0)));
        mock.report(COMMITTEE, STREAM, 1, new Leaf[](0));
        mock.thaw(COMMITTEE, STREAM);
        mock.report(COMMITTEE, STREAM, 1, new Leaf[](0));
    }

    /// @dev Posts one header on both; both take it or both refuse it for the same reason.
    function _postBoth(uint64 epoch) private {
        Header memory h = _header(epoch, keccak256(abi.encode("root", epoch)));
        if (block.timestamp < h.periodEnd) vm.warp(h.periodEnd);
        bytes memory certificate = _certify(h, SECRET);
        bytes memory refusal;
        try hub.post(h, certificate) {}
        catch (bytes memory why) {
            refusal = why;
        }
        try mock.post(h, "") {
            eqHash("", refusal, "the mock took what the hub refused");
        } catch (bytes memory why) {
            eqHash(why, refusal, "refusals differ");
        }
    }

    function _disableBoth(uint64 epoch) private {
        bytes memory refusal;
        vm.prank(GUARDIAN);
        try hub.disable(COMMITTEE, STREAM, epoch) {}
        catch (bytes memory why) {
            refusal = why;
        }
        try mock.disable(COMMITTEE, STREAM, epoch) {
            eqHash("", refusal, "the mock disabled what the hub did not");
        } catch (bytes memory why) {
            eqHash(why, refusal, "refusals differ");
        }
    }

    /// @dev All that a consumer can read, for every epoch around. Digests differ: the mock has no domain.
    function _same(uint64 newest) private view {
        (bool posted, uint64 epoch,, bool frozen) = hub.latest(COMMITTEE, STREAM);
        (bool mockPosted, uint64 mockEpoch,, bool mockFrozen) = mock.latest(COMMITTEE, STREAM);
        yes(posted == mockPosted && epoch == mockEpoch && frozen == mockFrozen, "latest");
        for (uint64 e = 0; e <= newest + 1; ++e) {
            eq(mock.root(COMMITTEE, STREAM, e), hub.root(COMMITTEE, STREAM, e), "root");
            eq(mock.activeAt(COMMITTEE, STREAM, e), hub.activeAt(COMMITTEE, STREAM, e), "activeAt");
            yes(mock.isActive(COMMITTEE, STREAM, e) == hub.isActive(COMMITTEE, STREAM, e), "isActive");
            eq(mock.activeRoot(COMMITTEE, STREAM, e), hub.activeRoot(COMMITTEE, STREAM, e), "activeRoot");
        }
    }
}
