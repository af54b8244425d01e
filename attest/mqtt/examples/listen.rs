//! A broker on loopback and a node's ear in one process: waits for messages of the device whose seed is the test vectors'
//! (0x42…), decodes and verifies each, and ends well once `count` different ones have come, in order and linked. For trying
//! a port of `attest`; `attest/ffi/examples/check.sh` tries the C example with it.
//!
//! Run: `cargo run -p attest-mqtt --example listen -- ed25519 3`
#![allow(clippy::print_stdout, reason = "a command")]

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use attest::{Claims, PublicKey, Signer as _, SoftEd25519, SoftP256, decode, network_id, parse_topic_up, verify};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

/// Longest wait for all messages.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [alg, count] = words.as_slice() else { bail!("usage: listen ed25519|p256 <count>") };
    let key = match alg.as_str() {
        "ed25519" => SoftEd25519::from_seed([0x42; 32]).public_key(),
        "p256" => SoftP256::from_seed([0x42; 32]).public_key(),
        other => bail!("{other:?} is neither ed25519 nor p256"),
    };
    let count: usize = count.parse().context("count")?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    std::thread::spawn(move || rumqttd::Broker::new(settings(port)).start().is_ok());
    tokio::time::timeout(PATIENCE, hear(port, &key, count)).await.context("not all messages came in time")?
}

async fn hear(port: u16, key: &PublicKey, count: usize) -> Result<()> {
    let mut options = MqttOptions::new("ear", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = AsyncClient::new(options, 16);
    let network = network_id(31_337, &[0x11; 20]);
    // By sequence number: the link to the message before, and the own id.
    let mut heard: BTreeMap<u64, ([u8; 16], [u8; 32])> = BTreeMap::new();
    while heard.len() < count {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => client.subscribe(attest::UP_FILTER, QoS::AtLeastOnce).await?,
            Ok(Event::Incoming(Packet::SubAck(_))) => println!("listening on port {port}"),
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let (class, kid) =
                    parse_topic_up(&publish.topic).with_context(|| format!("topic {:?}", publish.topic))?;
                ensure!(kid == key.kid(), "the topic names another device");
                let envelope = decode(&publish.payload)?;
                let id = verify(&envelope, class, &network, key)?;
                let claims = Claims::decode(class, envelope.payload)?;
                println!("verified {} {}", publish.topic, hex::encode(id));
                heard.insert(claims.seq, (claims.prev, id));
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    let mut before = [0; 16];
    for (expected, (seq, (prev, id))) in (0u64..).zip(&heard) {
        ensure!(*seq == expected, "sequence number {seq} where {expected} belongs");
        ensure!(*prev == before, "message {seq} does not name the one before it");
        before = attest::link(id);
    }
    Ok(())
}

fn settings(port: u16) -> rumqttd::Config {
    let connections = rumqttd::ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 16 << 10,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let server =
        rumqttd::ServerSettings { name: "v4".into(), listen, tls: None, next_connection_delay_ms: 1, connections };
    let router = rumqttd::RouterConfig {
        max_connections: 10,
        max_outgoing_packet_count: 200,
        max_segment_size: 1 << 20,
        max_segment_count: 2,
        ..Default::default()
    };
    rumqttd::Config { router, v4: Some(HashMap::from([("v4".to_owned(), server)])), ..Default::default() }
}
