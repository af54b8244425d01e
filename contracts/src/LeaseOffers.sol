// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";
import {IDeviceRegistry} from "./interfaces/IDeviceRegistry.sol";
import {ILeaseEscrow, Offer} from "./interfaces/ILeaseEscrow.sol";
import {LeaseMath} from "./libraries/LeaseMath.sol";

/// @notice What an offer is checked against, as the escrow keeps it.
interface IOfferRules {
    /// @notice Whether new leases may be paid in a token, and their least fee.
    function tokens(address token) external view returns (bool allowed, uint96 minFee);

    /// @notice A committee's treasury and least fee in basis points.
    function committees(uint64 committee) external view returns (address treasury, uint16 feeBp);

    /// @notice Open leases of a stream.
    function streamLeases(uint64 committee, uint32 stream) external view returns (uint256);
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
        "uint32 stream,bytes32 policyHash,uint96 pricePerUnit,uint96 maxUnitsPerSecond,uint96 bond,uint16 feeBp,"
        "uint96 minFee,uint64 start,uint64 end,uint64 nonce,uint64 expiry)"
    );

    /// @notice The escrow, whose address the offers' EIP-712 domain names.
    IOfferRules public immutable escrow;
    IDeviceRegistry public immutable devices;
    ICommitteeRegistry public immutable registry;

    /// @dev The deployer is the escrow.
    constructor(IDeviceRegistry devices_, ICommitteeRegistry registry_) {
        (escrow, devices, registry) = (IOfferRules(msg.sender), devices_, registry_);
    }

    /// @notice Reverts, with an error of `ILeaseEscrow` that says why, unless `lessee` may open a lease on this offer with
    /// this deposit now. Whether the nonce is free is the escrow's question.
    function check(Offer calldata offer, bytes calldata signature, address lessee, uint96 deposit) external view {
        _checkTerms(offer, lessee);
        _checkFees(offer, deposit);
        _checkDevice(offer);
        _checkCommittee(offer);
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

    function _checkTerms(Offer calldata offer, address lessee) private view {
        if (offer.expiry < block.timestamp) revert ILeaseEscrow.OfferExpired(offer.expiry);
        if (offer.lessee != address(0) && offer.lessee != lessee) revert ILeaseEscrow.NotLessee(lessee);
        if (
            offer.end <= block.timestamp || offer.end <= offer.start || offer.payee == address(0)
                || offer.pricePerUnit == 0 || offer.maxUnitsPerSecond == 0
        ) revert ILeaseEscrow.BadOffer();
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
        uint256 least = Math.max(1, Math.max(offer.minFee, offer.bond));
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

    function _checkCommittee(Offer calldata offer) private view {
        uint64 term = registry.activeTerm(offer.committee);
        bytes32 policy = registry.termInfo(offer.committee, term).policyHash;
        if (term == 0 || policy != offer.policyHash) revert ILeaseEscrow.PolicyNotInForce(offer.policyHash);
        if (escrow.streamLeases(offer.committee, offer.stream) >= LeaseMath.MAX_STREAM_LEASES) {
            revert ILeaseEscrow.StreamFull(offer.committee, offer.stream);
        }
    }
}
