//! The contract events that the fold reads, and their raw form. Leaves out: every event that changes nothing here.

use alloy_primitives::{Address, B256};

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
        event LeaseOpened(uint64 indexed lease, uint256 indexed tokenId, address indexed lessee, address lessor, uint8 class, uint64 committee, uint32 stream, bytes32 policyHash, uint64 start, uint64 end, uint96 pricePerUnit);
        #[derive(Debug)]
        event LeaseClosed(uint64 indexed lease, uint256 refunded, uint256 bondReturned);
        #[derive(Debug)]
        event LeaseCancelled(uint64 indexed lease, address by);
        #[derive(Debug)]
        event ReportPosted(uint64 indexed committee, uint32 indexed stream, uint64 indexed epoch, bytes32 headerDigest, bytes32 leavesRoot, bytes32 stateRoot, uint64 activeAt);
    }
}
pub use sol_events::{
    DeviceKeyActivated, DeviceKeyRevoked, DeviceKeyRotated, DeviceRegistered, LeaseCancelled, LeaseClosed, LeaseOpened,
    MemberRegistered, ReportPosted, RotatedByGovernance, SharesRefreshed, TermActivated, TermConfigured, TermRotated,
    Transfer,
};

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
