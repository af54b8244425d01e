//! Fault proofs: two signatures of one member that must not both exist. Anyone checks them offline, a contract too.
//! docs/protocol.md §6. Leaves out: finding them (`qbft`, `oracle`) and punishing (OperatorStake).

use alloy_primitives::{Address, B256, hex};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::typed::{Scope, recover_signer};
use crate::wire::{self, Statement};

/// Longest proof, encoded: two statements.
const PROOF_BYTES_MAX: usize = 1_024;

/// Two statements of one member about one instance, phase and view that say different things.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct FaultProof {
    /// The one seen first.
    #[n(0)]
    pub a: Statement,
    /// The one that contradicts it.
    #[n(1)]
    pub b: Statement,
}

/// Why two statements prove no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// They differ in member, instance, phase or view.
    #[error("the two statements are not about the same step of the same member")]
    Unrelated,
    /// They say the same.
    #[error("the two statements say the same")]
    Equal,
    /// At least one was not signed by the member it names.
    #[error("a statement was not signed by the member it names")]
    NotAuthentic,
    /// A published proof with a field that is not what it should be.
    #[error("{0} is missing or not of its form")]
    Field(&'static str),
}

/// A fault proof with all that is needed to check it: a file that one hands on (docs/protocol.md §6). Text is 0x hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// CommitteeRegistry.
    pub registry: String,
    /// Committee.
    pub committee: u64,
    /// Term.
    pub term: u64,
    /// Digest of the term's configuration.
    pub config_digest: String,
    /// Address of the member at fault.
    pub member: String,
    /// What it contradicted itself about, in words; proves nothing.
    pub about: String,
    /// [`FaultProof`], encoded.
    pub proof: String,
}

impl Published {
    /// Checks the proof under the term's scope and members, and writes it out.
    ///
    /// # Errors
    /// As [`FaultProof::verify`].
    pub fn of(proof: &FaultProof, scope: &Scope, members: &[Address]) -> Result<Self, FaultError> {
        let index = usize::try_from(proof.verify(scope, members)?).map_err(|_| FaultError::NotAuthentic)?;
        let said = &proof.a;
        let phase = said.phase().map_or_else(|| said.phase.to_string(), |phase| format!("{phase:?}").to_lowercase());
        let kind = said.instance.kind().map_or_else(String::new, |kind| format!("{kind:?}").to_lowercase());
        Ok(Self {
            chain_id: scope.chain_id,
            registry: scope.registry.to_string(),
            committee: scope.committee,
            term: scope.term,
            config_digest: scope.config_digest.to_string(),
            member: members.get(index).ok_or(FaultError::NotAuthentic)?.to_string(),
            about: format!("{kind} {}, {phase}, view {}", said.instance.epoch, said.view),
            proof: hex::encode_prefixed(wire::encode(proof)),
        })
    }

    /// Checks the proof: both statements are signed, under the scope that it names, by the member that it names.
    ///
    /// # Errors
    /// What is wrong with it. Whether the scope is a real committee's is for the reader to compare.
    pub fn verify(&self) -> Result<(Scope, Address, FaultProof), FaultError> {
        let scope = Scope {
            chain_id: self.chain_id,
            registry: self.registry.parse().map_err(|_| FaultError::Field("registry"))?,
            committee: self.committee,
            term: self.term,
            config_digest: self.config_digest.parse::<B256>().map_err(|_| FaultError::Field("config_digest"))?,
        };
        let member: Address = self.member.parse().map_err(|_| FaultError::Field("member"))?;
        let bytes = hex::decode(&self.proof).map_err(|_| FaultError::Field("proof"))?;
        let proof: FaultProof = wire::decode(&bytes, PROOF_BYTES_MAX).map_err(|_| FaultError::Field("proof"))?;
        proof.contradicts()?;
        let signer = |s: &Statement| s.digest(&scope).and_then(|digest| recover_signer(&digest, &s.signature));
        match [&proof.a, &proof.b].iter().all(|statement| signer(statement) == Some(member)) {
            true => Ok((scope, member, proof)),
            false => Err(FaultError::NotAuthentic),
        }
    }
}

impl FaultProof {
    /// Checks the proof under the term's scope and member addresses (in order) and names the member at fault.
    ///
    /// # Errors
    /// The statements do not contradict each other, or one of them was not signed by the member.
    pub fn verify(&self, scope: &Scope, members: &[Address]) -> Result<u32, FaultError> {
        self.contradicts()?;
        let (a, b) = (&self.a, &self.b);
        if !a.is_authentic(scope, members) || !b.is_authentic(scope, members) {
            return Err(FaultError::NotAuthentic);
        }
        Ok(a.member)
    }

    /// One step, two values.
    fn contradicts(&self) -> Result<(), FaultError> {
        let (a, b) = (&self.a, &self.b);
        if (a.member, a.instance, a.phase, a.view) != (b.member, b.instance, b.phase, b.view) {
            return Err(FaultError::Unrelated);
        }
        if a.value == b.value {
            return Err(FaultError::Equal);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;
    use crate::typed::{Kind, MemberKey, Phase};
    use crate::wire::InstanceId;

    fn scope() -> Scope {
        Scope { chain_id: 1, registry: Address::ZERO, committee: 1, term: 1, config_digest: B256::ZERO }
    }

    fn statement(key: &MemberKey, view: u32, value: u8) -> Statement {
        let instance = InstanceId::new(Kind::Report, 0, 5);
        Statement::sign(&scope(), key, 0, instance, Phase::Prepare, view, B256::repeat_byte(value))
    }

    #[test]
    fn only_a_signed_contradiction_is_a_fault() {
        let key = MemberKey::from_bytes(&[7; 32]).unwrap();
        let stranger = MemberKey::from_bytes(&[8; 32]).unwrap();
        let members = [key.address()];
        let proof = |a, b| FaultProof { a, b }.verify(&scope(), &members);
        assert_eq!(proof(statement(&key, 1, 1), statement(&key, 1, 2)), Ok(0));
        assert_eq!(proof(statement(&key, 1, 1), statement(&key, 1, 1)), Err(FaultError::Equal));
        assert_eq!(proof(statement(&key, 1, 1), statement(&key, 2, 2)), Err(FaultError::Unrelated));
        assert_eq!(proof(statement(&key, 1, 1), statement(&stranger, 1, 2)), Err(FaultError::NotAuthentic));
        let mut other_scope = scope();
        other_scope.term = 2;
        let valid = FaultProof { a: statement(&key, 1, 1), b: statement(&key, 1, 2) };
        assert_eq!(valid.verify(&other_scope, &members), Err(FaultError::NotAuthentic));
    }

    #[test]
    fn a_published_proof_stands_alone_and_cannot_be_turned_on_another() {
        let (key, other) = (MemberKey::from_bytes(&[7; 32]).unwrap(), MemberKey::from_bytes(&[8; 32]).unwrap());
        let proof = FaultProof { a: statement(&key, 1, 1), b: statement(&key, 1, 2) };
        let file = Published::of(&proof, &scope(), &[key.address()]).unwrap();
        assert_eq!(file.verify(), Ok((scope(), key.address(), proof)));
        assert_eq!(file.about, "report 5, prepare, view 1");
        let changed = [
            Published { member: other.address().to_string(), ..file.clone() },
            Published { term: 2, ..file.clone() },
            Published { chain_id: 2, ..file.clone() },
            Published { proof: file.proof.replacen("01", "02", 1), ..file.clone() },
            Published { proof: "0x".into(), ..file.clone() },
            Published { registry: "0x12".into(), ..file.clone() },
        ];
        assert!(changed.iter().all(|file| file.verify().is_err()));
        assert_eq!(
            Published::of(&FaultProof { a: statement(&key, 1, 1), b: statement(&key, 1, 1) }, &scope(), &[]),
            Err(FaultError::Equal)
        );
    }
}
