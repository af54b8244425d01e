//! The contracts as the demo uses them, and the deployment of the whole set. A test holds the bindings against the
//! exported ABI. Leaves out: sending (`chain`), and who calls what (`committee`, `market`).

use std::path::Path;

use alloy::primitives::{Address, U256};
use alloy::sol_types::{SolCall as _, SolValue as _};
use anyhow::Result;

use crate::chain::{Actor, Chain, creation_code};
use crate::rules;

pub mod offer;

/// Generated; documented in the Solidity interfaces.
#[allow(missing_docs, clippy::too_many_arguments)]
mod bindings {
    alloy::sol! {
        #[derive(Debug)]
        struct Leaf {
            address escrow;
            uint64 lease;
            uint128 units;
            uint64 goodSeconds;
            uint64 badSeconds;
            uint64 creditSeconds;
            uint128 adjustment;
            uint64 through;
            bytes32 evidenceRoot;
            bytes32 policyHash;
        }
        #[derive(Debug)]
        struct ClaimItem {
            uint64 lease;
            uint64 epoch;
            Leaf leaf;
            bytes32[] proof;
        }
        #[derive(Debug)]
        struct LeaseInfo {
            uint8 state;
            uint256 tokenId;
            address lessee;
            address lessor;
            address payee;
            address token;
            uint8 class;
            uint64 committee;
            uint32 stream;
            bytes32 policyHash;
            uint96 price;
            uint8 unitExponent;
            uint96 maxUnitsPerHour;
            uint96 creditPerHour;
            uint64 start;
            uint64 end;
            uint64 through;
            uint256 deposited;
            uint256 bond;
            uint256 paid;
            uint256 credit;
            uint256 fee;
        }
        #[derive(Debug)]
        struct MemberStatement {
            bytes32 instance;
            uint8 phase;
            uint32 view;
            bytes32 value;
        }
        #[derive(Debug)]
        interface TestDollar {
            function mint(address to, uint256 amount) external;
            function approve(address spender, uint256 value) external returns (bool);
            function balanceOf(address account) external view returns (uint256);
        }
        #[derive(Debug)]
        interface OperatorStake {
            function bond(uint256 amount) external;
        }
        #[derive(Debug)]
        interface CommitteeRegistry {
            event MemberRegistered(uint64 indexed committee, address indexed member, bytes32 peerKey, bytes32 dkgKey,
                bytes32 receiptKey, string endpoint);
            event TermActivated(uint64 indexed committee, uint64 indexed term, bytes groupKey, bytes32 shareRoot, uint64 genesis);
            event TermRotated(uint64 indexed committee, uint64 indexed newTerm, uint64 fromEpoch, bytes32 baseHeader);
            function setStake(address stake) external;
            function register(uint64 committee, bytes32 peerKey, bytes32 dkgKey, bytes32 receiptKey, string endpoint) external;
            function configure(uint64 committee, uint64 term, address[] members, bytes32 policyHash, uint64 epochSeconds,
                uint64 slotMs, uint64 genesisDelay) external;
            function configDigest(uint64 committee, uint64 term) external view returns (bytes32);
        }
        #[derive(Debug)]
        interface ReportHub {
            event ReportPosted(uint64 indexed committee, uint32 indexed stream, uint64 indexed epoch, bytes32 headerDigest,
                bytes32 leavesRoot, bytes32 stateRoot, uint64 activeAt);
            function isActive(uint64 committee, uint32 stream, uint64 epoch) external view returns (bool);
            function prepare(uint64 committee, uint32 stream) external;
        }
        #[derive(Debug)]
        interface DeviceRegistry {
            event DeviceRegistered(uint256 indexed tokenId, address indexed owner, uint8 alg, bytes publicKey, bytes proof,
                bytes32 locationCommitment, uint8 class);
            function setEscrow(address escrow) external;
            function register(address to, uint8 alg, bytes publicKey, bytes proof, bytes32 locationCommitment, uint8 class)
                external returns (uint256 tokenId);
            function isActive(uint256 tokenId) external view returns (bool);
            function userOf(uint256 tokenId) external view returns (address);
            function userExpires(uint256 tokenId) external view returns (uint256);
        }
        #[derive(Debug)]
        interface LeaseEscrow {
            event LeaseClosed(uint64 indexed lease, uint256 refunded, uint256 bondReturned);
            event ClaimSkipped(uint64 indexed lease, uint64 indexed epoch, uint8 why);
            function setToken(address token, bool allowed, uint96 minFee) external;
            function setCommittee(uint64 committee, address treasury, uint16 feeBp) external;
            function claimBatch(ClaimItem[] items) external;
            function close(uint64 lease, uint64 epoch, Leaf leaf, bytes32[] proof) external;
            function withdraw(address token) external returns (uint256 amount);
            function withdrawFees(uint64 committee, address token) external returns (uint256 amount);
            function claimable(address token, address account) external view returns (uint256);
            function leaseInfo(uint64 lease) external view returns (LeaseInfo info);
        }
    }
}
pub use bindings::{
    ClaimItem, CommitteeRegistry, DeviceRegistry, Leaf, LeaseEscrow, LeaseInfo, MemberStatement, OperatorStake,
    ReportHub, TestDollar,
};

/// Addresses of the deployed set.
#[derive(Clone, Copy, Debug)]
pub struct Deployed {
    /// BlsVerifier.
    pub verifier: Address,
    /// TestDollar.
    pub dollar: Address,
    /// OperatorStake.
    pub stake: Address,
    /// CommitteeRegistry.
    pub registry: Address,
    /// ReportHub.
    pub hub: Address,
    /// DeviceRegistry.
    pub devices: Address,
    /// LeaseEscrow.
    pub escrow: Address,
    /// First block of the set.
    pub first_block: u64,
}

impl Deployed {
    /// The contracts whose logs an auditor needs.
    #[must_use]
    pub fn logged(&self) -> [Address; 4] {
        [self.registry, self.devices, self.escrow, self.hub]
    }
}

/// Gas of a pairing check of two pairs, EIP-2537.
const PAIRING_GAS: u64 = 102_900;

/// Deploys and wires the whole set: every transaction is sent before any is waited for, so all of it fits one or two
/// blocks. The addresses follow from the deployer's account.
///
/// # Errors
/// When a deployment reverts.
pub async fn deploy(chain: &Chain, deployer: &Actor, artifacts: &Path, mint: &[(Address, U256)]) -> Result<Deployed> {
    let owner = deployer.address();
    let at = |ahead| deployer.creates(ahead);
    let set = Deployed {
        verifier: at(0),
        dollar: at(1),
        registry: at(2),
        stake: at(3),
        hub: at(4),
        devices: at(5),
        escrow: at(6),
        first_block: chain.head().await?.0,
    };
    let minimum = U256::from(crate::committee::MEMBER_BOND);
    let lag = rules::SNAPSHOT_LAG_MS / 1000;
    let day = 86_400u64;
    let stake = (owner, set.dollar, set.registry, owner, minimum, minimum / U256::from(2u64), day);
    let escrow = (owner, set.hub, set.devices, day, rules::GRACE_S);
    let constructors = [
        ("BlsVerifier", U256::from(PAIRING_GAS).abi_encode()),
        ("TestDollar", Vec::new()),
        ("CommitteeRegistry", (owner, set.verifier, lag).abi_encode()),
        ("OperatorStake", stake.abi_encode()),
        ("ReportHub", (owner, set.registry, owner, rules::DISPUTE_S).abi_encode()),
        ("DeviceRegistry", (owner, set.registry).abi_encode()),
        ("LeaseEscrow", escrow.abi_encode()),
    ];
    let mut sent = Vec::new();
    for (name, arguments) in &constructors {
        let code = creation_code(artifacts, name, arguments)?;
        sent.push(chain.send(&format!("deploy {name}"), deployer, None, code).await?);
    }
    let allow = LeaseEscrow::setTokenCall { token: set.dollar, allowed: true, minFee: U256::from(rules::MIN_FEE).to() };
    let fees = LeaseEscrow::setCommitteeCall { committee: rules::COMMITTEE, treasury: owner, feeBp: rules::FEE_BP };
    let prepare = ReportHub::prepareCall { committee: rules::COMMITTEE, stream: rules::STREAM };
    let wiring = [
        (set.registry, CommitteeRegistry::setStakeCall { stake: set.stake }.abi_encode()),
        (set.devices, DeviceRegistry::setEscrowCall { escrow: set.escrow }.abi_encode()),
        (set.escrow, allow.abi_encode()),
        (set.escrow, fees.abi_encode()),
        // Once, so that no post pays for a fresh slot: as script/Deploy.s.sol does.
        (set.hub, prepare.abi_encode()),
    ];
    for (to, data) in wiring {
        sent.push(chain.send("wire the contracts", deployer, Some(to), data).await?);
    }
    for (to, amount) in mint {
        sent.push(chain.tell(deployer, set.dollar, &TestDollar::mintCall { to: *to, amount: *amount }).await?);
    }
    chain.all_mined(sent).await?;
    Ok(set)
}
