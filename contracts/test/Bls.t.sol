// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {BlsVerifier} from "../src/BlsVerifier.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {Base} from "./support/Base.sol";
import {BlsSigner} from "./support/BlsSigner.sol";

/// @notice BLS against vectors by others (RFC 9380, noble-curves, Rust blst) and against malformed input.
contract BlsTest is Base {
    BlsVerifier private verifier;
    string private noble;

    function setUp() public {
        verifier = new BlsVerifier(Bls.PAIRING_GAS);
        noble = vm.readFile("test/vectors/bls-noble.json");
    }

    function test_hashToCurve_rfc9380_appendixJ9_1() public view {
        string memory json = vm.readFile("test/vectors/rfc9380-g1.json");
        for (uint256 i = 0; i < 5; ++i) {
            bytes memory point = Bls.hashToG1(_bytes(json, ".cases", i, "message"), bytes(DST_RFC));
            eqHash(point, _bytes(json, ".cases", i, "point"), "RFC 9380 J.9.1");
        }
    }

    string private constant DST_RFC = "QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";

    function test_noble_hashesAndSignatures() public view {
        for (uint256 i = 0; i < 3; ++i) {
            bytes memory message = _bytes(noble, ".cases", i, "message");
            eqHash(Bls.hashToG1(message, Bls.DST), _bytes(noble, ".cases", i, "hashed"), "hash_to_G1");
            (bytes memory key, bytes32 digest, bytes memory signature) = _case(i);
            yes(verifier.verify(key, digest, signature), "noble's signature");
        }
    }

    /// @notice The test signer must make what noble made, or every other test would prove little.
    function test_noble_agreesWithTestSigner() public view {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 secret = uint256(bytes32(_bytes(noble, ".cases", i, "secret")));
            (bytes memory key, bytes32 digest, bytes memory signature) = _case(i);
            eqHash(BlsSigner.publicKey(secret), key, "key");
            eqHash(BlsSigner.sign(secret, digest), signature, "signature");
        }
    }

    /// @notice Certificates recovered from shares by the aggregator crate.
    function test_aggregator_vectors() public {
        string memory path = "../aggregator/tests/vectors/bls.json";
        if (!vm.exists(path)) {
            emit log("skipped: aggregator/tests/vectors/bls.json is absent");
            return;
        }
        string memory json = vm.readFile(path);
        bytes memory key = vm.parseJsonBytes(json, ".groupKey.eip2537");
        uint256 checked;
        while (vm.keyExistsJson(json, string.concat(".cases[", vm.toString(checked), "]"))) {
            bytes32 digest = bytes32(_bytes(json, ".cases", checked, "message"));
            bytes memory signature = _bytes(json, ".cases", checked, "certificate.onchain");
            yes(verifier.verify(key, digest, signature), "certificate of the aggregator");
            yes(!verifier.verify(key, keccak256(abi.encode(digest)), signature), "another message");
            ++checked;
        }
        yes(checked != 0, "the vector file holds cases");
    }

    event log(string);

    function test_refuses_wrongKeyMessageSignature() public view {
        (bytes memory key, bytes32 digest, bytes memory signature) = _case(0);
        (bytes memory otherKey, bytes32 otherDigest, bytes memory otherSignature) = _case(1);
        yes(!verifier.verify(otherKey, digest, signature), "other key");
        yes(!verifier.verify(key, otherDigest, signature), "other message");
        yes(!verifier.verify(key, digest, otherSignature), "other signature");
    }

    function test_refuses_infinity() public view {
        (bytes memory key, bytes32 digest, bytes memory signature) = _case(0);
        yes(!verifier.verify(new bytes(256), digest, new bytes(96)), "infinity twice pairs to one");
        yes(!verifier.verify(key, digest, new bytes(96)), "infinity signature");
        yes(!verifier.verify(new bytes(256), digest, signature), "infinity key");
    }

    function test_refuses_wrongLengths() public view {
        (bytes memory key, bytes32 digest, bytes memory signature) = _case(0);
        yes(!verifier.verify(bytes.concat(key, hex"00"), digest, signature), "long key");
        yes(!verifier.verify(key, digest, bytes.concat(signature, hex"00")), "long signature");
        yes(!verifier.verify("", digest, ""), "nothing");
    }

    /// @notice (0, 2) is on the curve and outside the subgroup of order r.
    function test_refuses_pointOffSubgroup_withinTheCap() public view {
        (bytes memory key, bytes32 digest,) = _case(0);
        bytes memory signature = new bytes(96);
        signature[95] = 0x02;
        uint256 before = gasleft();
        yes(!verifier.verify(key, digest, signature), "off the subgroup");
        yes(before - gasleft() < 200_000, "a malformed point must not burn the caller's gas");
    }

    function test_refuses_fieldElementNotReduced() public view {
        (bytes memory key, bytes32 digest, bytes memory signature) = _case(0);
        signature[0] = 0xff;
        yes(!verifier.verify(key, digest, signature), "x above the modulus");
    }

    /// @notice Starved of gas the verifier reverts; it never calls a good signature bad.
    function testFuzz_starvation_neverFalse(uint256 gasLimit) public view {
        gasLimit = gasLimit % 160_000;
        (bytes memory key, bytes32 digest, bytes memory signature) = _case(0);
        try verifier.verify{gas: gasLimit}(key, digest, signature) returns (bool good) {
            yes(good, "starved into false");
        } catch {}
    }

    function testFuzz_signedVerifies_flippedDoesNot(uint256 secret, bytes32 digest, uint256 bit) public view {
        secret = secret % (2 ** 254) + 1;
        bytes memory key = BlsSigner.publicKey(secret);
        bytes memory signature = BlsSigner.sign(secret, digest);
        yes(verifier.verify(key, digest, signature), "own signature");
        bit = bit % 768;
        signature[bit / 8] = bytes1(uint8(signature[bit / 8]) ^ uint8(1 << (bit % 8)));
        yes(!verifier.verify(key, digest, signature), "one bit flipped");
    }

    /// @notice A chain that prices the pairing higher than told must not get a verifier.
    function test_constructor_refusesTooSmallCap() public {
        vm.expectRevert(BlsVerifier.KnownAnswerTestFailed.selector);
        new BlsVerifier(Bls.PAIRING_GAS - 1);
    }

    function _case(uint256 i) private view returns (bytes memory key, bytes32 digest, bytes memory signature) {
        key = _bytes(noble, ".cases", i, "key");
        digest = bytes32(_bytes(noble, ".cases", i, "message"));
        signature = _bytes(noble, ".cases", i, "signature");
    }

    function _bytes(string memory json, string memory list, uint256 i, string memory field)
        private
        pure
        returns (bytes memory)
    {
        return vm.parseJsonBytes(json, string.concat(list, "[", vm.toString(i), "].", field));
    }
}
