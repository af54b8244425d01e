// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// @notice Assertions and cheat codes for every test. A failed assertion reverts with what differed.
abstract contract Base {
    error NotEqual(string what, uint256 got, uint256 expected);
    error NotEqualBytes(string what, bytes32 got, bytes32 expected);
    error NotTrue(string what);

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function eq(uint256 got, uint256 expected, string memory what) internal pure {
        if (got != expected) revert NotEqual(what, got, expected);
    }

    function eq(address got, address expected, string memory what) internal pure {
        if (got != expected) revert NotEqual(what, uint160(got), uint160(expected));
    }

    function eq(bytes32 got, bytes32 expected, string memory what) internal pure {
        if (got != expected) revert NotEqualBytes(what, got, expected);
    }

    function eqHash(bytes memory got, bytes memory expected, string memory what) internal pure {
        eq(keccak256(got), keccak256(expected), what);
    }

    function yes(bool condition, string memory what) internal pure {
        if (!condition) revert NotTrue(what);
    }
}
