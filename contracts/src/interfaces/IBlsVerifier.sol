// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @title Verifier of BLS12-381 MinSig certificates
interface IBlsVerifier {
    /// @notice Gas given to the pairing precompile.
    function pairingGas() external view returns (uint256);

    /// @notice True iff `signature` (96 bytes, x y) over `digest` verifies under `key` (256 bytes, EIP-2537). Revert on
    /// false; never take false for a proof of anything.
    function verify(bytes calldata key, bytes32 digest, bytes calldata signature) external view returns (bool);
}
