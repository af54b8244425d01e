// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {CommitteeRegistry} from "../src/CommitteeRegistry.sol";
import {Header, Leaf, MemberStatement, Rotation} from "../src/Types.sol";
import {Config, TermConfig} from "../src/libraries/TermConfig.sol";
import {PolicyBook} from "../src/libraries/PolicyBook.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {ICommitteeRegistry} from "../src/interfaces/ICommitteeRegistry.sol";
import {MockReportHub} from "../src/mocks/MockReportHub.sol";
import {BlsSigner} from "./support/BlsSigner.sol";
import {World} from "./support/World.sol";

/// @notice Writes what the contracts compute (test/vectors/forge.json); Rust replays it
/// (oracle-node/core/tests/contracts_vectors.rs). Fails when the file differs; PLUMBLINE_BLESS=1 writes it anew.
contract VectorsForgeTest is World {
    string private constant FILE = "test/vectors/forge.json";
    uint256 private words;

    function headerHash(Header calldata h) external pure returns (bytes32) {
        return Typed.hash(h);
    }

    function rotationHash(Rotation calldata r) external pure returns (bytes32) {
        return Typed.hash(r);
    }

    function statementHash(MemberStatement calldata s) external pure returns (bytes32) {
        return Typed.hash(s);
    }

    function test_forge_writesWhatRustReplays() public {
        _deployCommittee();
        string memory json = string.concat(
            "{\n  \"about\": \"By the contracts (VectorsForge.t.sol); replayed by contracts_vectors.rs.\",\n  \"chainId\": ",
            vm.toString(block.chainid),
            _field("registry", vm.toString(abi.encodePacked(registry))),
            _field("groupKey", vm.toString(BlsSigner.publicKey(SECRET))),
            ",\n  \"typed\": [",
            _typed(),
            "]",
            ",\n  \"trees\": [",
            _trees(),
            "]"
        );
        json = string.concat(
            json,
            ",\n  \"members\": [",
            _membersSigned(),
            "],\n  \"list\": ",
            _list(),
            ",\n  \"config\": ",
            _config(),
            ",\n  \"base\": ",
            _base(),
            ",\n  \"books\": [",
            _books(),
            "]\n}\n"
        );
        if (vm.envOr("PLUMBLINE_BLESS", false)) vm.writeFile(FILE, json);
        yes(vm.exists(FILE), "test/vectors/forge.json is missing; PLUMBLINE_BLESS=1 writes it");
        eqHash(
            bytes(vm.readFile(FILE)), bytes(json), "test/vectors/forge.json differs; PLUMBLINE_BLESS=1 writes it anew"
        );
    }

    function _typed() private returns (string memory list) {
        for (uint256 i = 0; i < 3; ++i) {
            Header memory h = abi.decode(_random(16), (Header));
            Rotation memory r = abi.decode(_random(8), (Rotation));
            MemberStatement memory s = abi.decode(_random(4), (MemberStatement));
            list = string.concat(list, i == 0 ? "" : ",", _case("Header", abi.encode(h), this.headerHash(h)));
            list = string.concat(list, ",", _case("Rotation", abi.encode(r), this.rotationHash(r)));
            list = string.concat(list, ",", _case("MemberStatement", abi.encode(s), this.statementHash(s)));
            (uint64 c, uint64 t, bytes32 d, bytes32 k, bytes32 root) =
                abi.decode(_random(5), (uint64, uint64, bytes32, bytes32, bytes32));
            bytes memory five = abi.encode(c, t, d, k, root);
            list = string.concat(list, ",", _case("KeyConfirmation", five, Typed.keyConfirmation(c, t, d, k, root)));
            list = string.concat(list, ",", _case("Activation", five, Typed.activation(c, t, d, k, root)));
            five = abi.encode(c, t, d, uint64(7), root);
            list = string.concat(list, ",", _case("KeyActivation", five, Typed.keyActivation(c, t, d, 7, root)));
        }
    }

    function _case(string memory name, bytes memory encoded, bytes32 structHash) private view returns (string memory) {
        bytes32 digest = registry.hashTyped(structHash);
        return string.concat(
            "\n    {\"type\": \"",
            name,
            "\", \"abi\": \"",
            vm.toString(encoded),
            "\", \"digest\": \"",
            vm.toString(digest),
            "\", \"certificate\": \"",
            vm.toString(BlsSigner.sign(SECRET, digest)),
            "\"}"
        );
    }

    function _trees() private returns (string memory list) {
        MockReportHub trees = new MockReportHub(ICommitteeRegistry(address(0)), 0);
        for (uint256 size = 1; size <= 9; ++size) {
            Leaf[] memory leaves = new Leaf[](size);
            string memory encoded;
            for (uint256 i = 0; i < size; ++i) {
                leaves[i] = abi.decode(_random(10), (Leaf));
                encoded = string.concat(encoded, i == 0 ? "\"" : ", \"", vm.toString(abi.encode(leaves[i])), "\"");
            }
            string memory proofs;
            for (uint256 i = 0; i < size; ++i) {
                proofs = string.concat(proofs, i == 0 ? "" : ", ", _hashes(trees.proofOf(leaves, i)));
            }
            list = string.concat(list, size == 1 ? "" : ",", "\n    {\"root\": \"", vm.toString(trees.rootOf(leaves)));
            list = string.concat(list, "\", \"leaves\": [", encoded, "], \"proofs\": [", proofs, "]}");
        }
    }

    function _membersSigned() private returns (string memory list) {
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 digest = keccak256(_random(1));
            list = string.concat(
                list,
                i == 0 ? "{\"signer\": \"" : ", {\"signer\": \"",
                vm.toString(abi.encodePacked(_member(i))),
                "\", \"digest\": \"",
                vm.toString(digest),
                "\", \"signature\": \"",
                vm.toString(_ecdsa(MEMBER_KEY + i, digest)),
                "\"}"
            );
        }
    }

    /// @dev As DeviceRegistry.activateKeys hashes what it is given.
    function _list() private returns (string memory) {
        (uint256[] memory tokens, bytes32[] memory prints) = (new uint256[](3), new bytes32[](3));
        for (uint256 i = 0; i < 3; ++i) {
            (tokens[i], prints[i]) = (i + 1, keccak256(_random(1)));
        }
        bytes32 digest = keccak256(abi.encode(tokens, prints));
        return string.concat(
            "{\"tokenIds\": [1, 2, 3], \"thumbprints\": ", _hashes(prints), ", \"hash\": \"", vm.toString(digest), "\"}"
        );
    }

    /// @dev The encoding is written field by field, the digest is the registry's.
    function _config() private view returns (string memory) {
        Config memory c;
        (c.chainId, c.registry, c.committee, c.term) = (block.chainid, address(registry), COMMITTEE, TERM);
        c.members = _members(4);
        (c.peerKeys, c.dkgKeys) = (new bytes32[](4), new bytes32[](4));
        for (uint256 i = 0; i < 4; ++i) {
            (c.peerKeys[i], c.dkgKeys[i]) = (bytes32(i + 1), bytes32(i + 101));
        }
        (c.policyHash, c.epochSeconds, c.slotMs, c.genesisDelay) = (BOOK, EPOCH, SLOT_MS, DELAY);
        bytes32 digest = registry.configDigest(COMMITTEE, TERM);
        eq(TermConfig.digest(c), digest, "the term's digest");
        bytes memory encoded = abi.encode(
            c.chainId,
            c.registry,
            c.committee,
            c.term,
            c.members,
            c.peerKeys,
            c.dkgKeys,
            c.policyHash,
            c.epochSeconds,
            c.slotMs,
            c.genesisDelay
        );
        return string.concat("{\"abi\": \"", vm.toString(encoded), "\", \"digest\": \"", vm.toString(digest), "\"}");
    }

    /// @dev A rotation's base over five streams, from 0.
    function _base() private returns (string memory) {
        bytes32[] memory headers = new bytes32[](5);
        bytes32[] memory level = new bytes32[](5);
        for (uint32 i = 0; i < 5; ++i) {
            headers[i] = keccak256(_random(1));
            level[i] = Typed.baseLeaf(i, headers[i]);
        }
        bytes32 left = _join(_join(level[0], level[1]), _join(level[2], level[3]));
        bytes32 root = _join(left, level[4]);
        return string.concat("{\"headers\": ", _hashes(headers), ", \"root\": \"", vm.toString(root), "\"}");
    }

    /// @dev Policy books of one to five documents, ascending, with every document's proof as the escrow checks it.
    function _books() private returns (string memory list) {
        for (uint256 size = 1; size <= 5; ++size) {
            (bytes32[] memory documents, bytes32[] memory level) = (new bytes32[](size), new bytes32[](size));
            string memory classes;
            for (uint256 i = 0; i < size; ++i) {
                documents[i] = bytes32(uint256(keccak256(abi.encode(++words))) >> 8 | i << 248);
                uint256 bits = i == 0 ? 0 : uint256(keccak256(abi.encode(++words)));
                level[i] = PolicyBook.leaf(documents[i], bits);
                classes = string.concat(classes, i == 0 ? "\"" : ", \"", vm.toString(bytes32(bits)), "\"");
            }
            (bytes32 root, string memory proofs) = _prove(level);
            list = string.concat(list, size == 1 ? "" : ",", "\n    {\"root\": \"", vm.toString(root));
            list = string.concat(list, "\", \"documents\": ", _hashes(documents), ", \"classes\": [", classes);
            list = string.concat(list, "], \"proofs\": [", proofs, "]}");
        }
    }

    /// @dev Root of a tree and the proof of each leaf, the siblings from the leaf up.
    function _prove(bytes32[] memory leaves) private pure returns (bytes32 root, string memory proofs) {
        for (uint256 i = 0; i < leaves.length; ++i) {
            bytes32[] memory level = leaves;
            string memory siblings;
            for (uint256 at_ = i; level.length > 1; at_ /= 2) {
                if ((at_ ^ 1) < level.length) {
                    siblings = string.concat(siblings, bytes(siblings).length == 0 ? "\"" : ", \"");
                    siblings = string.concat(siblings, vm.toString(level[at_ ^ 1]), "\"");
                }
                level = _up(level);
            }
            root = level[0];
            proofs = string.concat(proofs, i == 0 ? "[" : ", [", siblings, "]");
        }
    }

    function _up(bytes32[] memory level) private pure returns (bytes32[] memory next) {
        next = new bytes32[]((level.length + 1) / 2);
        for (uint256 i = 0; i < next.length; ++i) {
            next[i] = 2 * i + 1 < level.length ? _join(level[2 * i], level[2 * i + 1]) : level[2 * i];
        }
    }

    function _join(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    /// @dev Words small enough for every field: a byte for `phase`, four for the narrowest numbers; hashes are as good
    /// small as large.
    function _random(uint256 count) private returns (bytes memory encoded) {
        for (uint256 i = 0; i < count; ++i) {
            encoded = bytes.concat(encoded, bytes32(uint256(keccak256(abi.encode(++words))) >> 248));
        }
    }

    function _hashes(bytes32[] memory hashes) private pure returns (string memory list) {
        for (uint256 i = 0; i < hashes.length; ++i) {
            list = string.concat(list, i == 0 ? "\"" : ", \"", vm.toString(hashes[i]), "\"");
        }
        return string.concat("[", list, "]");
    }

    function _field(string memory name, string memory value) private pure returns (string memory) {
        return string.concat(",\n  \"", name, "\": \"", value, "\"");
    }
}
