//! Endorsement tiers: what a maker vouches for, and how much of that a policy asks for. An endorsement reaches F as
//! evidence of its own class, signed by the endorsed device; F verifies the maker's signature under the keys that the
//! policy names, so members and auditors judge alike. docs/protocol.md §9.
//! Leaves out: revoking one device's endorsement (the registry revokes the device; a new policy drops a maker).

use std::collections::BTreeMap;

use alloy_primitives::hex;
use attest::{Endorsement, PublicKey, Tier};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::class::Fault;
use crate::policy::{Book, Policy};
use crate::reason::Reason;
use crate::registry::DeviceRecord;
use crate::report::Facts;
use crate::wire::Hash;

/// Most maker keys of a policy.
pub const MAKERS_MAX: usize = 64;

/// Which makers a policy trusts, and the lowest tier it takes of a class's devices. Empty: no endorsement is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndorsementPolicy {
    /// Keys of the makers, as `ed25519:<hex>` or `p256:<hex>`.
    pub makers: Vec<MakerKey>,
    /// Class of work → lowest tier (1 software, 2 secure element, 3 measured boot).
    pub min_tiers: BTreeMap<u8, u8>,
}

impl EndorsementPolicy {
    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.makers.is_empty() && self.min_tiers.is_empty()
    }

    /// Whether devices of a class need an endorsement.
    #[must_use]
    pub fn asks(&self, class: u8) -> bool {
        self.min_tiers.contains_key(&class)
    }

    /// What makes it nonsense.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some((class, tier)) = self.min_tiers.iter().find(|(_, tier)| Tier::from_u8(**tier).is_none()) {
            return Err(format!("endorsements.min_tiers asks class {class} for tier {tier}; tiers are 1 to 3"));
        }
        if self.makers.len() > MAKERS_MAX {
            return Err(format!("endorsements.makers lists {} keys, {MAKERS_MAX} are allowed", self.makers.len()));
        }
        if self.makers.is_empty() && !self.min_tiers.is_empty() {
            return Err(
                "endorsements.min_tiers asks for tiers that no maker in endorsements.makers can give".to_owned()
            );
        }
        Ok(())
    }

    fn maker(&self, thumbprint: &[u8; 32]) -> Option<&PublicKey> {
        self.makers.iter().map(|maker| &maker.0).find(|key| key.thumbprint() == *thumbprint)
    }
}

/// A maker's public key, as text in the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MakerKey(pub PublicKey);

impl Serialize for MakerKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = if matches!(self.0, PublicKey::Ed25519(_)) { "ed25519" } else { "p256" };
        serializer.collect_str(&format_args!("{name}:{}", hex::encode(self.0.bytes())))
    }
}

impl<'de> Deserialize<'de> for MakerKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let refuse = || D::Error::custom(format!("maker {text:?} is neither ed25519:<64 hex> nor p256:<128 hex>"));
        let (alg, key) = text.split_once(':').ok_or_else(refuse)?;
        let alg = match alg {
            "ed25519" => 1,
            "p256" => 2,
            _ => return Err(refuse()),
        };
        let key = hex::decode(key).ok().and_then(|bytes| PublicKey::from_parts(alg, &bytes));
        key.map(Self).ok_or_else(refuse)
    }
}

/// An endorsement that was verified, as Σ carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Endorsed {
    /// The tier.
    #[n(0)]
    pub tier: u8,
    /// Thumbprint of the endorsed key: after a change of keys it says nothing.
    #[n(1)]
    pub device: Hash,
    /// Thumbprint of the maker's key: once a policy drops the maker it says nothing.
    #[n(2)]
    pub maker: Hash,
}

/// What a certificate proves of a device's key by a maker that some policy of the book trusts; nothing when the maker is a
/// stranger, the key another's or the signature bad.
fn proven(book: &Book, key: &PublicKey, certificate: &[u8]) -> Option<Endorsed> {
    let endorsement = Endorsement::decode(certificate).ok()?;
    let maker = book.policies().find_map(|(_, policy)| policy.endorsements.maker(&endorsement.maker))?;
    endorsement.verify(maker, key).ok()?;
    let (device, maker) = (Hash::from(endorsement.device), Hash::from(endorsement.maker));
    Some(Endorsed { tier: endorsement.tier.as_u8(), device, maker })
}

/// Adds what a certificate proves of a key: the highest tier of each maker is kept, ascending by maker, so that the order
/// of messages decides nothing. What is of another key, or of a maker that no policy of the book trusts, is dropped.
pub fn learn(book: &Book, key: &PublicKey, known: &mut Vec<Endorsed>, certificate: &[u8]) {
    let trusted = |maker: &[u8; 32]| book.policies().any(|(_, policy)| policy.endorsements.maker(maker).is_some());
    known.retain(|one| *one.device == key.thumbprint() && trusted(&one.maker));
    let Some(new) = proven(book, key, certificate) else { return };
    match known.binary_search_by_key(&new.maker, |one| one.maker) {
        Ok(place) => {
            if let Some(old) = known.get_mut(place) {
                *old = (*old).max(new);
            }
        }
        Err(place) => known.insert(place, new),
    }
}

/// Why a device's work cannot count under a policy: its tier is too low (0: nothing is proven of it).
#[must_use]
pub fn shortfall(
    policy: &Policy,
    facts: &Facts,
    devices: &BTreeMap<u64, DeviceRecord>,
    class: u8,
    device: u64,
) -> Option<Fault> {
    let limit = *policy.endorsements.min_tiers.get(&class)?;
    let known = facts.devices.get(&device).map_or(&[][..], |state| &state.endorsed);
    let key = devices.get(&device).map(|record| record.key.thumbprint());
    let stands = |one: &&Endorsed| Some(*one.device) == key && policy.endorsements.maker(&one.maker).is_some();
    let tier = known.iter().filter(stands).map(|one| one.tier).max().unwrap_or(0);
    let fault = Fault { reason: Reason::TIER_TOO_LOW, measured: tier.into(), limit: limit.into() };
    (tier < limit).then_some(fault)
}

#[cfg(test)]
mod tests {
    use attest::{MAX_ENDORSEMENT, Signer, SoftEd25519, SoftP256};

    use super::*;

    fn certificate(maker: &dyn Signer, device: &PublicKey, tier: Tier) -> Vec<u8> {
        let made = Endorsement::issue(&maker, device, tier, [1; 32], "M1", 5).unwrap();
        let mut room = [0; MAX_ENDORSEMENT];
        let len = made.encode(&mut room).unwrap();
        room[..len].to_vec()
    }

    fn trusting(makers: &[&dyn Signer]) -> Book {
        let mut policy = crate::policy::tests::policy();
        let makers: Vec<MakerKey> = makers.iter().map(|maker| MakerKey(maker.public_key())).collect();
        policy["endorsements"] = serde_json::json!({"makers": makers, "min_tiers": {"1": 2}});
        crate::policy::tests::book(&[crate::policy::tests::conduct(), policy])
    }

    #[test]
    fn the_best_standing_endorsement_is_kept_in_any_order() {
        let (one, two, stranger) =
            (SoftP256::from_seed([1; 32]), SoftEd25519::from_seed([2; 32]), SoftEd25519::from_seed([3; 32]));
        let (key, other) = (SoftEd25519::from_seed([4; 32]).public_key(), SoftP256::from_seed([5; 32]).public_key());
        let book = trusting(&[&one, &two]);
        let (low, high) = (certificate(&one, &key, Tier::Software), certificate(&two, &key, Tier::SecureElement));
        let known = |certificates: &[&[u8]]| {
            let mut known = Vec::new();
            certificates.iter().for_each(|certificate| learn(&book, &key, &mut known, certificate));
            known
        };
        let best = known(&[&low, &high]);
        assert_eq!(best.iter().map(|one| one.tier).max(), Some(2));
        assert_eq!(known(&[&high, &low, &low]), best);
        // A stranger's word, another device's endorsement, a spoiled one and noise add nothing.
        let mut spoiled = high.clone();
        *spoiled.last_mut().unwrap() ^= 1;
        for bad in [
            certificate(&stranger, &key, Tier::MeasuredBoot),
            certificate(&one, &other, Tier::MeasuredBoot),
            spoiled,
            vec![7; 9],
        ] {
            assert_eq!(known(&[&bad]), []);
            assert_eq!(known(&[&low, &bad]), known(&[&low]));
        }
        // What was known falls with the key and with the maker.
        let mut rekeyed = best.clone();
        learn(&book, &other, &mut rekeyed, &[]);
        assert_eq!(rekeyed, []);
        let mut dropped = best;
        learn(&trusting(&[&one]), &key, &mut dropped, &[]);
        assert_eq!(dropped, known(&[&low]));
    }

    #[test]
    fn a_policy_document_holds_makers_and_tiers() {
        let maker = MakerKey(SoftP256::from_seed([1; 32]).public_key());
        let parsed = |makers: &[MakerKey], tiers: serde_json::Value| {
            let mut policy = crate::policy::tests::policy();
            policy["endorsements"] = serde_json::json!({"makers": makers, "min_tiers": tiers});
            Policy::parse(policy.to_string().as_bytes())
        };
        let policy = parsed(&[maker], serde_json::json!({"1": 2})).unwrap();
        assert_eq!((policy.endorsements.makers, policy.endorsements.min_tiers), (vec![maker], [(1, 2)].into()));
        assert!(parsed(&[], serde_json::json!({"1": 2})).unwrap_err().contains("no maker"));
        assert!(parsed(&[maker], serde_json::json!({"2": 4})).unwrap_err().contains("tiers are 1 to 3"));
        let text = serde_json::to_string(&maker).unwrap().replace("p256:", "rsa:");
        assert!(serde_json::from_str::<MakerKey>(&text).unwrap_err().to_string().contains("is neither ed25519"));
    }
}
