// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @notice What an endorsement certificate says (docs/protocol.md §3). Firmware and model stay in the certificate.
/// @param device Thumbprint of the endorsed device key.
/// @param tier 1 software, 2 secure element, 3 measured boot.
/// @param issued Unix seconds.
/// @param maker Thumbprint of the maker's key.
/// @param digest SHA-256 of what a P-256 maker signs.
struct Endorsed {
    bytes32 device;
    uint8 tier;
    uint64 issued;
    bytes32 maker;
    bytes32 digest;
}

/// @title Reading endorsement certificates
/// @notice Takes the one canonical encoding that `attest` writes and nothing else. Leaves out: the signature (whose key
/// only the caller has), and whether the model's name is UTF-8, which no contract acts on.
library Endorsements {
    error BadCertificateBytes(uint256 offset);

    uint256 internal constant MAX_BYTES = 224;
    uint256 private constant MAX_MODEL = 32;
    /// @dev After four bytes (array of 7, version 1, head of a byte string) and the device's thumbprint.
    uint256 private constant TIER_AT = 4 + 32;
    uint256 private constant MODEL_AT = TIER_AT + 1 + 34;
    /// @dev Two bytes of head and 64 of signature.
    uint256 private constant TAIL = 66;

    /// @param certificate `[[1, device, tier, firmware, model, issued, maker], signature]`, deterministic CBOR.
    function read(bytes calldata certificate) internal pure returns (Endorsed memory e, bytes calldata signature) {
        uint256 size = certificate.length;
        // The shortest: a model of one byte, issued below 24.
        if (size > MAX_BYTES || size < 1 + MODEL_AT + 3 + 34 + TAIL) revert BadCertificateBytes(size);
        bytes calldata inner = certificate[1:size - TAIL];
        signature = certificate[size - 64:];
        _require(uint8(certificate[0]) == 0x82 && bytes2(certificate[size - TAIL:]) == 0x5840, 0);
        _require(bytes4(inner) == 0x87015820, 1);
        e.device = bytes32(inner[4:]);
        e.tier = uint8(inner[TIER_AT]);
        _require(e.tier >= 1 && e.tier <= 3, TIER_AT);
        _require(bytes2(inner[TIER_AT + 1:]) == 0x5820, TIER_AT + 1);
        uint256 next = _skipModel(inner);
        (e.issued, next) = _uint(inner, next);
        _require(next + 34 == inner.length && bytes2(inner[next:]) == 0x5820, next);
        e.maker = bytes32(inner[next + 2:]);
        e.digest = sha256(abi.encodePacked("plumbline/endorsement/v1", inner));
    }

    /// @dev A text of 1 to 32 bytes; returns where it ends.
    function _skipModel(bytes calldata inner) private pure returns (uint256) {
        uint256 head = uint8(inner[MODEL_AT]);
        if (head > 0x60 && head < 0x78) return MODEL_AT + 1 + head - 0x60;
        uint256 length = uint8(inner[MODEL_AT + 1]);
        _require(head == 0x78 && length >= 24 && length <= MAX_MODEL, MODEL_AT);
        return MODEL_AT + 2 + length;
    }

    /// @dev The shortest form of an unsigned number, as deterministic CBOR asks.
    function _uint(bytes calldata inner, uint256 from) private pure returns (uint64 value, uint256 end) {
        // What follows the number takes 34 bytes, so that its longest form (9) is never out of range.
        _require(from + 34 < inner.length, from);
        uint256 head = uint8(inner[from]);
        if (head < 24) return (uint64(head), from + 1);
        _require(head <= 27, from);
        uint256 width = 1 << (head - 24);
        value = uint64(bytes8(inner[from + 1:]) >> (64 - 8 * width));
        _require(value >= (width == 1 ? 24 : 1 << (4 * width)), from);
        return (value, from + 1 + width);
    }

    function _require(bool good, uint256 offset) private pure {
        if (!good) revert BadCertificateBytes(offset);
    }
}
