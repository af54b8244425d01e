// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Plan} from "./Plan.sol";
import {Scripted} from "./ScriptVm.sol";

/// @notice The deployed set, in the order of deployment.
struct Deployed {
    address timelock;
    address verifier;
    address registry;
    address hub;
    address devices;
    address escrow;
    address stake;
}

/// @title The address book: one JSON file per deployment
/// @notice Read by the Rust SDK (`sdk::addresses`), by nodes and by whoever integrates. For each contract its address, the
/// Keccak-256 of its ABI as `abi/<Contract>.json` has it, and the hash of its code on the chain.
abstract contract Book is Scripted {
    function _names() internal pure returns (string[6] memory) {
        return ["BlsVerifier", "CommitteeRegistry", "ReportHub", "DeviceRegistry", "LeaseEscrow", "OperatorStake"];
    }

    function _addressesOf(Deployed memory d) internal pure returns (address[6] memory) {
        return [d.verifier, d.registry, d.hub, d.devices, d.escrow, d.stake];
    }

    /// @dev `block` comes before every event of the set.
    function _json(Deployed memory d, address deployer, Plan memory p) internal view returns (string memory json) {
        (string[6] memory names, address[6] memory where) = (_names(), _addressesOf(d));
        string memory list;
        for (uint256 i = 0; i < 6; ++i) {
            list = string.concat(list, i == 0 ? "\n" : ",\n", "    ", _entry(names[i], where[i]));
        }
        json = string.concat(
            "{\n  \"version\": 1,\n  \"chainId\": ",
            vm.toString(block.chainid),
            ",\n  \"block\": ",
            vm.toString(block.number),
            ",\n  \"deployer\": \"",
            vm.toString(deployer),
            "\",\n  \"governance\": {\"timelock\": \"",
            vm.toString(d.timelock),
            "\", \"delaySeconds\": ",
            vm.toString(p.delay)
        );
        json = string.concat(
            json, "},\n  \"contracts\": {", list, "\n  },\n  \"committees\": [", _committees(p), "]\n}\n"
        );
    }

    /// @dev Where each committee's fees go: the plan's treasury, or the CommitteeFees that was made for it.
    function _committees(Plan memory p) private pure returns (string memory list) {
        for (uint256 i = 0; i < p.committees.length; ++i) {
            list = string.concat(
                list,
                i == 0 ? "" : ", ",
                "{\"committee\": ",
                vm.toString(p.committees[i]),
                ", \"treasury\": \"",
                vm.toString(p.treasuries[i]),
                "\"}"
            );
        }
    }

    function _entry(string memory name, address where) private view returns (string memory) {
        return string.concat(
            "\"",
            name,
            "\": {\"address\": \"",
            vm.toString(where),
            "\", \"abi\": \"",
            vm.toString(_abiHash(name)),
            "\", \"code\": \"",
            vm.toString(where.codehash),
            "\"}"
        );
    }

    /// @dev abi/<name>.json is `{"abi":<ABI>,"bytecode":…}` on one line: the hash is over the text of the ABI.
    function _abiHash(string memory name) internal view returns (bytes32) {
        string memory text = vm.readFile(string.concat("abi/", name, ".json"));
        string[] memory parts = vm.split(text, ",\"bytecode\":");
        string[] memory opened = vm.split(parts[0], "{\"abi\":");
        require(parts.length == 2 && opened.length == 2, "abi/*.json is not as abi.sh writes it");
        return keccak256(bytes(opened[1]));
    }

    function _load(string memory json) internal pure returns (Deployed memory d) {
        d.timelock = vm.parseJsonAddress(json, ".governance.timelock");
        d.verifier = _at(json, "BlsVerifier");
        d.registry = _at(json, "CommitteeRegistry");
        d.hub = _at(json, "ReportHub");
        d.devices = _at(json, "DeviceRegistry");
        d.escrow = _at(json, "LeaseEscrow");
        d.stake = _at(json, "OperatorStake");
    }

    function _at(string memory json, string memory name) private pure returns (address) {
        return vm.parseJsonAddress(json, string.concat(".contracts.", name, ".address"));
    }
}
