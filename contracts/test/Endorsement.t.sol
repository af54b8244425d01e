// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IDeviceRegistry} from "../src/interfaces/IDeviceRegistry.sol";
import {Endorsements} from "../src/libraries/Endorsements.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Makers' certificates about device keys, and what rotation and revocation do to keys and certificates.
contract EndorsementTest is LeaseWorld {
    uint256 private constant MAKER = 0x3A4E6;
    uint256 private constant OTHER = 0x07A3E;

    event DeviceEndorsed(
        bytes32 indexed device, bytes32 indexed maker, uint8 tier, uint64 issued, bytes32 digest, bytes certificate
    );

    bytes private makerKey;
    bytes32 private maker;
    bytes32 private print;

    function setUp() public {
        _deployLeases();
        (makerKey, maker) = _key(MAKER);
        devices.setMaker(maker, 2);
        print = devices.device(tokenId).thumbprint;
    }

    function test_endorse_storesTierAndDigest() public {
        bytes memory certificate = _certificate(MAKER, print, 2, 1_700_000_000);
        devices.endorse(certificate, makerKey);
        IDeviceRegistry.Endorsement memory e = devices.endorsement(tokenId);
        eq(e.tier, 2, "tier");
        eq(e.digest, sha256(certificate), "digest");
        eq(e.maker, maker, "maker");
        eq(e.issued, 1_700_000_000, "issued");
        eq(devices.endorsement(99).tier, 0, "unknown token");
    }

    /// @notice A certificate that `attest` issued (maker's seed 32 times 9, device's 32 times 0x42, model "Mast 3" and a Greek letter).
    function test_endorse_whatAttestWrites() public {
        bytes memory key = hex"7135fa4fd93a09dce98bbf681b4bfcf50e7c0d6354e62afb0bff2a3429617865"
            hex"ed4c1f02ddb9023ee56a557e515d6a9dc66c11f220960de594334df588776724";
        bytes memory certificate = hex"8287015820ebcbb922963fb3b722f937b2ee672446a8c8ab91d379afa5c36692"
            hex"c777221f03025820f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1"
            hex"f1f1f1f1f1f1f1f1694d617374203320cebc1a6553f1005820256e4a22fe6e14"
            hex"429d6b0d5ee7e9680eb5aeac4542c146aa490e0e569c93718b584035cabd834b"
            hex"f43b267ff95c5394dcfdb0f0c63e3cb3c0904b22e7cd9c75b3beb1812e8bcdfa"
            hex"1ae7df623be3e141474912a129c6b13dc37d6a860c1fca1c4e0ac7";
        bytes32 device = 0xebcbb922963fb3b722f937b2ee672446a8c8ab91d379afa5c36692c777221f03;
        bytes32 by = 0x256e4a22fe6e14429d6b0d5ee7e9680eb5aeac4542c146aa490e0e569c93718b;
        devices.setMaker(by, 2);
        vm.expectEmit(true, true, true, true, address(devices));
        emit DeviceEndorsed(device, by, 2, 1_700_000_000, sha256(certificate), certificate);
        devices.endorse(certificate, key);
    }

    /// @notice Every length of number and name that the canonical encoding has.
    function testFuzz_endorse_everyShape(uint64 issued, uint256 width, uint256 model) public {
        issued = uint64(bound(width, 0, 64) == 0 ? 0 : issued >> (64 - bound(width, 0, 64)));
        bytes memory certificate = _signed(MAKER, _inner(print, 1, bound(model, 1, 32), issued, maker));
        devices.endorse(certificate, makerKey);
        eq(devices.endorsement(tokenId).issued, issued, "issued");
    }

    /// @notice One bit changed anywhere, and nothing is stored.
    function testFuzz_endorse_oneBitFlipped(uint256 bit) public {
        bytes memory certificate = _certificate(MAKER, print, 2, 1_700_000_000);
        bit = bit % (certificate.length * 8);
        certificate[bit / 8] = bytes1(uint8(certificate[bit / 8]) ^ uint8(1 << (bit % 8)));
        (bool accepted,) = address(devices).call(abi.encodeCall(devices.endorse, (certificate, makerKey)));
        yes(!accepted, "accepted");
        eq(devices.endorsement(tokenId).tier, 0, "stored");
    }

    /// @notice Signed by the maker, and still not the one canonical encoding.
    function test_endorse_refusesOtherEncodings() public {
        _refusedInner(hex"04", "\x61M", hex"05", 36);
        _refusedInner(hex"00", "\x61M", hex"05", 36);
        _refusedInner(hex"02", "\x60", hex"1905dc", 71);
        _refusedInner(hex"02", "\x78\x02Mo", hex"05", 71);
        _refusedInner(hex"02", abi.encodePacked("\x78\x21", new bytes(33)), hex"05", 71);
        _refusedInner(hex"02", "\x41M", hex"05", 71);
        _refusedInner(hex"02", "\x61M", hex"1817", 73);
        _refusedInner(hex"02", "\x61M", hex"1900ff", 73);
        _refusedInner(hex"02", "\x61M", hex"1a0000ffff", 73);
        _refusedInner(hex"02", "\x61M", hex"1b00000000ffffffff", 73);
        _refusedInner(hex"02", "\x61M", hex"1c", 73);
        _refusedInner(hex"02", "\x61M", hex"25", 73);
        _refusedInner(hex"02", "\x61M", hex"0500", 74);
        // A name longer than the rest of the certificate.
        _refusedInner(hex"02", "\x77M", hex"05", 95);
        _refused("", 0);
        _refused(new bytes(225), 225);
    }

    function test_endorse_onlyByABelievedMaker() public {
        (bytes memory key, bytes32 other) = _key(OTHER);
        bytes memory certificate = _signed(OTHER, _inner(print, 2, 3, 5, other));
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.TierNotBelieved.selector, other, 2));
        devices.endorse(certificate, key);
        bytes memory claimed = _signed(OTHER, _inner(print, 2, 3, 5, maker));
        vm.expectRevert(IDeviceRegistry.BadProof.selector);
        devices.endorse(claimed, makerKey);
        vm.expectRevert(IDeviceRegistry.BadKey.selector);
        devices.endorse(claimed, key);
        vm.expectRevert(IDeviceRegistry.BadKey.selector);
        devices.endorse(claimed, hex"00");
        bytes memory high = _certificate(MAKER, print, 3, 5);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.TierNotBelieved.selector, maker, 3));
        devices.endorse(high, makerKey);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.TierNotBelieved.selector, other, 4));
        devices.setMaker(other, 4);
        vm.prank(lessor);
        vm.expectPartialRevert(Ownable.OwnableUnauthorizedAccount.selector);
        devices.setMaker(other, 3);
    }

    /// @notice A maker replaces its own word by a later one, also a lower one; another maker only by a higher tier.
    function test_endorse_whatReplacesWhat() public {
        (bytes memory key, bytes32 other) = _key(OTHER);
        devices.setMaker(other, 3);
        devices.endorse(_certificate(MAKER, print, 2, 100), makerKey);
        bytes memory same = _certificate(MAKER, print, 1, 100);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.EndorsementStands.selector, print, 2));
        devices.endorse(same, makerKey);
        bytes memory low = _signed(OTHER, _inner(print, 2, 3, 900, other));
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.EndorsementStands.selector, print, 2));
        devices.endorse(low, key);
        devices.endorse(_signed(OTHER, _inner(print, 3, 3, 50, other)), key);
        eq(devices.endorsement(tokenId).tier, 3, "raised by another");
        devices.endorse(_signed(OTHER, _inner(print, 1, 3, 51, other)), key);
        eq(devices.endorsement(tokenId).tier, 1, "lowered by the same");
    }

    /// @notice A maker that lost its name takes its endorsements with it, and no longer stands in anyone's way.
    function test_endorse_makerNoLongerBelieved() public {
        (bytes memory key, bytes32 other) = _key(OTHER);
        devices.setMaker(other, 1);
        devices.endorse(_certificate(MAKER, print, 2, 100), makerKey);
        devices.setMaker(maker, 1);
        eq(devices.endorsement(tokenId).tier, 0, "no longer believed for tier 2");
        devices.endorse(_signed(OTHER, _inner(print, 1, 3, 5, other)), key);
        eq(devices.endorsement(tokenId).tier, 1, "another took its place");
    }

    /// @notice An endorsement is of a key: it may come first, it does not follow the token to the next key, and it is back
    /// with the key.
    function test_endorse_followsTheKey() public {
        (, bytes32 next) = _key(0x51);
        devices.endorse(_certificate(MAKER, next, 2, 5), makerKey);
        devices.endorse(_certificate(MAKER, print, 1, 5), makerKey);
        eq(devices.endorsement(tokenId).tier, 1, "of the first key");
        _rotate(0x51);
        eq(devices.endorsement(tokenId).tier, 2, "endorsed before it came");
        _rotate(DEVICE_KEY);
        eq(devices.endorsement(tokenId).tier, 1, "the first key again");
        vm.prank(lessor);
        devices.revoke(tokenId);
        eq(devices.endorsement(tokenId).tier, 0, "revoked");
    }

    /// @notice The replacement of a broken device under a running lease: token, user and lease stay, the key changes.
    function test_replace_underARunningLease() public {
        uint64 lease = _open();
        _rotate(0x51);
        yes(devices.isActive(tokenId), "judged on");
        eq(devices.userOf(tokenId), LESSEE, "the user stays");
        eq(devices.activeKey(print), 0, "the old key is free");
        vm.warp(escrow.leaseInfo(lease).end);
        _close(lease, 100, 0);
        eq(escrow.leaseInfo(lease).paid, 100 * PRICE, "paid through both devices");
    }

    /// @notice Replaced by an Ed25519 device: it does not count before it was certified.
    function test_replace_byEd25519WaitsForTheCertificate() public {
        vm.prank(lessor);
        devices.rotateKey(tokenId, 1, abi.encodePacked(keccak256("ed key")), new bytes(64));
        yes(!devices.isActive(tokenId), "inactive");
        eq(devices.activeKey(print), 0, "the old key does not count either");
    }

    /// @notice A revoked key never counts again, in any token, by any way in.
    function test_revoke_isForGood() public {
        vm.prank(lessor);
        devices.revoke(tokenId);
        yes(devices.revoked(print) && !devices.isActive(tokenId), "revoked");
        (bytes memory key, bytes memory proof) = _proof(DEVICE_KEY);
        vm.prank(lessor);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.KeyRevoked.selector, print));
        devices.rotateKey(tokenId, 2, key, proof);
        vm.prank(lessor);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.KeyRevoked.selector, print));
        devices.register(lessor, 2, key, proof, 0, 1);
        _rotate(0x51);
        yes(devices.isActive(tokenId), "the token itself goes on with another key");
        vm.prank(LESSEE);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.NotAllowed.selector, LESSEE));
        devices.revoke(tokenId);
    }

    function test_nextBatch_startsAtZero() public view {
        eq(devices.nextBatch(COMMITTEE, TERM), 0, "none used");
    }

    /// @dev `at_` is where the first byte stands that is not as it must be.
    function _refusedInner(bytes memory tier, bytes memory model, bytes memory issued, uint256 at_) private {
        _refused(_signed(MAKER, _innerRaw(print, tier, model, issued, maker)), at_);
    }

    function _refused(bytes memory certificate, uint256 at_) private {
        vm.expectRevert(abi.encodeWithSelector(Endorsements.BadCertificateBytes.selector, at_));
        devices.endorse(certificate, makerKey);
    }

    function _rotate(uint256 secret) private {
        (bytes memory key, bytes memory proof) = _proof(secret);
        vm.prank(lessor);
        devices.rotateKey(tokenId, 2, key, proof);
    }

    function _proof(uint256 secret) private view returns (bytes memory key, bytes memory proof) {
        (key,) = _key(secret);
        (bytes32 r, bytes32 s) = vm.signP256(secret, sha256(devices.statement(lessor, 2, key)));
        proof = abi.encodePacked(r, s);
    }

    function _key(uint256 secret) private view returns (bytes memory key, bytes32 thumbprint) {
        (uint256 x, uint256 y) = vm.publicKeyP256(secret);
        key = abi.encodePacked(x, y);
        thumbprint = devices.thumbprint(2, key);
    }

    function _certificate(uint256 secret, bytes32 device, uint8 tier, uint64 issued)
        private
        view
        returns (bytes memory)
    {
        (, bytes32 signer) = _key(secret);
        return _signed(secret, _inner(device, tier, 7, issued, signer));
    }

    function _signed(uint256 secret, bytes memory inner) private pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = vm.signP256(secret, sha256(abi.encodePacked("plumbline/endorsement/v1", inner)));
        return abi.encodePacked(hex"82", inner, hex"5840", r, s);
    }

    /// @dev Canonical CBOR, written by hand from docs/protocol.md §3.
    function _inner(bytes32 device, uint8 tier, uint256 model, uint64 issued, bytes32 signer)
        private
        pure
        returns (bytes memory)
    {
        bytes memory name = new bytes(model);
        for (uint256 i = 0; i < model; ++i) {
            name[i] = "m";
        }
        bytes memory head = model < 24 ? abi.encodePacked(uint8(0x60 + model)) : abi.encodePacked(hex"78", uint8(model));
        return _innerRaw(device, abi.encodePacked(tier), bytes.concat(head, name), _number(issued), signer);
    }

    function _number(uint64 n) private pure returns (bytes memory) {
        if (n < 24) return abi.encodePacked(uint8(n));
        if (n <= type(uint8).max) return abi.encodePacked(hex"18", uint8(n));
        if (n <= type(uint16).max) return abi.encodePacked(hex"19", uint16(n));
        if (n <= type(uint32).max) return abi.encodePacked(hex"1a", uint32(n));
        return abi.encodePacked(hex"1b", n);
    }

    function _innerRaw(bytes32 device, bytes memory tier, bytes memory model, bytes memory issued, bytes32 signer)
        private
        pure
        returns (bytes memory)
    {
        bytes memory start = abi.encodePacked(hex"87015820", device, tier, hex"5820", keccak256("firmware"));
        return abi.encodePacked(start, model, issued, hex"5820", signer);
    }

    function bound(uint256 x, uint256 low, uint256 high) private pure returns (uint256) {
        return low + x % (high - low + 1);
    }
}
