//! A vandal on the local network: for a few seconds it throws garbage at every input that the demo has (MQTT topics, the
//! nodes' HTTP and gossip ports, the devices' own topics), bounded and on loopback only. Everyone must refuse it, count it
//! and go on. Leaves out: floods, which are a matter of the operating system's and the broker's limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::Address;
use anyhow::{Context as _, Result};
use attest::{Body, Claims, Class, Down, MAX_MESSAGE, PublicKey, SignError, Signer, SoftEd25519, ToBeSigned};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::aftermath::{refusals, warnings};
use crate::api::Api;
use crate::broker::MAX_PAYLOAD;

/// Longest wait for any one answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it listens for something worth forging.
const EAVESDROP: Duration = Duration::from_millis(1_500);
/// Messages under names that nobody registered.
const STRANGERS: usize = 12;
/// Connections to each gossip port.
const CALLS: usize = 10;
/// How long after it has gone the nodes' logs are looked at.
const AFTERMATH: Duration = Duration::from_secs(3);

/// A node as the vandal sees it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Name, for messages.
    pub name: String,
    /// Its API.
    pub api: Api,
    /// HTTP.
    pub http: SocketAddr,
    /// Gossip.
    pub gossip: SocketAddr,
    /// Its log file.
    pub log: PathBuf,
}

/// Where it goes.
#[derive(Clone, Debug)]
pub struct Targets {
    /// MQTT.
    pub broker: SocketAddr,
    /// The nodes.
    pub nodes: Vec<Target>,
    /// The devices' keys, with their lessees' addresses.
    pub devices: Vec<(PublicKey, Address)>,
    /// Network id.
    pub network: attest::Network,
}

/// A message by reason of its refusal, and how many of it went out.
type Shots = Vec<(&'static str, String, Vec<u8>)>;

/// What it did, and how the nodes stood before.
#[derive(Clone, Debug, Default)]
pub struct Spree {
    /// Messages on evidence topics, by the reason for which they must be refused; empty = one of several.
    pub shots: Vec<(&'static str, u64)>,
    /// Forged words on access, one per device at most.
    pub keys: usize,
    /// Forged receipts.
    pub receipts: usize,
    /// HTTP requests.
    pub requests: usize,
    /// Requests that were not refused: what was asked and the status that came.
    pub welcomed: Vec<String>,
    /// Connections to gossip ports.
    pub calls: usize,
    /// By node: refusals counted before.
    pub before: Vec<Vec<(String, u64)>>,
    /// By node: lines of warning written before and until shortly after.
    pub warnings: Vec<(usize, usize)>,
}

/// Goes about it; takes a few seconds.
///
/// # Errors
/// When the broker or a node is not there.
pub async fn spree(targets: Targets) -> Result<Spree> {
    let mut spree = Spree::default();
    let warnings = || targets.nodes.iter().map(|node| warnings(&node.log)).collect::<Vec<usize>>();
    let earlier = warnings();
    for node in &targets.nodes {
        spree.before.push(refusals(&node.api).await?);
    }
    messages(&targets, &mut spree).await?;
    too_large(targets.broker).await;
    for node in &targets.nodes {
        for request in requests() {
            spree.requests += 1;
            if let Some(status) = ask(node.http, &request).await.filter(|status| !(400..500).contains(status)) {
                let asked = String::from_utf8_lossy(request.get(..40).unwrap_or(&request)).into_owned();
                spree.welcomed.push(format!("{}: {asked:?} was answered with {status}", node.name));
            }
        }
        spree.calls += call(node.gossip).await;
    }
    tokio::time::sleep(AFTERMATH).await;
    spree.warnings = earlier.into_iter().zip(warnings()).collect();
    Ok(spree)
}

/// What is thrown at the topics for evidence.
fn shots(targets: &Targets) -> Result<Shots> {
    let mut shots = Shots::new();
    let topic = |class: Class, kid: [u8; 8]| attest::topic_up(class, &kid).to_string();
    for (number, (key, _)) in targets.devices.iter().enumerate() {
        let kid = key.kid();
        shots.push(("MALFORMED", topic(Class::Answer, kid), noise(80 + 100 * number)));
        shots.push(("TOO_LONG", topic(Class::Telemetry, kid), noise(MAX_MESSAGE + 1 + 1_000 * number)));
        shots.push(("BAD_SIGNATURE", topic(Class::Heartbeat, kid), impersonate(*key, &targets.network)?));
    }
    for _ in 0..STRANGERS {
        let key = SoftEd25519::from_seed(rand::random()).public_key();
        shots.push(("UNKNOWN_DEVICE", topic(Class::Heartbeat, key.kid()), impersonate(key, &targets.network)?));
        shots.push(("", topic(Class::Witness, rand::random()), noise(200)));
    }
    for name in ["nonsense/0011223344556677", "answer/xyz", "answer/00", "../0011223344556677", "heartbeat/%00"] {
        shots.push(("", format!("plumbline/v1/up/{name}"), noise(20)));
    }
    Ok(shots)
}

async fn messages(targets: &Targets, spree: &mut Spree) -> Result<()> {
    let mut options = MqttOptions::new("vandal", targets.broker.ip().to_string(), targets.broker.port());
    options.set_keep_alive(Duration::from_secs(5)).set_max_packet_size(4 * MAX_PAYLOAD, 4 * MAX_PAYLOAD);
    let (client, mut events) = AsyncClient::new(options, 512);
    let (tell, mut heard) = mpsc::unbounded_channel();
    // Ends with this function, however it ends.
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(packet) = event
                && tell.send(packet).is_err()
            {
                break;
            }
        }
    });
    client.subscribe("plumbline/v1/down/+/access", QoS::AtLeastOnce).await?;
    client.subscribe(attest::BEACON_TOPIC, QoS::AtLeastOnce).await?;
    let mut forged = forge(targets, &mut heard, spree).await;
    let shots = shots(targets)?;
    for (reason, _, _) in &shots {
        match spree.shots.iter_mut().find(|(known, _)| known == reason) {
            Some((_, count)) => *count += 1,
            None => spree.shots.push((reason, 1)),
        }
    }
    forged.extend(shots.into_iter().map(|(_, topic, payload)| (topic, payload)));
    let wanted = forged.len();
    for (topic, payload) in forged {
        client.publish(topic, QoS::AtLeastOnce, false, payload).await?;
    }
    let mut taken = 0;
    let all = async {
        while taken < wanted
            && let Some(packet) = heard.recv().await
        {
            taken += usize::from(matches!(packet, Packet::PubAck(_)));
        }
    };
    let waited = timeout(PATIENCE, all).await;
    anyhow::ensure!(waited.is_ok() && taken == wanted, "the broker took {taken} of the vandal's {wanted} messages");
    Ok(())
}

/// Listens for a while and makes forgeries for the devices of what it hears: a door's key with another name in it, a beacon
/// under a later slot's number, and receipts out of thin air.
async fn forge(
    targets: &Targets,
    heard: &mut mpsc::UnboundedReceiver<Packet>,
    spree: &mut Spree,
) -> Vec<(String, Vec<u8>)> {
    let (mut forged, mut beacons) = (Vec::new(), 0);
    let listen = async {
        while let Some(packet) = heard.recv().await {
            let Packet::Publish(message) = packet else { continue };
            let mut payload = message.payload.to_vec();
            if message.topic == attest::BEACON_TOPIC && beacons < 2 {
                beacons += 1;
                let slot = payload.first_chunk::<8>().map_or(0, |slot| u64::from_be_bytes(*slot)).saturating_add(7);
                payload.splice(..8, slot.to_be_bytes());
                forged.push((message.topic, payload));
            } else if let Some(at) = targets
                .devices
                .iter()
                .find_map(|(_, lessee)| payload.windows(20).position(|window| window == lessee.as_slice()))
            {
                // One for each door: every member repeats the key when a report is certified meanwhile.
                if forged.iter().all(|(topic, _)| *topic != message.topic) {
                    payload.splice(at..at.saturating_add(20), [0xba; 20]);
                    spree.keys += 1;
                    forged.push((message.topic, payload));
                }
            }
        }
    };
    let _ = timeout(EAVESDROP, listen).await;
    for (key, _) in &targets.devices {
        spree.receipts += 1;
        forged.push((attest::topic_down(Down::Receipt, &key.kid()).to_string(), noise(300)));
    }
    forged
}

/// One message beyond what the broker takes; it closes the connection, and nobody else may notice.
async fn too_large(broker: SocketAddr) {
    let mut options = MqttOptions::new("vandal-2", broker.ip().to_string(), broker.port());
    options.set_max_packet_size(4 * MAX_PAYLOAD, 4 * MAX_PAYLOAD);
    let (client, mut events) = AsyncClient::new(options, 8);
    let topic = attest::topic_up(Class::Answer, &[0; 8]).to_string();
    let _ = client.try_publish(topic, QoS::AtLeastOnce, false, noise(MAX_PAYLOAD + 1_000));
    let _ = timeout(PATIENCE, async { while events.poll().await.is_ok() {} }).await;
}

/// A message in perfect form by someone who lacks the key that it names.
fn impersonate(named: PublicKey, network: &attest::Network) -> Result<Vec<u8>> {
    let signer = Impostor { named, own: SoftEd25519::from_seed(rand::random()) };
    let claims = Claims { iat: Some(1), nonce: None, boot: 1, seq: 0, prev: [0; 16], body: Body::Heartbeat };
    let mut buffer = [0; MAX_MESSAGE];
    let signed = attest::seal(&signer, network, &claims, &mut buffer).ok().context("the vandal's own message")?;
    Ok(signed.bytes.to_vec())
}

struct Impostor {
    named: PublicKey,
    own: SoftEd25519,
}

impl Signer for Impostor {
    fn public_key(&self) -> PublicKey {
        self.named
    }

    fn sign(&self, statement: ToBeSigned<'_>) -> Result<[u8; 64], SignError> {
        self.own.sign(statement)
    }
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|_| rand::random()).collect()
}

/// Requests that no node should answer otherwise than by refusing.
fn requests() -> Vec<Vec<u8>> {
    let line = |line: String| format!("{line} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n").into_bytes();
    let mut requests: Vec<Vec<u8>> = [
        "GET /v1/../../etc/passwd",
        "GET /%ff%fe%00",
        "GET /v1/evidence/zz",
        "GET /v1/archive/-1",
        "GET /v1/reports/99999999999999999999999999/proof/0",
        "GET /v1/statements?kind=%F0%28%8C%28",
        "DELETE /v1/status",
        "PUT /metrics",
        "BREW /v1/coffee",
    ]
    .into_iter()
    .map(|text| line(text.to_owned()))
    .collect();
    requests.push(line(format!("GET /v1/nothing?{}", "q=".repeat(10_000))));
    requests.push(line(format!("GET /{}", "a/".repeat(40_000))));
    let headers: String = (0..300).map(|number| format!("X-{number}: {number}\r\n")).collect();
    requests.push(format!("GET /v1/status HTTP/1.1\r\nHost: node\r\n{headers}\r\n").into_bytes());
    let body = noise(100_000);
    let head = format!(
        "POST /v1/status HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    requests.push([head.into_bytes(), body].concat());
    requests.push(noise(2_000));
    requests
}

/// Status of the answer; `None` when the connection is closed without one, which refuses as well.
async fn ask(address: SocketAddr, request: &[u8]) -> Option<u16> {
    let mut answer = [0; 12];
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        // A node may answer and close before it has read all.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        stream.read_exact(&mut answer).await
    };
    timeout(PATIENCE, asked).await.ok()?.ok()?;
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// Random bytes, bare and behind a proper greeting, on connections that stay open for a moment.
async fn call(address: SocketAddr) -> usize {
    let mut open = Vec::new();
    for number in 0..CALLS {
        let Ok(Ok(mut stream)) = timeout(PATIENCE, TcpStream::connect(address)).await else { continue };
        let greeting: &[u8] = if number % 2 == 0 { b"\x13/multistream/1.0.0\n" } else { b"" };
        let _ = timeout(PATIENCE, stream.write_all(&[greeting, &noise(3_000)].concat())).await;
        open.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    open.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_impostor_is_well_formed_and_not_who_it_says() {
        let (network, named) = ([5; 8], SoftEd25519::from_seed([1; 32]).public_key());
        let bytes = impersonate(named, &network).unwrap();
        let envelope = attest::decode(&bytes).unwrap();
        assert_eq!(attest::verify(&envelope, Class::Heartbeat, &network, &named), Err(attest::VerifyError::Signature));
    }

    #[tokio::test]
    async fn a_status_is_read_and_a_closed_door_is_none() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").await.unwrap();
            drop(listener.accept().await.unwrap());
        });
        assert_eq!(ask(address, b"GET / HTTP/1.1\r\n\r\n").await, Some(404));
        assert_eq!(ask(address, b"x").await, None);
        server.await.unwrap();
    }
}
