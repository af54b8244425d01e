// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IReportConsumer} from "../interfaces/IReportConsumer.sol";
import {IReportHub} from "../interfaces/IReportHub.sol";
import {ReportClaims} from "../libraries/ReportClaims.sol";
import {Leaf} from "../Types.sol";

/// @title ServiceBonus, an example
/// @notice Someone else's contract on the same reports: a city puts tokens here and pays a bonus for every proven unit of
/// one lease. It knows the hub and one policy, not the escrow; anyone may bring the leaf. Leaves out: getting rests back.
contract ServiceBonus is IReportConsumer {
    using SafeERC20 for IERC20;

    error NotProven();

    IReportHub private immutable _hub;
    IERC20 private immutable _token;
    address private immutable _provider;
    address private immutable _escrow;
    uint64 private immutable _committee;
    uint32 private immutable _stream;
    uint64 private immutable _lease;
    bytes32 private immutable _policy;
    uint256 private immutable _bonus;
    /// @notice Paid so far, in base units of the token.
    uint256 public paidSoFar;

    /// @param escrow Whose lease it is; leaves name it.
    /// @param bonus Base units of `token` per proven unit.
    constructor(
        IReportHub hub,
        IERC20 token,
        address provider,
        address escrow,
        uint64 committee,
        uint32 stream,
        uint64 lease,
        bytes32 policy,
        uint256 bonus
    ) {
        (_hub, _token, _provider, _bonus) = (hub, token, provider, bonus);
        _escrow = escrow;
        (_committee, _stream, _lease, _policy) = (committee, stream, lease, policy);
    }

    /// @inheritdoc IReportConsumer
    function claim(uint64 lease, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof)
        external
        returns (uint256 paid)
    {
        if (lease != _lease || leaf.lease != _lease || leaf.escrow != _escrow) revert NotProven();
        if (leaf.policyHash != _policy) revert NotProven();
        if (!_hub.leafProven(_committee, _stream, epoch, leaf, proof)) revert NotProven();
        // Counters are cumulative: what is owed in all, less what was paid; an older leaf owes nothing new.
        uint256 owed = Math.max(ReportClaims.netUnits(leaf) * _bonus, paidSoFar);
        paid = Math.min(owed - paidSoFar, _token.balanceOf(address(this)));
        paidSoFar += paid;
        _token.safeTransfer(_provider, paid);
    }
}
