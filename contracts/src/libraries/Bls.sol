// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @title BLS12-381 MinSig over the EIP-2537 precompiles
/// @notice Signatures in G1 (96 bytes, x then y), keys in G2 (256 bytes, EIP-2537), messages of 32 bytes hashed by
/// RFC 9380 BLS12381G1_XMD:SHA-256_SSWU_RO_. Leaves out: compressed points, aggregation, key storage.
/// @dev A malformed point makes a precompile burn all it was given, hence the cap on the pairing call. A starved call
/// would look like a bad signature, hence `NotEnoughGas`: false always means "not a signature of this key".
library Bls {
    error PrecompileFailed(uint256 precompile);
    error NotEnoughGas();

    /// @notice Domain separation tag of every certificate (docs/protocol.md §1).
    bytes internal constant DST = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    /// @notice Price of a pairing check of two pairs by EIP-2537.
    uint256 internal constant PAIRING_GAS = 102_900;
    uint256 internal constant KEY_BYTES = 256;
    uint256 internal constant SIGNATURE_BYTES = 96;

    // The field modulus, big-endian, 48 bytes: top 16 bytes, then 32.
    uint256 private constant P_TOP = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 private constant P_LOW = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;

    /// @notice True iff `signature` over `digest` verifies under `key`. Infinity is refused on both sides.
    /// @param key 256 bytes, x.c0 x.c1 y.c0 y.c1.
    /// @param signature 96 bytes, x y.
    /// @param pairingGas Gas given to the pairing precompile, no more and no less.
    function verify(bytes memory key, bytes32 digest, bytes memory signature, uint256 pairingGas)
        internal
        view
        returns (bool)
    {
        if (key.length != KEY_BYTES || signature.length != SIGNATURE_BYTES) return false;
        if (_isZero(key) || _isZero(signature)) return false;
        bytes memory input = new bytes(768);
        _hashTo(abi.encodePacked(digest), DST, input, 384);
        assembly ("memory-safe") {
            let base := add(input, 32)
            // Pair 1: the signature, each coordinate padded to 64 bytes, and the negated generator of G2.
            mcopy(add(base, 16), add(signature, 32), 48)
            mcopy(add(base, 80), add(signature, 80), 48)
            mstore(add(base, 128), 0x00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051)
            mstore(add(base, 160), 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8)
            mstore(add(base, 192), 0x0000000000000000000000000000000013e02b6052719f607dacd3a088274f65)
            mstore(add(base, 224), 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e)
            mstore(add(base, 256), 0x000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bc)
            mstore(add(base, 288), 0xb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa)
            mstore(add(base, 320), 0x0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d)
            mstore(add(base, 352), 0x993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed)
            // Pair 2: the hashed message (already there) and the key.
            mcopy(add(base, 512), add(key, 32), 256)
        }
        // One 64th stays with the caller of a call; the rest must cover the cap.
        if (gasleft() < pairingGas + pairingGas / 63 + 1_000) revert NotEnoughGas();
        bool paired;
        assembly ("memory-safe") {
            let called := staticcall(pairingGas, 0x0f, add(input, 32), 768, 0x00, 32)
            paired := and(called, and(eq(returndatasize(), 32), eq(mload(0x00), 1)))
        }
        return paired;
    }

    /// @notice RFC 9380 hash_to_curve for G1 with any tag of at most 255 bytes; 128 bytes, EIP-2537.
    function hashToG1(bytes memory message, bytes memory dst) internal view returns (bytes memory point) {
        point = new bytes(128);
        _hashTo(message, dst, point, 0);
    }

    /// @dev hash_to_curve into `out` at `offset`.
    function _hashTo(bytes memory message, bytes memory dst, bytes memory out, uint256 offset) private view {
        bytes memory uniform = _expand(message, dst);
        uint256 failed;
        assembly ("memory-safe") {
            let ok := 1
            let free := mload(0x40)
            let points := add(free, 256)
            // MODEXP(base 64 bytes, exponent 1, modulus p): reduces 64 uniform bytes to a field element.
            mstore(free, 64)
            mstore(add(free, 32), 1)
            mstore(add(free, 64), 48)
            mstore8(add(free, 160), 1)
            mstore(add(free, 161), shl(128, P_TOP))
            mstore(add(free, 177), P_LOW)
            for { let i := 0 } lt(i, 2) { i := add(i, 1) } {
                mcopy(add(free, 96), add(uniform, add(32, mul(i, 64))), 64)
                mstore(points, 0)
                ok := and(ok, staticcall(gas(), 0x05, free, 209, add(points, 16), 48))
                ok := and(ok, eq(returndatasize(), 48))
                // MAP_FP_TO_G1; the second element is written where the first point ends.
                ok := and(ok, staticcall(gas(), 0x10, points, 64, points, 128))
                ok := and(ok, eq(returndatasize(), 128))
                points := add(points, 128)
            }
            if iszero(ok) { failed := 0x10 }
            // G1ADD. No cofactor step: the map precompile already clears it.
            let target := add(add(out, 32), offset)
            ok := staticcall(gas(), 0x0b, add(free, 256), 256, target, 128)
            if iszero(and(ok, eq(returndatasize(), 128))) { failed := 0x0b }
        }
        if (failed != 0) revert PrecompileFailed(failed);
    }

    /// @dev expand_message_xmd with SHA-256 to 128 bytes (RFC 9380 §5.3.1).
    function _expand(bytes memory message, bytes memory dst) private view returns (bytes memory uniform) {
        uniform = new bytes(128);
        bool ok = true;
        assembly ("memory-safe") {
            let free := mload(0x40)
            let length := mload(message)
            let tag := mload(dst)
            // b0 = H(64 zeros | message | 0x0080 | 0x00 | dst | len(dst))
            mstore(free, 0)
            mstore(add(free, 32), 0)
            mcopy(add(free, 64), add(message, 32), length)
            let cursor := add(add(free, 64), length)
            mstore(cursor, shl(232, 0x008000))
            mcopy(add(cursor, 3), add(dst, 32), tag)
            mstore8(add(add(cursor, 3), tag), tag)
            ok := and(ok, staticcall(gas(), 0x02, free, add(add(length, 68), tag), 0x00, 32))
            let b0 := mload(0x00)
            // b_i = H((b0 xor b_(i-1)) | i | dst | len(dst)), with b_0 taken as zero for i = 1
            mcopy(add(free, 33), add(dst, 32), tag)
            mstore8(add(add(free, 33), tag), tag)
            let size := add(34, tag)
            let previous := 0
            let target := add(uniform, 32)
            for { let i := 1 } lt(i, 5) { i := add(i, 1) } {
                mstore(free, xor(b0, previous))
                mstore8(add(free, 32), i)
                ok := and(ok, staticcall(gas(), 0x02, free, size, target, 32))
                previous := mload(target)
                target := add(target, 32)
            }
        }
        if (!ok) revert PrecompileFailed(0x02);
    }

    function _isZero(bytes memory data) private pure returns (bool zero) {
        assembly ("memory-safe") {
            let bits := 0
            let end := add(add(data, 32), mload(data))
            for { let p := add(data, 32) } lt(p, end) { p := add(p, 32) } { bits := or(bits, mload(p)) }
            zero := iszero(bits)
        }
    }
}
