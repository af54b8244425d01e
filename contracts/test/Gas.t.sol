// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {OperatorStake} from "../src/OperatorStake.sol";
import {Header, Leaf, MemberStatement} from "../src/Types.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {Typed} from "../src/libraries/Typed.sol";
import {BlsSigner} from "./support/BlsSigner.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice What calls cost as transactions of their own (cold state), against the bars of README.md. Run with -vv to
/// see the figures.
contract GasTest is LeaseWorld {
    /// @notice Two maps, one addition and a pairing of two: what the precompiles alone cost (EIP-2537).
    uint256 private constant FLOOR = 114_275;
    uint256 private constant POST_BAR = 190_000;

    event log_named_uint(string what, uint256 gas);

    function setUp() public {
        _deployLeases();
    }

    /// @notice Execution of the check itself, key and signature in memory.
    function test_gas_verify() public {
        (bytes memory key, bytes32 digest) = (BlsSigner.publicKey(SECRET), keccak256("message"));
        bytes memory signature = BlsSigner.sign(SECRET, digest);
        uint256 before = gasleft();
        bool good = Bls.verify(key, digest, signature, Bls.PAIRING_GAS);
        uint256 used = before - gasleft();
        yes(good, "good");
        emit log_named_uint("verify, execution", used);
        yes(used * 100 <= FLOOR * 110, "at most 1.10 of the precompile floor");
    }

    /// forge-config: default.isolate = true
    function test_gas_post() public {
        hub.prepare(COMMITTEE, STREAM);
        emit log_named_uint("prepare a stream, once", vm.lastCallGas().gasTotalUsed);
        uint256 worst = 0;
        for (uint64 epoch = 0; epoch < 66; ++epoch) {
            uint256 used = _postGas(epoch);
            worst = used > worst ? used : worst;
        }
        emit log_named_uint("post, dearest of 66", worst);
        yes(worst <= POST_BAR, "post bar, first report and full ring alike");
    }

    /// @notice Nobody has to prepare a stream; then the fresh slots are paid one by one.
    /// forge-config: default.isolate = true
    function test_gas_postUnprepared() public {
        uint256 first = _postGas(0);
        uint256 second = _postGas(1);
        emit log_named_uint("post, first of an unprepared stream", first);
        emit log_named_uint("post, while its ring fills", second);
        yes(second <= POST_BAR + 2 * 17_100 && first <= POST_BAR + 3 * 17_100, "17,100 gas for each fresh slot");
    }

    /// forge-config: default.isolate = true
    function test_gas_slash() public {
        OperatorStake stake = new OperatorStake(address(this), dollar, registry, TREASURY, 1_000, 400, 1_000);
        dollar.mint(_member(0), 1_000);
        vm.prank(_member(0));
        dollar.approve(address(stake), 1_000);
        vm.prank(_member(0));
        stake.bond(1_000);
        MemberStatement memory a = MemberStatement(keccak256("instance"), 3, 1, keccak256("one"));
        MemberStatement memory b = MemberStatement(keccak256("instance"), 3, 1, keccak256("two"));
        (bytes memory x, bytes memory y) = (_stated(a), _stated(b));
        stake.slash(COMMITTEE, TERM, a, x, b, y);
        emit log_named_uint("slash", vm.lastCallGas().gasTotalUsed);
        yes(vm.lastCallGas().gasTotalUsed <= 75_000, "slash bar");
    }

    function _stated(MemberStatement memory s) private view returns (bytes memory) {
        return _ecdsa(MEMBER_KEY, registry.hashTyped(keccak256(abi.encode(Typed.MEMBER_STATEMENT, s))));
    }

    /// forge-config: default.isolate = true
    function test_gas_claim() public {
        uint64 lease = _open();
        emit log_named_uint("open", vm.lastCallGas().gasTotalUsed);
        uint64 start = escrow.leaseInfo(lease).start;
        uint256 first = _claimGas(lease, _leaf(lease, 50, start + 60), 0);
        uint256 next = _claimGas(lease, _leaf(lease, 100, start + 120), 3);
        Leaf memory leaf = _leaf(lease, 150, start + 180);
        leaf.creditSeconds = 10;
        uint256 withCredit = _claimGas(lease, leaf, 6);
        emit log_named_uint("claim 1 of 1024, first", first);
        emit log_named_uint("claim 1 of 1024, next", next);
        emit log_named_uint("claim 1 of 1024, with credit", withCredit);
        yes(next <= 61_000, "claim bar");
    }

    function _postGas(uint64 epoch) private returns (uint256) {
        Header memory h = _header(epoch, keccak256(abi.encode(epoch)));
        (h.observationsHash, h.previousHeader) = (keccak256("s"), keccak256("p"));
        (h.snapshotHash, h.snapshotBlock) = (keccak256("b"), 12_345_678);
        bytes memory certificate = _certify(h, SECRET);
        if (block.timestamp < h.periodEnd) vm.warp(h.periodEnd);
        hub.post(h, certificate);
        return vm.lastCallGas().gasTotalUsed;
    }

    function _claimGas(uint64 lease, Leaf memory leaf, uint64 epoch) private returns (uint256) {
        bytes32 root = _hashLeaf(leaf);
        bytes32[] memory proof = new bytes32[](10);
        for (uint256 i = 0; i < 10; ++i) {
            proof[i] = keccak256(abi.encode(leaf.units, i));
            root = root < proof[i] ? keccak256(abi.encode(root, proof[i])) : keccak256(abi.encode(proof[i], root));
        }
        _postActive(epoch, root);
        escrow.claim(lease, epoch, leaf, proof);
        return vm.lastCallGas().gasTotalUsed;
    }
}
