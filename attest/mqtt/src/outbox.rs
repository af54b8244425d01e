//! Which message goes to which broker next, and which may be forgotten. Every connection gets every waiting message once,
//! and again when receipts stay away for too long; only receipts take a message out. Pure: time comes in as milliseconds.
//! Leaves out: sockets (`lane`), checking receipts (`receipts`), the memory's layout (`attest::Queue`).

use std::collections::{BTreeMap, VecDeque};

use attest::{Class, EvidenceId, Queue, QueueFull, Receipted, Signed};

use crate::Checked;

/// Publishes on the wire without a PUBACK, per connection; mosquitto's window is 20 by default.
pub(crate) const WINDOW: usize = 16;

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) class: Class,
    pub(crate) id: EvidenceId,
    pub(crate) bytes: Vec<u8>,
}

/// What one connection has done with the waiting messages. A new connection knows nothing.
#[derive(Debug, Default)]
struct Sent {
    /// When each waiting message was last handed to the client, ms.
    at: BTreeMap<EvidenceId, u64>,
    /// Handed to the client, packet id not known yet: the client tells packet ids in the order of publishing. `None`
    /// stands for a publication that is no evidence.
    handed: VecDeque<Option<EvidenceId>>,
    /// On the wire, not acknowledged.
    flying: BTreeMap<u16, Option<EvidenceId>>,
}

/// The waiting messages and the state of every connection.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Queue<'static>,
    lanes: Vec<Sent>,
    patience_ms: u64,
}

impl Outbox {
    pub(crate) fn new(queue: Queue<'static>, lanes: usize, patience_ms: u64) -> Self {
        Self { queue, lanes: (0..lanes).map(|_| Sent::default()).collect(), patience_ms }
    }

    pub(crate) fn push(&mut self, signed: &Signed<'_>) -> Result<(), QueueFull> {
        self.queue.push(signed)
    }

    /// As [`Queue::push_dropping`].
    pub(crate) fn push_dropping(&mut self, signed: &Signed<'_>) -> Result<u32, QueueFull> {
        let dropped = self.queue.push_dropping(signed)?;
        if dropped > 0 {
            let waiting: std::collections::BTreeSet<EvidenceId> = self.queue.iter().map(|item| item.id).collect();
            self.lanes.iter_mut().for_each(|lane| lane.at.retain(|id, _| waiting.contains(id)));
        }
        Ok(dropped)
    }

    /// How many messages wait for receipts.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.iter().count()
    }

    /// A connection has begun.
    pub(crate) fn began(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            *lane = Sent::default();
        }
    }

    /// The oldest message that this connection should publish now; nothing while its window is full.
    pub(crate) fn next(&self, lane: usize, now_ms: u64) -> Option<Parcel> {
        let lane = self.lanes.get(lane)?;
        if lane.handed.len() + lane.flying.len() >= WINDOW {
            return None;
        }
        let due = |id: &EvidenceId| lane.at.get(id).is_none_or(|at| now_ms.saturating_sub(*at) >= self.patience_ms);
        let item = self.queue.iter().find(|item| due(&item.id))?;
        Some(Parcel { class: item.class, id: item.id, bytes: item.bytes.to_vec() })
    }

    /// The client took a message (or, with `None`, something that is no evidence) for this connection.
    pub(crate) fn handed(&mut self, lane: usize, id: Option<EvidenceId>, now_ms: u64) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        lane.handed.push_back(id);
        if let Some(id) = id {
            lane.at.insert(id, now_ms);
        }
    }

    /// The client put a publication with this packet id on the wire.
    pub(crate) fn sent(&mut self, lane: usize, packet: u16) {
        if let Some(lane) = self.lanes.get_mut(lane)
            && let Some(id) = lane.handed.pop_front()
        {
            lane.flying.insert(packet, id);
        }
    }

    /// The broker acknowledged a packet id; the evidence it stood for.
    pub(crate) fn acked(&mut self, lane: usize, packet: u16) -> Option<EvidenceId> {
        self.lanes.get_mut(lane)?.flying.remove(&packet).flatten()
    }

    /// Counts checked receipts; the messages that `needed` different members hold now, which are gone from the queue.
    pub(crate) fn receipted(&mut self, checked: &Checked, needed: u32) -> Vec<EvidenceId> {
        let done: Vec<EvidenceId> = checked
            .ids
            .iter()
            .filter(|id| self.queue.receipt(id, checked.member, needed) == Receipted::Done)
            .copied()
            .collect();
        self.lanes.iter_mut().for_each(|lane| lane.at.retain(|id, _| !done.contains(id)));
        done
    }
}

#[cfg(test)]
mod tests {
    use attest::{Body, Device, MAX_MESSAGE, SoftEd25519, VolatileBoot};

    use super::*;

    const PATIENCE: u64 = 1_000;

    /// An outbox with two connections and `count` messages, of which the ids are returned.
    fn outbox(count: usize, bytes: usize) -> (Outbox, Vec<EvidenceId>) {
        let memory: &'static mut [u8] = Box::leak(vec![0; bytes].into_boxed_slice());
        let mut outbox = Outbox::new(Queue::new(memory), 2, PATIENCE);
        let mut device =
            Device::boot(SoftEd25519::from_seed([7; 32]), &mut VolatileBoot::default(), [1; 8]).expect("boot");
        let mut buf = [0; MAX_MESSAGE];
        let ids = (0..count).map(|_| {
            let signed = device.message(None, None, &Body::Heartbeat, &mut buf).expect("signed");
            outbox.push_dropping(&signed).expect("room");
            signed.id
        });
        let ids = ids.collect();
        (outbox, ids)
    }

    fn hand_all(outbox: &mut Outbox, lane: usize, now: u64) -> Vec<EvidenceId> {
        let mut ids = Vec::new();
        while let Some(parcel) = outbox.next(lane, now) {
            outbox.handed(lane, Some(parcel.id), now);
            ids.push(parcel.id);
        }
        ids
    }

    fn receipt(member: u32, ids: &[EvidenceId]) -> Checked {
        Checked { member, batch: 1, ids: ids.to_vec() }
    }

    #[test]
    fn each_connection_gets_each_message_once_in_order() {
        let (mut outbox, ids) = outbox(3, 4_096);
        assert_eq!(hand_all(&mut outbox, 0, 5), ids);
        assert!(hand_all(&mut outbox, 0, 5 + PATIENCE - 1).is_empty());
        assert_eq!(hand_all(&mut outbox, 1, 6), ids, "the other broker gets them too");
    }

    #[test]
    fn a_new_connection_and_lost_patience_send_the_same_bytes_again() {
        let (mut outbox, ids) = outbox(2, 4_096);
        let first = outbox.next(0, 0).expect("one");
        hand_all(&mut outbox, 0, 0);
        outbox.began(0);
        assert_eq!(outbox.next(0, 1), Some(first.clone()), "after a lost connection");
        assert_eq!(hand_all(&mut outbox, 0, 1), ids);
        outbox.sent(0, 1);
        outbox.sent(0, 2);
        assert_eq!((outbox.acked(0, 1), outbox.acked(0, 2)), (Some(ids[0]), Some(ids[1])));
        assert_eq!(outbox.next(0, 1 + PATIENCE), Some(first), "a PUBACK alone lets nothing go");
    }

    #[test]
    fn the_window_holds_back_until_the_broker_acknowledges() {
        let (mut outbox, ids) = outbox(WINDOW + 2, 32_768);
        assert_eq!(hand_all(&mut outbox, 0, 0).len(), WINDOW);
        (1..=WINDOW as u16).for_each(|packet| outbox.sent(0, packet));
        assert_eq!(outbox.next(0, 0), None);
        assert_eq!(outbox.acked(0, 2), Some(ids[1]));
        assert_eq!((outbox.acked(0, 2), outbox.acked(0, 999)), (None, None), "neither twice nor unasked");
        assert_eq!(outbox.next(0, 0).map(|parcel| parcel.id), Some(ids[WINDOW]));
    }

    #[test]
    fn publications_that_are_no_evidence_keep_the_count() {
        let (mut outbox, ids) = outbox(1, 4_096);
        outbox.handed(0, None, 0);
        hand_all(&mut outbox, 0, 0);
        outbox.sent(0, 1);
        outbox.sent(0, 2);
        assert_eq!((outbox.acked(0, 1), outbox.acked(0, 2)), (None, Some(ids[0])));
    }

    #[test]
    fn only_enough_different_members_let_a_message_go() {
        let (mut outbox, ids) = outbox(2, 4_096);
        hand_all(&mut outbox, 0, 0);
        assert!(outbox.receipted(&receipt(3, &ids), 2).is_empty());
        assert!(outbox.receipted(&receipt(3, &ids), 2).is_empty(), "one member twice is one member");
        assert_eq!(outbox.receipted(&receipt(0, &ids[..1]), 2), ids[..1]);
        assert_eq!((outbox.waiting(), outbox.receipted(&receipt(1, &ids[..1]), 2)), (1, vec![]));
    }

    #[test]
    fn full_memory_drops_the_oldest_and_forgets_it_everywhere() {
        let (mut outbox, _) = outbox(1, 600);
        hand_all(&mut outbox, 0, 0);
        let mut device =
            Device::boot(SoftEd25519::from_seed([8; 32]), &mut VolatileBoot::default(), [1; 8]).expect("boot");
        let mut buf = [0; MAX_MESSAGE];
        for _ in 0..20 {
            let signed = device.message(None, None, &Body::Heartbeat, &mut buf).expect("signed");
            outbox.push_dropping(&signed).expect("room for one");
            hand_all(&mut outbox, 0, 0);
            (1..=3).for_each(|packet| outbox.sent(0, packet));
            assert!((1..=3).filter_map(|packet| outbox.acked(0, packet)).count() <= 3);
        }
        assert!((1..=3).contains(&outbox.waiting()), "{} wait", outbox.waiting());
        assert!(outbox.lanes[0].at.len() <= 3, "{} remembered", outbox.lanes[0].at.len());
    }
}
