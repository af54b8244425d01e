//! The deployed set and devices: all that a campaign plays on, beside the committee (`committee`). Leaves out: what must be
//! paid (`model`).

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::SolValue as _;
use attest::{DEVICE_KEY_STATEMENT_MAX, Signer as _, SoftP256, ToBeSigned};
use testnet::contracts::offer::book_leaf;
use testnet::contracts::{DeviceRegistry, LeaseEscrow, TestDollar};

use crate::committee::Committee;
use crate::evm::{CHAIN_ID, Chain};

/// Generated; documented in docs/protocol.md §6 and the Solidity interfaces.
#[allow(missing_docs, clippy::too_many_arguments)]
mod sol {
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
        interface Escrow {
            event ClaimSkipped(uint64 indexed lease, uint64 indexed epoch, uint8 why);
            function claim(uint64 lease, uint64 epoch, Leaf leaf, bytes32[] proof) external returns (uint256 paid);
            function claimBatch(ClaimItem[] items) external;
            function close(uint64 lease, uint64 epoch, Leaf leaf, bytes32[] proof) external;
            function leaveLease(uint64 lease, uint64 epoch, Leaf leaf, bytes32[] proof) external;
            function closeSilent(uint64 lease, ClaimItem first, ClaimItem last) external;
            function pause() external;
            function unpause() external;
            function topUp(uint64 lease, uint96 amount) external;
            function collect(uint64 lease) external;
            function cancel(uint64 lease) external;
            function giveNotice(uint64 lease) external;
            function closeAfterTimeout(uint64 lease) external;
            function closeStalled(uint64 lease) external;
            function fees(address token, uint64 committee) external view returns (uint256);
        }
    }
}
pub(crate) use sol::{ClaimItem, Escrow, Leaf};

pub(crate) const COMMITTEE: u64 = 1;
pub(crate) const STREAM: u32 = 0;
/// Seconds of an epoch.
pub(crate) const EPOCH: u64 = 60;
/// Seconds from posting to activity.
pub(crate) const WINDOW: u64 = 100;
/// Seconds without a final leaf until a lease ends unproven.
pub(crate) const TIMEOUT: u64 = 1_000;
/// Seconds after the end that a final leaf's epoch covers.
pub(crate) const GRACE: u64 = 10;
/// Governance, deployer, guardian.
pub(crate) const OWNER: Address = Address::repeat_byte(0x0e);
pub(crate) const TREASURY: Address = Address::repeat_byte(0x7e);

/// The policy that every lease names.
pub(crate) fn policy() -> B256 {
    keccak256("policy")
}

/// Classes of the policy: uptime.
pub(crate) fn classes() -> U256 {
    U256::from(0b10u64)
}

/// What terms and reports name: the root of a book of that one document.
pub(crate) fn book_root() -> B256 {
    book_leaf(&policy(), classes())
}

/// All that is deployed.
pub(crate) struct World {
    pub(crate) chain: Chain,
    pub(crate) dollar: Address,
    pub(crate) devices: Address,
    pub(crate) escrow: Address,
    pub(crate) committee: Committee,
}

impl World {
    /// Deploys the set and puts a committee in force; epoch 0 begins ten seconds later.
    pub(crate) fn new() -> Self {
        let mut chain = Chain::new(1_800_000_000);
        let committee = Committee::new(&mut chain);
        let dollar = chain.deploy(OWNER, "TestDollar", &[]);
        let devices = chain.deploy(OWNER, "DeviceRegistry", &(OWNER, committee.registry).abi_encode());
        let escrow = (OWNER, committee.hub, devices, TIMEOUT, GRACE).abi_encode();
        let escrow = chain.deploy(OWNER, "LeaseEscrow", &escrow);
        let mut world = Self { chain, dollar, devices, escrow, committee };
        world.wire();
        world
    }

    /// Unix seconds of an epoch's start.
    pub(crate) fn start_of(&self, epoch: u64) -> u64 {
        self.committee.start_of(epoch)
    }

    fn wire(&mut self) {
        let (devices, escrow, token) = (self.devices, self.escrow, self.dollar);
        self.chain.call(OWNER, devices, &DeviceRegistry::setEscrowCall { escrow }).unwrap();
        let allow = LeaseEscrow::setTokenCall { token, allowed: true, minFee: U256::ZERO.to() };
        self.chain.call(OWNER, escrow, &allow).unwrap();
        let fees = LeaseEscrow::setCommitteeCall { committee: COMMITTEE, treasury: TREASURY, feeBp: 0 };
        self.chain.call(OWNER, escrow, &fees).unwrap();
    }

    /// Mints a device with a P-256 key to an owner; returns its token.
    pub(crate) fn device(&mut self, owner: Address, seed: u8, class: u8) -> U256 {
        let secret = SoftP256::from_seed([seed; 32]);
        let mut buffer = [0; DEVICE_KEY_STATEMENT_MAX];
        let (at, to, key) = (self.devices.into_array(), owner.into_array(), secret.public_key());
        let statement = attest::device_key_statement(CHAIN_ID, &at, &to, &key, &mut buffer);
        let proof = secret.sign(ToBeSigned::new(statement)).unwrap();
        let call = DeviceRegistry::registerCall {
            to: owner,
            alg: 2,
            publicKey: Bytes::copy_from_slice(key.bytes()),
            proof: Bytes::copy_from_slice(&proof),
            locationCommitment: B256::ZERO,
            class,
        };
        self.chain.call(owner, self.devices, &call).unwrap().returned
    }

    /// Gives an account money and lets the escrow take it.
    pub(crate) fn fund(&mut self, account: Address, amount: u128) {
        let (token, spender) = (self.dollar, self.escrow);
        self.chain.call(OWNER, token, &TestDollar::mintCall { to: account, amount: U256::from(amount) }).unwrap();
        self.chain.call(account, token, &TestDollar::approveCall { spender, value: U256::MAX }).unwrap();
    }

    /// Test dollars of an account.
    pub(crate) fn balance(&mut self, account: Address) -> u128 {
        self.chain.ask(self.dollar, &TestDollar::balanceOfCall { account }).to()
    }
}

pub(crate) fn signer(secret: &B256) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(secret).unwrap()
}

pub(crate) fn sign(signer: &PrivateKeySigner, digest: &B256) -> Bytes {
    signer.sign_hash_sync(digest).unwrap().as_bytes().to_vec().into()
}
