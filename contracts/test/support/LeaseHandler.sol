// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ILeaseEscrow, Offer} from "../../src/interfaces/ILeaseEscrow.sol";
import {Leaf} from "../../src/Types.sol";
import {TurbulentWorld} from "./TurbulentWorld.sol";

/// @notice Random but sensible users of the escrow, and a second, naive bookkeeping of what each lease should pay.
contract LeaseHandler is TurbulentWorld {
    /// @dev `level` is the service level's credit, `cancelled` that nothing was ever proven, `forfeit` what the lessor lost of
    /// the bond beside credit: the penalty of leaving, or the minimum fee of cancelling.
    struct Model {
        uint256 deposited;
        uint256 paid;
        uint256 creditSeconds;
        uint256 through;
        uint256 level;
        uint256 forfeit;
        bool cancelled;
    }

    /// @dev What calls about one lease have booked, by who may withdraw it.
    struct Booked {
        uint256 payee;
        uint256 lessee;
        uint256 lessor;
        uint256 fees;
    }

    uint16 private constant LEVEL = 9_000;
    uint16 private constant LEVEL_BP = 1_500;

    mapping(uint64 lease => Model) public model;
    mapping(uint64 lease => Booked) public bookings;
    uint256[] private _tokens;
    /// @notice Money that went in and came out.
    uint256 public taken;
    uint256 public withdrawn;
    uint256 public claims;
    /// @notice The lease that the last call was about; zero before the first.
    uint64 public touched;
    uint256 public closings;
    uint256 public exits;
    uint256 public silences;
    uint256 public stalls;
    uint256 public rotations;
    uint256 public freezes;
    uint256 public refusedByPause;

    /// @dev Measures what the call books, and for which lease.
    modifier books(uint64 seed) {
        uint64 lease = _pick(seed);
        if (lease == 0) return;
        Booked memory before = _now();
        _;
        _add(bookings[lease], before);
    }

    constructor() {
        _deployLeases();
        _tokens.push(tokenId);
        _tokens.push(_device(lessor, DEVICE_KEY + 1, 1));
        _tokens.push(_device(lessor, DEVICE_KEY + 2, 1));
        dollar.mint(LESSEE, 1e12);
        dollar.mint(lessor, 1e12);
        levels = _tiers(LEVEL, LEVEL_BP, 0, 0);
    }

    function openLease(uint256 which, uint96 deposit, uint64 delay) external {
        uint256 id = _tokens[which % 3];
        if (devices.device(id).lockedUntil > block.timestamp) return;
        Offer memory o = _offer();
        o.tokenId = id;
        o.start += delay % 100;
        // Every other lease is long enough for a notice.
        o.end = o.start + (deposit % 2 == 0 ? LENGTH : LENGTH + 2 * TIMEOUT);
        deposit = BOND + deposit % 6_000;
        if (_refusedByPause(abi.encodeCall(escrow.open, (o, _sign(o), _with(deposit))))) return;
        uint64 lease = _open(o, deposit);
        touched = lease;
        (model[lease].deposited, model[lease].through) = (deposit, o.start);
        taken += uint256(deposit) + BOND;
    }

    function topUp(uint64 lease, uint96 amount) external {
        lease = _pick(lease);
        if (lease == 0) return;
        amount = amount % 1_000;
        if (_refusedByPause(abi.encodeCall(escrow.topUp, (lease, amount)))) return;
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

    function collect(uint64 seed) external books(seed) {
        escrow.collect(touched);
    }

    function closeFinal(uint64 seed, uint128 units, uint64 credit, uint64 bad) external books(seed) {
        Leaf memory leaf = _last(units, credit, bad, escrow.leaseInfo(touched).end);
        uint64 epoch = _finalEpoch(leaf.through);
        _postActive(epoch, _hashLeaf(leaf));
        _noteLast(leaf);
        escrow.close(touched, epoch, leaf, new bytes32[](0));
    }

    /// @notice The lessor gives notice, and the lessee goes at once, or anyone ends the lease when the notice is over.
    function leaveEarly(uint64 seed, uint128 units, uint64 credit, uint64 bad) external books(seed) {
        ILeaseEscrow.LeaseInfo memory l = escrow.leaseInfo(touched);
        uint64 given = uint64(block.timestamp) > l.start ? uint64(block.timestamp) : l.start;
        if (given + TIMEOUT >= l.end) return;
        vm.prank(lessor);
        escrow.giveNotice(touched);
        bool atOnce = credit % 2 == 0;
        _leaveEarly(_last(units, credit, bad, atOnce ? given : given + TIMEOUT + bad % 100), atOnce);
        model[touched].forfeit = _penalty(l, given + TIMEOUT);
    }

    /// @notice Two reports show nothing but bad seconds between them, and the lessee goes.
    function closeSilent(uint64 seed, uint128 units, uint64 credit) external books(seed) {
        ILeaseEscrow.ClaimItem memory first = _item(_last(units, credit, 0, uint64(block.timestamp)));
        Leaf memory second = _last(units, credit, TIMEOUT, uint64(block.timestamp));
        ILeaseEscrow.ClaimItem memory last = _item(second);
        _noteLast(second);
        vm.prank(LESSEE);
        escrow.closeSilent(touched, first, last);
        ++silences;
    }

    /// @notice Time goes by without a report until the stream counts as dead.
    function closeStalled(uint64 seed, uint64 wait) external books(seed) {
        vm.warp(block.timestamp + wait % TIMEOUT);
        (bool posted, uint64 epoch,,) = hub.latest(COMMITTEE, STREAM);
        uint256 since = posted ? registry.startOf(COMMITTEE, epoch + 1) : 0;
        uint256 start = escrow.leaseInfo(touched).start;
        if (block.timestamp < (since > start ? since : start) + TIMEOUT) return;
        escrow.closeStalled(touched);
        (++stalls, ++closings);
    }

    function closeLate(uint64 seed, uint64 wait) external books(seed) {
        vm.warp(block.timestamp + wait % TIMEOUT);
        if (block.timestamp < escrow.leaseInfo(touched).end + TIMEOUT) return;
        escrow.closeAfterTimeout(touched);
        ++closings;
    }

    function cancel(uint64 seed, bool byLessee) external books(seed) {
        if (block.timestamp >= escrow.leaseInfo(touched).start) return;
        vm.prank(byLessee ? LESSEE : lessor);
        escrow.cancel(touched);
        (model[touched].cancelled, model[touched].forfeit) = (true, byLessee ? 0 : MIN_FEE);
        ++closings;
    }

    function rotate(uint64 ahead) external {
        _rotateOn(ahead % 4);
        ++rotations;
    }

    /// @notice A report that pays a lease more than was proven is posted, disabled, and claimed again and again: in vain.
    function disableRoot(uint64 seed) external books(seed) {
        Leaf memory leaf = _leaf(touched, 10_000, uint64(block.timestamp));
        uint64 epoch = _freeze(_hashLeaf(leaf));
        vm.warp(block.timestamp + WINDOW);
        vm.expectRevert(_skip(ILeaseEscrow.Skip.NotProven));
        escrow.claim(touched, epoch, leaf, new bytes32[](0));
        (++freezes, ++rotations);
    }

    /// @notice Governance pauses or goes on. All calls here but opening and topping up must work either way.
    function pause() external {
        escrow.paused() ? escrow.unpause() : escrow.pause();
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
            if (!_isOpen(i)) continue;
            Booked memory before = _now();
            escrow.closeAfterTimeout(i);
            _add(bookings[i], before);
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
    function modelCredit(uint64 lease) public view returns (uint256) {
        uint256 credit = model[lease].creditSeconds * PRICE;
        if (credit < model[lease].level) credit = model[lease].level;
        return credit < BOND ? credit : BOND;
    }

    /// @notice Fee of a lease that ended, by the model.
    function modelFee(uint64 lease) external view returns (uint256) {
        uint256 part = model[lease].paid * FEE_BP / 10_000;
        return part > MIN_FEE ? part : MIN_FEE;
    }

    function _leaveEarly(Leaf memory leaf, bool byLessee) private {
        uint64 epoch = _finalEpoch(leaf.through);
        _postActive(epoch, _hashLeaf(leaf));
        _noteLast(leaf);
        if (byLessee) vm.prank(LESSEE);
        escrow.leaveLease(touched, epoch, leaf, new bytes32[](0));
        ++exits;
    }

    /// @dev The part of the lease that was neither served nor under notice, of the bond's rest, unless the money ran out.
    function _penalty(ILeaseEscrow.LeaseInfo memory l, uint256 served) private view returns (uint256) {
        Model storage m = model[touched];
        if (m.paid >= m.deposited) return 0;
        if (served < m.through) served = m.through;
        uint256 parts = (BOND - modelCredit(touched)) * (l.end - served);
        uint256 length = l.end - l.start;
        return parts / length + (parts % length == 0 ? 0 : 1);
    }

    function _last(uint128 units, uint64 credit, uint64 bad, uint64 through) private view returns (Leaf memory leaf) {
        leaf = _leaf(touched, units % 900, through);
        (leaf.creditSeconds, leaf.badSeconds) = (credit % 700, bad > TIMEOUT ? bad % 300 : bad);
    }

    /// @dev Reports the leaf as it is, in the next epoch.
    function _item(Leaf memory leaf) private returns (ILeaseEscrow.ClaimItem memory) {
        uint64 epoch = _free(uint64((block.timestamp - registry.startOf(COMMITTEE, 0)) / EPOCH));
        _postActive(epoch, _hashLeaf(leaf));
        return ILeaseEscrow.ClaimItem(leaf.lease, epoch, leaf, new bytes32[](0));
    }

    /// @dev A leaf that ends the lease: its seconds decide the service level too.
    function _noteLast(Leaf memory leaf) private {
        _note(leaf.lease, leaf);
        Model storage m = model[leaf.lease];
        uint256 judged = uint256(leaf.goodSeconds) + leaf.badSeconds;
        if (uint256(leaf.goodSeconds) * 10_000 < judged * LEVEL) {
            uint256 rest = m.paid * LEVEL_BP % 10_000;
            m.level = m.paid * LEVEL_BP / 10_000 + (rest == 0 ? 0 : 1);
        }
        ++closings;
    }

    /// @dev While paused the call is refused, as a caller may expect; returns whether it was paused.
    function _refusedByPause(bytes memory call) private returns (bool paused) {
        paused = escrow.paused();
        if (!paused) return false;
        vm.prank(LESSEE);
        (bool accepted, bytes memory why) = address(escrow).call(call);
        yes(!accepted && bytes4(why) == Pausable.EnforcedPause.selector, "refused while paused");
        ++refusedByPause;
    }

    function _now() private view returns (Booked memory) {
        return
            Booked(_claimable(PAYEE), _claimable(LESSEE), _claimable(lessor), escrow.fees(address(dollar), COMMITTEE));
    }

    function _add(Booked storage sum, Booked memory before) private {
        Booked memory after_ = _now();
        sum.payee += after_.payee - before.payee;
        sum.lessee += after_.lessee - before.lessee;
        sum.lessor += after_.lessor - before.lessor;
        sum.fees += after_.fees - before.fees;
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
