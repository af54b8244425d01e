//! A committee of four that certifies whatever it is told, and hands over to the next term when told: keys, digests, posts.
//! Own code for digests, so that a mistake in the core or the contracts shows. Leaves out: which posts must be taken
//! (`campaign::reports`).

use aggregator::{Share, Sharing, deal_for_tests};
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::signers::local::PrivateKeySigner;
use alloy::sol_types::{SolStruct, SolValue as _, eip712_domain};

use crate::evm::{CHAIN_ID, Chain, Refused};
use crate::world::{COMMITTEE, EPOCH, OWNER, STREAM, WINDOW, book_root, sign, signer};

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
        struct Rotation {
            uint64 committee;
            uint64 term;
            bytes32 configDigest;
            uint64 newTerm;
            bytes32 newConfigDigest;
            bytes32 newGroupKeyHash;
            uint64 fromEpoch;
            bytes32 baseHeader;
        }
        struct NewKey {
            bytes groupKey;
            bytes32 shareRoot;
            bytes confirmation;
            bytes[] signatures;
            uint32[] indices;
        }
        interface Registry {
            function register(uint64 committee, bytes32 peerKey, bytes32 dkgKey, bytes32 receiptKey, string endpoint) external;
            function configure(uint64 committee, uint64 term, address[] members, bytes32 policyHash, uint64 epochSeconds,
                uint64 slotMs, uint64 genesisDelay) external;
            function activate(uint64 committee, uint64 term, bytes groupKey, bytes32 shareRoot, bytes confirmation,
                bytes[] signatures, uint32[] indices) external;
            function rotate(Rotation rotation, bytes certificate, NewKey next) external;
            function configDigest(uint64 committee, uint64 term) external view returns (bytes32);
        }
        interface Hub {
            function post(Header header, bytes certificate) external;
            function disable(uint64 committee, uint32 stream, uint64 epoch) external;
        }
    }
}
use sol::{Activation, Header, Hub, KeyConfirmation, NewKey, Registry, Rotation};

/// The registry's snapshot lag, seconds.
pub(crate) const LAG: u64 = 30;
const DELAY: u64 = 10;

/// A term's keys.
struct Term {
    sharing: Sharing,
    shares: Vec<Share>,
    config: B256,
}

/// What a header says that is not the same in all.
pub(crate) struct Told {
    pub(crate) epoch: u64,
    /// Whose key signs it, and whose it says to be.
    pub(crate) term: u64,
    pub(crate) leaves_root: B256,
    pub(crate) leaf_count: u32,
    pub(crate) previous: B256,
}

/// The registry, the hub, and the keys of all terms so far.
pub(crate) struct Committee {
    pub(crate) hub: Address,
    pub(crate) registry: Address,
    members: Vec<PrivateKeySigner>,
    /// Term 1 first; at most one more than are activated.
    terms: Vec<Term>,
    /// The last activated term.
    active: u64,
    genesis: u64,
}

impl Committee {
    /// Deploys both contracts and puts term 1 in force; epoch 0 begins ten seconds later.
    pub(crate) fn new(chain: &mut Chain) -> Self {
        let verifier = chain.deploy(OWNER, "BlsVerifier", &U256::from(102_900u64).abi_encode());
        let registry = chain.deploy(OWNER, "CommitteeRegistry", &(OWNER, verifier, LAG).abi_encode());
        let hub = chain.deploy(OWNER, "ReportHub", &(OWNER, registry, OWNER, WINDOW).abi_encode());
        let members: Vec<PrivateKeySigner> = (1u8..=4).map(|i| signer(&B256::repeat_byte(i))).collect();
        let mut committee = Self { hub, registry, members, terms: Vec::new(), active: 1, genesis: 0 };
        committee.register(chain);
        committee.configure(chain);
        let NewKey { groupKey, shareRoot, confirmation, signatures, indices } = committee.new_key();
        let activate = Registry::activateCall {
            committee: COMMITTEE,
            term: 1,
            groupKey,
            shareRoot,
            confirmation,
            signatures,
            indices,
        };
        chain.call(OWNER, registry, &activate).unwrap();
        committee.genesis = chain.now() + DELAY;
        committee
    }

    /// Unix seconds of an epoch's start.
    pub(crate) fn start_of(&self, epoch: u64) -> u64 {
        self.genesis + epoch * EPOCH
    }

    fn register(&self, chain: &mut Chain) {
        for (i, member) in (1u8..).zip(&self.members) {
            let [peer, dkg, receipt] = [0x10, 0x20, 0x30].map(|kind| B256::repeat_byte(kind + i));
            let call = Registry::registerCall {
                committee: COMMITTEE,
                peerKey: peer,
                dkgKey: dkg,
                receiptKey: receipt,
                endpoint: "/ip4/127.0.0.1/tcp/1".into(),
            };
            chain.call(member.address(), self.registry, &call).unwrap();
        }
    }

    /// Governance fixes the next term, whose key is dealt here.
    fn configure(&mut self, chain: &mut Chain) {
        let term = self.terms.len() as u64 + 1;
        let call = Registry::configureCall {
            committee: COMMITTEE,
            term,
            members: self.members.iter().map(PrivateKeySigner::address).collect(),
            policyHash: book_root(),
            epochSeconds: EPOCH,
            slotMs: 1_000,
            genesisDelay: DELAY,
        };
        chain.call(OWNER, self.registry, &call).unwrap();
        let config = chain.ask(self.registry, &Registry::configDigestCall { committee: COMMITTEE, term });
        let (sharing, shares) = deal_for_tests(4, 6 + term);
        self.terms.push(Term { sharing, shares, config });
    }

    /// The last configured term's key, with all that the registry asks for.
    fn new_key(&self) -> NewKey {
        let (term, keys) = (self.terms.len() as u64, self.terms.last().unwrap());
        let key = keys.sharing.group.to_eip2537();
        let (hash, root) = (keccak256(key), keccak256(format!("shares of term {term}")));
        let (committee, config) = (COMMITTEE, keys.config);
        let confirmation =
            KeyConfirmation { committee, term, configDigest: config, groupKeyHash: hash, shareRoot: root };
        let consent = Activation { committee, term, configDigest: config, groupKeyHash: hash, shareRoot: root };
        let digest = self.digest(&consent);
        NewKey {
            groupKey: Bytes::copy_from_slice(&key),
            shareRoot: root,
            confirmation: self.certify(term, &self.digest(&confirmation)),
            signatures: self.members.iter().take(3).map(|member| sign(member, &digest)).collect(),
            indices: vec![0, 1, 2],
        }
    }

    /// The term that was activated last hands over to a new one from `from_epoch` on. A refused hand-over leaves the term
    /// configured, for the next try.
    pub(crate) fn rotate(&mut self, chain: &mut Chain, from_epoch: u64) -> Result<(), Refused> {
        let old = self.active;
        if self.terms.len() as u64 == old {
            self.configure(chain);
        }
        let next = self.new_key();
        let rotation = Rotation {
            committee: COMMITTEE,
            term: old,
            configDigest: self.of(old).config,
            newTerm: old + 1,
            newConfigDigest: self.of(old + 1).config,
            newGroupKeyHash: keccak256(&next.groupKey),
            fromEpoch: from_epoch,
            baseHeader: keccak256("base"),
        };
        let certificate = self.certify(old, &self.digest(&rotation));
        chain.call(OWNER, self.registry, &Registry::rotateCall { rotation, certificate, next })?;
        self.active = old + 1;
        Ok(())
    }

    /// Posts a header for an epoch that is over; returns its digest.
    pub(crate) fn post(&self, chain: &mut Chain, told: &Told) -> Result<B256, Refused> {
        let header = Header {
            committee: COMMITTEE,
            term: told.term,
            configDigest: self.of(told.term).config,
            stream: STREAM,
            epoch: told.epoch,
            periodStart: self.start_of(told.epoch),
            periodEnd: self.start_of(told.epoch + 1),
            snapshotBlock: 1,
            snapshotHash: keccak256("snapshot"),
            leafCount: told.leaf_count,
            leavesRoot: told.leaves_root,
            stateRoot: keccak256(told.epoch.to_be_bytes()),
            observationsHash: keccak256("observations"),
            policyHash: book_root(),
            previousHeader: told.previous,
            participation: U256::from(15u64),
        };
        let digest = self.digest(&header);
        let certificate = self.certify(told.term, &digest);
        chain.call(OWNER, self.hub, &Hub::postCall { header, certificate }).map(|_| digest)
    }

    /// The guardian disables the root of an epoch and all later ones.
    pub(crate) fn disable(&self, chain: &mut Chain, epoch: u64) -> Result<(), Refused> {
        let call = Hub::disableCall { committee: COMMITTEE, stream: STREAM, epoch };
        chain.call(OWNER, self.hub, &call).map(drop)
    }

    fn of(&self, term: u64) -> &Term {
        &self.terms[term as usize - 1]
    }

    fn digest<T: SolStruct>(&self, value: &T) -> B256 {
        value.eip712_signing_hash(&eip712_domain! {
            name: "Plumbline",
            version: "1",
            chain_id: CHAIN_ID,
            verifying_contract: self.registry,
        })
    }

    /// A term's certificate over a digest, from three partials of four.
    fn certify(&self, term: u64, digest: &B256) -> Bytes {
        let Term { sharing, shares, .. } = self.of(term);
        let partials: Vec<_> = shares.iter().skip(1).map(|share| share.sign(&digest.0)).collect();
        Bytes::copy_from_slice(&sharing.recover(&digest.0, &partials).unwrap().to_onchain())
    }
}
