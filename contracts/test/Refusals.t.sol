// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {OperatorStake} from "../src/OperatorStake.sol";
import {ICommitteeRegistry} from "../src/interfaces/ICommitteeRegistry.sol";
import {IDeviceRegistry} from "../src/interfaces/IDeviceRegistry.sol";
import {ILeaseEscrow, Offer} from "../src/interfaces/ILeaseEscrow.sol";
import {IOperatorStake} from "../src/interfaces/IOperatorStake.sol";
import {IReportHub} from "../src/interfaces/IReportHub.sol";
import {NewKey} from "../src/Types.sol";
import {CodeStore} from "../src/libraries/CodeStore.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice What is refused, one by one: settings, strangers, empty accounts, unknown terms.
contract RefusalsTest is LeaseWorld {
    address private constant STRANGER = address(0x57A);

    event GuardianSet(address guardian);
    event InsuranceSet(address insurance);

    OperatorStake private stake;

    function setUp() public {
        _deployLeases();
        stake = new OperatorStake(address(this), dollar, registry, TREASURY, 1_000, 400, 1_000);
    }

    function test_registry_configureSettings() public {
        address[] memory members = _members(4);
        vm.expectRevert(ICommitteeRegistry.BadSettings.selector);
        registry.configure(COMMITTEE, 2, members, 0, EPOCH, SLOT_MS, DELAY);
        vm.expectRevert(ICommitteeRegistry.BadSettings.selector);
        registry.configure(COMMITTEE, 2, members, BOOK, 0, SLOT_MS, DELAY);
        vm.expectRevert(ICommitteeRegistry.BadSettings.selector);
        registry.configure(COMMITTEE, 2, members, BOOK, EPOCH, 0, DELAY);
        registry.configure(COMMITTEE, 2, members, BOOK, EPOCH, SLOT_MS, DELAY);
    }

    function test_registry_unknownTerms() public {
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.TermUnknown.selector, 9, 0));
        registry.startOf(9, 0);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.TermUnknown.selector, 9, 0));
        registry.keyFor(9, 0);
        NewKey memory k = _newKey(COMMITTEE, TERM, SECRET, 3);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.TermUnknown.selector, 9, 1));
        registry.activate(9, 1, k.groupKey, k.shareRoot, k.confirmation, k.signatures, k.indices);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.TermUnknown.selector, COMMITTEE, 7));
        registry.rotateByGovernance(COMMITTEE, 7, 10, 0, k);
        eq(registry.termInfo(9, 1).quorum, 0, "no members, no quorum");
    }

    function test_registry_handOverOrder() public {
        _configure(COMMITTEE, 2, 4);
        NewKey memory k = _newKey(COMMITTEE, 2, 0xBEEF, 3);
        vm.expectRevert(ICommitteeRegistry.RotationMismatch.selector);
        registry.rotateByGovernance(COMMITTEE, 2, 0, 0, k);
        vm.expectRevert(ICommitteeRegistry.RotationMismatch.selector);
        registry.rotateByGovernance(COMMITTEE, 2, type(uint48).max, 0, k);
        bytes memory whole = k.groupKey;
        k.groupKey = new bytes(20);
        vm.expectRevert(ICommitteeRegistry.BadKeyLength.selector);
        registry.rotateByGovernance(COMMITTEE, 2, 10, 0, k);
        k.groupKey = whole;
        registry.rotateByGovernance(COMMITTEE, 2, 10, 0, k);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.StaleProposal.selector, 2, 1, 2));
        registry.rotateByGovernance(COMMITTEE, 2, 20, 0, k);
    }

    function test_devices_batchShape() public {
        vm.expectRevert(IDeviceRegistry.BadBatch.selector);
        devices.activateKeys(COMMITTEE, TERM, 1, new uint256[](0), new bytes32[](0), "");
        vm.expectRevert(IDeviceRegistry.BadBatch.selector);
        devices.activateKeys(COMMITTEE, TERM, 1, new uint256[](1), new bytes32[](2), "");
    }

    function test_escrow_settings() public {
        vm.expectRevert(ILeaseEscrow.BadSettings.selector);
        escrow.setCommittee(COMMITTEE, TREASURY, 2_001);
        escrow.setCommittee(COMMITTEE, address(0), 2_000);
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.NoTreasury.selector, COMMITTEE));
        escrow.withdrawFees(COMMITTEE, address(dollar));
        escrow.setCommittee(COMMITTEE, TREASURY, 0);
        vm.expectRevert(ILeaseEscrow.NothingToWithdraw.selector);
        escrow.withdrawFees(COMMITTEE, address(dollar));
        vm.expectRevert(ILeaseEscrow.NothingToWithdraw.selector);
        escrow.withdraw(address(dollar));
    }

    function test_escrow_governanceOnly() public {
        bytes memory refused = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, STRANGER);
        vm.prank(STRANGER);
        vm.expectRevert(refused);
        escrow.pause();
        escrow.pause();
        vm.prank(STRANGER);
        vm.expectRevert(refused);
        escrow.unpause();
        escrow.unpause();
        vm.prank(STRANGER);
        vm.expectRevert(refused);
        escrow.setToken(address(dollar), false, 0);
        vm.prank(STRANGER);
        vm.expectRevert(refused);
        escrow.setCommittee(COMMITTEE, STRANGER, 0);
        yes(_open() == 1, "opens after the pause");
    }

    function test_open_feeAboveTheCeiling() public {
        Offer memory o = _offer();
        o.feeBp = 2_001;
        _refusedOpen(o, abi.encodeWithSelector(ILeaseEscrow.BadOffer.selector));
        o = _offer();
        o.feeBp = 2_000;
        yes(_open(o, DEPOSIT) == 1, "the ceiling itself is allowed");
    }

    /// @notice Each of these alone makes an offer bad.
    function test_open_zeroFields() public {
        Offer memory o = _offer();
        o.payee = address(0);
        _refusedOpen(o, abi.encodeWithSelector(ILeaseEscrow.BadOffer.selector));
        o = _offer();
        o.price = 0;
        _refusedOpen(o, abi.encodeWithSelector(ILeaseEscrow.BadOffer.selector));
        o = _offer();
        o.maxUnitsPerHour = 0;
        _refusedOpen(o, abi.encodeWithSelector(ILeaseEscrow.BadOffer.selector));
        o = _offer();
        o.end = uint64(block.timestamp);
        o.start = o.end - 1;
        _refusedOpen(o, abi.encodeWithSelector(ILeaseEscrow.BadOffer.selector));
        o = _offer();
        (o.minFee, o.bond) = (0, 0);
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        vm.expectRevert(abi.encodeWithSelector(ILeaseEscrow.DepositTooLow.selector, 0, 1));
        escrow.open(o, signature, _with(0));
    }

    /// @notice The lessor must own the device when the lease opens.
    function test_open_deviceSold() public {
        Offer memory o = _offer();
        vm.prank(lessor);
        devices.transferFrom(lessor, STRANGER, tokenId);
        _refusedOpen(o, abi.encodeWithSelector(ILeaseEscrow.OfferRevoked.selector, 0, 1));
        o.series = 1;
        _refusedOpen(o, abi.encodeWithSelector(ILeaseEscrow.NotOwner.selector, lessor));
    }

    /// @notice A stream takes no more than its bound; the counter is written directly, 16,384 leases being many.
    function test_open_streamFull() public {
        _open();
        bytes32 slot = _streamSlot();
        eq(uint256(vm.load(address(escrow), slot)), 1, "the slot is the counter");
        vm.store(address(escrow), slot, bytes32(uint256(16_384)));
        Offer memory o = _offer();
        o.tokenId = _device(lessor, DEVICE_KEY + 9, 1);
        _refusedOpen(o, abi.encodeWithSelector(ILeaseEscrow.StreamFull.selector, COMMITTEE, STREAM));
        vm.store(address(escrow), slot, bytes32(uint256(16_383)));
        _open(o, DEPOSIT);
    }

    function test_hub_guardianAndUnknownRoot() public {
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, STRANGER));
        hub.setGuardian(STRANGER);
        vm.expectEmit(true, true, true, true, address(hub));
        emit GuardianSet(STRANGER);
        hub.setGuardian(STRANGER);
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IReportHub.RootUnknown.selector, 3));
        hub.disable(COMMITTEE, STREAM, 3);
    }

    function test_stake_settings() public {
        vm.expectRevert(IOperatorStake.BadSettings.selector);
        new OperatorStake(address(this), dollar, registry, TREASURY, 1, 1, 0);
        vm.expectRevert(IOperatorStake.BadSettings.selector);
        new OperatorStake(address(this), dollar, registry, TREASURY, 1, 0, 1);
        vm.expectRevert(IOperatorStake.BadSettings.selector);
        new OperatorStake(address(this), dollar, registry, address(0), 1, 1, 1);
        vm.expectRevert(IOperatorStake.BadSettings.selector);
        new OperatorStake(address(this), dollar, registry, TREASURY, 1, uint256(type(uint96).max) + 1, 1);
        vm.expectRevert(IOperatorStake.BadSettings.selector);
        stake.setInsurance(address(0));
        vm.prank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, STRANGER));
        stake.setInsurance(STRANGER);
        vm.expectEmit(true, true, true, true, address(stake));
        emit InsuranceSet(STRANGER);
        stake.setInsurance(STRANGER);
        eq(stake.insurance(), STRANGER, "insurance");
    }

    function test_stake_emptyHands() public {
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.WrongAmount.selector, 0, 0));
        stake.bond(0);
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.StakeTooLow.selector, 1, 0));
        stake.unbond(1);
        vm.expectRevert(abi.encodeWithSelector(IOperatorStake.StakeTooLow.selector, 0, 0));
        stake.unbond(0);
        vm.expectRevert(IOperatorStake.NothingToWithdraw.selector);
        stake.withdrawUnbonded();
        vm.expectRevert(IOperatorStake.NothingToWithdraw.selector);
        stake.shareOut(keccak256("no fault"));
        vm.expectRevert(IOperatorStake.NothingToWithdraw.selector);
        stake.withdrawRewards(TREASURY);
    }

    function test_codeStore_limits() public {
        eq(CodeStore.read(STRANGER).length, 0, "nothing stored");
        bytes memory data = new bytes(24_575);
        data[24_574] = 0x2a;
        eqHash(CodeStore.read(CodeStore.write(data)), data, "largest");
        // Too little gas to pay for the code: the creation fails, and so must the call.
        vm.expectRevert(CodeStore.StoreFailed.selector);
        this.write{gas: 3_000_000}(24_575);
        yes(this.write(24_575) != address(0), "with gas it works");
    }

    function write(uint256 size) external returns (address) {
        return CodeStore.write(new bytes(size));
    }

    function _refusedOpen(Offer memory o, bytes memory why) private {
        bytes memory signature = _sign(o);
        vm.prank(LESSEE);
        vm.expectRevert(why);
        escrow.open(o, signature, _with(DEPOSIT));
    }

    /// @dev Where `streamLeases[COMMITTEE][STREAM]` is: found by trying the contract's first slots.
    function _streamSlot() private view returns (bytes32 slot) {
        for (uint256 i = 0; i < 24; ++i) {
            bytes32 outer = keccak256(abi.encode(uint256(COMMITTEE), i));
            slot = keccak256(abi.encode(uint256(STREAM), outer));
            // `nonceUsed` and `_leases` are mappings too, but hold nothing under (1, 0) that equals one.
            if (uint256(vm.load(address(escrow), slot)) == 1) return slot;
        }
        revert NotTrue("counter not found");
    }
}
