// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IBlsVerifier} from "./interfaces/IBlsVerifier.sol";
import {ICertificateVerifier} from "./interfaces/ICertificateVerifier.sol";
import {Bls} from "./libraries/Bls.sol";

/// @title BlsVerifier
/// @notice Checks BLS12-381 MinSig certificates. Deployment runs a known-answer test, so that on a chain whose
/// precompiles are missing, moved or repriced above `pairingGas` it reverts instead of deploying a wrong verifier.
contract BlsVerifier is IBlsVerifier {
    error KnownAnswerTestFailed();

    /// @inheritdoc IBlsVerifier
    uint256 public immutable pairingGas;

    // Case "one" of test/vectors/bls-noble.json, made by @noble/curves.
    bytes private constant KAT_KEY = hex"0000000000000000000000000000000011e10b31a83720aea873020fd0e5e419"
        hex"5b8b2262663f9fdcd18d08f7d8e6f6acaed075e70883850f0862fb30114d81bd"
        hex"00000000000000000000000000000000011fb4a79e19f3f6aab687a74c75ebf3"
        hex"a79f3b906f323beb2c833ed25f8c40d0e2ce2c0e1632b785cedc048ebd1a319b"
        hex"00000000000000000000000000000000171cf2f0c8a3c593f623ffe94ee8f675"
        hex"79ab328616c04cf3c34a1d585aaf2c101986161a26924554e0ccffaf8eab6ff5"
        hex"00000000000000000000000000000000158887b445def4e4afd3b79d6f7e3c65"
        hex"c5c98929882031f3a168e15b13d9c4a423838a3704306f9e38978e9f2714aebf";
    bytes private constant KAT_SIGNATURE = hex"0cf725dd880165482bb223bd934a27e873581fb71e3ae184f9cc63be0ec17355"
        hex"3702483a27b5800b36d3c50446daa23c182d77f2d7ab01230c0127593f827b32"
        hex"717fd2e7d0109f94af91bf5ebfc9bba3e14ba7cbe180f0d30c7ee3261960896c";
    bytes32 private constant KAT_DIGEST = 0x4b8cab9d4bf413255bbc1eb7a72cdbaa0934aba0e87354e81ad81ffb7ed9162b;
    bytes32 private constant KAT_POINT_HASH = 0x1edd59eb3f814e09ee99b73cffdec9ba5a856f681ce95f3f2bd67d4d498fcb3c;

    /// @param pairingGas_ Gas that a pairing check of two pairs costs on this chain; 102900 by EIP-2537.
    constructor(uint256 pairingGas_) {
        pairingGas = pairingGas_;
        bytes32 wrong = keccak256(abi.encode(KAT_DIGEST));
        bool hashes = keccak256(Bls.hashToG1(abi.encodePacked(KAT_DIGEST), Bls.DST)) == KAT_POINT_HASH;
        bool accepts = Bls.verify(KAT_KEY, KAT_DIGEST, KAT_SIGNATURE, pairingGas_);
        bool refuses = !Bls.verify(KAT_KEY, wrong, KAT_SIGNATURE, pairingGas_);
        if (!hashes || !accepts || !refuses) revert KnownAnswerTestFailed();
    }

    /// @inheritdoc ICertificateVerifier
    function verify(bytes calldata key, bytes32 digest, bytes calldata signature) external view returns (bool) {
        return Bls.verify(key, digest, signature, pairingGas);
    }
}
