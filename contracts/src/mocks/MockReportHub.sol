// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {Header, Leaf} from "../Types.sol";
import {ICommitteeRegistry} from "../interfaces/ICommitteeRegistry.sol";
import {IReportHub} from "../interfaces/IReportHub.sol";
import {ReportClaims} from "../libraries/ReportClaims.sol";

/// @title MockReportHub
/// @notice A hub for the tests of your own lease contract: it believes whatever it is given. Everything a consumer sees is
/// as in `ReportHub` (rising epochs, dispute window, ring of 64 roots, freezing), so that a contract which copes with
/// this one copes with that one. Never deploy it where money is.
/// @dev Leaves out: certificates, and the registry unless you name one. A test holds it against the real hub.
contract MockReportHub is IReportHub {
    struct Stream {
        uint64 epoch;
        bool posted;
        bool frozen;
        bytes22 header;
    }

    struct Entry {
        bytes32 root;
        uint64 epoch;
        uint64 activeAt;
        bytes22 base;
    }

    /// @notice Roots kept per stream.
    uint64 public constant RING = 64;

    /// @inheritdoc IReportHub
    ICommitteeRegistry public immutable registry;
    /// @inheritdoc IReportHub
    uint64 public immutable disputeWindow;

    mapping(uint64 committee => mapping(uint32 stream => Stream)) private _streams;
    mapping(uint64 committee => mapping(uint32 stream => Entry[RING])) private _rings;

    /// @param registry_ What `registry()` gives; zero if your contract does not ask.
    /// @param disputeWindow_ Seconds from a report to the activity of its root; 0 = at once.
    constructor(ICommitteeRegistry registry_, uint64 disputeWindow_) {
        registry = registry_;
        disputeWindow = disputeWindow_;
    }

    /// @notice Posts made-up leaves, ascending by lease, as the report of an epoch. Take proofs from `proofOf`.
    function report(uint64 committee, uint32 stream, uint64 epoch, Leaf[] calldata leaves)
        external
        returns (bytes32 leavesRoot)
    {
        leavesRoot = rootOf(leaves);
        bytes32 digest = keccak256(abi.encode(committee, stream, epoch, leavesRoot));
        _store(committee, stream, epoch, digest, leavesRoot, 0);
    }

    /// @notice Takes any header, whatever its certificate says.
    /// @inheritdoc IReportHub
    function post(Header calldata header, bytes calldata) external {
        if (header.periodEnd > block.timestamp) revert PeriodNotOver(header.periodEnd);
        bytes32 digest = keccak256(abi.encode(header));
        _store(header.committee, header.stream, header.epoch, digest, header.leavesRoot, header.stateRoot);
    }

    /// @notice Anyone may, here.
    /// @inheritdoc IReportHub
    function disable(uint64 committee, uint32 stream, uint64 epoch) external {
        Entry[RING] storage ring = _rings[committee][stream];
        Entry memory first = _entry(committee, stream, epoch);
        if (first.activeAt == 0) revert RootUnknown(epoch);
        if (first.activeAt <= block.timestamp) revert RootAlreadyActive(first.activeAt);
        for (uint256 i = 0; i < RING; ++i) {
            if (ring[i].activeAt != 0 && ring[i].epoch >= epoch) delete ring[i];
        }
        _streams[committee][stream].frozen = true;
        emit StreamFrozen(committee, stream, epoch, first.base);
    }

    /// @notice Ends a freeze, as a rotated committee's next report would.
    function thaw(uint64 committee, uint32 stream) external {
        Stream storage s = _streams[committee][stream];
        s.frozen = false;
        emit StreamResumed(committee, stream, s.epoch);
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
        return isActive(committee, stream, epoch) ? root(committee, stream, epoch) : bytes32(0);
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

    /// @notice Root of the tree over these leaves; zero for none.
    function rootOf(Leaf[] calldata leaves) public pure returns (bytes32) {
        bytes32[] memory level = _hashes(leaves);
        while (level.length > 1) {
            level = _up(level);
        }
        return level.length == 0 ? bytes32(0) : level[0];
    }

    /// @notice Proof that `leaves[index]` is under `rootOf(leaves)`: the siblings, from the leaf up.
    function proofOf(Leaf[] calldata leaves, uint256 index) external pure returns (bytes32[] memory proof) {
        bytes32[] memory level = _hashes(leaves);
        bytes32[] memory found = new bytes32[](64);
        uint256 depth = 0;
        for (uint256 place = index; level.length > 1; place /= 2) {
            // An odd last node has no sibling and moves up unchanged.
            if ((place ^ 1) < level.length) found[depth++] = level[place ^ 1];
            level = _up(level);
        }
        proof = new bytes32[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            proof[i] = found[i];
        }
    }

    function _store(
        uint64 committee,
        uint32 stream,
        uint64 epoch,
        bytes32 digest,
        bytes32 leavesRoot,
        bytes32 stateRoot
    ) private {
        Stream storage s = _streams[committee][stream];
        if (s.posted && epoch <= s.epoch) revert StaleEpoch(epoch, s.epoch);
        if (s.frozen) revert StreamIsFrozen(0);
        Entry storage entry = _rings[committee][stream][epoch % RING];
        if (entry.activeAt > block.timestamp) revert RingFull(epoch);
        uint64 active = uint64(block.timestamp) + disputeWindow;
        (entry.root, entry.epoch, entry.activeAt, entry.base) = (leavesRoot, epoch, active, s.header);
        (s.epoch, s.posted, s.header) = (epoch, true, bytes22(digest));
        emit ReportPosted(committee, stream, epoch, digest, leavesRoot, stateRoot, active);
    }

    function _entry(uint64 committee, uint32 stream, uint64 epoch) private view returns (Entry memory entry) {
        Entry storage stored = _rings[committee][stream][epoch % RING];
        if (stored.epoch == epoch) entry = stored;
    }

    function _hashes(Leaf[] calldata leaves) private pure returns (bytes32[] memory level) {
        level = new bytes32[](leaves.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            level[i] = ReportClaims.hash(leaves[i]);
        }
    }

    /// @dev The next level: pairs are joined in ascending order, an odd last node moves up unchanged.
    function _up(bytes32[] memory level) private pure returns (bytes32[] memory next) {
        next = new bytes32[]((level.length + 1) / 2);
        for (uint256 i = 0; i < next.length; ++i) {
            bool pair = 2 * i + 1 < level.length;
            next[i] = pair ? _join(level[2 * i], level[2 * i + 1]) : level[2 * i];
        }
    }

    function _join(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encodePacked(a, b)) : keccak256(abi.encodePacked(b, a));
    }
}
