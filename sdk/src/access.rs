//! A device's own check of who may use it (ERC-4907 `userOf`): the committee-certified feed of
//! `plumbline/v1/down/<kid>/access`, believed for the certificate's sake and not for the broker's or the node's.
//! Leaves out: MQTT, letting the user in, and leases of other devices.

use alloy_primitives::Address;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oracle_core::merkle::{self, ShaStep};
use oracle_core::report::StateTag;
use oracle_core::state::LeaseState;
use oracle_core::typed::Header;
use oracle_core::wire::{self, Bytes, Hash, WireError};

use crate::report::header_from_abi;
use crate::verify::{self, Trust, VerifyError};

/// Longest feed taken, bytes. The header takes 512, and a path of 64 steps, more than any state has, about 2,300.
pub const FEED_BYTES_MAX: usize = 4_096;

/// The feed as published: a report header and the leaf of its state tree that tells of the device's lease.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Feed {
    /// ABI encoding of the header.
    #[n(0)]
    pub header: ByteVec,
    /// The committee's certificate over the header's digest.
    #[n(1)]
    pub certificate: Bytes<48>,
    /// CBOR of the lease's state.
    #[n(2)]
    pub leaf: ByteVec,
    /// Path from the leaf to the header's state root: (sibling, whether it stands on the left).
    #[n(3)]
    pub proof: Vec<(Hash, bool)>,
}

/// What a feed proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who may use the device.
    pub user: Address,
    /// By which lease.
    pub lease: u64,
    /// From then on, unix seconds.
    pub starts: u64,
    /// Until then, unix seconds, not included.
    pub expires: u64,
    /// Epoch of the report that says so.
    pub epoch: u64,
    /// End of that epoch, unix seconds: how old the word is.
    pub as_of: u64,
}

/// Why a feed is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// Not a feed.
    #[error("feed: {0}")]
    Malformed(String),
    /// The header is not certified by the committee.
    #[error(transparent)]
    Certificate(#[from] VerifyError),
    /// The leaf is not in the certified state.
    #[error("the lease is not in the certified state")]
    NotInState,
    /// It is about another device.
    #[error("the feed is about device {0}")]
    OtherDevice(u64),
    /// Something newer is known: brokers keep old messages, and some replay them on purpose.
    #[error("epoch {told} is older than epoch {known}, which is known already")]
    Older {
        /// Epoch of the feed.
        told: u64,
        /// Newest epoch known.
        known: u64,
    },
}

impl From<WireError> for AccessError {
    fn from(error: WireError) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// The door of one device: it learns from feeds and answers who may use the device.
#[derive(Clone, Debug)]
pub struct Gate {
    trust: Trust,
    /// The next term's, from its first epoch on.
    next: Option<(u64, Trust)>,
    device: u64,
    max_age: u64,
    newest: Option<Grant>,
}

impl Gate {
    /// A closed door. `device` is the token id; a word older than `max_age` seconds opens nothing, since the lease may
    /// have been closed in the meantime: about two epochs are a good choice.
    #[must_use]
    pub const fn new(trust: Trust, device: u64, max_age: u64) -> Self {
        Self { trust, next: None, device, max_age, newest: None }
    }

    /// Follows a rotation (`attest::TermKeys`): from the next term's first epoch on only its certificate counts, and before
    /// it only the other's.
    pub fn trust(&mut self, current: Trust, next: Option<(u64, Trust)>) {
        (self.trust, self.next) = (current, next);
    }

    /// Checks a feed and keeps what it proves.
    ///
    /// # Errors
    /// The first thing that does not hold; what was known stays.
    pub fn learn(&mut self, payload: &[u8]) -> Result<Grant, AccessError> {
        let epoch = header(&wire::decode(payload, FEED_BYTES_MAX)?)?.epoch;
        let next = self.next.as_ref().filter(|(from_epoch, _)| epoch >= *from_epoch);
        let grant = check(next.map_or(&self.trust, |(_, trust)| trust), self.device, payload)?;
        if let Some(known) = self.newest.filter(|known| known.epoch > grant.epoch) {
            return Err(AccessError::Older { told: grant.epoch, known: known.epoch });
        }
        self.newest = Some(grant);
        Ok(grant)
    }

    /// Who may use the device at `now` (unix seconds): nobody outside the lease or by too old a word.
    #[must_use]
    pub fn user_of(&self, now: u64) -> Option<Address> {
        let grant = self.newest.as_ref()?;
        let fresh = now <= grant.as_of.saturating_add(self.max_age);
        (fresh && grant.starts <= now && now < grant.expires).then_some(grant.user)
    }
}

fn header(feed: &Feed) -> Result<Header, AccessError> {
    header_from_abi(&feed.header).map_err(AccessError::Malformed)
}

/// Checks one feed for one device, without a memory of earlier ones.
///
/// # Errors
/// The first thing that does not hold.
pub fn check(trust: &Trust, device: u64, payload: &[u8]) -> Result<Grant, AccessError> {
    let feed: Feed = wire::decode(payload, FEED_BYTES_MAX)?;
    let header = header(&feed)?;
    verify::certificate(trust, &header, &feed.certificate)?;
    let steps: Vec<ShaStep> =
        feed.proof.iter().map(|(sibling, left)| ShaStep { sibling: **sibling, left: *left }).collect();
    if !merkle::sha_verify(&header.stateRoot.0, &merkle::sha_leaf(&feed.leaf), &steps) {
        return Err(AccessError::NotInState);
    }
    // The state's head, devices and shadows are leaves of the same tree, told apart by their tags.
    let lease = StateTag::Lease.strip(&feed.leaf).ok_or(AccessError::NotInState)?;
    let lease: LeaseState = wire::decode(lease, FEED_BYTES_MAX)?;
    if lease.device != device {
        return Err(AccessError::OtherDevice(lease.device));
    }
    Ok(Grant {
        user: Address::from(*lease.lessee),
        lease: lease.lease,
        starts: lease.start,
        expires: lease.end,
        epoch: header.epoch,
        as_of: header.periodEnd,
    })
}
