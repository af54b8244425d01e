// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Leaf} from "../Types.sol";

/// @title A contract that pays by certified reports
/// @notice What a lease contract of your own implements so that relayers can bring it leaves. Check the leaf with
/// `IReportHub.leafProven`, the policy hash with the one you agreed, and treat all counters as cumulative.
interface IReportConsumer {
    /// @notice Settles one lease up to the leaf. A stale leaf pays nothing and must not revert.
    /// @return paid Base units that this call newly owes to the lessor's side.
    function claim(uint64 lease, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof)
        external
        returns (uint256 paid);
}
