//! The load generator of the bench: devices' PUBLISH packets over a few connections. It stands for devices, which run
//! elsewhere, so it speaks the two packets it needs by itself: a client library would take more of the machine than broker
//! and node together leave. Leaves out: what the messages say (the bench).

use std::time::Duration;

use oracle_node::intake::Raw;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{DEVICES, OVER_MQTT, messages, now_ms};

/// Connections, each of which has its devices to itself.
const CONNECTIONS: u64 = 4;
/// Messages under way on each of them at most.
const WINDOW: usize = 400;

/// Signs first, says so, waits for the time to begin, publishes, waits for every PUBACK. `per_second` 0 = no pace.
pub(super) fn load(port: u16, per_second: u64) {
    let mut shares: Vec<Vec<Outgoing>> = (0..CONNECTIONS).map(|_| Vec::new()).collect();
    for (number, raw) in (0u64..).zip(messages(OVER_MQTT)) {
        // A device keeps to one connection.
        let share = &mut shares[(number % DEVICES % CONNECTIONS) as usize];
        share.push(Outgoing { number, frame: publish_packet(&raw, share.len()) });
    }
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("when to begin");
    let begin: u64 = line.trim().parse().expect("unix ms");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime.block_on(async {
        let all: Vec<_> = (0..)
            .zip(shares)
            .map(|(name, share)| tokio::spawn(publish(name, port, begin, per_second, share)))
            .collect();
        for one in all {
            one.await.expect("published");
        }
    });
}

/// A PUBLISH packet, ready to be written, and its place in the whole run.
struct Outgoing {
    number: u64,
    frame: Vec<u8>,
}

/// MQTT 3.1.1, 3.3: PUBLISH of QoS 1, the `place`-th of its connection.
fn publish_packet(raw: &Raw, place: usize) -> Vec<u8> {
    let topic = attest::topic_up(raw.class, &raw.kid);
    let packet = (place % 65_535) as u16 + 1;
    packet_of(0x32, &[&string(&topic), &packet.to_be_bytes(), &raw.bytes])
}

/// A control packet: first byte, remaining length, the rest.
fn packet_of(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let rest = parts.concat();
    assert!(rest.len() < 16_384, "a length of two bytes at most");
    let length = rest.len() as u16;
    let mut packet = vec![first];
    packet.extend(if length < 128 { vec![length as u8] } else { vec![length as u8 | 0x80, (length >> 7) as u8] });
    packet.extend(rest);
    packet
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
}

/// One connection: whatever is due and fits the window goes out in one write.
async fn publish(name: u32, port: u16, begin: u64, per_second: u64, share: Vec<Outgoing>) {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("the broker");
    stream.set_nodelay(true).expect("an option");
    // Protocol level 4, clean session, keep alive of a minute.
    let connect = packet_of(0x10, &[&string("MQTT"), &[4, 2, 0, 60], &string(&format!("load-{name}"))]);
    stream.write_all(&connect).await.expect("sent");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.expect("CONNACK");
    assert_eq!(answer, [0x20, 2, 0, 0], "welcome");
    let due = |one: &Outgoing| begin + (one.number * 1_000).checked_div(per_second).unwrap_or(0) <= now_ms();
    // Bytes of PUBACKs: four each.
    let (mut sent, mut acknowledged, mut input) = (0, 0, [0; 4_096]);
    while acknowledged < 4 * share.len() {
        let room = WINDOW - (sent - acknowledged / 4);
        let frames: Vec<&[u8]> = share[sent..].iter().take(room).take_while(|o| due(o)).map(|o| &*o.frame).collect();
        sent += frames.len();
        stream.write_all(&frames.concat()).await.expect("the broker stays");
        // Not woken by every PUBACK: a broker writes each by itself.
        tokio::time::sleep(Duration::from_millis(1)).await;
        acknowledged += read_waiting(&stream, &mut input);
    }
}

/// Reads what has arrived; how many bytes that was.
fn read_waiting(stream: &tokio::net::TcpStream, input: &mut [u8]) -> usize {
    let mut bytes = 0;
    loop {
        match stream.try_read(input) {
            Ok(0) => panic!("the broker ended a connection"),
            Ok(read) => bytes += read,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return bytes,
            Err(error) => panic!("the broker stays: {error}"),
        }
    }
}
