// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IDeviceRegistry} from "./interfaces/IDeviceRegistry.sol";
import {Acceptance, ILeaseEscrow, Offer} from "./interfaces/ILeaseEscrow.sol";
import {IReportHub} from "./interfaces/IReportHub.sol";
import {LeaseLedger} from "./LeaseLedger.sol";
import {LeaseOffers} from "./LeaseOffers.sol";
import {LeaseMath} from "./libraries/LeaseMath.sol";

/// @title LeaseEscrow
/// @notice Opens, funds and ends leases. The counting of money is in `LeaseLedger`, the checking of offers in
/// `LeaseOffers`; proofs are `ReportHub`'s. Every open lease has an exit that anyone may take, and a pause stops new
/// leases and top-ups only.
/// @dev No proxy and no upgrade: a lease is bound to this code from its opening to its last withdrawal. A new version is
/// a new escrow beside this one; `pause` then keeps new leases off the old one, and the old ones end here. A closed
/// lease's storage stays, for whoever wants to see what was paid.
contract LeaseEscrow is LeaseLedger, IERC5267, Ownable2Step, Pausable {
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    struct Fees {
        address treasury;
        uint16 feeBp;
    }

    struct TokenTerms {
        bool allowed;
        uint96 minFee;
    }

    /// @notice Leases a stream may hold at a time, so that a committee can always serve them all.
    uint256 public constant MAX_STREAM_LEASES = LeaseMath.MAX_STREAM_LEASES;
    /// @notice Highest fee of a committee.
    uint16 public constant MAX_FEE_BP = LeaseMath.MAX_FEE_BP;

    IDeviceRegistry public immutable devices;
    /// @notice Checks offers and gives their digests.
    LeaseOffers public immutable offers;

    /// @notice Leases opened so far; ids are 1 to this.
    uint64 public leaseCount;
    /// @notice Tokens that may be paid in, and the least fee of a lease in them.
    mapping(address token => TokenTerms) public tokens;
    /// @notice A committee's treasury and least fee.
    mapping(uint64 committee => Fees) public committees;
    /// @notice Offers used or taken back.
    mapping(address lessor => mapping(uint64 nonce => bool)) public nonceUsed;
    /// @notice How often a lessor took back all of its offers.
    mapping(address lessor => uint64) public revocations;
    /// @notice Open leases of a stream.
    mapping(uint64 committee => mapping(uint32 stream => uint256)) public streamLeases;

    /// @param owner_ Governance: token list, committees' fees, pause.
    /// @param oracleTimeout_ Seconds without a final leaf (or any report) after which a lease ends unproven. Longer
    /// than dispute window and grace together.
    /// @param grace_ Seconds after a lease's end that a final leaf's epoch must cover, so that late data still counts.
    constructor(address owner_, IReportHub hub_, IDeviceRegistry devices_, uint64 oracleTimeout_, uint64 grace_)
        LeaseLedger(hub_, oracleTimeout_, grace_)
        Ownable(owner_)
    {
        devices = devices_;
        offers = new LeaseOffers(devices_, registry);
    }

    /// @notice Allows or forbids a token for new leases. Plain ERC-20 only: no fee on transfer, no rebasing.
    function setToken(address token, bool allowed, uint96 minFee) external onlyOwner {
        tokens[token] = TokenTerms(allowed, minFee);
        emit TokenSet(token, allowed, minFee);
    }

    /// @notice Sets where a committee's fees go and its least fee in basis points.
    function setCommittee(uint64 committee, address treasury, uint16 feeBp) external onlyOwner {
        if (feeBp > MAX_FEE_BP) revert BadSettings();
        committees[committee] = Fees(treasury, feeBp);
        emit CommitteeSet(committee, treasury, feeBp);
    }

    /// @notice Stops new leases and top-ups; claims, closings and withdrawals go on.
    function pause() external onlyOwner {
        _pause();
    }

    /// @notice Ends a pause.
    function unpause() external onlyOwner {
        _unpause();
    }

    /// @inheritdoc ILeaseEscrow
    function open(Offer calldata offer, bytes calldata signature, Acceptance calldata acceptance)
        external
        returns (uint64 lease)
    {
        return _open(offer, signature, acceptance);
    }

    /// @inheritdoc ILeaseEscrow
    function openWithPermit(
        Offer calldata offer,
        bytes calldata signature,
        Acceptance calldata acceptance,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint64 lease) {
        // Someone may have used the permit up first; then the allowance is there and the transfer decides.
        try IERC20Permit(offer.token).permit(msg.sender, address(this), acceptance.deposit, deadline, v, r, s) {}
            catch {}
        return _open(offer, signature, acceptance);
    }

    /// @inheritdoc ILeaseEscrow
    function topUp(uint64 lease, uint96 amount) external nonReentrant whenNotPaused {
        Lease storage l = _requireOpen(lease);
        l.terms.deposited = (uint256(l.terms.deposited) + amount).toUint96();
        _pull(l.token, msg.sender, amount);
        emit ToppedUp(lease, msg.sender, amount);
    }

    /// @inheritdoc ILeaseEscrow
    function cancel(uint64 lease) external nonReentrant {
        Lease storage l = _requireOpen(lease);
        if (block.timestamp >= l.terms.start) revert BadOffer();
        if (msg.sender != l.lessee && msg.sender != l.lessor) revert NotParty(msg.sender);
        emit LeaseCancelled(lease, msg.sender);
        _bookCancelled(lease, l, msg.sender == l.lessee);
        _release(l);
    }

    /// @inheritdoc ILeaseEscrow
    function revokeOffer(uint64 nonce) external {
        _useNonce(msg.sender, nonce);
    }

    /// @inheritdoc ILeaseEscrow
    function revokeOffers() external {
        emit OffersRevoked(msg.sender, ++revocations[msg.sender]);
    }

    /// @inheritdoc ILeaseEscrow
    function seriesOf(address lessor, uint256 tokenId) public view returns (uint64) {
        return revocations[lessor] + devices.transfersOf(tokenId);
    }

    /// @inheritdoc ILeaseEscrow
    function withdrawFees(uint64 committee, address token) external nonReentrant returns (uint256 amount) {
        address treasury = committees[committee].treasury;
        if (treasury == address(0)) revert NoTreasury(committee);
        return _payFees(committee, token, treasury);
    }

    /// @inheritdoc ILeaseEscrow
    function offerDigest(Offer calldata offer) external view returns (bytes32) {
        return offers.digest(offer);
    }

    /// @inheritdoc IERC5267
    function eip712Domain()
        external
        view
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory)
    {
        return (hex"0f", "PlumblineEscrow", "1", block.chainid, address(this), bytes32(0), new uint256[](0));
    }

    function _open(Offer calldata offer, bytes calldata signature, Acceptance calldata acceptance)
        private
        nonReentrant
        whenNotPaused
        returns (uint64 lease)
    {
        offers.check(offer, signature, acceptance, msg.sender);
        _useNonce(offer.lessor, offer.nonce);

        lease = ++leaseCount;
        uint96 deposit = acceptance.deposit;
        uint40 start = _write(lease, offer, deposit);
        _pull(offer.token, msg.sender, deposit);
        if (offer.bond != 0) _pull(offer.token, offer.lessor, offer.bond);
        devices.setUser(offer.tokenId, msg.sender, offer.end);
        emit LeaseOpened(lease, offer.tokenId, msg.sender, start, offer.end, deposit, offer);
    }

    /// @dev Stores the lease. One accepted after the offer's start begins now.
    function _write(uint64 lease, Offer calldata offer, uint96 deposit) private returns (uint40 start) {
        start = uint256(offer.start > block.timestamp ? offer.start : block.timestamp).toUint40();
        Lease storage l = _leases[lease];
        l.terms = Terms({
            price: offer.price,
            maxUnitsPerHour: offer.maxUnitsPerHour,
            unitExponent: offer.unitExponent,
            stream: offer.stream,
            feeBp: offer.feeBp,
            state: State.Open,
            through: start,
            start: start,
            end: uint256(offer.end).toUint40(),
            creditSeconds: 0,
            minFee: offer.minFee,
            paid: 0,
            deposited: deposit,
            committee: offer.committee,
            policyHash: offer.policyHash
        });
        (l.lessee, l.bond) = (msg.sender, offer.bond);
        l.payee = offer.payee;
        l.lessor = offer.lessor;
        (l.token, l.tokenId, l.class) = (offer.token, offer.tokenId.toUint64(), offer.class);
        (l.tiers, l.creditPerHour) = (offer.tiers, offer.creditPerHour);
        ++streamLeases[offer.committee][offer.stream];
    }

    function _payFees(uint64 committee, address token, address treasury) private returns (uint256 amount) {
        amount = fees[token][committee];
        if (amount == 0) revert NothingToWithdraw();
        fees[token][committee] = 0;
        emit FeesWithdrawn(committee, token, treasury, amount);
        IERC20(token).safeTransfer(treasury, amount);
    }

    /// @dev Takes exactly `amount`, or reverts: a token that keeps a fee must not be credited in full.
    function _pull(address token, address from, uint256 amount) private {
        uint256 before = IERC20(token).balanceOf(address(this));
        // `from` is the caller, or the lessor whose signed offer names this token and this bond.
        // slither-disable-next-line arbitrary-send-erc20
        IERC20(token).safeTransferFrom(from, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert WrongAmount(received, amount);
    }

    function _useNonce(address lessor, uint64 nonce) private {
        if (nonceUsed[lessor][nonce]) revert NonceUsed(lessor, nonce);
        nonceUsed[lessor][nonce] = true;
        emit OfferNonceUsed(lessor, nonce);
    }

    /// @dev Frees the place in the stream, and the device. After the end the right is gone by itself, and the device may be
    /// a later lease's or lent out by its owner.
    function _release(Lease storage l) internal override {
        --streamLeases[l.terms.committee][l.terms.stream];
        if (block.timestamp < l.terms.end) devices.setUser(l.tokenId, address(0), 0);
    }
}
