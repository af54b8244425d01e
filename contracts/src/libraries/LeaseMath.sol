// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title What a lease pays
/// @notice Pure functions of cumulative counters, so that a replayed, late or skipped claim cannot change the sum.
/// Pay rounds down; what a fault costs the lessor rounds up.
/// @dev Unchecked: units fit 128 bits, seconds 40, prices, rates and amounts 96, basis points 16, so that no product
/// here exceeds 232 bits (test_rule14).
library LeaseMath {
    uint256 internal constant BASIS_POINTS = 10_000;
    uint256 internal constant HOUR = 3_600;
    /// @notice Highest fee of a committee, in basis points.
    uint16 internal constant MAX_FEE_BP = 2_000;
    /// @notice Largest exponent of a price's unit: a price is for at most 10^18 units.
    uint8 internal constant MAX_EXPONENT = 18;
    /// @notice Leases a stream may hold at a time.
    uint256 internal constant MAX_STREAM_LEASES = 16_384;

    /// @notice Pay owed for `units` proven over `elapsed` seconds, before looking at funds.
    /// @param price Base units for 10^exponent units.
    /// @param maxUnitsPerHour Bound of what may count, whatever was signed.
    function owed(uint256 units, uint256 elapsed, uint256 price, uint256 exponent, uint256 maxUnitsPerHour)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            return Math.min(units, maxUnitsPerHour * elapsed / HOUR) * price / 10 ** exponent;
        }
    }

    /// @notice Committee's part of `paid`: the basis points rounded down, at least `minFee`, never more than all.
    function fee(uint256 paid, uint256 feeBp, uint256 minFee) internal pure returns (uint256) {
        unchecked {
            return Math.min(paid, Math.max(minFee, paid * feeBp / BASIS_POINTS));
        }
    }

    /// @notice What of the `bond` left an early exit costs: the unserved part of the lease, rounded up.
    /// @param unserved Seconds, at most `length`; `length` is not zero.
    function penalty(uint256 bond, uint256 unserved, uint256 length) internal pure returns (uint256) {
        unchecked {
            return (bond * unserved + length - 1) / length;
        }
    }

    /// @notice Credit of a service level: the highest part of `paid` among the tiers that the uptime good / (good + bad)
    /// falls below, rounded up, never more than the bond or than what was paid. No judged second, no credit.
    /// @param tiers Four times 32 bits: `below` and `creditBp`, in basis points; zero = no such tier.
    function tierCredit(uint256 tiers, uint256 good, uint256 bad, uint256 paid, uint256 bond)
        internal
        pure
        returns (uint256)
    {
        uint256 creditBp = 0;
        for (uint256 rest = tiers; rest != 0; rest >>= 32) {
            (uint256 below, uint256 part) = ((rest >> 16) & 0xffff, rest & 0xffff);
            if (good * BASIS_POINTS < below * (good + bad)) creditBp = Math.max(creditBp, part);
        }
        return Math.min(bond, (paid * creditBp + BASIS_POINTS - 1) / BASIS_POINTS);
    }

    /// @notice True iff no tier's bound or part is above 10,000 basis points, and none without a bound gives anything.
    function tiersValid(uint256 tiers) internal pure returns (bool) {
        for (uint256 rest = tiers; rest != 0; rest >>= 32) {
            (uint256 below, uint256 part) = ((rest >> 16) & 0xffff, rest & 0xffff);
            if (below > BASIS_POINTS || part > BASIS_POINTS || (below == 0 && part != 0)) return false;
        }
        return true;
    }

    /// @notice Service credit for `creditSeconds`, out of the bond, rounded up.
    function credit(uint256 creditSeconds, uint256 creditPerHour, uint256 bond) internal pure returns (uint256) {
        unchecked {
            return Math.min(bond, (creditSeconds * creditPerHour + HOUR - 1) / HOUR);
        }
    }
}
