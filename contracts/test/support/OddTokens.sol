// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {LeaseEscrow} from "../../src/LeaseEscrow.sol";

/// @notice Keeps one per cent of every transfer.
contract FeeToken is ERC20("Fee", "FEE") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(0xFEE), value / 100);
    }
}

/// @notice Refuses transfers to one account, like a stablecoin with a blacklist.
contract BlockingToken is ERC20("Blocking", "BLK") {
    address public blocked;

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function block_(address account) external {
        blocked = account;
    }

    function _update(address from, address to, uint256 value) internal override {
        require(to != blocked, "blocked");
        super._update(from, to, value);
    }
}

/// @notice Calls back into the escrow while it pays out.
contract ReenteringToken is ERC20("Reentering", "RE") {
    LeaseEscrow public escrow;
    bool public reentered;

    function arm(LeaseEscrow escrow_) external {
        escrow = escrow_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (address(escrow) == address(0) || from != address(escrow)) return;
        try escrow.withdraw(address(this)) {
            reentered = true;
        } catch {}
        try escrow.closeAfterTimeout(1) {
            reentered = true;
        } catch {}
    }
}

/// @notice A smart account (ERC-1271) that accepts one digest until it changes its mind.
contract SmartAccount {
    bytes32 public accepted;

    function accept(bytes32 digest) external {
        accepted = digest;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        return digest == accepted ? this.isValidSignature.selector : bytes4(0xffffffff);
    }

    function call(address target, bytes calldata data) external returns (bytes memory) {
        (bool ok, bytes memory result) = target.call(data);
        require(ok, "call failed");
        return result;
    }
}
