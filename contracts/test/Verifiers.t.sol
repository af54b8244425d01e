// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {BlsVerifier} from "../src/BlsVerifier.sol";
import {EcdsaVerifier} from "../src/EcdsaVerifier.sol";
import {SignatureVerifier7913} from "../src/adapters/SignatureVerifier7913.sol";
import {ICertificateVerifier} from "../src/interfaces/ICertificateVerifier.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {CodeStore} from "../src/libraries/CodeStore.sol";
import {Base} from "./support/Base.sol";
import {BlsSigner} from "./support/BlsSigner.sol";

/// @notice What a consumer does once per report, the same for both schemes: key from code, check, event.
contract Probe {
    ICertificateVerifier private immutable _scheme;
    address private immutable _key;

    event Accepted(bytes32 digest);

    constructor(ICertificateVerifier scheme, bytes memory key) {
        _scheme = scheme;
        _key = CodeStore.write(key);
    }

    function accept(bytes32 digest, bytes calldata certificate) external {
        require(_scheme.verify(CodeStore.read(_key), digest, certificate), "refused");
        emit Accepted(digest);
    }
}

/// @notice The ECDSA verifier, the ERC-7913 adapter, and what both schemes cost side by side.
contract VerifiersTest is Base {
    bytes32 private constant DIGEST = keccak256("message");
    uint256 private constant SECRET = 0xC0FFEE;

    EcdsaVerifier private ecdsa;
    BlsVerifier private bls;
    uint256[] private _keys;

    event log_named_uint(string what, uint256 gas);

    function setUp() public {
        (ecdsa, bls) = (new EcdsaVerifier(), new BlsVerifier(Bls.PAIRING_GAS));
        for (uint256 i = 1; i <= 100; ++i) {
            _insert(i);
        }
    }

    function test_ecdsa_acceptsAnyKOfN() public view {
        bytes memory key = _key(3, 5);
        yes(ecdsa.verify(key, DIGEST, _certificate([uint8(0), 1, 2])), "first three");
        yes(ecdsa.verify(key, DIGEST, _certificate([uint8(0), 2, 4])), "others");
        yes(!ecdsa.verify(key, keccak256("other"), _certificate([uint8(0), 1, 2])), "another digest");
    }

    function test_ecdsa_refusesRepeatsOrderAndStrangers() public view {
        bytes memory key = _key(3, 5);
        yes(!ecdsa.verify(key, DIGEST, _certificate([uint8(0), 0, 1])), "one member twice");
        yes(!ecdsa.verify(key, DIGEST, _certificate([uint8(1), 0, 2])), "not ascending");
        yes(!ecdsa.verify(key, DIGEST, _certificate([uint8(0), 1, 5])), "not a member");
        bytes memory wrong = bytes.concat(_item(0, 0), _item(1, 1), _item(2, 3));
        yes(!ecdsa.verify(key, DIGEST, wrong), "signed by another than its index says");
    }

    function test_ecdsa_refusesLengths() public view {
        bytes memory key = _key(3, 5);
        bytes memory two = bytes.concat(_item(0, 0), _item(1, 1));
        yes(!ecdsa.verify(key, DIGEST, two), "too few");
        yes(!ecdsa.verify(key, DIGEST, bytes.concat(two, _item(2, 2), _item(3, 3))), "more than k");
        yes(!ecdsa.verify(key, DIGEST, bytes.concat(two, _item(2, 2), hex"00")), "trailing byte");
        yes(!ecdsa.verify(bytes.concat(key, hex"00"), DIGEST, _certificate([uint8(0), 1, 2])), "key with a tail");
        yes(!ecdsa.verify("", DIGEST, ""), "no key");
        yes(!ecdsa.verify(_key(0, 5), DIGEST, ""), "k of zero needs no signature and is no key");
        yes(!ecdsa.verify(_key(6, 5), DIGEST, new bytes(6 * 66)), "k above n");
        yes(!ecdsa.verify(abi.encodePacked(uint8(1), new bytes(256 * 20)), DIGEST, _item(0, 0)), "too many members");
    }

    /// @notice A key that names one member three times does not make it three.
    function test_ecdsa_repeatedMemberInTheKey() public view {
        address member = vm.addr(_keys[0]);
        bytes memory key = abi.encodePacked(uint8(2), member, member, member);
        yes(!ecdsa.verify(key, DIGEST, bytes.concat(_item(0, 0), _item(1, 0))), "one member, two indices");
        key = abi.encodePacked(uint8(1), address(0));
        yes(!ecdsa.verify(key, DIGEST, new bytes(66)), "address zero and a signature that recovers to it");
    }

    function test_ecdsa_refusesHighS() public view {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keys[0], DIGEST);
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        bytes memory key = abi.encodePacked(uint8(1), vm.addr(_keys[0]));
        yes(ecdsa.verify(key, DIGEST, abi.encodePacked(uint8(0), r, s, v)), "low s");
        bytes memory high = abi.encodePacked(uint8(0), r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27));
        yes(!ecdsa.verify(key, DIGEST, high), "high s");
    }

    /// @notice Starved of gas it reverts; it never calls a good certificate bad.
    function testFuzz_ecdsa_starvation_neverFalse(uint256 gasLimit) public view {
        gasLimit = gasLimit % 40_000;
        bytes memory certificate = _certificate([uint8(0), 1, 2]);
        try ecdsa.verify{gas: gasLimit}(_key(3, 5), DIGEST, certificate) returns (bool good) {
            yes(good, "starved into false");
        } catch {}
    }

    function testFuzz_ecdsa_oneBitFlipped(uint256 bit) public view {
        bytes memory certificate = _certificate([uint8(0), 2, 4]);
        bit = bit % (certificate.length * 8);
        certificate[bit / 8] = bytes1(uint8(certificate[bit / 8]) ^ uint8(1 << (bit % 8)));
        yes(!ecdsa.verify(_key(3, 5), DIGEST, certificate), "one bit flipped");
    }

    /// @notice OpenZeppelin's checker takes a committee for a signer, in both schemes.
    function test_erc7913_signatureChecker() public {
        bytes memory signer =
            bytes.concat(bytes20(address(new SignatureVerifier7913(bls))), BlsSigner.publicKey(SECRET));
        bytes memory certificate = BlsSigner.sign(SECRET, DIGEST);
        yes(SignatureChecker.isValidSignatureNow(signer, DIGEST, certificate), "certificate");
        yes(!SignatureChecker.isValidSignatureNow(signer, keccak256("other"), certificate), "another message");
        yes(!SignatureChecker.isValidSignatureNow(signer, DIGEST, new bytes(96)), "infinity");
        signer = bytes.concat(bytes20(address(new SignatureVerifier7913(ecdsa))), _key(3, 5));
        yes(SignatureChecker.isValidSignatureNow(signer, DIGEST, _certificate([uint8(0), 1, 2])), "k of n");
        yes(!SignatureChecker.isValidSignatureNow(signer, DIGEST, certificate), "the other scheme's");
    }

    /// forge-config: default.isolate = true
    function test_gas_blsBesideEcdsa() public {
        uint256 one = _gas(bls, BlsSigner.publicKey(SECRET), BlsSigner.sign(SECRET, DIGEST));
        emit log_named_uint("BLS, any committee", one);
        vm.snapshotValue("certificates", "BLS", one);
        uint8[2][8] memory sizes = [[3, 4], [5, 7], [7, 10], [11, 16], [17, 25], [21, 31], [34, 100], [67, 100]];
        for (uint256 i = 0; i < sizes.length; ++i) {
            (uint256 k, uint256 n) = (sizes[i][0], sizes[i][1]);
            uint256 cost = _gas(ecdsa, _key(uint8(k), n), _firstK(k));
            emit log_named_uint(string.concat("ECDSA ", vm.toString(k), " of ", vm.toString(n)), cost);
            vm.snapshotValue("certificates", string.concat(vm.toString(k), " of ", vm.toString(n)), cost);
            if (k <= 11) yes(cost < one, "small committees pay less by ECDSA, as README.md says");
            if (k >= 34) yes(cost > one, "large ones by BLS");
        }
    }

    function _gas(ICertificateVerifier scheme, bytes memory key, bytes memory certificate) private returns (uint256) {
        Probe probe = new Probe(scheme, key);
        probe.accept(DIGEST, certificate);
        return vm.lastCallGas().gasTotalUsed;
    }

    function _firstK(uint256 k) private view returns (bytes memory certificate) {
        for (uint256 i = 0; i < k; ++i) {
            certificate = bytes.concat(certificate, _item(uint8(i), i));
        }
    }

    function _certificate(uint8[3] memory indices) private view returns (bytes memory) {
        return bytes.concat(_item(indices[0], indices[0]), _item(indices[1], indices[1]), _item(indices[2], indices[2]));
    }

    function _item(uint8 index, uint256 signer) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keys[signer], DIGEST);
        return abi.encodePacked(index, r, s, v);
    }

    function _key(uint8 k, uint256 n) private view returns (bytes memory key) {
        key = abi.encodePacked(k);
        for (uint256 i = 0; i < n; ++i) {
            key = abi.encodePacked(key, vm.addr(_keys[i]));
        }
    }

    /// @dev Keeps `_keys` ascending by address.
    function _insert(uint256 key) private {
        _keys.push(key);
        for (uint256 i = _keys.length - 1; i > 0 && vm.addr(_keys[i - 1]) > vm.addr(_keys[i]); --i) {
            (_keys[i - 1], _keys[i]) = (_keys[i], _keys[i - 1]);
        }
    }
}
