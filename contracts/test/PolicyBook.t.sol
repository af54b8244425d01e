// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Acceptance, ILeaseEscrow, Offer} from "../src/interfaces/ILeaseEscrow.sol";
import {IDeviceRegistry} from "../src/interfaces/IDeviceRegistry.sol";
import {ILeaseGate} from "../src/interfaces/ILeaseGate.sol";
import {PolicyBook} from "../src/libraries/PolicyBook.sol";
import {Leaf} from "../src/Types.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Admits whoever shows the predicate itself.
contract WordGate is ILeaseGate {
    function admits(address lessee, bytes32 predicate, bytes calldata proof) external pure returns (bool) {
        return proof.length == 32 && keccak256(abi.encode(lessee, bytes32(proof))) == predicate;
    }
}

/// @notice Under which document, of which class, by whom and on which device a lease may be opened; whose leaf pays it.
contract PolicyBookTest is LeaseWorld {
    bytes32 private constant OTHER = keccak256("another policy");
    bytes32 private constant TRIAL = keccak256("a policy on trial");

    event MeterKeySet(uint256 indexed tokenId, bytes32 thumbprint);

    function setUp() public {
        _deployLeases();
    }

    function holds(bytes32 book, bytes32 document, uint256 classes, bytes32[] calldata proof)
        external
        pure
        returns (bool)
    {
        return PolicyBook.holds(book, document, classes, proof);
    }

    function test_book_threeDocuments() public view {
        (bytes32 a, bytes32 b, bytes32 c) =
            (PolicyBook.leaf(POLICY, CLASSES), PolicyBook.leaf(OTHER, 4), PolicyBook.leaf(TRIAL, 0));
        bytes32 ab = _join(a, b);
        bytes32 book = _join(ab, c);
        bytes32[] memory proof = new bytes32[](2);
        (proof[0], proof[1]) = (b, c);
        yes(this.holds(book, POLICY, CLASSES, proof), "held");
        yes(!this.holds(book, POLICY, CLASSES | 16, proof), "not with more classes");
        yes(!this.holds(book, TRIAL, CLASSES, proof), "not another document");
        bytes32[] memory short = new bytes32[](1);
        short[0] = ab;
        yes(this.holds(book, TRIAL, 0, short), "the odd last one moves up");
        yes(!this.holds(0, POLICY, CLASSES, proof), "no book holds none");
    }

    function test_open_classOfTheBookOnly() public {
        Offer memory o = _offer();
        o.tokenId = _device(lessor, DEVICE_KEY + 1, 4);
        o.class = 4;
        _refused(o, _with(DEPOSIT), abi.encodeWithSelector(ILeaseEscrow.ClassNotInPolicy.selector, 4, POLICY));
        // Saying that the book has the class does not make it so.
        Acceptance memory a = _with(DEPOSIT);
        a.classes = 16;
        _refused(o, a, abi.encodeWithSelector(ILeaseEscrow.PolicyNotInForce.selector, POLICY));
    }

    /// @notice Unlocked classes beyond 255 do not exist, and a shift by the class never wraps.
    function testFuzz_open_onlyClassesWithTheirBit(uint8 class) public {
        class = class == 0 ? 1 : class;
        Offer memory o = _offer();
        o.tokenId = _device(lessor, DEVICE_KEY + 1, class);
        o.class = class;
        if (class <= 3) {
            eq(_open(o, DEPOSIT), 1, "classes 1 to 3");
        } else {
            _refused(o, _with(DEPOSIT), abi.encodeWithSelector(ILeaseEscrow.ClassNotInPolicy.selector, class, POLICY));
        }
    }

    function test_claim_leafOfAnotherEscrowOrPolicy() public {
        uint64 lease = _open();
        uint64 start = escrow.leaseInfo(lease).start;
        Leaf memory leaf = _leaf(lease, 50, start + 60);
        leaf.escrow = address(this);
        uint64 epoch = _report(leaf);
        vm.expectRevert(_skip(ILeaseEscrow.Skip.WrongLeaf));
        escrow.claim(lease, epoch, leaf, new bytes32[](0));
        (leaf.escrow, leaf.policyHash) = (address(escrow), BOOK);
        epoch = _report(leaf);
        vm.expectRevert(_skip(ILeaseEscrow.Skip.WrongLeaf));
        escrow.claim(lease, epoch, leaf, new bytes32[](0));
    }

    function test_open_gateDecides() public {
        Offer memory o = _offer();
        (o.gate, o.predicate) = (address(new WordGate()), keccak256(abi.encode(LESSEE, keccak256("word"))));
        Acceptance memory a = _with(DEPOSIT);
        _refused(o, a, abi.encodeWithSelector(ILeaseEscrow.NotAdmitted.selector, LESSEE));
        a.admission = abi.encode(keccak256("word"));
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        eq(escrow.open(o, signature, a), 1, "admitted");
        o = _offer();
        o.tokenId = _device(lessor, DEVICE_KEY + 1, 1);
        _refused(o, a, abi.encodeWithSelector(ILeaseEscrow.BadOffer.selector));
    }

    function test_open_trust() public {
        Offer memory o = _offer();
        Acceptance memory a = _with(DEPOSIT);
        a.minTier = 1;
        _refused(o, a, abi.encodeWithSelector(ILeaseEscrow.TrustTooLow.selector, tokenId));
        (a.minTier, a.registeredBefore) = (0, devices.registeredAt(tokenId) - 1);
        _refused(o, a, abi.encodeWithSelector(ILeaseEscrow.TrustTooLow.selector, tokenId));
        ++a.registeredBefore;
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        eq(escrow.open(o, signature, a), 1, "old enough");
    }

    /// @notice What the offer's type names and no code keeps is refused.
    function test_open_termsNotKept() public {
        for (uint256 i = 0; i < 6; ++i) {
            Offer memory o = _offer();
            Acceptance memory a = _with(DEPOSIT);
            if (i == 0) o.damageDeposit = 1;
            if (i == 1) o.arbiter = address(1);
            if (i == 2) o.damageWindow = 1;
            if (i == 3) o.notice = 1;
            if (i == 4) o.holdBack = 1;
            if (i == 5) a.lessee = LESSEE;
            _refused(o, a, abi.encodeWithSelector(ILeaseEscrow.BadOffer.selector));
        }
    }

    function test_meterKey_ofOneDevice_fixedUnderALease() public {
        bytes32 meter = keccak256("meter");
        vm.expectEmit(true, true, true, true, address(devices));
        emit MeterKeySet(tokenId, meter);
        vm.prank(lessor);
        devices.setMeterKey(tokenId, meter);
        eq(devices.device(tokenId).meterKey, meter, "shown");
        eq(devices.meterOf(meter), tokenId, "found");
        uint256 second = _device(lessor, DEVICE_KEY + 1, 1);
        vm.prank(lessor);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.MeterTaken.selector, meter, tokenId));
        devices.setMeterKey(second, meter);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.NotAllowed.selector, address(this)));
        devices.setMeterKey(tokenId, 0);
        uint64 end = escrow.leaseInfo(_open()).end;
        vm.prank(lessor);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.UseLocked.selector, end));
        devices.setMeterKey(tokenId, 0);
        vm.warp(end + 1);
        devices.freeMeter(tokenId);
        eq(devices.meterOf(meter), 0, "freed by governance");
        vm.prank(lessor);
        devices.setMeterKey(second, meter);
    }

    function _refused(Offer memory o, Acceptance memory a, bytes memory why) private {
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        vm.expectRevert(why);
        escrow.open(o, signature, a);
    }

    function _join(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }
}
