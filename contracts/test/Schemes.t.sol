// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {CommitteeRegistry} from "../src/CommitteeRegistry.sol";
import {EcdsaVerifier} from "../src/EcdsaVerifier.sol";
import {ReportHub} from "../src/ReportHub.sol";
import {IBlsVerifier} from "../src/interfaces/IBlsVerifier.sol";
import {ICommitteeRegistry} from "../src/interfaces/ICommitteeRegistry.sol";
import {Header, NewKey, Rotation} from "../src/Types.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {BlsSigner} from "./support/BlsSigner.sol";
import {World} from "./support/World.sol";

/// @notice Terms whose certificates are k signatures of n members, behind the same registry and hub as BLS ones.
contract SchemesTest is World {
    EcdsaVerifier private verifier;
    uint256[] private _sorted;

    event SchemeSet(address scheme, bool allowed);

    function setUp() public {
        _deployCommittee();
        verifier = new EcdsaVerifier();
        for (uint256 i = 0; i < 4; ++i) {
            _sorted.push(MEMBER_KEY + i);
            for (uint256 j = i; j > 0 && vm.addr(_sorted[j - 1]) > vm.addr(_sorted[j]); --j) {
                (_sorted[j - 1], _sorted[j]) = (_sorted[j], _sorted[j - 1]);
            }
        }
    }

    /// @notice From the first key to an accepted report without a single pairing, as on a chain without EIP-2537.
    function test_ecdsa_committeeWithoutBls() public {
        registry = new CommitteeRegistry(address(this), IBlsVerifier(address(0)), LAG);
        hub = new ReportHub(address(this), registry, GUARDIAN, WINDOW);
        _registerMembers(COMMITTEE, 4);
        _configure(COMMITTEE, TERM, 4);
        NewKey memory k = _newKey(COMMITTEE, TERM, SECRET, 3);
        vm.expectRevert(ICommitteeRegistry.BadKeyLength.selector);
        registry.activate(COMMITTEE, TERM, k.groupKey, k.shareRoot, k.confirmation, k.signatures, k.indices);
        registry.setScheme(verifier, true);
        _activateEcdsa(_ecdsaKey(COMMITTEE, TERM, 3));
        (uint64 term, bytes memory key) = registry.keyFor(COMMITTEE, 0);
        eq(term, TERM, "term");
        eqHash(key, _key(3), "key");
        Header memory h = _header(0, keccak256("root"));
        vm.warp(h.periodEnd);
        bytes memory certificate = _kOfN(_headerDigest(h), 3);
        bytes memory few = _kOfN(_headerDigest(h), 2);
        vm.expectRevert(ICommitteeRegistry.BadCertificate.selector);
        hub.post(h, few);
        bytes memory other = _kOfN(keccak256("another header"), 3);
        vm.expectRevert(ICommitteeRegistry.BadCertificate.selector);
        hub.post(h, other);
        hub.post(h, certificate);
        eq(hub.root(COMMITTEE, STREAM, 0), keccak256("root"), "posted");
    }

    /// @notice The scheme is a term's own: BLS hands over to ECDSA and ECDSA to BLS, each by a certificate of its kind.
    function test_rotate_betweenSchemes() public {
        registry.setScheme(verifier, true);
        _configure(COMMITTEE, 2, 4);
        NewKey memory k = _ecdsaKey(COMMITTEE, 2, 3);
        Rotation memory r = _rotation(1, 2, 10, k);
        registry.rotate(r, BlsSigner.sign(SECRET, _digest(r)), k);
        _configure(COMMITTEE, 3, 4);
        k = _newKey(COMMITTEE, 3, 0xBEEF, 3);
        r = _rotation(2, 3, 20, k);
        bytes memory wrong = BlsSigner.sign(SECRET, _digest(r));
        vm.expectRevert(ICommitteeRegistry.BadCertificate.selector);
        registry.rotate(r, wrong, k);
        registry.rotate(r, _kOfN(_digest(r), 3), k);
        eq(registry.activeTerm(COMMITTEE), 3, "back to BLS");
        Header memory h = _header(12, keccak256("root"));
        (h.term, h.configDigest) = (2, registry.configDigest(COMMITTEE, 2));
        vm.warp(h.periodEnd);
        hub.post(h, _kOfN(_headerDigest(h), 3));
    }

    function test_scheme_mustBeAllowed_andStaysWithItsTerm() public {
        _registerMembers(2, 4);
        _configure(2, 1, 4);
        NewKey memory k = _ecdsaKey(2, 1, 3);
        vm.expectRevert(abi.encodeWithSelector(ICommitteeRegistry.SchemeNotAllowed.selector, address(verifier)));
        _activate(2, k);
        vm.expectEmit(true, true, true, true, address(registry));
        emit SchemeSet(address(verifier), true);
        registry.setScheme(verifier, true);
        _activate(2, k);
        registry.setScheme(verifier, false);
        bytes32 structHash = keccak256("anything");
        registry.verifyCertificate(2, 1, structHash, _kOfN(registry.hashTyped(structHash), 3));
        vm.prank(GUARDIAN);
        vm.expectPartialRevert(Ownable.OwnableUnauthorizedAccount.selector);
        registry.setScheme(verifier, true);
    }

    /// @notice What the members consent to includes the verifier: the same key under another one is another key.
    function test_scheme_consentBindsTheVerifier() public {
        EcdsaVerifier other = new EcdsaVerifier();
        registry.setScheme(verifier, true);
        registry.setScheme(other, true);
        _registerMembers(2, 4);
        _configure(2, 1, 4);
        NewKey memory k = _ecdsaKey(2, 1, 3);
        bytes memory own = k.groupKey;
        k.groupKey = bytes.concat(bytes20(address(other)), _tail(own));
        vm.expectPartialRevert(ICommitteeRegistry.NotMember.selector);
        _activate(2, k);
        k.groupKey = own;
        _activate(2, k);
    }

    function test_scheme_keyNeedsPossession() public {
        registry.setScheme(verifier, true);
        _registerMembers(2, 4);
        _configure(2, 1, 4);
        NewKey memory k = _ecdsaKey(2, 1, 3);
        k.confirmation = _kOfN(keccak256("something else"), 3);
        vm.expectRevert(ICommitteeRegistry.BadCertificate.selector);
        _activate(2, k);
        k.groupKey = abi.encodePacked(verifier);
        vm.expectRevert(ICommitteeRegistry.BadKeyLength.selector);
        _activate(2, k);
    }

    function _activateEcdsa(NewKey memory k) private {
        _activate(COMMITTEE, k);
    }

    function _activate(uint64 committee, NewKey memory k) private {
        registry.activate(committee, 1, k.groupKey, k.shareRoot, k.confirmation, k.signatures, k.indices);
    }

    function _ecdsaKey(uint64 committee, uint64 term, uint256 threshold) private view returns (NewKey memory k) {
        k.groupKey = _key(threshold);
        k.shareRoot = keccak256("members sign for themselves");
        bytes32 config = registry.configDigest(committee, term);
        bytes32 keyHash = keccak256(k.groupKey);
        bytes32 confirmation = Typed.keyConfirmation(committee, term, config, keyHash, k.shareRoot);
        k.confirmation = _kOfN(registry.hashTyped(confirmation), threshold);
        bytes32 consent = Typed.activation(committee, term, config, keyHash, k.shareRoot);
        (k.signatures, k.indices) = _consent(registry.hashTyped(consent), 3);
    }

    /// @dev Verifier, k, then the members' addresses, ascending.
    function _key(uint256 threshold) private view returns (bytes memory key) {
        key = abi.encodePacked(verifier, uint8(threshold));
        for (uint256 i = 0; i < 4; ++i) {
            key = abi.encodePacked(key, vm.addr(_sorted[i]));
        }
    }

    function _tail(bytes memory key) private pure returns (bytes memory rest) {
        rest = new bytes(key.length - 20);
        for (uint256 i = 0; i < rest.length; ++i) {
            rest[i] = key[i + 20];
        }
    }

    function _kOfN(bytes32 digest, uint256 threshold) private view returns (bytes memory certificate) {
        for (uint256 i = 0; i < threshold; ++i) {
            certificate = abi.encodePacked(certificate, uint8(i), _ecdsa(_sorted[i], digest));
        }
    }
}
