// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Verifier of a committee's certificates
/// @notice What a contract needs to check a certificate without knowing its scheme. `BlsVerifier` is the protocol's;
/// `EcdsaVerifier` takes k signatures of n members, for chains without EIP-2537.
interface ICertificateVerifier {
    /// @notice True iff `signature` over `digest` verifies under `key`. Reverts when starved of gas, so that false always
    /// means "not a certificate". Revert on false; never take false for a proof of anything.
    /// @param key Encoded as the scheme says; that it is a committee's key is for the caller to know.
    function verify(bytes calldata key, bytes32 digest, bytes calldata signature) external view returns (bool);
}
