// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {BlsVerifier} from "../src/BlsVerifier.sol";
import {CommitteeFees} from "../src/CommitteeFees.sol";
import {CommitteeRegistry} from "../src/CommitteeRegistry.sol";
import {DeviceRegistry} from "../src/DeviceRegistry.sol";
import {LeaseEscrow} from "../src/LeaseEscrow.sol";
import {OperatorStake} from "../src/OperatorStake.sol";
import {ReportHub} from "../src/ReportHub.sol";
import {Book, Deployed} from "./Book.sol";
import {Plan, PlanReader} from "./Plan.sol";

/// @title Deploys and wires the whole set, and gives it to a timelock
/// @notice forge script script/Deploy.s.sol --sig 'run(string,string)' CONFIG.toml BOOK.json --rpc-url URL --broadcast
/// then, to see that the chain holds what the book says: the same with --sig 'check(string)' BOOK.json and no --broadcast.
/// The deployer owns everything while it wires; in the end the timelock does, and the deployer has no role in it.
/// Leaves out: committees. Members register by themselves; governance then configures their term through the timelock.
contract Deploy is PlanReader, Book {
    /// @notice The chain does not hold what the book says.
    error Differs(string what);

    function run(string calldata config, string calldata book) external returns (Deployed memory d) {
        Plan memory p = _read(config);
        vm.startBroadcast();
        (, address deployer,) = vm.readCallers();
        for (uint256 i = 0; i < p.proposers.length; ++i) {
            if (p.proposers[i] == deployer) {
                revert BadConfig(".governance.proposers", "the deployer must keep no role");
            }
        }
        d = _create(p, deployer);
        _wire(p, d);
        _handOver(p, d, deployer);
        vm.stopBroadcast();
        _verify(d, p.delay, deployer);
        vm.writeFile(book, _json(d, deployer, p));
    }

    /// @notice Reverts with what differs; silent when the chain holds what the book says.
    function check(string calldata book) external view {
        string memory json = vm.readFile(book);
        if (vm.parseJsonUint(json, ".version") != 1) revert Differs("this script reads version 1 of the book");
        if (vm.parseJsonUint(json, ".chainId") != block.chainid) revert Differs("chainId is another chain's");
        Deployed memory d = _load(json);
        (string[6] memory names, address[6] memory where) = (_names(), _addressesOf(d));
        for (uint256 i = 0; i < 6; ++i) {
            string memory key = string.concat(".contracts.", names[i]);
            bytes32 code = vm.parseJsonBytes32(json, string.concat(key, ".code"));
            if (where[i].codehash != code) revert Differs(string.concat("code of ", names[i]));
            bytes32 abi_ = vm.parseJsonBytes32(json, string.concat(key, ".abi"));
            if (_abiHash(names[i]) != abi_) revert Differs(string.concat("ABI of ", names[i], " (another version?)"));
        }
        _verify(d, vm.parseJsonUint(json, ".governance.delaySeconds"), vm.parseJsonAddress(json, ".deployer"));
    }

    function _create(Plan memory p, address deployer) private returns (Deployed memory d) {
        address[] memory alone = new address[](1);
        alone[0] = deployer;
        d.timelock = address(new TimelockController(0, alone, alone, deployer));
        BlsVerifier verifier = new BlsVerifier(p.pairingGas);
        CommitteeRegistry registry = new CommitteeRegistry(deployer, verifier, p.snapshotLag);
        ReportHub hub = new ReportHub(deployer, registry, p.guardian, p.disputeWindow);
        DeviceRegistry devices = new DeviceRegistry(deployer, registry);
        LeaseEscrow escrow = new LeaseEscrow(deployer, hub, devices, p.oracleTimeout, p.grace);
        OperatorStake stake = new OperatorStake(
            deployer, IERC20(p.bondToken), registry, p.insurance, p.minimumStake, p.slashAmount, p.unbondingDelay
        );
        (d.verifier, d.registry, d.hub) = (address(verifier), address(registry), address(hub));
        (d.devices, d.escrow, d.stake) = (address(devices), address(escrow), address(stake));
    }

    function _wire(Plan memory p, Deployed memory d) private {
        CommitteeRegistry(d.registry).setStake(OperatorStake(d.stake));
        DeviceRegistry(d.devices).setEscrow(d.escrow);
        OperatorStake(d.stake).setHub(ReportHub(d.hub));
        LeaseEscrow escrow = LeaseEscrow(d.escrow);
        for (uint256 i = 0; i < p.tokens.length; ++i) {
            escrow.setToken(p.tokens[i], true, uint96(p.minFees[i]));
        }
        for (uint256 i = 0; i < p.committees.length; ++i) {
            uint64 committee = uint64(p.committees[i]);
            if (p.treasuries[i] == address(0)) {
                p.treasuries[i] = address(new CommitteeFees(CommitteeRegistry(d.registry), committee));
            }
            escrow.setCommittee(committee, p.treasuries[i], uint16(p.feeBps[i]));
            for (uint32 stream = 0; stream < p.streams[i]; ++stream) {
                ReportHub(d.hub).prepare(committee, stream);
            }
        }
    }

    /// @dev The timelock was made with no delay, so that it can accept the five contracts at once; the delay of the plan
    /// is the last thing it sets that way.
    function _handOver(Plan memory p, Deployed memory d, address deployer) private {
        TimelockController timelock = TimelockController(payable(d.timelock));
        address[5] memory owned = _owned(d);
        (address[] memory targets, uint256[] memory values, bytes[] memory calls) =
            (new address[](6), new uint256[](6), new bytes[](6));
        for (uint256 i = 0; i < 5; ++i) {
            Ownable2Step(owned[i]).transferOwnership(d.timelock);
            (targets[i], calls[i]) = (owned[i], abi.encodeCall(Ownable2Step.acceptOwnership, ()));
        }
        (targets[5], calls[5]) = (d.timelock, abi.encodeCall(TimelockController.updateDelay, (p.delay)));
        timelock.scheduleBatch(targets, values, calls, 0, 0, 0);
        timelock.executeBatch(targets, values, calls, 0, 0);
        for (uint256 i = 0; i < p.proposers.length; ++i) {
            timelock.grantRole(timelock.PROPOSER_ROLE(), p.proposers[i]);
            timelock.grantRole(timelock.CANCELLER_ROLE(), p.proposers[i]);
        }
        for (uint256 i = 0; i < p.executors.length; ++i) {
            timelock.grantRole(timelock.EXECUTOR_ROLE(), p.executors[i]);
        }
        bytes32[4] memory roles = _roles(timelock);
        for (uint256 i = 0; i < 4; ++i) {
            timelock.renounceRole(roles[i], deployer);
        }
    }

    /// @dev Who owns what and knows whom, by the contracts' own word.
    function _verify(Deployed memory d, uint256 delay, address deployer) private view {
        TimelockController timelock = TimelockController(payable(d.timelock));
        if (timelock.getMinDelay() != delay) revert Differs("delay of the timelock");
        bytes32[4] memory roles = _roles(timelock);
        for (uint256 i = 0; i < 4; ++i) {
            if (timelock.hasRole(roles[i], deployer)) revert Differs("the deployer still has a role in the timelock");
        }
        address[5] memory owned = _owned(d);
        for (uint256 i = 0; i < 5; ++i) {
            if (Ownable2Step(owned[i]).owner() != d.timelock) revert Differs("a contract is not the timelock's");
        }
        bool wired = address(ReportHub(d.hub).registry()) == d.registry
            && address(DeviceRegistry(d.devices).registry()) == d.registry
            && DeviceRegistry(d.devices).escrow() == d.escrow && address(LeaseEscrow(d.escrow).hub()) == d.hub
            && address(LeaseEscrow(d.escrow).devices()) == d.devices
            && address(OperatorStake(d.stake).registry()) == d.registry
            && address(CommitteeRegistry(d.registry).stake()) == d.stake
            && address(OperatorStake(d.stake).hub()) == d.hub;
        if (!wired) revert Differs("the contracts do not know each other");
    }

    function _owned(Deployed memory d) private pure returns (address[5] memory) {
        return [d.registry, d.hub, d.devices, d.escrow, d.stake];
    }

    /// @dev Administration last: it gives the others.
    function _roles(TimelockController timelock) private view returns (bytes32[4] memory) {
        return
            [
                timelock.PROPOSER_ROLE(),
                timelock.CANCELLER_ROLE(),
                timelock.EXECUTOR_ROLE(),
                timelock.DEFAULT_ADMIN_ROLE()
            ];
    }
}
