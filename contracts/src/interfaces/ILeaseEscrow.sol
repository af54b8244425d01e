// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IReportConsumer} from "./IReportConsumer.sol";
import {Leaf} from "../Types.sol";

/// @notice A lessor's signed offer, EIP-712 domain {name "PlumblineEscrow", version "1", chainId, LeaseEscrow}. Amounts are
/// base units of `token`, times unix seconds, durations seconds.
/// @param payee Who is paid; may pass the pay on to another later.
/// @param lessee Who may accept; zero = anyone.
/// @param class Class of proof; its bit must be set for `policyHash` in the book of the committee's term.
/// @param policyHash A document of the committee's policy book, under which the lease stays until it ends.
/// @param price For 10^unitExponent proven units (for classes 1 and 2 a unit is one good second).
/// @param unitExponent 0 to 18.
/// @param maxUnitsPerHour Bound on paid units per hour of lease, whatever the committee signs.
/// @param creditPerHour What an hour of credit seconds gives back out of the bond.
/// @param tiers Service levels, four times 32 bits: `below` and `creditBp`, in basis points. Below `below` of uptime, `creditBp`
/// of the pay are credited. Zero = none.
/// @param bond What the lessor puts up for service credits; when the start lies ahead, at least `minFee`, which the lessor
/// pays out of it for cancelling.
/// @param minDeposit Least deposit; the lessee puts in at least `bond` and `minFee` too.
/// @param damageDeposit What the lessee puts up for damage, beside the deposit.
/// @param arbiter Who decides on damage; zero iff there is no damage deposit.
/// @param damageWindow After the end, so long the lessor may claim damage, and as long again the arbiter may decide.
/// @param feeBp Committee's part of the lessor's pay, in basis points.
/// @param minFee Least fee of the whole lease.
/// @param notice How long ahead either side announces that it leaves early.
/// @param holdBack How long proven pay waits before it is booked, so that a correction can still reach it.
/// @param gate An `ILeaseGate` that decides who may be the lessee; zero = none.
/// @param predicate What the gate asks of the lessee, in its own terms; zero without a gate.
/// @param start An offer accepted later starts when it is accepted.
/// @param end Latest end.
/// @param series `ILeaseEscrow.seriesOf(lessor, tokenId)` when the offer was signed; a sale of the device, or the lessor's
/// `revokeOffers`, ends the series and every offer in it.
/// @param nonce Good once for each lessor.
/// @param expiry Last second in which the offer may be accepted.
struct Offer {
    uint256 tokenId;
    address lessor;
    address payee;
    address lessee;
    address token;
    uint8 class;
    uint64 committee;
    uint32 stream;
    bytes32 policyHash;
    uint96 price;
    uint8 unitExponent;
    uint96 maxUnitsPerHour;
    uint96 creditPerHour;
    uint128 tiers;
    uint96 bond;
    uint96 minDeposit;
    uint96 damageDeposit;
    address arbiter;
    uint32 damageWindow;
    uint16 feeBp;
    uint96 minFee;
    uint32 notice;
    uint32 holdBack;
    address gate;
    bytes32 predicate;
    uint64 start;
    uint64 end;
    uint64 series;
    uint64 nonce;
    uint64 expiry;
}

/// @notice How an offer is accepted; not signed by the lessor.
/// @param lessee Zero = the caller; for another the caller must be its operator. The caller pays either way.
/// @param deposit What the lease is paid from, in base units.
/// @param classes What the committee's policy book says of the offer's policy document: bit c = class c.
/// @param bookProof Siblings from the document's leaf to the book's root.
/// @param admission What the offer's gate takes as proof that the lessee may have the lease; empty without a gate.
/// @param minTier Least endorsement tier of the device's key; 0 = any.
/// @param registeredBefore The device was registered at this unix second or earlier; 0 = whenever.
struct Acceptance {
    address lessee;
    uint96 deposit;
    uint256 classes;
    bytes32[] bookProof;
    bytes admission;
    uint8 minTier;
    uint64 registeredBefore;
}

/// @title Leases paid by proven service
interface ILeaseEscrow is IReportConsumer {
    /// @notice None, open, closed. A cancelled lease is closed.
    enum State {
        None,
        Open,
        Closed
    }

    /// @notice Why a claim paid nothing and was passed over.
    enum Skip {
        None,
        NotOpen,
        WrongLeaf,
        NotProven,
        Stale
    }

    /// @notice One claim of a batch.
    struct ClaimItem {
        uint64 lease;
        uint64 epoch;
        Leaf leaf;
        bytes32[] proof;
    }

    /// @notice A lease as views give it. Amounts in base units of `token`.
    /// @param paid Proven pay so far, fees included.
    /// @param credit Service credit so far, out of the bond.
    /// @param fee Committee's part of `paid` so far.
    struct LeaseInfo {
        State state;
        uint256 tokenId;
        address lessee;
        address lessor;
        address payee;
        address token;
        uint8 class;
        uint64 committee;
        uint32 stream;
        bytes32 policyHash;
        uint96 price;
        uint8 unitExponent;
        uint96 maxUnitsPerHour;
        uint96 creditPerHour;
        uint64 start;
        uint64 end;
        uint64 through;
        uint256 deposited;
        uint256 bond;
        uint256 paid;
        uint256 credit;
        uint256 fee;
    }

    /// @notice A lease was opened. With `offer`, as its lessor signed it, this is all that there is to know of its terms.
    /// @param start When it starts: the offer's start, or now if that is later.
    /// @param end When it ends unless it is extended or cut short (`LeaseEndSet`).
    /// @param deposit What the lessee put in; the offer's bond and damage deposit came in beside it.
    event LeaseOpened(
        uint64 indexed lease,
        uint256 indexed tokenId,
        address indexed lessee,
        uint64 start,
        uint64 end,
        uint96 deposit,
        Offer offer
    );
    /// @notice The lease ends at `end` (unix seconds) from now on: later than before (funds, extension) or earlier (notice).
    event LeaseEndSet(uint64 indexed lease, uint64 end);
    event ToppedUp(uint64 indexed lease, address indexed from, uint256 amount);
    /// @notice `units` are the lease's net proven units so far; `paid`, `credit` and `fee` what this claim added. The
    /// fee is part of `paid`.
    event Claimed(uint64 indexed lease, uint64 indexed epoch, uint128 units, uint256 paid, uint256 credit, uint256 fee);
    /// @notice A claim of a batch paid nothing; the rest went on.
    event ClaimSkipped(uint64 indexed lease, uint64 indexed epoch, Skip why);
    /// @notice Proven pay ran out of funds; `shortfall` base units are owed and unfunded.
    event FundsExhausted(uint64 indexed lease, uint256 shortfall);
    /// @notice What the lease earned so far was booked to the accounts that may withdraw it.
    event Collected(uint64 indexed lease, uint256 toPayee, uint256 toLessee, uint256 fee);
    /// @notice The lease is over: `refunded` went back to the lessee, `bondReturned` to the lessor.
    event LeaseClosed(uint64 indexed lease, uint256 refunded, uint256 bondReturned);
    /// @notice Precedes LeaseClosed when a lease ends before its start.
    event LeaseCancelled(uint64 indexed lease, address by);
    /// @notice The lessor will leave the lease at `leavesAt` (unix seconds).
    event NoticeGiven(uint64 indexed lease, uint64 leavesAt);
    /// @notice Precedes LeaseClosed: what of the bond went to the lessee for an early exit, beside `refunded`.
    event PenaltyPaid(uint64 indexed lease, uint256 amount);
    /// @notice Precedes LeaseClosed: what the lease's service level adds to its credit, by the final leaf's seconds.
    event TierCredited(uint64 indexed lease, uint64 goodSeconds, uint64 badSeconds, uint256 amount);
    event Withdrawn(address indexed token, address indexed account, uint256 amount);
    event FeesWithdrawn(uint64 indexed committee, address indexed token, address treasury, uint256 amount);
    event OfferNonceUsed(address indexed lessor, uint64 nonce);
    /// @notice No offer that the lessor signed before is good any more.
    event OffersRevoked(address indexed lessor, uint64 count);
    event TokenSet(address indexed token, bool allowed, uint96 minFee);
    event CommitteeSet(uint64 indexed committee, address treasury, uint16 feeBp);

    error TokenNotAllowed(address token);
    error OfferExpired(uint64 expiry);
    error NonceUsed(address lessor, uint64 nonce);
    error BadSignature();
    error NotLessee(address caller);
    error NotOwner(address lessor);
    error BadOffer();
    error DeviceNotActive(uint256 tokenId);
    error DeviceLeased(uint256 tokenId, uint64 until);
    /// @notice The policy book of the committee's term holds no such document with these classes.
    error PolicyNotInForce(bytes32 policyHash);
    /// @notice Under this document no lease of the class may be opened.
    error ClassNotInPolicy(uint8 class, bytes32 policyHash);
    error OfferRevoked(uint64 series, uint64 current);
    error TrustTooLow(uint256 tokenId);
    /// @notice The offer's gate does not admit this lessee.
    error NotAdmitted(address lessee);
    error BadSettings();
    error FeeTooLow();
    error DepositTooLow(uint256 deposit, uint256 minimum);
    error StreamFull(uint64 committee, uint32 stream);
    error WrongAmount(uint256 received, uint256 expected);
    error Skipped(Skip why);
    error BatchTooLarge(uint256 size);
    error NotFinal();
    error TooEarly(uint256 earliest);
    error NotParty(address caller);
    error NotOpen(uint64 lease);
    error NoNotice();
    error NoticeAlreadyGiven();
    error TooLateForNotice(uint256 leavesAt);
    error NotSilent();
    error NothingToWithdraw();
    error NoTreasury(uint64 committee);

    /// @notice Accepts an offer: takes the deposit from the caller and the bond from the lessor (both by
    /// allowance), and gives the lessee the use of the device until the end of the lease. The deposit is at least the bond:
    /// a lessee whose funds are used up has paid as much as credit and penalty can ever give back.
    function open(Offer calldata offer, bytes calldata signature, Acceptance calldata acceptance)
        external
        returns (uint64 lease);

    /// @notice The same with an ERC-2612 permit for the deposit; a permit used up by someone else does not matter as
    /// long as the allowance is there.
    function openWithPermit(
        Offer calldata offer,
        bytes calldata signature,
        Acceptance calldata acceptance,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint64 lease);

    /// @notice Adds funds to an open lease. Pay that found no funds is caught up by the next claim.
    function topUp(uint64 lease, uint96 amount) external;

    /// @notice Settles up to 1,024 leases. Items that cannot be settled are skipped with an event.
    function claimBatch(ClaimItem[] calldata items) external;

    /// @notice Books what an open lease has earned so far, so that it can be withdrawn. Closing does it too.
    function collect(uint64 lease) external;

    /// @notice Pays a final leaf, credits its service level and closes the lease. Final: of an epoch that ends at or after end + grace, and either
    /// through the end of the lease or of an epoch that starts at or after end + grace.
    function close(uint64 lease, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice Closes a lease for which no final leaf came until end + oracleTimeout. Unproven is unpaid.
    function closeAfterTimeout(uint64 lease) external;

    /// @notice Closes a lease whose stream has had no report for oracleTimeout. Unproven is unpaid; nobody is slashed. What
    /// is proven and not claimed by then is not paid either, here and in closeAfterTimeout: claim in time, anyone may.
    function closeStalled(uint64 lease) external;

    /// @notice The lessor announces that it will leave an open lease oracleTimeout seconds from now (from the start, when
    /// that is later). The lease runs on until someone calls `leaveLease`.
    function giveNotice(uint64 lease) external;

    /// @notice Ends a lease under notice with a proven leaf that covers the moment of leaving and grace: the end of the
    /// notice, or for the lessee already its beginning; no active report is newer. Everything proven by that leaf is paid;
    /// of the bond, the part of the lease after the notice and after the last judged second goes to the lessee as a
    /// penalty, rounded up; nothing when the lease's funds are used up. Anyone may call.
    function leaveLease(uint64 lease, uint64 epoch, Leaf calldata leaf, bytes32[] calldata proof) external;

    /// @notice The lessee ends a lease whose device has been silent: two proven leaves show at least oracleTimeout more
    /// bad seconds and not one good second or unit, and no active report is newer than the second, which is paid first.
    /// What later reports, still inside their dispute window, would prove is not paid.
    function closeSilent(uint64 lease, ClaimItem calldata first, ClaimItem calldata last) external;

    /// @notice When the lessor gave notice (unix seconds, not before the start); zero = not.
    function noticeGiven(uint64 lease) external view returns (uint64);

    /// @notice Before the start, either party may go back; who does pays the minimum fee.
    function cancel(uint64 lease) external;

    /// @notice Takes back an unaccepted offer of msg.sender.
    function revokeOffer(uint64 nonce) external;

    /// @notice Takes back every offer that msg.sender has signed so far.
    function revokeOffers() external;

    /// @notice What an offer of this lessor for this device names as its series: how often the device changed hands and the
    /// lessor revoked all offers, together.
    function seriesOf(address lessor, uint256 tokenId) external view returns (uint64);

    /// @notice Pays out what msg.sender has in `token`.
    function withdraw(address token) external returns (uint256 amount);

    /// @notice Pays a committee's fees out to its treasury. Anyone may call.
    function withdrawFees(uint64 committee, address token) external returns (uint256 amount);

    /// @notice Booked and not yet withdrawn.
    function claimable(address token, address account) external view returns (uint256);

    /// @notice Booked and not yet withdrawn fees of a committee.
    function fees(address token, uint64 committee) external view returns (uint256);

    /// @notice A lease; all zeros for an unknown one.
    function leaseInfo(uint64 lease) external view returns (LeaseInfo memory);

    /// @notice Digest that the lessor signs.
    function offerDigest(Offer calldata offer) external view returns (bytes32);
}
