// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";
import {IDeviceRegistry} from "./interfaces/IDeviceRegistry.sol";
import {Acceptance, ILeaseEscrow, Offer} from "./interfaces/ILeaseEscrow.sol";
import {ILeaseGate} from "./interfaces/ILeaseGate.sol";
import {LeaseMath} from "./libraries/LeaseMath.sol";
import {PolicyBook} from "./libraries/PolicyBook.sol";

/// @notice What an offer is checked against, as the escrow keeps it.
interface IOfferRules {
    /// @notice Whether new leases may be paid in a token, and their least fee.
    function tokens(address token) external view returns (bool allowed, uint96 minFee);

    /// @notice A committee's treasury and least fee in basis points.
    function committees(uint64 committee) external view returns (address treasury, uint16 feeBp);

    /// @notice Open leases of a stream.
    function streamLeases(uint64 committee, uint32 stream) external view returns (uint256);

    /// @notice The series that a good offer names.
    function seriesOf(address lessor, uint256 tokenId) external view returns (uint64);
}

/// @title LeaseOffers
/// @notice Whether an offer may become a lease: its terms, its device, its committee, its signature. Reads only, holds
/// nothing, and is deployed by the escrow that it serves. Leaves out: nonces and money, which change (`LeaseEscrow`).
/// @dev Apart from the escrow because EIP-170 bounds a contract's size. Errors are those of `ILeaseEscrow`.
contract LeaseOffers {
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant OFFER_TYPEHASH = keccak256(
        "Offer(uint256 tokenId,address lessor,address payee,address lessee,address token,uint8 class,uint64 committee,"
        "uint32 stream,bytes32 policyHash,uint96 price,uint8 unitExponent,uint96 maxUnitsPerHour,uint96 creditPerHour,"
        "uint128 tiers,uint96 bond,uint96 minDeposit,uint96 damageDeposit,address arbiter,uint32 damageWindow,uint16 feeBp,"
        "uint96 minFee,uint32 notice,uint32 holdBack,address gate,bytes32 predicate,uint64 start,uint64 end,uint64 series,uint64 nonce,uint64 expiry)"
    );

    /// @notice The escrow, whose address the offers' EIP-712 domain names.
    IOfferRules public immutable escrow;
    IDeviceRegistry public immutable devices;
    ICommitteeRegistry public immutable registry;

    /// @dev The deployer is the escrow.
    constructor(IDeviceRegistry devices_, ICommitteeRegistry registry_) {
        (escrow, devices, registry) = (IOfferRules(msg.sender), devices_, registry_);
    }

    /// @notice Reverts, with an error of `ILeaseEscrow` that says why, unless `lessee` may open a lease on this offer, accepted
    /// so, now. Whether the nonce is free is the escrow's question.
    function check(Offer calldata offer, bytes calldata signature, Acceptance calldata acceptance, address lessee)
        external
        view
    {
        _checkKept(offer, acceptance.lessee);
        _checkTerms(offer, lessee);
        _checkFees(offer, acceptance.deposit);
        _checkDevice(offer);
        _checkTrust(offer.tokenId, acceptance);
        _checkGate(offer, acceptance.admission, lessee);
        _checkCommittee(offer, acceptance);
        if (!SignatureChecker.isValidSignatureNowCalldata(offer.lessor, digest(offer), signature)) {
            revert ILeaseEscrow.BadSignature();
        }
    }

    /// @notice EIP-712 digest that the lessor signs, on this chain and for this escrow.
    function digest(Offer calldata offer) public view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256("PlumblineEscrow"), keccak256("1"), block.chainid, address(escrow))
        );
        return MessageHashUtils.toTypedDataHash(domain, keccak256(abi.encode(OFFER_TYPEHASH, offer)));
    }

    /// @dev Terms that this escrow does not keep yet are refused, never passed over.
    function _checkKept(Offer calldata offer, address lessee) private pure {
        if (
            offer.damageDeposit != 0 || offer.arbiter != address(0) || offer.damageWindow != 0 || offer.notice != 0
                || offer.holdBack != 0 || lessee != address(0)
        ) revert ILeaseEscrow.BadOffer();
    }

    function _checkTerms(Offer calldata offer, address lessee) private view {
        if (offer.expiry < block.timestamp) revert ILeaseEscrow.OfferExpired(offer.expiry);
        if (offer.lessee != address(0) && offer.lessee != lessee) revert ILeaseEscrow.NotLessee(lessee);
        if (
            offer.end <= block.timestamp || offer.end <= offer.start || offer.payee == address(0) || offer.price == 0
                || offer.maxUnitsPerHour == 0 || offer.unitExponent > LeaseMath.MAX_EXPONENT
                || !LeaseMath.tiersValid(offer.tiers)
        ) revert ILeaseEscrow.BadOffer();
        uint64 series = escrow.seriesOf(offer.lessor, offer.tokenId);
        if (offer.series != series) revert ILeaseEscrow.OfferRevoked(offer.series, series);
    }

    function _checkFees(Offer calldata offer, uint96 deposit) private view {
        (bool allowed, uint96 minFee) = escrow.tokens(offer.token);
        if (!allowed) revert ILeaseEscrow.TokenNotAllowed(offer.token);
        // Where the fees go is of no interest here.
        // slither-disable-next-line unused-return
        (, uint16 feeBp) = escrow.committees(offer.committee);
        if (offer.minFee < minFee || offer.feeBp < feeBp) revert ILeaseEscrow.FeeTooLow();
        if (offer.feeBp > LeaseMath.MAX_FEE_BP) revert ILeaseEscrow.BadOffer();
        // Until the start the lessor may cancel, and pays the minimum fee out of the bond.
        if (offer.start > block.timestamp && offer.bond < offer.minFee) revert ILeaseEscrow.BadOffer();
        // A lessee puts in at least what the lessor does: nobody without money opens a lease to live off the bond.
        uint256 least = Math.max(Math.max(1, offer.minDeposit), Math.max(offer.minFee, offer.bond));
        if (deposit < least) revert ILeaseEscrow.DepositTooLow(deposit, least);
    }

    function _checkDevice(Offer calldata offer) private view {
        IDeviceRegistry.Device memory d = devices.device(offer.tokenId);
        if (!d.active) revert ILeaseEscrow.DeviceNotActive(offer.tokenId);
        if (d.lockedUntil > block.timestamp) revert ILeaseEscrow.DeviceLeased(offer.tokenId, d.lockedUntil);
        if (d.class != offer.class) revert ILeaseEscrow.BadOffer();
        if (IERC721(address(devices)).ownerOf(offer.tokenId) != offer.lessor) {
            revert ILeaseEscrow.NotOwner(offer.lessor);
        }
    }

    /// @dev What the lessee asks of the device beyond the offer.
    function _checkTrust(uint256 tokenId, Acceptance calldata acceptance) private view {
        if (acceptance.minTier != 0 && devices.endorsement(tokenId).tier < acceptance.minTier) {
            revert ILeaseEscrow.TrustTooLow(tokenId);
        }
        if (acceptance.registeredBefore != 0 && devices.registeredAt(tokenId) > acceptance.registeredBefore) {
            revert ILeaseEscrow.TrustTooLow(tokenId);
        }
    }

    /// @dev A gate that reverts admits nobody. It reads only, and can refuse only what its own lessor offered.
    function _checkGate(Offer calldata offer, bytes calldata admission, address lessee) private view {
        if (offer.gate == address(0)) {
            if (offer.predicate != 0 || admission.length != 0) revert ILeaseEscrow.BadOffer();
            return;
        }
        if (!ILeaseGate(offer.gate).admits(lessee, offer.predicate, admission)) {
            revert ILeaseEscrow.NotAdmitted(lessee);
        }
    }

    /// @dev The book is that of the term which proves the lease's first seconds, not of one that comes later.
    function _checkCommittee(Offer calldata offer, Acceptance calldata acceptance) private view {
        uint64 from = uint64(Math.max(offer.start, block.timestamp));
        uint64 term = registry.termAt(offer.committee, from);
        bytes32 book = registry.termInfo(offer.committee, term).policyHash;
        bytes32 policy = offer.policyHash;
        if (term == 0 || !PolicyBook.holds(book, policy, acceptance.classes, acceptance.bookProof)) {
            revert ILeaseEscrow.PolicyNotInForce(policy);
        }
        if ((acceptance.classes >> offer.class) & 1 == 0) revert ILeaseEscrow.ClassNotInPolicy(offer.class, policy);
        if (escrow.streamLeases(offer.committee, offer.stream) >= LeaseMath.MAX_STREAM_LEASES) {
            revert ILeaseEscrow.StreamFull(offer.committee, offer.stream);
        }
    }
}
