// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Where the registry looks up an operator's bond
/// @notice Implemented by `OperatorStake`; another staking system fits behind it through an adapter.
interface IStakeSource {
    /// @notice Bond of `operator` that is not leaving, in base units of the bond token.
    function stakeOf(address operator) external view returns (uint256);

    /// @notice Least bond a member needs to register.
    function minimumStake() external view returns (uint256);
}
