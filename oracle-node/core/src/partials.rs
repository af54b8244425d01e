//! Partials over one message until they give a certificate. Callers take a partial from its author's own hands only.
//!
//! What a partial says cannot be trusted before it is checked, and a check costs a pairing. So partials are combined without
//! looking at them; only when the result is wrong are they checked, the wrong ones thrown out, and their seats are free
//! again. A member that gives reason to that a few times is not heard again: rubbish costs its sender its own seat.
//! Leaves out: who may sign what, and when (`beacon`, `bootstrap`, `oracle`).

use std::collections::BTreeMap;

use aggregator::{Partial, Sharing, Signature};

/// Times that one member may give reason to a check. An honest one does when its share was refreshed and ours was not yet.
const CHECKS_MAX: u32 = 4;

/// At most one partial per member, over one message.
#[derive(Debug, Default)]
pub struct Partials {
    seats: BTreeMap<u32, Seat>,
    /// Checks by the member that gave reason to them.
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

    /// Adds a member's partial. When one is held that differs, both are checked and the true one stays.
    /// Gives the member back when a partial of it was refused; one of no member of the sharing changes nothing.
    pub fn add(&mut self, sharing: &Sharing, message: &[u8; 32], member: u32, bytes: &[u8; 48]) -> Option<u32> {
        let held = self.seats.get(&member).copied();
        let settled = held.is_some_and(|seat| seat.verified || seat.signature.to_bytes() == *bytes);
        let spent = self.checks.get(&member).is_some_and(|checks| *checks >= CHECKS_MAX);
        if settled || spent || member >= sharing.n {
            return None;
        }
        let Ok(signature) = Signature::from_bytes(bytes) else {
            self.charge(member);
            return Some(member);
        };
        let Some(seat) = held else {
            self.seats.insert(member, Seat { signature, verified: false });
            return None;
        };
        self.charge(member);
        for signature in [signature, seat.signature] {
            if sharing.verify_partial(message, &Partial { index: member, signature }).is_ok() {
                self.seats.insert(member, Seat { signature, verified: true });
                break;
            }
        }
        Some(member)
    }

    fn charge(&mut self, member: u32) {
        let checks = self.checks.entry(member).or_default();
        *checks = checks.saturating_add(1);
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
        culprits.iter().for_each(|member| self.charge(*member));
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
    fn rubbish_costs_its_sender_its_seat_and_the_others_a_few_checks() {
        let (sharing, shares) = aggregator::deal_for_tests(4, 9);
        let message = [5; 32];
        let mut partials = Partials::default();
        partials.set_own(shares[0].sign(&message));
        partials.add(&sharing, &message, 1, &shares[1].sign(&message).signature.to_bytes());
        let mut searches = 0;
        for rubbish in 0..100u8 {
            let wrong = shares[3].sign(&[rubbish.wrapping_add(100); 32]).signature.to_bytes();
            partials.add(&sharing, &message, 3, &wrong);
            searches += u32::from(!partials.recover(&sharing, &message).1.is_empty());
        }
        assert_eq!(searches, CHECKS_MAX);
        partials.add(&sharing, &message, 2, &shares[2].sign(&message).signature.to_bytes());
        let (certificate, culprits) = partials.recover(&sharing, &message);
        assert!(certificate.is_some() && culprits.is_empty());
    }
}
