// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {ICommitteeRegistry} from "../src/interfaces/ICommitteeRegistry.sol";
import {IDeviceRegistry, IERC4907} from "../src/interfaces/IDeviceRegistry.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {BlsSigner} from "./support/BlsSigner.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Device keys, their proofs, and who may set a user.
contract DeviceRegistryTest is LeaseWorld {
    bytes private constant ED_KEY = hex"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    function setUp() public {
        _deployLeases();
    }

    /// @notice RFC 9679 over the COSE_Key bytes of docs/protocol.md §1, spelled out here.
    function test_thumbprint_isRfc9679() public view {
        bytes32 ed = sha256(bytes.concat(hex"a30101200621", hex"5820", ED_KEY));
        eq(devices.thumbprint(1, ED_KEY), ed, "Ed25519");
        (uint256 x, uint256 y) = vm.publicKeyP256(DEVICE_KEY);
        bytes32 p = sha256(bytes.concat(hex"a401022001215820", bytes32(x), hex"225820", bytes32(y)));
        eq(devices.thumbprint(2, abi.encodePacked(x, y)), p, "P-256");
    }

    function test_statement_isTheProtocols() public view {
        bytes memory expected = bytes.concat(
            "plumbline/device-key/v1",
            bytes8(uint64(block.chainid)),
            bytes20(address(devices)),
            bytes20(lessor),
            hex"01",
            ED_KEY
        );
        eqHash(devices.statement(lessor, 1, ED_KEY), expected, "statement");
    }

    function test_p256_activeAtOnce() public view {
        yes(devices.isActive(tokenId), "active");
        eq(tokenId, 1, "ids from 1");
        eq(devices.ownerOf(tokenId), lessor, "owner");
    }

    function test_p256_bothFormsOfS() public {
        (bytes memory key, bytes32 r, bytes32 s) = _proof(0x51, lessor);
        vm.prank(lessor);
        uint256 id = devices.register(lessor, 2, key, abi.encodePacked(r, P256.N - uint256(s)), 0, 1);
        yes(devices.isActive(id), "the other s");
    }

    function test_p256_refusesForeignProof() public {
        (bytes memory key, bytes32 r, bytes32 s) = _proof(0x51, lessor);
        bytes memory proof = abi.encodePacked(r, s);
        vm.prank(LESSEE);
        vm.expectRevert(IDeviceRegistry.BadProof.selector);
        devices.register(LESSEE, 2, key, proof, 0, 1);
        vm.prank(lessor);
        vm.expectRevert(IDeviceRegistry.BadProof.selector);
        devices.register(lessor, 2, key, abi.encodePacked(s, r), 0, 1);
    }

    function test_p256_oneTokenPerActiveKey() public {
        (uint256 x, uint256 y) = vm.publicKeyP256(DEVICE_KEY);
        bytes memory key = abi.encodePacked(x, y);
        (bytes32 r, bytes32 s) = vm.signP256(DEVICE_KEY, sha256(devices.statement(lessor, 2, key)));
        vm.prank(lessor);
        vm.expectPartialRevert(IDeviceRegistry.KeyTaken.selector);
        devices.register(lessor, 2, key, abi.encodePacked(r, s), 0, 1);
    }

    function test_register_refusesBadKeys() public {
        vm.expectRevert(IDeviceRegistry.BadKey.selector);
        devices.register(lessor, 3, ED_KEY, new bytes(64), 0, 1);
        vm.expectRevert(IDeviceRegistry.BadKey.selector);
        devices.register(lessor, 1, bytes.concat(ED_KEY, hex"00"), new bytes(64), 0, 1);
        vm.expectRevert(IDeviceRegistry.BadProof.selector);
        devices.register(lessor, 1, ED_KEY, new bytes(63), 0, 1);
        vm.expectRevert(IDeviceRegistry.BadClass.selector);
        devices.register(lessor, 1, ED_KEY, new bytes(64), 0, 0);
    }

    function test_ed25519_activatedByCertificate() public {
        uint256 id = _ed25519();
        yes(!devices.isActive(id), "inactive");
        _certifyKeys(0, id, devices.thumbprint(1, ED_KEY));
        yes(devices.isActive(id), "active");
    }

    function test_activateKeys_skipsMismatches() public {
        uint256 id = _ed25519();
        _certifyKeys(0, id, keccak256("another key"));
        yes(!devices.isActive(id), "not this key");
        _certifyKeys(1, 99, 0);
        _certifyKeys(2, tokenId, devices.device(tokenId).thumbprint);
    }

    function test_activateKeys_batchesOnlyGoUp() public {
        uint256 id = _ed25519();
        bytes32 print = devices.thumbprint(1, ED_KEY);
        _certifyKeys(3, id, print);
        (uint256[] memory ids, bytes32[] memory prints, bytes memory certificate) = _batch(3, id, print);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.StaleBatch.selector, 3, 4));
        devices.activateKeys(COMMITTEE, TERM, 3, ids, prints, certificate);
    }

    function test_activateKeys_needsTheCertificate() public {
        uint256 id = _ed25519();
        (uint256[] memory ids, bytes32[] memory prints, bytes memory certificate) =
            _batch(0, id, devices.thumbprint(1, ED_KEY));
        vm.expectRevert(ICommitteeRegistry.BadCertificate.selector);
        devices.activateKeys(COMMITTEE, TERM, 1, ids, prints, certificate);
        yes(!devices.isActive(id), "inactive");
    }

    /// @notice Someone who names a key without holding it cannot keep its holder out.
    function test_squatterDoesNotBlockTheHolder() public {
        vm.prank(LESSEE);
        uint256 squat = devices.register(LESSEE, 1, ED_KEY, new bytes(64), 0, 1);
        vm.prank(LESSEE);
        devices.revoke(squat);
        uint256 id = _ed25519();
        _certifyKeys(0, id, devices.thumbprint(1, ED_KEY));
        yes(devices.isActive(id), "active");
    }

    function test_rotateKey_swapsAndRevokeEnds() public {
        (bytes memory key, bytes32 r, bytes32 s) = _proof(0x51, lessor);
        bytes32 old = devices.device(tokenId).thumbprint;
        vm.prank(LESSEE);
        vm.expectPartialRevert(IDeviceRegistry.NotAllowed.selector);
        devices.rotateKey(tokenId, 2, key, abi.encodePacked(r, s));
        vm.prank(lessor);
        devices.rotateKey(tokenId, 2, key, abi.encodePacked(r, s));
        yes(devices.isActive(tokenId), "new key active");
        eq(devices.activeKey(old), 0, "old key free");
        vm.prank(lessor);
        devices.revoke(tokenId);
        yes(!devices.isActive(tokenId), "revoked");
        vm.prank(lessor);
        vm.expectPartialRevert(IDeviceRegistry.KeyRevoked.selector);
        devices.register(lessor, 2, key, abi.encodePacked(r, s), 0, 1);
    }

    function test_erc4907_ownerSetsUser_strangersDoNot() public {
        vm.prank(LESSEE);
        vm.expectPartialRevert(IDeviceRegistry.NotAllowed.selector);
        devices.setUser(tokenId, LESSEE, type(uint64).max);
        vm.prank(lessor);
        devices.setUser(tokenId, LESSEE, uint64(block.timestamp + 10));
        eq(devices.userOf(tokenId), LESSEE, "user");
        vm.warp(block.timestamp + 10);
        eq(devices.userOf(tokenId), address(0), "expired");
        yes(devices.supportsInterface(0xad092b5c), "ERC-4907");
        yes(type(IERC4907).interfaceId == bytes4(0xad092b5c), "interface id");
    }

    function test_erc4907_lockedWhileLeased() public {
        _open();
        vm.prank(lessor);
        vm.expectPartialRevert(IDeviceRegistry.UseLocked.selector);
        devices.setUser(tokenId, lessor, type(uint64).max);
    }

    function test_setEscrow_once() public {
        vm.expectRevert(IDeviceRegistry.AlreadySet.selector);
        devices.setEscrow(address(this));
    }

    function _ed25519() private returns (uint256) {
        vm.prank(lessor);
        return devices.register(lessor, 1, ED_KEY, new bytes(64), 0, 1);
    }

    function _proof(uint256 key, address owner) private view returns (bytes memory publicKey, bytes32 r, bytes32 s) {
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        publicKey = abi.encodePacked(x, y);
        (r, s) = vm.signP256(key, sha256(devices.statement(owner, 2, publicKey)));
    }

    function _batch(uint64 batch, uint256 id, bytes32 print)
        private
        view
        returns (uint256[] memory ids, bytes32[] memory prints, bytes memory certificate)
    {
        (ids, prints) = (new uint256[](1), new bytes32[](1));
        (ids[0], prints[0]) = (id, print);
        bytes32 config = registry.configDigest(COMMITTEE, TERM);
        bytes32 list = keccak256(abi.encode(ids, prints));
        bytes32 digest = registry.hashTyped(Typed.keyActivation(COMMITTEE, TERM, config, batch, list));
        certificate = BlsSigner.sign(SECRET, digest);
    }

    function _certifyKeys(uint64 batch, uint256 id, bytes32 print) private {
        (uint256[] memory ids, bytes32[] memory prints, bytes memory certificate) = _batch(batch, id, print);
        devices.activateKeys(COMMITTEE, TERM, batch, ids, prints, certificate);
    }
}
