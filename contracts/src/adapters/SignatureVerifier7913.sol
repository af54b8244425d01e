// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC7913SignatureVerifier} from "@openzeppelin/contracts/interfaces/IERC7913.sol";
import {ICertificateVerifier} from "../interfaces/ICertificateVerifier.sol";

/// @title SignatureVerifier7913
/// @notice Makes a committee's certificate an ERC-7913 signature, so that any contract that asks OpenZeppelin's
/// `SignatureChecker` accepts a committee as a signer: signer = this contract's address, then the group key.
/// @dev Take group keys from `CommitteeRegistry` only: a key that nobody proved to possess is no committee, and a key
/// here has no term; whether it is still in force is the caller's to ask.
contract SignatureVerifier7913 is IERC7913SignatureVerifier {
    /// @notice Checks the certificates; `BlsVerifier` or `EcdsaVerifier`.
    ICertificateVerifier public immutable scheme;

    constructor(ICertificateVerifier scheme_) {
        scheme = scheme_;
    }

    /// @inheritdoc IERC7913SignatureVerifier
    function verify(bytes calldata key, bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        return scheme.verify(key, hash, signature) ? IERC7913SignatureVerifier.verify.selector : bytes4(0xffffffff);
    }
}
