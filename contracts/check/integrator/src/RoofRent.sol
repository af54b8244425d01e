// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IReportConsumer, IReportHub, Leaf, ReportClaims} from "plumbline-contracts/src/Plumbline.sol";

/// @title RoofRent, an integrator's contract
/// @notice A house owner is paid in ether for every proven unit of the device on the roof. Written against the
/// published package alone; nothing of this repository is imported by path.
contract RoofRent is IReportConsumer {
    error NotProven();

    IReportHub private immutable _hub;
    address payable private immutable _owner;
    uint64 private immutable _lease;
    bytes32 private immutable _policy;
    uint256 private immutable _weiPerUnit;
    uint256 public paidSoFar;

    constructor(IReportHub hub, address payable owner, uint64 lease, bytes32 policy, uint256 weiPerUnit) payable {
        (_hub, _owner, _lease, _policy, _weiPerUnit) = (hub, owner, lease, policy, weiPerUnit);
    }

    /// @inheritdoc IReportConsumer
    function claim(uint64 lease, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof)
        external
        returns (uint256 paid)
    {
        if (lease != _lease || leaf.lease != _lease || leaf.escrow != address(this) || leaf.policyHash != _policy) revert NotProven();
        if (!_hub.leafProven(1, 0, epoch, leaf, proof)) revert NotProven();
        // Counters are cumulative: an older or repeated leaf owes nothing new.
        uint256 owed = ReportClaims.netUnits(leaf) * _weiPerUnit;
        if (owed <= paidSoFar) return 0;
        paid = owed - paidSoFar;
        if (paid > address(this).balance) paid = address(this).balance;
        paidSoFar += paid;
        (bool ok,) = _owner.call{value: paid}("");
        require(ok, "owner refuses");
    }
}
