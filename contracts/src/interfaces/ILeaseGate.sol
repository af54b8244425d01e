// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

/// @title Who may be the lessee of an offer
/// @notice An offer names a gate and a predicate; the gate knows an issuer and checks proofs.
interface ILeaseGate {
    /// @notice True iff `proof` shows that `lessee` fulfils the predicate. Must bind the proof to the lessee's address, so
    /// that a proof seen in a transaction is of no use to another account.
    function admits(address lessee, bytes32 predicate, bytes calldata proof) external view returns (bool);
}
