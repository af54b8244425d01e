//! What a testnet may ask a node to do wrong, so that a demonstration can show that one liar changes nothing.
//! Leaves out: every other kind of fault (`tests/sim` makes them from outside).

use std::collections::BTreeMap;

use crate::observation::{BY_ALWAYS, Bucket, LATENESS_MISSING};

/// How a node behaves. Always compiled in and [`Behaviour::Honest`] unless asked otherwise: a lie in an observation gains
/// nothing (f members change no outcome), so the knob is no weapon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Follows the protocol.
    #[default]
    Honest,
    /// Falsifies its own observations of these epochs (both ends included): leaves out half of what it holds, says that
    /// late answers came in time, and invents the lateness of beacons.
    Liar {
        /// First epoch of lies.
        from_epoch: u64,
        /// Last epoch of lies.
        to_epoch: u64,
    },
}

impl Behaviour {
    /// Whether observations of this epoch are falsified.
    #[must_use]
    pub const fn lies_in(self, epoch: u64) -> bool {
        match self {
            Self::Honest => false,
            Self::Liar { from_epoch, to_epoch } => from_epoch <= epoch && epoch <= to_epoch,
        }
    }
}

/// Turns an observation into a lie that is well formed and differs from the truth wherever there is something to see.
pub(super) fn falsify(buckets: &mut BTreeMap<u64, Bucket>, lateness: &mut [u32]) {
    for bucket in buckets.values_mut() {
        let mut place = 0u32;
        bucket.marks.retain(|_| {
            place = place.wrapping_add(1);
            place.is_multiple_of(2)
        });
        for mark in &mut bucket.marks {
            mark.by = BY_ALWAYS;
        }
    }
    for (place, late) in lateness.iter_mut().enumerate() {
        *late = if place % 2 == 0 { LATENESS_MISSING } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::{BY_NEVER, Mark};
    use crate::wire::Hash;

    #[test]
    fn a_lie_differs_and_is_well_formed() {
        let mark = |slot| Mark { class: 4, slot, boot: 1, seq: slot, id: Hash::from([slot as u8; 32]), by: BY_NEVER };
        let bucket = Bucket { device: 1, held: vec![], marks: (0..5).map(mark).collect(), forks: vec![] };
        let mut buckets = BTreeMap::from([(1, bucket)]);
        let mut lateness = [10, 10, 10];
        falsify(&mut buckets, &mut lateness);
        assert_eq!(lateness, [LATENESS_MISSING, 0, LATENESS_MISSING]);
        let marks: Vec<(u64, u32)> = buckets[&1].marks.iter().map(|m| (m.slot, m.by)).collect();
        assert_eq!(marks, [(1, BY_ALWAYS), (3, BY_ALWAYS)]);
    }

    #[test]
    fn lies_only_where_asked() {
        let liar = Behaviour::Liar { from_epoch: 2, to_epoch: 3 };
        assert_eq!([1, 2, 3, 4].map(|epoch| liar.lies_in(epoch)), [false, true, true, false]);
        assert!(!Behaviour::Honest.lies_in(2));
    }
}
