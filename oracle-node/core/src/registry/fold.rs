//! Folding contract events into what the committee knows: keys, devices, leases, posted reports.
//! A log that does not decode changes nothing and is counted: one odd log must not stop a committee. Leaves out: terms
//! and their keys (`terms`).

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolEvent;

use super::events::{
    Contracts, DeviceKeyActivated, DeviceKeyRevoked, DeviceKeyRotated, DeviceRegistered, LeaseCancelled, LeaseClosed,
    LeaseEndSet, LeaseOpened, MemberRegistered, MeterKeySet, RawLog, ReportPosted, Transfer,
};
use super::keys::{Holders, Kids, claim_holds, proven_on_chain};
use super::terms::Terms;
use super::{Block, DeviceRecord, LeaseRecord, Snapshot};

/// A member as it registered itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Ed25519 transport key.
    pub peer_key: [u8; 32],
    /// Ed25519 key of the key generation.
    pub dkg_key: [u8; 32],
    /// Ed25519 key that signs receipts.
    pub receipt_key: [u8; 32],
    /// Where peers reach it (multiaddr text).
    pub endpoint: String,
}

/// A report that the hub holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posted {
    /// EIP-712 digest of its header.
    pub digest: B256,
    /// Root of its leaves.
    pub leaves_root: B256,
    /// Root of its state.
    pub state_root: B256,
    /// The block that carried the post.
    pub block: u64,
}

/// The chain's state as far as the committee needs it.
#[derive(Clone, Debug)]
pub struct Registry {
    contracts: Contracts,
    block: Block,
    members: BTreeMap<(u64, Address), Registration>,
    terms: Terms,
    devices: BTreeMap<u64, DeviceRecord>,
    /// Owner at registration, whom the key's claim names.
    claimed_by: BTreeMap<u64, Address>,
    kids: Kids,
    holders: Holders,
    leases: BTreeMap<u64, LeaseRecord>,
    posted: BTreeMap<(u64, u32, u64), Posted>,
    malformed: u64,
    /// Topic of `LeaseOpened`, computed once.
    lease_opened: B256,
}

/// A log that is no event of ours, or one with impossible contents.
pub(super) struct Odd;

impl From<alloy_sol_types::Error> for Odd {
    fn from(_: alloy_sol_types::Error) -> Self {
        Self
    }
}

fn token(id: U256) -> Result<u64, Odd> {
    u64::try_from(id).map_err(|_| Odd)
}

pub(super) fn read<E: SolEvent>(log: &RawLog) -> Result<E, Odd> {
    Ok(E::decode_raw_log_validate(log.topics.iter().copied(), &log.data)?)
}

impl Registry {
    /// Before any block.
    #[must_use]
    pub fn new(contracts: Contracts) -> Self {
        Self {
            contracts,
            block: Block { number: 0, hash: B256::ZERO, timestamp: 0 },
            members: BTreeMap::new(),
            terms: Terms::default(),
            devices: BTreeMap::new(),
            claimed_by: BTreeMap::new(),
            kids: Kids::default(),
            holders: Holders::default(),
            leases: BTreeMap::new(),
            posted: BTreeMap::new(),
            malformed: 0,
            lease_opened: LeaseOpened::signature_hash(),
        }
    }

    /// Applies the logs of the next finalized block, in order. Logs of other contracts are passed over.
    pub fn apply(&mut self, block: Block, logs: &[RawLog]) {
        self.block = block;
        let contracts = self.contracts;
        for log in logs.iter().filter(|log| contracts.contains(&log.address)) {
            let applied = match log.address {
                address if address == contracts.registry => self.apply_committee(log),
                address if address == contracts.devices => self.apply_device(log),
                address if address == contracts.escrow => self.apply_lease(log),
                _ => self.apply_hub(log),
            };
            if applied.is_err() {
                self.malformed = self.malformed.saturating_add(1);
            }
        }
    }

    fn apply_committee(&mut self, log: &RawLog) -> Result<(), Odd> {
        match log.topics.first() {
            Some(&MemberRegistered::SIGNATURE_HASH) => {
                let event: MemberRegistered = read(log)?;
                let registration = Registration {
                    peer_key: event.peerKey.0,
                    dkg_key: event.dkgKey.0,
                    receipt_key: event.receiptKey.0,
                    endpoint: event.endpoint,
                };
                self.members.insert((event.committee, event.member), registration);
            }
            _ => self.terms.apply(self.block.timestamp, log)?,
        }
        Ok(())
    }

    fn apply_device(&mut self, log: &RawLog) -> Result<(), Odd> {
        match log.topics.first() {
            Some(&DeviceRegistered::SIGNATURE_HASH) => {
                let event: DeviceRegistered = read(log)?;
                let (id, mut record) = device(&event)?;
                record.active &= self.kids.take(id, record.key.kid(), record.key.thumbprint());
                self.claimed_by.insert(id, record.owner);
                self.devices.insert(id, record);
            }
            Some(&DeviceKeyActivated::SIGNATURE_HASH) => {
                let event: DeviceKeyActivated = read(log)?;
                // A P-256 key is announced as active while it registers, before or after the record itself.
                let id = token(event.tokenId)?;
                self.holders.activated(id, event.thumbprint.0);
                if let Some(device) = self.devices.get_mut(&id).filter(|_| self.kids.may_count(id)) {
                    device.active = device.active || device.key.thumbprint() == event.thumbprint.0;
                }
            }
            Some(&DeviceKeyRotated::SIGNATURE_HASH) => {
                let event: DeviceKeyRotated = read(log)?;
                let id = token(event.tokenId)?;
                let new = key(event.alg, &event.publicKey)?;
                let proof = event.proof.as_ref().try_into().map_err(|_| Odd)?;
                let device = self.devices.get_mut(&id).ok_or(Odd)?;
                let first = self.kids.take(id, new.kid(), new.thumbprint());
                self.holders.left(id, &device.key.thumbprint());
                (device.key, device.proof, device.active) = (new, proof, first && proven_on_chain(&new));
                device.revoked = false;
                self.claimed_by.insert(id, event.owner);
            }
            Some(&MeterKeySet::SIGNATURE_HASH) => {
                let event: MeterKeySet = read(log)?;
                self.devices.get_mut(&token(event.tokenId)?).ok_or(Odd)?.meter_key = event.thumbprint.0;
            }
            Some(&DeviceKeyRevoked::SIGNATURE_HASH) => {
                let event: DeviceKeyRevoked = read(log)?;
                let id = token(event.tokenId)?;
                let device = self.devices.get_mut(&id).ok_or(Odd)?;
                (device.active, device.revoked) = (false, true);
                self.holders.revoked(id, event.thumbprint.0);
            }
            Some(&Transfer::SIGNATURE_HASH) => {
                let event: Transfer = read(log)?;
                // The transfer that mints comes before the registration; there is nothing to change then.
                if let Some(device) = self.devices.get_mut(&token(event.tokenId)?) {
                    device.owner = event.to;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn apply_lease(&mut self, log: &RawLog) -> Result<(), Odd> {
        match log.topics.first() {
            Some(topic) if *topic == self.lease_opened => {
                let event = LeaseOpened::read(log).ok_or(Odd)?;
                let offer = &event.data.terms;
                let record = LeaseRecord {
                    escrow: log.address,
                    device: token(event.token_id)?,
                    lessee: event.lessee,
                    lessor: offer.lessor,
                    class: offer.class,
                    committee: offer.committee,
                    stream: offer.stream,
                    policy_hash: offer.policyHash,
                    start: event.data.start,
                    end: event.data.end,
                };
                self.leases.insert(event.lease, record);
            }
            Some(&LeaseEndSet::SIGNATURE_HASH) => {
                let event: LeaseEndSet = read(log)?;
                self.leases.get_mut(&event.lease).ok_or(Odd)?.end = event.end;
            }
            Some(&LeaseClosed::SIGNATURE_HASH) => {
                let event: LeaseClosed = read(log)?;
                self.leases.remove(&event.lease);
            }
            Some(&LeaseCancelled::SIGNATURE_HASH) => {
                let event: LeaseCancelled = read(log)?;
                self.leases.remove(&event.lease);
            }
            _ => {}
        }
        Ok(())
    }

    fn apply_hub(&mut self, log: &RawLog) -> Result<(), Odd> {
        if log.topics.first() == Some(&ReportPosted::SIGNATURE_HASH) {
            let event: ReportPosted = read(log)?;
            let posted = Posted {
                digest: event.headerDigest,
                leaves_root: event.leavesRoot,
                state_root: event.stateRoot,
                block: self.block.number,
            };
            self.posted.insert((event.committee, event.stream, event.epoch), posted);
        }
        Ok(())
    }

    /// The contracts it reads.
    #[must_use]
    pub const fn contracts(&self) -> &Contracts {
        &self.contracts
    }

    /// The last block applied; zeros before any.
    #[must_use]
    pub const fn block(&self) -> Block {
        self.block
    }

    /// Logs of our contracts that could not be read.
    #[must_use]
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Devices and leases as of the last block.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { block: self.block, devices: self.devices.clone(), leases: self.leases.clone() }
    }

    /// Devices by token id.
    #[must_use]
    pub const fn devices(&self) -> &BTreeMap<u64, DeviceRecord> {
        &self.devices
    }

    /// Leases neither closed nor cancelled, by id.
    #[must_use]
    pub const fn leases(&self) -> &BTreeMap<u64, LeaseRecord> {
        &self.leases
    }

    /// What is known of terms.
    pub(super) const fn terms_known(&self) -> &Terms {
        &self.terms
    }

    /// What a member registered.
    #[must_use]
    pub fn registration(&self, committee: u64, member: &Address) -> Option<&Registration> {
        self.members.get(&(committee, *member))
    }

    /// Reports on the hub, by (committee, stream, epoch).
    #[must_use]
    pub const fn posted(&self) -> &BTreeMap<(u64, u32, u64), Posted> {
        &self.posted
    }

    /// Devices whose Ed25519 key waits for the committee, whose claim verifies and whose key the chain would let them have:
    /// (token, thumbprint), ascending. Of several that wait with one key only the first can get it, and is listed.
    #[must_use]
    pub fn pending_keys(&self, chain_id: u64) -> Vec<(u64, [u8; 32])> {
        let free =
            |device: &DeviceRecord| !device.active && !device.revoked && self.holders.is_free(&device.key.thumbprint());
        let waiting = self.devices.iter().filter(|(id, device)| free(device) && self.kids.may_count(**id));
        let proven = waiting.filter(|(token, device)| {
            let owner = self.claimed_by.get(token).copied().unwrap_or(device.owner);
            claim_holds(chain_id, &self.contracts.devices, &owner, device)
        });
        let mut listed = BTreeSet::new();
        let named = proven.map(|(token, device)| (*token, device.key.thumbprint()));
        named.filter(|(_, thumbprint)| listed.insert(*thumbprint)).collect()
    }
}

fn key(alg: u8, bytes: &[u8]) -> Result<attest::PublicKey, Odd> {
    attest::PublicKey::from_parts(alg, bytes).ok_or(Odd)
}

fn device(event: &DeviceRegistered) -> Result<(u64, DeviceRecord), Odd> {
    let key = key(event.alg, &event.publicKey)?;
    let record = DeviceRecord {
        owner: event.owner,
        active: proven_on_chain(&key),
        key,
        proof: event.proof.as_ref().try_into().map_err(|_| Odd)?,
        location: event.locationCommitment.0,
        class: event.class,
        revoked: false,
        meter_key: [0; 32],
    };
    Ok((token(event.tokenId)?, record))
}
