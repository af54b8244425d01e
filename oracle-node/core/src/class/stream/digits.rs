//! Last digits: a sensor of a stated resolution shows all of them; a made-up or coarser series shows few.
//! Leaves out: series that do not change, which constancy judges.

use minicbor::{Decode, Encode};

use super::policy::DigitsPolicy;

/// The last digits of the changes looked at so far, and what the stretch before them was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Digits {
    /// Bit d: the digit d was seen.
    #[n(0)]
    pub(super) mask: u16,
    /// Changes looked at.
    #[n(1)]
    pub(super) changes: u32,
    /// The stretch before showed too few, and this one has not shown enough yet.
    #[n(2)]
    pub(super) suspect: bool,
}

/// What the newest change shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Nothing yet, or enough.
    Fine,
    /// Too few digits: in the stretch that ended now, or in the one before while this one has not shown enough.
    Few(u32),
}

impl Digits {
    /// Takes a value that differs from the one before. Whether the stretch ended with it comes second.
    pub(super) fn push(&mut self, policy: &DigitsPolicy, resolution: i64, value: i64) -> (Shown, bool) {
        let digit = value.checked_div(resolution).unwrap_or(0).unsigned_abs() % 10;
        self.mask |= 1u16.checked_shl(u32::try_from(digit).unwrap_or(0)).unwrap_or(0);
        self.changes = self.changes.saturating_add(1);
        let distinct = self.mask.count_ones();
        let few = distinct < policy.distinct_min;
        self.suspect &= few;
        let ended = self.changes >= policy.changes;
        if ended {
            *self = Self { mask: 0, changes: 0, suspect: few };
        }
        (if few && (ended || self.suspect) { Shown::Few(distinct) } else { Shown::Fine }, ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_found_after_a_stretch_and_cleared_by_real_digits() {
        let policy = DigitsPolicy { changes: 20, distinct_min: 5 };
        let mut digits = Digits::default();
        let halves: Vec<bool> = (0..50).map(|k| digits.push(&policy, 1, k * 5).0 != Shown::Fine).collect();
        assert!(halves[..19].iter().all(|few| !few) && halves[19..].iter().all(|few| *few));
        let real: Vec<bool> = (0..50).map(|k| digits.push(&policy, 1, k * 7).0 != Shown::Fine).collect();
        assert!(real[5..].iter().all(|few| !few));
    }
}
