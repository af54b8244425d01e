//! Whose pull is answered when: a few of one peer at a time, the rest in its own queue, and every answer charged to the
//! asker by its bytes, since a request of a hundred bytes may ask for four megabytes. Nobody waits for another's pulls.
//! Pure. Leaves out: reading the content and sending it (`requests`).

use std::collections::{BTreeMap, VecDeque};

/// Answers of one peer being read or on their way at a time: what a peer that does not read makes this node hold.
const IN_WORK_MAX: usize = 4;
/// Pulls of one peer that wait: an honest one asks for everything that it lacks at once.
const QUEUE_MAX: usize = 128;
/// Bytes answered to one peer per second, sustained.
const BYTES_PER_SECOND: i64 = 16 << 20;
/// Bytes answered to one peer at once after silence: the buckets of one author at their largest.
const BYTES_BURST: i64 = 64 << 20;
/// What a look for one id costs at least, found or not, in bytes.
pub(super) const LOOK_BYTES: usize = 512;
/// The asker has given up after this, ms; and so long an answer counts as on its way if nobody says what became of it.
const PATIENCE_MS: u64 = 1_500;

/// The pulls of every peer. `K` names a request, `J` is what it takes to answer it.
#[derive(Debug)]
pub(super) struct Serving<K, J> {
    peers: BTreeMap<u32, Peer<K, J>>,
}

#[derive(Debug)]
struct Peer<K, J> {
    waiting: VecDeque<(K, J, u64)>,
    /// When each was begun.
    in_work: BTreeMap<K, u64>,
    /// Bytes that it may still have; below zero when the last answers were larger than what was left.
    room: i64,
    at_ms: u64,
}

impl<K: Ord + Copy, J> Serving<K, J> {
    pub(super) const fn new() -> Self {
        Self { peers: BTreeMap::new() }
    }

    /// Takes a pull of a peer in. `false`, and it is dropped, when too many of its pulls wait already.
    pub(super) fn ask(&mut self, peer: u32, request: K, job: J, now: u64) -> bool {
        let fresh = || Peer { waiting: VecDeque::new(), in_work: BTreeMap::new(), room: BYTES_BURST, at_ms: now };
        let peer = self.peers.entry(peer).or_insert_with(fresh);
        peer.advance(now);
        let room = peer.waiting.len() < QUEUE_MAX;
        if room {
            peer.waiting.push_back((request, job, now));
        }
        room
    }

    /// The pulls to answer now, with their askers. Those whose asker has given up are dropped.
    pub(super) fn due(&mut self, now: u64) -> Vec<(u32, J)> {
        let mut due = Vec::new();
        for (place, peer) in &mut self.peers {
            peer.advance(now);
            while peer.room > 0 && peer.in_work.len() < IN_WORK_MAX {
                let Some((request, job, _)) = peer.waiting.pop_front() else { break };
                peer.in_work.insert(request, now);
                due.push((*place, job));
            }
        }
        due
    }

    /// Charges a peer for an answer.
    pub(super) fn charge(&mut self, peer: u32, bytes: usize) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.room = peer.room.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// An answer has left, or never will.
    pub(super) fn finished(&mut self, peer: u32, request: &K) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.in_work.remove(request);
        }
    }
}

impl<K: Ord, J> Peer<K, J> {
    /// Drops what is over by now, and gives room by the time that has passed.
    fn advance(&mut self, now: u64) {
        self.waiting.retain(|(_, _, asked)| now.saturating_sub(*asked) < PATIENCE_MS);
        self.in_work.retain(|_, begun| now.saturating_sub(*begun) < 2 * PATIENCE_MS);
        let passed = i64::try_from(now.saturating_sub(self.at_ms)).unwrap_or(i64::MAX);
        let gained = passed.saturating_mul(BYTES_PER_SECOND) / 1_000;
        self.room = self.room.saturating_add(gained).min(BYTES_BURST);
        self.at_ms = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a peer gets that asks for the largest answer as fast as it may (1,000 a second), reading at once: bytes in so
    /// many seconds.
    fn greedy(serving: &mut Serving<u64, ()>, peer: u32, seconds: u64) -> usize {
        const ANSWER: usize = 4 << 20;
        let mut got = 0;
        for now in 0..seconds * 1_000 {
            serving.ask(peer, now, (), now);
            let due = serving.due(now).len();
            assert!(due <= IN_WORK_MAX);
            got += due * ANSWER;
            (0..due).for_each(|_| serving.charge(peer, ANSWER));
            serving.peers.values_mut().for_each(|peer| peer.in_work.clear());
        }
        got
    }

    #[test]
    fn a_peer_is_answered_by_bytes_not_by_requests() {
        let got = greedy(&mut Serving::new(), 3, 10);
        let may = usize::try_from(BYTES_BURST + 10 * BYTES_PER_SECOND).expect("positive");
        let largest = IN_WORK_MAX * (4 << 20);
        assert!(got <= may + largest && got >= may - largest, "{} MiB", got >> 20);
    }

    #[test]
    fn a_greedy_peer_delays_nobody_else_and_one_that_does_not_read_holds_few_answers() {
        let mut serving = Serving::new();
        greedy(&mut serving, 3, 5);
        // Peer 3 asks without end and takes nothing: four answers are on their way, and no more.
        let taken = (0..1_000).filter(|n| serving.ask(3, 10_000 + n, (), 9_000)).count();
        assert_eq!((taken, serving.due(9_000).len(), serving.due(9_001).len()), (QUEUE_MAX, IN_WORK_MAX, 0));
        assert!(serving.ask(5, 1, (), 9_001));
        assert_eq!(serving.due(9_001), [(5, ())]);
        // One has left: the next one's turn.
        serving.finished(3, &10_000);
        assert_eq!(serving.due(9_002), [(3, ())]);
        // Who asked has given up by now; and a request of which nothing was heard again does not lock the peer out.
        assert!(serving.due(9_000 + PATIENCE_MS).is_empty());
        assert!(serving.ask(3, 20_000, (), 9_002 + 2 * PATIENCE_MS));
        assert_eq!(serving.due(9_002 + 2 * PATIENCE_MS), [(3, ())]);
    }

    #[test]
    fn an_honest_peer_that_asks_for_much_at_once_gets_it_all() {
        let mut serving = Serving::new();
        // 20,000 buckets of half a kilobyte: forty requests at once.
        (0..40).for_each(|request| assert!(serving.ask(1, request, request, 0)));
        let mut answered = Vec::new();
        while let Some((peer, request)) = serving.due(0).pop() {
            answered.push(request);
            serving.charge(peer, 512 * 512);
            (0..40).for_each(|request| serving.finished(1, &request));
        }
        assert_eq!(answered.len(), 10, "four at a time");
        assert!(serving.peers[&1].waiting.is_empty());
    }
}
