// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";
import {IReportHub} from "./interfaces/IReportHub.sol";
import {ReportClaims} from "./libraries/ReportClaims.sol";
import {Header, Leaf} from "./Types.sol";

/// @title ReportHub
/// @notice Verifies each report once and keeps its root for claims. Holds no money and moves none.
/// @dev No proxy and no upgrade: escrows name a hub for good, so a new version is another hub beside this one, on the same
/// registry, with the same certificates; old leases end on the old hub. Storage is bounded per stream.
contract ReportHub is IReportHub, Ownable2Step {
    /// @dev One slot. Headers are kept as the first 22 bytes of their digest: enough against a second preimage. The
    /// registry knows no epoch of more than 48 bits.
    struct Stream {
        uint48 epoch;
        bool prepared;
        bool posted;
        bool frozen;
        bytes22 header;
    }

    /// @dev What a frozen stream waits for: a report of a term after `term`, built on `base`.
    struct Freeze {
        uint64 term;
        bytes22 base;
    }

    /// @dev Two slots. `base` is the header posted before. Holds a report iff `activeAt` is not zero.
    struct Entry {
        bytes32 root;
        uint40 epoch;
        uint40 activeAt;
        bytes22 base;
    }

    /// @notice The stream's slots are written: from now on a post costs the same whether it is the first or the last.
    event StreamPrepared(uint64 indexed committee, uint32 indexed stream);

    error AlreadyPrepared(uint64 committee, uint32 stream);

    /// @notice Roots kept per stream.
    uint64 public constant RING = 64;

    /// @inheritdoc IReportHub
    ICommitteeRegistry public immutable registry;
    /// @inheritdoc IReportHub
    uint64 public immutable disputeWindow;
    /// @notice Who may disable a root inside its dispute window.
    address public guardian;

    mapping(uint64 committee => mapping(uint32 stream => Stream)) private _streams;
    mapping(uint64 committee => mapping(uint32 stream => Entry[RING])) private _rings;
    mapping(uint64 committee => mapping(uint32 stream => Freeze)) private _freezes;

    /// @param owner_ Governance.
    /// @param disputeWindow_ Seconds; shorter than 64 epochs, or posting stops at `RingFull`.
    constructor(address owner_, ICommitteeRegistry registry_, address guardian_, uint64 disputeWindow_)
        Ownable(owner_)
    {
        registry = registry_;
        disputeWindow = disputeWindow_;
        guardian = guardian_;
        emit GuardianSet(guardian_);
    }

    /// @notice Sets who may disable roots. Governance only.
    function setGuardian(address guardian_) external onlyOwner {
        guardian = guardian_;
        emit GuardianSet(guardian_);
    }

    /// @notice Writes all slots of a stream once, so that no post pays for a fresh one (some 2.9 million gas). Anyone may.
    function prepare(uint64 committee, uint32 stream) external {
        Stream storage s = _streams[committee][stream];
        if (s.prepared) revert AlreadyPrepared(committee, stream);
        s.prepared = true;
        Entry[RING] storage ring = _rings[committee][stream];
        for (uint256 i = 0; i < RING; ++i) {
            if (ring[i].activeAt == 0) _clear(ring[i]);
        }
        emit StreamPrepared(committee, stream);
    }

    /// @inheritdoc IReportHub
    function post(Header calldata header, bytes calldata certificate) external {
        Stream storage slot = _streams[header.committee][header.stream];
        Stream memory s = slot;
        // Cheap refusals first: a replay must not cost its relayer a pairing.
        if (s.posted && header.epoch <= s.epoch) revert StaleEpoch(header.epoch, s.epoch);
        if (header.periodEnd > block.timestamp) revert PeriodNotOver(header.periodEnd);
        bytes22 base = s.frozen ? _requireResumption(header) : s.header;
        Entry storage entry = _rings[header.committee][header.stream][header.epoch % RING];
        if (entry.activeAt > block.timestamp) revert RingFull(header.epoch);

        bytes32 digest = registry.verifyReport(header, certificate);

        uint64 active = uint64(block.timestamp) + disputeWindow;
        entry.root = header.leavesRoot;
        (entry.base, entry.activeAt, entry.epoch) = (base, uint40(active), uint40(header.epoch));
        if (s.frozen) emit StreamResumed(header.committee, header.stream, header.epoch);
        (slot.epoch, slot.posted, slot.frozen, slot.header) = (uint48(header.epoch), true, false, bytes22(digest));
        emit ReportPosted(
            header.committee, header.stream, header.epoch, digest, header.leavesRoot, header.stateRoot, active
        );
    }

    /// @inheritdoc IReportHub
    function disable(uint64 committee, uint32 stream, uint64 epoch) external {
        if (msg.sender != guardian) revert NotGuardian();
        Stream storage s = _streams[committee][stream];
        Entry storage first = _entry(committee, stream, epoch);
        if (first.activeAt == 0) revert RootUnknown(epoch);
        if (first.activeAt <= block.timestamp) revert RootAlreadyActive(first.activeAt);
        bytes22 base = first.base;
        // Later roots have later windows, so none of them is active yet, and all of them are still in the ring.
        Entry[RING] storage ring = _rings[committee][stream];
        for (uint256 i = 0; i < RING; ++i) {
            if (ring[i].activeAt != 0 && ring[i].epoch >= epoch) _clear(ring[i]);
        }
        s.frozen = true;
        // The key is of no use here, only whose it is.
        // slither-disable-next-line unused-return
        (uint64 term,) = registry.keyFor(committee, s.epoch);
        _freezes[committee][stream] = Freeze(term, base);
        emit StreamFrozen(committee, stream, epoch, base);
    }

    /// @inheritdoc IReportHub
    function root(uint64 committee, uint32 stream, uint64 epoch) public view returns (bytes32) {
        return _entry(committee, stream, epoch).root;
    }

    /// @inheritdoc IReportHub
    function activeAt(uint64 committee, uint32 stream, uint64 epoch) public view returns (uint64) {
        return _entry(committee, stream, epoch).activeAt;
    }

    /// @inheritdoc IReportHub
    function isActive(uint64 committee, uint32 stream, uint64 epoch) public view returns (bool) {
        uint64 active = activeAt(committee, stream, epoch);
        return active != 0 && active <= block.timestamp;
    }

    /// @inheritdoc IReportHub
    function activeRoot(uint64 committee, uint32 stream, uint64 epoch) public view returns (bytes32) {
        Entry storage entry = _rings[committee][stream][epoch % RING];
        (uint256 stored, uint256 active) = (entry.epoch, entry.activeAt);
        return stored == epoch && active != 0 && active <= block.timestamp ? entry.root : bytes32(0);
    }

    /// @inheritdoc IReportHub
    function latest(uint64 committee, uint32 stream)
        external
        view
        returns (bool posted, uint64 epoch, bytes22 headerPrefix, bool frozen)
    {
        Stream storage s = _streams[committee][stream];
        return (s.posted, s.epoch, s.header, s.frozen);
    }

    /// @inheritdoc IReportHub
    function leafProven(uint64 committee, uint32 stream, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        return ReportClaims.verify(leaf, proof, activeRoot(committee, stream, epoch));
    }

    /// @dev A frozen stream goes on only under a later term and from the last header that was not disabled.
    function _requireResumption(Header calldata header) private view returns (bytes22 base) {
        Freeze storage freeze = _freezes[header.committee][header.stream];
        if (header.term <= freeze.term) revert StreamIsFrozen(freeze.term);
        base = freeze.base;
        if (bytes22(header.previousHeader) != base) revert WrongBase(header.previousHeader);
    }

    /// @dev The entry of this very epoch, or an empty one.
    function _entry(uint64 committee, uint32 stream, uint64 epoch) private view returns (Entry storage entry) {
        entry = _rings[committee][stream][epoch % RING];
        if (entry.epoch != epoch || entry.activeAt == 0) entry = _empty();
    }

    /// @dev Holds no report, yet no slot is zero: writing one that is costs 17,100 gas more.
    function _clear(Entry storage entry) private {
        entry.root = bytes32(uint256(1));
        (entry.epoch, entry.activeAt, entry.base) = (type(uint40).max, 0, bytes22(0));
    }

    /// @dev A slot that nothing writes.
    function _empty() private pure returns (Entry storage entry) {
        assembly ("memory-safe") {
            entry.slot := 0xfe0000000000000000000000000000000000000000000000000000000000ad00
        }
    }
}
