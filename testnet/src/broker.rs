//! The demo's MQTT broker: rumqttd inside this process, version 4 on loopback, with bounded memory. It keeps nothing on
//! disk and knows no access rules: production runs a hardened mosquitto instead.
//! Leaves out: every client (`device`, `oracle-node`).

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use serde::{Deserialize, Serialize};

/// Bytes of one segment of a topic filter's log; with [`SEGMENTS`] it bounds what the broker keeps per filter.
pub const SEGMENT_BYTES: usize = 1024 * 1024;
/// Segments of one topic filter's log; the oldest goes first.
pub const SEGMENTS: usize = 10;
/// Largest payload taken, bytes: four times a message of docs/protocol.md §2, so that access feeds fit.
pub const MAX_PAYLOAD: usize = 16 * 1024;

/// Where the broker listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// A loopback address; the embedded broker refuses any other, since it asks nobody for a name.
    pub listen: SocketAddr,
}

/// Runs the broker until its process ends; prints `broker ready on ADDR` once it accepts connections.
///
/// # Errors
/// When the address is not loopback or cannot be listened on, or the broker stops.
pub fn run(config: &BrokerConfig) -> Result<()> {
    if !config.listen.ip().is_loopback() {
        bail!("{} is not a loopback address; the embedded broker has no access control", config.listen);
    }
    // rumqttd only logs a failed bind and then waits for ever, so the address is tried first.
    drop(std::net::TcpListener::bind(config.listen).with_context(|| format!("listen on {}", config.listen))?);
    let listen = config.listen;
    std::thread::Builder::new().name("ready".into()).spawn(move || {
        while std::net::TcpStream::connect(listen).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        println!("broker ready on {listen}");
    })?;
    Broker::new(settings(listen)).start().context("the embedded broker stopped")?;
    bail!("the embedded broker ended by itself")
}

fn settings(listen: SocketAddr) -> Config {
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: MAX_PAYLOAD,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server =
        ServerSettings { name: "plumbline-v4".into(), listen, tls: None, next_connection_delay_ms: 1, connections };
    Config {
        router: RouterConfig {
            max_connections: 1_000,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT_BYTES,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("v4".to_owned(), server)])),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};

    use super::*;

    fn client(name: &str, port: u16) -> (AsyncClient, EventLoop) {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(10)).set_clean_session(false);
        AsyncClient::new(options, 16)
    }

    /// Polls until `wanted` says yes; gives up after ten seconds. Refused connections are tried again.
    async fn until(events: &mut EventLoop, mut wanted: impl FnMut(&Packet) -> bool) {
        let wait = async {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(packet)) if wanted(&packet) => return,
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait).await.expect("the broker answers within ten seconds");
    }

    #[tokio::test]
    async fn a_message_of_quality_one_passes_and_a_retained_one_waits() {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let listen = SocketAddr::from(([127, 0, 0, 1], port));
        std::thread::spawn(move || run(&BrokerConfig { listen }));

        let (publisher, mut sent) = client("publisher", port);
        publisher.publish("plumbline/v1/down/aa/lease", QoS::AtLeastOnce, true, "kept").await.unwrap();
        until(&mut sent, |packet| matches!(packet, Packet::PubAck(_))).await;

        let (reader, mut read) = client("reader", port);
        reader.subscribe("plumbline/v1/down/aa/#", QoS::AtLeastOnce).await.unwrap();
        let payload = |packet: &Packet, text: &str| matches!(packet, Packet::Publish(p) if p.payload == text);
        until(&mut read, |packet| payload(packet, "kept")).await;

        publisher.publish("plumbline/v1/down/aa/access", QoS::AtLeastOnce, false, "now").await.unwrap();
        let both = async {
            tokio::join!(until(&mut sent, |p| matches!(p, Packet::PubAck(_))), until(&mut read, |p| payload(p, "now")))
        };
        both.await;
    }

    #[test]
    fn an_address_beyond_loopback_is_refused() {
        let error = run(&BrokerConfig { listen: SocketAddr::from(([0, 0, 0, 0], 1883)) }).unwrap_err();
        assert!(error.to_string().contains("not a loopback address"), "{error}");
    }
}
