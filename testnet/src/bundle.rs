//! Reads an archived epoch (docs/protocol.md §10) without the core: which beacons it holds, and how late each member says, under
//! its signature, that it recovered them. Leaves out: replaying the report (`plumbline replay` does, offline).

use std::collections::BTreeMap;

use aggregator::{GroupKey, Signature};
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::{Eip712Domain, SolStruct as _, SolValue as _};
use anyhow::{Context as _, Result, bail, ensure};
use minicbor::Decoder;
use sha2::{Digest as _, Sha256};

use crate::contracts::MemberStatement;
use crate::expect::Slot;
use crate::{kind, rules};

/// What every signature of the committee binds, and who may sign.
#[derive(Clone, Debug)]
pub struct Scope {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// CommitteeRegistry.
    pub registry: Address,
    /// Committee number.
    pub committee: u64,
    /// Term number.
    pub term: u64,
    /// As the registry computed it.
    pub config_digest: B256,
    /// Members' addresses by index.
    pub members: Vec<Address>,
    /// The group key that the registry holds.
    pub group: GroupKey,
}

/// What of a bundle the calculation needs.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// Its number.
    pub epoch: u64,
    /// Members whose signed observations are in the bundle: agreed on, or published beside it as left out.
    pub observers: Vec<u32>,
    /// Per agreed observation: first slot and lateness in ms, `u32::MAX` = never recovered.
    pub lateness: Vec<(u64, Vec<u32>)>,
    /// Certificates, verified under the group key.
    pub beacons: BTreeMap<u64, [u8; 48]>,
}

/// One signed step of one member.
struct Statement {
    member: u32,
    instance: (u8, u32, u64),
    phase: u8,
    view: u32,
    value: [u8; 32],
    signature: Vec<u8>,
}

impl Scope {
    /// The network id of docs/protocol.md §1.
    #[must_use]
    pub fn network(&self) -> [u8; 8] {
        let mut hash = Sha256::new();
        hash.update(b"plumbline/network/v1");
        hash.update(self.chain_id.to_be_bytes());
        hash.update(self.registry);
        let digest: [u8; 32] = hash.finalize().into();
        let mut id = [0; 8];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        id
    }

    /// What the committee signs in a slot, docs/protocol.md §4.
    #[must_use]
    pub fn beacon(&self, slot: u64) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"plumbline/beacon/v1");
        hash.update(self.network());
        for number in [self.committee, self.term, slot] {
            hash.update(number.to_be_bytes());
        }
        hash.finalize().into()
    }

    fn check_beacon(&self, slot: u64, certificate: &[u8; 48]) -> Result<()> {
        let signature = Signature::from_bytes(certificate).with_context(|| format!("beacon of slot {slot}"))?;
        self.group.verify(&self.beacon(slot), &signature).with_context(|| format!("beacon of slot {slot}"))
    }

    /// Whether the member signed the statement: EIP-712, docs/protocol.md §6.
    fn check_statement(&self, statement: &Statement) -> Result<()> {
        let (kind, stream, epoch) = statement.instance;
        let instance = (U256::from(kind), self.committee, self.term, self.config_digest, stream, epoch).abi_encode();
        let said = MemberStatement {
            instance: keccak256(instance),
            phase: statement.phase,
            view: statement.view,
            value: B256::from(statement.value),
        };
        let domain = Eip712Domain {
            name: Some("Plumbline".into()),
            version: Some("1".into()),
            chain_id: Some(U256::from(self.chain_id)),
            verifying_contract: Some(self.registry),
            salt: None,
        };
        let digest = said.eip712_signing_hash(&domain);
        let signature = alloy::primitives::Signature::try_from(statement.signature.as_slice())?;
        let signer = signature.recover_address_from_prehash(&digest)?;
        let member = usize::try_from(statement.member)?;
        ensure!(self.members.get(member) == Some(&signer), "the observation of member {member} is signed by {signer}");
        Ok(())
    }
}

impl Epoch {
    /// Reads a bundle and checks every signature that the calculation leans on.
    ///
    /// # Errors
    /// When the bundle is malformed or a signature does not hold.
    pub fn read(bytes: &[u8], scope: &Scope) -> Result<Self> {
        let mut d = Decoder::new(bytes);
        ensure!(d.array()? == Some(11), "a bundle has eleven parts");
        ensure!(d.u32()? == 2, "a bundle of another version");
        let (_stream, epoch) = (d.u32()?, d.u64()?);
        d.skip()?; // header
        d.skip()?; // certificate
        d.skip()?; // state
        let mut statements = Vec::new();
        for _ in 0..length(&mut d)? {
            statements.push(statement(&mut d)?);
        }
        let mut lateness = Vec::new();
        ensure!(length(&mut d)? == statements.len() as u64, "not one body per observation");
        for statement in &statements {
            let from = d.position();
            lateness.push(body(&mut d)?);
            let encoded = bytes.get(from..d.position()).context("a body beyond the bundle's end")?;
            ensure!(
                Sha256::digest(encoded)[..] == statement.value,
                "member {}: another body was signed",
                statement.member
            );
            ensure!(statement.instance == (1, 0, epoch) && statement.phase == 1, "not an observation of epoch {epoch}");
            scope.check_statement(statement)?;
        }
        let mut beacons = BTreeMap::new();
        for _ in 0..length(&mut d)? {
            ensure!(d.array()? == Some(2), "a beacon is a pair");
            let slot = d.u64()?;
            let certificate: [u8; 48] = d.bytes()?.try_into().context("a certificate has 48 bytes")?;
            scope.check_beacon(slot, &certificate)?;
            beacons.insert(slot, certificate);
        }
        d.skip()?; // content
        for _ in 0..length(&mut d)? {
            let left_out = statement(&mut d)?;
            scope.check_statement(&left_out)?;
            statements.push(left_out);
        }
        Ok(Self { epoch, observers: statements.iter().map(|s| s.member).collect(), lateness, beacons })
    }

    /// Slots of which this member alone, among those agreed on, says that it never recovered the beacon; `None` when its
    /// observation was left out of the agreed set.
    #[must_use]
    pub fn denied_by(&self, member: u32) -> Option<usize> {
        let agreed = || self.observers.iter().zip(&self.lateness);
        let (_, (first, own)) = agreed().find(|(observer, _)| **observer == member)?;
        let others: Vec<&(u64, Vec<u32>)> =
            agreed().filter(|(observer, _)| **observer != member).map(|(_, list)| list).collect();
        let recovered = |slot: u64| {
            others.iter().all(|(from, list)| {
                let index = slot.checked_sub(*from).and_then(|index| usize::try_from(index).ok());
                index.and_then(|index| list.get(index)).is_some_and(|late| *late != u32::MAX)
            })
        };
        let denied = (*first..).zip(own).filter(|(slot, late)| **late == u32::MAX && recovered(*slot));
        Some(denied.count())
    }

    /// The slots of this epoch: void when the upper median of the signed lateness exceeds the bound (docs/protocol.md §9).
    ///
    /// # Errors
    /// When a slot is not void and its certificate is missing.
    pub fn slots(&self, void_bound_ms: u64) -> Result<BTreeMap<u64, Slot>> {
        let mut slots = BTreeMap::new();
        let starts = self.epoch * rules::EPOCH_S * 1000;
        let (shortest, longest) = kind::lags();
        let from = starts.checked_sub(longest).map_or(0, |offset| offset / rules::SLOT_MS + 1);
        let to = (starts + rules::EPOCH_S * 1000 - shortest) / rules::SLOT_MS + 1;
        for slot in from..to {
            let said = |(first, list): &(u64, Vec<u32>)| -> u32 {
                let index = slot.checked_sub(*first).and_then(|index| usize::try_from(index).ok());
                index.and_then(|index| list.get(index)).copied().unwrap_or(u32::MAX)
            };
            let mut all: Vec<u32> = self.lateness.iter().map(said).collect();
            all.sort_unstable();
            let median = all.get(all.len() / 2).copied().unwrap_or(u32::MAX);
            let void = u64::from(median) > void_bound_ms;
            let seed = self.beacons.get(&slot).map(|certificate| Sha256::digest(certificate).into());
            if !void && seed.is_none() {
                bail!("epoch {}: slot {slot} is not void, but its beacon is missing", self.epoch);
            }
            slots.insert(slot, Slot { seed, void });
        }
        Ok(slots)
    }
}

fn length(d: &mut Decoder<'_>) -> Result<u64> {
    d.array()?.context("a list of unknown length")
}

fn statement(d: &mut Decoder<'_>) -> Result<Statement> {
    ensure!(d.array()? == Some(6), "a statement has six parts");
    let member = d.u32()?;
    ensure!(d.array()? == Some(3), "an instance has three parts");
    let instance = (d.u8()?, d.u32()?, d.u64()?);
    let (phase, view) = (d.u8()?, d.u32()?);
    let value = d.bytes()?.try_into().context("a value has 32 bytes")?;
    Ok(Statement { member, instance, phase, view, value, signature: d.bytes()?.to_vec() })
}

/// First slot and lateness of an observation body.
fn body(d: &mut Decoder<'_>) -> Result<(u64, Vec<u32>)> {
    ensure!(d.array()? == Some(6), "a body has six parts");
    d.skip()?; // epoch
    d.skip()?; // buckets
    let first = d.u64()?;
    let mut lateness = Vec::new();
    for _ in 0..length(d)? {
        lateness.push(d.u32()?);
    }
    d.skip()?; // receipt log root
    d.skip()?; // measurements
    Ok((first, lateness))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(lateness: [[u32; 15]; 3], beacons: std::ops::Range<u64>) -> Epoch {
        let lateness = lateness.into_iter().map(|list| (0, list.to_vec())).collect();
        Epoch {
            epoch: 0,
            observers: vec![0, 1, 2],
            lateness,
            beacons: beacons.map(|slot| (slot, [slot as u8; 48])).collect(),
        }
    }

    #[test]
    fn a_slot_is_void_by_the_median_and_needs_no_beacon_then() {
        let (mut late, mut missing) = ([100; 15], [100; 15]);
        (late[0], late[1], missing[0]) = (701, 700, u32::MAX);
        let slots = epoch([[100; 15], late, missing], 1..13).slots(700).unwrap();
        // Slot 0: 100, 701 and missing; slot 1: two of three in time.
        assert!(slots[&0].void && slots[&0].seed.is_none());
        assert!(!slots[&1].void && slots[&1].seed.is_some());
        // The last slot with an answer due in epoch 0 starts 3 s before its end.
        assert_eq!(slots.keys().next_back(), Some(&12));
    }

    #[test]
    fn a_member_that_denies_beacons_stands_alone() {
        let mut lie = [0; 15];
        (lie[3], lie[5]) = (u32::MAX, u32::MAX);
        let epoch = epoch([[100; 15], lie, [100; 15]], 1..13);
        assert_eq!([0, 1, 3].map(|member| epoch.denied_by(member)), [Some(0), Some(2), None]);
    }

    #[test]
    fn a_beacon_that_should_be_there_is_missed() {
        assert!(epoch([[100; 15]; 3], 1..13).slots(700).is_err());
    }
}
