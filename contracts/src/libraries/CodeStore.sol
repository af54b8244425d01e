// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @title Bytes kept as contract code
/// @notice Reading 256 bytes costs one cold account access instead of eight cold slots. A leading STOP byte keeps the
/// code from ever running.
library CodeStore {
    error StoreFailed();

    /// @notice Stores up to 24,575 bytes.
    function write(bytes memory data) internal returns (address pointer) {
        // PUSH2 size, DUP1, PUSH1 10, RETURNDATASIZE (0), CODECOPY, RETURNDATASIZE (0), RETURN; then the stored code.
        bytes memory code = abi.encodePacked(hex"61", uint16(data.length + 1), hex"80600a3d393df300", data);
        assembly ("memory-safe") {
            pointer := create(0, add(code, 32), mload(code))
        }
        if (pointer == address(0)) revert StoreFailed();
    }

    /// @notice `data` without its first `from` bytes, which it must have.
    function tail(bytes memory data, uint256 from) internal pure returns (bytes memory rest) {
        rest = new bytes(data.length - from);
        assembly ("memory-safe") {
            mcopy(add(rest, 32), add(add(data, 32), from), mload(rest))
        }
    }

    /// @notice Reads back what `write` stored.
    function read(address pointer) internal view returns (bytes memory data) {
        uint256 size = pointer.code.length;
        if (size < 2) return data;
        data = new bytes(size - 1);
        assembly ("memory-safe") {
            extcodecopy(pointer, add(data, 32), 1, sub(size, 1))
        }
    }
}
