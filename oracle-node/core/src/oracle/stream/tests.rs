//! A stream that stood still for long asks for the snapshots that it could not keep, and for nothing else.

use alloy_primitives::B256;

use super::*;
use crate::registry::Block;

/// What was told, as the node's watcher tells it: in order, each once.
fn tell(stream: &mut Stream, epochs: core::ops::Range<u64>) {
    for epoch in epochs {
        let block = Block { number: epoch, hash: B256::ZERO, timestamp: epoch };
        let snapshot = Snapshot { block, devices: BTreeMap::new(), leases: BTreeMap::new() };
        stream.add_snapshot(epoch, Arc::new(snapshot));
    }
}

fn at(stream: &mut Stream, epoch: u64) {
    stream.begin_from(epoch, State { next_epoch: epoch, ..State::default() });
}

#[test]
fn a_stream_that_stood_still_for_long_asks_for_what_it_could_not_keep() {
    let (desk, _) = crate::oracle::pull::tests::desk();
    let mut stream = Stream::new(desk, &Arc::default(), None, 1 << 20);
    assert_eq!(stream.status().lacking, None, "nothing was told yet");
    tell(&mut stream, 0..1_000);
    assert_eq!((stream.snapshots.len(), stream.status().lacking), (257, None), "it has what it needs next");
    // It heals, and goes on as long as its snapshots last.
    for epoch in 1..=256 {
        at(&mut stream, epoch);
        assert_eq!(stream.status().lacking, None, "{epoch}");
    }
    at(&mut stream, 257);
    assert_eq!(stream.status().lacking, Some(257));
    // Told again, and so on until it has caught up; then it waits for what nobody knows yet, and does not ask.
    tell(&mut stream, 257..257 + 256);
    assert_eq!(stream.status().lacking, None);
    assert_eq!(stream.snapshots[&257].block.number, 257);
    at(&mut stream, 999);
    assert_eq!(stream.status().lacking, Some(999));
    tell(&mut stream, 999..1_000);
    assert_eq!(stream.status().lacking, None);
    at(&mut stream, 1_000);
    assert_eq!(stream.status().lacking, None);
}
