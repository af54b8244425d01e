// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";
import {IDeviceRegistry} from "./interfaces/IDeviceRegistry.sol";
import {ILeaseEscrow, Offer} from "./interfaces/ILeaseEscrow.sol";
import {IReportHub} from "./interfaces/IReportHub.sol";
import {LeaseLedger} from "./LeaseLedger.sol";

/// @title LeaseEscrow
/// @notice Opens, funds and ends leases. The counting of money is in `LeaseLedger`; proofs are `ReportHub`'s. Every
/// open lease has an exit that anyone may take, and a pause stops new leases and top-ups only.
contract LeaseEscrow is LeaseLedger, EIP712, Ownable2Step, Pausable {
    using SafeCast for uint256;

    struct Fees {
        address treasury;
        uint16 feeBp;
    }

    struct TokenTerms {
        bool allowed;
        uint96 minFee;
    }

    bytes32 private constant OFFER_TYPEHASH = keccak256(
        "Offer(uint256 tokenId,address lessor,address payee,address lessee,address token,uint8 class,uint64 committee,"
        "uint32 stream,bytes32 policyHash,uint96 pricePerUnit,uint96 maxUnitsPerSecond,uint96 bond,uint16 feeBp,"
        "uint96 minFee,uint64 start,uint64 end,uint64 nonce,uint64 expiry)"
    );
    /// @notice Leases a stream may hold at a time, so that a committee can always serve them all.
    uint256 public constant MAX_STREAM_LEASES = 16_384;
    /// @notice Highest fee of a committee.
    uint16 public constant MAX_FEE_BP = 2_000;

    IDeviceRegistry public immutable devices;

    /// @notice Leases opened so far; ids are 1 to this.
    uint64 public leaseCount;
    /// @notice Tokens that may be paid in, and the least fee of a lease in them.
    mapping(address token => TokenTerms) public tokens;
    /// @notice A committee's treasury and least fee.
    mapping(uint64 committee => Fees) public committees;
    /// @notice Offers used or taken back.
    mapping(address lessor => mapping(uint64 nonce => bool)) public nonceUsed;
    /// @notice Open leases of a stream.
    mapping(uint64 committee => mapping(uint32 stream => uint256)) public streamLeases;
    /// @notice The lease that last locked a device.
    mapping(uint256 tokenId => uint64 lease) public leaseOf;

    /// @param owner_ Governance: token list, committees' fees, pause.
    /// @param oracleTimeout_ Seconds without a final leaf (or any report) after which a lease ends unproven. Longer
    /// than dispute window and grace together.
    /// @param grace_ Seconds after a lease's end that a final leaf's epoch must cover, so that late data still counts.
    constructor(address owner_, IReportHub hub_, IDeviceRegistry devices_, uint64 oracleTimeout_, uint64 grace_)
        LeaseLedger(hub_, oracleTimeout_, grace_)
        EIP712("PlumblineEscrow", "1")
        Ownable(owner_)
    {
        devices = devices_;
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
    function open(Offer calldata offer, bytes calldata signature, uint96 deposit) external returns (uint64 lease) {
        return _open(offer, signature, deposit);
    }

    /// @inheritdoc ILeaseEscrow
    function openWithPermit(
        Offer calldata offer,
        bytes calldata signature,
        uint96 deposit,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint64 lease) {
        // Someone may have used the permit up first; then the allowance is there and the transfer decides.
        try IERC20Permit(offer.token).permit(msg.sender, address(this), deposit, deadline, v, r, s) {} catch {}
        return _open(offer, signature, deposit);
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
        _release(lease, l);
    }

    /// @inheritdoc ILeaseEscrow
    function revokeOffer(uint64 nonce) external {
        _useNonce(msg.sender, nonce);
    }

    /// @inheritdoc ILeaseEscrow
    function withdrawFees(uint64 committee, address token) external nonReentrant returns (uint256 amount) {
        address treasury = committees[committee].treasury;
        if (treasury == address(0)) revert NoTreasury(committee);
        return _payFees(committee, token, treasury);
    }

    /// @inheritdoc ILeaseEscrow
    function offerDigest(Offer calldata offer) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(OFFER_TYPEHASH, offer)));
    }

    function _open(Offer calldata offer, bytes calldata signature, uint96 deposit)
        private
        nonReentrant
        whenNotPaused
        returns (uint64 lease)
    {
        _checkTerms(offer, deposit);
        _checkDevice(offer);
        _checkCommittee(offer);
        bytes32 digest = offerDigest(offer);
        if (!SignatureChecker.isValidSignatureNowCalldata(offer.lessor, digest, signature)) revert BadSignature();
        _useNonce(offer.lessor, offer.nonce);

        lease = ++leaseCount;
        uint40 start = _write(lease, offer, deposit);
        leaseOf[offer.tokenId] = lease;
        _pull(offer.token, msg.sender, deposit);
        if (offer.bond != 0) _pull(offer.token, offer.lessor, offer.bond);
        devices.setUser(offer.tokenId, msg.sender, offer.end);
        _announce(lease, offer, start);
    }

    function _announce(uint64 lease, Offer calldata offer, uint64 start) private {
        emit LeaseOpened(
            lease,
            offer.tokenId,
            msg.sender,
            offer.lessor,
            offer.class,
            offer.committee,
            offer.stream,
            offer.policyHash,
            start,
            offer.end,
            offer.pricePerUnit
        );
    }

    function _checkTerms(Offer calldata offer, uint96 deposit) private view {
        TokenTerms storage terms = tokens[offer.token];
        if (!terms.allowed) revert TokenNotAllowed(offer.token);
        if (offer.expiry < block.timestamp) revert OfferExpired(offer.expiry);
        if (offer.lessee != address(0) && offer.lessee != msg.sender) revert NotLessee(msg.sender);
        if (
            offer.end <= block.timestamp || offer.end <= offer.start || offer.payee == address(0)
                || offer.pricePerUnit == 0 || offer.maxUnitsPerSecond == 0
        ) revert BadOffer();
        uint16 feeBp = committees[offer.committee].feeBp;
        if (offer.minFee < terms.minFee || offer.feeBp < feeBp) revert FeeTooLow();
        if (offer.feeBp > MAX_FEE_BP) revert BadOffer();
        if (deposit == 0 || deposit < offer.minFee) revert DepositTooLow(deposit, offer.minFee);
    }

    function _checkDevice(Offer calldata offer) private view {
        IDeviceRegistry.Device memory d = devices.device(offer.tokenId);
        if (!d.active) revert DeviceNotActive(offer.tokenId);
        if (d.lockedUntil > block.timestamp) revert DeviceLeased(offer.tokenId, d.lockedUntil);
        if (d.class != offer.class) revert BadOffer();
        if (IERC721(address(devices)).ownerOf(offer.tokenId) != offer.lessor) revert NotOwner(offer.lessor);
    }

    function _checkCommittee(Offer calldata offer) private view {
        uint64 term = registry.activeTerm(offer.committee);
        bytes32 policy = registry.termInfo(offer.committee, term).policyHash;
        if (term == 0 || policy != offer.policyHash) revert PolicyNotInForce(offer.policyHash);
        if (streamLeases[offer.committee][offer.stream] >= MAX_STREAM_LEASES) {
            revert StreamFull(offer.committee, offer.stream);
        }
    }

    /// @dev Stores the lease. One accepted after the offer's start begins now.
    function _write(uint64 lease, Offer calldata offer, uint96 deposit) private returns (uint40 start) {
        start = uint256(offer.start > block.timestamp ? offer.start : block.timestamp).toUint40();
        Lease storage l = _leases[lease];
        l.terms = Terms({
            pricePerUnit: offer.pricePerUnit,
            maxUnitsPerSecond: offer.maxUnitsPerSecond,
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
        ++streamLeases[offer.committee][offer.stream];
    }

    function _useNonce(address lessor, uint64 nonce) private {
        if (nonceUsed[lessor][nonce]) revert NonceUsed(lessor, nonce);
        nonceUsed[lessor][nonce] = true;
        emit OfferNonceUsed(lessor, nonce);
    }

    /// @dev Frees the place in the stream, and the device unless a later lease has it.
    function _release(uint64 lease, Lease storage l) internal override {
        --streamLeases[l.terms.committee][l.terms.stream];
        if (leaseOf[l.tokenId] == lease) devices.setUser(l.tokenId, address(0), 0);
    }
}
