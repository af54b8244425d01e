// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";

/// @title CommitteeFees
/// @notice One committee's treasury: name it in `LeaseEscrow.setCommittee`. What arrives is shared out equally among the
/// members of the term in force when someone calls `distribute`; each member takes its part when it likes.
/// Leaves out: shares by participation, since the leader of a view chooses the bitmap; absence costs the seat
/// (`OperatorStake.jail`), not the fee.
/// @dev Exact: a share is rounded down and the rest waits for the next distribution, so that all shares together never
/// exceed what arrived. Members of an ending term call `LeaseEscrow.collect`, `withdrawFees` and `distribute` before the
/// hand-over; anyone may. Plain ERC-20 only. No owner, no proxy, no upgrade.
contract CommitteeFees is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice `share` base units were added for each of the term's `members`.
    event Distributed(uint64 indexed term, address indexed token, uint256 share, uint256 members);
    event Withdrawn(uint64 indexed term, address indexed token, address indexed member, address to, uint256 amount);

    error NothingToDistribute();
    error NothingToWithdraw();
    error NotAMember(uint64 term, address account);

    ICommitteeRegistry public immutable registry;
    uint64 public immutable committee;

    /// @notice What each member of a term has earned here so far, in base units.
    mapping(uint64 term => mapping(IERC20 token => uint256)) public perMember;
    /// @notice What a member has taken of that.
    mapping(uint64 term => mapping(IERC20 token => mapping(address member => uint256))) public taken;
    /// @notice Shared out and not yet taken.
    mapping(IERC20 token => uint256) public owed;

    constructor(ICommitteeRegistry registry_, uint64 committee_) {
        (registry, committee) = (registry_, committee_);
    }

    /// @notice Shares out what has arrived in `token` and belongs to nobody yet. Anyone may call.
    /// @return share Base units for each member.
    function distribute(IERC20 token) external nonReentrant returns (uint256 share) {
        uint64 term = termNow();
        uint256 members = registry.termInfo(committee, term).members;
        uint256 fresh = token.balanceOf(address(this)) - owed[token];
        if (fresh < members) revert NothingToDistribute();
        share = fresh / members;
        perMember[term][token] += share;
        // A remainder, not a random number.
        // slither-disable-next-line weak-prng
        owed[token] += fresh - fresh % members;
        emit Distributed(term, address(token), share, members);
    }

    /// @notice Pays msg.sender, a member of `term`, what it has not taken yet, to an account of its choice.
    function withdraw(uint64 term, IERC20 token, address to) external nonReentrant returns (uint256 amount) {
        amount = earned(term, token, msg.sender);
        if (amount == 0) revert NothingToWithdraw();
        taken[term][token][msg.sender] += amount;
        owed[token] -= amount;
        emit Withdrawn(term, address(token), msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    /// @notice What `member` may withdraw for its seat in `term`; reverts for others.
    function earned(uint64 term, IERC20 token, address member) public view returns (uint256) {
        if (!registry.isMember(committee, term, member)) revert NotAMember(term, member);
        return perMember[term][token] - taken[term][token][member];
    }

    /// @notice The term in force by the clock; before the first epoch, the first.
    function termNow() public view returns (uint64 term) {
        (uint64 genesis, uint64 next) = (registry.genesisOf(committee), registry.startOf(committee, 1));
        uint256 epoch = block.timestamp < genesis ? 0 : (block.timestamp - genesis) / (next - genesis);
        // The key is of no use here, only whose it is.
        // slither-disable-next-line unused-return
        (term,) = registry.keyFor(committee, uint64(epoch));
    }
}
