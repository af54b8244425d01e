// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ILeaseEscrow, Offer} from "../../src/interfaces/ILeaseEscrow.sol";
import {Leaf} from "../../src/Types.sol";
import {LeaseWorld} from "./LeaseWorld.sol";

/// @notice Random but sensible users of the escrow, and a second, naive bookkeeping of what each lease should pay.
contract LeaseHandler is LeaseWorld {
    struct Model {
        uint256 deposited;
        uint256 paid;
        uint256 creditSeconds;
        uint256 through;
    }

    mapping(uint64 lease => Model) public model;
    uint256[] private _tokens;
    /// @notice Money that went in and came out.
    uint256 public taken;
    uint256 public withdrawn;
    uint256 public claims;
    /// @notice The lease that the last call was about; zero before the first.
    uint64 public touched;
    uint256 public closings;
    uint256 public exits;

    constructor() {
        _deployLeases();
        _tokens.push(tokenId);
        _tokens.push(_device(lessor, DEVICE_KEY + 1, 1));
        _tokens.push(_device(lessor, DEVICE_KEY + 2, 1));
        dollar.mint(LESSEE, 1e12);
        dollar.mint(lessor, 1e12);
    }

    function openLease(uint256 which, uint96 deposit, uint64 delay) external {
        uint256 id = _tokens[which % 3];
        if (devices.device(id).lockedUntil > block.timestamp) return;
        Offer memory o = _offer();
        o.tokenId = id;
        o.start += delay % 100;
        // Every other lease is long enough for a notice.
        o.end = o.start + (deposit % 2 == 0 ? LENGTH : LENGTH + 2 * TIMEOUT);
        deposit = MIN_FEE + deposit % 6_000;
        uint64 lease = _open(o, deposit);
        touched = lease;
        (model[lease].deposited, model[lease].through) = (deposit, o.start);
        taken += uint256(deposit) + BOND;
    }

    function topUp(uint64 lease, uint96 amount) external {
        lease = _pick(lease);
        if (lease == 0) return;
        amount = amount % 1_000;
        vm.prank(LESSEE);
        escrow.topUp(lease, amount);
        model[lease].deposited += amount;
        taken += amount;
    }

    /// @notice Reports any counters at all, claims them twice, and once more in a batch.
    function claim(uint64 lease, uint128 units, uint128 adjustment, uint64 credit, uint64 back) external {
        lease = _pick(lease);
        if (lease == 0) return;
        Leaf memory leaf = _leaf(lease, units % 900, uint64(block.timestamp) + 60 - back % 200);
        (leaf.adjustment, leaf.creditSeconds) = (adjustment % 300, credit % 700);
        uint64 epoch = _report(leaf);
        _note(lease, leaf);
        escrow.claim(lease, epoch, leaf, new bytes32[](0));
        escrow.claim(lease, epoch, leaf, new bytes32[](0));
        ILeaseEscrow.ClaimItem[] memory items = new ILeaseEscrow.ClaimItem[](1);
        items[0] = ILeaseEscrow.ClaimItem(lease, epoch, leaf, new bytes32[](0));
        escrow.claimBatch(items);
        ++claims;
    }

    function collect(uint64 lease) external {
        lease = _pick(lease);
        if (lease != 0) escrow.collect(lease);
    }

    function closeFinal(uint64 lease, uint128 units, uint64 credit) external {
        lease = _pick(lease);
        if (lease == 0) return;
        Leaf memory leaf = _leaf(lease, units % 900, escrow.leaseInfo(lease).end);
        leaf.creditSeconds = credit % 700;
        uint64 epoch = _finalEpoch(leaf.through);
        _postActive(epoch, _hashLeaf(leaf));
        _note(lease, leaf);
        escrow.close(lease, epoch, leaf, new bytes32[](0));
        ++closings;
    }

    /// @notice The lessor gives notice and the lessee goes at once.
    function leaveEarly(uint64 lease, uint128 units, uint64 credit) external {
        lease = _pick(lease);
        if (lease == 0) return;
        ILeaseEscrow.LeaseInfo memory l = escrow.leaseInfo(lease);
        uint64 given = uint64(block.timestamp) > l.start ? uint64(block.timestamp) : l.start;
        if (given + TIMEOUT >= l.end) return;
        vm.prank(lessor);
        escrow.giveNotice(lease);
        Leaf memory leaf = _leaf(lease, units % 900, given);
        leaf.creditSeconds = credit % 700;
        uint64 epoch = _finalEpoch(given);
        _postActive(epoch, _hashLeaf(leaf));
        _note(lease, leaf);
        vm.prank(LESSEE);
        escrow.leaveLease(lease, epoch, leaf, new bytes32[](0));
        ++closings;
        ++exits;
    }

    function closeLate(uint64 lease, uint64 wait) external {
        vm.warp(block.timestamp + wait % TIMEOUT);
        lease = _pick(lease);
        if (lease == 0 || block.timestamp < escrow.leaseInfo(lease).end + TIMEOUT) return;
        escrow.closeAfterTimeout(lease);
        ++closings;
    }

    function cancel(uint64 lease, bool byLessee) external {
        lease = _pick(lease);
        if (lease == 0 || block.timestamp >= escrow.leaseInfo(lease).start) return;
        vm.prank(byLessee ? LESSEE : lessor);
        escrow.cancel(lease);
        ++closings;
    }

    function withdraw(uint256 who) external {
        address account = [LESSEE, lessor, PAYEE][who % 3];
        if (_claimable(account) == 0) return;
        vm.prank(account);
        withdrawn += escrow.withdraw(address(dollar));
    }

    function withdrawFees() external {
        if (escrow.fees(address(dollar), COMMITTEE) != 0) {
            withdrawn += escrow.withdrawFees(COMMITTEE, address(dollar));
        }
    }

    /// @notice Ends everything and pays everyone; what is left in the escrow afterwards belongs to nobody.
    function settleEverything() external returns (uint256 left) {
        vm.warp(block.timestamp + 10 * TIMEOUT);
        for (uint64 i = 1; i <= escrow.leaseCount(); ++i) {
            if (_isOpen(i)) escrow.closeAfterTimeout(i);
        }
        for (uint256 i = 0; i < 3; ++i) {
            this.withdraw(i);
        }
        this.withdrawFees();
        return dollar.balanceOf(address(escrow));
    }

    function booked() external view returns (uint256) {
        return _claimable(LESSEE) + _claimable(lessor) + _claimable(PAYEE) + escrow.fees(address(dollar), COMMITTEE);
    }

    function balance() external view returns (uint256) {
        return dollar.balanceOf(address(escrow));
    }

    function leases() external view returns (uint64) {
        return escrow.leaseCount();
    }

    function info(uint64 lease) external view returns (ILeaseEscrow.LeaseInfo memory) {
        return escrow.leaseInfo(lease);
    }

    /// @notice Credit by the model.
    function modelCredit(uint64 lease) external view returns (uint256) {
        uint256 credit = model[lease].creditSeconds * PRICE;
        return credit < BOND ? credit : BOND;
    }

    /// @dev The naive bookkeeping: an older leaf changes nothing, a newer one may only raise.
    function _note(uint64 lease, Leaf memory leaf) private {
        Model storage m = model[lease];
        ILeaseEscrow.LeaseInfo memory l = escrow.leaseInfo(lease);
        uint256 through = leaf.through < l.end ? leaf.through : l.end;
        if (through > block.timestamp) through = block.timestamp;
        if (through < m.through) return;
        m.through = through;
        uint256 seconds_ = through - l.start;
        uint256 net = leaf.units > leaf.adjustment ? leaf.units - leaf.adjustment : 0;
        uint256 owed = (net < seconds_ ? net : seconds_) * PRICE;
        if (owed > m.deposited) owed = m.deposited;
        if (owed > m.paid) m.paid = owed;
        uint256 credit = leaf.creditSeconds < seconds_ ? leaf.creditSeconds : seconds_;
        if (credit > m.creditSeconds) m.creditSeconds = credit;
    }

    function _pick(uint64 seed) private returns (uint64) {
        uint64 count = escrow.leaseCount();
        for (uint64 i = 0; i < count; ++i) {
            uint64 lease = (seed % count + i) % count + 1;
            if (!_isOpen(lease)) continue;
            touched = lease;
            return lease;
        }
        return 0;
    }

    function _isOpen(uint64 lease) private view returns (bool) {
        return escrow.leaseInfo(lease).state == ILeaseEscrow.State.Open;
    }
}
