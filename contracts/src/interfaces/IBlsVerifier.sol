// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ICertificateVerifier} from "./ICertificateVerifier.sol";

/// @title Verifier of BLS12-381 MinSig certificates
/// @notice Keys of 256 bytes (EIP-2537 G2), signatures of 96 bytes (x y).
interface IBlsVerifier is ICertificateVerifier {
    /// @notice Gas given to the pairing precompile.
    function pairingGas() external view returns (uint256);
}
