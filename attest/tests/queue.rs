//! Store and forward: order, bounds, receipts of several members, and memory that survives a restart or a torn write.

mod common;

use attest::{
    Body, Device, MAX_MESSAGE, QUEUE_HEAD, QUEUE_RECORD_HEAD, Queue, QueueFull, Receipted, SoftEd25519, VolatileBoot,
};
use common::{SEED, network};

type Message = (attest::Class, Vec<u8>, [u8; 32], u64);

fn messages(count: usize) -> Vec<Message> {
    let mut device =
        Device::boot(SoftEd25519::from_seed(SEED), &mut VolatileBoot::default(), network()).expect("boots");
    (0..count)
        .map(|_| {
            let mut buf = [0; MAX_MESSAGE];
            let signed = device.message(None, None, &Body::Heartbeat, &mut buf).expect("speaks");
            (signed.class, signed.bytes.to_vec(), signed.id, signed.seq)
        })
        .collect()
}

fn signed((class, bytes, id, seq): &Message) -> attest::Signed<'_> {
    attest::Signed { class: *class, bytes, id: *id, seq: *seq }
}

/// Memory for exactly `count` of these messages (all of one length here).
fn room(messages: &[Message], count: usize) -> Vec<u8> {
    vec![0xee; QUEUE_HEAD + count * (QUEUE_RECORD_HEAD + messages[0].1.len())]
}

fn ids(queue: &Queue<'_>) -> Vec<[u8; 32]> {
    queue.iter().map(|item| item.id).collect()
}

#[test]
fn a_queue_keeps_order_and_its_bound() {
    let sent = messages(4);
    let mut memory = room(&sent, 3);
    let mut queue = Queue::new(&mut memory);
    assert!(queue.is_empty());
    for message in &sent[..3] {
        queue.push(&signed(message)).expect("fits");
    }
    assert_eq!((queue.free(), queue.push(&signed(&sent[3]))), (0, Err(QueueFull)));
    assert_eq!(ids(&queue), [sent[0].2, sent[1].2, sent[2].2]);
    assert_eq!(queue.front().map(|item| item.bytes.to_vec()), Some(sent[0].1.clone()));
    assert_eq!(queue.push_dropping(&signed(&sent[3])), Ok(1));
    assert_eq!(ids(&queue), [sent[1].2, sent[2].2, sent[3].2]);
    let mut tiny = [0; 40];
    let mut queue = Queue::new(&mut tiny);
    assert_eq!(queue.push_dropping(&signed(&sent[0])), Err(QueueFull));
    assert!(!queue.drop_front());
    let mut queue = Queue::new(&mut []);
    assert_eq!((queue.push(&signed(&sent[0])), queue.is_empty()), (Err(QueueFull), true));
}

#[test]
fn a_message_leaves_with_enough_different_members() {
    let sent = messages(3);
    let mut memory = room(&sent, 3);
    let mut queue = Queue::new(&mut memory);
    for message in &sent {
        queue.push(&signed(message)).expect("fits");
    }
    let middle = sent[1].2;
    assert_eq!(queue.receipt(&middle, 3, 2), Receipted::Waiting);
    assert_eq!(queue.receipt(&middle, 3, 2), Receipted::Waiting, "one member counts once");
    assert_eq!(queue.iter().map(|item| item.receipts).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(queue.receipt(&middle, 128, 2), Receipted::Unknown);
    assert_eq!(queue.receipt(&middle, 127, 2), Receipted::Done);
    assert_eq!(queue.receipt(&middle, 0, 2), Receipted::Unknown);
    assert_eq!(ids(&queue), [sent[0].2, sent[2].2]);
}

#[test]
fn a_restart_finds_what_waited_and_drops_what_was_torn() {
    let sent = messages(3);
    let mut memory = room(&sent, 3);
    {
        let mut queue = Queue::new(&mut memory);
        for message in &sent {
            queue.push(&signed(message)).expect("fits");
        }
        queue.receipt(&sent[0].2, 1, 2);
    }
    let mut queue = Queue::resume(&mut memory, &network());
    assert_eq!(ids(&queue), [sent[0].2, sent[1].2, sent[2].2]);
    assert_eq!(queue.receipt(&sent[0].2, 2, 2), Receipted::Done, "the first receipt was kept");
    // Power went in the middle of the second record.
    let second = QUEUE_HEAD + QUEUE_RECORD_HEAD + sent[1].1.len() + QUEUE_RECORD_HEAD + 40;
    memory[second] ^= 1;
    assert_eq!(ids(&Queue::resume(&mut memory, &network())), [sent[1].2]);
    // Another network's messages, and memory that was never a queue.
    assert!(Queue::resume(&mut memory, &[0; 8]).is_empty());
    let mut fresh = vec![0xff; 500];
    let mut queue = Queue::resume(&mut fresh, &network());
    assert!(queue.is_empty());
    queue.push(&signed(&sent[0])).expect("usable");
    assert_eq!(ids(&queue), [sent[0].2]);
}
