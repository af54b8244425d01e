// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Header, Leaf} from "../src/Types.sol";
import {Bls} from "../src/libraries/Bls.sol";
import {BlsSigner} from "./support/BlsSigner.sol";
import {LeaseWorld} from "./support/LeaseWorld.sol";

/// @notice What calls cost as transactions of their own (cold state), against the bars of README.md. Run with -vv to
/// see the figures.
contract GasTest is LeaseWorld {
    /// @notice Two maps, one addition and a pairing of two: what the precompiles alone cost (EIP-2537).
    uint256 private constant FLOOR = 114_275;

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
        uint256 first = _postGas(0);
        uint256 second = _postGas(1);
        for (uint64 epoch = 2; epoch < 64; ++epoch) {
            _post(epoch, keccak256(abi.encode(epoch)));
        }
        vm.warp(block.timestamp + WINDOW);
        uint256 steady = _postGas(64);
        emit log_named_uint("post, first of a stream", first);
        emit log_named_uint("post, while the ring fills", second);
        emit log_named_uint("post, ring full", steady);
        yes(steady <= 190_000, "post bar");
        yes(second <= 225_000 && first <= 242_000, "post while the ring fills");
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
        yes(next <= 60_000, "claim bar");
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
