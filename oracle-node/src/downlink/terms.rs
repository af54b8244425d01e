//! Devices are told of the committee's keys: the last rotations, retained on the term topic (docs/protocol.md §11), as soon as
//! they are final and again by one member an epoch, in turn, so that what a liar puts in their place does not stay.
//! Leaves out: where certificates come from (`chain`).

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::Address;
use attest::{Home, MAX_ROTATIONS, topic_term};
use oracle_core::registry::Registry;

use crate::chain::{Rotations, SignedRotation};
use crate::metrics::Metrics;
use crate::mqtt::Publisher;

/// Pause after a look that failed.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest pause between such looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Time between two looks at whose turn it is.
const LOOK: Duration = Duration::from_secs(1);

/// The payload: rotations, oldest first, the newest [`MAX_ROTATIONS`] of them. `home`'s timing is not in it.
#[must_use]
pub fn rotations(home: &Home, rotations: &[SignedRotation]) -> Vec<u8> {
    let newest = rotations.get(rotations.len().saturating_sub(MAX_ROTATIONS)..).unwrap_or_default();
    let mut payload = attest::Rotations::head(home, u8::try_from(newest.len()).unwrap_or_default()).to_vec();
    for SignedRotation { rotation, group_key, certificate } in newest {
        let row = attest::Rotation {
            term: rotation.term,
            config: &rotation.configDigest.0,
            new_term: rotation.newTerm,
            new_config: &rotation.newConfigDigest.0,
            from_epoch: rotation.fromEpoch,
            base: &rotation.baseHeader.0,
            group_key,
            certificate: &certificate.unwrap_or([0; 48]),
        };
        payload.extend(row.to_bytes());
    }
    payload
}

/// Tells devices of rotations.
#[derive(Debug)]
pub struct Teller {
    /// Where they come from.
    pub rotations: Rotations,
    /// This member, for its turn.
    pub own: Address,
    /// The clock, unix ms.
    pub clock: fn() -> u64,
    /// The node's metrics.
    pub metrics: Metrics,
}

impl Teller {
    /// Runs until the chain is no longer watched.
    pub async fn run(self, publisher: Publisher) {
        let (mut seen, mut said_in, mut pause) = (None::<Arc<Registry>>, None, PAUSE);
        while self.rotations.view.has_changed().is_ok() {
            let (chain_id, registry) = {
                let view = self.rotations.view.borrow();
                (view.chain_id, Arc::clone(&view.registry))
            };
            let home = home(chain_id, &registry, self.rotations.committee);
            let topic = topic_term(&home.network(), home.committee);
            if !seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &registry)) {
                let (found, trouble) = self.rotations.last(MAX_ROTATIONS).await;
                if !found.is_empty() {
                    publisher.retain(&topic, &rotations(&home, &found));
                }
                if let Some(error) = trouble {
                    self.metrics.chain_errors.inc();
                    tracing::warn!(%error, "a rotation cannot be told to devices yet; trying again in {} s", pause.as_secs());
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
                (seen, pause) = (Some(Arc::clone(&registry)), PAUSE);
            }
            let turn = turn(&registry, chain_id, home.committee, self.own, (self.clock)());
            if turn.is_some() && std::mem::replace(&mut said_in, turn) != turn {
                publisher.retain_again(&topic);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Whose rotations they are. The timing is left out: only devices need it.
fn home(chain_id: u64, registry: &Registry, committee: u64) -> Home {
    Home { chain_id, registry: registry.contracts().registry.into_array(), committee, epoch_ms: 0, slot_ms: 0 }
}

/// The epoch, when it is this member's turn to say it again.
fn turn(registry: &Registry, chain_id: u64, committee: u64, own: Address, now_ms: u64) -> Option<u64> {
    let term = registry.term(chain_id, committee, registry.active_term(committee)?)?;
    let place = term.members.iter().position(|member| member.address == own)?;
    let epoch = term.epoch_at(now_ms)?;
    (epoch.checked_rem(u64::from(term.n())) == u64::try_from(place).ok()).then_some(epoch)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;
    use attest::TermError;
    use oracle_core::typed::Rotation;

    use super::*;

    const HOME: Home = Home { chain_id: 1, registry: [2; 20], committee: 3, epoch_ms: 0, slot_ms: 0 };

    fn signed(term: u64, certificate: Option<[u8; 48]>) -> SignedRotation {
        let rotation = Rotation {
            committee: 3,
            term,
            configDigest: B256::repeat_byte(4),
            newTerm: term + 1,
            newConfigDigest: B256::repeat_byte(5),
            newGroupKeyHash: B256::ZERO,
            fromEpoch: 10 * term,
            baseHeader: B256::repeat_byte(6),
        };
        SignedRotation { rotation, group_key: [term as u8; 256], certificate }
    }

    #[test]
    fn the_newest_rotations_are_told_oldest_first() {
        let all: Vec<SignedRotation> = (1..=10).map(|term| signed(term, Some([0x80; 48]))).collect();
        let payload = rotations(&HOME, &all);
        let parsed = attest::Rotations::parse(&payload, &HOME).expect("what devices read");
        let told: Vec<_> = parsed.iter().map(|row| (row.term, row.new_term, row.from_epoch)).collect();
        assert_eq!(told, (3..=10).map(|term| (term, term + 1, 10 * term)).collect::<Vec<_>>());
        assert!(parsed.iter().all(|row| *row.group_key == [row.term as u8; 256] && !row.is_unsigned()));
        assert_eq!(attest::Rotations::parse(&rotations(&HOME, &[]), &HOME).expect("none").iter().count(), 0);
    }

    #[test]
    fn a_rotation_by_governance_is_told_as_unsigned() {
        let payload = rotations(&HOME, &[signed(1, None)]);
        let first = attest::TermKey { term: 1, group_key: [0; 256] };
        let followed = attest::TermKeys::trust(HOME, first).follow(&payload, |_| attest::Unchecked);
        assert_eq!(followed, Err(TermError::Governance { term: 1, new_term: 2 }));
    }
}
