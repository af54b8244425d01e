//! Partials over one message until they give a certificate, whoever sent or relayed them.
//!
//! What a partial says about its author cannot be trusted before it is checked: beacon partials carry no other signature,
//! and a signed statement covers the digest, not the partial beside it. So partials are combined without looking at them;
//! only when the result is wrong are they checked, the wrong ones thrown out, and the seat is free for the true one:
//! nobody can block another member's partial by sending rubbish in its name. Checks are counted against the peer that
//! handed the partials over, so that rubbish uses up no checks but those of whoever sends it.
//! Leaves out: who may sign what, and when (`beacon`, `bootstrap`, `oracle`).

use std::collections::BTreeMap;

use aggregator::{Partial, Sharing, Signature};

/// Partials of one peer that are checked one by one; a flood of rubbish costs no more than twice so many pairings.
const CHECKS_MAX: u32 = 16;

/// At most one partial per member, over one message.
#[derive(Debug, Default)]
pub struct Partials {
    seats: BTreeMap<u32, Seat>,
    /// Checks by the peer that gave reason to them.
    checks: BTreeMap<u32, u32>,
}

/// A partial in one member's name.
#[derive(Clone, Copy, Debug)]
struct Seat {
    signature: Signature,
    verified: bool,
}

impl Partials {
    /// Sets this member's own partial, which needs no check.
    pub fn set_own(&mut self, partial: Partial) {
        self.seats.insert(partial.index, Seat { signature: partial.signature, verified: true });
    }

    /// A member's partial as held here, 48 bytes.
    #[must_use]
    pub fn get(&self, member: u32) -> Option<[u8; 48]> {
        self.seats.get(&member).map(|seat| seat.signature.to_bytes())
    }

    /// Members that a partial is held of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether no partial is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Adds a partial in a member's name that the authenticated peer `from` handed over. When one is held that differs, both are checked and the true one stays.
    /// A member's own partial from its own hands is thus never refused for what others sent in its name.
    /// Gives the member back when a partial in its name was refused; one of no member of the sharing changes nothing.
    pub fn add(
        &mut self,
        sharing: &Sharing,
        message: &[u8; 32],
        from: u32,
        member: u32,
        bytes: &[u8; 48],
    ) -> Option<u32> {
        let held = self.seats.get(&member).copied();
        let settled = held.is_some_and(|seat| seat.verified || seat.signature.to_bytes() == *bytes);
        if settled || member >= sharing.n {
            return None;
        }
        let Ok(signature) = Signature::from_bytes(bytes) else { return Some(member) };
        let Some(seat) = held else {
            self.seats.insert(member, Seat { signature, verified: false });
            return None;
        };
        let used = self.checks.entry(from).or_default();
        *used = used.saturating_add(1);
        if *used > CHECKS_MAX {
            return Some(member);
        }
        for signature in [signature, seat.signature] {
            if sharing.verify_partial(message, &Partial { index: member, signature }).is_ok() {
                self.seats.insert(member, Seat { signature, verified: true });
                break;
            }
        }
        Some(member)
    }

    /// The certificate, verified, if there are enough partials; and the members whose partials were found wrong and
    /// thrown out.
    pub fn recover(&mut self, sharing: &Sharing, message: &[u8; 32]) -> (Option<Signature>, Vec<u32>) {
        let threshold = usize::try_from(sharing.threshold).unwrap_or(usize::MAX);
        let all = self.all();
        let Some(first) = all.get(..threshold) else { return (None, Vec::new()) };
        if let Ok(certificate) = sharing.recover(message, first) {
            return (Some(certificate), Vec::new());
        }
        let culprits = sharing.culprits(message, &all).unwrap_or_default();
        self.seats.retain(|member, _| !culprits.contains(member));
        self.seats.values_mut().for_each(|seat| seat.verified = true);
        (sharing.recover(message, &self.all()).ok(), culprits)
    }

    /// Every partial held, those known to be true first.
    fn all(&self) -> Vec<Partial> {
        let partial = |(index, seat): (&u32, &Seat)| Partial { index: *index, signature: seat.signature };
        let (sure, unsure): (Vec<_>, Vec<_>) = self.seats.iter().partition(|(_, seat)| seat.verified);
        sure.into_iter().chain(unsure).map(partial).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flood_in_a_members_name_keeps_its_own_partial_out() {
        let (sharing, shares) = aggregator::deal_for_tests(4, 9);
        let message = [5; 32];
        let mut partials = Partials::default();
        partials.set_own(shares[0].sign(&message));
        for rubbish in 0..100u8 {
            let wrong = shares[3].sign(&[rubbish.wrapping_add(100); 32]).signature.to_bytes();
            partials.add(&sharing, &message, 3, 1, &wrong);
        }
        let [first, second] = [1, 2].map(|member: usize| shares[member].sign(&message).signature.to_bytes());
        partials.add(&sharing, &message, 1, 1, &first);
        assert_eq!(partials.get(1), Some(first), "the true one has the seat");
        partials.add(&sharing, &message, 2, 2, &second);
        let (certificate, culprits) = partials.recover(&sharing, &message);
        assert!(certificate.is_some() && culprits.is_empty());
    }
}
