// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {DeviceRegistry} from "../../src/DeviceRegistry.sol";
import {LeaseEscrow} from "../../src/LeaseEscrow.sol";
import {Acceptance, ILeaseEscrow, Offer} from "../../src/interfaces/ILeaseEscrow.sol";
import {Leaf} from "../../src/Types.sol";
import {TestDollar} from "../../src/mocks/TestDollar.sol";
import {World} from "./World.sol";

/// @notice A committee, a device with a P-256 key, a lessor with an offer and a lessee with money.
abstract contract LeaseWorld is World {
    uint64 internal constant TIMEOUT = 2_000;
    uint64 internal constant GRACE = 10;
    uint96 internal constant PRICE = 7;
    uint96 internal constant BOND = 500;
    uint96 internal constant DEPOSIT = 10_000;
    uint64 internal constant LENGTH = 600;
    uint16 internal constant FEE_BP = 500;
    uint96 internal constant MIN_FEE = 20;
    uint256 internal constant LESSOR_KEY = 0x1E550;
    uint256 internal constant DEVICE_KEY = 0xDE71CE;
    address internal constant LESSEE = address(0x1E55EE);
    address internal constant PAYEE = address(0x9A7EE);
    address internal constant TREASURY = address(0x7EA5);

    DeviceRegistry internal devices;
    LeaseEscrow internal escrow;
    TestDollar internal dollar;
    address internal lessor;
    uint256 internal tokenId;
    uint64 internal nonce;
    /// @notice Service levels of offers from now on.
    uint128 internal levels;

    function _deployLeases() internal {
        _deployCommittee();
        devices = new DeviceRegistry(address(this), registry);
        escrow = new LeaseEscrow(address(this), hub, devices, TIMEOUT, GRACE);
        devices.setEscrow(address(escrow));
        leafEscrow = address(escrow);
        dollar = new TestDollar();
        escrow.setToken(address(dollar), true, 0);
        escrow.setCommittee(COMMITTEE, TREASURY, 0);
        lessor = vm.addr(LESSOR_KEY);
        tokenId = _device(lessor, DEVICE_KEY, 1);
        _fund(LESSEE);
        _fund(lessor);
        vm.warp(registry.startOf(COMMITTEE, 0));
    }

    function _fund(address account) internal {
        dollar.mint(account, 1_000_000);
        vm.prank(account);
        dollar.approve(address(escrow), type(uint256).max);
    }

    function _device(address owner, uint256 key, uint8 class) internal returns (uint256) {
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        bytes memory publicKey = abi.encodePacked(x, y);
        (bytes32 r, bytes32 s) = vm.signP256(key, sha256(devices.statement(owner, 2, publicKey)));
        vm.prank(owner);
        return devices.register(owner, 2, publicKey, abi.encodePacked(r, s), 0, class);
    }

    function _offer() internal returns (Offer memory o) {
        (o.tokenId, o.lessor, o.payee, o.token) = (tokenId, lessor, PAYEE, address(dollar));
        (o.class, o.committee, o.stream, o.policyHash) = (1, COMMITTEE, STREAM, POLICY);
        (o.price, o.maxUnitsPerHour, o.creditPerHour, o.bond) = (PRICE, 3_600, 3_600 * PRICE, BOND);
        (o.tiers, o.series) = (levels, escrow.seriesOf(lessor, tokenId));
        (o.feeBp, o.minFee) = (FEE_BP, MIN_FEE);
        o.start = uint64(block.timestamp);
        o.end = o.start + LENGTH;
        (o.nonce, o.expiry) = (++nonce, o.start + 1_000);
    }

    /// @notice An offer accepted with this deposit, under a book of one document.
    function _with(uint96 deposit) internal pure returns (Acceptance memory a) {
        (a.deposit, a.classes) = (deposit, CLASSES);
    }

    /// @notice Two service levels, the first the highest 32 bits.
    function _tiers(uint256 below, uint256 bp, uint256 below2, uint256 bp2) internal pure returns (uint128) {
        return uint128((below << 48) | (bp << 32) | (below2 << 16) | bp2);
    }

    function _sign(Offer memory o) internal view returns (bytes memory) {
        return _ecdsa(LESSOR_KEY, escrow.offerDigest(o));
    }

    function _open() internal returns (uint64) {
        return _open(_offer(), DEPOSIT);
    }

    function _open(Offer memory o, uint96 deposit) internal returns (uint64) {
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        return escrow.open(o, signature, _with(deposit));
    }

    /// @notice Posts a report of one leaf for the first epoch that is over at `through`, active; returns the epoch.
    function _report(Leaf memory leaf) internal returns (uint64 epoch) {
        uint64 start = registry.startOf(COMMITTEE, 0);
        epoch = _free(leaf.through <= start ? 0 : (leaf.through - start - 1) / EPOCH);
        _postActive(epoch, _hashLeaf(leaf));
    }

    /// @notice Reports and claims a leaf of (units, through, creditSeconds).
    function _claim(uint64 lease, uint128 units, uint64 through, uint64 creditSeconds) internal returns (uint256) {
        Leaf memory leaf = _leaf(lease, units, through);
        leaf.creditSeconds = creditSeconds;
        return escrow.claim(lease, _report(leaf), leaf, new bytes32[](0));
    }

    /// @notice Reports a final leaf in an epoch that covers end + grace, and closes with it.
    function _close(uint64 lease, uint128 units, uint64 creditSeconds) internal {
        uint64 end = escrow.leaseInfo(lease).end;
        Leaf memory leaf = _leaf(lease, units, end);
        leaf.creditSeconds = creditSeconds;
        uint64 epoch = _finalEpoch(end);
        _postActive(epoch, _hashLeaf(leaf));
        escrow.close(lease, epoch, leaf, new bytes32[](0));
    }

    function _finalEpoch(uint64 end) internal view returns (uint64) {
        return _free((end + GRACE - registry.startOf(COMMITTEE, 0) + EPOCH - 1) / EPOCH - 1);
    }

    /// @notice The first epoch from `epoch` on that the stream takes a report for.
    function _free(uint64 epoch) internal view virtual returns (uint64) {
        (bool posted, uint64 last,,) = hub.latest(COMMITTEE, STREAM);
        return posted && epoch <= last ? last + 1 : epoch;
    }

    function _claimable(address account) internal view returns (uint256) {
        return escrow.claimable(address(dollar), account);
    }

    /// @notice All that is owed to anyone equals what the escrow holds.
    function _allPaidOut() internal view {
        uint256 owed = _claimable(LESSEE) + _claimable(lessor) + _claimable(PAYEE);
        owed += escrow.fees(address(dollar), COMMITTEE);
        eq(dollar.balanceOf(address(escrow)), owed, "escrow balance = owed");
    }

    function _skip(ILeaseEscrow.Skip why) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ILeaseEscrow.Skipped.selector, why);
    }
}
