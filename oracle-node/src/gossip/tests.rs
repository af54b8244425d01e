//! Two members on loopback: broadcast, direct message, pull; a stranger is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use oracle_core::observation::blob_hash;
use oracle_core::wire::{self, Bytes, Direct, Message};

use super::*;

/// Blobs by hash, in memory.
struct Shelf(BTreeMap<[u8; 32], Vec<u8>>);

impl Source for Shelf {
    fn content(&self, id: &[u8; 32]) -> Option<Content> {
        self.0.get(id).map(|bytes| Content { id: *id, class: 0, bytes: bytes.clone() })
    }
    fn evidence_id(&self, _: u8, _: &[u8]) -> Option<[u8; 32]> {
        None
    }
}

struct Member {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
    metrics: Metrics,
}

fn key(seed: u8) -> Keypair {
    Keypair::ed25519_from_bytes([seed; 32]).expect("key")
}

/// A port that was free a moment ago.
fn address() -> Multiaddr {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("port").port();
    format!("/ip4/127.0.0.1/tcp/{port}").parse().expect("multiaddr")
}

fn room(term: u64, seeds: &[u8], peers: Vec<(Option<PeerId>, Multiaddr)>) -> Room {
    let members = seeds.iter().map(|seed| key(*seed).public().to_peer_id()).collect();
    Room { term, topic: topic(1, term), members, peers }
}

fn member(seed: u8, listen: &Multiaddr, dial: &Multiaddr, shelf: &[&[u8]]) -> Member {
    let (sender, events) = mpsc::channel(64);
    let metrics = Metrics::new().expect("metrics");
    let setup = Setup {
        key: key(seed),
        listen: listen.clone(),
        room: room(1, &[1, 2], vec![(None, dial.clone()), (None, listen.clone())]),
        source: Arc::new(Shelf(shelf.iter().map(|blob| (blob_hash(blob), blob.to_vec())).collect())),
        events: sender,
        metrics: metrics.clone(),
    };
    Member { commands: start(setup, &Duties::new().0).expect("started"), events, metrics }
}

/// Sends again and again, as the core does, until the other side hears something that `wanted` likes.
async fn until<T>(from: &Member, to: &mut Member, command: Command, wanted: impl Fn(Event) -> Option<T>) -> T {
    let patience = tokio::time::Instant::now() + Duration::from_secs(20);
    while tokio::time::Instant::now() < patience {
        from.commands.send(command.clone()).await.expect("running");
        let heard = tokio::time::timeout(Duration::from_millis(300), to.events.recv()).await;
        if let Some(found) = heard.ok().flatten().and_then(&wanted) {
            return found;
        }
    }
    panic!("nothing was heard");
}

#[tokio::test]
async fn members_hear_each_other_and_pull_content() {
    let (first, second, third) = (address(), address(), address());
    let one = member(1, &first, &second, &[]);
    let mut two = member(2, &second, &first, &[b"bucket"]);
    let stranger = member(3, &third, &first, &[]);

    let message = Message::Beacon(7, Bytes::from([1; 48])).encode();
    let heard = until(&one, &mut two, Command::Broadcast(message.clone()), |event| match event {
        Event::Message { term: 1, from, bytes } => Some((from, bytes)),
        _ => None,
    });
    assert_eq!(heard.await, (0, message));

    let ack = wire::encode(&Direct::Ack(vec![1, 2].into()));
    let heard = until(&one, &mut two, Command::Direct { to: 1, bytes: ack.clone() }, |event| match event {
        Event::Direct { term: 1, from, bytes } => Some((from, bytes)),
        _ => None,
    });
    assert_eq!(heard.await, (0, ack));

    let mut one = one;
    let pull = Command::Pull { ids: vec![blob_hash(b"bucket"), [9; 32]], holders: vec![0, 1] };
    one.commands.send(pull).await.expect("running");
    let got = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Some(Event::Pulled { from, item, .. }) = one.events.recv().await {
                return (from, item.bytes.to_vec());
            }
        }
    });
    assert_eq!(got.await.expect("in time"), (1, b"bucket".to_vec()));
    assert_eq!(stranger.metrics.peers_connected.get(), 0, "a stranger is never connected");
    assert_eq!(one.metrics.peers_connected.get(), 1);
}

#[tokio::test]
async fn a_second_term_is_joined_beside_the_first_and_left_again() {
    let (first, second) = (address(), address());
    let one = member(1, &first, &second, &[]);
    let mut two = member(2, &second, &first, &[]);
    // In the second term the two sit the other way round, and a third one is a member, too.
    for (member, dial) in [(&one, &second), (&two, &first)] {
        let room = room(2, &[2, 1, 3], vec![(None, dial.clone())]);
        member.commands.send(Command::Join(room)).await.expect("running");
    }
    let message = Message::Beacon(7, Bytes::from([1; 48])).encode();
    let say = |term| Command::Say { term, bytes: message.clone() };
    let heard = |event: Event| match event {
        Event::Message { term, from, .. } => Some((term, from)),
        _ => None,
    };
    let only = |wanted: u64| move |event: Event| heard(event).filter(|(term, _)| *term == wanted);
    assert_eq!(until(&one, &mut two, say(1), only(1)).await, (1, 0));
    assert_eq!(until(&one, &mut two, say(2), only(2)).await, (2, 1), "an index counts in its own term");
    let ack = wire::encode(&Direct::Ack(vec![3].into()));
    let whisper = Command::Whisper { term: 2, to: 0, bytes: ack.clone() };
    let direct = until(&one, &mut two, whisper, |event| match event {
        Event::Direct { term, from, bytes } => Some((term, from, bytes)),
        _ => None,
    });
    assert_eq!(direct.await, (2, 1, ack));
    // Whoever has left a term hears nothing of it; the other term goes on.
    two.commands.send(Command::Leave(2)).await.expect("running");
    tokio::time::sleep(Duration::from_millis(300)).await;
    while two.events.try_recv().is_ok() {}
    one.commands.send(say(2)).await.expect("running");
    let next = until(&one, &mut two, say(1), heard).await;
    assert_eq!(next, (1, 0));
}
