// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";
import {ILeaseEscrow} from "./interfaces/ILeaseEscrow.sol";
import {IReportConsumer} from "./interfaces/IReportConsumer.sol";
import {IReportHub} from "./interfaces/IReportHub.sol";
import {LeaseMath} from "./libraries/LeaseMath.sol";
import {ReportClaims} from "./libraries/ReportClaims.sol";
import {Leaf} from "./Types.sol";

/// @title LeaseLedger
/// @notice The money of leases: claims, closing, accounts. A claim only raises counters inside the lease (that keeps
/// it cheap); `collect` and closing book them to accounts, which their owners withdraw one by one.
/// @dev Per lease: deposited = pay + fees + refund + what is left, and bond = credit + returned + what is left.
abstract contract LeaseLedger is ILeaseEscrow, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev Four slots, all that a claim reads.
    struct Terms {
        uint96 price;
        uint96 maxUnitsPerHour;
        uint8 unitExponent;
        uint32 stream;
        uint16 feeBp;
        State state;
        // The only slot that a claim writes.
        uint40 through;
        uint40 creditSeconds;
        uint96 paid;
        uint40 start;
        uint40 end;
        // Written by top-ups.
        uint96 deposited;
        uint96 minFee;
        uint64 committee;
        bytes32 policyHash;
    }

    /// @dev Beside the terms: who is who, and how much of `paid` and of the credit has been booked.
    struct Lease {
        Terms terms;
        address lessee;
        uint96 bond;
        address payee;
        uint96 bookedPaid;
        address lessor;
        uint96 bookedCredit;
        address token;
        uint64 tokenId;
        uint8 class;
        // Service levels and credit by the hour, as the offer has them.
        uint128 tiers;
        uint96 creditPerHour;
    }

    /// @dev What a leaf brings a lease to.
    struct Gain {
        uint256 through;
        uint128 units;
        uint256 total;
        uint256 creditSeconds;
        uint256 credit;
    }

    /// @notice Most claims of a batch.
    uint256 public constant MAX_BATCH = 1_024;
    IReportHub public immutable hub;
    ICommitteeRegistry public immutable registry;
    /// @notice Seconds after which a lease may end without a final leaf.
    uint64 public immutable oracleTimeout;
    /// @notice Seconds after a lease's end that its final epoch must cover.
    uint64 public immutable grace;

    // Written through storage references, which slither does not follow.
    // slither-disable-next-line uninitialized-state
    mapping(uint64 lease => Lease) internal _leases;
    /// @inheritdoc ILeaseEscrow
    mapping(address token => mapping(address account => uint256)) public claimable;
    /// @inheritdoc ILeaseEscrow
    mapping(address token => mapping(uint64 committee => uint256)) public fees;
    /// @inheritdoc ILeaseEscrow
    mapping(uint64 lease => uint64) public noticeGiven;

    constructor(IReportHub hub_, uint64 oracleTimeout_, uint64 grace_) {
        if (oracleTimeout_ <= hub_.disputeWindow() + grace_) revert BadSettings();
        hub = hub_;
        registry = hub_.registry();
        oracleTimeout = oracleTimeout_;
        grace = grace_;
    }

    /// @inheritdoc IReportConsumer
    function claim(uint64 lease, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof)
        external
        returns (uint256 paid)
    {
        Skip why;
        (why, paid) = _claim(lease, epoch, leaf, proof);
        // A reason, not an amount: nobody can bring it about by sending tokens or waiting a second.
        // slither-disable-next-line incorrect-equality
        if (why == Skip.None) return paid;
        if (why != Skip.Stale) revert Skipped(why);
        emit ClaimSkipped(lease, epoch, why);
    }

    /// @inheritdoc ILeaseEscrow
    function claimBatch(ClaimItem[] calldata items) external {
        if (items.length > MAX_BATCH) revert BatchTooLarge(items.length);
        for (uint256 i = 0; i < items.length; ++i) {
            ClaimItem calldata item = items[i];
            (Skip why,) = _claim(item.lease, item.epoch, item.leaf, item.proof);
            if (why != Skip.None) emit ClaimSkipped(item.lease, item.epoch, why);
        }
    }

    /// @inheritdoc ILeaseEscrow
    function collect(uint64 lease) external {
        _book(lease, _requireOpen(lease));
    }

    /// @inheritdoc ILeaseEscrow
    function close(uint64 lease, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof) external nonReentrant {
        Lease storage l = _requireOpen(lease);
        _settleFinal(lease, l, l.terms.end, epoch, leaf, proof);
        _creditLevel(lease, l, leaf);
        _finish(lease, l, 0);
    }

    /// @inheritdoc ILeaseEscrow
    function giveNotice(uint64 lease) external {
        Lease storage l = _requireOpen(lease);
        if (msg.sender != l.lessor) revert NotParty(msg.sender);
        if (noticeGiven[lease] != 0) revert NoticeAlreadyGiven();
        uint256 leavesAt = Math.max(block.timestamp, l.terms.start) + oracleTimeout;
        if (leavesAt >= l.terms.end) revert TooLateForNotice(leavesAt);
        noticeGiven[lease] = uint64(leavesAt - oracleTimeout);
        emit NoticeGiven(lease, uint64(leavesAt));
    }

    /// @inheritdoc ILeaseEscrow
    function leaveLease(uint64 lease, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof)
        external
        nonReentrant
    {
        Lease storage l = _requireOpen(lease);
        uint256 given = noticeGiven[lease];
        if (given == 0) revert NoNotice();
        uint256 leavesAt = given + oracleTimeout;
        _settleFinal(lease, l, msg.sender == l.lessee ? given : leavesAt, epoch, leaf, proof);
        _requireNewest(l.terms, epoch);
        _creditLevel(lease, l, leaf);
        _finish(lease, l, _unserved(l.terms, leavesAt));
    }

    /// @inheritdoc ILeaseEscrow
    function closeSilent(uint64 lease, ClaimItem calldata first, ClaimItem calldata last) external nonReentrant {
        Lease storage l = _requireOpen(lease);
        if (msg.sender != l.lessee) revert NotParty(msg.sender);
        Terms memory t = l.terms;
        _requireProven(lease, t, first.epoch, first.leaf, first.proof);
        _requireProven(lease, t, last.epoch, last.leaf, last.proof);
        (Leaf calldata a, Leaf calldata b) = (first.leaf, last.leaf);
        if (a.goodSeconds != b.goodSeconds || a.units != b.units || b.badSeconds < a.badSeconds + oracleTimeout) {
            revert NotSilent();
        }
        _requireNewest(t, last.epoch);
        _settle(lease, t, last.epoch, b);
        _creditLevel(lease, l, b);
        _finish(lease, l, 0);
    }

    /// @inheritdoc ILeaseEscrow
    function closeAfterTimeout(uint64 lease) external nonReentrant {
        Lease storage l = _requireOpen(lease);
        uint256 earliest = uint256(l.terms.end) + oracleTimeout;
        if (block.timestamp < earliest) revert TooEarly(earliest);
        _finish(lease, l, 0);
    }

    /// @inheritdoc ILeaseEscrow
    function closeStalled(uint64 lease) external nonReentrant {
        Lease storage l = _requireOpen(lease);
        // Only whether and when the stream last reported matters.
        // slither-disable-next-line unused-return
        (bool posted, uint64 epoch,,) = hub.latest(l.terms.committee, l.terms.stream);
        uint256 since = posted ? registry.startOf(l.terms.committee, epoch + 1) : 0;
        uint256 earliest = Math.max(since, l.terms.start) + oracleTimeout;
        if (block.timestamp < earliest) revert TooEarly(earliest);
        _finish(lease, l, 0);
    }

    /// @inheritdoc ILeaseEscrow
    function withdraw(address token) external nonReentrant returns (uint256 amount) {
        amount = claimable[token][msg.sender];
        if (amount == 0) revert NothingToWithdraw();
        claimable[token][msg.sender] = 0;
        emit Withdrawn(token, msg.sender, amount);
        IERC20(token).safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc ILeaseEscrow
    function leaseInfo(uint64 lease) external view returns (LeaseInfo memory info) {
        Lease storage l = _leases[lease];
        (info.state, info.tokenId, info.class) = (l.terms.state, l.tokenId, l.class);
        (info.lessee, info.lessor, info.payee, info.token) = (l.lessee, l.lessor, l.payee, l.token);
        (info.committee, info.stream, info.policyHash) = (l.terms.committee, l.terms.stream, l.terms.policyHash);
        (info.price, info.unitExponent) = (l.terms.price, l.terms.unitExponent);
        (info.maxUnitsPerHour, info.creditPerHour) = (l.terms.maxUnitsPerHour, l.creditPerHour);
        (info.start, info.end, info.through) = (l.terms.start, l.terms.end, l.terms.through);
        (info.deposited, info.bond, info.paid) = (l.terms.deposited, l.bond, l.terms.paid);
        info.credit = _credit(l);
        info.fee = LeaseMath.fee(l.terms.paid, l.terms.feeBp, l.terms.minFee);
    }

    /// @dev Checks and settles one leaf. Never reverts on what a leaf says.
    function _claim(uint64 lease, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof)
        private
        returns (Skip why, uint256 pay)
    {
        Terms memory t = _leases[lease].terms;
        if (t.state != State.Open) return (Skip.NotOpen, 0);
        why = _check(lease, t, epoch, leaf, proof);
        if (why != Skip.None) return (why, 0);
        return _settle(lease, t, epoch, leaf);
    }

    /// @dev Whether the leaf is this escrow's and this lease's, under the policy it was opened with, and under an active root.
    function _check(uint64 lease, Terms memory t, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof)
        private
        view
        returns (Skip)
    {
        if (leaf.escrow != address(this) || leaf.lease != lease || leaf.policyHash != t.policyHash) {
            return Skip.WrongLeaf;
        }
        bytes32 root = hub.activeRoot(t.committee, t.stream, epoch);
        return ReportClaims.verify(leaf, proof, root) ? Skip.None : Skip.NotProven;
    }

    function _requireProven(uint64 lease, Terms memory t, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof)
        private
        view
    {
        Skip why = _check(lease, t, epoch, leaf, proof);
        if (why != Skip.None) revert Skipped(why);
    }

    /// @dev No active root of the stream is newer: what a later report proved must not be cut.
    function _requireNewest(Terms memory t, uint64 epoch) private view {
        // Only which epoch was posted last matters; that one was is clear, since `epoch` has an active root.
        // slither-disable-next-line unused-return
        (, uint64 latest,,) = hub.latest(t.committee, t.stream);
        // The ring holds 64 epochs; anything older than those is gone.
        for (uint64 e = latest; e > epoch && latest - e < 64; --e) {
            if (hub.isActive(t.committee, t.stream, e)) revert NotFinal();
        }
    }

    /// @dev Pays a leaf that covers `moment`. One that was claimed before has nothing new to pay; that does not matter.
    function _settleFinal(
        uint64 lease,
        Lease storage l,
        uint256 moment,
        uint64 epoch,
        Leaf calldata leaf,
        bytes32[] calldata proof
    ) private {
        Terms memory t = l.terms;
        uint256 covered = moment + grace;
        if (registry.startOf(t.committee, epoch + 1) < covered) revert NotFinal();
        if (leaf.through < moment && registry.startOf(t.committee, epoch) < covered) revert NotFinal();
        _requireProven(lease, t, epoch, leaf, proof);
        _settle(lease, t, epoch, leaf);
    }

    /// @dev Raises the lease's counters to what a proven leaf says; an older or replayed one changes nothing.
    function _settle(uint64 lease, Terms memory t, uint64 epoch, Leaf calldata leaf)
        private
        returns (Skip, uint256 pay)
    {
        // Every field is set below; credit stays zero when there is none.
        // slither-disable-next-line uninitialized-local
        Gain memory g;
        g.through = Math.min(Math.min(leaf.through, t.end), block.timestamp);
        if (g.through < t.through) return (Skip.Stale, 0);
        g.units = ReportClaims.netUnits(leaf);
        g.total = _owed(lease, t, g.units, g.through - t.start);
        g.creditSeconds = Math.max(t.creditSeconds, Math.min(leaf.creditSeconds, g.through - t.start));
        if (g.creditSeconds != t.creditSeconds) g.credit = _creditAdded(_leases[lease], t, g.creditSeconds);
        pay = g.total - t.paid;
        // Counters of the lease itself; when they stand still there is nothing to write.
        // slither-disable-next-line incorrect-equality
        if (pay == 0 && g.credit == 0 && g.through == t.through) return (Skip.Stale, 0);

        Terms storage stored = _leases[lease].terms;
        (stored.through, stored.creditSeconds, stored.paid) =
        (uint40(g.through), uint40(g.creditSeconds), uint96(g.total));
        emit Claimed(lease, epoch, g.units, pay, g.credit, _feeAdded(t, g.total));
        return (Skip.None, pay);
    }

    /// @dev Seconds that the lessor leaves unserved: what comes after the notice and after the last seconds judged. None when
    /// the funds are used up: a lessor who is no longer paid may go.
    function _unserved(Terms memory t, uint256 leavesAt) private pure returns (uint256) {
        return t.paid == t.deposited ? 0 : t.end - Math.max(leavesAt, t.through);
    }

    /// @dev All that is owed and funded so far; never less than what was paid.
    function _owed(uint64 lease, Terms memory t, uint256 units, uint256 elapsed) private returns (uint256) {
        uint256 owed = LeaseMath.owed(units, elapsed, t.price, t.unitExponent, t.maxUnitsPerHour);
        if (owed > t.deposited) emit FundsExhausted(lease, owed - t.deposited);
        return Math.max(t.paid, Math.min(owed, t.deposited));
    }

    function _creditAdded(Lease storage l, Terms memory t, uint256 creditSeconds) private view returns (uint256) {
        (uint256 bond, uint256 perHour) = (l.bond, l.creditPerHour);
        return LeaseMath.credit(creditSeconds, perHour, bond) - LeaseMath.credit(t.creditSeconds, perHour, bond);
    }

    function _feeAdded(Terms memory t, uint256 total) private pure returns (uint256) {
        // Only saves the calculation: without this line the result is zero too.
        // slither-disable-next-line incorrect-equality
        if (total == t.paid) return 0;
        return LeaseMath.fee(total, t.feeBp, t.minFee) - LeaseMath.fee(t.paid, t.feeBp, t.minFee);
    }

    /// @dev Books what was paid and credited since the last booking.
    function _book(uint64 lease, Lease storage l) private {
        (uint256 paid, uint256 booked) = (l.terms.paid, l.bookedPaid);
        uint256 fee = _feeOf(l, paid) - _feeOf(l, booked);
        uint256 toPayee = paid - booked - fee;
        uint256 credit = _credit(l);
        uint256 toLessee = credit - l.bookedCredit;
        if (paid == booked && toLessee == 0) return;
        l.bookedPaid = uint96(paid);
        l.bookedCredit = uint96(credit);
        claimable[l.token][l.payee] += toPayee;
        claimable[l.token][l.lessee] += toLessee;
        fees[l.token][l.terms.committee] += fee;
        emit Collected(lease, toPayee, toLessee, fee);
    }

    /// @dev Once, with the leaf that ends the lease: tops the credit up to what the service level gives. Without such a
    /// leaf there is none, since no report is no evidence against the lessor.
    function _creditLevel(uint64 lease, Lease storage l, Leaf calldata leaf) private {
        uint256 tiers = l.tiers;
        if (tiers == 0) return;
        _book(lease, l);
        uint256 level = LeaseMath.tierCredit(tiers, leaf.goodSeconds, leaf.badSeconds, l.terms.paid, l.bond);
        if (level <= l.bookedCredit) return;
        uint256 added = level - l.bookedCredit;
        l.bookedCredit = uint96(level);
        claimable[l.token][l.lessee] += added;
        emit TierCredited(lease, leaf.goodSeconds, leaf.badSeconds, added);
    }

    /// @dev Books everything and ends the lease. The refund is what is left, never computed on its own; a lease that
    /// proved too little for the minimum fee pays the rest of it out of the refund.
    /// @param unserved Seconds of the lease that the lessor's early exit leaves unserved.
    function _finish(uint64 lease, Lease storage l, uint256 unserved) private {
        _book(lease, l);
        uint256 fee = _feeOf(l, l.terms.paid);
        uint256 missing = l.terms.minFee > fee ? l.terms.minFee - fee : 0;
        uint256 refund = uint256(l.terms.deposited) - l.terms.paid - missing;
        uint256 bondReturned = uint256(l.bond) - l.bookedCredit;
        if (unserved != 0) {
            uint256 penalty = LeaseMath.penalty(bondReturned, unserved, l.terms.end - l.terms.start);
            bondReturned -= penalty;
            claimable[l.token][l.lessee] += penalty;
            emit PenaltyPaid(lease, penalty);
        }
        _end(lease, l, refund, bondReturned, missing);
        _release(l);
    }

    /// @dev Before the start nothing is proven; who goes back pays the minimum fee, the lessor out of the bond.
    function _bookCancelled(uint64 lease, Lease storage l, bool byLessee) internal {
        uint256 fee = byLessee ? l.terms.minFee : Math.min(l.terms.minFee, l.bond);
        uint256 refund = byLessee ? l.terms.deposited - fee : l.terms.deposited;
        uint256 bondReturned = byLessee ? l.bond : l.bond - fee;
        _end(lease, l, refund, bondReturned, fee);
    }

    function _end(uint64 lease, Lease storage l, uint256 refund, uint256 bondReturned, uint256 fee) private {
        l.terms.state = State.Closed;
        claimable[l.token][l.lessee] += refund;
        claimable[l.token][l.lessor] += bondReturned;
        fees[l.token][l.terms.committee] += fee;
        emit LeaseClosed(lease, refund, bondReturned);
    }

    function _requireOpen(uint64 lease) internal view returns (Lease storage l) {
        l = _leases[lease];
        if (l.terms.state != State.Open) revert NotOpen(lease);
    }

    function _release(Lease storage l) internal virtual;

    /// @dev Credit by counted seconds; what was booked is more once a service level was credited.
    function _credit(Lease storage l) private view returns (uint256) {
        return Math.max(l.bookedCredit, LeaseMath.credit(l.terms.creditSeconds, l.creditPerHour, l.bond));
    }

    function _feeOf(Lease storage l, uint256 paid) private view returns (uint256) {
        return LeaseMath.fee(paid, l.terms.feeBp, l.terms.minFee);
    }
}
