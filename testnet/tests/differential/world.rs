//! The deployed set, a committee of four that certifies whatever it is told, and devices: all that a campaign plays on.
//! Own code for digests and trees, so that a mistake in the core or the contracts shows. Leaves out: what must be paid (`model`).

use aggregator::{Share, Sharing, deal_for_tests};
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolStruct, SolValue as _, eip712_domain};
use attest::{DEVICE_KEY_STATEMENT_MAX, Signer as _, SoftP256, ToBeSigned};
use testnet::contracts::{DeviceRegistry, LeaseEscrow, TestDollar};

use crate::evm::{CHAIN_ID, Chain, Refused};
use crate::model::LEVELS;

/// Generated; documented in docs/protocol.md §6 and the Solidity interfaces.
#[allow(missing_docs, clippy::too_many_arguments)]
mod sol {
    alloy::sol! {
        #[derive(Debug)]
        struct Header {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            uint32 stream;
            uint64 epoch;
            uint64 periodStart;
            uint64 periodEnd;
            uint64 snapshotBlock;
            bytes32 snapshotHash;
            uint32 leafCount;
            bytes32 leavesRoot;
            bytes32 stateRoot;
            bytes32 observationsHash;
            bytes32 policyHash;
            bytes32 previousHeader;
            uint256 participation;
        }
        #[derive(Debug)]
        struct Leaf {
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
        struct KeyConfirmation {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            bytes32 groupKeyHash;
            bytes32 shareRoot;
        }
        struct Activation {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            bytes32 groupKeyHash;
            bytes32 shareRoot;
        }
        interface Registry {
            function register(uint64 committee, bytes32 peerKey, bytes32 dkgKey, bytes32 receiptKey, string endpoint) external;
            function configure(uint64 committee, uint64 term, address[] members, bytes32 policyHash, uint64 epochSeconds,
                uint64 slotMs, uint64 genesisDelay) external;
            function activate(uint64 committee, uint64 term, bytes groupKey, bytes32 shareRoot, bytes confirmation,
                bytes[] signatures, uint32[] indices) external;
            function configDigest(uint64 committee, uint64 term) external view returns (bytes32);
        }
        interface Hub {
            function post(Header header, bytes certificate) external;
            function disable(uint64 committee, uint32 stream, uint64 epoch) external;
        }
        struct Tier {
            uint16 below;
            uint16 creditBp;
        }
        interface Escrow {
            function setTiers(bytes32 policyHash, Tier[] tiers) external;
            event ClaimSkipped(uint64 indexed lease, uint64 indexed epoch, uint8 why);
            function claim(uint64 lease, uint64 epoch, Leaf leaf, bytes32[] proof) external returns (uint256 paid);
            function claimBatch(ClaimItem[] items) external;
            function close(uint64 lease, uint64 epoch, Leaf leaf, bytes32[] proof) external;
            function leaveLease(uint64 lease, uint64 epoch, Leaf leaf, bytes32[] proof) external;
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
use sol::{Activation, Header, Hub, KeyConfirmation, Registry, Tier};
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
const TERM: u64 = 1;
const DELAY: u64 = 10;
/// Governance, deployer, guardian.
pub(crate) const OWNER: Address = Address::repeat_byte(0x0e);
pub(crate) const TREASURY: Address = Address::repeat_byte(0x7e);

/// The policy that every lease and report names.
pub(crate) fn policy() -> B256 {
    keccak256("policy")
}

/// All that is deployed.
pub(crate) struct World {
    pub(crate) chain: Chain,
    pub(crate) dollar: Address,
    pub(crate) devices: Address,
    pub(crate) escrow: Address,
    registry: Address,
    hub: Address,
    sharing: Sharing,
    shares: Vec<Share>,
    config: B256,
    genesis: u64,
}

impl World {
    /// Deploys the set and puts a committee in force; epoch 0 begins ten seconds later.
    pub(crate) fn new() -> Self {
        let mut chain = Chain::new(1_800_000_000);
        let verifier = chain.deploy(OWNER, "BlsVerifier", &U256::from(102_900u64).abi_encode());
        let dollar = chain.deploy(OWNER, "TestDollar", &[]);
        let registry = chain.deploy(OWNER, "CommitteeRegistry", &(OWNER, verifier, 30u64).abi_encode());
        let hub = chain.deploy(OWNER, "ReportHub", &(OWNER, registry, OWNER, WINDOW).abi_encode());
        let devices = chain.deploy(OWNER, "DeviceRegistry", &(OWNER, registry).abi_encode());
        let escrow = (OWNER, hub, devices, TIMEOUT, GRACE).abi_encode();
        let escrow = chain.deploy(OWNER, "LeaseEscrow", &escrow);
        let (sharing, shares) = deal_for_tests(4, 7);
        let (config, genesis) = (B256::ZERO, 0);
        let mut world = Self { chain, dollar, devices, escrow, registry, hub, sharing, shares, config, genesis };
        world.activate();
        world.wire();
        world
    }

    /// Unix seconds of an epoch's start.
    pub(crate) fn start_of(&self, epoch: u64) -> u64 {
        self.genesis + epoch * EPOCH
    }

    fn wire(&mut self) {
        let (devices, escrow, token) = (self.devices, self.escrow, self.dollar);
        self.chain.call(OWNER, devices, &DeviceRegistry::setEscrowCall { escrow }).unwrap();
        let allow = LeaseEscrow::setTokenCall { token, allowed: true, minFee: U256::ZERO.to() };
        self.chain.call(OWNER, escrow, &allow).unwrap();
        let fees = LeaseEscrow::setCommitteeCall { committee: COMMITTEE, treasury: TREASURY, feeBp: 0 };
        self.chain.call(OWNER, escrow, &fees).unwrap();
        let tiers = LEVELS.map(|(below, credit_bp)| Tier { below, creditBp: credit_bp });
        let levels = Escrow::setTiersCall { policyHash: policy(), tiers: tiers.to_vec() };
        self.chain.call(OWNER, escrow, &levels).unwrap();
    }

    fn activate(&mut self) {
        let members: Vec<PrivateKeySigner> = (1u8..=4).map(|i| signer(&B256::repeat_byte(i))).collect();
        for (i, member) in (1u8..).zip(&members) {
            let [peer, dkg, receipt] = [0x10, 0x20, 0x30].map(|kind| B256::repeat_byte(kind + i));
            let call = Registry::registerCall {
                committee: COMMITTEE,
                peerKey: peer,
                dkgKey: dkg,
                receiptKey: receipt,
                endpoint: "/ip4/127.0.0.1/tcp/1".into(),
            };
            self.chain.call(member.address(), self.registry, &call).unwrap();
        }
        let configure = Registry::configureCall {
            committee: COMMITTEE,
            term: TERM,
            members: members.iter().map(PrivateKeySigner::address).collect(),
            policyHash: policy(),
            epochSeconds: EPOCH,
            slotMs: 1_000,
            genesisDelay: DELAY,
        };
        self.chain.call(OWNER, self.registry, &configure).unwrap();
        self.config = self.chain.ask(self.registry, &Registry::configDigestCall { committee: COMMITTEE, term: TERM });

        let key = self.sharing.group.to_eip2537();
        let (hash, root) = (keccak256(key), keccak256("shares"));
        let confirmation = KeyConfirmation {
            committee: COMMITTEE,
            term: TERM,
            configDigest: self.config,
            groupKeyHash: hash,
            shareRoot: root,
        };
        let consent = Activation {
            committee: COMMITTEE,
            term: TERM,
            configDigest: self.config,
            groupKeyHash: hash,
            shareRoot: root,
        };
        let digest = self.digest(&consent);
        let signatures = members.iter().take(3).map(|member| sign(member, &digest));
        let activate = Registry::activateCall {
            committee: COMMITTEE,
            term: TERM,
            groupKey: Bytes::copy_from_slice(&key),
            shareRoot: root,
            confirmation: self.certify(&self.digest(&confirmation)),
            signatures: signatures.collect(),
            indices: vec![0, 1, 2],
        };
        self.chain.call(OWNER, self.registry, &activate).unwrap();
        self.genesis = self.chain.now() + DELAY;
    }

    fn digest<T: SolStruct>(&self, value: &T) -> B256 {
        value.eip712_signing_hash(&eip712_domain! {
            name: "Plumbline",
            version: "1",
            chain_id: CHAIN_ID,
            verifying_contract: self.registry,
        })
    }

    /// The committee's certificate over a digest, from three partials of four.
    fn certify(&self, digest: &B256) -> Bytes {
        let partials: Vec<_> = self.shares.iter().skip(1).map(|share| share.sign(&digest.0)).collect();
        Bytes::copy_from_slice(&self.sharing.recover(&digest.0, &partials).unwrap().to_onchain())
    }

    /// Posts a root for an epoch that is over.
    pub(crate) fn post(&mut self, epoch: u64, leaves_root: B256, leaf_count: u32) -> Result<(), Refused> {
        let header = Header {
            committee: COMMITTEE,
            term: TERM,
            configDigest: self.config,
            stream: STREAM,
            epoch,
            periodStart: self.start_of(epoch),
            periodEnd: self.start_of(epoch + 1),
            snapshotBlock: 1,
            snapshotHash: keccak256("snapshot"),
            leafCount: leaf_count,
            leavesRoot: leaves_root,
            stateRoot: keccak256(epoch.to_be_bytes()),
            observationsHash: keccak256("observations"),
            policyHash: policy(),
            previousHeader: B256::ZERO,
            participation: U256::from(15u64),
        };
        let certificate = self.certify(&self.digest(&header));
        self.chain.call(OWNER, self.hub, &Hub::postCall { header, certificate }).map(drop)
    }

    /// The guardian disables the root of an epoch and all later ones.
    pub(crate) fn disable(&mut self, epoch: u64) -> Result<(), Refused> {
        let call = Hub::disableCall { committee: COMMITTEE, stream: STREAM, epoch };
        self.chain.call(OWNER, self.hub, &call).map(drop)
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
