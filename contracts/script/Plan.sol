// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Scripted} from "./ScriptVm.sol";

/// @notice What to deploy: the numbers of script/deploy.example.toml. Times in seconds, amounts in base units.
struct Plan {
    uint256 chainId;
    uint256 delay;
    address[] proposers;
    address[] executors;
    uint256 pairingGas;
    uint64 snapshotLag;
    address guardian;
    uint64 disputeWindow;
    uint64 oracleTimeout;
    uint64 grace;
    address bondToken;
    address insurance;
    uint256 minimumStake;
    uint256 slashAmount;
    uint64 unbondingDelay;
    address[] tokens;
    uint256[] minFees;
    uint256[] committees;
    address[] treasuries;
    uint256[] feeBps;
    uint256[] streams;
}

/// @title Reads a plan
/// @notice From TOML, every key required, with a sentence for what is wrong. Leaves out: deploying.
abstract contract PlanReader is Scripted {
    /// @notice `key` of the configuration file is not usable as it stands.
    error BadConfig(string key, string why);

    function _read(string memory path) internal view returns (Plan memory p) {
        string memory toml = vm.readFile(path);
        p.chainId = _uint(toml, ".chain_id", type(uint64).max);
        p.delay = _uint(toml, ".governance.delay", 365 days);
        p.proposers = _addresses(toml, ".governance.proposers");
        p.executors = _addresses(toml, ".governance.executors");
        p.pairingGas = _uint(toml, ".verifier.pairing_gas", 16_777_216);
        p.snapshotLag = uint64(_uint(toml, ".registry.snapshot_lag", 365 days));
        p.guardian = _address(toml, ".hub.guardian");
        p.disputeWindow = uint64(_uint(toml, ".hub.dispute_window", 365 days));
        p.oracleTimeout = uint64(_uint(toml, ".escrow.oracle_timeout", 3_650 days));
        p.grace = uint64(_uint(toml, ".escrow.grace", 365 days));
        p.bondToken = _address(toml, ".stake.token");
        p.insurance = _address(toml, ".stake.insurance");
        p.minimumStake = _uint(toml, ".stake.minimum", type(uint128).max);
        p.slashAmount = _uint(toml, ".stake.slash", type(uint128).max);
        p.unbondingDelay = uint64(_uint(toml, ".stake.unbonding_delay", 3_650 days));
        p.tokens = _addresses(toml, ".leases.tokens");
        p.minFees = _uints(toml, ".leases.min_fees", type(uint96).max);
        p.committees = _uints(toml, ".leases.committees", type(uint64).max);
        p.treasuries = _addresses(toml, ".leases.treasuries");
        p.feeBps = _uints(toml, ".leases.fee_bps", 2_000);
        p.streams = _uints(toml, ".leases.streams", 64);
        _check(p);
    }

    /// @dev What no contract refuses by itself, or refuses without saying which number is wrong.
    function _check(Plan memory p) private view {
        if (p.chainId != block.chainid) revert BadConfig(".chain_id", "is not the chain that --rpc-url answers for");
        if (p.proposers.length == 0) revert BadConfig(".governance.proposers", "nobody could ever propose anything");
        if (p.executors.length == 0) {
            revert BadConfig(".governance.executors", "name one, or the zero address for all");
        }
        if (p.disputeWindow + p.grace >= p.oracleTimeout) {
            revert BadConfig(".escrow.oracle_timeout", "must be longer than dispute_window and grace together");
        }
        if (p.unbondingDelay <= p.disputeWindow) {
            revert BadConfig(".stake.unbonding_delay", "must be longer than dispute_window, or faults go unpunished");
        }
        if (p.slashAmount > p.minimumStake) {
            revert BadConfig(".stake.slash", "is more than the bond that it comes from");
        }
        if (p.bondToken.code.length == 0) revert BadConfig(".stake.token", "is not a contract on this chain");
        if (p.tokens.length != p.minFees.length) revert BadConfig(".leases.min_fees", "needs one entry per token");
        if (p.committees.length != p.treasuries.length || p.committees.length != p.feeBps.length) {
            revert BadConfig(".leases.committees", "treasuries and fee_bps need one entry per committee");
        }
        if (p.committees.length != p.streams.length) {
            revert BadConfig(".leases.streams", "needs one entry per committee");
        }
        for (uint256 i = 0; i < p.tokens.length; ++i) {
            if (p.tokens[i].code.length == 0) {
                revert BadConfig(".leases.tokens", "holds an address without a contract");
            }
        }
    }

    function _uint(string memory toml, string memory key, uint256 most) private view returns (uint256 value) {
        _need(toml, key);
        value = vm.parseTomlUint(toml, key);
        if (value > most) revert BadConfig(key, "is out of range");
    }

    function _address(string memory toml, string memory key) private view returns (address value) {
        _need(toml, key);
        value = vm.parseTomlAddress(toml, key);
        if (value == address(0)) revert BadConfig(key, "is the zero address");
    }

    function _uints(string memory toml, string memory key, uint256 most) private view returns (uint256[] memory list) {
        _need(toml, key);
        list = vm.parseTomlUintArray(toml, key);
        for (uint256 i = 0; i < list.length; ++i) {
            if (list[i] > most) revert BadConfig(key, "holds a number out of range");
        }
    }

    function _addresses(string memory toml, string memory key) private view returns (address[] memory) {
        _need(toml, key);
        return vm.parseTomlAddressArray(toml, key);
    }

    function _need(string memory toml, string memory key) private view {
        if (!vm.keyExistsToml(toml, key)) revert BadConfig(key, "is missing");
    }
}
