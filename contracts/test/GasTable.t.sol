// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {OperatorStake} from "../src/OperatorStake.sol";
import {ILeaseEscrow} from "../src/interfaces/ILeaseEscrow.sol";
import {IReportHub} from "../src/interfaces/IReportHub.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {Header, Leaf, MemberStatement} from "../src/Types.sol";
import {BlsSigner} from "./support/BlsSigner.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice Calls another contract in a transaction of its own and says what that took, the cold account included.
contract GasProbe {
    function ask(address target, bytes memory data) external returns (uint256 used) {
        uint256 before = gasleft();
        // Not a view function here: isolation makes a transaction of calls only.
        (bool ok,) = target.call(data);
        used = before - gasleft();
        require(ok, "the call failed");
    }
}

/// @notice The committed figures (snapshots/*.json): what each call costs as a transaction of its own, and of what it is
/// made. Any change of a figure fails `forge test --gas-snapshot-check=true` until gas.sh wrote it anew. Bars: Gas.t.sol.
contract GasTableTest is LeaseWorld {
    OperatorStake private stake;
    GasProbe private probe;
    uint64 private epoch;

    function setUp() public {
        _deployLeases();
        stake = new OperatorStake(address(this), dollar, registry, TREASURY, 1_000, 400, 1_000);
        probe = new GasProbe();
        address member = _member(0);
        dollar.mint(member, 10_000);
        vm.prank(member);
        dollar.approve(address(stake), type(uint256).max);
        vm.prank(member);
        stake.bond(5_000);
    }

    /// forge-config: default.isolate = true
    function test_table_post() public {
        Header memory h = _sample(0);
        bytes memory certificate = _certify(h, SECRET);
        hub.post(h, certificate);
        _call("post on an unprepared stream, first");
        for (epoch = 1; epoch < 64; ++epoch) {
            h = _sample(epoch);
            certificate = _certify(h, SECRET);
            hub.post(h, certificate);
            if (epoch == 1) _call("post on an unprepared stream, while the ring fills");
        }
        vm.warp(block.timestamp + WINDOW);
        h = _sample(64);
        certificate = _certify(h, SECRET);
        hub.post(h, certificate);
        uint256 whole = vm.lastCallGas().gasTotalUsed;
        _note("calls", "post on an unprepared stream, ring full", whole);
        _postParts(h, certificate, whole);
    }

    /// @notice What the deploy script does for its streams, and what every post costs from then on: the dearest of 66.
    /// forge-config: default.isolate = true
    function test_table_postPrepared() public {
        hub.prepare(COMMITTEE, STREAM);
        _call("prepare a stream, once");
        uint256 worst = 0;
        for (epoch = 0; epoch < 66; ++epoch) {
            Header memory h = _sample(epoch);
            bytes memory certificate = _certify(h, SECRET);
            hub.post(h, certificate);
            uint256 used = vm.lastCallGas().gasTotalUsed;
            worst = used > worst ? used : worst;
        }
        _note("calls", "post on a prepared stream, dearest of 66", worst);
    }

    /// @dev Intrinsic and calldata follow from the bytes; the check and the registry's part are measured; the hub's own is
    /// the rest.
    function _postParts(Header memory h, bytes memory certificate, uint256 whole) private {
        uint256 data = _dataGas(abi.encodeCall(IReportHub.post, (h, certificate)));
        uint256 verify = this.verifyGas();
        uint256 viewed = probe.ask(address(registry), abi.encodeCall(registry.verifyReport, (h, certificate)));
        _note("post", "1 intrinsic", 21_000);
        _note("post", "2 calldata", data);
        _note("post", "3 BLS check", verify);
        _note("post", "4 registry: term, digest, key from code", viewed - verify);
        _note("post", "5 hub: ring entry, stream slot, event, second call", whole - 21_000 - data - viewed);
        string[16] memory names = [
            "committee",
            "term",
            "configDigest",
            "stream",
            "epoch",
            "periodStart",
            "periodEnd",
            "snapshotBlock",
            "snapshotHash",
            "leafCount",
            "leavesRoot",
            "stateRoot",
            "observationsHash",
            "policyHash",
            "previousHeader",
            "participation"
        ];
        bytes memory words = abi.encode(h);
        for (uint256 i = 0; i < 16; ++i) {
            _note("header", string.concat(_two(i + 1), " ", names[i]), _wordGas(words, i));
        }
    }

    /// forge-config: default.isolate = true
    function test_table_claim() public {
        uint64 lease = _open();
        _call("open (new nonce, stream and device slots)");
        uint64 start = escrow.leaseInfo(lease).start;
        _claimOf(lease, 50, start + 60, 0, "claim, 1 leaf of 1,024, first of a lease");
        (Leaf memory leaf, bytes32[] memory proof) =
            _claimOf(lease, 100, start + 120, 0, "claim, 1 leaf of 1,024, pay only");
        _claimParts(lease, leaf, proof);
        _claimOf(lease, 150, start + 180, 10, "claim with credit");
        escrow.collect(lease);
        _call("collect, first of an account");
        vm.prank(PAYEE);
        escrow.withdraw(address(dollar));
        _call("withdraw");
        (leaf, proof) = _proven(lease, 500, start + LENGTH, 10, _finalEpoch(start + LENGTH));
        escrow.close(lease, epoch, leaf, proof);
        _call("close with the final leaf");
    }

    function _claimParts(uint64 lease, Leaf memory leaf, bytes32[] memory proof) private {
        uint256 whole = vm.lastCallGas().gasTotalUsed;
        uint256 data = _dataGas(abi.encodeCall(escrow.claim, (lease, epoch, leaf, proof)));
        uint256 root = probe.ask(address(hub), abi.encodeCall(hub.activeRoot, (COMMITTEE, STREAM, epoch)));
        _note("claim", "1 intrinsic", 21_000);
        _note("claim", "2 calldata (of it the proof of ten nodes: 5,120 when no byte is zero)", data);
        _note("claim", "3 the hub's root", root);
        _note("claim", "4 proof, four lease slots, one of them written, event, cold call", whole - 21_000 - data - root);
        string[10] memory names = [
            "escrow",
            "lease",
            "units",
            "goodSeconds",
            "badSeconds",
            "creditSeconds",
            "adjustment",
            "through",
            "evidenceRoot",
            "policyHash"
        ];
        bytes memory words = abi.encode(leaf);
        for (uint256 i = 0; i < 10; ++i) {
            _note("leaf", string.concat(_two(i + 1), " ", names[i]), _wordGas(words, i));
        }
    }

    /// forge-config: default.isolate = true
    function test_table_batch() public {
        uint256 size = 16;
        ILeaseEscrow.ClaimItem[] memory items = new ILeaseEscrow.ClaimItem[](size);
        for (uint256 i = 0; i < size; ++i) {
            tokenId = _device(lessor, DEVICE_KEY + 1 + i, 1);
            items[i].lease = _open();
        }
        uint64 start = escrow.leaseInfo(items[0].lease).start;
        for (uint64 round = 1; round <= 2; ++round) {
            _batch(items, 40 * round, start + 60 * round);
            escrow.claimBatch(items);
        }
        _note("calls", "claimBatch of 16 leaves of 1,024, for each", vm.lastCallGas().gasTotalUsed / size);
    }

    /// forge-config: default.isolate = true
    function test_table_slash() public {
        _slash(1);
        _call("slash, first fault that a reporter brings");
        _slash(2);
        _call("slash, later ones");
    }

    function test_table_verify() public {
        _note("calls", "BLS check, execution", this.verifyGas());
    }

    function _slash(uint32 view_) private {
        MemberStatement memory a = MemberStatement(keccak256("instance"), 3, view_, keccak256("x"));
        MemberStatement memory b = MemberStatement(keccak256("instance"), 3, view_, keccak256("y"));
        bytes32 typeHash = Typed.MEMBER_STATEMENT;
        bytes memory x = _ecdsa(MEMBER_KEY, registry.hashTyped(keccak256(abi.encode(typeHash, a))));
        bytes memory y = _ecdsa(MEMBER_KEY, registry.hashTyped(keccak256(abi.encode(typeHash, b))));
        stake.slash(COMMITTEE, TERM, a, x, b, y);
    }

    /// @notice Execution of the check itself, key and signature in memory. External, so that it starts with little memory.
    function verifyGas() external view returns (uint256) {
        (bytes memory key, bytes32 digest) = (BlsSigner.publicKey(SECRET), keccak256("message"));
        bytes memory signature = BlsSigner.sign(SECRET, digest);
        uint256 before = gasleft();
        bool good = Bls.verify(key, digest, signature, Bls.PAIRING_GAS);
        uint256 used = before - gasleft();
        yes(good, "good");
        return used;
    }

    /// @dev A header in which no field is empty, at a time when it may be posted.
    function _sample(uint64 e) private returns (Header memory h) {
        h = _header(e, keccak256(abi.encode(e)));
        (h.observationsHash, h.previousHeader) = (keccak256("s"), keccak256("p"));
        (h.snapshotHash, h.snapshotBlock, h.leafCount) = (keccak256("b"), 12_345_678, 1_024);
        if (block.timestamp < h.periodEnd) vm.warp(h.periodEnd);
    }

    function _claimOf(uint64 lease, uint128 units, uint64 through, uint64 creditSeconds, string memory name)
        private
        returns (Leaf memory leaf, bytes32[] memory proof)
    {
        (leaf, proof) = _proven(lease, units, through, creditSeconds, epoch + 1);
        escrow.claim(lease, epoch, leaf, proof);
        _call(name);
    }

    /// @dev A leaf under an active root, ten levels down.
    function _proven(uint64 lease, uint128 units, uint64 through, uint64 creditSeconds, uint64 e)
        private
        returns (Leaf memory leaf, bytes32[] memory proof)
    {
        leaf = _leaf(lease, units, through);
        leaf.creditSeconds = creditSeconds;
        bytes32 root = _hashLeaf(leaf);
        proof = new bytes32[](10);
        for (uint256 i = 0; i < 10; ++i) {
            proof[i] = keccak256(abi.encode(units, i));
            root = _join(root, proof[i]);
        }
        _postActive(epoch = e, root);
    }

    /// @dev Sixteen leaves in one tree of 1,024: four levels among themselves, six of strangers above.
    function _batch(ILeaseEscrow.ClaimItem[] memory items, uint128 units, uint64 through) private {
        bytes32[] memory level = new bytes32[](items.length);
        for (uint256 i = 0; i < items.length; ++i) {
            (items[i].leaf, items[i].proof) = (_leaf(items[i].lease, units, through), new bytes32[](10));
            level[i] = _hashLeaf(items[i].leaf);
        }
        for (uint256 depth = 0; depth < 4; ++depth) {
            for (uint256 i = 0; i < items.length; ++i) {
                items[i].proof[depth] = level[(i >> depth) ^ 1];
            }
            for (uint256 i = 0; 2 * i < level.length >> depth; ++i) {
                level[i] = _join(level[2 * i], level[2 * i + 1]);
            }
        }
        bytes32 root = level[0];
        for (uint256 depth = 4; depth < 10; ++depth) {
            bytes32 sibling = keccak256(abi.encode(units, depth));
            root = _join(root, sibling);
            for (uint256 i = 0; i < items.length; ++i) {
                items[i].proof[depth] = sibling;
            }
        }
        _postActive(++epoch, root);
        for (uint256 i = 0; i < items.length; ++i) {
            items[i].epoch = epoch;
        }
    }

    function _join(bytes32 a, bytes32 b) private pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    function _call(string memory name) private {
        _note("calls", name, vm.lastCallGas().gasTotalUsed);
    }

    function _note(string memory group, string memory name, uint256 gas) private {
        vm.snapshotValue(group, name, gas);
    }

    /// @dev EIP-2028: 16 gas a byte, 4 where it is zero.
    function _dataGas(bytes memory data) private pure returns (uint256 gas) {
        for (uint256 i = 0; i < data.length; ++i) {
            gas += data[i] == 0 ? 4 : 16;
        }
    }

    /// @dev Calldata of one word, and 9 gas to copy and hash it.
    function _wordGas(bytes memory words, uint256 index) private pure returns (uint256 gas) {
        gas = 9;
        for (uint256 i = 32 * index; i < 32 * index + 32; ++i) {
            gas += words[i] == 0 ? 4 : 16;
        }
    }

    function _two(uint256 n) private pure returns (string memory) {
        return n < 10 ? string.concat("0", vm.toString(n)) : vm.toString(n);
    }
}
