// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {NewKey, Header, Rotation} from "../../src/Types.sol";
import {BlsSigner} from "./BlsSigner.sol";
import {LeaseWorld} from "./LeaseWorld.sol";

/// @notice The same world while committees change and streams are frozen: posts are made by the term in force, and a frozen
/// stream goes on as the protocol says.
abstract contract TurbulentWorld is LeaseWorld {
    uint64 private _lastTerm = TERM;
    /// @dev Of a freeze: what the next report must build on, and the first epoch of the term that may post it.
    bytes32 private _base;
    uint64 private _resumeFrom;

    /// @notice The members of the last term hand over to a next one, some epochs from now.
    function _rotateOn(uint64 ahead) internal {
        uint64 next = _lastTerm + 1;
        _configure(COMMITTEE, next, 4);
        NewKey memory k = _newKey(COMMITTEE, next, _secret(next), 3);
        Rotation memory r = _rotation(_lastTerm, next, _soon() + ahead, k);
        registry.rotate(r, BlsSigner.sign(_secret(_lastTerm), _digest(r)), k);
        _lastTerm = next;
    }

    /// @notice A bad root is posted and disabled; another term takes over. Returns the epoch of the bad root.
    function _freeze(bytes32 badRoot) internal returns (uint64 epoch) {
        epoch = _free(uint64((block.timestamp - registry.startOf(COMMITTEE, 0)) / EPOCH));
        // Still frozen: the report to come builds on the same base again, and so must the one after it.
        (,, bytes22 last, bool frozen) = hub.latest(COMMITTEE, STREAM);
        bytes32 base = frozen ? _base : bytes32(last);
        _post(epoch, badRoot);
        vm.prank(GUARDIAN);
        hub.disable(COMMITTEE, STREAM, epoch);
        _base = base;
        _rotateOn(0);
        _resumeFrom = registry.termInfo(COMMITTEE, _lastTerm).fromEpoch;
    }

    function _post(uint64 epoch, bytes32 root) internal override {
        Header memory h = _header(epoch, root);
        (h.term,) = registry.keyFor(COMMITTEE, epoch);
        h.configDigest = registry.configDigest(COMMITTEE, h.term);
        if (_frozen()) h.previousHeader = _base;
        if (block.timestamp < h.periodEnd) vm.warp(h.periodEnd);
        hub.post(h, _certify(h, _secret(h.term)));
    }

    function _free(uint64 epoch) internal view override returns (uint64 free) {
        free = super._free(epoch);
        if (_frozen() && free < _resumeFrom) free = _resumeFrom;
        (uint64 term,) = registry.keyFor(COMMITTEE, free);
        uint256 until = registry.termInfo(COMMITTEE, term).untilEpoch;
        uint256 now_ = (block.timestamp - registry.startOf(COMMITTEE, 0)) / EPOCH;
        // A term that ended that long ago reports no more: its successor does, for a later epoch.
        if (now_ >= until + registry.OVERLAP()) free = uint64(now_);
    }

    /// @dev An epoch far enough ahead to rotate at, after the last rotation's.
    function _soon() private view returns (uint64 epoch) {
        epoch = uint64((block.timestamp + 2 * LAG - registry.startOf(COMMITTEE, 0)) / EPOCH) + 2;
        uint64 last = registry.termInfo(COMMITTEE, _lastTerm).fromEpoch;
        if (epoch <= last) epoch = last + 1;
    }

    function _frozen() private view returns (bool frozen) {
        (,,, frozen) = hub.latest(COMMITTEE, STREAM);
    }

    function _secret(uint64 term) private pure returns (uint256) {
        return SECRET + term - TERM;
    }
}
