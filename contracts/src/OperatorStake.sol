// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ICommitteeRegistry} from "./interfaces/ICommitteeRegistry.sol";
import {IOperatorStake} from "./interfaces/IOperatorStake.sol";
import {IReportHub} from "./interfaces/IReportHub.sol";
import {IStakeSource} from "./interfaces/IStakeSource.sol";
import {Config, TermConfig} from "./libraries/TermConfig.sol";
import {Typed} from "./libraries/Typed.sol";
import {Header, MemberStatement} from "./Types.sol";

/// @title OperatorStake
/// @notice An ERC-20 bond per operator, slashed only for equivocation that anyone can check. Long absence
/// costs the right to a seat for a while, never money. Leaves out: delegation, and every judgement about what is true.
/// @dev No proxy and no upgrade: members unbond here and bond in a new version, which `CommitteeRegistry.setStake` names;
/// what is leaving stays slashable to the end. The token is a plain ERC-20: no fee on transfer, no rebasing.
contract OperatorStake is IOperatorStake, Ownable2Step, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    struct Account {
        uint128 bonded;
        uint128 leaving;
        uint64 availableAt;
    }

    /// @dev One slot: that the fault was punished, by whose proof, and what of it is not yet shared out.
    struct Fault {
        address reporter;
        uint96 taken;
    }

    /// @notice Part of a slashed bond that goes to whoever brought the proof: small, so that nobody reports itself.
    /// The rest is the insurance's share: it stands in for lessees whom a broken committee cost money, and is never burned.
    uint256 public constant REWARD_BP = 1_000;

    /// @notice Fewest consecutive headers that may show absence: a leader chooses the bitmap, so a few prove nothing.
    uint256 public constant MIN_HEADERS = 64;

    uint256 private immutable _chainId;
    bytes32 private immutable _domain;
    IERC20 public immutable token;
    ICommitteeRegistry public immutable registry;
    /// @inheritdoc IStakeSource
    uint256 public immutable minimumStake;
    /// @notice Most that one fault costs.
    uint256 public immutable slashAmount;
    /// @notice Seconds from `unbond` to `withdrawUnbonded`; longer than a dispute window plus the time to find a fault.
    uint64 public immutable unbondingDelay;
    /// @notice Where slashed bonds go, less the reward.
    address public insurance;

    mapping(address operator => Account) private _accounts;
    /// @notice Faults that were slashed: by whose proof, and what was taken and is not yet shared out.
    mapping(bytes32 fault => Fault) public faults;
    /// @notice Rewards and insurance, not yet withdrawn.
    mapping(address account => uint256) public rewards;

    /// @notice Where headers are looked up; zero = nobody can be jailed. Set by governance.
    IReportHub public hub;
    /// @inheritdoc IOperatorStake
    mapping(address operator => uint64) public jailedUntil;
    /// @dev First epoch that no jailing has counted yet.
    mapping(address operator => mapping(uint64 committee => mapping(uint32 stream => uint64))) private _countFrom;

    event InsuranceSet(address insurance);
    event HubSet(address hub);

    constructor(
        address owner_,
        IERC20 token_,
        ICommitteeRegistry registry_,
        address insurance_,
        uint256 minimumStake_,
        uint256 slashAmount_,
        uint64 unbondingDelay_
    ) Ownable(owner_) {
        if (unbondingDelay_ == 0 || slashAmount_ == 0 || insurance_ == address(0)) {
            revert BadSettings();
        }
        if (slashAmount_ > type(uint96).max) revert BadSettings();
        token = token_;
        registry = registry_;
        (_chainId, _domain) = (block.chainid, registry_.domainSeparator());
        minimumStake = minimumStake_;
        slashAmount = slashAmount_;
        unbondingDelay = unbondingDelay_;
        insurance = insurance_;
        emit InsuranceSet(insurance_);
    }

    /// @notice Sets where slashed bonds go that are shared out from now on. Governance only.
    function setInsurance(address insurance_) external onlyOwner {
        if (insurance_ == address(0)) revert BadSettings();
        insurance = insurance_;
        emit InsuranceSet(insurance_);
    }

    /// @notice Sets the hub whose headers show absence; zero = nobody can be jailed. Governance only.
    function setHub(IReportHub hub_) external onlyOwner {
        hub = hub_;
        emit HubSet(address(hub_));
    }

    /// @notice Ends a jailing, for instance when the stream was frozen afterwards. Governance only.
    function release(address operator) external onlyOwner {
        jailedUntil[operator] = 0;
        emit Released(operator);
    }

    /// @inheritdoc IOperatorStake
    function jail(Config calldata config, uint256 index, Header[] calldata headers) external {
        if (headers.length < MIN_HEADERS) revert TooFewHeaders(headers.length);
        if (index >= config.members.length) revert NotAMember(address(0));
        bytes32 digest = TermConfig.digest(config);
        if (digest != registry.configDigest(config.committee, config.term)) revert WrongConfig();
        uint256 absent = _countAbsent(digest, index, headers);
        if (absent * 2 <= headers.length) revert NotAbsent(absent, headers.length);

        address operator = config.members[index];
        Header calldata last = headers[headers.length - 1];
        uint64 from = _countFrom[operator][config.committee][last.stream];
        if (headers[0].epoch < from) revert AlreadyCounted(from);
        _countFrom[operator][config.committee][last.stream] = last.epoch + 1;
        jailedUntil[operator] = uint64(block.timestamp) + unbondingDelay;
        emit Jailed(operator, config.committee, last.stream, absent, headers.length, jailedUntil[operator]);
    }

    /// @inheritdoc IOperatorStake
    function bond(uint256 amount) external nonReentrant {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != amount || amount == 0 || amount > type(uint128).max) revert WrongAmount(received, amount);
        _accounts[msg.sender].bonded += uint128(amount);
        emit Bonded(msg.sender, amount);
    }

    /// @inheritdoc IOperatorStake
    function unbond(uint256 amount) external {
        Account storage a = _accounts[msg.sender];
        if (amount == 0 || amount > a.bonded) revert StakeTooLow(amount, a.bonded);
        uint256 left = a.bonded - amount;
        if (left != 0 && left < minimumStake) revert BelowMinimum(left, minimumStake);
        a.bonded = uint128(left);
        a.leaving += uint128(amount);
        a.availableAt = uint64(block.timestamp) + unbondingDelay;
        emit UnbondingStarted(msg.sender, amount, a.availableAt);
    }

    /// @inheritdoc IOperatorStake
    function withdrawUnbonded() external nonReentrant returns (uint256 amount) {
        Account storage a = _accounts[msg.sender];
        amount = a.leaving;
        if (amount == 0) revert NothingToWithdraw();
        if (a.availableAt > block.timestamp) revert StillUnbonding(a.availableAt);
        a.leaving = 0;
        emit Unbonded(msg.sender, amount);
        token.safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IOperatorStake
    function slash(
        uint64 committee,
        uint64 term,
        MemberStatement calldata a,
        bytes calldata signatureA,
        MemberStatement calldata b,
        bytes calldata signatureB
    ) external returns (uint256 amount) {
        if (a.instance != b.instance || a.phase != b.phase || a.view_ != b.view_ || a.value == b.value) {
            revert NotAFault();
        }
        address member = _signer(a, signatureA, b, signatureB);
        if (!registry.isMember(committee, term, member)) revert NotAMember(member);
        bytes32 fault = keccak256(abi.encode(member, a.instance, a.phase, a.view_));
        if (faults[fault].reporter != address(0)) revert FaultUsed(fault);
        amount = _take(member);
        faults[fault] = Fault(msg.sender, uint96(amount));
        emit Slashed(member, a.instance, a.phase, a.view_, amount, amount * REWARD_BP / 10_000);
    }

    /// @inheritdoc IOperatorStake
    function shareOut(bytes32 fault) external {
        Fault storage f = faults[fault];
        (address reporter, uint256 amount) = (f.reporter, f.taken);
        if (amount == 0) revert NothingToWithdraw();
        f.taken = 0;
        uint256 reward = amount * REWARD_BP / 10_000;
        rewards[reporter] += reward;
        rewards[insurance] += amount - reward;
        emit SharedOut(fault, reporter, reward, insurance, amount - reward);
    }

    /// @inheritdoc IOperatorStake
    function withdrawRewards(address account) external nonReentrant returns (uint256 amount) {
        amount = rewards[account];
        if (amount == 0) revert NothingToWithdraw();
        rewards[account] = 0;
        emit Withdrawn(account, amount);
        token.safeTransfer(account, amount);
    }

    /// @inheritdoc IStakeSource
    function stakeOf(address operator) external view returns (uint256) {
        return jailedUntil[operator] > block.timestamp ? 0 : _accounts[operator].bonded;
    }

    /// @inheritdoc IOperatorStake
    function unbonding(address operator) external view returns (uint256 amount, uint64 availableAt) {
        Account storage a = _accounts[operator];
        return (a.leaving, a.availableAt);
    }

    /// @dev Headers oldest first. The newest is the stream's last post; each names the one before it by its digest, so
    /// that all were certified when the newest was.
    function _countAbsent(bytes32 configDigest, uint256 index, Header[] calldata headers)
        private
        view
        returns (uint256 absent)
    {
        Header calldata last = headers[headers.length - 1];
        if (address(hub) == address(0)) revert NotCertified(last.epoch);
        // The epoch is in the header, whose digest must be the posted one.
        // slither-disable-next-line unused-return
        (bool posted,, bytes22 prefix, bool frozen) = hub.latest(last.committee, last.stream);
        if (!posted || frozen) revert NotCertified(last.epoch);
        bytes32 expected = bytes32(0);
        for (uint256 i = headers.length; i > 0; --i) {
            Header calldata h = headers[i - 1];
            bytes32 digest = registry.hashTyped(Typed.hash(h));
            bool linked = i == headers.length ? bytes22(digest) == prefix : digest == expected;
            // The config digest binds committee and term, and with the term the member's index.
            if (!linked || h.configDigest != configDigest || h.stream != last.stream) revert NotCertified(h.epoch);
            if ((h.participation >> index) & 1 == 0) ++absent;
            expected = h.previousHeader;
        }
    }

    /// @dev Who signed both statements. The domain is remembered, and asked for anew after a fork of the chain: gas.
    function _signer(
        MemberStatement calldata a,
        bytes calldata signatureA,
        MemberStatement calldata b,
        bytes calldata signatureB
    ) private view returns (address signer) {
        bytes32 domain = block.chainid == _chainId ? _domain : registry.domainSeparator();
        signer = ECDSA.recoverCalldata(MessageHashUtils.toTypedDataHash(domain, Typed.hash(a)), signatureA);
        bytes32 other = MessageHashUtils.toTypedDataHash(domain, Typed.hash(b));
        if (signer != ECDSA.recoverCalldata(other, signatureB)) revert SignersDiffer();
    }

    /// @dev Takes up to `slashAmount`, from the bond first, then from what is leaving; never reverts for too little.
    function _take(address member) private returns (uint256 amount) {
        Account storage account = _accounts[member];
        (uint256 bonded, uint256 leaving) = (account.bonded, account.leaving);
        uint256 fromBond = Math.min(bonded, slashAmount);
        uint256 fromLeaving = Math.min(leaving, slashAmount - fromBond);
        (account.bonded, account.leaving) = (uint128(bonded - fromBond), uint128(leaving - fromLeaving));
        amount = fromBond + fromLeaving;
    }
}
