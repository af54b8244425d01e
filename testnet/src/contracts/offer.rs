//! An offer, which has more fields than the encoder takes in one struct. All of them are static, so that two halves one after
//! the other are encoded as the whole: only the names of the two functions and of the event that carry it are written by
//! hand, and a test holds them against the exported ABI. Leaves out: every call without an offer (`contracts`).

use alloy::primitives::{Address, B256, Bytes, Log, U256, b256, keccak256};
use alloy::sol_types::{SolCall, SolValue as _};

/// Generated; documented in the Solidity interfaces.
#[allow(missing_docs)]
mod bindings {
    alloy::sol! {
        #[derive(Debug, Default)]
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
        #[derive(Debug, Default)]
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
        #[derive(Debug, Default)]
        struct Acceptance {
            address lessee;
            uint96 deposit;
            uint256 classes;
            bytes32[] bookProof;
            bytes admission;
            uint8 minTier;
            uint64 registeredBefore;
        }
        #[derive(Debug)]
        function open(OfferTerms terms, OfferBounds bounds, bytes signature, Acceptance acceptance) returns (uint64 lease);
        #[derive(Debug)]
        function offerDigest(OfferTerms terms, OfferBounds bounds) returns (bytes32 digest);
    }
}
pub use bindings::{Acceptance, OfferBounds, OfferTerms};

/// What a lessor signs.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// Its first fields.
    pub terms: OfferTerms,
    /// The others.
    pub bounds: OfferBounds,
}

/// `LeaseEscrow.open(Offer, bytes, Acceptance)`.
#[derive(Clone, Debug)]
pub struct Open(bindings::openCall);

/// `LeaseEscrow.offerDigest(Offer)`.
#[derive(Clone, Debug)]
pub struct OfferDigest(bindings::offerDigestCall);

/// Topic 0 of `LeaseOpened`.
pub const LEASE_OPENED: B256 = b256!("9ea70fe15920fbc2e24ac194e16444c2bbc577bd20ff627cda5e5c4706b88695");

impl Offer {
    /// The call that accepts it.
    #[must_use]
    pub fn open(self, signature: Bytes, acceptance: Acceptance) -> Open {
        Open(bindings::openCall { terms: self.terms, bounds: self.bounds, signature, acceptance })
    }

    /// The question what its lessor signs.
    #[must_use]
    pub fn digest(&self) -> OfferDigest {
        OfferDigest(bindings::offerDigestCall { terms: self.terms.clone(), bounds: self.bounds.clone() })
    }
}

/// The lease that a log says was opened; `None` when it says something else.
#[must_use]
pub fn opened(log: &Log) -> Option<u64> {
    let [topic, lease, ..] = log.topics() else { return None };
    (*topic == LEASE_OPENED).then(|| U256::from_be_bytes(lease.0).to())
}

/// The leaf of a document in a policy book.
#[must_use]
pub fn book_leaf(document: &B256, classes: U256) -> B256 {
    keccak256(keccak256((*document, classes).abi_encode()))
}

/// Service levels as an offer packs them: (below, credit) in basis points.
#[must_use]
pub fn tiers(levels: &[(u16, u16)]) -> u128 {
    let packed = levels.iter().map(|(below, credit)| u128::from(*below) << 16 | u128::from(*credit));
    packed.zip(0u32..).fold(0, |all, (level, place)| all | level << (32 * place))
}

/// An acceptance by the caller, with this deposit, of an offer whose policy document has these classes in the book.
#[must_use]
pub fn acceptance(deposit: U256, classes: U256, book_proof: Vec<B256>) -> Acceptance {
    Acceptance { deposit: deposit.to(), classes, bookProof: book_proof, lessee: Address::ZERO, ..Acceptance::default() }
}

/// A call encoded as another is, under its own name.
macro_rules! call {
    ($name:ident, $inner:ty, $selector:expr, $signature:literal) => {
        impl SolCall for $name {
            type Parameters<'a> = <$inner as SolCall>::Parameters<'a>;
            type Token<'a> = <$inner as SolCall>::Token<'a>;
            type Return = <$inner as SolCall>::Return;
            type ReturnTuple<'a> = <$inner as SolCall>::ReturnTuple<'a>;
            type ReturnToken<'a> = <$inner as SolCall>::ReturnToken<'a>;

            const SIGNATURE: &'static str = $signature;
            const SELECTOR: [u8; 4] = $selector;

            fn new<'a>(tuple: <Self::Parameters<'a> as alloy::sol_types::SolType>::RustType) -> Self {
                Self(<$inner as SolCall>::new(tuple))
            }

            fn tokenize(&self) -> Self::Token<'_> {
                self.0.tokenize()
            }

            fn tokenize_returns(ret: &Self::Return) -> Self::ReturnToken<'_> {
                <$inner as SolCall>::tokenize_returns(ret)
            }

            fn abi_decode_returns(data: &[u8]) -> alloy::sol_types::Result<Self::Return> {
                <$inner as SolCall>::abi_decode_returns(data)
            }

            fn abi_decode_returns_validate(data: &[u8]) -> alloy::sol_types::Result<Self::Return> {
                <$inner as SolCall>::abi_decode_returns_validate(data)
            }
        }
    };
}

call!(Open, bindings::openCall, [0x4c, 0x77, 0xdd, 0x89], "open(Offer,bytes,Acceptance)");
call!(OfferDigest, bindings::offerDigestCall, [0x20, 0xcd, 0x44, 0xd7], "offerDigest(Offer)");
