// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Header, Leaf, MemberStatement, Rotation} from "../src/Types.sol";
import {LeaseMath} from "../src/libraries/LeaseMath.sol";
import {ReportClaims} from "../src/libraries/ReportClaims.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {Base} from "./support/Base.sol";

/// @notice Struct hashes against viem's (test/vectors/typed-viem.json), and the Merkle tree of the protocol.
contract TypedTest is Base {
    string private json;

    function setUp() public {
        json = vm.readFile("test/vectors/typed-viem.json");
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

    function test_viem_structHashes() public view {
        eq(this.headerHash(abi.decode(_encoded("Header"), (Header))), _hash("Header"), "Header");
        eq(this.rotationHash(abi.decode(_encoded("Rotation"), (Rotation))), _hash("Rotation"), "Rotation");
        MemberStatement memory s = abi.decode(_encoded("MemberStatement"), (MemberStatement));
        eq(this.statementHash(s), _hash("MemberStatement"), "MemberStatement");
        eq(this.leafHash(abi.decode(_encoded("Leaf"), (Leaf))), _hash("Leaf"), "Leaf");
    }

    function test_viem_keyHashes() public view {
        (uint64 c, uint64 t, bytes32 d, bytes32 k, bytes32 r) =
            abi.decode(_encoded("KeyConfirmation"), (uint64, uint64, bytes32, bytes32, bytes32));
        eq(Typed.keyConfirmation(c, t, d, k, r), _hash("KeyConfirmation"), "KeyConfirmation");
        (c, t, d, k, r) = abi.decode(_encoded("Activation"), (uint64, uint64, bytes32, bytes32, bytes32));
        eq(Typed.activation(c, t, d, k, r), _hash("Activation"), "Activation");
        uint64 batch;
        (c, t, d, batch, r) = abi.decode(_encoded("KeyActivation"), (uint64, uint64, bytes32, uint64, bytes32));
        eq(Typed.keyActivation(c, t, d, batch, r), _hash("KeyActivation"), "KeyActivation");
    }

    /// @notice Every leaf of every tree size proves itself; an odd last node moves up unchanged.
    function testFuzz_tree_everyLeafProves(uint256 size, uint256 which) public view {
        size = size % 33 + 1;
        which = which % size;
        Leaf memory leaf;
        leaf.lease = uint64(which + 1);
        bytes32[] memory level = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            level[i] = keccak256(abi.encode(i));
        }
        level[which] = this.leafHash(leaf);
        (bytes32 root, bytes32[] memory proof) = _prove(level, which);
        yes(this.verifyLeaf(leaf, proof, root), "proof");
        leaf.units = 1;
        yes(!this.verifyLeaf(leaf, proof, root), "another leaf");
    }

    function test_tree_emptyHoldsNothing() public view {
        Leaf memory leaf;
        yes(!this.verifyLeaf(leaf, new bytes32[](0), 0), "empty tree");
    }

    /// @notice Rule 14: the largest units, rate, time and price stay within 256 bits.
    function test_rule14_extremesDoNotOverflow() public pure {
        uint256 owed = LeaseMath.owed(type(uint128).max, type(uint40).max, type(uint96).max, 0, type(uint96).max);
        uint256 bound = uint256(type(uint96).max) * type(uint40).max / 3_600;
        eq(owed, bound * type(uint96).max, "owed");
        yes(LeaseMath.fee(type(uint96).max, 10_000, 0) == type(uint96).max, "fee");
        yes(LeaseMath.credit(type(uint40).max, type(uint96).max, 5) == 5, "credit");
    }

    /// @notice Rule 13: splitting a pay never lowers the fee or raises the payee's part.
    function testFuzz_rule13_feeIsMonotonic(uint96 a, uint96 b, uint16 bp, uint96 minFee) public pure {
        bp = bp % 10_001;
        uint256 whole = uint256(a) + b;
        (uint256 part, uint256 all) = (LeaseMath.fee(a, bp, minFee), LeaseMath.fee(whole, bp, minFee));
        yes(part <= all && all <= whole, "fee");
        yes(a - part <= whole - all, "payee's part");
    }

    function _prove(bytes32[] memory level, uint256 at_) private pure returns (bytes32, bytes32[] memory proof) {
        bytes32[] memory found = new bytes32[](8);
        uint256 depth;
        while (level.length > 1) {
            uint256 sibling = at_ ^ 1;
            if (sibling < level.length) found[depth++] = level[sibling];
            bytes32[] memory next = new bytes32[]((level.length + 1) / 2);
            for (uint256 i = 0; i < next.length; ++i) {
                next[i] = 2 * i + 1 < level.length ? _parent(level[2 * i], level[2 * i + 1]) : level[2 * i];
            }
            (level, at_) = (next, at_ / 2);
        }
        proof = new bytes32[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            proof[i] = found[i];
        }
        return (level[0], proof);
    }

    function _parent(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    function _encoded(string memory name) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, string.concat(".", name, ".encoded"));
    }

    function _hash(string memory name) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(".", name, ".hash"));
    }
}
