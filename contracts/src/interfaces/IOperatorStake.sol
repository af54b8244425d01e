// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity ^0.8.24;

import {IStakeSource} from "./IStakeSource.sol";
import {Header, MemberStatement} from "../Types.sol";
import {Config} from "../libraries/TermConfig.sol";

/// @title Bonds of operators
/// @notice Slashed for one thing only: two statements of one member that must not both exist.
interface IOperatorStake is IStakeSource {
    event Bonded(address indexed operator, uint256 amount);
    event UnbondingStarted(address indexed operator, uint256 amount, uint64 availableAt);
    event Unbonded(address indexed operator, uint256 amount);
    /// @notice A fault proof was accepted; `amount` = `reward` + what went to the insurance.
    event Slashed(
        address indexed operator, bytes32 indexed instance, uint8 phase, uint32 view_, uint256 amount, uint256 reward
    );
    /// @notice What a fault cost was booked, to be withdrawn.
    event SharedOut(bytes32 indexed fault, address reporter, uint256 reward, address insurance, uint256 insured);
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice Absent in `absent` of `headers` consecutive reports: no seat until `until` (unix seconds).
    event Jailed(
        address indexed operator, uint64 indexed committee, uint32 stream, uint256 absent, uint256 headers, uint64 until
    );
    event Released(address indexed operator);

    error TooFewHeaders(uint256 headers);
    error WrongConfig();
    error NotCertified(uint64 epoch);
    error NotAbsent(uint256 absent, uint256 headers);
    error AlreadyCounted(uint64 countFrom);
    error WrongAmount(uint256 received, uint256 expected);
    error BelowMinimum(uint256 left, uint256 minimum);
    error StakeTooLow(uint256 asked, uint256 bonded);
    error StillUnbonding(uint64 availableAt);
    error NothingToWithdraw();
    error NotAFault();
    error SignersDiffer();
    error NotAMember(address signer);
    error FaultUsed(bytes32 fault);
    error BadSettings();

    /// @notice Adds to msg.sender's bond.
    function bond(uint256 amount) external;

    /// @notice Starts to take out part of the bond; it stays slashable until it is withdrawn. A second call restarts
    /// the delay for the whole leaving amount.
    function unbond(uint256 amount) external;

    /// @notice Pays out what has finished unbonding.
    function withdrawUnbonded() external returns (uint256 amount);

    /// @notice Slashes the member of (committee, term) that signed both statements: same instance, phase and view,
    /// different values. Each fault counts once. The caller earns a part.
    function slash(
        uint64 committee,
        uint64 term,
        MemberStatement calldata a,
        bytes calldata signatureA,
        MemberStatement calldata b,
        bytes calldata signatureB
    ) external returns (uint256 amount);

    /// @notice Jails a member that was absent from more than half of at least 64 consecutive reports of one stream and
    /// term. Costs no money: until `jailedUntil` its bond counts as zero for the registry, so that it gets no new seat.
    /// Anyone may call. An epoch counts once.
    /// @param config What the term's config digest binds; proves the member's index.
    /// @param headers Consecutive headers, oldest first, the last one the stream's last post.
    function jail(Config calldata config, uint256 index, Header[] calldata headers) external;

    /// @notice Until when an operator is jailed (unix seconds); zero = never was.
    function jailedUntil(address operator) external view returns (uint64);

    /// @notice Books what a fault cost: the reward to whoever brought its proof, the rest to the insurance. Anyone may call.
    /// @param fault keccak256(abi.encode(operator, instance, phase, view)), all in the Slashed event.
    function shareOut(bytes32 fault) external;

    /// @notice Pays an account its booked rewards, or the insurance its share. Anyone may call.
    function withdrawRewards(address account) external returns (uint256 amount);

    /// @notice Leaving, still slashable amount of an operator and when it is free.
    function unbonding(address operator) external view returns (uint256 amount, uint64 availableAt);
}
