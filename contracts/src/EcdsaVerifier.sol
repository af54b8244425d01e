// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ICertificateVerifier} from "./interfaces/ICertificateVerifier.sol";

/// @title EcdsaVerifier
/// @notice Certificates of k secp256k1 signatures out of n members, for chains without EIP-2537 and for small
/// committees, where they cost less gas (the table is in README.md). Holds no state. Leaves out: who the members are.
/// @dev Key: k (one byte), then n addresses of 20 bytes, ascending. Signature: k items of 66 bytes, each the member's
/// index (one byte) and its 65-byte signature over the digest (r s v, low s), ascending by index. Exactly k: a certificate
/// has one length, and a relayer cannot inflate it. A key that is not ascending loses members, it never gains any.
contract EcdsaVerifier is ICertificateVerifier {
    error NotEnoughGas();

    /// @notice Most members of a key: an index is one byte, and so is k.
    uint256 public constant MAX_MEMBERS = 255;
    uint256 private constant ITEM = 66;
    /// @dev A recovery costs 3,000; below this the precompile could starve and a good signature look bad.
    uint256 private constant RECOVERY_GAS = 6_000;

    /// @inheritdoc ICertificateVerifier
    function verify(bytes calldata key, bytes32 digest, bytes calldata signature) external view returns (bool) {
        if (key.length < 21 || key.length % 20 != 1) return false;
        uint256 members = key.length / 20;
        uint256 threshold = uint8(key[0]);
        if (members > MAX_MEMBERS || threshold == 0 || threshold > members) return false;
        if (signature.length != threshold * ITEM) return false;
        address last = address(0);
        for (uint256 i = 0; i < threshold; ++i) {
            bytes calldata item = signature[i * ITEM:(i + 1) * ITEM];
            uint256 index = uint8(item[0]);
            if (index >= members) return false;
            address member = address(bytes20(key[1 + 20 * index:21 + 20 * index]));
            // Ascending addresses: nobody signs twice, whatever the key holds.
            if (member <= last || !_signed(member, digest, item[1:])) return false;
            last = member;
        }
        return true;
    }

    function _signed(address member, bytes32 digest, bytes calldata signature) private view returns (bool) {
        if (gasleft() < RECOVERY_GAS) revert NotEnoughGas();
        // The third value only explains a failure.
        // slither-disable-next-line unused-return
        (address signer, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        return failure == ECDSA.RecoverError.NoError && signer == member;
    }
}
