//! Against a broker whose packets are written by hand: an acknowledgement never reaches another connection than its
//! message's. There the same packet identifier may stand for another message, which is not stored.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::store::Store;

/// Answers the next CONNECT, and the SUBSCRIBE that follows where the session is new.
async fn welcome(listener: &TcpListener, session_present: bool) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a node");
    assert_eq!(read(&mut stream).await[0], 0x10, "CONNECT");
    stream.write_all(&[0x20, 2, session_present.into(), 0]).await.expect("CONNACK");
    if !session_present {
        let subscribe = read(&mut stream).await;
        assert_eq!(subscribe[0], 0x82, "SUBSCRIBE");
        stream.write_all(&[0x90, 3, subscribe[2], subscribe[3], 1]).await.expect("SUBACK");
    }
    stream
}

/// What comes next, in one read.
async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 1_024];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut bytes)).await.expect("in time");
    bytes.truncate(read.expect("a connection"));
    assert!(!bytes.is_empty(), "the node ended the connection");
    bytes
}

/// Nothing comes for a while.
async fn silent(stream: &mut TcpStream) {
    let heard = tokio::time::timeout(Duration::from_millis(600), stream.read_u8()).await;
    assert!(heard.is_err(), "heard {heard:?}");
}

/// PUBLISH of QoS 1.
fn delivery(topic: &str, packet: u8, payload: &[u8]) -> Vec<u8> {
    let topic = [&(topic.len() as u16).to_be_bytes(), topic.as_bytes()].concat();
    let rest = [topic.as_slice(), &[0, packet], payload].concat();
    assert!((128..16_384).contains(&rest.len()), "a length of two bytes");
    [&[0x32, rest.len() as u8 | 0x80, (rest.len() >> 7) as u8], rest.as_slice()].concat()
}

/// A node on a broker by hand, and a message that it will store.
struct Place {
    _dir: Dir,
    listener: TcpListener,
    publisher: Publisher,
    _batches: mpsc::Receiver<Told>,
    store: Arc<Store>,
    metrics: Metrics,
    topic: String,
    message: Vec<u8>,
    id: [u8; 32],
}

async fn place(name: &str) -> Place {
    let (dir, signer) = (Dir::new(name), SoftEd25519::from_seed([9; 32]));
    let (kid, metrics) = (signer.public_key().kid(), Metrics::new().expect("metrics"));
    let store = Arc::new(open(&dir));
    let log = ReceiptLog::new(&Secret::new([2; 32]), (0, [0; 32]));
    let intake = Arc::new(Intake::new(Arc::clone(&store), metrics.clone(), NETWORK, log));
    intake.set_keys(Keys::from([(kid, (5, signer.public_key()))]));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (durable, batches) = mpsc::channel(64);
    let setup = Setup {
        brokers: vec![(Broker { host: "127.0.0.1".into(), port, tls: None }, None)],
        client_id: "node".into(),
        login: None,
        messages_per_second: 100,
        burst: 200,
        intake,
        durable,
        clock,
        metrics: metrics.clone(),
    };
    let publisher = start(setup, &Duties::new().0);
    let claims = Claims { iat: None, nonce: None, boot: 1, seq: 0, prev: [0; 16], body: Body::Heartbeat };
    let mut buffer = [0; attest::MAX_MESSAGE];
    let signed = attest::seal(&signer, &NETWORK, &claims, &mut buffer).expect("sealed");
    let (topic, message, id) = (attest::topic_up(signed.class, &kid).to_string(), signed.bytes.to_vec(), signed.id);
    Place { _dir: dir, listener, publisher, _batches: batches, store, metrics, topic, message, id }
}

#[tokio::test]
async fn what_an_ended_connection_left_unread_is_not_acknowledged_on_the_next() {
    let place = place("mqtt-left").await;
    let mut one = welcome(&place.listener, false).await;
    // A message and, read with it, something that ends the connection.
    let last = [delivery(&place.topic, 7, &place.message), vec![0xff; 5]].concat();
    one.write_all(&last).await.expect("delivered");
    let mut two = welcome(&place.listener, true).await;
    silent(&mut two).await;
    two.write_all(&delivery(&place.topic, 7, &place.message)).await.expect("delivered again");
    assert_eq!(read(&mut two).await, [0x40, 2, 0, 7]);
    assert!(place.store.has_evidence(&place.id).expect("disk"), "stored before it is acknowledged");
}

#[tokio::test]
async fn an_acknowledgement_of_an_ended_connection_is_dropped() {
    let place = place("mqtt-stale").await;
    let one = welcome(&place.listener, false).await;
    let link = Arc::clone(&place.publisher.links[0]);
    let connected = || link.connected.load(Ordering::Acquire).then(|| link.connection.load(Ordering::Acquire));
    eventually("connected", || connected().is_some()).await;
    let first = connected().expect("connected");
    drop(one);
    eventually("ended", || connected().is_none()).await;
    let due = |connection, packet| Due { connection, packet };
    // While there is no connection, and on the next one.
    link.acks.try_send(vec![due(first, 1)]).expect("room");
    let mut two = welcome(&place.listener, true).await;
    eventually("connected again", || connected().is_some()).await;
    let now = connected().expect("connected");
    assert_ne!(now, first);
    link.acks.try_send(vec![due(first, 2), due(now, 0)]).expect("room");
    silent(&mut two).await;
    assert_eq!(place.metrics.mqtt_stale_acks.get(), 2);
    link.acks.try_send(vec![due(now, 3), due(now, 4), due(first, 5), due(now, 6)]).expect("room");
    assert_eq!(read(&mut two).await, [0x40, 2, 0, 3, 0x40, 2, 0, 4, 0x40, 2, 0, 6], "in order, in one write");
}
