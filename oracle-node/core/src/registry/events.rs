//! The contract events that the fold reads, and their raw form. Leaves out: every event that changes nothing here.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;

/// Event declarations, exactly as the contracts emit them.
#[allow(missing_docs)]
mod sol_events {
    alloy_sol_types::sol! {
        #[derive(Debug)]
        event MemberRegistered(uint64 indexed committee, address indexed member, bytes32 peerKey, bytes32 dkgKey, bytes32 receiptKey, string endpoint);
        #[derive(Debug)]
        event TermConfigured(uint64 indexed committee, uint64 indexed term, bytes32 configDigest, address[] members, bytes32[] peerKeys, bytes32[] dkgKeys, bytes32 policyHash, uint64 epochSeconds, uint64 slotMs, uint64 genesisDelay);
        #[derive(Debug)]
        event TermActivated(uint64 indexed committee, uint64 indexed term, bytes groupKey, bytes32 shareRoot, uint64 genesis);
        #[derive(Debug)]
        event TermRotated(uint64 indexed committee, uint64 indexed newTerm, uint64 fromEpoch, bytes32 baseHeader);
        #[derive(Debug)]
        event RotatedByGovernance(uint64 indexed committee, uint64 indexed newTerm);
        #[derive(Debug)]
        event DeviceRegistered(uint256 indexed tokenId, address indexed owner, uint8 alg, bytes publicKey, bytes proof, bytes32 locationCommitment, uint8 class);
        #[derive(Debug)]
        event DeviceKeyActivated(uint256 indexed tokenId, bytes32 thumbprint);
        #[derive(Debug)]
        event DeviceKeyRotated(uint256 indexed tokenId, address indexed owner, uint8 alg, bytes publicKey, bytes proof);
        #[derive(Debug)]
        event DeviceKeyRevoked(uint256 indexed tokenId, bytes32 thumbprint);
        #[derive(Debug)]
        event SharesRefreshed(uint64 indexed committee, uint64 indexed term, bytes32 shareRoot);
        #[derive(Debug)]
        event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
        #[derive(Debug)]
        event MeterKeySet(uint256 indexed tokenId, bytes32 thumbprint);
        /// The first fields of what a lessor signed; docs/protocol.md §6. An offer has more fields than the encoder takes in one
        /// struct, and all of them are static, so that halves one after the other are encoded as the whole.
        #[derive(Debug, Default, PartialEq, Eq)]
        struct OfferTerms {
            uint256 tokenId;
            address lessor;
            address payee;
            address lessee;
            address token;
            uint8 class;
            uint64 committee;
            uint32 stream;
            bytes32 policyHash;
            uint96 price;
            uint8 unitExponent;
            uint96 maxUnitsPerHour;
            uint96 creditPerHour;
            uint128 tiers;
            uint96 bond;
        }
        /// The other fields.
        #[derive(Debug, Default, PartialEq, Eq)]
        struct OfferBounds {
            uint96 minDeposit;
            uint96 damageDeposit;
            address arbiter;
            uint32 damageWindow;
            uint16 feeBp;
            uint96 minFee;
            uint32 notice;
            uint32 holdBack;
            address gate;
            bytes32 predicate;
            uint64 start;
            uint64 end;
            uint64 series;
            uint64 nonce;
            uint64 expiry;
        }
        /// What `LeaseOpened` carries besides its topics.
        #[derive(Debug)]
        struct LeaseOpenedData {
            uint64 start;
            uint64 end;
            uint96 deposit;
            OfferTerms terms;
            OfferBounds bounds;
        }
        #[derive(Debug)]
        event LeaseEndSet(uint64 indexed lease, uint64 end);
        #[derive(Debug)]
        event LeaseClosed(uint64 indexed lease, uint256 refunded, uint256 bondReturned);
        #[derive(Debug)]
        event LeaseCancelled(uint64 indexed lease, address by);
        #[derive(Debug)]
        event ReportPosted(uint64 indexed committee, uint32 indexed stream, uint64 indexed epoch, bytes32 headerDigest, bytes32 leavesRoot, bytes32 stateRoot, uint64 activeAt);
    }
}
pub use sol_events::{
    DeviceKeyActivated, DeviceKeyRevoked, DeviceKeyRotated, DeviceRegistered, LeaseCancelled, LeaseClosed, LeaseEndSet,
    LeaseOpenedData, MemberRegistered, MeterKeySet, OfferBounds, OfferTerms, ReportPosted, RotatedByGovernance,
    SharesRefreshed, TermActivated, TermConfigured, TermRotated, Transfer,
};

/// The offer's type, as EIP-712 and the ABI write it.
pub const OFFER_TYPE: &str = "Offer(uint256 tokenId,address lessor,address payee,address lessee,address token,uint8 class,uint64 committee,uint32 stream,bytes32 policyHash,uint96 price,uint8 unitExponent,uint96 maxUnitsPerHour,uint96 creditPerHour,uint128 tiers,uint96 bond,uint96 minDeposit,uint96 damageDeposit,address arbiter,uint32 damageWindow,uint16 feeBp,uint96 minFee,uint32 notice,uint32 holdBack,address gate,bytes32 predicate,uint64 start,uint64 end,uint64 series,uint64 nonce,uint64 expiry)";

/// The types of an offer's fields in parentheses, as signatures write the struct.
#[must_use]
pub fn offer_tuple() -> String {
    let fields = OFFER_TYPE.trim_start_matches("Offer(").trim_end_matches(')');
    let types: Vec<&str> = fields.split(',').filter_map(|field| field.split(' ').next()).collect();
    format!("({})", types.join(","))
}

/// `LeaseOpened(uint64 indexed lease, uint256 indexed tokenId, address indexed lessee, uint64 start, uint64 end,
/// uint96 deposit, Offer offer)`.
#[derive(Debug)]
pub struct LeaseOpened {
    /// Lease id.
    pub lease: u64,
    /// Device.
    pub token_id: U256,
    /// Who pays and uses.
    pub lessee: Address,
    /// The rest.
    pub data: LeaseOpenedData,
}

impl LeaseOpened {
    /// Topic 0.
    #[must_use]
    pub fn signature_hash() -> B256 {
        keccak256(format!("LeaseOpened(uint64,uint256,address,uint64,uint64,uint96,{})", offer_tuple()))
    }

    /// Reads a log; `None` when it is no such event.
    #[must_use]
    pub fn read(log: &RawLog) -> Option<Self> {
        let [signature, lease, token_id, lessee] = log.topics.as_slice() else { return None };
        if *signature != Self::signature_hash() {
            return None;
        }
        let data = LeaseOpenedData::abi_decode_validate(&log.data).ok()?;
        let lease = u64::try_from(U256::from_be_bytes(lease.0)).ok()?;
        let token_id = U256::from_be_bytes(token_id.0);
        Some(Self { lease, token_id, lessee: Address::from_word(*lessee), data })
    }

    /// The log of it.
    #[must_use]
    pub fn log(&self, escrow: Address) -> RawLog {
        let (lease, token) = (U256::from(self.lease).to_be_bytes(), self.token_id.to_be_bytes());
        let topics = vec![Self::signature_hash(), B256::new(lease), B256::new(token), self.lessee.into_word()];
        RawLog { address: escrow, topics, data: self.data.abi_encode() }
    }
}

/// One log as a chain client gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLog {
    /// Emitting contract.
    pub address: Address,
    /// Topics, the event's signature hash first.
    pub topics: Vec<B256>,
    /// ABI-encoded rest.
    pub data: Vec<u8>,
}

/// The contracts whose logs count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contracts {
    /// CommitteeRegistry.
    pub registry: Address,
    /// DeviceRegistry.
    pub devices: Address,
    /// LeaseEscrow.
    pub escrow: Address,
    /// ReportHub.
    pub hub: Address,
}

impl Contracts {
    /// Whether logs of this address may change the fold.
    #[must_use]
    pub fn contains(&self, address: &Address) -> bool {
        [self.registry, self.devices, self.escrow, self.hub].contains(address)
    }
}
