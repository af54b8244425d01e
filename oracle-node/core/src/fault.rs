//! Fault proofs: two signatures of one member that must not both exist. Anyone checks them offline, a contract too.
//! docs/protocol.md §6. Leaves out: finding them (`qbft`, `oracle`) and punishing (OperatorStake).

use alloy_primitives::Address;
use minicbor::{Decode, Encode};

use crate::typed::Scope;
use crate::wire::Statement;

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
}

impl FaultProof {
    /// Checks the proof under the term's scope and member addresses (in order) and names the member at fault.
    ///
    /// # Errors
    /// The statements do not contradict each other, or one of them was not signed by the member.
    pub fn verify(&self, scope: &Scope, members: &[Address]) -> Result<u32, FaultError> {
        let (a, b) = (&self.a, &self.b);
        if (a.member, a.instance, a.phase, a.view) != (b.member, b.instance, b.phase, b.view) {
            return Err(FaultError::Unrelated);
        }
        if a.value == b.value {
            return Err(FaultError::Equal);
        }
        if !a.is_authentic(scope, members) || !b.is_authentic(scope, members) {
            return Err(FaultError::NotAuthentic);
        }
        Ok(a.member)
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
}
