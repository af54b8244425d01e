//! The queue with the power going at every byte. What it does with the power on is tests/queue.rs.

use std::{vec, vec::Vec};

use super::*;
use crate::{Device, Nothing, Reading, Samples, SoftEd25519, VolatileBoot};

const NETWORK: Network = [3; 8];

/// Messages of different lengths.
fn messages() -> Vec<(Class, Vec<u8>, EvidenceId)> {
    let mut device =
        Device::boot(SoftEd25519::from_seed([1; 32]), &mut VolatileBoot::default(), NETWORK).expect("boots");
    let readings: [Reading; 20] = core::array::from_fn(|at| Reading { channel: at as u64, exponent: 0, mantissa: 7 });
    (0..5usize)
        .map(|n| {
            let mut buf = [0; MAX_MESSAGE];
            let samples = Samples::from(&readings[..(n * 5).max(1)]);
            let body: &dyn crate::Said = if n == 2 { &Nothing } else { &samples };
            let signed = device.message(None, None, body, &mut buf).expect("speaks");
            (signed.class, signed.bytes.to_vec(), signed.id)
        })
        .collect()
}

fn ids(queue: &Queue<'_>) -> Vec<(EvidenceId, u32)> {
    queue.iter().map(|item| (item.id, item.receipts)).collect()
}

/// Does `change` with the power going after every possible number of written bytes: what the next start finds is
/// the queue before or the queue after, and never goes back once it is the one after.
fn cut_everywhere(start: &[u8], change: impl Fn(&mut Queue<'_>)) -> usize {
    let mut whole = start.to_vec();
    let before = ids(&Queue::resume(&mut whole, &NETWORK));
    change(&mut Queue::resume(&mut whole, &NETWORK));
    let after = ids(&Queue::resume(&mut whole, &NETWORK));
    let mut turned = false;
    for power in 0.. {
        let mut memory = start.to_vec();
        let mut queue = Queue::over(&mut memory);
        queue.power = power;
        change(&mut queue);
        let spent = queue.power > 0;
        // The next start is cut off too, once, at an arbitrary place.
        let mut again = Queue::over(&mut memory);
        again.power = power % 97;
        again.close_gap();
        let found = ids(&Queue::resume(&mut memory, &NETWORK));
        assert!(found == before || found == after, "power for {power} bytes gives a third queue");
        assert!(!turned || found == after, "power for {power} bytes takes back what was done");
        turned |= found == after;
        if spent {
            assert!(turned && found == after);
            return power;
        }
    }
    0
}

#[test]
fn power_may_go_at_any_byte() {
    let sent = messages();
    let signed = |n: usize| {
        let (class, bytes, id) = &sent[n];
        Signed { class: *class, bytes, id: *id, seq: n as u64 }
    };
    let mut memory = vec![0xa7; 2000];
    let mut queue = Queue::new(&mut memory);
    for n in 0..4 {
        queue.push(&signed(n)).expect("fits");
    }
    let mut cuts = cut_everywhere(&memory, |queue| queue.push(&signed(4)).expect("fits"));
    for (_, _, id) in sent.iter().take(4) {
        cuts += cut_everywhere(&memory, |queue| _ = queue.receipt(id, 9, 1));
        cuts += cut_everywhere(&memory, |queue| _ = queue.receipt(id, 9, 2));
    }
    cuts += cut_everywhere(&memory, |queue| _ = queue.drop_front());
    assert!(cuts > 2000, "{cuts} places only");
}

#[test]
fn generations_wrap() {
    let sent = messages();
    let (class, bytes, id) = &sent[0];
    let mut memory = vec![0; 1000];
    let mut queue = Queue::new(&mut memory);
    queue.head.generation = u32::MAX - 2;
    for _ in 0..4 {
        queue.push(&Signed { class: *class, bytes, id: *id, seq: 0 }).expect("fits");
        let mut copy = queue.storage.to_vec();
        assert_eq!(Queue::resume(&mut copy, &NETWORK).iter().count(), queue.iter().count());
    }
}
