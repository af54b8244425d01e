//! What each lease must be paid, calculated without the core: from beacon certificates, the devices' own logs and the
//! committee's signed lateness. Own code for draws, bounds and time, so that a mistake in the core shows.
//! Leaves out: reading the logs (`deeds` and each kind's), and what the chain paid (`chain`).

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::device::Clock;
use crate::fleet::Unit;
use crate::rules::ClassRules;

/// Slots by (epoch in which they fall due, slot): a slot near an epoch's end is due in this epoch for one class and in the next
/// for another, and each epoch has its own agreed lateness.
pub type Slots = BTreeMap<(u64, u64), Slot>;

/// One slot as the beacon left it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot {
    /// Seed, when the certificate is known.
    pub seed: Option<[u8; 32]>,
    /// Whether the median of the signed lateness exceeds the bound.
    pub void: bool,
}

/// One lease as its parties know it.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// Lease id.
    pub lease: u64,
    /// Device token id.
    pub device: u64,
    /// Unix seconds.
    pub start: u64,
    /// Unix seconds.
    pub end: u64,
    /// Last deadline of its class after the slot's start, ms.
    pub lag_ms: u64,
    /// The rules of its class.
    pub rules: ClassRules,
}

impl Lease {
    /// The lease of a device between two unix seconds.
    #[must_use]
    pub fn of(unit: &Unit, start: u64, end: u64) -> Self {
        let kind = unit.plan.kind;
        Self { lease: unit.lease, device: unit.token, start, end, lag_ms: kind.lag_ms(), rules: kind.rules() }
    }
}

/// What the device did about its challenges, by its own log.
#[derive(Clone, Debug, Default)]
pub struct Deeds {
    /// Slots in which it was drawn and met the challenge.
    pub met: BTreeSet<u64>,
    /// Slots in which it provably lied about others: one lost challenge each.
    pub lies: BTreeSet<u64>,
}

/// What must have been proven and paid, in units of the lease's class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Challenges that counted.
    pub challenged: u64,
    /// Of these, met.
    pub passed: u64,
    /// Units that could be proven: seconds of slots that are not void, for a lease that is paid by the second.
    pub elapsed: u64,
    /// Proven units.
    pub good: u64,
    /// Units proven bad.
    pub bad: u64,
    /// Units credited to the lessee.
    pub credit: u64,
}

/// The draw of a device and lease in a slot; docs/protocol.md §5.
#[must_use]
pub fn draw(seed: &[u8; 32], device: u64, lease: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"plumbline/challenge/v1");
    hash.update(seed);
    hash.update(device.to_be_bytes());
    hash.update(lease.to_be_bytes());
    hash.finalize().into()
}

/// Whether a draw is a challenge.
#[must_use]
pub fn is_drawn(draw: &[u8; 32], challenge_p: u64) -> bool {
    draw.iter().take(8).fold(0u64, |acc, byte| acc << 8 | u64::from(*byte)) < challenge_p
}

/// Lower and upper end of the Wilson interval of k successes in n.
fn wilson(passed: u64, challenged: u64, z_squared: f64) -> (f64, f64) {
    if challenged == 0 {
        return (0.0, 1.0);
    }
    let (k, n) = (passed as f64, challenged as f64);
    let middle = (k + z_squared / 2.0) / (n + z_squared);
    let half = (z_squared * (k * (n - k) / n + z_squared / 4.0)).sqrt() / (n + z_squared);
    (middle - half, middle + half)
}

/// The epoch in which a challenge of this slot falls due: start(e) < slot start + lag ≤ end(e); docs/protocol.md §5.
#[must_use]
pub const fn due_in(clock: &Clock, lag_ms: u64, slot: u64) -> u64 {
    (slot * clock.slot_ms + lag_ms).div_ceil(clock.epoch_ms).saturating_sub(1)
}

/// Follows one lease that is paid by the second from epoch 0 to `last_epoch`, both included.
#[must_use]
pub fn follow(clock: &Clock, lease: &Lease, slots: &Slots, deeds: &Deeds, last_epoch: u64) -> Expected {
    let z_squared = lease.rules.z_squared_millionths as f64 / 1e6;
    let target = target(clock, lease, z_squared);
    let mut sum = Expected::default();
    for epoch in 0..=last_epoch {
        for ((_, number), slot) in slots.range((epoch, 0)..(epoch + 1, 0)) {
            let at = clock.start(*number);
            let here = due_in(clock, lease.lag_ms, *number) == epoch;
            if !here || at < lease.start * 1000 || at >= lease.end * 1000 || slot.void {
                continue;
            }
            sum.elapsed += clock.slot_ms / 1000;
            let Some(seed) = slot.seed else { continue };
            if is_drawn(&draw(&seed, lease.device, lease.lease), lease.rules.challenge_p) {
                sum.challenged += 1;
                sum.passed += u64::from(deeds.met.contains(number));
            }
            sum.challenged += u64::from(deeds.lies.contains(number));
        }
        settle(&mut sum, z_squared, target);
    }
    sum.credit = sum.bad * lease.rules.credit_bp / 10_000;
    sum
}

/// The bound that a perfect device reaches with half of the challenges that the lease may expect.
fn target(clock: &Clock, lease: &Lease, z_squared: f64) -> f64 {
    let slots = (lease.end - lease.start) * 1000 / clock.slot_ms;
    let expected = (u128::from(lease.rules.challenge_p) * u128::from(slots)) >> 64;
    let half = u64::try_from(expected / 2).unwrap_or(u64::MAX).max(1);
    wilson(half, half, z_squared).0
}

/// Moves the proven and the bad seconds to where the bounds put them; never backwards.
fn settle(sum: &mut Expected, z_squared: f64, target: f64) {
    let (lower, upper) = wilson(sum.passed, sum.challenged, z_squared);
    // The allowance is far below one second and only undoes the rounding of binary fractions.
    let whole = |seconds: f64| (seconds + 1e-6).floor() as u64;
    let good = whole((lower / target).clamp(0.0, 1.0) * sum.elapsed as f64);
    sum.good = sum.good.max(good.min(sum.elapsed.saturating_sub(sum.bad)));
    let bad = whole((1.0 - upper).max(0.0) * sum.elapsed as f64);
    sum.bad = sum.bad.max(bad.min(sum.elapsed.saturating_sub(sum.good)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock { genesis_ms: 1_000_000, slot_ms: 1_000, epoch_ms: 15_000 };
    const RULES: ClassRules =
        ClassRules { deadline_ms: 2_000, challenge_p: u64::MAX, z_squared_millionths: 2_706_025, credit_bp: 5_000 };
    const LEASE: Lease = Lease { lease: 1, device: 1, start: 1_000, end: 1_060, lag_ms: 3_000, rules: RULES };

    fn slots() -> Slots {
        (0..80)
            .map(|s| ((due_in(&CLOCK, LEASE.lag_ms, s), s), Slot { seed: Some([s as u8; 32]), void: false }))
            .collect()
    }

    #[test]
    fn a_perfect_device_is_paid_in_full() {
        let deeds = Deeds { met: (0..80).collect(), ..Deeds::default() };
        let expected = follow(&CLOCK, &LEASE, &slots(), &deeds, 4);
        assert_eq!((expected.challenged, expected.passed, expected.good, expected.bad), (60, 60, 60, 0));
    }

    #[test]
    fn a_device_silent_half_way_keeps_what_it_had_proven() {
        let deeds = Deeds { met: (0..30).collect(), ..Deeds::default() };
        let expected = follow(&CLOCK, &LEASE, &slots(), &deeds, 4);
        assert!(expected.good >= 25 && expected.good <= 30, "{expected:?}");
        assert!(expected.bad > 10 && expected.good + expected.bad <= expected.elapsed, "{expected:?}");
    }

    #[test]
    fn void_slots_count_neither_way() {
        let mut slots = slots();
        for slot in 10..20 {
            slots.insert((due_in(&CLOCK, LEASE.lag_ms, slot), slot), Slot { seed: None, void: true });
        }
        let deeds = Deeds { met: (0..80).collect(), ..Deeds::default() };
        let expected = follow(&CLOCK, &LEASE, &slots, &deeds, 4);
        assert_eq!((expected.challenged, expected.elapsed, expected.bad), (50, 50, 0));
    }

    #[test]
    fn a_false_witness_pays_for_its_lies() {
        let honest = Deeds { met: (0..80).collect(), ..Deeds::default() };
        let liar = Deeds { lies: (0..60).collect(), ..honest.clone() };
        let (honest, liar) = (follow(&CLOCK, &LEASE, &slots(), &honest, 4), follow(&CLOCK, &LEASE, &slots(), &liar, 4));
        assert_eq!(liar.challenged, 2 * honest.challenged);
        assert!(liar.good < honest.good * 2 / 3, "{liar:?}");
    }
}
