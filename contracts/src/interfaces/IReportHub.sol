// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {ICommitteeRegistry} from "./ICommitteeRegistry.sol";
import {Header, Leaf} from "../Types.sol";

/// @title Roots of certified reports
/// @notice One post per stream and epoch, whatever the number of leases. Roots become active when their dispute window
/// is over and live in a ring of 64 per stream; leaves are cumulative, so a later root serves for any earlier one.
interface IReportHub {
    /// @notice A report was verified and stored; claims may use it from `activeAt` (unix seconds).
    event ReportPosted(
        uint64 indexed committee,
        uint32 indexed stream,
        uint64 indexed epoch,
        bytes32 headerDigest,
        bytes32 leavesRoot,
        bytes32 stateRoot,
        uint64 activeAt
    );
    /// @notice The root of `epoch` and all later ones are void; the stream waits for a later term's report whose
    /// `previousHeader` begins with `base`.
    event StreamFrozen(uint64 indexed committee, uint32 indexed stream, uint64 indexed epoch, bytes22 base);
    /// @notice A later term's report, built on the last undisabled header, ended the freeze.
    event StreamResumed(uint64 indexed committee, uint32 indexed stream, uint64 indexed epoch);
    event GuardianSet(address guardian);

    error StaleEpoch(uint64 epoch, uint64 latest);
    error PeriodNotOver(uint64 periodEnd);
    error StreamIsFrozen(uint64 term);
    error WrongBase(bytes32 previousHeader);
    error RingFull(uint64 epoch);
    error NotGuardian();
    error RootUnknown(uint64 epoch);
    error RootAlreadyActive(uint64 activeAt);

    /// @notice The registry whose committees post here.
    function registry() external view returns (ICommitteeRegistry);

    /// @notice Seconds from posting to activity of a root.
    function disputeWindow() external view returns (uint64);

    /// @notice Posts a certified report. Anyone may relay. Stale epochs are refused before any cryptography.
    function post(Header calldata header, bytes calldata certificate) external;

    /// @notice Guardian only, inside the root's dispute window.
    function disable(uint64 committee, uint32 stream, uint64 epoch) external;

    /// @notice Leaves root posted for an epoch; zero when unknown, disabled or no longer in the ring.
    function root(uint64 committee, uint32 stream, uint64 epoch) external view returns (bytes32);

    /// @notice When the root of an epoch becomes active (unix seconds); zero when unknown.
    function activeAt(uint64 committee, uint32 stream, uint64 epoch) external view returns (uint64);

    /// @notice True iff a root is stored for the epoch and its dispute window is over.
    function isActive(uint64 committee, uint32 stream, uint64 epoch) external view returns (bool);

    /// @notice The root of an epoch if it is active, else zero.
    function activeRoot(uint64 committee, uint32 stream, uint64 epoch) external view returns (bytes32);

    /// @notice The last posted epoch, the first 22 bytes of its header's digest (whole in ReportPosted), and whether the
    /// stream is frozen. `posted` is false before the first report (epoch 0 is then no report).
    function latest(uint64 committee, uint32 stream)
        external
        view
        returns (bool posted, uint64 epoch, bytes22 headerPrefix, bool frozen);

    /// @notice True iff the leaf is under the active root of that epoch.
    function leafProven(uint64 committee, uint32 stream, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof)
        external
        view
        returns (bool);
}
