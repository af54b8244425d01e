// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {LeaseEscrow} from "../src/LeaseEscrow.sol";
import {ILeaseEscrow, Offer} from "../src/interfaces/ILeaseEscrow.sol";
import {IDeviceRegistry} from "../src/interfaces/IDeviceRegistry.sol";
import {Leaf} from "../src/Types.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Opening, closing and every other exit of a lease.
contract LeaseLifecycleTest is LeaseWorld {
    function setUp() public {
        _deployLeases();
    }

    function test_open_takesMoneyAndGivesTheUse() public {
        uint64 lease = _open();
        eq(lease, 1, "first lease");
        eq(dollar.balanceOf(address(escrow)), uint256(DEPOSIT) + BOND, "deposit and bond");
        eq(devices.userOf(tokenId), LESSEE, "user");
        eq(devices.userExpires(tokenId), block.timestamp + LENGTH, "expires");
        ILeaseEscrow.LeaseInfo memory info = escrow.leaseInfo(lease);
        yes(info.state == ILeaseEscrow.State.Open && info.bond == BOND && info.deposited == DEPOSIT, "stored");
        vm.warp(block.timestamp + LENGTH);
        eq(devices.userOf(tokenId), address(0), "the right ends by itself");
    }

    function test_open_refusesBadOffers() public {
        Offer memory o = _offer();
        o.end = o.start;
        _refused(o, ILeaseEscrow.BadOffer.selector);
        o = _offer();
        o.class = 2;
        _refused(o, ILeaseEscrow.BadOffer.selector);
        o = _offer();
        o.token = address(1);
        _refused(o, ILeaseEscrow.TokenNotAllowed.selector);
        o = _offer();
        o.lessee = address(2);
        _refused(o, ILeaseEscrow.NotLessee.selector);
        o = _offer();
        o.policyHash = keccak256("unknown");
        _refused(o, ILeaseEscrow.PolicyNotInForce.selector);
        o = _offer();
        o.committee = 9;
        _refused(o, ILeaseEscrow.PolicyNotInForce.selector);
        o = _offer();
        o.tokenId = 77;
        _refused(o, ILeaseEscrow.DeviceNotActive.selector);
        o = _offer();
        o.minFee = DEPOSIT + 1;
        _refused(o, ILeaseEscrow.DepositTooLow.selector);
        escrow.setCommittee(COMMITTEE, TREASURY, FEE_BP + 1);
        o = _offer();
        _refused(o, ILeaseEscrow.FeeTooLow.selector);
    }

    /// @notice An Ed25519 key that no committee certified does not open a lease.
    function test_open_refusesInactiveDevice() public {
        vm.prank(lessor);
        uint256 inactive = devices.register(lessor, 1, abi.encode(keccak256("key")), new bytes(64), 0, 1);
        Offer memory o = _offer();
        o.tokenId = inactive;
        _refused(o, ILeaseEscrow.DeviceNotActive.selector);
    }

    /// @notice What the lessor signs is under the domain that the escrow announces (ERC-5267), and names the escrow.
    function test_offerDigest_isOfTheAnnouncedDomain() public {
        Offer memory o = _offer();
        (, string memory name, string memory version, uint256 chainId, address by,,) = escrow.eip712Domain();
        bytes32 kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 domain = keccak256(abi.encode(kind, keccak256(bytes(name)), keccak256(bytes(version)), chainId, by));
        bytes32 offer = keccak256(
            "Offer(uint256 tokenId,address lessor,address payee,address lessee,address token,uint8 class,"
            "uint64 committee,uint32 stream,bytes32 policyHash,uint96 price,uint8 unitExponent,uint96 maxUnitsPerHour,"
            "uint96 creditPerHour,uint128 tiers,uint96 bond,uint96 minDeposit,uint96 damageDeposit,address arbiter,"
            "uint32 damageWindow,uint16 feeBp,uint96 minFee,uint32 notice,uint32 holdBack,address gate,bytes32 predicate,"
            "uint64 start,uint64 end," "uint64 series,uint64 nonce,uint64 expiry)"
        );
        bytes32 content = keccak256(abi.encode(offer, o));
        eq(escrow.offerDigest(o), keccak256(abi.encodePacked(hex"1901", domain, content)), "digest");
        eq(by, address(escrow), "the escrow, not the contract that checks for it");
    }

    function test_open_oneLeaseAtATime() public {
        _open();
        _refused(_offer(), ILeaseEscrow.DeviceLeased.selector);
    }

    function test_open_startsNowWhenAcceptedLate() public {
        Offer memory o = _offer();
        vm.warp(block.timestamp + 100);
        uint64 lease = _open(o, DEPOSIT);
        eq(escrow.leaseInfo(lease).start, block.timestamp, "start");
        eq(escrow.leaseInfo(lease).end, o.end, "end");
    }

    /// @notice Rule 21: an offer is good once, until it expires, and only as signed.
    function test_rule21_offerReplayExpiryForgery() public {
        Offer memory o = _offer();
        bytes memory signature = _sign(o);
        uint64 lease = _open(o, DEPOSIT);
        _close(lease, 0, 0);
        o.end = uint64(block.timestamp + LENGTH);
        o.expiry = o.end;
        vm.prank(LESSEE);
        vm.expectRevert(ILeaseEscrow.BadSignature.selector);
        escrow.open(o, signature, _with(DEPOSIT));
        _refused(o, ILeaseEscrow.NonceUsed.selector);
        o = _offer();
        vm.warp(o.expiry + 1);
        _refused(o, ILeaseEscrow.OfferExpired.selector);
        o = _offer();
        vm.prank(lessor);
        escrow.revokeOffer(o.nonce);
        _refused(o, ILeaseEscrow.NonceUsed.selector);
    }

    /// @notice Rule 21: a permit that someone front-ran does not stop the opening.
    function test_rule21_permitFrontRun() public {
        uint256 key = 0x9E2417;
        address account = vm.addr(key);
        dollar.mint(account, DEPOSIT);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, _permitDigest(account));
        dollar.permit(account, address(escrow), DEPOSIT, block.timestamp, v, r, s);
        Offer memory o = _offer();
        bytes memory signature = _sign(o);
        vm.prank(account);
        uint64 lease = escrow.openWithPermit(o, signature, _with(DEPOSIT), block.timestamp, v, r, s);
        eq(escrow.leaseInfo(lease).lessee, account, "opened");
    }

    function _permitDigest(address account) private view returns (bytes32) {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash =
            keccak256(abi.encode(typeHash, account, address(escrow), uint256(DEPOSIT), 0, block.timestamp));
        return keccak256(abi.encodePacked(hex"1901", dollar.DOMAIN_SEPARATOR(), structHash));
    }

    function test_close_paysTheFinalLeaf() public {
        uint64 lease = _open();
        _close(lease, 590, 10);
        uint256 paid = 590 * uint256(PRICE);
        uint256 fee = paid * FEE_BP / 10_000;
        eq(_claimable(PAYEE), paid - fee, "payee");
        eq(_claimable(LESSEE), DEPOSIT - paid + 10 * PRICE, "refund and credit");
        eq(_claimable(lessor), BOND - 10 * PRICE, "bond");
        _allPaidOut();
        eq(devices.userOf(tokenId), address(0), "released");
        uint256 before = dollar.balanceOf(LESSEE);
        uint256 due = _claimable(LESSEE);
        vm.prank(LESSEE);
        escrow.withdraw(address(dollar));
        eq(dollar.balanceOf(LESSEE) - before, due, "withdrawn");
    }

    /// @notice Rule 16: nobody can close before what was proven is paid.
    function test_rule16_noCloseBeforeTheFinalLeaf() public {
        uint64 lease = _open();
        uint64 end = escrow.leaseInfo(lease).end;
        Leaf memory early = _leaf(lease, 60, end - 1);
        uint64 epoch = _finalEpoch(end);
        _postActive(epoch, _hashLeaf(early));
        vm.expectRevert(ILeaseEscrow.NotFinal.selector);
        escrow.close(lease, epoch, early, new bytes32[](0));
        vm.expectPartialRevert(ILeaseEscrow.TooEarly.selector);
        escrow.closeAfterTimeout(lease);
    }

    /// @notice Rule 16: an epoch that ends before end + grace is not final, though it reaches the end.
    function test_rule16_graceMustBeCovered() public {
        uint64 lease = _open();
        uint64 end = escrow.leaseInfo(lease).end;
        Leaf memory leaf = _leaf(lease, 60, end);
        uint64 epoch = _finalEpoch(end) - 1;
        _postActive(epoch, _hashLeaf(leaf));
        vm.expectRevert(ILeaseEscrow.NotFinal.selector);
        escrow.close(lease, epoch, leaf, new bytes32[](0));
    }

    /// @notice Rule 16: an invented leaf of a far epoch closes nothing, not even an "older" one.
    function test_rule16_inventedLeafDoesNotClose() public {
        uint64 lease = _open();
        uint64 start = escrow.leaseInfo(lease).start;
        _claim(lease, 50, start + 60, 0);
        Leaf memory fake = _leaf(lease, 0, start);
        vm.expectRevert(_skip(ILeaseEscrow.Skip.NotProven));
        escrow.close(lease, 10_000, fake, new bytes32[](0));
    }

    /// @notice When the last slots were void, `through` never reaches the end; a whole epoch after it is final too.
    function test_close_voidTail() public {
        uint64 lease = _open();
        uint64 end = escrow.leaseInfo(lease).end;
        Leaf memory leaf = _leaf(lease, 60, end - 5);
        uint64 epoch = _finalEpoch(end) + 1;
        _postActive(epoch, _hashLeaf(leaf));
        escrow.close(lease, epoch, leaf, new bytes32[](0));
        eq(escrow.leaseInfo(lease).paid, 60 * PRICE, "paid");
    }

    /// @notice Rule 6: when the oracle halts, anyone ends the lease; unproven is unpaid, nothing is slashed.
    function test_rule06_oracleHalts() public {
        uint64 lease = _open();
        uint64 start = escrow.leaseInfo(lease).start;
        _claim(lease, 50, start + 60, 0);
        vm.expectPartialRevert(ILeaseEscrow.TooEarly.selector);
        escrow.closeStalled(lease);
        vm.warp(registry.startOf(COMMITTEE, 1) + TIMEOUT);
        escrow.closeStalled(lease);
        eq(_claimable(LESSEE), DEPOSIT - 50 * PRICE, "refund");
        eq(_claimable(lessor), BOND, "bond untouched");
        _allPaidOut();
    }

    function test_closeAfterTimeout_onlyAfterIt() public {
        uint64 lease = _open();
        uint64 end = escrow.leaseInfo(lease).end;
        vm.warp(end + TIMEOUT - 1);
        vm.expectPartialRevert(ILeaseEscrow.TooEarly.selector);
        escrow.closeAfterTimeout(lease);
        vm.warp(end + TIMEOUT);
        escrow.closeAfterTimeout(lease);
        _allPaidOut();
    }

    function test_cancel_beforeTheStartOnly() public {
        Offer memory o = _offer();
        (o.start, o.end) = (o.start + 100, o.end + 100);
        uint64 lease = _open(o, DEPOSIT);
        vm.expectPartialRevert(ILeaseEscrow.NotParty.selector);
        escrow.cancel(lease);
        vm.prank(LESSEE);
        escrow.cancel(lease);
        eq(_claimable(LESSEE), DEPOSIT - MIN_FEE, "lessee pays the minimum fee");
        eq(_claimable(lessor), BOND, "bond");
        _allPaidOut();
        o = _offer();
        (o.start, o.end) = (o.start + 100, o.end + 100);
        lease = _open(o, DEPOSIT);
        vm.warp(o.start);
        vm.prank(LESSEE);
        vm.expectRevert(ILeaseEscrow.BadOffer.selector);
        escrow.cancel(lease);
    }

    function test_cancel_byLessorCostsTheLessor() public {
        Offer memory o = _offer();
        (o.start, o.end) = (o.start + 100, o.end + 100);
        uint64 lease = _open(o, DEPOSIT);
        vm.prank(lessor);
        escrow.cancel(lease);
        eq(_claimable(LESSEE), DEPOSIT, "whole refund");
        eq(_claimable(lessor), BOND - MIN_FEE, "the lessor pays");
        _allPaidOut();
    }

    /// @notice Rule 19: the device may be sold; the payee of the running lease and its user stay.
    function test_rule19_saleOfALeasedDevice() public {
        uint64 lease = _open();
        vm.prank(lessor);
        devices.transferFrom(lessor, address(0xB0B), tokenId);
        eq(devices.userOf(tokenId), LESSEE, "user survives");
        vm.prank(address(0xB0B));
        vm.expectPartialRevert(IDeviceRegistry.UseLocked.selector);
        devices.setUser(tokenId, address(0xB0B), type(uint64).max);
        _close(lease, 100, 0);
        yes(_claimable(PAYEE) != 0 && _claimable(address(0xB0B)) == 0, "payee stays");
    }

    /// @notice Rule 20: a pause stops new leases and top-ups, never an exit.
    function test_rule20_pauseNeverBlocksExits() public {
        uint64 lease = _open();
        escrow.pause();
        Offer memory o = _offer();
        _refused(o, Pausable.EnforcedPause.selector);
        vm.prank(LESSEE);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        escrow.topUp(lease, 1);
        uint64 start = escrow.leaseInfo(lease).start;
        _claim(lease, 60, start + 60, 0);
        escrow.collect(lease);
        _close(lease, 60, 0);
        vm.prank(PAYEE);
        escrow.withdraw(address(dollar));
        escrow.unpause();
        _open();
    }

    /// @notice A later lease of the same device is not disturbed when an old one is closed at last.
    function test_close_oldLeaseLeavesTheNewUser() public {
        uint64 old = _open();
        uint64 end = escrow.leaseInfo(old).end;
        vm.warp(end);
        _open();
        _close(old, 0, 0);
        eq(devices.userOf(tokenId), LESSEE, "user of the new lease");
    }

    function test_stream_isBounded() public {
        uint64 lease = _open();
        eq(escrow.streamLeases(COMMITTEE, STREAM), 1, "counted");
        _close(lease, 0, 0);
        eq(escrow.streamLeases(COMMITTEE, STREAM), 0, "freed");
    }

    function test_constructor_timeoutMustExceedWindowAndGrace() public {
        vm.expectRevert(ILeaseEscrow.BadSettings.selector);
        new LeaseEscrow(address(this), hub, devices, WINDOW + GRACE, GRACE);
    }

    function _refused(Offer memory o, bytes4 selector) private {
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        vm.expectPartialRevert(selector);
        escrow.open(o, signature, _with(DEPOSIT));
    }
}
